"""Train and judge models: one loop, one history, one way to stop it."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from tlcourse.arguments import check_array, check_count, check_labels, check_number, check_share

if TYPE_CHECKING:
    import torch

Progress = Callable[[float], None]
"""Called with the share of the work done, 0 … 1; it may raise `Cancelled`."""


class Cancelled(Exception):
    """Raised by a progress callback to stop a run that nobody waits for any more."""


@dataclass
class EpochHistory:
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
    device : torch.device or str
        Whose generator is meant, beside the CPU's.

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

    def __init__(self, seed: int, device: torch.device | str = "cpu") -> None:
        import torch

        self._sides: list[Any] = [torch]
        self._states = [torch.Generator().manual_seed(seed).get_state()]
        if torch.device(device).type != "cpu":  # dropout draws where the model lies
            self._sides.append(torch.get_device_module(device))
            self._states.append(torch.Generator(device).manual_seed(seed).get_state())
        self._outside: list[list[torch.Tensor]] = []

    def __enter__(self) -> None:
        _TURN.acquire()
        self._outside.append([side.get_rng_state() for side in self._sides])
        for side, state in zip(self._sides, self._states, strict=True):
            side.set_rng_state(state)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._states = [side.get_rng_state() for side in self._sides]
        for side, state in zip(self._sides, self._outside.pop(), strict=True):
            side.set_rng_state(state)
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


@dataclass
class History:
    """What a training run went through.

    Attributes
    ----------
    loss : list of float
        What was minimised, at each step.
    parts : dict of str to list of float
        The loss's named parts at each step, NaN where a step had none of that name.
    checks : list of dict
        What ``on_check`` returned, each with its ``step``.
    """

    loss: list[float] = field(default_factory=list)
    parts: dict[str, list[float]] = field(default_factory=dict)
    checks: list[dict[str, float]] = field(default_factory=list)

    def add(self, loss: float, parts: Mapping[str, float]) -> None:
        """Keep a step's loss and its parts."""
        for name in parts:
            self.parts.setdefault(name, [math.nan] * len(self.loss))
        for name, values in self.parts.items():
            values.append(parts.get(name, math.nan))
        self.loss.append(loss)


Loss = Callable[[int], "torch.Tensor | tuple[torch.Tensor, Mapping[str, float]]"]


def train(
    loss_of: Loss,
    optimizer: torch.optim.Optimizer,
    *,
    steps: int,
    seed: int = 0,
    first: int = 0,
    rate: Callable[[int], float] | None = None,
    clip: Sequence[Iterable[torch.Tensor]] | None = None,
    backward: Callable[[torch.Tensor], None] | None = None,
    after_step: Callable[[int], None] | None = None,
    check_at: Collection[int] = (),
    on_check: Callable[[], dict[str, float]] | None = None,
    progress: Progress | None = None,
    history: History | None = None,
    device: torch.device | str = "cpu",
) -> History:
    """The loop that runs all training of the course.

    Parameters
    ----------
    loss_of : callable
        Takes the step, 0, 1 …, and gives the loss to minimise, alone or with a mapping of its
        parts' values. It sets the model to training mode and draws the step's batch itself,
        from a generator of its own; what draws from torch's global generator, as dropout does,
        draws from this run's `Stream`.
    optimizer : torch.optim.Optimizer
        Over parameter groups, each with its rate.
    steps : int
        Updates in all.
    seed : int
        For dropout.
    first : int
        Where to go on, for a run that was stopped.
    rate : callable, optional
        The factor of all groups' rates at a step, such as `linear_schedule` gives.
    clip : sequence of iterables of torch.Tensor, optional
        Parameters whose gradients together are clipped at norm 1; ``()`` for none, all that the
        optimizer has if left out.
    backward : callable, optional
        In the place of ``loss.backward()``.
    after_step : callable, optional
        Called with the number of steps done.
    check_at, on_check
        Steps after which ``on_check`` is called and its result kept; 0 is before the first.
    progress : callable, optional
        See `Progress`.
    history : History, optional
        To go on with.
    device : torch.device or str
        Where the model lies: dropout draws from that device's generator.

    Returns
    -------
    History

    Raises
    ------
    ValueError
        If nothing trains, or the loss is no number.
    """
    import torch

    check_count("steps", steps, 0)
    history = History() if history is None else history
    stream = Stream(seed, device)
    base = [group["lr"] for group in optimizer.param_groups]
    if clip is None:
        clip = [[value for group in optimizer.param_groups for value in group["params"]]]
    clipped = [list(group) for group in clip]

    def check(step: int) -> None:
        if on_check is not None and step in check_at:
            history.checks.append({"step": step, **on_check()})

    if first == 0:
        check(0)
    for step in range(first, steps):
        if rate is not None:
            for group, value in zip(optimizer.param_groups, base, strict=True):
                group["lr"] = value * rate(step)
        with stream:
            found = loss_of(step)
            loss, parts = found if isinstance(found, tuple) else (found, {})
            check_trains(loss)
            value = loss.item()
            check_finite(value, step)
            optimizer.zero_grad()
            (torch.Tensor.backward if backward is None else backward)(loss)
        for together in clipped:
            torch.nn.utils.clip_grad_norm_(together, 1.0)
        optimizer.step()
        history.add(value, parts)
        check(step + 1)
        if after_step is not None:
            after_step(step + 1)
        if progress is not None:
            progress((step + 1) / steps)
    return history


