"""Train and judge models: one loop, one history, one way to stop it."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tlcourse.arguments import check_array, check_count, check_labels, check_number
from tlcourse.runtime import Cancelled as Cancelled
from tlcourse.runtime import Progress as Progress
from tlcourse.runtime import Stream as Stream
from tlcourse.runtime import batches as batches
from tlcourse.runtime import check_finite as check_finite
from tlcourse.runtime import check_settings as check_settings
from tlcourse.runtime import check_trains as check_trains
from tlcourse.runtime import choose_device as choose_device
from tlcourse.runtime import device_of as device_of
from tlcourse.runtime import linear_schedule as linear_schedule

if TYPE_CHECKING:
    import torch


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
    weights : dict of str to float
        The tasks' weights at the end, where there are several tasks; their mean is 1.
    """

    loss: list[float] = field(default_factory=list)
    parts: dict[str, list[float]] = field(default_factory=dict)
    checks: list[dict[str, float]] = field(default_factory=list)
    weights: dict[str, float] = field(default_factory=dict)

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


def train_classifier(
    model: torch.nn.Module,
    inputs: Sequence[torch.Tensor],
    labels: torch.Tensor,
    *,
    epochs: int,
    learning_rate: float,
    batch_size: int = 32,
    weight_decay: float = 0.0,
    seed: int = 0,
    on_epoch: Callable[[], dict[str, float]] | None = None,
    progress: Progress | None = None,
    device: torch.device | str = "auto",
) -> History:
    """Train a classifier with AdamW and cross-entropy, in place.

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
        Called after each epoch; what it returns is kept in ``checks``.
    progress : callable, optional
        See `Progress`.
    device : torch.device or str
        See `choose_device`; the model stays there.

    Returns
    -------
    History

    Raises
    ------
    ValueError
        If inputs, labels and model do not fit each other, or as `train` has it.
    """
    import torch

    check_settings(learning_rate, epochs=epochs, batch_size=batch_size)
    check_number("weight_decay", weight_decay, low=0)
    wanted = torch.as_tensor(check_labels("labels", labels))
    if len(wanted) == 0 or any(len(item) != len(wanted) for item in inputs):
        raise ValueError(
            f"inputs and labels need the same number of rows, at least one; got "
            f"{[len(item) for item in inputs]} and {len(wanted)}"
        )
    for number, item in enumerate(inputs):
        if item.is_floating_point():
            check_array(f"inputs[{number}]", item)
    device = choose_device(device)
    model.to(device)
    inputs, wanted = [item.to(device) for item in inputs], wanted.to(device)
    draw = batches(len(wanted), batch_size, torch.Generator().manual_seed(seed))
    epoch = math.ceil(len(wanted) / batch_size)

    def loss_of(step: int) -> torch.Tensor:
        model.train()
        rows = next(draw).to(device)
        logits = model(*(item[rows] for item in inputs))
        if step == 0:
            check_labels("labels", wanted, logits.shape[-1])
        return torch.nn.functional.cross_entropy(logits, wanted[rows])

    return train(
        loss_of,
        torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=weight_decay),
        steps=epochs * epoch,
        seed=seed,
        clip=(),
        check_at=range(epoch, epochs * epoch + 1, epoch),
        on_check=on_epoch,
        progress=progress,
        device=device,
    )


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
