"""Lesson 4's three questions to a suite of tasks, of the course or of your own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import torch

from tlcourse.arguments import shown
from tlcourse.multitask.gradients import gradient_cosines, probe_gradients
from tlcourse.multitask.tasks import Suite, build_multitask
from tlcourse.multitask.training import evaluate_tasks, train_tasks
from tlcourse.training import Progress


def _check(suite: Suite, sizes: Mapping[str, int]) -> None:
    if not isinstance(suite, Suite):
        raise TypeError(f"suite must be as load_suite or build_suite makes it, got {shown(suite)}")
    if not isinstance(sizes, Mapping) or not sizes:
        raise ValueError(f"sizes must map tasks to numbers of texts, got {shown(sizes)}")


def train_together(
    suite: Suite,
    sizes: Mapping[str, int],
    weights: Mapping[str, float] | None = None,
    temperature: float | None = None,
    lam: float = 0.0,
    method: str = "weights",
    *,
    steps: int = 200,
    learning_rate: float = 3e-3,
    seed: int = 0,
    progress: Progress | None = None,
    device: torch.device | str = "auto",
) -> dict[str, float]:
    """How good each task gets that is trained with others on one trunk.

    Parameters
    ----------
    suite : Suite
    sizes : mapping of str to int
        Labelled texts of each task.
    weights, temperature, lam, method, steps, learning_rate, progress, device
        See `train_tasks`.
    seed : int
        Draws the texts, their order, the trunk, the heads and dropout.

    Returns
    -------
    dict
        ``accuracy_<task>`` and ``macro_f1_<task>`` on test texts.
    """
    _check(suite, sizes)
    names = list(sizes)
    model = build_multitask(suite, names, seed)
    train_tasks(
        model, suite.sample(sizes, seed), steps=steps, learning_rate=learning_rate, seed=seed,
        weights=weights, temperature=temperature, method=method,
        lam=lam, source=suite.source(names) if lam else None, source_batch_size=8,
        progress=progress, device=device,
    )  # fmt: skip
    test = {name: suite.tasks[name].splits["test"] for name in names}
    return evaluate_tasks(model, test)


def train_helped(
    suite: Suite,
    sizes: Mapping[str, int],
    first: Sequence[str] = (),
    *,
    steps: int = 200,
    learning_rate: float = 3e-3,
    seed: int = 0,
    progress: Progress | None = None,
    device: torch.device | str = "auto",
) -> list[dict[str, float]]:
    """How good the first task gets, alone or with helpers, during training.

    It sees the same texts in the same order for as many steps in every case.

    Parameters
    ----------
    suite : Suite
    sizes : mapping of str to int
        Labelled texts of each task: of the target, then of its helpers, if any.
    first : sequence of str
        Helpers that are trained before, for as many steps, and not at once; the trunk is kept.
    steps, learning_rate, seed, progress, device
        See `train_together`.

    Returns
    -------
    list of dict
        Before training and after each fifth of it the ``step``, and the target's accuracy on
        ``validation`` and ``test`` texts.
    """
    _check(suite, sizes)
    model, texts = build_multitask(suite, list(sizes), seed), suite.sample(sizes, seed)
    for name in first:
        train_tasks(
            model, {name: texts.pop(name)}, steps=steps, learning_rate=learning_rate, seed=seed,
            progress=progress, device=device,
        )  # fmt: skip
    (target, *_), at = sizes, [steps * part // 5 for part in range(6)]

    def judge() -> dict[str, float]:
        parts = {split: suite.tasks[target].splits[split] for split in ("validation", "test")}
        found = {split: evaluate_tasks(model, {target: part}) for split, part in parts.items()}
        return {split: scores[f"accuracy_{target}"] for split, scores in found.items()}

    history = train_tasks(
        model, texts, steps=steps, learning_rate=learning_rate, seed=seed,
        check_at=at, on_check=judge,
        progress=progress, device=device,
    )  # fmt: skip
    return history.checks


def train_watched(
    suite: Suite,
    sizes: Mapping[str, int],
    method: str = "weights",
    *,
    steps: int = 200,
    learning_rate: float = 3e-3,
    seed: int = 0,
    progress: Progress | None = None,
    device: torch.device | str = "auto",
) -> tuple[list[dict[str, float]], dict[str, float]]:
    """How the tasks' gradients on the trunk stand to each other during training.

    Parameters
    ----------
    suite : Suite
    sizes : mapping of str to int
        Labelled texts of each task, 64 or more.
    method, steps, learning_rate, seed, progress, device
        See `train_together`.

    Returns
    -------
    cosines : list of dict
        Before training and after each tenth of it the ``step``, and the cosine of each pair's
        gradients on 64 train texts of each task, as ``"one + other"``.
    scores : dict
        As of `train_together`.
    """
    _check(suite, sizes)
    model, texts = build_multitask(suite, list(sizes), seed), suite.sample(sizes, seed)
    at = [steps * part // 10 for part in range(11)]
    probe = {name: part.take(torch.arange(64)) for name, part in texts.items()}

    def cosines() -> dict[str, float]:
        found, pairs = gradient_cosines(probe_gradients(model, probe)), combinations(sizes, 2)
        above = torch.triu_indices(len(sizes), len(sizes), 1)
        return dict(zip(map(" + ".join, pairs), found[*above].tolist(), strict=True))

    history = train_tasks(
        model, texts, steps=steps, learning_rate=learning_rate, method=method, seed=seed,
        check_at=at, on_check=cosines,
        progress=progress, device=device,
    )  # fmt: skip
    test = {name: suite.tasks[name].splits["test"] for name in sizes}
    return history.checks, evaluate_tasks(model, test)
