"""Lesson 5: checkpoints with a head, and texts as they read them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

import torch
from tokenizers import normalizers
from torch import nn
from transformers import (
    MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING,
    AutoConfig,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers import PreTrainedTokenizerBase as Tokenizer
from transformers.modeling_outputs import SequenceClassifierOutput

from tlcourse.arguments import check_choice, check_count, check_texts, shown
from tlcourse.bert.checkpoints import check_tokenizer, checkpoint_folder, quiet
from tlcourse.training import Stream

Model = TypeVar("Model", bound=PreTrainedModel)
FAMILIES = ("bert", "roberta", "xlm-roberta", "electra", "distilbert")
"""Encoders that share BERT's plan, as the configurations of their checkpoints name them."""


_DRAWS: WeakKeyDictionary[PreTrainedModel, Stream] = WeakKeyDictionary()


class MeanPooling(PreTrainedModel):
    """A classifier that reads the mean of the last hidden states, over all but padding.

    The classes of transformers read the first one, ``[CLS]``, through a layer of their own. Which
    of the two says something depends on how the checkpoint was pretrained.
    """

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **more: Any,
    ) -> SequenceClassifierOutput:
        """Logits (batch, classes), and the cross-entropy if labels (batch,) are given."""
        body, head = cast(Any, self.base_model), cast(Any, self).classifier
        states = body(
            input_ids=input_ids, attention_mask=attention_mask, inputs_embeds=inputs_embeds,
            **{name: value for name, value in more.items() if name == "token_type_ids"},
        ).last_hidden_state  # fmt: skip
        seen = torch.ones_like(states[..., :1]) if attention_mask is None else attention_mask
        seen = seen.reshape(*states.shape[:2], 1)
        logits = head(cast(Any, self).dropout((states * seen).sum(1) / seen.sum(1).clamp(min=1)))
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)


