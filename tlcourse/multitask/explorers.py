"""Lesson 4's explorers: task weights, which task helps which, gradients that conflict."""

from __future__ import annotations

import textwrap
from collections.abc import Hashable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from tlcourse import recorded
from tlcourse.finetuning.tasks import Encoded
from tlcourse.multitask.gradients import gradient_cosines, probe_gradients
from tlcourse.multitask.grouping import cosine_curves, gain_matrix, task_pairs
from tlcourse.multitask.losses import sampling_probabilities
from tlcourse.multitask.tasks import SUITE, build_multitask, load_suite
from tlcourse.multitask.training import evaluate_tasks, train_tasks
from tlcourse.scores import interval, is_clear
from tlcourse.training import Progress
from tlcourse.widgets import figures
from tlcourse.widgets.controls import choice, menu, tick
from tlcourse.widgets.curves import Chart, CurveExplorer, Knob, plus_minus
from tlcourse.widgets.explorer import Explorer, Result

# As in the recorded runs; a live run has a seed that was not recorded.
_RUN: dict[str, Any] = {"steps": 200, "learning_rate": 3e-3, "seed": 1000}
_HELPER_LABELS = 1000
_CONFLICT_LABELS = 200
_GAIN_STEPS = range(0, 201, 40)
_COSINE_STEPS = range(0, 201, 20)


def _split(names: Any, split: str) -> dict[str, Encoded]:
    tasks = load_suite().tasks
    return {name: tasks[name].splits[split] for name in names}


def _sizes(tasks: str) -> dict[str, int]:
    """The first task has few labels, the others many."""
    few, many = recorded.grid("single_tasks")["n"]
    first, *others = tasks.split(" + ")
    return {first: few, **dict.fromkeys(others, many)}


def _weights(tasks: str, weight: float) -> dict[str, float]:
    """The first task's weight; the others divide the rest."""
    first, *others = tasks.split(" + ")
    return {first: weight, **dict.fromkeys(others, (1 - weight) / len(others))}


class TaskWeights(CurveExplorer):
    """w_t, λ and the sampling temperature: each task against itself alone."""

    name = "weights and λ"
    size = (8.8, 3.1)
    sweep = "weights_and_lambda"
    x = "weight"
    margins = {"left": 0.055, "right": 0.985, "bottom": 0.17, "top": 0.88, "wspace": 0.17}
    knobs = {
        "tasks": Knob("tasks", "chinese + movies"),
        "weight": Knob("weight of the first task", 0.5),
        "lam": Knob("λ of the pretraining loss", 0.0),
        "temperature": Knob("sampling temperature τ", 100),
    }

    def charts(self, result: Result) -> list[Chart]:
        """A chart for each task, with the band of the task alone."""
        return [
            Chart(
                f"{name}, {labels:,} labels: test accuracy", "weight of the first task",
                {f"accuracy_{place}": "at once"}, _limits(result["tasks"])[place],
                ticks=recorded.grid(self.sweep)["weight"], levels={"alone": _alone(name, labels)},
            )
            for place, (name, labels) in enumerate(_sizes(result["tasks"]).items())
        ]  # fmt: skip

    def train(
        self, progress: Progress, tasks: str, weight: float, lam: float, temperature: int
    ) -> Result:
        """Train the tasks on one trunk."""
        suite, sizes = load_suite(), _sizes(tasks)
        model = build_multitask(suite, list(sizes), _RUN["seed"])
        train_tasks(
            model, suite.sample(sizes, _RUN["seed"]), **_RUN, weights=_weights(tasks, weight),
            temperature=temperature, lam=lam, source=suite.source(list(sizes)) if lam else None,
            source_batch_size=8, progress=progress,
        )  # fmt: skip
        found = evaluate_tasks(model, _split(sizes, "test"))
        return {f"accuracy_{place}": found[f"accuracy_{name}"] for place, name in enumerate(sizes)}

    def describe(self, result: Result, live: Result | None) -> str:
        """Every task's scores at this weight, beside the task alone."""
        sizes, here, parts = _sizes(result["tasks"]), result["here"], []
        shares = sampling_probabilities(sizes, result["temperature"])
        for place, (name, labels) in enumerate(sizes.items()):
            mean, std = _alone(name, labels)
            batches = _RUN["steps"] * len(sizes) * shares[name]
            parts.append(
                f"{name} {plus_minus(here[f'accuracy_{place}'])} (macro-F1 "
                f"{here[f'macro_f1_{place}'].mean():.3f}; alone {mean:.3f} ± {std:.3f}; about "
                f"{batches:.0f} batches, alone {_RUN['steps']})"
            )
        text = (
            f"Weight {result['weight']:g} on {next(iter(sizes))}, λ = {result['lam']:g}, "
            f"τ = {result['temperature']}: test accuracy {', '.join(parts)}; mean ± std of "
            f"{len(here)} seeds. A run took {result['rows']['seconds'].mean():.0f} s."
        )
        if live:
            shown = zip(sizes, live.values(), strict=True)
            text += f" Live: {', '.join(f'{name} {value:.3f}' for name, value in shown)}."
        return text

    def code(self, tasks: str, weight: float, lam: float, temperature: int) -> str:
        """Train with seed 0."""
        source = f"\n    lam={lam}, source=suite.source(list(sizes)), source_batch_size=8,"
        return textwrap.dedent("""\
            from tlcourse.multitask import build_multitask, evaluate_tasks, load_suite, train_tasks

            suite = load_suite()  # build_suite makes one of your own labelled sets
            sizes = %s
            model = build_multitask(suite, list(sizes), seed=0)
            train_tasks(
                model, suite.sample(sizes, seed=0), steps=200, learning_rate=3e-3,
                weights=%s, temperature=%s,%s
            )
            result = evaluate_tasks(model, {name: suite.tasks[name].splits["test"] for name in sizes})
            print(result)
            """) % (_sizes(tasks), _weights(tasks, weight), temperature, source if lam else "")


