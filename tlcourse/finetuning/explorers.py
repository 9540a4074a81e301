"""Lesson 3's explorers: λ, frozen layers, and pretraining losses that collapse."""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from matplotlib.figure import Figure

from tlcourse import recorded
from tlcourse.finetuning.collapse import pretrain_encoder
from tlcourse.finetuning.start import build_model
from tlcourse.finetuning.tasks import load_task
from tlcourse.finetuning.tuning import evaluate, source_loss, tune
from tlcourse.models import LAYERS
from tlcourse.training import Progress
from tlcourse.widgets import figures
from tlcourse.widgets.curves import Chart, CurveExplorer, Knob, over_steps, plus_minus
from tlcourse.widgets.explorer import Result
from tlcourse.widgets.snippets import snippet

if TYPE_CHECKING:
    import pandas as pd

_HEAD = 64 * 2 + 2  # the upper LSTM's width × two classes, and a bias each

_SCHEDULES: dict[str, dict[str, Any]] = {
    "constant rate": {},
    "slanted triangular": {"rate": "slanted triangular"},
    "gradual unfreezing": {"gradual": True},
    "discriminative rates": {"factor": 2.6},
    "all three (ULMFiT)": {"rate": "slanted triangular", "gradual": True, "factor": 2.6},
    "L2-SP, α = 0.001": {"l2_sp": 0.001},
    "L2-SP, α = 0.01": {"l2_sp": 0.01},
    "L2-SP, α = 0.1": {"l2_sp": 0.1},
}


def _steps(n: int) -> int:
    """Updates for n labels, as the recorded runs have them."""
    return 100 if n < 1000 else 150


