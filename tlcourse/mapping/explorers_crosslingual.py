"""Lesson 2's explorers of what the map carries into Chinese classification."""

from __future__ import annotations

import textwrap
from collections.abc import Hashable

from matplotlib.figure import Figure

from tlcourse import recorded
from tlcourse.mapping.crosslingual import ARMS, classify_averages, classify_lstm, fit_lambda
from tlcourse.training import Progress
from tlcourse.widgets import figures
from tlcourse.widgets.controls import choice, menu
from tlcourse.widgets.explorer import Explorer, Result


class ZeroLabelTransfer(Explorer):
    """Chinese reviews: English knowledge through the map, against Chinese labels alone."""

    name = "English to Chinese"
    size = (7.8, 3.4)

    def __init__(self, **settings: object) -> None:
        counts = recorded.grid("zero_label")["n"]
        controls = {
            "model": menu("classifier", ("averages", "LSTM"), "averages"),
            "n": choice("Chinese labels", counts, 0, "{:,}".format),
        }
        super().__init__(controls, **settings)

    def compute(self, model: str, n: int) -> Result:
        """Recorded accuracies of both arms."""
        rows = recorded.select("zero_label", model=model)
        curves = {arm: recorded.spread(rows[rows["arm"] == arm], "n", "accuracy") for arm in ARMS}
        auc = rows[(rows["arm"] == ARMS[0]) & (rows["n"] == n)]["auc"]
        count = int(curves[ARMS[0]]["count"][n])
        return {
            "model": model, "n": n, "curves": curves, "auc": auc.mean(), "runs": count,
            "counts": list(curves[ARMS[0]].index),
        }  # fmt: skip

    def train(self, progress: Progress, model: str, n: int) -> Result:
        """Train the arm with English knowledge, with a seed that was not recorded."""
        if model == "LSTM":
            return classify_lstm(n, 1000, progress=progress)
        progress(0.2)
        return classify_averages(n, 1000)

    def frame_key(self, result: Result) -> Hashable:
        """The classifier, which the title names."""
        return result["model"]

    def frame(self, figure: Figure, result: Result) -> None:
        """Axes with evenly spaced numbers of labels, so that 0 has a place."""
        axes = figure.subplots()
        figure.subplots_adjust(left=0.06, right=0.98, bottom=0.15, top=0.91)
        counts = result["counts"]
        axes.set_xticks(range(len(counts)), [f"{n:,}" for n in counts])
        axes.set_xlim(-0.3, len(counts) - 0.7)
        axes.set_ylim(0.48, 0.86)
        figures.level(axes, 0.5, "chance")
        title = f"{result['model']}: accuracy on Chinese test reviews, mean ± std over seeds"
        figures.tidy(axes, title, "labelled Chinese reviews n")
        figures.legend(axes, ARMS, inside="upper left")

    def draw(self, figure: Figure, result: Result, live: Result | None) -> None:
        """Accuracy against the number of Chinese labels."""
        axes = figure.axes[0]
        place = {n: number for number, n in enumerate(result["counts"])}
        for style, (arm, curve) in enumerate(result["curves"].items()):
            x = [place[n] for n in curve.index]
            figures.band(axes, x, curve["mean"], curve["std"], arm, style)
        figures.here(axes, place[result["n"]])
        if live:
            figures.star(axes, place[result["n"]], live["accuracy"])

    def describe(self, result: Result, live: Result | None) -> str:
        """Both arms at n labels."""
        told = []
        for arm, curve in result["curves"].items():
            if result["n"] in curve.index:
                mean, std = curve.loc[result["n"], ["mean", "std"]]
                told.append(f"“{arm}” {mean:.3f} ± {std:.3f}")
        text = (
            f"{result['model']}, {result['n']:,} Chinese labels: accuracy with "
            f"{', with '.join(told)} over {result['runs']} seeds; AUC with English "
            f"{result['auc']:.3f}."
        )
        if live:
            text += f" Live: {live['accuracy']:.3f}."
        return text

    def code(self, model: str, n: int) -> str:
        """Train the arm with English knowledge, seed 0."""
        function = "classify_lstm" if model == "LSTM" else "classify_averages"
        return textwrap.dedent(f"""\
            from tlcourse.mapping.crosslingual import {function}

            result = {function}(n={n}, seed=0, arm={ARMS[0]!r})
            print(result)
            """)