class BertMeanClassifier(MeanPooling, BertForSequenceClassification):
    """`MeanPooling` of a BERT."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert.pooler = None


@lru_cache(maxsize=len(FAMILIES))
def mean_classifier(family: str) -> type[MeanPooling]:
    """The class that puts `MeanPooling` on an encoder of one of the `FAMILIES`.

    Its weights have the names of the family's token classifier, so that transformers'
    ``AutoModelForTokenClassification`` loads what it saves: the head is linear, and its logits
    are the mean of that one's logits over a text's pieces.
    """
    if check_choice("family", family, FAMILIES) == "bert":
        return BertMeanClassifier
    base: Any = MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING[type(AutoConfig.for_model(family))]
    name = base.__name__.replace("ForTokenClassification", "MeanClassifier")
    return type(name, (MeanPooling, base), {"__doc__": f"`MeanPooling` of {family}."})


def load_tokenizer(name: str) -> Tokenizer:
    """The tokenizer of a checkpoint, see `tlcourse.bert.checkpoint_folder`.

    Raises
    ------
    ValueError, FileNotFoundError
        If there is no such checkpoint, or it has no vocabulary.
    """
    place = checkpoint_folder(name, weights=False)
    tokenizer = AutoTokenizer.from_pretrained(place)
    check_tokenizer(tokenizer, place)
    if name == "bert-zh":  # it has pieces for plain forms only: "," and no "，"
        backend = tokenizer.backend_tokenizer
        backend.normalizer = normalizers.Sequence([normalizers.NFKC(), backend.normalizer])
        tokenizer = PreTrainedTokenizerFast(  # BertTokenizer, when loaded, makes its own normalizer
            tokenizer_object=backend,
            model_input_names=tokenizer.model_input_names,
            **tokenizer.special_tokens_map,
        )
    return tokenizer


def config_of(name: str) -> dict[str, Any]:
    """What a checkpoint's configuration says; its ``model_type`` is one of the `FAMILIES`.

    Raises
    ------
    ValueError
        If it is another: its layers would not be found.
    """
    place = checkpoint_folder(name, weights=False)
    found = PreTrainedConfig.get_config_dict(place)[0]
    if found.get("model_type") not in FAMILIES:
        raise ValueError(
            f"{place} must hold a checkpoint of {', '.join(FAMILIES)}; it holds one of type "
            f"{found.get('model_type')!r}"
        )
    return found


def load_model(
    kind: type[Model], name: str, *, scratch: bool = False, seed: int = 0, **options: Any
) -> Model:
    """An encoder with a head; what the checkpoint does not hold starts at random.

    Parameters
    ----------
    kind : type
        A class of transformers such as ``AutoModelForSequenceClassification`` or ``BertModel``,
        `BertMeanClassifier`, or what `mean_classifier` gives.
    name : str
        See `tlcourse.bert.checkpoint_folder`.
    scratch : bool
        Take the checkpoint's shape alone and start every weight at random.
    seed : int
        For all that starts at random.
    **options
        For the configuration, such as ``num_labels``.

    Returns
    -------
    transformers.PreTrainedModel
        In float32 and in evaluation mode. More that starts at random in it, such as LoRA's
        matrices, depends on the seed as well.

    Raises
    ------
    ValueError
        If the class is of another family: weights would not be found, and random ones taken.
    FileNotFoundError
        If there is no such checkpoint, or it has no weights.
    """
    found, place = config_of(name)["model_type"], checkpoint_folder(name, weights=not scratch)
    wanted = getattr(getattr(kind, "config_class", None), "model_type", found)
    if found != wanted:
        raise ValueError(
            f"{place} must hold a checkpoint of {wanted} for {kind.__name__}; it holds one of "
            f"type {found!r}"
        )
    draws = Stream(seed)
    with quiet(), draws:
        if scratch:
            config = AutoConfig.from_pretrained(place, **options)
            make: Any = getattr(kind, "from_config", kind)
            model = make(config).float().eval()
        else:
            model = kind.from_pretrained(place, dtype=torch.float32, **options)
    _DRAWS[model] = draws
    return model


def draws_of(model: PreTrainedModel) -> Stream:
    """Random numbers for what is put into a model later: they go on where `load_model` stopped."""
    return _DRAWS.get(model) or Stream(0)


def encode(tokenizer: Tokenizer, texts: Sequence[Any], max_length: int) -> dict[str, torch.Tensor]:
    """Texts, or pairs of texts, as padded rows of piece numbers.

    Parameters
    ----------
    tokenizer : transformers.PreTrainedTokenizerBase
    texts : sequence of str or of (str, str)
    max_length : int
        Pieces of a row at most, 3 or more: ``[CLS]`` and ``[SEP]`` are among them.

    Returns
    -------
    dict
        ``input_ids`` and ``attention_mask``, int64, shape (n, length); the mask is 0 at padding.
        For pairs also ``token_type_ids``, 1 at the second text, if the tokenizer gives them.
    """
    first, second = split_pairs("texts", texts)
    check_count("max_length", max_length, 3)  # below, the library does not cut at all
    found = tokenizer(
        first, second, truncation=True, max_length=max_length, padding=True, return_tensors="pt"
    )
    kinds = ("token_type_ids",) if second and "token_type_ids" in found else ()
    return {name: found[name] for name in ("input_ids", "attention_mask", *kinds)}


def split_pairs(name: str, texts: Any) -> tuple[list[str], list[str] | None]:
    """Texts and None, or the first and the second texts of pairs.

    Examples
    --------
    >>> split_pairs("texts", [("It rains.", "It is wet."), ("It rains.", "It is dry.")])
    (['It rains.', 'It rains.'], ['It is wet.', 'It is dry.'])
    """
    rows = texts if isinstance(texts, (str, bytes)) or not isinstance(texts, Iterable) else [*texts]
    if not isinstance(rows, list) or not rows or isinstance(rows[0], str):
        return check_texts(name, rows), None
    for number, row in enumerate(rows):
        if isinstance(row, str) or not isinstance(row, Iterable) or len(list(row)) != 2:
            raise TypeError(
                f"{name} must be texts, or pairs of texts; number {number} is {shown(row)}"
            )
    first, second = (list(column) for column in zip(*rows, strict=True))
    return check_texts(f"{name}, the first of each pair,", first), check_texts(
        f"{name}, the second of each pair,", second
    )
