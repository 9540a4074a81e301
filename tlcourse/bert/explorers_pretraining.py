"""Lesson 5's explorer of pretraining: the long run, and the first steps of a small one."""

from __future__ import annotations

import json
import textwrap
from functools import lru_cache
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.own_bert import BIASES, FIRST_RATES, TINY_CHECKS, first_steps
from tlcourse import recorded
from tlcourse.paths import data_dir
from tlcourse.training import Progress
from tlcourse.widgets import figures
from tlcourse.widgets.controls import choice, menu
from tlcourse.widgets.explorer import Explorer, Result


@lru_cache(maxsize=1)
def recipe() -> dict[str, Any]:
    """How the own BERT was pretrained, and how that went."""
    place = data_dir() / "models" / "bert-zh" / "recipe.json"
    return json.loads(place.read_text(encoding="utf8"))


def checked_steps() -> tuple[int, ...]:
    """The steps after which the long run was judged."""
    return tuple(check["step"] for check in recipe()["checks"])


class PretrainingCurve(Explorer):
    """The own BERT's pretraining, step by step, and 200 steps of a very small one, live too."""

    name = "pretraining curve"
    size = (8.8, 3.2)

    def __init__(self, **settings: object) -> None:
        controls = {
            "step": choice("long run: after step", checked_steps(), 1000),
            "bias": menu("first steps: output bias starts from", BIASES, BIASES[0]),
            "learning_rate": choice("first steps: learning rate", FIRST_RATES, 1e-3, "{:g}".format),
        }
        super().__init__(controls, **settings)

    def compute(self, step: int, bias: str, learning_rate: float) -> Result:
        """The long run's scores after a step, and the recorded first steps."""
        rows = recorded.select("first_steps", bias=bias, learning_rate=learning_rate)
        check = next(check for check in recipe()["checks"] if check["step"] == step)
        return {"check": check, "bias": bias, "curves": recorded.curves(rows["curve"])}

    def train(self, progress: Progress, step: int, bias: str, learning_rate: float) -> Result:
        """Pretrain a very small BERT for 200 steps with a seed that was not recorded."""
        found = first_steps(bias, learning_rate, seed=1000, progress=progress)
        return {"curve": recorded.curves([str(found["curve"])])[0]}

    def frame(self, figure: Figure, result: Result) -> None:
        """The long run's loss and scores; axes for the first steps."""
        long, scores, short = figure.subplots(1, 3, width_ratios=(1.3, 1, 1.1))
        figure.subplots_adjust(left=0.05, right=0.99, bottom=0.16, top=0.89, wspace=0.22)
        about, checks = recipe(), recipe()["checks"]
        figures.tidy(long, "long run: MLM loss (grey: training texts)", "step")
        steps = 25 + 50 * np.arange(len(about["train_mlm"]))
        long.plot(steps, about["train_mlm"], color="#aaaaaa", lw=1)
        long.plot(
            checked_steps(), [check["mlm"] for check in checks], "o-", ms=4,
            color=figures.COLOURS[0],
        )  # fmt: skip
        figures.level(long, about["unigram_loss"], "guessing by frequency")
        figures.tidy(scores, "long run: shares right", "step")
        for style, metric in enumerate(("mlm_accuracy", "nsp_accuracy", "reviews")):
            scores.plot(
                [check["step"] for check in checks if metric in check],
                [check[metric] for check in checks if metric in check],
                marker=figures.MARKERS[style], ms=4, color=figures.COLOURS[style],
            )  # fmt: skip
        names = ("masked characters", "sentence pairs", "reviews, tuned")
        figures.legend(scores, names, inside="lower right")
        scores.set_ylim(0, 1)
        figures.tidy(short, "small BERT's first steps: loss", "step")
        figures.level(short, about["unigram_loss"], "guessing by frequency")
        short.set_xlim(-4, TINY_CHECKS[-1] + 4)
        short.set_ylim(6.2, 8.5)

    def draw(self, figure: Figure, result: Result, live: Result | None) -> None:
        """A line at the step, and the recorded and live first steps."""
        long, scores, short = figure.axes
        for axes in (long, scores):
            figures.here(axes, result["check"]["step"])
        curves = result["curves"]
        figures.band(short, list(TINY_CHECKS), curves.mean(0), curves.std(0, ddof=1), "")
        if live:
            figures.live_line(short, np.array(TINY_CHECKS), live["curve"])

    def describe(self, result: Result, live: Result | None) -> str:
        """Both runs' numbers."""
        check, curves = result["check"], result["curves"]
        text = (
            f"Long run after {check['step']:,} steps: validation MLM loss {check['mlm']:.2f} "
            f"(guessing by frequency: {recipe()['unigram_loss']:.2f}), {check['mlm_accuracy']:.0%} "
            f"of masked characters and {check['nsp_accuracy']:.0%} of sentence pairs right"
        )
        if "reviews" in check:
            text += f"; reviews, tuned on 200 labels: accuracy {check['reviews']:.3f}"
        text += (
            f". First steps, bias from {result['bias']}: loss {curves[:, 0].mean():.2f} → "
            f"{curves[:, -1].mean():.2f} ± {curves[:, -1].std(ddof=1):.2f} in {TINY_CHECKS[-1]} "
            f"steps ({len(curves)} seeds)."
        )
        if live:
            text += f" Live: {live['curve'][0]:.2f} → {live['curve'][-1]:.2f}."
        return text

    def code(self, step: int, bias: str, learning_rate: float) -> str:
        """The first steps with seed 0."""
        return textwrap.dedent(f"""\
            from tlcourse.runs.own_bert import first_steps

            result = first_steps({bias!r}, {learning_rate}, seed=0)
            print(result)
            """)
