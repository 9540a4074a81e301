"""Lesson 3: pretraining and fine-tuning as one loss, and which layers it may change.

``L = λ L_pre + (1 − λ) L_fine``: with λ = 1 this is pretraining, with λ = 0 fine-tuning.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from tlcourse.arguments import check_choice, check_count, check_labels, check_number
from tlcourse.finetuning.layers import (
    l2_sp,
    parameter_groups,
    restricted,
    slanted_triangular,
    squared_norm,
    unfrozen_layers,
    weights_of,
)
from tlcourse.finetuning.losses import _told, class_loss, mixture, next_word_loss
from tlcourse.finetuning.tasks import Encoded
from tlcourse.models import LAYERS, SharedModel, TransferModel
from tlcourse.scores import scores
from tlcourse.training import (
    Progress,
    Stream,
    batches,
    check_finite,
    check_lambda,
    check_settings,
    check_trains,
    checker,
    predict,
)

RATES = ("constant", "slanted triangular")
PENALTIES = ("none", "weight decay", "L2-SP")


@dataclass
class MixtureHistory:
    """What a run of `tune` went through.

    Attributes
    ----------
    loss, pre, fine : list of float
        The mixture and its two parts at each step; a part that was not computed is NaN.
    checks : list of dict
        What ``on_check`` returned, with its ``step``.
    """

    loss: list[float] = field(default_factory=list)
    pre: list[float] = field(default_factory=list)
    fine: list[float] = field(default_factory=list)
    checks: list[dict[str, float]] = field(default_factory=list)


def source_loss(model: SharedModel, texts: Encoded, limit: int = 400) -> float:
    """`next_word_loss` on the first texts, dropout off; its rise is what was forgotten."""
    check_count("limit", limit)
    model.eval()
    total = words = 0.0
    with torch.no_grad():
        for rows in torch.arange(min(limit, len(texts))).split(50):  # the logits are large
            part = texts.take(rows)
            if count := int((part.lengths - 1).sum()):
                total += count * float(next_word_loss(model, part.ids, part.lengths))
                words += count
    return total / words if words else math.nan


def evaluate(model: TransferModel, texts: Encoded) -> dict[str, float]:
    """Accuracy and macro-F1 of the target task on labelled texts."""
    if texts.labels is None or len(texts) == 0:
        raise ValueError(f"evaluate needs labelled texts, at least one; got {_told(texts)}")
    predicted = predict(model, (texts.ids, texts.lengths)).argmax(1)
    return scores(texts.labels.numpy(), predicted)


def tune(
    model: TransferModel,
    target: Encoded | None,
    *,
    steps: int,
    learning_rate: float,
    lam: float = 0.0,
    source: Encoded | None = None,
    batch_size: int = 16,
    source_batch_size: int | None = None,
    layers: Sequence[str] = LAYERS,
    gradual: bool = False,
    factor: float = 1.0,
    rate: str = "constant",
    penalty: str = "none",
    strength: float = 0.0,
    seed: int = 0,
    check_at: Sequence[int] = (),
    on_check: Callable[[], dict[str, float]] | None = None,
    progress: Progress | None = None,
) -> MixtureHistory:
    """Train a model by ``λ L_pre + (1 − λ) L_fine + strength · R(w)``, in place.

    Each step takes a batch of the source texts for L_pre and a labelled batch for L_fine; a
    part whose weight is zero is left out. AdamW with its own weight decay off.

    Parameters
    ----------
    model : TransferModel
    target : Encoded or None
        Labelled texts; needed unless λ = 1.
    steps : int
        Updates.
    learning_rate : float
        Of the heads; see ``factor``.
    lam : float
        λ: 1 is pretraining, 0 fine-tuning.
    source : Encoded, optional
        Unlabelled texts; needed unless λ = 0.
    batch_size, source_batch_size : int
        Labelled texts and source texts of a step; as many of both if the second is left out.
    layers : sequence of str
        The shared layers that train; what was frozen before stays frozen, and after the run
        all is frozen or not as before it.
    gradual : bool
        Unfreeze them one after the other, see `unfrozen_layers`.
    factor : float
        For discriminative rates, see `parameter_groups`.
    rate : {"constant", "slanted triangular"}
        The learning rate over the steps.
    penalty : {"none", "weight decay", "L2-SP"}
        R(w), see `squared_norm` and `l2_sp`; the latter pulls towards the weights at the start.
    strength : float
        Of the penalty, at least 0.
    seed : int
        For the order of the examples and for dropout.
    check_at : sequence of int
        Steps after which ``on_check`` is called; 0 is before the first.
    progress : callable, optional
        See `tlcourse.training.Progress`.

    Returns
    -------
    MixtureHistory

    Raises
    ------
    ValueError
        For settings outside their range, missing texts, an unknown name, a model that is frozen
        as a whole, or a loss that is no number.
    """
    check_lambda(lam)
    check_settings(
        learning_rate, steps=steps, batch_size=batch_size, source_batch_size=source_batch_size
    )
    check_choice("rate", rate, RATES)
    check_choice("penalty", penalty, PENALTIES)
    if check_number("strength", strength, low=0) and penalty == "none":
        raise ValueError(
            f"strength {strength} needs a penalty, one of {PENALTIES[1:]}; got penalty 'none'"
        )
    if lam < 1:
        if target is None or target.labels is None or len(target) == 0:
            raise ValueError("λ < 1 needs labelled target texts")
        check_labels("target.labels", target.labels, model.head.out_features)
    if lam > 0 and (source is None or len(source) == 0):
        raise ValueError("λ > 0 needs source texts")
    start = weights_of(model.encoder) if penalty == "L2-SP" else {}

    def penalty_of() -> torch.Tensor:
        return l2_sp(model.encoder, start) if start else squared_norm(model.encoder)

    groups = parameter_groups(model, learning_rate, factor)
    optimizer = torch.optim.AdamW(groups, weight_decay=0, fused=True)
    base = [group["lr"] for group in optimizer.param_groups]
    draws = Stream(seed)  # dropout
    # One order each, so that the labelled batches are the same for every λ.
    orders = [torch.Generator().manual_seed(seed) for _ in range(2)]
    draw_fine = batches(len(target), batch_size, orders[0]) if target is not None else iter(())
    size = source_batch_size or batch_size
    draw_pre = batches(len(source), size, orders[1]) if source is not None else iter(())
    history = MixtureHistory()

    check = checker(history.checks, check_at, on_check)
    with restricted(model, layers) as choose:
        check(0)
        for step in range(steps):
            model.train()
            if gradual:
                choose(unfrozen_layers(step, steps, layers))
            scale = slanted_triangular(step, steps) if rate != "constant" else 1.0
            for group, value in zip(optimizer.param_groups, base, strict=True):
                group["lr"] = value * scale
            pre = fine = torch.tensor(math.nan)
            if lam < 1:
                assert target is not None
                with draws:
                    loss = fine = class_loss(model, target.take(next(draw_fine)))
            if lam > 0:
                assert source is not None
                texts = source.take(next(draw_pre))
                pre = next_word_loss(model, texts.ids, texts.lengths)
                loss = pre if lam == 1 else mixture(pre, fine, lam)
            if penalty != "none":
                loss = loss + strength * penalty_of()
            check_trains(loss)
            check_finite(loss.item(), step)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            history.loss.append(loss.item())
            history.pre.append(pre.item())
            history.fine.append(fine.item())
            check(step + 1)
            if progress is not None:
                progress((step + 1) / steps)
    return history
