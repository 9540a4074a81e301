"""Lesson 2's explorers."""

from __future__ import annotations

import textwrap
from collections.abc import Hashable
from functools import lru_cache

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.mapping import rotation
from tlcourse import recorded
from tlcourse.widgets.figures import plane
from tlcourse.mapping.linear_map import (
    METHODS,
    NORMALISATIONS,
    LinearMap,
    fit,
    fit_gradient_descent,
)
from tlcourse.mapping.spaces import Bilingual, evaluate_map, load_bilingual
from tlcourse.training import Progress
from tlcourse.widgets import figures
from tlcourse.widgets.controls import choice, menu, tick
from tlcourse.widgets.explorer import Explorer, Result

# Word pairs for the picture of both spaces; the dictionary's test words among them.
SHOWN = {
    "酒店": "hotel", "医院": "hospital", "经济": "economy", "学生": "student", "音乐": "music",
    "父亲": "father",
}  # fmt: skip


@lru_cache(maxsize=64)
def fitted_map(normalisation: str, method: str, pairs: int) -> LinearMap:
    """The map of a draw of pairs, seed 0; kept, since sliders come back."""
    spaces = load_bilingual(normalisation)
    return fit(*spaces.pairs(pairs, seed=0), method)


def _counts() -> tuple[int, ...]:
    return tuple(recorded.grid("map_pairs")["pairs"])


class PairsAndMethod(Explorer):
    """Dictionary pairs, method, normalisation and CSLS against precision and hubs."""

    name = "pairs and method"
    size = (8.4, 3.3)

    def __init__(self, **settings: object) -> None:
        controls = {
            "pairs": choice("dictionary pairs", _counts(), 500, "{:,}".format),
            "method": menu("method", METHODS, "least squares"),
            "normalisation": menu("normalisation", NORMALISATIONS, "unit+centre"),
            "use_csls": tick("CSLS", False),
        }
        super().__init__(controls, **settings)

    def compute(self, pairs: int, method: str, normalisation: str, use_csls: bool) -> Result:
        """Recorded precision at these settings, and where six words lie."""
        rows = recorded.select("map_pairs", normalisation=normalisation, method=method)
        prefix = "csls_" if use_csls else ""
        curves = {k: recorded.spread(rows, "pairs", f"{prefix}p{k}") for k in (1, 5, 10)}
        here = rows[rows["pairs"] == pairs]
        # The picture's own map, drawn with the first seed; gradient descent would take
        # seconds and ends where least squares does.
        drawn = "least squares" if method == "gradient descent" else method
        spaces = load_bilingual(normalisation)
        return {
            "pairs": pairs, "method": method, "normalisation": normalisation,
            "use_csls": use_csls, "curves": curves,
            "hub": here[f"{prefix}hub"].mean(), "skewness": here[f"{prefix}skewness"].mean(),
            "runs": len(here), "picture": _picture(spaces, fitted_map(normalisation, drawn, pairs)),
        }  # fmt: skip

    def train(
        self, progress: Progress, pairs: int, method: str, normalisation: str, use_csls: bool
    ) -> Result:
        """Fit on a fresh draw of pairs and judge on the test words."""
        spaces = load_bilingual(normalisation)
        X, Y = spaces.pairs(pairs, seed=1000)
        progress(0.1)
        if method == "gradient descent":
            linear_map, _ = fit_gradient_descent(X, Y, progress=lambda share: progress(share * 0.7))
        else:
            linear_map = fit(X, Y, method)
        progress(0.7)
        return evaluate_map(spaces, linear_map, "test", use_csls)

    def frame_key(self, result: Result) -> Hashable:
        """The normalisation, on which the picture before the map depends."""
        return result["normalisation"]

    def frame(self, figure: Figure, result: Result) -> None:
        """Axes of the precision curves; the words before the map."""
        axes = figure.add_axes((0.05, 0.16, 0.38, 0.74))
        figures.number_ticks(axes, _counts())
        axes.tick_params(axis="x", rotation=35)
        axes.set_xlim(22, 4000)
        axes.set_ylim(0, 0.4)
        figures.tidy(axes, "P@k on test words, by pairs")
        figures.legend(axes, [f"P@{k}" for k in result["curves"]], inside="upper left")
        for left, title in ((0.47, "before the map"), (0.74, "after it")):
            panel = figure.add_axes((left, 0.06, 0.25, 0.83))
            panel.set(xlim=(-1.7, 2.1), ylim=(-1.2, 1.2))
            panel.set_axis_off()
            panel.set_title(title, fontsize=10, loc="left")
        _words(figure.axes[1], result["picture"][0])

    def draw(self, figure: Figure, result: Result, live: Result | None) -> None:
        """Precision on the left; before and after the map on the right."""
        axes = figure.axes[0]
        for style, (k, curve) in enumerate(result["curves"].items()):
            figures.band(axes, curve.index, curve["mean"], curve["std"], f"P@{k}", style)
            if live:
                figures.star(axes, result["pairs"], live[f"p{k}"])
        figures.here(axes, result["pairs"])
        _words(figure.axes[2], result["picture"][1])

    def describe(self, result: Result, live: Result | None) -> str:
        """P@1, P@5, P@10 and the largest hub."""
        told = []
        for k, curve in result["curves"].items():
            mean, std = curve.loc[result["pairs"], ["mean", "std"]]
            told.append(f"P@{k} = {mean:.3f} ± {std:.3f}")
        text = (
            f"{result['method']} on {result['pairs']:,} pairs"
            f"{' with CSLS' if result['use_csls'] else ''}: {', '.join(told)} (mean ± std over "
            f"{result['runs']} draws of pairs). The largest hub is among the ten nearest of "
            f"{result['hub']:.1%} of the test words."
        )
        if live:
            text += f" Live, fresh pairs: P@10 = {live['p10']:.3f}."
        return text

    def code(self, pairs: int, method: str, normalisation: str, use_csls: bool) -> str:
        """Fit and judge the map of seed 0."""
        return textwrap.dedent(f"""\
            from tlcourse.mapping.spaces import evaluate_map, load_bilingual
            from tlcourse.mapping import fit

            spaces = load_bilingual({normalisation!r})
            X, Y = spaces.pairs({pairs}, seed=0)
            linear_map = fit(X, Y, {method!r})
            result = evaluate_map(spaces, linear_map, "test", use_csls={use_csls})
            print(result)
            """)


