"""Lesson 4's explorers: task weights, which task helps which, gradients that conflict."""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from operator import itemgetter
from typing import Any, ClassVar

import numpy as np
from matplotlib.figure import Figure

from tlcourse import recorded
from tlcourse.multitask.grouping import cosine_curves, gain_matrix, task_pairs
from tlcourse.multitask.losses import sampling_probabilities
from tlcourse.multitask.studies import train_helped, train_together, train_watched
from tlcourse.multitask.tasks import SUITE, load_suite
from tlcourse.scores import interval, is_clear
from tlcourse.training import Progress
from tlcourse.widgets import figures
from tlcourse.widgets.controls import choice, menu, tick
from tlcourse.widgets.curves import Chart, CurveExplorer, Knob, plus_minus
from tlcourse.widgets.explorer import Explorer, Result
from tlcourse.widgets.snippets import snippet

_STEPS, _SEED = 200, 1000  # as long as recorded runs; with a seed that was not recorded
_GAIN_STEPS, _COSINE_STEPS = range(0, _STEPS + 1, 40), range(0, _STEPS + 1, 20)
_COMPARED = (("at once", 50), ("in sequence", 50), ("at once", 500))
_TASKS = list(SUITE)


def _mix(tasks: str, weight: float = 0.5) -> tuple[dict[str, int], dict[str, float]]:
    """Labels and weights: few and the weight for the first task, many and the rest for others."""
    first, *others = tasks.split(" + ")
    weights = dict.fromkeys(others, (1 - weight) / len(others))
    return {first: 100, **dict.fromkeys(others, 1000)}, {first: weight, **weights}


@lru_cache(maxsize=8)
def _weight_charts(tasks: str) -> list[Chart]:
    """A chart for each task, the same for every λ and τ, with the band of the task alone."""
    rows, found = recorded.select("weights_and_lambda", tasks=tasks), []
    for place, (name, labels) in enumerate(_mix(tasks)[0].items()):
        metric = f"accuracy_{place}"
        bands = rows.groupby(["weight", "lam", "temperature"])[metric].agg(["mean", "std"])
        one = recorded.select("single_tasks", task=name, n=labels)["accuracy"].agg(["mean", "std"])
        low = min(one["mean"] - one["std"], (bands["mean"] - bands["std"]).min()) - 0.015
        high = max(one["mean"] + one["std"], (bands["mean"] + bands["std"]).max()) + 0.02
        title, where = f"{name}, {labels:,} labels: test accuracy", "weight of the first task"
        alone = {"alone": (one["mean"], one["std"])}
        found.append(Chart(title, where, {metric: "at once"}, (low, high), levels=alone))
    return found


class TaskWeights(CurveExplorer):
    """w_t, λ and the sampling temperature: each task against itself alone."""

    name = "weights and λ"
    size = (8.8, 3.1)
    sweep = "weights_and_lambda"
    x = "weight"
    knobs: ClassVar = {
        "tasks": Knob("tasks", "chinese + movies"),
        "weight": Knob("weight of the first task", 0.5),
        "lam": Knob("λ of the pretraining loss", 0.0),
        "temperature": Knob("sampling temperature τ", 100),
    }

    def charts(self, result: Result) -> list[Chart]:
        """A chart for each task."""
        return _weight_charts(result["tasks"])

    def train(self, progress: Progress, **at: Any) -> Result:
        """Train the tasks on one trunk."""
        (sizes, weights), suite = _mix(at["tasks"], at["weight"]), load_suite()
        how = {"temperature": at["temperature"], "lam": at["lam"], "seed": _SEED, "device": "cpu"}
        found = train_together(suite, sizes, weights, **how, progress=progress)
        return {f"accuracy_{place}": found[f"accuracy_{name}"] for place, name in enumerate(sizes)}

    def describe(self, result: Result, live: Result | None) -> str:
        """Every task's scores at this weight, beside the task alone."""
        (sizes, _), here, parts = _mix(result["tasks"]), result["here"], []
        shares = sampling_probabilities(sizes, result["temperature"])
        for place, (name, chart) in enumerate(zip(sizes, self.charts(result), strict=True)):
            alone: Any = chart.levels["alone"]
            parts.append(
                f"{name} {plus_minus(here[f'accuracy_{place}'])} (macro-F1 "
                f"{here[f'macro_f1_{place}'].mean():.3f}; alone {alone[0]:.3f} ± {alone[1]:.3f}; "
                f"about {_STEPS * len(sizes) * shares[name]:.0f} batches, alone {_STEPS})"
            )
        text = (
            f"Weight {result['weight']:g} on {next(iter(sizes))}, λ = {result['lam']:g}, "
            f"τ = {result['temperature']}: test accuracy {', '.join(parts)}; mean ± std of "
            f"{len(here)} seeds. A run took {result['rows']['seconds'].mean():.0f} s."
        )
        if live:
            told = zip(sizes, live.values(), strict=True)
            text += f" Live: {', '.join(f'{name} {value:.3f}' for name, value in told)}."
        return text

    def code(self, tasks: str, weight: float, lam: float, temperature: int) -> str:
        """Train with seed 0."""
        sizes, weights = _mix(tasks, weight)
        how = {"temperature": temperature, "lam": lam}
        return snippet("TaskWeights", sizes=sizes, weights=weights, **how)


