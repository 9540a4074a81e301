"""Lesson 5's explorers: what to freeze, and pretraining; those of typed text beside them."""

from __future__ import annotations

import json
import time
from collections.abc import Hashable
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from tlcourse import recorded
from tlcourse.bert.classifier import tune
from tlcourse.bert.explorers_text import AttentionViewer, FillMask
from tlcourse.bert.fresh import first_steps
from tlcourse.bert.layers import TUNING_METHODS
from tlcourse.bert.masking import encode_documents, load_documents, masked_batches
from tlcourse.bert.models import load_tokenizer
from tlcourse.data.datasets import load_movie_reviews
from tlcourse.paths import data_dir
from tlcourse.training import Progress
from tlcourse.widgets import figures
from tlcourse.widgets.curves import Chart, CurveExplorer, Knob, plus_minus
from tlcourse.widgets.explorer import Result
from tlcourse.widgets.snippets import snippet

__all__ = ["AttentionViewer", "FillMask", "FreezeDial", "PretrainingCurve", "method_runs"]

_NEW_SEED = 1000  # of live runs; it was not recorded
_LAYERS = 6
_AS_DEPTH = {"last layer": _LAYERS - 1, "head": _LAYERS}  # methods that are the dial at one place
_APART = {"LoRA": _LAYERS + 1.4, "BitFit": _LAYERS + 2.4}  # and those beside it, with their places


def method_runs(method: str, frozen: int, **settings: Any) -> pd.DataFrame:
    """The recorded runs of a method on movie reviews; ``frozen`` counts for ``"full"`` only."""
    if method in _APART:
        return recorded.select("efficient_tuning", method=method, **settings)
    return recorded.select("freeze_dial", frozen=_AS_DEPTH.get(method, frozen), **settings)


@lru_cache(maxsize=2)
def _limits(metric: str) -> tuple[float, float]:
    """Limits of an axis, the same for all settings."""
    tables = [recorded.load("freeze_dial"), recorded.load("efficient_tuning")]
    values = pd.concat([table[metric] for table in tables])
    room = 0.04 * (values.max() - values.min())
    return values.min() - room, values.max() + room


