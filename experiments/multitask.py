"""Lesson 4's sweeps: weights and λ, ways to balance, helpers, groups, gradients, soft sharing.

A set of tasks is written with their names in `tlcourse.multitask.SUITE`: ``"movies + news"``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from experiments.shared import curve, points
from tlcourse.finetuning.tasks import Encoded
from tlcourse.multitask.soft_sharing import train_tied
from tlcourse.multitask.studies import train_watched
from tlcourse.multitask.tasks import SUITE, Suite, build_multitask, load_suite
from tlcourse.multitask.training import evaluate_tasks, train_tasks

Found = dict[str, float | str]
STEPS, RATE = 200, 3e-3
FEW, MANY = 100, 1000
GROUP_LABELS = 200


def members(tasks: str) -> list[str]:
    """The tasks of a set."""
    return tasks.split(" + ")


def _splits(suite: Suite, names: Iterable[str], split: str) -> dict[str, Encoded]:
    return {name: suite.tasks[name].splits[split] for name in names}


def together(sizes: Mapping[str, int], seed: int, *, lam: float = 0.0, **options: Any) -> Found:
    """Train tasks, each with its number of labelled texts, on one trunk, and judge each.

    Returns ``accuracy_<task>`` and ``macro_f1_<task>`` on test texts, ``validation_<task>``
    (accuracy on validation texts), and the ``weights`` at the end.
    """
    suite, names = load_suite(), list(sizes)
    model = build_multitask(suite, names, seed)
    history = train_tasks(
        model, suite.sample(sizes, seed), steps=STEPS, learning_rate=RATE, lam=lam, seed=seed,
        source=suite.source(names) if lam else None, source_batch_size=8,
        device="cpu", **options,
    )  # fmt: skip
    found: Found = {**evaluate_tasks(model, _splits(suite, names, "test"))}
    validation = evaluate_tasks(model, _splits(suite, names, "validation"))
    found |= {f"validation_{name}": validation[f"accuracy_{name}"] for name in names}
    return {**found, "weights": curve(history.weights.values())}


def _over_all_tasks(found: Found) -> Found:
    """Accuracies under every task's name, NaN for tasks that were not trained."""
    names = [f"{metric}_{task}" for metric in ("accuracy", "validation") for task in SUITE]
    return {name: found.get(name, math.nan) for name in names}


def weights_and_lambda(
    tasks: str, weight: float, lam: float, temperature: float, seed: int
) -> Found:
    """A task with few labels beside others with many, on one trunk.

    The first task has the share ``weight`` of the weights w_t, the others divide the rest;
    ``temperature`` is τ of p_t ∝ n_t^{1/τ}.
    """
    first, *others = members(tasks)
    found = together(
        {first: FEW, **dict.fromkeys(others, MANY)}, seed, lam=lam, temperature=temperature,
        weights={first: weight, **dict.fromkeys(others, (1 - weight) / len(others))},
    )  # fmt: skip
    names = [first, *others, "none"][:3]  # a pair has no third task
    metrics = ("accuracy", "macro_f1")
    return {
        f"{metric}_{place}": found.get(f"{metric}_{name}", math.nan)
        for place, name in enumerate(names)
        for metric in metrics
    }


def single_task(task: str, n: int, seed: int) -> Found:
    """A task alone, at the steps of the other sweeps."""
    found = together({task: n}, seed)
    return {name: found[f"{name}_{task}"] for name in ("accuracy", "macro_f1")}


def task_group(tasks: str, seed: int) -> Found:
    """Tasks with as many labels each on one trunk; NaN for tasks that are not among them."""
    return _over_all_tasks(together(dict.fromkeys(members(tasks), GROUP_LABELS), seed))


def balance(tasks: str, scheme: str, seed: int) -> Found:
    """A way to balance tasks with `GROUP_LABELS` labels each, at equal steps."""
    names = members(tasks)
    options: dict[str, Any] = {"method": "weights"}
    if scheme in ("uncertainty", "PCGrad"):
        options["method"] = scheme
    elif scheme != "equal":
        task, change, _ = scheme.split()
        options["weights"] = {**dict.fromkeys(names, 1.0), task: 4.0 if change == "×" else 0.25}
    found = together(dict.fromkeys(names, GROUP_LABELS), seed, **options)
    return {**_over_all_tasks(found), "learned_weights": found["weights"]}


def helper_gain(target: str, helper: str, arm: str, n: int, seed: int, steps: int = STEPS) -> Found:
    """A target task with few labels: alone, with a helper at once, or after it in sequence.

    The target sees the same texts in the same order for as many steps in all three. In
    sequence the trunk, trained on the helper for as many steps, is kept. ``accuracy`` and
    ``macro_f1`` are on test texts after the last step; ``stopped`` is the test accuracy at the
    check that was best on validation texts.
    """
    suite = load_suite()
    sizes = {target: n} if arm == "alone" else {target: n, helper: MANY}
    model, texts = build_multitask(suite, list(sizes), seed), suite.sample(sizes, seed)
    options: dict[str, Any] = {"steps": steps, "learning_rate": RATE, "seed": seed, "device": "cpu"}
    if arm == "in sequence":
        train_tasks(model, {helper: texts.pop(helper)}, **options)
    held_out, test = (_splits(suite, [target], split) for split in ("validation", "test"))
    order = torch.randperm(len(held_out[target]), generator=torch.Generator().manual_seed(0))
    probe = {target: held_out[target].take(order[:300])}  # the same texts for every run
    best = {"validation": -1.0}

    def check() -> dict[str, float]:
        nonlocal best
        found = {"validation": evaluate_tasks(model, probe)[f"accuracy_{target}"]}
        if found["validation"] > best["validation"]:
            best = found | evaluate_tasks(model, test)
        return found

    history = train_tasks(model, texts, **options, check_at=points(5, steps), on_check=check)
    last = evaluate_tasks(model, test)
    return {
        "accuracy": last[f"accuracy_{target}"],
        "macro_f1": last[f"macro_f1_{target}"],
        "stopped": best[f"accuracy_{target}"],
        "curve": curve(point["validation"] for point in history.checks),
    }


def alone_longer(target: str, n: int, seed: int) -> Found:
    """The target alone for twice the steps: as much work as with a helper."""
    return helper_gain(target, "none", "alone", n, seed, steps=2 * STEPS)


def conflict(tasks: str, method: str, seed: int) -> Found:
    """Cosines of all pairs' gradients on the trunk during training, and the mean accuracy."""
    names = members(tasks)
    sizes = dict.fromkeys(names, GROUP_LABELS)
    checks, scores = train_watched(load_suite(), sizes, method, seed=seed)
    cosines = [value for check in checks for name, value in check.items() if name != "step"]
    mean = sum(scores[f"accuracy_{name}"] for name in names) / len(names)
    return {"curve_cosines": curve(cosines), "mean_accuracy": mean}


def soft_sharing(strength: float, n: int, seed: int) -> dict[str, float]:
    """Chinese reviews with n labels and movie reviews with many, on two tied trunks."""
    suite = load_suite()
    texts = suite.sample({"chinese": n, "movies": MANY}, seed)
    models = {name: build_multitask(suite, [name], seed) for name in texts}
    history = train_tied(
        models, texts, strength=strength, steps=STEPS, learning_rate=RATE, seed=seed, device="cpu"
    )
    scores = {
        name: evaluate_tasks(model, _splits(suite, [name], "test"))[f"accuracy_{name}"]
        for name, model in models.items()
    }
    return {
        "accuracy": scores["chinese"],
        "accuracy_movies": scores["movies"],
        "distance": history.checks[-1]["distance"],
    }
