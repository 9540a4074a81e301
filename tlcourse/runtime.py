"""What a run has to itself: random numbers, order of rows, device, rates, and what stops it."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tlcourse.arguments import check_count, check_number, shown

if TYPE_CHECKING:
    import torch

Progress = Callable[[float], None]
"""Called with the share of the work done, 0 … 1; it may raise `Cancelled`."""


class Cancelled(Exception):
    """Raised by a progress callback to stop a run that nobody waits for any more."""


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


def check_settings(learning_rate: float, **counts: int | None) -> None:
    """Refuse a learning rate of 0 or less, and counts (steps, batch sizes) below 1."""
    check_number("learning_rate", learning_rate, above=0)
    for name, value in counts.items():
        if value is not None:
            check_count(name, value)


def choose_device(device: str | torch.device = "auto") -> torch.device:
    """Where to train: ``"auto"`` takes CUDA or Apple's MPS where there is one, else the CPU.

    Raises
    ------
    ValueError
        If torch knows no such device.
    """
    import torch

    if device == "auto":
        mps = "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device("cuda" if torch.cuda.is_available() else mps)
    try:
        return torch.device(device)
    except (RuntimeError, TypeError):
        raise ValueError(
            f"device must be 'auto' or a device of torch, such as 'cpu' or 'cuda', "
            f"got {shown(device)}"
        ) from None


def device_of(model: torch.nn.Module) -> torch.device:
    """Where a model lies."""
    import torch

    return next((weight.device for weight in model.parameters()), torch.device("cpu"))


def batches(n: int, size: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """Row numbers of one batch after the other, for ever; every row once an epoch."""
    import torch

    while True:
        yield from torch.randperm(n, generator=generator).split(size)


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
