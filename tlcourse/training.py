"""Train and judge models: one loop, one history, one way to stop it."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from tlcourse.arguments import check_array, check_count, check_labels, check_number, check_share

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


_TURN = threading.RLock()  # torch's generator is one for the process, and live runs are threads


class Stream:
    """A run's own random numbers, for what draws from torch's global generator, as dropout does.

    Within a ``with`` block the global generator stands where the run's last block left it; behind
    the block it stands where the caller had it. Blocks of several threads wait for each other, so
    keep them short: a forward pass, or the making of a model.

    Parameters
    ----------
    seed : int
        Blocks together draw what would be drawn after ``torch.manual_seed(seed)``.

    Examples
    --------
    >>> import torch
    >>> stream = Stream(0)
    >>> with stream:
    ...     first = torch.rand(2)
    >>> _ = torch.rand(5)
    >>> with stream:
    ...     second = torch.rand(2)
    >>> _ = torch.manual_seed(0)
    >>> bool((torch.cat([first, second]) == torch.rand(4)).all())
    True
    """

    def __init__(self, seed: int) -> None:
        import torch

        self._state = torch.Generator().manual_seed(seed).get_state()
        self._outside: list[torch.Tensor] = []

    def __enter__(self) -> None:
        import torch

        _TURN.acquire()
        self._outside.append(torch.get_rng_state())
        torch.set_rng_state(self._state)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        import torch

        self._state = torch.get_rng_state()
        torch.set_rng_state(self._outside.pop())
        _TURN.release()


def check_finite(loss: float, step: int) -> None:
    """Stop a run whose loss is no number any more.

    Raises
    ------
    ValueError
        Naming the step and the usual cause: at the first step no weight has changed yet.
    """
    if math.isfinite(loss):
        return
    if step == 0:
        raise ValueError(
            f"the loss became {loss} at step 0, before any update: the inputs, or the weights that "
            "the model starts with, hold NaN or infinity, or are far too large"
        )
    raise ValueError(
        f"the loss became {loss} at step {step}; usually the learning rate is too high: "
        "divide it by ten, or clip the gradients"
    )


def check_trains(loss: torch.Tensor) -> None:
    """Refuse a loss that no parameter can lower."""
    if not loss.requires_grad:
        raise ValueError(
            "nothing trains: all parameters that the loss depends on are frozen; set "
            "requires_grad_(True) on those that should train"
        )


def check_lambda(lam: float) -> None:
    """Refuse a λ outside 0 … 1."""
    check_share("lam", lam)


def check_settings(learning_rate: float, **counts: int | None) -> None:
    """Refuse a learning rate of 0 or less, and counts (steps, batch sizes) below 1."""
    check_number("learning_rate", learning_rate, above=0)
    for name, value in counts.items():
        if value is not None:
            check_count(name, value)


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

    Raises
    ------
    ValueError
        If inputs and labels do not fit each other or the model, nothing trains, a setting is
        outside its range, or the loss is no number.
    """
    import torch

    check_settings(learning_rate, epochs=epochs, batch_size=batch_size)
    check_number("weight_decay", weight_decay, low=0)
    labels = torch.as_tensor(check_labels("labels", labels))
    if len(labels) == 0 or any(len(item) != len(labels) for item in inputs):
        raise ValueError(
            f"inputs and labels need the same number of rows, at least one; got "
            f"{[len(item) for item in inputs]} and {len(labels)}"
        )
    for number, item in enumerate(inputs):
        if item.is_floating_point():
            check_array(f"inputs[{number}]", item)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=weight_decay)
    draws = Stream(seed)  # dropout: the same draws, whatever runs besides
    order = torch.Generator().manual_seed(seed)
    history = History()
    steps = epochs * math.ceil(len(labels) / batch_size)
    step = 0
    for epoch in range(epochs):
        model.train()
        for rows in torch.randperm(len(labels), generator=order).split(batch_size):
            with draws:
                logits = model(*(item[rows] for item in inputs))
            if step == 0:
                check_labels("labels", labels, logits.shape[-1])
            loss = torch.nn.functional.cross_entropy(logits, labels[rows])
            check_trains(loss)
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

    if len(inputs[0]) == 0:
        raise ValueError("inputs have no row; give at least one")
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