class WhoHelpsWhom(Explorer):
    """What a helper task adds to a target task with few labels, for every pair."""

    name = "who helps whom"
    size = (8.8, 3.8)
    comparisons: ClassVar = {f"{arm}, {n} labels": (arm, n) for arm, n in _COMPARED}
    metrics: ClassVar = {"after the last step": "accuracy", "stopped by validation": "stopped"}

    def __init__(self, **settings: object) -> None:
        controls = {
            "target": menu("target (row)", _TASKS, "chinese"),
            "helper": menu("helper (column)", _TASKS[:-1], "movies"),
            "comparison": menu("trained", tuple(self.comparisons), next(iter(self.comparisons))),
            "metric": menu("accuracy", tuple(self.metrics), next(iter(self.metrics))),
        }
        controls["target"].observe(self._other_helpers, "value")
        super().__init__(controls, **settings)

    def _other_helpers(self, change: Any) -> None:
        """A task does not help itself: offer the others; where it would, swap the two."""
        target, helper = self.controls["target"].value, self.controls["helper"].value
        others = [name for name in _TASKS if name != target]
        self.relimit("helper", others, change["old"] if helper == target else helper)

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
            "cell": (_TASKS.index(target), _TASKS.index(helper)),
            "curves": [recorded.curves(table["curve"]) for table in tables],
            "scores": [table[self.metrics[metric]] for table in tables],
        }  # fmt: skip

    def train(self, progress: Progress, **at: Any) -> Result:
        """Train alone and with the helper."""
        (arm, n), suite = self.comparisons[at["comparison"]], load_suite()
        target, helper = at["target"], at["helper"]
        how: Any = {"first": [helper] * (arm == "in sequence"), "seed": _SEED, "device": "cpu"}
        sizes = {target: n, helper: 1000}
        helped = train_helped(suite, sizes, **how, progress=lambda done: progress(done / 1.5))
        how |= {"first": [], "progress": lambda done: progress((2 + done) / 3)}
        alone = train_helped(suite, {target: n}, **how)
        best = itemgetter("step" if self.metrics[at["metric"]] == "accuracy" else "validation")
        one, other = (max(run, key=best)["test"] for run in (alone, helped))
        return {"gain": other - one, "curve": np.array([check["validation"] for check in helped])}

    def frame_key(self, result: Result) -> Hashable:
        """What the matrix and the axes depend on."""
        return result["comparison"], result["metric"], result["target"]

    def frame(self, figure: Figure, result: Result) -> None:
        """The gain matrix on the left; axes for two learning curves on the right."""
        matrix, curves = figure.subplots(1, 2, width_ratios=(1, 1.2))
        figure.subplots_adjust(left=0.085, right=0.985, bottom=0.14, top=0.9, wspace=0.15)
        figures.matrix_frame(matrix, _TASKS, _TASKS, "target's gain; bold: interval leaves out 0")
        gains = np.nan_to_num(result["gains"])  # nothing on the diagonal is clear
        clear = np.array([[is_clear(gain) for gain in row] for row in gains])
        figures.matrix_cells(matrix, result["gains"].mean(2), 0.08, "{:+.3f}", clear)
        figures.tidy(curves, f"{result['target']}: accuracy on validation texts", "step")
        figures.legend(curves, ("alone", "with the helper"), inside="lower right")
        reach = recorded.curves(recorded.select("helper_gains", target=result["target"])["curve"])
        curves.set(xlim=(-3, _STEPS + 3), ylim=(reach.min() - 0.02, reach.max() + 0.02))

    def draw(self, figure: Figure, result: Result, live: Result | None) -> None:
        """A ring around the chosen cell, and its curves."""
        matrix, curves = figure.axes
        figures.ring_cell(matrix, *result["cell"])
        for style, curve in enumerate(result["curves"]):
            figures.band(curves, _GAIN_STEPS, curve.mean(0), curve.std(0, ddof=1), "", style)
        if live:
            figures.live_line(curves, np.array(_GAIN_STEPS), live["curve"])

    def describe(self, result: Result, live: Result | None) -> str:
        """The gain with its interval."""
        gains, (alone, helped) = result["gains"][result["cell"]], result["scores"]
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
        """Train with the helper and seed 0."""
        arm, n = self.comparisons[comparison]
        first = [helper] if arm == "in sequence" else []
        return snippet("WhoHelpsWhom", target=target, helper=helper, n=n, first=first)


