"""Drawing: pure functions on a given `Figure`. Nothing here computes, prints or saves.

Figures are matplotlib's own, made without pyplot, because widgets redraw them from
callbacks and threads; `LOCK` keeps two drawings from running at once.
"""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Container, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

LOCK = threading.RLock()

# Okabe and Ito's palette: eight colours that people with colour blindness tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
MARKERS = "osD^vPX*"

_CJK_FAMILIES = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC", "PingFang SC",
    "Hiragino Sans GB", "Heiti SC", "Microsoft YaHei", "SimHei", "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei", "Arial Unicode MS",
)  # fmt: skip


def new_figure(width: float = 7.5, height: float = 3.4) -> Figure:
    """An empty figure of a size in inches, at 100 dots an inch."""
    figure = Figure(figsize=(width, height), dpi=100, layout=None)
    FigureCanvasAgg(figure)
    return figure


def png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    with LOCK:
        stream = io.BytesIO()
        figure.savefig(stream, format="png", pil_kwargs={"compress_level": 1})
        return stream.getvalue()


class Described:
    """A figure with its description, for a notebook: a picture, and a text for who sees none."""

    def __init__(self, figure: Figure, text: str) -> None:
        self.png, self.text = png(figure), text

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        return {"image/png": base64.b64encode(self.png).decode(), "text/plain": self.text}


@cache
def cjk_font() -> str | None:
    """An installed font family with Chinese characters, if there is one."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return next((family for family in _CJK_FAMILIES if family in installed), None)


def word_label(word: str, gloss: str = "") -> tuple[str, dict[str, Any]]:
    """Text and font for a word; without a Chinese font the gloss stands for it."""
    if word.isascii():
        return word, {}
    if cjk_font():
        return f"{word} {gloss}".strip(), {"fontfamily": str(cjk_font())}
    return gloss or "?", {}


def tidy(axes: Axes, title: str = "", xlabel: str = "", ylabel: str = "") -> None:
    """Titles, labels and a light grid."""
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel(xlabel, fontsize=9)
    axes.set_ylabel(ylabel, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25, linewidth=0.6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def band(
    axes: Axes,
    x: Sequence[float] | np.ndarray,
    mean: Sequence[float] | np.ndarray,
    std: Sequence[float] | np.ndarray,
    label: str,
    style: int = 0,
    highlight: bool = True,
) -> None:
    """A line with markers for the mean over seeds, and a band of ± 1 standard deviation."""
    middle, half = np.asarray(mean, dtype=float), np.nan_to_num(np.asarray(std, dtype=float))
    colour = COLOURS[style % len(COLOURS)]
    alpha = 1.0 if highlight else 0.35
    marker = MARKERS[style % len(MARKERS)]
    axes.plot(x, middle, marker=marker, ms=4, color=colour, label=label, alpha=alpha, lw=1.6)
    axes.fill_between(x, middle - half, middle + half, color=colour, alpha=0.18 * alpha, lw=0)


def level(axes: Axes, value: float, text: str) -> None:
    """A dashed line for a reference value such as chance, labelled at its right end."""
    axes.axhline(value, color="#555555", lw=1, ls="--")
    axes.annotate(
        text, (1, value), xycoords=("axes fraction", "data"), xytext=(-2, 2),
        textcoords="offset points", ha="right", va="bottom", fontsize=8, color="#555555",
    )  # fmt: skip


def here(axes: Axes, x: float, label: str = "") -> None:
    """A vertical line at the slider's setting."""
    axes.axvline(x, color="#444444", lw=1, ls=":")
    if label:
        axes.annotate(
            label, (x, 1), xycoords=("data", "axes fraction"), xytext=(3, -2),
            textcoords="offset points", va="top", fontsize=8, color="#444444",
        )  # fmt: skip


