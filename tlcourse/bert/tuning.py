"""Lesson 5: fine-tune a BERT with a head, and predict with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import (
    get_linear_schedule_with_warmup,
)
from transformers.models.bert.modeling_bert import BertEmbeddings, BertLayer

from tlcourse.arguments import check_number, check_share
from tlcourse.bert.checkpoints import (
    check_inputs,
    check_targets,
)
from tlcourse.bert.models import Inputs, by_length, take
from tlcourse.training import (
    Progress,
    Stream,
    batches,
    check_finite,
    check_settings,
    check_trains,
    checker,
)


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