def _words(axes: Axes, points: tuple[np.ndarray, np.ndarray]) -> None:
    """Chinese and English words in one plane, each joined to its translation."""
    figures.links(axes, *points)
    styles = [1] * len(SHOWN) + [0] * len(SHOWN)
    figures.scatter_words(axes, np.vstack(points), [*SHOWN, *SHOWN.values()], None, styles)


def _picture(spaces: Bilingual, linear_map: LinearMap) -> tuple:
    """Six pairs in a plane: unmapped (its first columns, there is no common space), mapped."""
    chinese = spaces.source.vectors[[spaces.source.key_to_index[word] for word in SHOWN]]
    english = spaces.target.vectors[[spaces.target.key_to_index[word] for word in SHOWN.values()]]

    def together(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        points = plane(np.vstack([first, second]))
        points = points / np.abs(points).max(axis=0)
        return points[: len(first)], points[len(first) :]

    width = english.shape[1]
    return together(chinese[:, :width], english), together(linear_map(chinese), english)


class PlantedRotation(Explorer):
    """A rotation planted between two synthetic spaces of d = 50: found again by whom."""

    name = "planted rotation"
    size = (7.2, 3.2)

    def __init__(self, **settings: object) -> None:
        grid = recorded.grid("planted_rotation")
        controls = {
            "pairs_n": choice("pairs n (d = 50)", grid["pairs"], 50),
            "noise": choice("noise", grid["noise"], 0.6),
        }
        super().__init__(controls, **settings)

    def compute(self, pairs_n: int, noise: float) -> Result:
        """Recorded P@1 of each method at this noise."""
        rows = recorded.select("planted_rotation", noise=noise)
        methods = recorded.grid("planted_rotation")["method"]
        curves = {
            name: recorded.spread(rows[rows["method"] == name], "pairs", "p1") for name in methods
        }
        count = int(curves["Procrustes"]["count"].iloc[0])
        return {"pairs": pairs_n, "noise": noise, "curves": curves, "runs": count}

    def train(self, progress: Progress, pairs_n: int, noise: float) -> Result:
        """All methods on a fresh rotation."""
        found = {}
        for number, name in enumerate(recorded.grid("planted_rotation")["method"]):
            progress(number / 3)
            found[name] = rotation(name, noise, pairs_n, seed=1000)["p1"]
        return found

    def frame(self, figure: Figure, result: Result) -> None:
        """Axes, the place n = d, and the legend."""
        axes = figure.subplots()
        figure.subplots_adjust(left=0.06, right=0.82, bottom=0.16, top=0.91)
        axes.axvline(50, color="#bbbbbb", lw=5, alpha=0.4, zorder=0)
        figures.number_ticks(axes, (25, 50, 100, 200, 500))
        axes.set_xlim(23, 550)
        axes.set_ylim(-0.03, 1.05)
        figures.tidy(axes, "P@1 on 1,000 other words; the grey bar is n = d", "pairs n")
        figures.legend(axes, list(result["curves"]))

    def draw(self, figure: Figure, result: Result, live: Result | None) -> None:
        """P@1 against the number of pairs."""
        axes = figure.axes[0]
        for style, (name, curve) in enumerate(result["curves"].items()):
            figures.band(axes, curve.index, curve["mean"], curve["std"], name, style)
            if live:
                figures.star(axes, result["pairs"], live[name])
        figures.here(axes, result["pairs"])

    def describe(self, result: Result, live: Result | None) -> str:
        """P@1 of each method at n pairs."""
        told = ", ".join(
            f"{name} {curve['mean'][result['pairs']]:.2f} ± {curve['std'][result['pairs']]:.2f}"
            for name, curve in result["curves"].items()
        )
        text = f"n = {result['pairs']} pairs, noise {result['noise']}: P@1 is {told}"
        text += f" (mean ± std over {result['runs']} rotations)."
        if live:
            text += " Live: " + ", ".join(f"{k} {v:.2f}" for k, v in live.items()) + "."
        return text

    def code(self, pairs_n: int, noise: float) -> str:
        """The three methods on the rotation of seed 0."""
        return textwrap.dedent(f"""\
            from tlcourse.mapping import fit, planted_rotation
            from tlcourse.mapping.retrieval import cosine_scores, precision_at_k, top_candidates

            source, target = planted_rotation(n={pairs_n}, d=50, noise={noise}, seed=0)
            gold = [{{row}} for row in range(1000)]
            result = {{}}
            for method in ("least squares", "ridge", "Procrustes"):
                linear_map = fit(source[:{pairs_n}], target[:{pairs_n}], method)
                found = cosine_scores(linear_map(source[{pairs_n}:]), target[{pairs_n}:])
                result[method] = precision_at_k(top_candidates(found, 1), gold, ks=(1,))[1]
            print(result)
            """)


from tlcourse.mapping.explorers_crosslingual import MapLambda, ZeroLabelTransfer  # noqa: E402, F401
from tlcourse.mapping.explorers_translation import TranslateWord  # noqa: E402, F401
