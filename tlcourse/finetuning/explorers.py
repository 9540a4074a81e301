"""Lesson 3's explorers: λ, frozen layers, and pretraining losses that collapse."""

from __future__ import annotations

import textwrap
from collections.abc import Hashable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from experiments.finetuning import (
    CHECKS,
    FROZEN_LABELS,
    INITS,
    LABELS,
    SCHEDULES,
    adapt,
    freeze_and_tune,
    steps_for,
)
from tlcourse import recorded
from tlcourse.models import LAYERS
from tlcourse.training import Progress
from tlcourse.widgets import figures
from tlcourse.widgets.controls import choice, menu, tick
from tlcourse.widgets.explorer import Explorer, Result

if TYPE_CHECKING:
    import pandas as pd

_METRICS = ("accuracy", "macro_f1", "pre")
_HEAD = 64 * 2 + 2  # the upper LSTM's width × two classes, and a bias each


class MixtureLambda(Explorer):
    """λ between the language model and the labels: both tasks' scores and learning curves."""

    name = "λ for the losses"
    size = (8.8, 4.9)

    def __init__(self, **settings: object) -> None:
        grid = recorded.grid("mixture_lambda")
        controls = {
            "lam": choice("λ", grid["lam"], 0.5),
            "n": choice("labels", LABELS, 200, "{:,}".format),
            "init": menu("embedding from", INITS, "own vectors"),
        }
        super().__init__(controls, **settings)

    def compute(self, lam: float, n: int, init: str) -> Result:
        """Recorded scores along λ, and the learning curves at λ."""
        rows = recorded.select("mixture_lambda", n=n, init=init)
        here = rows[rows["lam"] == lam]
        return {
            "lam": lam, "n": n, "init": init, "runs": len(here),
            "curves": {name: recorded.spread(rows, "lam", name) for name in _METRICS},
            "steps": np.linspace(0, steps_for(n), CHECKS + 1),
            "during": {name: recorded.curves(here[f"curve_{name}"]) for name in ("accuracy", "pre")},
            "seconds": here["seconds"].mean(),
        }  # fmt: skip

    def train(self, progress: Progress, lam: float, n: int, init: str) -> Result:
        """Train with a seed that was not recorded."""
        return adapt(n, 1000, init=init, lam=lam, checks=CHECKS, progress=progress)

    def frame_key(self, result: Result) -> Hashable:
        """The number of labels: it sets the steps."""
        return result["n"]

    def frame(self, figure: Figure, result: Result) -> None:
        """Above both tasks along λ, below both during training at this λ."""
        panels = figure.subplots(2, 2)
        figure.subplots_adjust(
            left=0.055, right=0.985, bottom=0.1, top=0.93, wspace=0.13, hspace=0.5
        )
        titles = (
            ("target task: test scores", "source task: L_pre at the end"),
            ("at this λ: accuracy on validation reviews", "at this λ: L_pre"),
        )
        for row, label in enumerate(("λ   (0: labels only, 1: texts only)", "step")):
            for column in (0, 1):
                figures.tidy(panels[row, column], titles[row][column], label)
        for axes in panels[0]:
            axes.set_xlim(-0.03, 1.03)
        for axes in panels[1]:
            axes.set_xlim(-3, steps_for(result["n"]) + 3)
        for axes in panels[:, 0]:
            axes.set_ylim(0.38, 0.82)
        for axes in panels[:, 1]:
            axes.set_ylim(4.4, 6.6)
        figures.legend(panels[0, 0], ("accuracy", "macro-F1"), inside="lower left")

    def draw(self, figure: Figure, result: Result, live: Result | None) -> None:
        """Bands along λ, and of the learning curves."""
        target, source, *during = figure.axes
        for style, (axes, metric) in enumerate(
            zip((target, target, source), _METRICS, strict=True)
        ):
            curve = result["curves"][metric]
            figures.band(axes, curve.index, curve["mean"], curve["std"], metric, style)
            if live:
                figures.star(axes, result["lam"], live[metric])
        for axes in (target, source):
            figures.here(axes, result["lam"])
        for style, axes, metric in ((0, during[0], "accuracy"), (2, during[1], "pre")):
            over = result["during"][metric]
            figures.band(axes, result["steps"], over.mean(0), over.std(0, ddof=1), metric, style)
            if live:
                shown = recorded.curves([live[f"curve_{metric}"]])[0]
                figures.live_line(axes, result["steps"], shown)

    def describe(self, result: Result, live: Result | None) -> str:
        """The scores at λ, and where they are best."""
        at = {name: curve.loc[result["lam"]] for name, curve in result["curves"].items()}
        best = result["curves"]["accuracy"]["mean"]
        text = (
            f"λ = {result['lam']:g}, {result['n']:,} labels, embedding from {result['init']}: test "
            f"accuracy {at['accuracy']['mean']:.3f} ± {at['accuracy']['std']:.3f}, macro-F1 "
            f"{at['macro_f1']['mean']:.3f} ± {at['macro_f1']['std']:.3f}, L_pre "
            f"{at['pre']['mean']:.2f} ± {at['pre']['std']:.2f} (mean ± std of {result['runs']} "
            f"seeds). The accuracy is highest at λ = {best.idxmax():g} ({best.max():.3f}). "
            f"A run took {result['seconds']:.0f} s."
        )
        if live:
            text += f" Live: accuracy {live['accuracy']:.3f}, L_pre {live['pre']:.2f}."
        return text

    def code(self, lam: float, n: int, init: str) -> str:
        """Train with seed 0."""
        return textwrap.dedent(f"""\
            from tlcourse.runs.finetuning import adapt

            result = adapt(n={n}, seed=0, init={init!r}, lam={lam})
            print(result)
            """)