class GradientConflict(Explorer):
    """Cosines between the tasks' gradients on the trunk, with PCGrad on or off."""

    name = "gradient conflict"
    size = (8.8, 3.8)

    def __init__(self, **settings: object) -> None:
        sets = recorded.grid("gradient_conflict")["tasks"]
        controls = {
            "tasks": menu("tasks on the trunk", sets, sets[-1]),
            "step": choice("training step", _COSINE_STEPS, 100),
            "pcgrad": tick("PCGrad", False),
        }
        super().__init__(controls, **settings)

    def compute(self, tasks: str, step: int, pcgrad: bool) -> Result:
        """Recorded cosines: seeds × points × pairs."""
        plain, projected = (
            recorded.select("gradient_conflict", tasks=tasks, method=method)
            for method in ("weights", "PCGrad")
        )
        rows = projected if pcgrad else plain
        cosines = cosine_curves(rows["curve_cosines"], tasks)
        place = _COSINE_STEPS.index(step)
        return {
            "tasks": tasks, "names": tasks.split(" + "), "pairs": task_pairs(tasks), "step": step,
            "pcgrad": pcgrad, "cosines": cosines, "place": place, "runs": len(rows),
            "worst": int(cosines[:, place].mean(0).argmin()),
            "accuracy": [plus_minus(table["mean_accuracy"]) for table in (plain, projected)],
        }  # fmt: skip

    def train(self, progress: Progress, tasks: str, step: int, pcgrad: bool) -> Result:
        """Train the tasks on one trunk."""
        sizes, method = dict.fromkeys(tasks.split(" + "), 200), "PCGrad" if pcgrad else "weights"
        how: Any = {"seed": _SEED, "device": "cpu", "progress": progress}
        run = train_watched(load_suite(), sizes, method, **how)
        cosines = np.array([list(check.values())[1:] for check in run[0]])  # behind the step
        mean = np.mean([run[1][f"accuracy_{name}"] for name in sizes])
        return {"cosines": cosines, "mean_accuracy": mean}

    def frame_key(self, result: Result) -> Hashable:
        """The set of tasks."""
        return result["tasks"]

    def frame(self, figure: Figure, result: Result) -> None:
        """A matrix on the left, curves on the right."""
        matrix, curves = figure.subplots(1, 2, width_ratios=(1, 1.35))
        figure.subplots_adjust(left=0.075, right=0.985, bottom=0.13, top=0.9, wspace=0.16)
        figures.matrix_frame(matrix, result["names"], result["names"], "mean cosine at this step")
        figures.tidy(curves, "each pair during training (dark: the lowest at this step)", "step")
        curves.set(xlim=(-3, _STEPS + 3), ylim=(-1.02, 1.02))
        curves.axhline(0, color="#777777", lw=1)

    def draw(self, figure: Figure, result: Result, live: Result | None) -> None:
        """Numbers in the matrix; a line for each pair, the lowest one as a band."""
        (matrix, curves), names, worst = figure.axes, result["names"], result["worst"]
        mean, std = result["cosines"].mean(0), result["cosines"].std(0, ddof=1)
        values = np.full((len(names),) * 2, np.nan)
        values[np.triu_indices(len(names), 1)] = mean[result["place"]]
        figures.matrix_cells(matrix, np.fmax(values, values.T), 1.0)
        curves.plot(_COSINE_STEPS, mean, color="#9bb8cc", lw=1)
        figures.band(curves, _COSINE_STEPS, mean[:, worst], std[:, worst], "lowest", 0)
        figures.here(curves, result["step"])
        if live:
            figures.live_line(curves, np.array(_COSINE_STEPS), live["cosines"][:, worst])

    def describe(self, result: Result, live: Result | None) -> str:
        """The lowest cosine, how often pairs conflict, and what PCGrad brings."""
        place, worst, cosines = result["place"], result["worst"], result["cosines"]
        text = (
            f"{result['tasks']}, step {result['step']}, PCGrad "
            f"{'on' if result['pcgrad'] else 'off'}: the lowest cosine is that of "
            f"{' and '.join(result['pairs'][worst])}, {plus_minus(cosines[:, place, worst], 2)}; "
            f"of all pairs and seeds {(cosines[:, place] < 0).mean():.0%} are negative here, "
            f"{(cosines < 0).mean():.0%} over the whole training. "
            f"Mean test accuracy of the tasks: {result['accuracy'][0]} without PCGrad, "
            f"{result['accuracy'][1]} with it ({result['runs']} seeds)."
        )
        if live:
            text += f" Live: cosine {live['cosines'][place, worst]:z.2f}, "
            text += f"mean accuracy {live['mean_accuracy']:.3f}."
        return text

    def code(self, tasks: str, step: int, pcgrad: bool) -> str:
        """Train with seed 0."""
        sizes, method = dict.fromkeys(tasks.split(" + "), 200), "PCGrad" if pcgrad else "weights"
        return snippet("GradientConflict", sizes=sizes, method=method)
