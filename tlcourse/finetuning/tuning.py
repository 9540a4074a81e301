"""Lesson 3: pretraining and fine-tuning as one loss, and which layers it may change.

``L = λ L_pre + (1 − λ) L_fine``: with λ = 1 this is pretraining, with λ = 0 fine-tuning.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence

import torch

from tlcourse.arguments import (
    check_choice,
    check_count,
    check_kind,
    check_labels,
    check_number,
    check_share,
)
from tlcourse.finetuning.layers import l2_sp as squared_distance
from tlcourse.finetuning.layers import (
    layers_of,
    lowest_layers,
    parameter_groups,
    restricted,
    squared_norm,
    unfrozen_layers,
    weights_of,
)
from tlcourse.finetuning.losses import class_loss, mixture, next_word_loss
from tlcourse.finetuning.tasks import Encoded, check_encoded, labels_of
from tlcourse.models import SharedModel, TransferModel
from tlcourse.scores import scores
from tlcourse.training import (
    History,
    Progress,
    check_settings,
    choose_device,
    device_of,
    predict,
    train,
)

RATES = ("constant", "slanted triangular")


def slanted_triangular(step: int, steps: int, cut: float = 0.1, ratio: float = 32) -> float:
    """Factor of the learning rate: up in the first tenth, then slowly down to 1/ratio.

    Raises
    ------
    ValueError
        If the step is outside 0 … steps, cut outside 0 … 1, or ratio below 1.

    Reference
    ---------
    Howard and Ruder (2018).

    Examples
    --------
    >>> [round(slanted_triangular(step, 100), 2) for step in (0, 10, 55, 100)]
    [0.03, 1.0, 0.52, 0.03]
    """
    check_count("steps", steps)
    check_count("step", step, 0, steps)
    check_share("cut", cut)
    check_number("ratio", ratio, low=1)
    peak = max(steps * cut, 1)
    share = step / peak if step < peak else 1 - (step - peak) / max(steps - peak, 1)
    return (1 + share * (ratio - 1)) / ratio


def source_loss(model: SharedModel, texts: Encoded, limit: int = 400) -> float:
    """`next_word_loss` on the first texts, dropout off; its rise is what was forgotten."""
    check_count("limit", limit)
    check_encoded("texts", texts), check_kind("model", model, SharedModel)
    model.eval()
    total = words = 0.0
    with torch.no_grad():
        for rows in torch.arange(min(limit, len(texts))).split(50):  # the logits are large
            part = texts.take(rows).to(device_of(model))
            if count := int((part.lengths - 1).sum()):
                total += count * float(next_word_loss(model, part.ids, part.lengths))
                words += count
    return total / words if words else math.nan


def evaluate(model: TransferModel, texts: Encoded) -> dict[str, float]:
    """Accuracy and macro-F1 of the target task on labelled texts."""
    check_kind("model", model, TransferModel)
    labels = labels_of("texts", texts).cpu().numpy()
    return scores(labels, predict(model, texts.inputs).argmax(1))


def tune(
    model: TransferModel,
    target: Encoded | None,
    *,
    steps: int = 200,
    learning_rate: float = 3e-3,
    lam: float = 0.0,
    source: Encoded | None = None,
    batch_size: int = 16,
    source_batch_size: int | None = None,
    frozen: int | Sequence[str] = (),
    gradual: bool = False,
    factor: float = 1.0,
    rate: str = "constant",
    l2_sp: float = 0.0,
    weight_decay: float = 0.0,
    seed: int = 0,
    check_at: Collection[int] = (),
    on_check: Callable[[], dict[str, float]] | None = None,
    progress: Progress | None = None,
    device: torch.device | str = "auto",
) -> History:
    """Train a model by ``λ L_pre + (1 − λ) L_fine + α · R(w)``, in place.

    Each step takes a batch of the source texts for L_pre and a labelled batch for L_fine; a
    part whose weight is zero is left out. AdamW with its own weight decay off.

    Parameters
    ----------
    model : TransferModel
        The course's, of `build_model`, or one for texts of your own, of `build`.
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
    frozen : int or sequence of str
        The shared layers that do not train: their names, or how many of the lowest, see
        `freeze`. What was frozen before stays frozen too, and after the run all is frozen or
        not as before it.
    gradual : bool
        Unfreeze the others one after the other, see `unfrozen_layers`.
    factor : float
        For discriminative rates, see `parameter_groups`.
    rate : {"constant", "slanted triangular"}
        The learning rate over the steps.
    l2_sp, weight_decay : float
        α, at least 0: how strongly the shared layers are pulled towards their weights at the
        start, see `tlcourse.finetuning.l2_sp`, and towards zero, see `squared_norm`.
    seed : int
        For the order of the examples and for dropout.
    check_at, on_check, progress
        See `tlcourse.training.train`.
    device : torch.device or str
        See `tlcourse.training.choose_device`; the model stays there.

    Returns
    -------
    History
        Its parts are ``"pre"`` and ``"fine"``.

    Raises
    ------
    ValueError
        For settings outside their range, missing texts, an unknown name, a model that is frozen
        as a whole, or a loss that is no number.
    """
    check_kind("model", model, TransferModel)
    for name, texts in {"target": target, "source": source}.items():
        if texts is not None:
            check_encoded(name, texts)
    check_share("lam", lam)
    check_choice("gradual", gradual, (True, False))
    check_settings(
        learning_rate,
        steps=steps,
        batch_size=batch_size,
        source_batch_size=source_batch_size,
        seed=seed,
    )
    check_choice("rate", rate, RATES)
    check_number("l2_sp", l2_sp, low=0)
    check_number("weight_decay", weight_decay, low=0)
    if lam < 1:
        if target is None:
            raise ValueError("λ < 1 needs labelled target texts, got target None")
        check_labels("target.labels", labels_of("target", target), model.head.out_features)
    if lam > 0 and source is None:
        raise ValueError("λ > 0 needs source texts, got source None")
    kept = lowest_layers(model, frozen)
    trained = [name for name in layers_of(model) if name not in kept]
    device = choose_device(device)
    model.to(device)
    start = weights_of(model.encoder) if l2_sp else {}
    optimizer = torch.optim.AdamW(
        parameter_groups(model, learning_rate, factor), weight_decay=0, fused=True
    )

    # An order for each, so that the labelled batches are the same for every λ.
    draw_fine, draw_pre = (
        iter(()) if texts is None else texts.to(device).batches(size, seed)
        for texts, size in ((target, batch_size), (source, source_batch_size or batch_size))
    )

    with restricted(model, trained) as choose:

        def loss_of(step: int) -> tuple[torch.Tensor, dict[str, float]]:
            model.train()
            if gradual:
                choose(unfrozen_layers(step, steps, trained))
            parts = {}
            if lam < 1:
                parts["fine"] = loss = class_loss(model, next(draw_fine))
            if lam > 0:
                parts["pre"] = pre = next_word_loss(model, *next(draw_pre).inputs)
                loss = pre if lam == 1 else mixture(pre, loss, lam)
            if l2_sp:
                loss = loss + l2_sp * squared_distance(model.encoder, start)
            if weight_decay:
                loss = loss + weight_decay * squared_norm(model.encoder)
            return loss, {name: part.item() for name, part in parts.items()}

        return train(
            loss_of,
            optimizer,
            steps=steps,
            seed=seed,
            rate=(lambda step: slanted_triangular(step, steps)) if rate != "constant" else None,
            clip=[model.parameters()],
            check_at=check_at,
            on_check=on_check,
            progress=progress,
            device=device,
        )
