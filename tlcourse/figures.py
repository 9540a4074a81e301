"""Drawing: pure functions on a given `Figure`. Nothing here computes, prints or saves.

Figures are matplotlib's own, made without pyplot, because widgets redraw them from
callbacks and threads; `LOCK` keeps two drawings from running at once.
"""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

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
    x: Sequence[float],
    mean: Sequence[float],
    std: Sequence[float],
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


def star(axes: Axes, x: float, y: float, label: str = "live") -> None:
    """A live run's result."""
    axes.plot([x], [y], marker="*", ms=15, color="#E69F00", mec="black", ls="", label=label)


def number_ticks(axes: Axes, values: Sequence[float], log: bool = True) -> None:
    """Ticks at the values that were run, written out, on a logarithmic axis if asked."""
    if log:
        axes.set_xscale("log")
    axes.set_xticks(list(values), [f"{value:,}" for value in values])
    axes.minorticks_off()


def bars(
    axes: Axes, values: Mapping[str, tuple[float, float]], live: Mapping[str, float] | None = None
) -> None:
    """Horizontal bars of mean and standard deviation, with the number beside each."""
    names = list(values)
    for place, name in enumerate(names):
        mean, std = values[name]
        axes.barh(place, mean, xerr=std, color=COLOURS[place], height=0.6, ecolor="#333333")
        axes.text(mean + std, place, f"  {mean:.3f}", va="center", fontsize=8)
        if live and name in live:
            star(axes, live[name], place)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()


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
    for number, word in enumerate(words):
        text, font = word_label(word, glosses[number] if glosses else "")
        axes.annotate(
            text, points[number], xytext=(4, 3), textcoords="offset points", color=colour,
            fontsize=9 if number == ring else 8, fontweight="bold" if number == ring else "normal",
            **font,
        )  # fmt: skip
    if ring is not None:
        axes.scatter(
            points[ring, 0], points[ring, 1], s=140, facecolors="none", edgecolors="black", zorder=4
        )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.margins(x=0.3, y=0.12)
