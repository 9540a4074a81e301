"""Lesson 4's sweeps: task weights, λ and temperature; ways to balance; tasks alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from experiments.engine import Sweep
from tlcourse.finetuning.tasks import Encoded
from tlcourse.multitask.tasks import SUITE, Suite, build_multitask, load_suite
from tlcourse.multitask.training import evaluate_tasks, train_tasks
from tlcourse.recorded import select
from tlcourse.training import Progress

STEPS = 200
CHECKS = 5
RATE = 3e-3
SETS = ("chinese + movies", "chinese + movies + plots", "news + movies")
WEIGHED = SETS[:2]
"""For weights, λ and temperature: the first task has few labels, the others many."""

FEW, MANY = 100, 1000
WEIGHTS = (0.1, 0.3, 0.5, 0.7, 0.9)
LAMBDAS = (0.0, 0.1, 0.5)
TEMPERATURES = (1, 3, 100)
EVERYTHING = " + ".join(SUITE)
BALANCED = ("movies + news", "chinese + movies", EVERYTHING)
GROUP_LABELS = 200


def members(tasks: str) -> list[str]:
    """The tasks of a set such as ``"movies + news"``."""
    return tasks.split(" + ")


def probes(suite: Suite, names: list[str], n: int = 300) -> dict[str, Encoded]:
    """The same n validation texts of each task for every run."""
    found = {}
    for name, split in splits(suite, names, "validation").items():
        order = torch.Generator().manual_seed(0)
        found[name] = split.take(torch.randperm(len(split), generator=order)[:n])
    return found


def numbers(values: list[float]) -> str:
    """A curve as it is recorded."""
    return " ".join(f"{value:.4f}" for value in values)


def checkpoints(checks: int, steps: int = STEPS) -> list[int]:
    """The steps of a recorded curve's points."""
    return [steps * point // checks for point in range(checks + 1)]


def together(
    sizes: Mapping[str, int],
    seed: int,
    *,
    lam: float = 0.0,
    progress: Progress | None = None,
    **options: Any,
) -> dict[str, float | str]:
    """Train tasks on one trunk and judge each.

    Parameters
    ----------
    sizes : mapping of str to int
        Labelled texts of each task, by the names in `tlcourse.multitask.SUITE`.
    seed : int
        Draws the texts, their order, the trunk, the heads and dropout.
    **options
        Of `tlcourse.multitask.train_tasks`.

    Returns
    -------
    dict
        ``accuracy_<task>`` and ``macro_f1_<task>`` on test texts, ``validation_<task>``
        (accuracy on validation texts), and the ``weights`` at the end.
    """
    suite, names = load_suite(), list(sizes)
    model = build_multitask(suite, names, seed)
    history = train_tasks(
        model, suite.sample(sizes, seed), steps=STEPS, learning_rate=RATE, lam=lam, seed=seed,
        source=suite.source(names) if lam else None, source_batch_size=8, progress=progress,
        device="cpu", **options,
    )  # fmt: skip
    found: dict[str, float | str] = {**evaluate_tasks(model, splits(suite, names, "test"))}
    validation = evaluate_tasks(model, splits(suite, names, "validation"))
    for name in names:
        found[f"validation_{name}"] = validation[f"accuracy_{name}"]
    found["weights"] = numbers(list(history.weights.values()))
    return found


def splits(suite: Suite, names: list[str], split: str) -> dict[str, Encoded]:
    """One split of each named task."""
    return {name: suite.tasks[name].splits[split] for name in names}


def weights_and_lambda(
    tasks: str,
    weight: float,
    lam: float,
    temperature: float,
    seed: int,
    progress: Progress | None = None,
) -> dict[str, float | str]:
    """A task with few labels beside others with many, on one trunk.

    Parameters
    ----------
    tasks : str
        One of `WEIGHED`; the first has `FEW` labels, each other `MANY`.
    weight : float
        Share of the first task's weight w_t; the others divide the rest.
    lam, temperature
        λ, and τ of p_t ∝ n_t^{1/τ}.
    """
    first, *others = members(tasks)
    found = together(
        {first: FEW, **dict.fromkeys(others, MANY)}, seed, lam=lam, temperature=temperature,
        weights={first: weight, **dict.fromkeys(others, (1 - weight) / len(others))},
        progress=progress,
    )  # fmt: skip
    kept: dict[str, float | str] = {}
    for place in range(3):  # a pair has no third task
        for metric in ("accuracy", "macro_f1"):
            name = dict(enumerate([first, *others])).get(place)
            kept[f"{metric}_{place}"] = found.get(f"{metric}_{name}", math.nan)
    return kept


def single_task(task: str, n: int, seed: int) -> dict[str, float | str]:
    """A task alone, at the steps of the other sweeps."""
    found = together({task: n}, seed)
    return {name: found[f"{name}_{task}"] for name in ("accuracy", "macro_f1")}


def over_all_tasks(found: Mapping[str, float | str]) -> dict[str, float | str]:
    """Accuracies under every task's name, NaN for tasks that were not trained."""
    metrics = ("accuracy", "validation")
    names = [f"{metric}_{task}" for metric in metrics for task in SUITE]
    return {name: found.get(name, math.nan) for name in names}


def schemes(tasks: str) -> list[str]:
    """Ways to balance a set: equal weights, one task's × 4 or ÷ 4, and two methods.

    Of a pair only the first task's weight is changed: the second's × 4 is the first's ÷ 4.
    """
    names = members(tasks)
    changed = names[:1] if len(names) == 2 else names
    weighted = [f"{task} {change}" for task in changed for change in ("× 4", "÷ 4")]
    return ["equal", "uncertainty", "PCGrad", *weighted]


def balance(
    tasks: str, scheme: str, seed: int, progress: Progress | None = None
) -> dict[str, float | str]:
    """One of `schemes` on tasks with `GROUP_LABELS` labels each, at equal steps."""
    if scheme not in schemes(tasks):
        raise ValueError(f"scheme must be one of {schemes(tasks)}, got {scheme!r}")
    names = members(tasks)
    options: dict[str, Any] = {"method": "weights"}
    if scheme in ("uncertainty", "PCGrad"):
        options["method"] = scheme
    elif scheme != "equal":
        task, change, _ = scheme.split()
        options["weights"] = {**dict.fromkeys(names, 1.0), task: 4.0 if change == "×" else 0.25}
    sizes = dict.fromkeys(names, GROUP_LABELS)
    found = together(sizes, seed, progress=progress, **options)
    return {**over_all_tasks(found), "learned_weights": found["weights"]}


def balance_scores(tasks: str, metric: str = "accuracy") -> dict[str, np.ndarray]:
    """Recorded mean over a set's tasks for each of `schemes`, seed by seed: shape (seeds,).

    Parameters
    ----------
    tasks : str
        One of `BALANCED`.
    metric : {"accuracy", "validation"}
        On test texts, or on validation texts.
    """
    table = select("task_balancing", tasks=tasks).sort_values("seed")
    mean = table[[f"{metric}_{name}" for name in members(tasks)]].mean(axis=1)
    return {scheme: mean[table["scheme"] == scheme].to_numpy() for scheme in schemes(tasks)}


SWEEPS = (
    Sweep(
        "task_balancing",
        "Equal and other fixed weights, uncertainty weighting and PCGrad, 200 labels each",
        balance,
        {
            "tasks": BALANCED,
            "scheme": tuple(dict.fromkeys(s for t in BALANCED for s in schemes(t))),
        },
        keep=lambda row: row["scheme"] in schemes(row["tasks"]),
    ),
    Sweep(
        "single_tasks",
        "Each of the five tasks alone, at the labels of the other sweeps",
        single_task,
        {"task": tuple(SUITE), "n": (FEW, MANY)},
    ),
    Sweep(
        "weights_and_lambda",
        "A task with 100 labels beside others with 1,000: weights, λ and sampling temperature",
        weights_and_lambda,
        {"tasks": WEIGHED, "weight": WEIGHTS, "lam": LAMBDAS, "temperature": TEMPERATURES},
    ),
)
