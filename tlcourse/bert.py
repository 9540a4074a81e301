"""Lesson 5: BERT checkpoints with a head, their fine-tuning, and what they predict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
    get_linear_schedule_with_warmup,
)
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.models.bert.modeling_bert import BertEmbeddings, BertLayer

from tlcourse.arguments import check_count, check_number, check_rows, check_share, check_texts
from tlcourse.checkpoints import (
    check_inputs,
    check_targets,
    check_tokenizer,
    checkpoint_folder,
    quiet,
)
from tlcourse.encoders import masked_mean
from tlcourse.training import (
    Progress,
    Stream,
    batches,
    check_finite,
    check_settings,
    check_trains,
    checker,
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
    """The tokenizer of a checkpoint, see `tlcourse.checkpoints.checkpoint_folder`.

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
        See `tlcourse.checkpoints.checkpoint_folder`.
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


@dataclass
class FineTuningHistory:
    """What a run of `fine_tune` went through: the loss of each step, and ``on_check``'s results."""

    loss: list[float] = field(default_factory=list)
    checks: list[dict[str, float]] = field(default_factory=list)


def fine_tune(
    model: nn.Module,
    inputs: Inputs,
    labels: torch.Tensor,
    *,
    steps: int,
    learning_rate: float,
    batch_size: int = 16,
    warmup: float = 0.1,
    weight_decay: float = 0.01,
    seed: int = 0,
    check_at: Sequence[int] = (),
    on_check: Callable[[], dict[str, float]] | None = None,
    progress: Progress | None = None,
) -> FineTuningHistory:
    """Train whatever is trainable in a BERT with a head, as its authors did.

    AdamW; the rate rises in a line and falls in a line to 0; gradients are clipped at norm 1;
    biases and layer norms have no weight decay. Embeddings and layers that are frozen as a
    whole run as they do at prediction, without dropout.

    Parameters
    ----------
    model : torch.nn.Module
        A model of transformers with a head, or the `upper_part` of one.
    inputs : mapping
        As `encode` or `frozen_states` gives them.
    labels : torch.Tensor, numpy.ndarray or list
        Class numbers, shape (n,), or (n, length) with −100 where no label is for a token
        classifier.
    steps : int
        Batches; the texts are gone through in a new order each time they are used up.
    learning_rate : float
        The highest.
    warmup : float
        The share of the steps in which the rate rises, 0 … 1.
    seed : int
        For the order of the texts and for dropout.
    check_at, on_check
        Steps after which ``on_check`` is called; 0 is before the first.
    progress : callable, optional
        See `tlcourse.training.Progress`.

    Raises
    ------
    ValueError
        If inputs, labels and model do not fit each other, nothing trains, a setting is outside
        its range, or the loss is no number.

    Reference
    ---------
    Devlin et al. (2019), BERT, appendix A.3.
    """
    check_settings(learning_rate, steps=steps, batch_size=batch_size)
    check_share("warmup", warmup)
    check_number("weight_decay", weight_decay, low=0)
    check_inputs(model, inputs)
    labels = check_targets(model, labels, inputs["attention_mask"])
    trained = [item for item in model.named_parameters() if item[1].requires_grad]
    plain: list[nn.Parameter] = []
    decayed: list[nn.Parameter] = []
    for name, value in trained:
        (plain if name.endswith("bias") or "LayerNorm" in name else decayed).append(value)
    groups: list[dict[str, Any]] = [{"params": plain, "weight_decay": 0.0}, {"params": decayed}]
    optimizer = torch.optim.AdamW(groups, lr=learning_rate, weight_decay=weight_decay, fused=True)
    schedule = get_linear_schedule_with_warmup(optimizer, round(warmup * steps), steps)
    draws = Stream(seed)
    order = batches(len(labels), batch_size, torch.Generator().manual_seed(seed))
    history = FineTuningHistory()
    check = checker(history.checks, check_at, on_check)
    check(0)
    for step in range(steps):
        _training_mode(model)
        rows = next(order)
        batch = take(inputs, rows)
        wanted = (
            labels[rows] if labels.ndim == 1 else labels[rows, : batch["attention_mask"].shape[1]]
        )
        with draws:
            loss = model(**batch, labels=wanted).loss
        check_trains(loss)
        check_finite(loss.item(), step)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([value for _, value in trained], 1.0)
        optimizer.step()
        schedule.step()
        history.loss.append(loss.item())
        check(step + 1)
        if progress is not None:
            progress((step + 1) / steps)
    return history


def _training_mode(model: nn.Module) -> None:
    """Training mode for all but the embeddings and the layers that are frozen as a whole."""
    model.train()
    for module in model.modules():
        if isinstance(module, (BertEmbeddings, BertLayer)) and not any(
            parameter.requires_grad for parameter in module.parameters()
        ):
            module.eval()


def predict(model: nn.Module, inputs: Inputs, batch_size: int = 64) -> np.ndarray:
    """Class probabilities, shape (n, classes), with dropout off."""
    check_inputs(model, inputs)
    model.eval()
    found: list[tuple[torch.Tensor, torch.Tensor]] = []
    with torch.no_grad():
        for rows in by_length(inputs, batch_size):
            found.append((rows, model(**take(inputs, rows)).logits.softmax(-1)))
    order = torch.cat([rows for rows, _ in found]).argsort()
    return torch.cat([values for _, values in found])[order].numpy()
