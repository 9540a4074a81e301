"""Lesson 4's explorer of which task helps which."""

from __future__ import annotations

import textwrap
from collections.abc import Hashable
from functools import lru_cache
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.gains import TARGET_LABELS, gain_matrix, helper_gain
from experiments.multitask import CHECKS, STEPS, checkpoints
from tlcourse import recorded
from tlcourse.multitask.tasks import SUITE
from tlcourse.scores import interval, is_clear
from tlcourse.training import Progress
from tlcourse.widgets import figures
from tlcourse.widgets.controls import menu
from tlcourse.widgets.explorer import Explorer, Result

COMPARISONS = {
    f"at once, {TARGET_LABELS[0]} labels": ("at once", TARGET_LABELS[0]),
    f"in sequence, {TARGET_LABELS[0]} labels": ("in sequence", TARGET_LABELS[0]),
    f"at once, {TARGET_LABELS[1]} labels": ("at once", TARGET_LABELS[1]),
}
METRICS = {"after the last step": "accuracy", "stopped by validation": "stopped"}


class WhoHelpsWhom(Explorer):
    """What a helper task adds to a target task with few labels, for every pair."""

    name = "who helps whom"
    size = (8.8, 3.8)

    def __init__(self, **settings: object) -> None:
        controls = {
            "target": menu("target (row)", tuple(SUITE), "chinese"),
            "helper": menu("helper (column)", _others("chinese"), "movies"),
            "comparison": menu("trained", tuple(COMPARISONS), next(iter(COMPARISONS))),
            "metric": menu("accuracy", tuple(METRICS), next(iter(METRICS))),
        }
        controls["target"].observe(self._other_helpers, "value")
        super().__init__(controls, **settings)

    def _other_helpers(self, change: Any) -> None:
        """A task does not help itself: offer the others; where it would, swap the two."""
        target, helper = self.controls["target"].value, self.controls["helper"].value
        self.relimit("helper", _others(target), change["old"] if helper == target else helper)

    def compute(self, target: str, helper: str, comparison: str, metric: str) -> Result:
        """All gains, and both learning curves of this pair."""
        arm, n = COMPARISONS[comparison]
        gains = gain_matrix(arm, n, METRICS[metric])
        if helper == target:
            raise ValueError(f"{target} cannot be its own helper; choose another task")
        tables = [
            recorded.select("helper_gains", target=target, arm="alone", n=n),
            recorded.select("helper_gains", target=target, helper=helper, arm=arm, n=n),
        ]
        return {
            "target": target, "helper": helper, "comparison": comparison, "metric": metric,
            "gains": gains, "arm": arm, "n": n,
            "curves": [recorded.curves(table["curve"]) for table in tables],
            "scores": [table[METRICS[metric]] for table in tables],
        }  # fmt: skip

    def train(
        self, progress: Progress, target: str, helper: str, comparison: str, metric: str
    ) -> Result:
        """Train alone and helped with a seed that was not recorded."""
        arm, n = COMPARISONS[comparison]
        alone = helper_gain(
            target, "none", "alone", n, 1000, progress=lambda share: progress(share / 3)
        )
        helped = helper_gain(
            target, helper, arm, n, 1000, progress=lambda share: progress((1 + 2 * share) / 3)
        )
        score = METRICS[metric]
        return {
            "gain": float(helped[score]) - float(alone[score]),
            "accuracy": helped[score],
            "curve": recorded.curves([str(helped["curve"])])[0],
        }

    def frame_key(self, result: Result) -> Hashable:
        """What the matrix and the axes depend on."""
        return result["comparison"], result["metric"], result["target"]

    def frame(self, figure: Figure, result: Result) -> None:
        """The gain matrix on the left; axes for two learning curves on the right."""
        matrix, curves = figure.subplots(1, 2, width_ratios=(1, 1.2))
        figure.subplots_adjust(left=0.085, right=0.985, bottom=0.14, top=0.9, wspace=0.15)
        names = list(SUITE)
        figures.matrix_frame(
            matrix,
            names,
            names,
            "target's gain; bold: interval leaves out 0",
        )
        clear = np.apply_along_axis(
            lambda gain: bool(np.isfinite(gain).all()) and is_clear(gain), 2, result["gains"]
        )
        figures.matrix_cells(matrix, result["gains"].mean(2), 0.08, "{:+.3f}", clear)
        figures.tidy(curves, f"{result['target']}: accuracy on validation texts", "step")
        figures.legend(curves, ("alone", "with the helper"), inside="lower right")
        curves.set_xlim(-3, STEPS + 3)
        curves.set_ylim(*_curve_limits(result["target"]))

    def draw(self, figure: Figure, result: Result, live: Result | None) -> None:
        """A ring around the chosen cell, and its curves."""
        matrix, curves = figure.axes
        names, steps = list(SUITE), checkpoints(CHECKS)
        figures.ring_cell(matrix, names.index(result["target"]), names.index(result["helper"]))
        for style, curve in enumerate(result["curves"]):
            figures.band(curves, steps, curve.mean(0), curve.std(0, ddof=1), "", style)
        if live:
            figures.live_line(curves, np.array(steps), live["curve"])

    def describe(self, result: Result, live: Result | None) -> str:
        """The gain with its interval."""
        names, target = list(SUITE), result["target"]
        task = f"{target} with {result['n']} labels"
        alone = result["scores"][0]
        gains = result["gains"][names.index(result["target"]), names.index(result["helper"])]
        low, high = interval(gains)
        helped = result["scores"][1]
        side = "above" if low > 0 else "below" if high < 0 else "on both sides of"
        text = (
            f"{task}, {result['helper']} {result['arm']}, "
            f"test accuracy {result['metric']}: {alone.mean():.3f} alone, {helped.mean():.3f} with "
            f"the helper; gain {gains.mean():+.3f} [{low:+.3f}, {high:+.3f}] (95 % t-interval over "
            f"{len(gains)} seeds, paired), {side} 0."
        )
        if live:
            text += f" Live: gain {live['gain']:+.3f}."
        return text

    def code(self, target: str, helper: str, comparison: str, metric: str) -> str:
        """Train both with seed 0."""
        arm, n = COMPARISONS[comparison]
        return textwrap.dedent(f"""\
            from tlcourse.runs.gains import helper_gain

            alone = helper_gain({target!r}, "none", "alone", {n}, seed=0)
            result = helper_gain({target!r}, {helper!r}, {arm!r}, {n}, seed=0)
            print(result[{METRICS[metric]!r}] - alone[{METRICS[metric]!r}])
            """)


def _others(target: str) -> list[str]:
    return [name for name in SUITE if name != target]


@lru_cache(maxsize=8)
def _curve_limits(target: str) -> tuple[float, float]:
    """Limits that hold every learning curve of a target."""
    curves = recorded.curves(recorded.select("helper_gains", target=target)["curve"])
    return curves.min() - 0.02, curves.max() + 0.02
