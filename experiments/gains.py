"""Lesson 4's sweeps: what a task gains from a helper, and every group of tasks."""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import Any

import numpy as np

from experiments.engine import Settings, Sweep
from experiments.multitask import (
    CHECKS,
    GROUP_LABELS,
    RATE,
    STEPS,
    checkpoints,
    members,
    numbers,
    over_all_tasks,
    probes,
    splits,
    together,
)
from tlcourse.multitask.tasks import SUITE, build_multitask, load_suite
from tlcourse.multitask.training import evaluate_tasks, train_tasks
from tlcourse.recorded import load, select
from tlcourse.training import Progress

TARGET_LABELS = (50, 500)
HELPER_LABELS = 1000
ARMS = ("alone", "at once", "in sequence")
ALL_GROUPS = tuple(
    " + ".join(group) for size in range(1, 6) for group in itertools.combinations(SUITE, size)
)


def helper_gain(
    target: str,
    helper: str,
    arm: str,
    n: int,
    seed: int,
    helper_labels: int = HELPER_LABELS,
    steps: int = STEPS,
    progress: Progress | None = None,
) -> dict[str, float | str]:
    """A target task with few labels: alone, with a helper at once, or after it in sequence.

    The target sees the same texts in the same order for as many steps in all three. In
    sequence the trunk, trained on the helper for as many steps, is kept.

    Returns
    -------
    dict
        ``accuracy`` and ``macro_f1`` on test texts after the last step, ``stopped``, the test
        accuracy at the check that was best on validation texts, and ``curve``.
    """
    if arm not in ARMS:
        raise ValueError(f"arm must be one of {ARMS}, got {arm!r}")
    if (helper == "none") != (arm == "alone"):
        raise ValueError(f"only arm 'alone' has helper 'none'; got {arm!r} with {helper!r}")
    suite = load_suite()
    sizes = {target: n} if arm == "alone" else {target: n, helper: helper_labels}
    model, texts = build_multitask(suite, list(sizes), seed), suite.sample(sizes, seed)
    share = 0.5 if arm == "in sequence" else 1.0
    options: dict[str, Any] = {"steps": steps, "learning_rate": RATE, "seed": seed, "device": "cpu"}
    if arm == "in sequence":
        train_tasks(
            model, {helper: texts.pop(helper)}, **options,
            progress=progress and (lambda done: progress(share * done)),
        )  # fmt: skip
    probe, test = probes(suite, [target]), splits(suite, [target], "test")
    best = {"validation": -1.0}

    def check() -> dict[str, float]:
        nonlocal best
        found = {"validation": evaluate_tasks(model, probe)[f"accuracy_{target}"]}
        if found["validation"] > best["validation"]:
            best = found | evaluate_tasks(model, test)
        return found

    history = train_tasks(
        model, texts, **options, check_at=checkpoints(CHECKS, steps), on_check=check,
        progress=progress and (lambda done: progress(1 - share + share * done)),
    )  # fmt: skip
    last = evaluate_tasks(model, test)
    return {
        "accuracy": last[f"accuracy_{target}"],
        "macro_f1": last[f"macro_f1_{target}"],
        "stopped": best[f"accuracy_{target}"],
        "curve": numbers([point["validation"] for point in history.checks]),
    }


def alone_longer(target: str, n: int, seed: int) -> dict[str, float | str]:
    """The target alone for twice the steps: as much work as with a helper."""
    return helper_gain(target, "none", "alone", n, seed, steps=2 * STEPS)


def task_group(tasks: str, seed: int, n: int = GROUP_LABELS) -> dict[str, float | str]:
    """Tasks with as many labels each on one trunk; NaN for tasks that are not among them."""
    return over_all_tasks(together(dict.fromkeys(members(tasks), n), seed))


@lru_cache(maxsize=8)
def gain_matrix(arm: str, n: int, metric: str = "accuracy") -> np.ndarray:
    """Recorded gains of every target (row) from every helper (column), seed by seed.

    Returns
    -------
    numpy.ndarray
        Shape (5, 5, seeds); NaN on the diagonal. A gain is the difference to the target
        alone with the same seed: the same labelled texts and steps.
    """
    alone = select("helper_gains", arm="alone", n=n)
    helped = select("helper_gains", arm=arm, n=n)
    seeds = sorted(alone["seed"].unique())
    gains = np.full((len(SUITE), len(SUITE), len(seeds)), np.nan)
    for row, target in enumerate(SUITE):
        base = alone[alone["target"] == target].set_index("seed")[metric]
        for column, helper in enumerate(SUITE):
            here = helped[(helped["target"] == target) & (helped["helper"] == helper)]
            if len(here):
                gains[row, column] = (here.set_index("seed")[metric] - base).loc[seeds]
    return gains


def group_scores(
    metric: str = "accuracy", seed: int | None = None
) -> dict[tuple[str, ...], dict[str, float]]:
    """Score of each task in each recorded group.

    Parameters
    ----------
    metric : {"accuracy", "validation"}
        On test texts, or on validation texts.
    seed : int, optional
        Of the runs with this seed; left out, the mean over seeds.
    """
    table = load("task_groups") if seed is None else select("task_groups", seed=seed)
    means = table.groupby("tasks", sort=False).mean(numeric_only=True)
    return {
        tuple(members(tasks)): {name: float(row[f"{metric}_{name}"]) for name in members(tasks)}
        for tasks, row in means.iterrows()
    }


def _worth_running(row: Settings) -> bool:
    """A helper other than the target; in sequence only with few labels."""
    if row["helper"] == row["target"] or (row["helper"] == "none") != (row["arm"] == "alone"):
        return False
    return row["arm"] != "in sequence" or row["n"] == TARGET_LABELS[0]


SWEEPS = (
    Sweep(
        "helper_gains",
        "Five tasks: a target with few labels alone, with a helper at once, or after it",
        helper_gain,
        {
            "target": tuple(SUITE),
            "helper": ("none", *SUITE),
            "arm": ARMS,
            "n": TARGET_LABELS,
        },
        seeds=tuple(range(8)),
        keep=_worth_running,
    ),
    Sweep(
        "alone_longer",
        "Five tasks alone with few labels, for twice the steps",
        alone_longer,
        {"target": tuple(SUITE), "n": TARGET_LABELS},
        seeds=tuple(range(8)),
    ),
    Sweep(
        "task_groups",
        "Every group of the five tasks on one trunk, 200 labels each",
        task_group,
        {"tasks": ALL_GROUPS},
    ),
)
