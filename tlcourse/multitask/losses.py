"""Lesson 4: how much each task counts: L_mt, weights, and sampling by temperature.

``L_mt = −1/ΣN_t Σ_t Σ_n Σ_c Y log Ŷ``: every example of every task counts once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from tlcourse.arguments import (
    check_count,
    check_kind,
    check_kinds,
    check_labels,
    check_number,
    check_texts,
    shown,
)


def relative_weights(tasks: Iterable[str], weights: Mapping[str, float] | None) -> dict[str, float]:
    """Weights of tasks divided by their mean, so that only their ratios matter.

    Raises
    ------
    ValueError
        If a task has no weight, a weight has no task, a weight is negative, or all are zero.

    Examples
    --------
    >>> relative_weights(["a", "b"], {"a": 3, "b": 1})
    {'a': 1.5, 'b': 0.5}
    """
    tasks = check_texts("tasks", tasks)
    given = dict.fromkeys(tasks, 1.0) if weights is None else weights
    if not isinstance(given, Mapping):
        raise TypeError(f"weights must map each task to a number, got {shown(given)}")
    if missing := [task for task in tasks if task not in given]:
        raise ValueError(f"weights need {missing} of tasks too; there are those of {list(given)}")
    if unknown := [task for task in given if task not in tasks]:
        raise ValueError(f"weights for {unknown}, but there are {tasks}: is a name mistyped?")
    values = np.array([check_number(f"weights[{task!r}]", given[task], low=0) for task in tasks])
    if not values.any():
        raise ValueError(f"weights must be at least 0 and not all 0, got {values.tolist()}")
    return dict(zip(tasks, (values / values.mean()).tolist(), strict=True))


def multitask_loss(
    logits: Mapping[str, torch.Tensor],
    labels: Mapping[str, torch.Tensor],
    weights: Mapping[str, float] | None = None,
) -> torch.Tensor:
    """L_mt of a batch that mixes tasks, in nats.

    Parameters
    ----------
    logits : mapping of str to torch.Tensor
        Each task's logits, shape (N_t, classes of the task).
    labels : mapping of str to torch.Tensor
        int64, shape (N_t,).
    weights : mapping of str to float, optional
        w_t, divided by their mean; left out, each is 1 and this is the formula as written.

    Returns
    -------
    torch.Tensor
        ``1/ΣN_t Σ_t w_t Σ_n −log Ŷ_n[label]``, a scalar. With as many examples of each task
        it is the weighted mean of the tasks' mean losses.

    Raises
    ------
    ValueError
        If logits and labels have not the same tasks, or there is no example at all.
    """
    check_kinds(logits=(logits, Mapping), labels=(labels, Mapping))
    for task in labels:
        check_kind(f"labels[{task!r}]", labels[task], torch.Tensor)
    if set(logits) != set(labels) or not sum(map(len, labels.values())):
        raise ValueError(
            f"logits and labels need the same tasks and at least one example; got {list(logits)} "
            f"and {list(labels)}"
        )
    present = [task for task in logits if len(labels[task])]
    means = {task: mean_loss(logits[task], labels[task]) for task in present}
    parts = loss_parts(means, labels, relative_weights(logits, weights))
    return torch.stack(list(parts.values())).sum()


def mean_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Summed up as `tlcourse.finetuning.class_loss` does, to the last bit."""
    check_kinds(logits=(logits, torch.Tensor), labels=(labels, torch.Tensor))
    if logits.ndim != 2 or not len(labels):
        shapes = f"{tuple(logits.shape)} and {tuple(labels.shape)}"
        raise ValueError(f"logits must be (n, classes), labels (n,), at least one; got {shapes}")
    check_labels("labels", labels, logits.shape[1], len(logits))
    return cross_entropy(logits, labels, reduction="none").mean()


def loss_parts(
    means: Mapping[str, torch.Tensor],
    labels: Mapping[str, torch.Tensor],
    weights: Mapping[str, float],
) -> dict[str, torch.Tensor]:
    """Each task's part of L_mt, from its mean loss; their sum is L_mt."""
    check_kinds(means=(means, Mapping), labels=(labels, Mapping), weights=(weights, Mapping))
    total = sum(len(item) for item in labels.values())
    if not means or not total:
        raise ValueError(
            f"means and labels need a task with examples; got {list(means)} and {list(labels)}"
        )
    for name, given in (("labels", labels), ("weights", weights)):
        if missing := [task for task in means if task not in given]:
            raise ValueError(f"{name} need {missing} too; there are {list(given)}")
    return {task: weights[task] * len(labels[task]) / total * means[task] for task in means}


def sampling_probabilities(sizes: Mapping[str, int], temperature: float) -> dict[str, float]:
    """``p_t ∝ n_t^{1/τ}``: τ = 1 in proportion to the tasks' sizes, τ = ∞ all alike.

    Reference
    ---------
    Arivazhagan et al. (2019), Massively multilingual neural machine translation in the wild.

    Examples
    --------
    >>> {task: round(p, 2) for task, p in sampling_probabilities({"a": 900, "b": 100}, 2).items()}
    {'a': 0.75, 'b': 0.25}
    """
    if not (isinstance(temperature, float) and temperature == math.inf):
        check_number("temperature", temperature, above=0)
    if not isinstance(sizes, Mapping) or not sizes:
        raise ValueError(f"sizes must map at least one task to its examples, got {shown(sizes)}")
    for task, n in sizes.items():
        check_count(f"sizes[{task!r}]", n)
    logs = np.log(list(sizes.values())) / temperature
    shares = np.exp(logs - logs.max())
    return dict(zip(sizes, (shares / shares.sum()).tolist(), strict=True))