def live_line(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """A live run's curve."""
    axes.plot(x, y, "--", color="#E69F00", lw=2, zorder=5)


def star(axes: Axes, x: float, y: float) -> None:
    """A live run's result."""
    axes.plot([x], [y], marker="*", ms=15, color="#E69F00", mec="black", ls="", zorder=5)


def legend(axes: Axes, names: Sequence[str], inside: str = "") -> None:
    """Names of the styles 0, 1, …; beside the axes, or at a corner inside them."""
    handles = [
        Line2D([], [], color=COLOURS[style], marker=MARKERS[style], ms=4, lw=1.6, label=name)
        for style, name in enumerate(names)
    ]
    place = {"loc": inside} if inside else {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
    axes.legend(handles=handles, fontsize=8, frameon=False, **place)


def number_ticks(axes: Axes, values: Sequence[float], log: bool = True) -> None:
    """Ticks at the values that were run, written out, on a logarithmic axis if asked."""
    if log:
        axes.set_xscale("log")
    axes.set_xticks(list(values), [f"{value:,}" for value in values])
    axes.minorticks_off()


def bars(axes: Axes, values: Mapping[str, tuple[float, float]]) -> None:
    """Horizontal bars of mean and standard deviation, with the number beside each."""
    for place, (mean, std) in enumerate(values.values()):
        axes.barh(place, mean, xerr=std, color=COLOURS[place], height=0.6, ecolor="#333333")
        axes.text(mean + std, place, f"  {mean:.3f}", va="center", fontsize=8)
    axes.set_yticks(range(len(values)), list(values))
    axes.invert_yaxis()


def word_bars(axes: Axes, found: Sequence[tuple[str, float]], right: Container[str]) -> None:
    """Words with their scores as bars, the best on top; right answers green and ticked."""
    longest = max(max(score for _, score in found), 1e-9)
    for place, (word, score) in enumerate(found):
        hit = word in right
        length = max(score, 0.0) / longest  # CSLS may fall below zero: no bar then
        axes.barh(place, length, color=COLOURS[2] if hit else "#b8c4cc", height=0.75)
        label = f"{word} ✓" if hit else word
        axes.text(-0.02, place, label, ha="right", va="center", fontsize=9)
        axes.text(1.02, place, f"{score:.2f}", va="center", fontsize=8, color="#555555")
    axes.set(xlim=(-0.5, 1.15), ylim=(len(found) - 0.5, -0.5))


def links(axes: Axes, start: np.ndarray, end: np.ndarray) -> None:
    """Thin lines between the rows of two arrays of points, each of shape (n, 2)."""
    pairs = np.stack([start, end], axis=1)
    axes.add_collection(LineCollection(list(pairs), colors="#bbbbbb", linewidths=0.7, zorder=1))


def layer_stack(axes: Axes, layers: Mapping[str, tuple[int, bool]]) -> None:
    """Layers as boxes, the first at the bottom, with their parameters; frozen ones are grey.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    layers : mapping of str to (int, bool)
        Each layer's number of parameters and whether it trains.
    """
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(-0.6, len(layers) - 0.4))
    colours = [COLOURS[0] if trains else "#dddddd" for _, trains in layers.values()]
    axes.barh(range(len(layers)), 1, height=0.82, color=colours, edgecolor="#aaaaaa")
    for place, (name, (size, trains)) in enumerate(layers.items()):
        axes.text(
            0.5, place, f"{name}: {size:,} {'train' if trains else 'frozen'}", fontsize=9,
            ha="center", va="center", color="white" if trains else "#222222",
        )  # fmt: skip


def scatter_words(
    axes: Axes,
    points: np.ndarray,
    words: Sequence[str],
    glosses: Sequence[str] | None = None,
    style: int = 0,
    ring: int | None = None,
) -> None:
    """Words as labelled points.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    points : numpy.ndarray
        Shape (n, 2).
    words, glosses : sequence of str
        A label for each point, and its English gloss.
    style : int
        Colour and marker.
    ring : int, optional
        The point to stress.
    """
    colour, marker = COLOURS[style], MARKERS[style]
    axes.scatter(points[:, 0], points[:, 1], s=22, color=colour, marker=marker, zorder=3)
    labels = [
        word_label(word, glosses[number] if glosses else "") for number, word in enumerate(words)
    ]
    dots = axes.transData.transform(points)
    sides = _free_sides(dots, [text for text, _ in labels])
    for number, (text, font) in enumerate(labels):
        right, up = sides[number]
        axes.annotate(
            text, points[number], xytext=(4 if right else -4, 4 if up else -4), color=colour,
            textcoords="offset points", fontsize=9 if number == ring else 8, zorder=4,
            ha="left" if right else "right", va="bottom" if up else "top",
            fontweight="bold" if number == ring else "normal", **font,
        )  # fmt: skip
    if ring is not None:
        axes.scatter(points[ring, 0], points[ring, 1], s=140, facecolors="none", edgecolors="black")


def _free_sides(dots: np.ndarray, texts: Sequence[str]) -> list[tuple[bool, bool]]:
    """For each dot (n, 2), in pixels, the corner (right?, up?) where its label covers least."""
    taken: list[tuple[float, float, float, float]] = [(x - 4, y - 4, x + 4, y + 4) for x, y in dots]
    sides = []
    for (x, y), text in zip(dots, texts, strict=True):
        width = sum(6.5 if letter.isascii() else 12 for letter in text)
        best = None
        for right, up in ((True, True), (True, False), (False, True), (False, False)):
            left, low = (x + 5 if right else x - 5 - width), (y + 3 if up else y - 15)
            box = (left, low, left + width, low + 12)
            covered = sum(_overlap(box, other) for other in taken)
            if best is None or covered < best[0]:
                best = covered, (right, up), box
        assert best is not None
        sides.append(best[1])
        taken.append(best[2])
    return sides


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    """Area that two boxes (left, low, right, high) share."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0.0) * max(height, 0.0)


def matrix_frame(axes: Axes, rows: Sequence[str], columns: Sequence[str], title: str) -> None:
    """Empty axes for a matrix with named rows and columns, the first row on top."""
    axes.set_title(title, fontsize=10, loc="left")
    axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
    axes.set_xticks(range(len(columns)), list(columns), fontsize=9, va="baseline")
    axes.set_yticks(range(len(rows)), list(rows), fontsize=9)
    axes.tick_params(axis="x", pad=14)
    axes.tick_params(length=0)
    axes.set_frame_on(False)


def matrix_cells(
    axes: Axes,
    values: np.ndarray,
    limit: float,
    text: str = "{:z.2f}",
    bold: np.ndarray | None = None,
) -> None:
    """Coloured cells with their numbers.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        As `matrix_frame` leaves them.
    values : numpy.ndarray
        Purple above zero, orange below; NaN stays empty.
    limit : float
        The absolute value with the full colour.
    text : str
        Format of a number.
    bold : numpy.ndarray, optional
        Bool, the shape of the values: which numbers to stress.
    """
    axes.imshow(values, cmap="PuOr", vmin=-limit, vmax=limit, aspect="auto", alpha=0.75)
    for row, column in np.argwhere(np.isfinite(values)):
        axes.text(
            column, row, text.format(values[row, column]), ha="center", va="center", fontsize=9,
            fontweight="bold" if bold is not None and bold[row, column] else "normal",
        )  # fmt: skip


def ring_cell(axes: Axes, row: int, column: int) -> None:
    """A frame around one cell of a matrix."""
    axes.add_patch(
        Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, fill=False, lw=2.5, edgecolor="black")
    )