def linear_schedule(steps: int, warmup: int) -> Callable[[int], float]:
    """The factor of the rate that rises in a line over ``warmup`` steps and falls in a line to 0.

    Examples
    --------
    >>> [linear_schedule(4, 2)(step) for step in range(4)]
    [0.0, 0.5, 1.0, 0.5]
    """

    def factor(step: int) -> float:
        if step < warmup:
            return step / max(1, warmup)
        return max(0.0, (steps - step) / max(1, steps - warmup))

    return factor


def choose_device(device: str | torch.device = "auto") -> torch.device:
    """Where to train: ``"auto"`` takes CUDA or Apple's MPS where there is one, else the CPU."""
    import torch

    if device != "auto":
        return torch.device(device)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def device_of(model: torch.nn.Module) -> torch.device:
    """Where a model lies."""
    import torch

    return next((weight.device for weight in model.parameters()), torch.device("cpu"))


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
) -> EpochHistory:
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
    EpochHistory

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
    history = EpochHistory()
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
    model: torch.nn.Module,
    inputs: Sequence[torch.Tensor] | Mapping[str, torch.Tensor],
    batch_size: int = 256,
    **options: Any,
) -> np.ndarray:
    """Class probabilities, shape (n, classes), with dropout off, computed where the model lies.

    Parameters
    ----------
    model : torch.nn.Module
        Gives logits; of inputs by name, an output that holds ``logits``.
    inputs : sequence or mapping of torch.Tensor
        Each with n rows: what the model is called with, by place; or, for a model of
        transformers, by name, ``attention_mask`` among them: texts of like length are run
        together, without the padding that none of them needs.
    batch_size : int
    **options
        Given to the model as they are.
    """
    import torch

    from tlcourse.inputs import check_inputs

    check_count("batch_size", batch_size)
    named = inputs if isinstance(inputs, Mapping) else {}
    several = [*named.values()] if named else [*inputs]
    n = len(several[0]) if several else 0
    if n == 0:
        raise ValueError("inputs have no row; give at least one")
    device = device_of(model)
    if named:
        check_inputs(model, named)
    lengths = named["attention_mask"].sum(1).cpu() if named else torch.zeros(n)
    order = lengths.argsort(stable=True)

    def logits_of(rows: torch.Tensor) -> torch.Tensor:
        parts = [item[rows.to(item.device)].to(device) for item in several]
        if not named:
            return model(*parts, **options)
        longest = int(lengths[rows].max())
        batch = {name: part[:, :longest] for name, part in zip(named, parts, strict=True)}
        return model(**batch, **options).logits

    model.eval()
    with torch.no_grad():
        found = [logits_of(rows).softmax(-1).cpu() for rows in order.split(batch_size)]
    return torch.cat(found)[order.argsort()].numpy()
