"""Lesson 5: BERT checkpoints with a head, their fine-tuning, and what they predict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from tokenizers import normalizers
from torch import nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertPreTrainedModel,
    BertTokenizer,
)
from transformers.modeling_outputs import SequenceClassifierOutput

from tlcourse.arguments import check_count, check_rows, check_texts
from tlcourse.bert.checkpoints import (
    check_tokenizer,
    checkpoint_folder,
    quiet,
)
from tlcourse.models import masked_mean
from tlcourse.training import (
    Stream,
)

Model = TypeVar("Model", bound=BertPreTrainedModel)
Inputs = Mapping[str, torch.Tensor]


class BertMeanClassifier(BertForSequenceClassification):
    """A BERT whose classifier reads the mean of the last hidden states.

    ``BertForSequenceClassification`` reads the first one, ``[CLS]``, through a pooler. Which of
    the two says something depends on how the checkpoint was pretrained.
    """

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert.pooler = None

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        **_: Any,
    ) -> SequenceClassifierOutput:
        """Logits (batch, classes), and the cross-entropy if labels (batch,) are given."""
        states = self.bert(
            input_ids, attention_mask=attention_mask, inputs_embeds=inputs_embeds,
            token_type_ids=token_type_ids,
        ).last_hidden_state  # fmt: skip
        if attention_mask is None:
            attention_mask = torch.ones_like(states[..., 0])
        logits = self.classifier(self.dropout(masked_mean(states, attention_mask.sum(1))))
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)


def load_tokenizer(name: str) -> BertTokenizer:
    """The tokenizer of a checkpoint, see `tlcourse.bert.checkpoint_folder`.

    Raises
    ------
    ValueError, FileNotFoundError
        If there is no such checkpoint, or it has no vocabulary.
    """
    place = checkpoint_folder(name, weights=False)
    tokenizer = BertTokenizer.from_pretrained(place)
    check_tokenizer(tokenizer, place)
    if name == "bert-zh":  # it has pieces for plain forms only: "," and no "，"
        backend = tokenizer.backend_tokenizer
        backend.normalizer = normalizers.Sequence([normalizers.NFKC(), backend.normalizer])
    return tokenizer


def load_model(
    kind: type[Model], name: str, *, scratch: bool = False, seed: int = 0, **options: Any
) -> Model:
    """A BERT with a head; what the checkpoint does not hold starts at random.

    Parameters
    ----------
    kind : type
        `BertMeanClassifier`, or a class of transformers such as ``BertForSequenceClassification``.
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
        In float32 and in evaluation mode. Its ``draws`` go on where this has stopped: more
        that starts at random, such as LoRA's matrices, depends on the seed as well.

    Raises
    ------
    ValueError
        If the checkpoint is no BERT: its weights would not be found, and random ones taken.
    FileNotFoundError
        If there is no such checkpoint, or it has no weights.
    """
    place = checkpoint_folder(name, weights=not scratch)
    found = BertConfig.get_config_dict(place)[0].get("model_type")
    if found != "bert":
        raise ValueError(f"{place} must hold a BERT checkpoint; it holds one of type {found!r}")
    draws = Stream(seed)
    with quiet(), draws:
        if scratch:
            model = kind(BertConfig.from_pretrained(place, **options)).float().eval()
        else:
            model = kind.from_pretrained(place, dtype=torch.float32, **options)
    model.draws = draws
    return model


def encode(
    tokenizer: BertTokenizer, texts: Sequence[str], max_length: int
) -> dict[str, torch.Tensor]:
    """Texts as padded rows of piece numbers.

    Parameters
    ----------
    tokenizer : transformers.BertTokenizer
    texts : sequence of str
    max_length : int
        Pieces of a text at most, 3 or more: ``[CLS]`` and ``[SEP]`` are among them.

    Returns
    -------
    dict
        ``input_ids`` and ``attention_mask``, int64, shape (n, length); the mask is 0 at padding.
    """
    texts = check_texts("texts", texts)
    check_count("max_length", max_length, 3)  # below, the library does not cut at all
    found = tokenizer(
        texts, truncation=True, max_length=max_length, padding=True, return_tensors="pt"
    )
    return {name: found[name] for name in ("input_ids", "attention_mask")}


def take(inputs: Inputs, rows: torch.Tensor | np.ndarray) -> dict[str, torch.Tensor]:
    """The chosen rows (numbers, or a boolean mask), cut to the longest among them."""
    rows = torch.from_numpy(check_rows("rows", rows, len(inputs["attention_mask"])))
    if not len(rows):
        raise ValueError("rows chooses no row; choose at least one")
    longest = int(inputs["attention_mask"][rows].sum(1).max())
    return {name: values[rows, :longest] for name, values in inputs.items()}


def by_length(inputs: Inputs, batch_size: int) -> tuple[torch.Tensor, ...]:
    """Row numbers in batches of like length, so that little padding is computed."""
    return inputs["attention_mask"].sum(1).argsort(stable=True).split(batch_size)
