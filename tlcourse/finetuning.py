"""Lesson 3: pretraining and fine-tuning as one loss, and which layers it may change.

``L = λ L_pre + (1 − λ) L_fine``: with λ = 1 this is pretraining, with λ = 0 fine-tuning.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from tlcourse.arguments import check_choice, check_count, check_labels, check_number
from tlcourse.encoders import LAYERS, SharedModel, TransferModel
from tlcourse.freezing import (
    parameter_groups,
    restricted,
    slanted_triangular,
    unfrozen_layers,
    weight_penalty,
)
from tlcourse.tasks import Encoded
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
    scores,
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


def distance_loss(
    states: torch.Tensor, embeddings: torch.Tensor, detach: bool = False
) -> torch.Tensor:
    """The article's L_pre: mean squared distance of contextual states F to embeddings E.

    Parameters
    ----------
    states, embeddings : torch.Tensor
        F and E, the same shape (N, d).
    detach : bool
        Take E as a constant target, so that the loss cannot be lowered by shrinking it.

    Returns
    -------
    torch.Tensor
        ``mean_i ‖F_i − E_i‖²``, a scalar.
    """
    if states.shape != embeddings.shape:
        raise ValueError(
            f"F and E need the same shape, got {tuple(states.shape)} and "
            f"{tuple(embeddings.shape)}; the upper layer must be as wide as the embedding"
        )
    target = embeddings.detach() if detach else embeddings
    return (states - target).square().sum(-1).mean()


def next_word_loss(model: SharedModel, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """L_pre as a language model: mean cross-entropy of each next word, in nats.

    Parameters
    ----------
    ids : torch.Tensor
        int64, shape (batch, length); padding is 0 and never a target.
    lengths : torch.Tensor
        int64, shape (batch,).
    """
    ids = ids[:, : max(int(lengths.max()), 2)]
    states, target = model.encoder(ids[:, :-1]), ids[:, 1:]
    real = target != 0
    return cross_entropy(model.lm_head(states[real]), target[real])


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


def class_loss(model: TransferModel, batch: Encoded) -> torch.Tensor:
    """L_fine: mean cross-entropy of the classes, each example times its weight if it has one.

    Weights should have mean 1 over all examples. They are not divided by the batch's own sum:
    a batch of unimportant examples should count little.
    """
    if batch.labels is None:
        raise ValueError(f"class_loss needs labelled texts, got {_told(batch)}")
    each = cross_entropy(model(batch.ids, batch.lengths), batch.labels, reduction="none")
    return each.mean() if batch.weights is None else (each * batch.weights).mean()


def _told(texts: Encoded) -> str:
    return f"{len(texts)} texts {'without' if texts.labels is None else 'with'} labels"


def mixture(pre: torch.Tensor, fine: torch.Tensor, lam: float) -> torch.Tensor:
    """``λ L_pre + (1 − λ) L_fine``.

    Examples
    --------
    >>> float(mixture(torch.tensor(5.0), torch.tensor(1.0), 0.25))
    2.0
    """
    check_lambda(lam)
    return lam * pre + (1 - lam) * fine


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
        R(w), see `weight_penalty`; L2-SP pulls towards the weights at the start.
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
    towards = None
    if penalty == "L2-SP":
        towards = {name: w.detach().clone() for name, w in model.encoder.named_parameters()}
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
                loss = loss + strength * weight_penalty(model, towards)
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