class MapLambda(Explorer):
    """λ between dictionary and task: the map as classifier and as dictionary."""

    name = "λ for the map"
    size = (7.8, 3.3)

    def __init__(self, **settings: object) -> None:
        grid = recorded.grid("map_lambda")
        controls = {
            "lam": choice("λ", grid["lam"], 0.5),
            "task_labels": choice(
                "Chinese labels for the task's loss", grid["n"], 100, "{:,}".format
            ),
        }
        super().__init__(controls, **settings)

    def compute(self, lam: float, task_labels: int) -> Result:
        """Recorded AUC, accuracy and P@10 along λ."""
        rows = recorded.select("map_lambda", n=task_labels)
        curves = {name: recorded.spread(rows, "lam", name) for name in ("auc", "accuracy", "p10")}
        return {"lam": lam, "n": task_labels, "curves": curves}

    def train(self, progress: Progress, lam: float, task_labels: int) -> Result:
        """Fit the map with a seed that was not recorded."""
        return fit_lambda(lam, task_labels, 1000, progress=lambda share: progress(0.9 * share))[1]

    def frame_key(self, result: Result) -> Hashable:
        """The number of labels, which the title names."""
        return result["n"]

    def frame(self, figure: Figure, result: Result) -> None:
        """The task's axes on the left, the dictionary's on the right."""
        left, right = figure.subplots(1, 2)
        figure.subplots_adjust(left=0.05, right=0.97, bottom=0.16, top=0.9, wspace=0.16)
        for axes in (left, right):
            axes.set_xlim(-0.05, 1.05)
            axes.set_xticks([0, 0.5, 1], ["0: labels", "0.5", "1: dictionary"])
        left.set_ylim(0.48, 0.9)
        right.set_ylim(-0.02, 0.4)
        figures.tidy(left, f"Chinese sentiment, {result['n']:,} labels")
        figures.tidy(right, "dictionary, P@10 with CSLS")
        figures.legend(left, ("AUC", "accuracy"), inside="lower left")

    def draw(self, figure: Figure, result: Result, live: Result | None) -> None:
        """AUC, accuracy and P@10 along λ."""
        left, right = figure.axes
        for style, (axes, name) in enumerate(((left, "auc"), (left, "accuracy"), (right, "p10"))):
            curve = result["curves"][name]
            figures.band(axes, curve.index, curve["mean"], curve["std"], name, style)
            if live:
                figures.star(axes, result["lam"], live[name])
        for axes in (left, right):
            figures.here(axes, result["lam"])

    def describe(self, result: Result, live: Result | None) -> str:
        """All three numbers at λ, and where the task is best."""
        told = []
        for name, label in (("auc", "AUC"), ("accuracy", "accuracy"), ("p10", "P@10")):
            mean, std = result["curves"][name].loc[result["lam"], ["mean", "std"]]
            told.append(f"{label} {mean:.3f} ± {std:.3f}")
        best = result["curves"]["auc"]["mean"].idxmax()
        text = (
            f"λ = {result['lam']:g} with {result['n']:,} Chinese labels: {', '.join(told)} (mean ± "
            f"std over 5 seeds). The AUC is highest at λ = {best:g}."
        )
        if live:
            text += f" Live: AUC {live['auc']:.3f}, P@10 {live['p10']:.3f}."
        return text

    def code(self, lam: float, task_labels: int) -> str:
        """Fit the map with seed 0."""
        return textwrap.dedent(f"""\
            from tlcourse.mapping.crosslingual import fit_lambda

            linear_map, result = fit_lambda(lam={lam}, n={task_labels}, seed=0)
            print(result)
            """)