class FrozenLayers(Explorer):
    """Which layers train, and how: accuracy against forgetting."""

    name = "frozen layers"
    size = (8.8, 3.6)

    def __init__(self, **settings: object) -> None:
        controls = {
            "embedding": tick("freeze the embedding", False),
            "lower": tick("freeze the lower LSTM", False),
            "upper": tick("freeze the upper LSTM", False),
            "schedule": menu("schedule", tuple(SCHEDULES), "constant rate"),
            "labels": choice("labelled texts", FROZEN_LABELS, 100, "{:,}".format),
        }
        super().__init__(controls, **settings)

    def compute(
        self, embedding: bool, lower: bool, upper: bool, schedule: str, labels: int
    ) -> Result:
        """Recorded runs here and at all other settings with as many labels."""
        means = _means(labels)
        here = recorded.select(
            "frozen_layers", n=labels, embedding=embedding, lower=lower, upper=upper,
            schedule=schedule,
        )  # fmt: skip
        same = means.xs(schedule, level="schedule")
        return {
            "frozen": {"embedding": embedding, "lower": lower, "upper": upper},
            "schedule": schedule, "n": labels, "here": here, "all": means, "same": same,
        }  # fmt: skip

    def train(self, progress: Progress, labels: int, **settings: object) -> Result:
        """Train with a seed that was not recorded."""
        return freeze_and_tune(n=labels, seed=1000, progress=progress, **settings)  # type: ignore[arg-type]

    def frame_key(self, result: Result) -> Hashable:
        """The number of labels: it sets all the other points."""
        return result["n"]

    def frame(self, figure: Figure, result: Result) -> None:
        """The layers on the left; accuracy against forgetting on the right."""
        layers, plane = figure.subplots(1, 2, width_ratios=(1, 2.1))
        figure.subplots_adjust(left=0.01, right=0.98, bottom=0.15, top=0.9, wspace=0.16)
        figures.layer_stack(layers, {})
        figures.tidy(
            plane,
            f"test accuracy, {result['n']:,} labels: all, this schedule (blue), yours (orange)",
            "L_pre after tuning (the more, the more was forgotten)",
        )
        everything = result["all"]
        low, high = everything["accuracy"].min(), everything["accuracy"].max()
        plane.set_ylim(low - 0.035, high + 0.035)
        plane.set_xlim(everything["pre"].min() - 0.2, everything["pre"].max() + 0.4)
        plane.scatter(everything["pre"], everything["accuracy"], s=10, color="#bbbbbb")

    def draw(self, figure: Figure, result: Result, live: Result | None) -> None:
        """Layers with their state; this schedule's points; this setting with its spread."""
        layers, plane = figure.axes
        states = {name: (size, not result["frozen"][name]) for name, size in _sizes().items()}
        figures.layer_stack(layers, {**states, "head": (_HEAD, True)})
        plane.scatter(
            result["same"]["pre"], result["same"]["accuracy"], s=26, color=figures.COLOURS[0]
        )
        here = result["here"]
        plane.errorbar(
            here["pre"].mean(), here["accuracy"].mean(), here["accuracy"].std(),
            here["pre"].std(), "o", ms=9, color=figures.COLOURS[1], capsize=3, zorder=4,
        )  # fmt: skip
        if live:
            figures.star(plane, live["pre"], live["accuracy"])

    def describe(self, result: Result, live: Result | None) -> str:
        """Accuracy, forgetting, parameters, seconds."""
        here, same = result["here"], result["same"]
        frozen = [name for name, state in result["frozen"].items() if state]
        best = same["accuracy"].idxmax()
        others = [name for name, state in zip(result["frozen"], best, strict=True) if state]
        text = (
            f"{result['schedule']}, frozen: {_listed(frozen)}, {result['n']:,} labels: accuracy "
            f"{here['accuracy'].mean():.3f} ± {here['accuracy'].std():.3f}, L_pre "
            f"{here['pre'].mean():.2f} ± {here['pre'].std():.2f} (mean ± std of {len(here)} seeds; "
            f"it was {_pretrained_loss():.2f} before); {int(here['trainable'].iloc[0]):,} shared "
            f"parameters train, {here['seconds'].mean():.1f} s. This schedule does best with "
            f"{_listed(others)} frozen ({same['accuracy'].max():.3f})."
        )
        if live:
            text += f" Live: accuracy {live['accuracy']:.3f}, L_pre {live['pre']:.2f}."
        return text

    def code(self, embedding: bool, lower: bool, upper: bool, schedule: str, labels: int) -> str:
        """Train with seed 0."""
        frozen = {"embedding": embedding, "lower": lower, "upper": upper}
        layers = tuple(name for name in LAYERS if not frozen[name])
        options = "".join(f", {key}={value!r}" for key, value in SCHEDULES[schedule].items())
        return textwrap.dedent(f"""\
            from tlcourse.runs.finetuning import adapt

            result = adapt(n={labels}, seed=0, init="random", layers={layers!r}{options})
            print(result)
            """)


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "nothing"


@lru_cache(maxsize=2)
def _means(labels: int) -> pd.DataFrame:
    """Mean accuracy and L_pre of all settings with as many labels."""
    groups = recorded.select("frozen_layers", n=labels).groupby([*LAYERS, "schedule"])
    return groups[["accuracy", "pre"]].mean()


@lru_cache(maxsize=1)
def _pretrained_loss() -> float:
    """L_pre of the pretrained encoder: where every layer is frozen it stays."""
    rows = recorded.select("frozen_layers", embedding=True, lower=True, upper=True)
    return float(rows["pre"].mean())


@lru_cache(maxsize=1)
def _sizes() -> dict[str, int]:
    """Shared parameters by layer, from what was recorded as trainable."""
    sizes = {}
    for layer in LAYERS:
        frozen = {name: name != layer for name in LAYERS}
        sizes[layer] = int(recorded.select("frozen_layers", **frozen)["trainable"].iloc[0])
    return sizes


from tlcourse.finetuning.explorers_collapse import CollapsingLoss  # noqa: E402, F401
