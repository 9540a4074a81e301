"""Lesson 5's freeze dial: which layers train, by which method, at which rate."""

from __future__ import annotations

import textwrap
from collections.abc import Hashable
from functools import lru_cache
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from experiments.bert import APART, AS_DEPTH, LABELS, LAYERS, RATES, method_runs, tune_reviews
from tlcourse import recorded
from tlcourse.bert.layers import TUNING_METHODS
from tlcourse.training import Progress
from tlcourse.widgets import figures
from tlcourse.widgets.controls import choice, menu
from tlcourse.widgets.explorer import Explorer, Result

DEPTHS = range(LAYERS + 1)
LIVE_DEPTH, LIVE_LABELS = 4, 200
"""What a live run may take: so many frozen layers or more, so many labels or fewer."""


class FreezeDial(Explorer):
    """How many layers to freeze, for how many labels, at which rate, or which other method."""

    name = "freeze dial"
    size = (8.8, 3.4)

    def __init__(self, **settings: object) -> None:
        controls = {
            "method": menu("what trains", TUNING_METHODS, "full"),
            "frozen": choice("frozen layers k (with “full”)", DEPTHS, 4),
            "labels": choice("labels n", LABELS, 200),
            "learning_rate": choice("learning rate", RATES, RATES[0], "{:g}".format),
        }
        controls["method"].observe(self._lock_depth, "value")
        super().__init__(controls, **settings)

    def _lock_depth(self, change: Any) -> None:
        """The depth is the dial of “full” only."""
        self.controls["frozen"].disabled = change["new"] != "full"

    def compute(self, method: str, frozen: int, labels: int, learning_rate: float) -> Result:
        """Recorded scores and costs of the choice, and those along k beside them."""
        depth = AS_DEPTH.get(method, frozen)
        chosen = method_runs(method, depth, labels=labels, learning_rate=learning_rate)
        return {
            "method": method, "depth": None if method in APART else depth,
            "labels": labels, "learning_rate": learning_rate, "runs": len(chosen),
            "mean": chosen.mean(numeric_only=True), "std": chosen.std(numeric_only=True),
        }  # fmt: skip

    def too_long(self, method: str, frozen: int, labels: int, learning_rate: float) -> str:
        """Where a live run would take longer than fifteen seconds."""
        least = LIVE_DEPTH if labels <= LIVE_LABELS else LAYERS
        if method not in APART and AS_DEPTH.get(method, frozen) >= least:
            return ""
        return (
            "A live run would take more than fifteen seconds here; frozen layers run once, so "
            f"choose k ≥ {LIVE_DEPTH} with up to {LIVE_LABELS} labels, or k = {LAYERS} (“Copy as "
            "code” gives the long run)."
        )

    def train(
        self, progress: Progress, method: str, frozen: int, labels: int, learning_rate: float
    ) -> Result:
        """Train with a seed that was not recorded."""
        depth = AS_DEPTH.get(method, frozen)
        return tune_reviews(
            labels, learning_rate, depth, seed=1000, splits=("test",), progress=progress
        )

    def frame_key(self, result: Result) -> Hashable:
        """The labels and the rate."""
        return result["labels"], result["learning_rate"]

    def frame(self, figure: Figure, result: Result) -> None:
        """Accuracy and cost along k, with the methods that have no k beside them."""
        left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
        figure.subplots_adjust(left=0.06, right=0.99, bottom=0.16, top=0.9, wspace=0.16)
        places = [*DEPTHS, *(LAYERS + 1.4 + place for place in range(len(APART)))]
        rows = recorded.select(
            "freeze_dial", labels=result["labels"], learning_rate=result["learning_rate"]
        )
        for axes, metric, title in (
            (left, "accuracy", f"test accuracy, {result['labels']:,} labels"),
            (right, "cpu_seconds", "CPU seconds of training"),
        ):
            curve = recorded.spread(rows, "frozen", metric)
            figures.tidy(axes, title, "frozen layers k, and methods without k")
            figures.band(axes, curve.index, curve["mean"], curve["std"], "full above k")
            for place, method in zip(places[LAYERS + 1 :], APART, strict=True):
                table = method_runs(
                    method, 0, labels=result["labels"], learning_rate=result["learning_rate"]
                )
                axes.errorbar(
                    place, table[metric].mean(), table[metric].std(),
                    fmt="s", ms=5, color=figures.COLOURS[1], capsize=3,
                )  # fmt: skip
            axes.set_xticks(places, [*map(str, DEPTHS), *APART])
            axes.set_xlim(-0.4, places[-1] + 0.6)
            axes.set_ylim(*_limits(metric))
        figures.level(left, 0.5, "chance")

    def draw(self, figure: Figure, result: Result, live: Result | None) -> None:
        """A line at the choice, and a live run's star."""
        depth = result["depth"]
        if depth is None:
            depth = LAYERS + 1.4 + APART.index(result["method"])
        for axes, metric in zip(figure.axes, ("accuracy", "cpu_seconds"), strict=True):
            figures.here(axes, depth)
            if live:
                figures.star(axes, depth, live[metric])

    def describe(self, result: Result, live: Result | None) -> str:
        """Scores, cost and share of the choice."""
        mean, std = result["mean"], result["std"]
        what = result["method"]
        if result["depth"] is not None:
            what = f"{what}, k = {result['depth']} of {LAYERS} layers frozen"
        text = (
            f"{what}; {result['labels']:,} labels, rate {result['learning_rate']:g}: test accuracy "
            f"{mean['accuracy']:.3f} ± {std['accuracy']:.3f}, macro-F1 {mean['macro_f1']:.3f} ± "
            f"{std['macro_f1']:.3f} (mean ± std of {result['runs']} seeds); "
            f"{100 * mean['trainable']:.3g} % of the parameters train, {mean['cpu_seconds']:.1f} s "
            "of one core."
        )
        if live:
            text += f" Live: {live['accuracy']:.3f}, {live['cpu_seconds']:.1f} s."
        return text

    def code(self, method: str, frozen: int, labels: int, learning_rate: float) -> str:
        """Train with seed 0."""
        more = f", frozen={AS_DEPTH.get(method, frozen)}"
        if method in APART:
            more = f", method={method!r}"
        return textwrap.dedent(f"""\
            from tlcourse.runs.bert import tune_reviews

            result = tune_reviews({labels}, {learning_rate}{more}, seed=0)
            print(result)
            """)


@lru_cache(maxsize=2)
def _limits(metric: str) -> tuple[float, float]:
    """Limits of an axis, the same for all settings."""
    tables = [recorded.load("freeze_dial"), recorded.load("efficient_tuning")]
    values = pd.concat([table[metric] for table in tables])
    room = 0.04 * (values.max() - values.min())
    return values.min() - room, values.max() + room


from tlcourse.bert.explorers_inspection import AttentionViewer, FillMask  # noqa: E402, F401
from tlcourse.bert.explorers_pretraining import PretrainingCurve  # noqa: E402, F401
