"""Train and judge models: one loop, one history, one way to stop it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

Progress = Callable[[float], None]
"""Called with the share of the work done, 0 … 1; it may raise `Cancelled`."""


class Cancelled(Exception):
    """Raised by a progress callback to stop a run that nobody waits for any more."""


@dataclass
class History:
    """What a training run went through: one entry a step (loss) or an epoch (the scores)."""

    loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    macro_f1: list[float] = field(default_factory=list)


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and PyTorch."""
    import random

    import torch

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - libraries still draw from the global state
    torch.manual_seed(seed)


def check_finite(loss: float, step: int) -> None:
    """Stop a run whose loss is no number any more.

    Raises
    ------
    ValueError
        Naming the step and the usual cause.
    """
    if not math.isfinite(loss):
        raise ValueError(
            f"the loss became {loss} at step {step}; usually the learning rate is too high: "
            "divide it by ten, or clip the gradients"
        )


def check_lambda(lam: float) -> None:
    """Refuse a λ outside 0 … 1."""
    if not 0 <= lam <= 1:
        raise ValueError(f"lam must lie between 0 and 1, got {lam}")


def batches(n: int, size: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """Row numbers of one batch after the other, for ever; every row once an epoch."""
    import torch

    while True:
        yield from torch.randperm(n, generator=generator).split(size)


def checker(
    checks: list[dict[str, float]],
    check_at: Sequence[int],
    on_check: Callable[[], dict[str, float]] | None,
) -> Callable[[int], None]:
    """A function of the step that adds what ``on_check`` returns, at the steps asked for."""

    def check(step: int) -> None:
        if on_check is not None and step in check_at:
            checks.append({"step": step, **on_check()})

    return check


def fit(
    model: torch.nn.Module,
    inputs: Sequence[torch.Tensor],
    labels: torch.Tensor,
    *,
    epochs: int,
    learning_rate: float,
    batch_size: int = 32,
    weight_decay: float = 0.0,
    seed: int = 0,
    on_epoch: Callable[[int], dict[str, float]] | None = None,
    progress: Progress | None = None,
) -> History:
    """Train a classifier with AdamW and cross-entropy.

    Parameters
    ----------
    model : torch.nn.Module
        Called as ``model(*batch)`` and giving logits (batch, classes). Only parameters
        with ``requires_grad`` are trained.
    inputs : sequence of torch.Tensor
        Each with n rows.
    labels : torch.Tensor
        int64, shape (n,).
    seed : int
        For the order of the examples and for dropout.
    on_epoch : callable, optional
        Called after each epoch; the ``accuracy`` and ``macro_f1`` that it returns are kept.
    progress : callable, optional
        See `Progress`.

    Returns
    -------
    History
    """
    import torch

    if len(labels) == 0 or any(len(item) != len(labels) for item in inputs):
        raise ValueError(
            f"inputs and labels need the same number of rows, at least one; got "
            f"{[len(item) for item in inputs]} and {len(labels)}"
        )
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=learning_rate, weight_decay=weight_decay)
    torch.manual_seed(seed)  # dropout: the same draws, whatever ran before
    order = torch.Generator().manual_seed(seed)
    history = History()
    steps = epochs * math.ceil(len(labels) / batch_size)
    step = 0
    for epoch in range(epochs):
        model.train()
        for rows in torch.randperm(len(labels), generator=order).split(batch_size):
            logits = model(*(item[rows] for item in inputs))
            loss = torch.nn.functional.cross_entropy(logits, labels[rows])
            check_finite(loss.item(), step)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            history.loss.append(loss.item())
            step += 1
            if progress is not None:
                progress(step / steps)
        if on_epoch is not None:
            scores = on_epoch(epoch)
            history.accuracy.append(scores["accuracy"])
            history.macro_f1.append(scores["macro_f1"])
    return history


def predict(
    model: torch.nn.Module, inputs: Sequence[torch.Tensor], batch_size: int = 256
) -> np.ndarray:
    """Class probabilities, shape (n, classes), with dropout off."""
    import torch

    model.eval()
    parts = []
    with torch.no_grad():
        for rows in torch.arange(len(inputs[0])).split(batch_size):
            parts.append(model(*(item[rows] for item in inputs)).softmax(-1))
    return torch.cat(parts).numpy()


def scores(labels: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Accuracy and macro-averaged F1 of predicted classes, each 0 … 1.

    Examples
    --------
    >>> scores(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0]))
    {'accuracy': 0.75, 'macro_f1': 0.42857142857142855}
    """
    from sklearn.metrics import accuracy_score, f1_score

    return {
        "accuracy": float(accuracy_score(labels, predicted)),
        "macro_f1": float(f1_score(labels, predicted, average="macro", zero_division=0.0)),
    }