class FreezeDial(CurveExplorer):
    """How many layers to freeze, for how many labels, at which rate, or which other method."""

    name = "freeze dial"
    size = (8.8, 3.4)
    sweep = "freeze_dial"
    x = "frozen"
    knobs: ClassVar = {
        "method": Knob("what trains", "full", values=TUNING_METHODS),
        "frozen": Knob("frozen layers k (with “full”)", 4),
        "labels": Knob("labels n", 200),
        "learning_rate": Knob("learning rate", 3e-4, "{:g}".format),
    }

    def __init__(self, **settings: object) -> None:
        super().__init__(**settings)
        self.controls["method"].observe(self._lock_depth, "value")
        self._lock_depth()

    def _lock_depth(self, change: Any = None) -> None:
        """The depth is the dial of “full” only."""
        self.controls["frozen"].disabled = self.controls["method"].value != "full"

    def charts(self, result: Result) -> list[Chart]:
        """Accuracy and cost along k, with places for the methods that have no k."""
        ticks = {k: str(k) for k in range(_LAYERS + 1)} | {x: name for name, x in _APART.items()}
        shown: tuple[tuple[str, str, dict[str, Any]], ...] = (
            ("accuracy", f"test accuracy, {result['labels']:,} labels", {"chance": 0.5}),
            ("cpu_seconds", "CPU seconds of training", {}),
        )
        return [
            Chart(
                title, "frozen layers k, and methods without k", {metric: "full above k"},
                _limits(metric), ticks=ticks, levels=levels,
            )
            for metric, title, levels in shown
        ]  # fmt: skip

    def compute(self, **at: Any) -> Result:
        """Recorded scores and costs of the choice, and those along k beside them."""
        method = at["method"]
        result = super().compute(**at | {"frozen": _AS_DEPTH.get(method, at["frozen"])})
        if method in _APART:
            here = method_runs(**at)
            result |= {"frozen": _APART[method], "here": here}
        return result

    def too_long(self, method: str, frozen: int, labels: int, learning_rate: float) -> str:
        """Where a live run would take longer than fifteen seconds."""
        least = 4 if labels <= 200 else _LAYERS
        if method not in _APART and _AS_DEPTH.get(method, frozen) >= least:
            return ""
        return (
            "A live run would take more than fifteen seconds here; frozen layers run once, so "
            f"choose k ≥ 4 with up to 200 labels, or k = {_LAYERS} (“Copy as code” gives the long "
            "run)."
        )

    def train(self, progress: Progress, method: str, frozen: int, **at: Any) -> Result:
        """Tune MiniLM."""
        reviews = load_movie_reviews()
        train = reviews.subset("train").sample(at["labels"], _NEW_SEED)
        test, start = reviews.subset("test").sample(500, 0), time.process_time()
        clf = tune(
            "minilm", train.texts, train.labels.tolist(), frozen=_AS_DEPTH.get(method, frozen),
            pooling="mean", learning_rate=at["learning_rate"], max_length=32, seed=_NEW_SEED,
            device="cpu", progress=progress,
        )  # fmt: skip
        spent = time.process_time() - start
        return {**clf.scores(test.texts, test.labels.tolist()), "cpu_seconds": spent}

    def frame_key(self, result: Result) -> Hashable:
        """The labels and the rate."""
        return result["labels"], result["learning_rate"]

    def frame(self, figure: Figure, result: Result) -> None:
        """The charts, and the methods that have no k."""
        super().frame(figure, result)
        at = {name: result[name] for name in ("labels", "learning_rate")}
        for method, place in _APART.items():
            table = method_runs(method, 0, **at)
            for axes, metric in zip(figure.axes, ("accuracy", "cpu_seconds"), strict=True):
                axes.errorbar(
                    place, table[metric].mean(), table[metric].std(),
                    fmt="s", ms=5, color=figures.COLOURS[1], capsize=3,
                )  # fmt: skip

    def describe(self, result: Result, live: Result | None) -> str:
        """Scores, cost and share of the choice."""
        here, what = result["here"], result["method"]
        mean, std = here.mean(numeric_only=True), here.std(numeric_only=True)
        if what not in _APART:
            what = f"{what}, k = {result['frozen']} of {_LAYERS} layers frozen"
        text = (
            f"{what}; {result['labels']:,} labels, rate {result['learning_rate']:g}: test accuracy "
            f"{mean['accuracy']:.3f} ± {std['accuracy']:.3f}, macro-F1 {mean['macro_f1']:.3f} ± "
            f"{std['macro_f1']:.3f} (mean ± std of {len(here)} seeds); "
            f"{100 * mean['trainable']:.3g} % of the parameters train, {mean['cpu_seconds']:.1f} s "
            "of one core."
        )
        if live:
            text += f" Live: {live['accuracy']:.3f}, {live['cpu_seconds']:.1f} s."
        return text

    def code(self, method: str, frozen: int, labels: int, learning_rate: float) -> str:
        """Tune with seed 0."""
        how = f"frozen={frozen}" if method == "full" else f"method={method!r}"
        return snippet("FreezeDial", {"how": how}, labels=labels, learning_rate=learning_rate)


@lru_cache(maxsize=1)
def _recipe() -> dict[str, Any]:
    """How the own BERT was pretrained, and how that went."""
    place = data_dir() / "models" / "bert-zh" / "recipe.json"
    return json.loads(place.read_text(encoding="utf8"))


@lru_cache(maxsize=1)
def _material() -> tuple[Any, Any, Any]:
    """A quarter of the documents: more than 200 steps read, and soon tokenised."""
    tokenizer: Any = load_tokenizer("bert-zh")
    documents, held_out = (
        encode_documents(load_documents(split)[::4], tokenizer) for split in ("train", "validation")
    )
    return documents, tokenizer, masked_batches(held_out, tokenizer, 128, 48, 128)


