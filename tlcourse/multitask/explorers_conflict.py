"""Lesson 4's explorer of gradients that conflict."""

from __future__ import annotations

import textwrap
from collections.abc import Hashable

import numpy as np
from matplotlib.figure import Figure

from experiments.conflict import COSINE_CHECKS, conflict, cosine_curves, task_pairs
from experiments.multitask import EVERYTHING, SETS, STEPS, checkpoints, members
from tlcourse import recorded
from tlcourse.training import Progress
from tlcourse.widgets import figures
from tlcourse.widgets.controls import choice, menu, tick
from tlcourse.widgets.explorer import Explorer, Result


class GradientConflict(Explorer):
    """Cosines between the tasks' gradients on the trunk, with PCGrad on or off."""

    name = "gradient conflict"
    size = (8.8, 3.8)

    def __init__(self, **settings: object) -> None:
        controls = {
            "tasks": menu("tasks on the trunk", (*SETS, EVERYTHING), EVERYTHING),
            "step": choice("training step", checkpoints(COSINE_CHECKS), 100),
            "pcgrad": tick("PCGrad", False),
        }
        super().__init__(controls, **settings)

    def compute(self, tasks: str, step: int, pcgrad: bool) -> Result:
        """Recorded cosines: seeds × points × pairs."""
        names = members(tasks)
        both = {
            method: recorded.select("gradient_conflict", tasks=tasks, method=method)
            for method in ("weights", "PCGrad")
        }
        rows = both["PCGrad" if pcgrad else "weights"]
        return {
            "tasks": tasks, "names": names, "pairs": task_pairs(tasks), "step": step,
            "pcgrad": pcgrad, "cosines": cosine_curves(rows["curve_cosines"], tasks),
            "runs": len(rows),
            "accuracy": {method: table["mean_accuracy"] for method, table in both.items()},
        }  # fmt: skip

    def train(self, progress: Progress, tasks: str, step: int, pcgrad: bool) -> Result:
        """Train with a seed that was not recorded."""
        method = "PCGrad" if pcgrad else "weights"
        found = conflict(tasks, method, seed=1000, progress=progress)
        return {**found, "cosines": cosine_curves([str(found["curve_cosines"])], tasks)[0]}

    def frame_key(self, result: Result) -> Hashable:
        """The set of tasks."""
        return result["tasks"]

    def frame(self, figure: Figure, result: Result) -> None:
        """A matrix on the left, curves on the right."""
        matrix, curves = figure.subplots(1, 2, width_ratios=(1, 1.35))
        figure.subplots_adjust(left=0.075, right=0.985, bottom=0.13, top=0.9, wspace=0.16)
        figures.matrix_frame(matrix, result["names"], result["names"], "mean cosine at this step")
        figures.tidy(curves, "each pair during training (dark: the lowest at this step)", "step")
        curves.set_xlim(-3, STEPS + 3)
        curves.set_ylim(-1.02, 1.02)
        curves.axhline(0, color="#777777", lw=1)

    def draw(self, figure: Figure, result: Result, live: Result | None) -> None:
        """Numbers in the matrix; a line for each pair, the lowest one as a band."""
        matrix, curves = figure.axes
        points, at = checkpoints(COSINE_CHECKS), result["step"]
        mean, std = result["cosines"].mean(0), result["cosines"].std(0, ddof=1)
        place = points.index(at)
        values = np.full((len(result["names"]),) * 2, np.nan)
        for (one, two), cosine in zip(result["pairs"], mean[place], strict=True):
            row, column = result["names"].index(one), result["names"].index(two)
            values[row, column] = values[column, row] = cosine
        figures.matrix_cells(matrix, values, 1.0)
        for pair in range(len(result["pairs"])):
            curves.plot(points, mean[:, pair], color="#9bb8cc", lw=1)
        worst = int(mean[place].argmin())
        figures.band(curves, points, mean[:, worst], std[:, worst], "lowest", 0)
        figures.here(curves, at)
        if live:
            figures.live_line(curves, np.array(points), live["cosines"][:, worst])

    def describe(self, result: Result, live: Result | None) -> str:
        """The lowest cosine, how often pairs conflict, and what PCGrad brings."""
        place = checkpoints(COSINE_CHECKS).index(result["step"])
        here = result["cosines"][:, place]
        worst = int(here.mean(0).argmin())
        one, two = result["pairs"][worst]
        both = {name: f"{v.mean():.3f} ± {v.std():.3f}" for name, v in result["accuracy"].items()}
        text = (
            f"{result['tasks']}, step {result['step']}, PCGrad "
            f"{'on' if result['pcgrad'] else 'off'}: the lowest cosine is that of {one} and "
            f"{two}, {here[:, worst].mean():z.2f} ± {here[:, worst].std(ddof=1):.2f}; of all pairs "
            f"and seeds {(here < 0).mean():.0%} are negative here, "
            f"{(result['cosines'] < 0).mean():.0%} over the whole training. "
            f"Mean test accuracy of the tasks: {both['weights']} without PCGrad, "
            f"{both['PCGrad']} with it ({result['runs']} seeds)."
        )
        if live:
            text += (
                f" Live: cosine {live['cosines'][place, worst]:z.2f}, mean accuracy "
                f"{live['mean_accuracy']:.3f}."
            )
        return text

    def code(self, tasks: str, step: int, pcgrad: bool) -> str:
        """Train with seed 0."""
        method = "PCGrad" if pcgrad else "weights"
        return textwrap.dedent(f"""\
            from tlcourse.runs.conflict import conflict

            result = conflict({tasks!r}, {method!r}, seed=0)
            print(result)
            """)
