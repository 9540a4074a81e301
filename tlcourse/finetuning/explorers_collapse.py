"""Lesson 3's explorer of pretraining losses that collapse."""

from __future__ import annotations

import textwrap

import numpy as np
from matplotlib.figure import Figure

from experiments.collapse import EVERY, LOSSES, POSITIONS, STEPS, pretraining_losses
from tlcourse import recorded
from tlcourse.training import Progress
from tlcourse.widgets import figures
from tlcourse.widgets.controls import menu, tick
from tlcourse.widgets.explorer import Explorer, Result


class CollapsingLoss(Explorer):
    """Three pretraining losses: what becomes of the embedding."""

    name = "collapse"
    size = (8.8, 3.0)

    def __init__(self, **settings: object) -> None:
        controls = {
            "loss": menu("loss", LOSSES, LOSSES[0]),
            "target": menu("state i is compared with", POSITIONS, "next word"),
            "trainable": tick("E is trainable", True),
        }
        super().__init__(controls, **settings)

    def compute(self, loss: str, target: str, trainable: bool) -> Result:
        """Recorded curves."""
        rows = recorded.select("pretraining_losses", loss=loss, target=target, trainable=trainable)
        curves = {
            name: recorded.curves(rows[f"curve_{name}"]) for name in ("loss", "std", "cosine")
        }
        curves["loss"] = curves["loss"] / curves["loss"][:, :1]
        return {
            "loss": loss, "target": target, "trainable": trainable, "curves": curves,
            "copy": rows["copy"].mean(), "runs": len(rows),
        }  # fmt: skip

    def train(self, progress: Progress, **settings: object) -> Result:
        """Train with a seed that was not recorded."""
        found = pretraining_losses(**settings, seed=1000, progress=progress)  # type: ignore[arg-type]
        curves = {
            name: recorded.curves([str(found[f"curve_{name}"])])
            for name in ("loss", "std", "cosine")
        }
        curves["loss"] = curves["loss"] / curves["loss"][:, :1]
        return {**found, "curves": curves}

    def frame(self, figure: Figure, result: Result) -> None:
        """Loss, std(E) and mean cosine over the steps."""
        panels = figure.subplots(1, 3)
        figure.subplots_adjust(left=0.045, right=0.985, bottom=0.17, top=0.87, wspace=0.2)
        titles = ("loss ÷ loss at the start", "std(E)", "mean cosine of words' embeddings")
        for axes, title, high in zip(panels, titles, (1.15, 1.75, 1.05), strict=True):
            figures.tidy(axes, title, "step")
            axes.set_xlim(-5, STEPS + 5)
            axes.set_ylim(-0.05, high)

    def draw(self, figure: Figure, result: Result, live: Result | None) -> None:
        """Bands over the seeds."""
        for style, (axes, (name, curve)) in enumerate(
            zip(figure.axes, result["curves"].items(), strict=True)
        ):
            steps = np.arange(curve.shape[1]) * EVERY
            figures.band(axes, steps, curve.mean(0), curve.std(0, ddof=1), name, style)
            if live:
                figures.live_line(axes, steps, live["curves"][name][0])

    def describe(self, result: Result, live: Result | None) -> str:
        """Where the three end, and what the states are good for."""
        end = {name: curve[:, -1] for name, curve in result["curves"].items()}
        start = result["curves"]["std"][:, 0].mean()
        text = (
            f"{result['loss']}, {result['target']}, E "
            f"{'trains' if result['trainable'] else 'is frozen'}: after {STEPS} steps the loss is "
            f"{end['loss'].mean():.1%} of its start, std(E) goes from {start:.2f} to "
            f"{end['std'].mean():.2f} ± {end['std'].std(ddof=1):.2f}, mean cosine "
            f"{end['cosine'].mean():z.2f}; a state's cosine with the word just "
            f"read is {result['copy']:z.2f} ({result['runs']} seeds)."
        )
        if live:
            text += f" Live: std(E) {live['curves']['std'][0, -1]:.2f}."
        return text

    def code(self, loss: str, target: str, trainable: bool) -> str:
        """Pretrain with seed 0."""
        return textwrap.dedent(f"""\
            from tlcourse.runs.collapse import pretraining_losses

            result = pretraining_losses({target!r}, {trainable}, {loss!r}, seed=0)
            print(result)
            """)
