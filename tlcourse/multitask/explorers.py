"""Lesson 4's explorer of task weights, λ and sampling temperature."""

from __future__ import annotations

import textwrap
from collections.abc import Hashable
from functools import lru_cache

from matplotlib.figure import Figure

from experiments.multitask import (
    FEW,
    LAMBDAS,
    MANY,
    STEPS,
    TEMPERATURES,
    WEIGHED,
    WEIGHTS,
    members,
    weights_and_lambda,
)
from tlcourse import recorded
from tlcourse.multitask.losses import sampling_probabilities
from tlcourse.training import Progress
from tlcourse.widgets import figures
from tlcourse.widgets.controls import choice, menu
from tlcourse.widgets.explorer import Explorer, Result


class TaskWeights(Explorer):
    """w_t, λ and the sampling temperature: each task against itself alone."""

    name = "weights and λ"
    size = (8.8, 3.1)

    def __init__(self, **settings: object) -> None:
        controls = {
            "tasks": menu("tasks", WEIGHED, WEIGHED[0]),
            "weight": choice("weight of the first task", WEIGHTS, 0.5),
            "lam": choice("λ of the pretraining loss", LAMBDAS, 0.0),
            "temperature": choice("sampling temperature τ", TEMPERATURES, 100),
        }
        super().__init__(controls, **settings)

    def compute(self, tasks: str, weight: float, lam: float, temperature: int) -> Result:
        """Recorded scores of each task along the weight, and of the task alone."""
        rows = recorded.select("weights_and_lambda", tasks=tasks, lam=lam, temperature=temperature)
        names = members(tasks)
        labels = [FEW, *[MANY] * (len(names) - 1)]
        return {
            "tasks": tasks, "names": names, "labels": labels, "weight": weight, "lam": lam,
            "temperature": temperature, "runs": int((rows["weight"] == weight).sum()),
            "curves": [
                {
                    metric: recorded.spread(rows, "weight", f"{metric}_{place}")
                    for metric in ("accuracy", "macro_f1")
                }
                for place in range(len(names))
            ],
            "batches": expected_batches(names, labels, temperature),
            "alone": [_alone(name, n) for name, n in zip(names, labels, strict=True)],
            "seconds": rows["seconds"].mean(),
        }  # fmt: skip

    def train(self, progress: Progress, **settings: object) -> Result:
        """Train with a seed that was not recorded."""
        return weights_and_lambda(**settings, seed=1000, progress=progress)  # type: ignore[arg-type]

    def frame_key(self, result: Result) -> Hashable:
        """The set of tasks."""
        return result["tasks"]

    def frame(self, figure: Figure, result: Result) -> None:
        """A panel for each task, with the band of the task alone."""
        panels = figure.subplots(1, len(result["names"]), squeeze=False)[0]
        figure.subplots_adjust(left=0.055, right=0.985, bottom=0.17, top=0.88, wspace=0.17)
        for axes, name, labels, (mean, std), limits in zip(
            panels, result["names"], result["labels"], result["alone"], _limits(result["tasks"]),
            strict=True,
        ):  # fmt: skip
            figures.tidy(
                axes, f"{name}, {labels:,} labels: test accuracy", "weight of the first task"
            )
            axes.set_xlim(0.05, 1.08)
            figures.number_ticks(axes, WEIGHTS, log=False)
            axes.set_ylim(*limits)
            axes.axhspan(mean - std, mean + std, color="#bbbbbb", alpha=0.35, lw=0)
            figures.level(axes, mean, "alone")

    def draw(self, figure: Figure, result: Result, live: Result | None) -> None:
        """Bands along the weight."""
        for place, axes in enumerate(figure.axes):
            curve = result["curves"][place]["accuracy"]
            figures.band(axes, curve.index, curve["mean"], curve["std"], "at once", place)
            figures.here(axes, result["weight"])
            if live:
                figures.star(axes, result["weight"], live[f"accuracy_{place}"])

    def describe(self, result: Result, live: Result | None) -> str:
        """Every task's scores at this weight, beside the task alone."""
        parts = []
        for name, curves, batches, (mean, std) in zip(
            result["names"], result["curves"], result["batches"], result["alone"], strict=True
        ):
            at = {metric: curve.loc[result["weight"]] for metric, curve in curves.items()}
            parts.append(
                f"{name} {at['accuracy']['mean']:.3f} ± {at['accuracy']['std']:.3f} (macro-F1 "
                f"{at['macro_f1']['mean']:.3f}; alone {mean:.3f} ± {std:.3f}; about {batches:.0f} "
                f"batches, alone {STEPS})"
            )
        text = (
            f"Weight {result['weight']:g} on {result['names'][0]}, λ = {result['lam']:g}, "
            f"τ = {result['temperature']}: test accuracy {', '.join(parts)}; mean ± std of "
            f"{result['runs']} seeds. A run took {result['seconds']:.0f} s."
        )
        if live:
            shown = [
                f"{name} {live[f'accuracy_{place}']:.3f}"
                for place, name in enumerate(result["names"])
            ]
            text += f" Live: {', '.join(shown)}."
        return text

    def code(self, tasks: str, weight: float, lam: float, temperature: int) -> str:
        """Train with seed 0."""
        return textwrap.dedent(f"""\
            from tlcourse.runs.multitask import weights_and_lambda

            result = weights_and_lambda({tasks!r}, {weight}, {lam}, {temperature}, seed=0)
            print(result)
            """)


def expected_batches(names: list[str], labels: list[int], temperature: float) -> list[float]:
    """How many batches of each task a run is expected to draw."""
    shares = sampling_probabilities(dict(zip(names, labels, strict=True)), temperature)
    return [STEPS * len(names) * shares[name] for name in names]


@lru_cache(maxsize=32)
def _alone(name: str, labels: int) -> tuple[float, float]:
    """Mean and standard deviation of a task's accuracy when it is trained alone."""
    scores = recorded.select("single_tasks", task=name, n=labels)["accuracy"]
    return float(scores.mean()), float(scores.std())


@lru_cache(maxsize=8)
def _limits(tasks: str) -> list[tuple[float, float]]:
    """Limits of each task's axis, the same for every λ and T."""
    rows = recorded.select("weights_and_lambda", tasks=tasks)
    grid = ["weight", "lam", "temperature"]
    found = []
    for place, name in enumerate(members(tasks)):
        groups = rows.groupby(grid)[f"accuracy_{place}"]
        mean, std = _alone(name, MANY if place else FEW)
        low = min((groups.mean() - groups.std()).min(), mean - std)
        high = max((groups.mean() + groups.std()).max(), mean + std)
        found.append((low - 0.015, high + 0.02))
    return found


from tlcourse.multitask.explorers_conflict import GradientConflict  # noqa: E402, F401
from tlcourse.multitask.explorers_gains import WhoHelpsWhom  # noqa: E402, F401
