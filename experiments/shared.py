"""What the sweeps of several lessons share: how a BERT is tuned, how results are recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache

import numpy as np
import torch

from tlcourse import bert
from tlcourse.bert.layers import above
from tlcourse.data.datasets import TextDataset
from tlcourse.finetuning.layers import freeze
from tlcourse.inputs import Inputs
from tlcourse.scores import scores


@lru_cache(maxsize=6)
def split_from(load: Callable[[], TextDataset], split: str) -> TextDataset:
    """One split of a data set of the course."""
    return load().subset(split)


def curve(values: Iterable[float], form: str = ".4f") -> str:
    """A curve as it is recorded: its numbers in a string."""
    return " ".join(format(value, form) for value in values)


def points(checks: int, steps: int) -> list[int]:
    """The steps of a recorded curve's points, the first before any training."""
    return [steps * point // checks for point in range(checks + 1)]


def on_split(split: str, found: dict[str, float]) -> dict[str, float]:
    """Scores with the split's name before theirs, unless it is the test split."""
    return {name if split == "test" else f"{split}_{name}": value for name, value in found.items()}


def judged(split: str, labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Accuracy and macro-F1 of the likeliest classes, named by `on_split`."""
    return on_split(split, scores(labels, probabilities.argmax(1)))


def steps_for(labels: int) -> int:
    """How long a BERT is tuned: 50 steps of 16 texts, or two epochs if that is more."""
    return max(50, 2 * labels // 16)


def tuned(
    model: bert.Model,
    inputs: Inputs,
    labels: np.ndarray | torch.Tensor,
    frozen: int,
    learning_rate: float,
    seed: int,
    steps: int | None = None,
) -> bert.Model:
    """A BERT fine-tuned in place; its lowest layers, frozen, run once over all texts."""
    freeze(model, frozen)
    bert.fine_tune(
        *above(model, inputs, frozen), torch.as_tensor(labels),
        steps=steps or steps_for(len(labels)), learning_rate=learning_rate, seed=seed,
        device="cpu",
    )  # fmt: skip
    return model
