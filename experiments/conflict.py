"""Lesson 4's sweeps: gradients that conflict, and trunks that are tied, not shared."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np
import torch

from experiments.engine import Sweep
from experiments.gains import HELPER_LABELS, TARGET_LABELS
from experiments.multitask import (
    EVERYTHING,
    GROUP_LABELS,
    RATE,
    SETS,
    STEPS,
    checkpoints,
    members,
    numbers,
    splits,
)
from tlcourse.multitask.gradients import gradient_cosines, probe_gradients
from tlcourse.multitask.soft_sharing import train_tied
from tlcourse.multitask.tasks import build_multitask, load_suite
from tlcourse.multitask.training import evaluate_tasks, train_tasks
from tlcourse.recorded import curves
from tlcourse.training import Progress

COSINE_CHECKS = 10
STRENGTHS = (0.0, 0.001, 0.01, 0.1, 1.0)


def conflict(
    tasks: str, method: str, seed: int, progress: Progress | None = None
) -> dict[str, float | str]:
    """Gradient cosines between tasks on the shared trunk during training.

    Returns
    -------
    dict
        ``curve_cosines``: at each of `COSINE_CHECKS` + 1 points the `task_pairs`' cosines, on 64
        train texts of each task; ``mean_accuracy`` over the tasks, on test texts.
    """
    suite, names = load_suite(), members(tasks)
    model = build_multitask(suite, names, seed)
    texts = suite.sample(dict.fromkeys(names, GROUP_LABELS), seed)
    probe = {name: part.take(torch.arange(64)) for name, part in texts.items()}
    above = torch.triu_indices(len(names), len(names), 1)
    cosines: list[float] = []

    def check() -> dict[str, float]:
        cosines.extend(gradient_cosines(probe_gradients(model, probe))[*above].tolist())
        return {}

    train_tasks(
        model, texts, steps=STEPS, learning_rate=RATE, method=method, seed=seed,
        check_at=checkpoints(COSINE_CHECKS), on_check=check, progress=progress,
        device="cpu",
    )  # fmt: skip
    found = evaluate_tasks(model, splits(suite, names, "test"))
    mean = sum(found[f"accuracy_{name}"] for name in names) / len(names)
    return {"curve_cosines": numbers(cosines), "mean_accuracy": mean}


def task_pairs(tasks: str) -> list[tuple[str, ...]]:
    """The pairs of a set's tasks, in the order of `cosine_curves`."""
    return list(itertools.combinations(members(tasks), 2))


def cosine_curves(strings: Iterable[str], tasks: str) -> np.ndarray:
    """Recorded cosines of a set's pairs as an array (runs, points, pairs)."""
    flat = curves(strings)
    return flat.reshape(len(flat), COSINE_CHECKS + 1, len(task_pairs(tasks)))


def soft_sharing(strength: float, n: int, seed: int) -> dict[str, float]:
    """Chinese reviews with n labels and movie reviews with many, on two tied trunks."""
    suite = load_suite()
    texts = suite.sample({"chinese": n, "movies": HELPER_LABELS}, seed)
    models = {name: build_multitask(suite, [name], seed) for name in texts}
    history = train_tied(
        models, texts, strength=strength, steps=STEPS, learning_rate=RATE, seed=seed, device="cpu"
    )
    judged = [evaluate_tasks(models[name], splits(suite, [name], "test")) for name in models]
    scores = judged[0] | judged[1]
    return {
        "accuracy": scores["accuracy_chinese"],
        "accuracy_movies": scores["accuracy_movies"],
        "distance": history.checks[-1]["distance"],
    }


SWEEPS = (
    Sweep(
        "gradient_conflict",
        "Cosines of the tasks' gradients on the trunk during training, with and without PCGrad",
        conflict,
        {"tasks": (*SETS, EVERYTHING), "method": ("weights", "PCGrad")},
    ),
    Sweep(
        "soft_sharing",
        "Chinese and movie reviews on two trunks tied by a penalty, by its strength",
        soft_sharing,
        {"strength": STRENGTHS, "n": TARGET_LABELS[:1]},
        seeds=tuple(range(8)),
    ),
)