@lru_cache(maxsize=32)
def _alone(name: str, labels: int) -> tuple[float, float]:
    """Mean and standard deviation of a task's accuracy when it is trained alone."""
    scores = recorded.select("single_tasks", task=name, n=labels)["accuracy"]
    return float(scores.mean()), float(scores.std())


@lru_cache(maxsize=8)
def _limits(tasks: str) -> list[tuple[float, float]]:
    """Limits of each task's axis, the same for every λ and T."""
    rows, found = recorded.select("weights_and_lambda", tasks=tasks), []
    for place, (name, labels) in enumerate(_sizes(tasks).items()):
        groups = rows.groupby(["weight", "lam", "temperature"])[f"accuracy_{place}"]
        mean, std = _alone(name, labels)
        low = min((groups.mean() - groups.std()).min(), mean - std)
        high = max((groups.mean() + groups.std()).max(), mean + std)
        found.append((low - 0.015, high + 0.02))
    return found


class WhoHelpsWhom(Explorer):
    """What a helper task adds to a target task with few labels, for every pair."""

    name = "who helps whom"
    size = (8.8, 3.8)
    comparisons: Mapping[str, tuple[str, int]] = {
        f"{arm}, {n} labels": (arm, n)
        for arm, n in (("at once", 50), ("in sequence", 50), ("at once", 500))
    }
    metrics: Mapping[str, str] = {
        "after the last step": "accuracy",
        "stopped by validation": "stopped",
    }

    def __init__(self, **settings: object) -> None:
        controls = {
            "target": menu("target (row)", tuple(SUITE), "chinese"),
            "helper": menu("helper (column)", _others("chinese"), "movies"),
            "comparison": menu("trained", tuple(self.comparisons), next(iter(self.comparisons))),
            "metric": menu("accuracy", tuple(self.metrics), next(iter(self.metrics))),
        }
        controls["target"].observe(self._other_helpers, "value")
        super().__init__(controls, **settings)

    def _other_helpers(self, change: Any) -> None:
        """A task does not help itself: offer the others; where it would, swap the two."""
        target, helper = self.controls["target"].value, self.controls["helper"].value
        self.relimit("helper", _others(target), change["old"] if helper == target else helper)

    def compute(self, target: str, helper: str, comparison: str, metric: str) -> Result:
        """All gains, and both learning curves of this pair."""
        if helper == target:
            raise ValueError(f"{target} cannot be its own helper; choose another task")
        arm, n = self.comparisons[comparison]
        tables = [
            recorded.select("helper_gains", target=target, arm="alone", n=n),
            recorded.select("helper_gains", target=target, helper=helper, arm=arm, n=n),
        ]
        return {
            "target": target, "helper": helper, "comparison": comparison, "metric": metric,
            "gains": gain_matrix(arm, n, self.metrics[metric]), "arm": arm, "n": n,
            "curves": [recorded.curves(table["curve"]) for table in tables],
            "scores": [table[self.metrics[metric]] for table in tables],
        }  # fmt: skip

    def train(
        self, progress: Progress, target: str, helper: str, comparison: str, metric: str
    ) -> Result:
        """Train alone and with the helper."""
        arm, n = self.comparisons[comparison]
        alone = _checks({target: n}, arm, lambda share: progress(share / 3))
        helped = _checks(
            {target: n, helper: _HELPER_LABELS}, arm, lambda share: progress((1 + 2 * share) / 3)
        )
        one, other = (
            run[-1] if self.metrics[metric] == "accuracy" else max(run, key=_on_validation)
            for run in (alone, helped)
        )
        curve = np.array([_on_validation(check) for check in helped])
        return {"gain": other["test"] - one["test"], "curve": curve}

    def frame_key(self, result: Result) -> Hashable:
        """What the matrix and the axes depend on."""
        return result["comparison"], result["metric"], result["target"]

    def frame(self, figure: Figure, result: Result) -> None:
        """The gain matrix on the left; axes for two learning curves on the right."""
        matrix, curves = figure.subplots(1, 2, width_ratios=(1, 1.2))
        figure.subplots_adjust(left=0.085, right=0.985, bottom=0.14, top=0.9, wspace=0.15)
        figures.matrix_frame(matrix, SUITE, SUITE, "target's gain; bold: interval leaves out 0")
        clear = np.apply_along_axis(
            lambda gain: bool(np.isfinite(gain).all()) and is_clear(gain), 2, result["gains"]
        )
        figures.matrix_cells(matrix, result["gains"].mean(2), 0.08, "{:+.3f}", clear)
        figures.tidy(curves, f"{result['target']}: accuracy on validation texts", "step")
        figures.legend(curves, ("alone", "with the helper"), inside="lower right")
        curves.set_xlim(-3, _GAIN_STEPS[-1] + 3)
        curves.set_ylim(*_curve_limits(result["target"]))

    def draw(self, figure: Figure, result: Result, live: Result | None) -> None:
        """A ring around the chosen cell, and its curves."""
        matrix, curves = figure.axes
        figures.ring_cell(matrix, *(list(SUITE).index(result[key]) for key in ("target", "helper")))
        for style, curve in enumerate(result["curves"]):
            figures.band(curves, _GAIN_STEPS, curve.mean(0), curve.std(0, ddof=1), "", style)
        if live:
            figures.live_line(curves, np.array(_GAIN_STEPS), live["curve"])

    def describe(self, result: Result, live: Result | None) -> str:
        """The gain with its interval."""
        row, column = (list(SUITE).index(result[key]) for key in ("target", "helper"))
        gains, (alone, helped) = result["gains"][row, column], result["scores"]
        low, high = interval(gains)
        side = "above" if low > 0 else "below" if high < 0 else "on both sides of"
        text = (
            f"{result['target']} with {result['n']} labels, {result['helper']} {result['arm']}, "
            f"test accuracy {result['metric']}: {alone.mean():.3f} alone, {helped.mean():.3f} with "
            f"the helper; gain {gains.mean():+.3f} [{low:+.3f}, {high:+.3f}] (95 % t-interval over "
            f"{len(gains)} seeds, paired), {side} 0."
        )
        return f"{text} Live: gain {live['gain']:+.3f}." if live else text

    def code(self, target: str, helper: str, comparison: str, metric: str) -> str:
        """Train both with seed 0."""
        arm, n = self.comparisons[comparison]
        first = "    train_tasks(model, {helper: texts.pop(helper)}, **run) if helper in texts else 0"
        best = "checks[-1]" if self.metrics[metric] == "accuracy" else "max(checks, key=key)"
        return ""


@lru_cache(maxsize=8)
def _curve_limits(target: str) -> tuple[float, float]:
    """Limits that hold every learning curve of a target."""
    curves = recorded.curves(recorded.select("helper_gains", target=target)["curve"])
    return curves.min() - 0.02, curves.max() + 0.02


def _others(target: str) -> list[str]:
    return [name for name in SUITE if name != target]