class PretrainingCurve(CurveExplorer):
    """The own BERT's pretraining, step by step, and 200 steps of a very small one, live too."""

    name = "pretraining curve"
    size = (8.8, 3.2)
    sweep = "first_steps"
    margins = (0.05, 0.16, 0.99, 0.89, 0.18)
    knobs: ClassVar = {
        "step": Knob("long run: after step", 1000, values=[c["step"] for c in _recipe()["checks"]]),
        "bias": Knob("first steps: output bias starts from", "zeros"),
        "learning_rate": Knob("first steps: learning rate", 1e-3, "{:g}".format),
    }

    def charts(self, result: Result) -> list[Chart]:
        """The long run's loss and scores; the first steps."""
        guess, last = {"guessing by frequency": _recipe()["unigram_loss"]}, _checks("mlm").index[-1]
        shown: tuple[tuple[Any, ...], ...] = (
            ("long run: MLM loss (grey: training)", {}, (2.5, 6.9), guess, last),
            ("long run: shares right", {}, (0, 1), {}, last),
            ("small BERT's first steps: loss", {"curve": ""}, (6.2, 8.5), guess, 200),
        )
        return [
            Chart(title, "step", lines, ylim, levels=levels, steps=steps)
            for title, lines, ylim, levels, steps in shown
        ]

    def compute(self, **at: Any) -> Result:
        """The long run's scores after a step, and the recorded first steps."""
        check = next(check for check in _recipe()["checks"] if check["step"] == at["step"])
        return {**super().compute(**at), "check": check}

    def train(self, progress: Progress, step: int, bias: str, learning_rate: float) -> Result:
        """Pretrain a very small BERT for 200 steps."""
        checks = first_steps(*_material(), bias, learning_rate, seed=_NEW_SEED, progress=progress)
        return {"curve": np.array([check["mlm"] for check in checks])}

    def frame(self, figure: Figure, result: Result) -> None:
        """The charts, and the long run's curves."""
        super().frame(figure, result)
        long, scores, _ = figure.axes
        losses, checks = _recipe()["train_mlm"], _checks("mlm")
        long.plot(25 + 50 * np.arange(len(losses)), losses, color="#aaaaaa", lw=1)
        long.plot(checks.index, checks, "o-", ms=4, color=figures.COLOURS[0])
        for style, metric in enumerate(("mlm_accuracy", "nsp_accuracy", "reviews")):
            look: Any = {"marker": figures.MARKERS[style], "color": figures.COLOURS[style]}
            scores.plot(_checks(metric).index, _checks(metric), ms=4, **look)
        names = ("masked characters", "sentence pairs", "reviews, tuned")
        figures.legend(scores, names, inside="lower right")

    def draw(self, figure: Figure, result: Result, live: Result | None) -> None:
        """A line at the step, and the recorded and live first steps."""
        super().draw(figure, result, live)
        for axes in figure.axes[:2]:
            figures.here(axes, result["step"])

    def describe(self, result: Result, live: Result | None) -> str:
        """Both runs' numbers."""
        check, curves = result["check"], recorded.curves(result["here"]["curve"])
        text = (
            f"Long run after {check['step']:,} steps: validation MLM loss {check['mlm']:.2f} "
            f"(guessing by frequency: {_recipe()['unigram_loss']:.2f}), "
            f"{check['mlm_accuracy']:.0%} of masked characters and {check['nsp_accuracy']:.0%} of "
            "sentence pairs right"
        )
        if "reviews" in check:
            text += f"; reviews, tuned on 200 labels: accuracy {check['reviews']:.3f}"
        text += (
            f". First steps, bias from {result['bias']}: loss {curves[:, 0].mean():.2f} → "
            f"{plus_minus(curves[:, -1], 2)} in 200 steps ({len(curves)} seeds)."
        )
        if live:
            text += f" Live: {live['curve'][0]:.2f} → {live['curve'][-1]:.2f}."
        return text


def _checks(metric: str) -> pd.Series:
    """A score of the long run by step, where it was taken."""
    return pd.DataFrame(_recipe()["checks"]).set_index("step")[metric].dropna()
