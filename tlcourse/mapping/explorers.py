"""Lesson 2's explorers: maps, what they translate, and what they carry into classification."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tlcourse.mapping.crosslingual import ARMS, classify_averages, classify_lstm, fit_lambda
from tlcourse.mapping.linear_map import LinearMap, fit, fit_gradient_descent, planted_rotation
from tlcourse.mapping.retrieval import cosine_scores
from tlcourse.mapping.spaces import Bilingual, evaluate_map, load_bilingual, translate
from tlcourse.training import Progress
from tlcourse.widgets import figures
from tlcourse.widgets.controls import field, menu
from tlcourse.widgets.curves import Chart, CurveExplorer, Knob
from tlcourse.widgets.explorer import Explorer, Result
from tlcourse.widgets.snippets import snippet

# Word pairs for the picture of both spaces; the dictionary's test words among them.
_SHOWN = {
    "酒店": "hotel", "医院": "hospital", "经济": "economy", "学生": "student", "音乐": "music",
    "父亲": "father",
}  # fmt: skip

_PLANTED = ("least squares", "ridge", "Procrustes")


@lru_cache(maxsize=64)
def _fitted(normalisation: str, method: str, pairs: int) -> LinearMap:
    """The map of a draw of pairs, seed 0; kept, since sliders come back."""
    return fit(*load_bilingual(normalisation).pairs(pairs, seed=0), method)


class PairsAndMethod(CurveExplorer):
    """Dictionary pairs, method, normalisation and CSLS against precision and hubs."""

    name = "pairs and method"
    size = (8.4, 3.3)
    sweep, x = "map_pairs", "pairs"
    margins = 0.05, 0.16, 0.43, 0.9
    knobs: ClassVar = {
        "pairs": Knob("dictionary pairs", 500, "{:,}".format),
        "method": Knob("method", "least squares"),
        "normalisation": Knob("normalisation", "unit+centre"),
        "use_csls": Knob("CSLS", False),
    }

    def charts(self, result: Result) -> list[Chart]:
        """Precision at 1, 5 and 10."""
        lines = {f"{'csls_' * result['use_csls']}p{k}": f"P@{k}" for k in (1, 5, 10)}
        title = f"P@k on test words, by pairs ({result['normalisation']})"
        return [Chart(title, "", lines, (0, 0.4), "log", legend="upper left")]

    def compute(self, **settings: Any) -> Result:
        """Recorded precision at these settings, and where six words lie."""
        result = super().compute(**settings)
        # The picture's own map, drawn with the first seed; gradient descent would take
        # seconds and ends where least squares does.
        method = result["method"].replace("gradient descent", "least squares")
        linear_map = _fitted(result["normalisation"], method, result["pairs"])
        return {**result, "picture": _picture(load_bilingual(result["normalisation"]), linear_map)}

    def train(
        self, progress: Progress, pairs: int, method: str, normalisation: str, use_csls: bool
    ) -> Result:
        """Fit on a fresh draw of pairs and judge on the test words."""
        spaces = load_bilingual(normalisation)
        X, Y = spaces.pairs(pairs, seed=1000)
        if method == "gradient descent":
            linear_map, _ = fit_gradient_descent(X, Y, progress=progress, device="cpu")
        else:
            linear_map = fit(X, Y, method)
        found = evaluate_map(spaces, linear_map, "test", use_csls)
        return found | {f"csls_{name}": value for name, value in found.items()}

    def frame(self, figure: Figure, result: Result) -> None:
        """The precision; the words before the map, and room for those after it."""
        super().frame(figure, result)
        figure.axes[0].tick_params(axis="x", rotation=35)
        for left, title in ((0.47, "before the map"), (0.74, "after it")):
            panel = figure.add_axes((left, 0.06, 0.25, 0.83))
            panel.set(xlim=(-1.7, 2.1), ylim=(-1.2, 1.2))
            panel.set_axis_off()
            panel.set_title(title, fontsize=10, loc="left")
        _words(figure.axes[1], result["picture"][0])

    def draw(self, figure: Figure, result: Result, live: Result | None) -> None:
        """Precision on the left; after the map on the right."""
        super().draw(figure, result, live)
        _words(figure.axes[2], result["picture"][1])

    def describe(self, result: Result, live: Result | None) -> str:
        """P@1, P@5, P@10 and the largest hub."""
        hub = result["here"]["csls_hub" if result["use_csls"] else "hub"].mean()
        text = (
            f"{result['method']} on {result['pairs']:,} pairs"
            f"{' with CSLS' if result['use_csls'] else ''}: {self.told_all(result, sign=' = ')} "
            f"(mean ± std over {len(result['here'])} draws of pairs). The largest hub is among the "
            f"ten nearest of {hub:.1%} of the test words."
        )
        return text + (f" Live, fresh pairs: P@10 = {live['p10']:.3f}." if live else "")


def _words(axes: Axes, points: np.ndarray) -> None:
    """Chinese and English words in one plane, each joined to its translation."""
    figures.links(axes, *np.split(points, 2))
    styles = [1] * len(_SHOWN) + [0] * len(_SHOWN)
    figures.scatter_words(axes, points, [*_SHOWN, *_SHOWN.values()], None, styles)


def _picture(spaces: Bilingual, linear_map: LinearMap) -> list[np.ndarray]:
    """Six pairs in a plane: unmapped (its first columns, there is no common space), mapped."""
    chinese, english = spaces.source[list(_SHOWN)], spaces.target[list(_SHOWN.values())]
    both = chinese[:, : english.shape[1]], linear_map(chinese)
    planes = [figures.plane(np.vstack([some, english])) for some in both]
    return [points / np.abs(points).max(axis=0) for points in planes]


class PlantedRotation(CurveExplorer):
    """A rotation planted between two synthetic spaces of d = 50: found again by whom."""

    name = "planted rotation"
    size = (7.2, 3.2)
    sweep, x, arms, metric = "planted_rotation", "pairs", "method", "p1"
    margins = 0.06, 0.16, 0.82, 0.91
    knobs: ClassVar = {
        "pairs_n": Knob("pairs n (d = 50)", 50, column="pairs"),
        "noise": Knob("noise", 0.6),
    }

    def charts(self, result: Result) -> list[Chart]:
        """A line for each method."""
        lines = {name: name for name in _PLANTED}
        title, ticks = "P@1 on 1,000 other words; the grey bar is n = d", (25, 50, 100, 200, 500)
        return [Chart(title, "pairs n", lines, (-0.03, 1.05), "log", ticks, legend="beside")]

    def frame(self, figure: Figure, result: Result) -> None:
        """The place n = d as well."""
        super().frame(figure, result)
        figure.axes[0].axvline(50, color="#bbbbbb", lw=5, alpha=0.4, zorder=0)

    def train(self, progress: Progress, pairs_n: int, noise: float) -> Result:
        """All methods on a fresh rotation."""
        source, target = planted_rotation(pairs_n, 50, noise, seed=1000)
        found = {}
        for method in _PLANTED:
            linear_map = fit(source[:pairs_n], target[:pairs_n], method)
            nearest = cosine_scores(linear_map(source[pairs_n:]), target[pairs_n:]).argmax(axis=1)
            found[method] = float((nearest == np.arange(len(nearest))).mean())
        return found

    def describe(self, result: Result, live: Result | None) -> str:
        """P@1 of each method at n pairs."""
        text = (
            f"n = {result['pairs']} pairs, noise {result['noise']}: P@1 is "
            f"{self.told_all(result, 2)} (mean ± std over "
            f"{result['here']['seed'].nunique()} rotations)."
        )
        told = ", ".join(f"{name} {p1:.2f}" for name, p1 in (live or {}).items())
        return f"{text} Live: {told}." if live else text


class TranslateWord(Explorer):
    """Type a Chinese word, see its English neighbours before and after CSLS."""

    name = "translate a word"
    size = (7.8, 2.9)

    def __init__(self, **settings: Any) -> None:
        controls = {
            "chinese": field("Chinese word", "音乐"),
            "map_method": menu("fitted by", _PLANTED[::-1], "Procrustes"),
        }
        super().__init__(controls, **settings)

    def compute(self, chinese: str, map_method: str) -> Result:
        """Five neighbours by cosine and five by CSLS."""
        return self._look(chinese, _fitted("unit", map_method, 3500))

    def _look(self, chinese: str, linear_map: LinearMap) -> Result:
        word = chinese.strip().lower()
        if not word:
            raise ValueError("type a Chinese word, such as 电影 or 音乐, and press Enter")
        spaces = load_bilingual("unit")
        cosine, csls = (translate(spaces, linear_map, word, 5, use) for use in (False, True))
        gold = spaces.dictionary.translations.get(word, ())
        return {"word": word, "gold": gold, "cosine": cosine, "CSLS": csls}

    def train(self, progress: Progress, chinese: str, map_method: str) -> Result:
        """Fit the map by gradient descent and look again."""
        pairs = load_bilingual("unit").pairs()
        linear_map, _ = fit_gradient_descent(*pairs, progress=progress, device="cpu")
        return self._look(chinese, linear_map)

    def draw(self, figure: Figure, result: Result, live: Result | None) -> None:
        """Scores as bars; dictionary translations are dark."""
        shown = {name: result[name] for name in ("cosine", "CSLS")}
        if live:
            shown["CSLS, live map"] = live["CSLS"]
        width = 0.98 / len(shown)
        for place, (name, found) in enumerate(shown.items()):
            # Words and scores as plain text: an axis with ticks takes matplotlib twice as long.
            axes = figure.add_axes((0.01 + place * width, 0.04, width - 0.02, 0.84))
            axes.set_axis_off()
            axes.set_title(name, fontsize=10, loc="left")
            figures.word_bars(axes, found, result["gold"])

    def describe(self, result: Result, live: Result | None) -> str:
        """The neighbours in words, and what the dictionary says."""
        told = "; ".join(f"by {name}: {_listed(result[name])}" for name in ("cosine", "CSLS"))
        gold = ", ".join(result["gold"][:5]) or "not listed among the words we use"
        text = f"{result['word']} → {told}. Dictionary: {gold}."
        return f"{text} Live map, by CSLS: {_listed(live['CSLS'])}." if live else text

    def code(self, chinese: str, map_method: str) -> str:
        """Translate the word by both scores."""
        word = chinese.strip().lower()
        return snippet("TranslateWord", chinese=word, map_method=map_method)


def _listed(found: list[tuple[str, float]]) -> str:
    return ", ".join(word for word, _ in found)


class ZeroLabelTransfer(CurveExplorer):
    """Chinese reviews: English knowledge through the map, against Chinese labels alone."""

    name = "English to Chinese"
    size = (7.8, 3.4)
    sweep, x, arms = "zero_label", "n", "arm"
    knobs: ClassVar = {
        "model": Knob("classifier", "averages"),
        "n": Knob("Chinese labels", 0, "{:,}".format),
    }

    def charts(self, result: Result) -> list[Chart]:
        """Evenly spaced numbers of labels, so that 0 has a place."""
        title = f"{result['model']}: accuracy on Chinese test reviews, mean ± std over seeds"
        x, arms, limits = "labelled Chinese reviews n", {arm: arm for arm in ARMS}, (0.48, 0.86)
        return [Chart(title, x, arms, limits, "even", levels={"chance": 0.5}, legend="upper left")]

    def train(self, progress: Progress, model: str, n: int) -> Result:
        """Train the arm with English knowledge, with a seed that was not recorded."""
        if model == "averages":
            return {ARMS[0]: classify_averages(n, 1000)["accuracy"]}
        return {ARMS[0]: classify_lstm(n, 1000, progress=progress, device="cpu")["accuracy"]}

    def describe(self, result: Result, live: Result | None) -> str:
        """Both arms at n labels."""
        arms = [arm for arm, line in result["lines"].items() if result["n"] in line.index]
        told = ", with ".join(f"“{arm}” {self.told(result, arm)}" for arm in arms)
        english = result["here"][result["here"]["arm"] == ARMS[0]]
        text = (
            f"{result['model']}, {result['n']:,} Chinese labels: accuracy with {told} over "
            f"{len(english)} seeds; AUC with English {english['auc'].mean():.3f}."
        )
        return f"{text} Live: {live[ARMS[0]]:.3f}." if live else text

    def code(self, model: str, n: int) -> str:
        """Train the arm with English knowledge, seed 0."""
        classify = "classify_lstm" if model == "LSTM" else "classify_averages"
        return snippet("ZeroLabelTransfer", {"classify": classify}, n=n)


class MapLambda(CurveExplorer):
    """λ between dictionary and task: the map as classifier and as dictionary."""

    name = "λ for the map"
    size = (7.8, 3.3)
    sweep, x = "map_lambda", "lam"
    knobs: ClassVar = {
        "lam": Knob("λ", 0.5),
        "task_labels": Knob("Chinese labels for the task's loss", 100, "{:,}".format, "n"),
    }

    def charts(self, result: Result) -> list[Chart]:
        """The task on the left, the dictionary on the right."""
        x, task = "λ   (0: labels only, 1: dictionary only)", {"auc": "AUC", "accuracy": "accuracy"}
        title = f"Chinese sentiment, {result['n']:,} labels"
        return [
            Chart(title, x, task, (0.48, 0.9), legend="lower left"),
            Chart("dictionary, P@10 with CSLS", x, {"p10": "P@10"}, (-0.02, 0.4)),
        ]

    def train(self, progress: Progress, lam: float, task_labels: int) -> Result:
        """Fit the map with a seed that was not recorded."""
        return fit_lambda(lam, task_labels, 1000, progress=progress, device="cpu")[1]

    def describe(self, result: Result, live: Result | None) -> str:
        """All three numbers at λ, and where the task is best."""
        best = result["lines"]["auc"]["mean"].idxmax()
        text = (
            f"λ = {result['lam']:g} with {result['n']:,} Chinese labels: {self.told_all(result)} "
            f"(mean ± std over 5 seeds). The AUC is highest at λ = {best:g}."
        )
        return f"{text} Live: AUC {live['auc']:.3f}, P@10 {live['p10']:.3f}." if live else text