def _adapted(
    n: int, init: str, progress: Progress, checks: int = 0, **options: Any
) -> dict[str, Any]:
    """A model tuned on n reviews with a seed that was not recorded, judged on both tasks."""
    task, steps = load_task("zh_reviews"), _steps(n)
    model, held_out = build_model(task, init, seed=1000), task.splits["validation"]
    probe = held_out.take(np.random.default_rng(0).permutation(len(held_out))[:300])

    def check() -> dict[str, float]:
        accuracy = evaluate(model, probe)["accuracy"]
        return {"curve_accuracy": accuracy, "curve_pre": source_loss(model, held_out, 60)}

    history = tune(
        model, task.sample(n, seed=1000), steps=steps, learning_rate=3e-3, seed=1000,
        source=task.splits["train"], source_batch_size=8, progress=progress, device="cpu",
        check_at=[steps * point // checks for point in range(checks + 1)] if checks else (),
        on_check=check, **options,
    )  # fmt: skip
    found = evaluate(model, task.splits["test"])
    found["pre"] = source_loss(model, held_out, 200)
    return found | {
        name: np.array([check[name] for check in history.checks])
        for name in ("curve_accuracy", "curve_pre")
    }


class MixtureLambda(CurveExplorer):
    """λ between the language model and the labels: both tasks' scores and learning curves."""

    name = "λ for the losses"
    size = (8.8, 4.9)
    sweep, x, across = "mixture_lambda", "lam", 2
    margins = 0.055, 0.1, 0.985, 0.93, 0.13, 0.5
    knobs: ClassVar = {
        "lam": Knob("λ", 0.5),
        "n": Knob("labels", 200, "{:,}".format),
        "init": Knob("embedding from", "own vectors"),
    }

    def charts(self, result: Result) -> list[Chart]:
        """Above both tasks along λ, below both during training at this λ."""
        x, steps = "λ   (0: labels only, 1: texts only)", _steps(result["n"])
        target, source = (0.38, 0.82), (4.4, 6.6)
        scores = {"accuracy": "accuracy", "macro_f1": "macro-F1"}
        during = {"curve_accuracy": "accuracy"}
        title = "at this λ: accuracy on validation reviews"
        return [
            Chart("target task: test scores", x, scores, target, legend="lower left"),
            Chart("source task: L_pre at the end", x, {"pre": "L_pre"}, source),
            Chart(title, "step", during, target, steps=steps),
            Chart("at this λ: L_pre", "step", {"curve_pre": "L_pre"}, source, steps=steps),
        ]

    def train(self, progress: Progress, lam: float, n: int, init: str) -> Result:
        """Train with a seed that was not recorded."""
        return _adapted(n, init, progress, checks=5, lam=lam)

    def describe(self, result: Result, live: Result | None) -> str:
        """The scores at λ, and where they are best."""
        best = result["lines"]["accuracy"]["mean"]
        text = (
            f"λ = {result['lam']:g}, {result['n']:,} labels, embedding from {result['init']}: test "
            f"accuracy {self.told(result, 'accuracy')}, macro-F1 {self.told(result, 'macro_f1')}, "
            f"L_pre {self.told(result, 'pre', 2)} (mean ± std of {len(result['here'])} "
            f"seeds). The accuracy is highest at λ = {best.idxmax():g} ({best.max():.3f}). "
            f"A run took {result['here']['seconds'].mean():.0f} s."
        )
        return text + _told_live(live)

    def code(self, lam: float, n: int, init: str) -> str:
        """Train with seed 0."""
        return snippet("MixtureLambda", lam=lam, n=n, init=init, steps=_steps(n))


class FrozenLayers(CurveExplorer):
    """Which layers train, and how: accuracy against forgetting."""

    name = "frozen layers"
    size = (8.8, 3.6)
    sweep = "frozen_layers"
    knobs: ClassVar = {
        "embedding": Knob("freeze the embedding", False),
        "lower": Knob("freeze the lower LSTM", False),
        "upper": Knob("freeze the upper LSTM", False),
        "schedule": Knob("schedule", "constant rate"),
        "labels": Knob("labelled texts", 100, "{:,}".format, "n"),
    }

    def charts(self, result: Result) -> list[Chart]:
        """None: layers and a plane are drawn."""
        return []

    def compute(self, **settings: Any) -> Result:
        """Recorded runs here and at all other settings with as many labels."""
        result = super().compute(**settings)
        means = _means(result["n"])
        return {**result, "all": means, "same": means.xs(result["schedule"], level="schedule")}

    def train(self, progress: Progress, labels: int, schedule: str, **frozen: bool) -> Result:
        """Train with a seed that was not recorded."""
        names = [name for name in LAYERS if frozen[name]]
        return _adapted(labels, "random", progress, frozen=names, **_SCHEDULES[schedule])

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
        pre, accuracy = result["all"]["pre"], result["all"]["accuracy"]
        plane.set_ylim(accuracy.min() - 0.035, accuracy.max() + 0.035)
        plane.set_xlim(pre.min() - 0.2, pre.max() + 0.4)
        plane.scatter(pre, accuracy, s=10, color="#bbbbbb")

    def draw(self, figure: Figure, result: Result, live: Result | None) -> None:
        """Layers with their state; this schedule's points; this setting with its spread."""
        layers, plane = figure.axes
        states = {name: (size, not result[name]) for name, size in _sizes().items()}
        figures.layer_stack(layers, {**states, "head": (_HEAD, True)})
        same, here = result["same"], result["here"][["pre", "accuracy"]]
        plane.scatter(same["pre"], same["accuracy"], s=26, color=figures.COLOURS[0])
        (pre, accuracy), (width, height) = here.mean(), here.std()
        plane.errorbar(
            pre, accuracy, height, width, "o", ms=9, color=figures.COLOURS[1], capsize=3, zorder=4
        )
        if live:
            figures.star(plane, live["pre"], live["accuracy"])

    def describe(self, result: Result, live: Result | None) -> str:
        """Accuracy, forgetting, parameters, seconds."""
        here, same = result["here"], result["same"]["accuracy"]
        text = (
            f"{result['schedule']}, frozen: {_listed(result[name] for name in LAYERS)}, "
            f"{result['n']:,} labels: accuracy {plus_minus(here['accuracy'])}, L_pre "
            f"{plus_minus(here['pre'], 2)} (mean ± std of {len(here)} seeds; "
            f"it was {_pretrained_loss():.2f} before); {int(here['trainable'].iloc[0]):,} shared "
            f"parameters train, {here['seconds'].mean():.1f} s. This schedule does best with "
            f"{_listed(same.idxmax())} frozen ({same.max():.3f})."
        )
        return text + _told_live(live)

    def code(self, schedule: str, labels: int, **frozen: bool) -> str:
        """Train with seed 0."""
        names = tuple(name for name in LAYERS if frozen[name])
        options = "".join(f"{key}={value!r}, " for key, value in _SCHEDULES[schedule].items())
        parts = {"options": options.rstrip()}
        return snippet("FrozenLayers", parts, n=labels, frozen=names, steps=_steps(labels))


def _listed(frozen: Any) -> str:
    """The frozen ones of the layers."""
    names = [name for name, state in zip(LAYERS, frozen, strict=True) if state]
    return ", ".join(names) or "nothing"


def _told_live(live: Result | None) -> str:
    return f" Live: accuracy {live['accuracy']:.3f}, L_pre {live['pre']:.2f}." if live else ""


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


class CollapsingLoss(CurveExplorer):
    """Three pretraining losses: what becomes of the embedding."""

    name = "collapse"
    size = (8.8, 3.0)
    sweep = "pretraining_losses"
    margins = 0.045, 0.17, 0.985, 0.87, 0.2
    knobs: ClassVar = {
        "loss": Knob("loss", "distance, as written"),
        "target": Knob("state i is compared with", "next word"),
        "trainable": Knob("E is trainable", True),
    }

    def charts(self, result: Result) -> list[Chart]:
        """Loss, std(E) and mean cosine over the steps."""
        titles = ("loss ÷ loss at the start", "std(E)", "mean cosine of words' embeddings")
        parts = zip(titles, ("loss", "std", "cosine"), (1.15, 1.75, 1.05), strict=True)
        return [
            Chart(title, "step", {f"curve_{name}": name}, (-0.05, high), steps=400)
            for title, name, high in parts
        ]

    def line(self, result: Result, name: str, chart: Chart) -> pd.DataFrame:
        """Curves; the loss as a share of that at the start."""
        curves = recorded.curves(result["here"][name])
        return over_steps(curves / curves[:, :1] if name == "curve_loss" else curves, chart.steps)

    def train(self, progress: Progress, **settings: Any) -> Result:
        """Train with a seed that was not recorded."""
        splits = load_task("zh_reviews").splits
        _, history = pretrain_encoder(
            splits["train"], splits["validation"], **settings, seed=1000, progress=progress,
            device="cpu",
        )  # fmt: skip
        names = ("loss", "std", "cosine")
        curves = {f"curve_{k}": np.array([check[k] for check in history.checks]) for k in names}
        return {**curves, "curve_loss": curves["curve_loss"] / curves["curve_loss"][0]}

    def describe(self, result: Result, live: Result | None) -> str:
        """Where the three end, and what the states are good for."""
        end = {name: line.iloc[-1] for name, line in result["lines"].items()}
        std, here = end["curve_std"], result["here"]
        text = (
            f"{result['loss']}, {result['target']}, E "
            f"{'trains' if result['trainable'] else 'is frozen'}: after 400 steps the loss is "
            f"{end['curve_loss']['mean']:.1%} of its start, std(E) goes from "
            f"{result['lines']['curve_std']['mean'].iloc[0]:.2f} to "
            f"{std['mean']:.2f} ± {std['std']:.2f}, mean cosine "
            f"{end['curve_cosine']['mean']:z.2f}; a state's cosine with the word just "
            f"read is {here['copy'].mean():z.2f} ({len(here)} seeds)."
        )
        return f"{text} Live: std(E) {live['curve_std'][-1]:.2f}." if live else text
