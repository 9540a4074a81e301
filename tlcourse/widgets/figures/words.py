"""Words in figures: labels with a Chinese font or a gloss, word bars, labelled points."""

from __future__ import annotations

from collections.abc import Container, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.collections import LineCollection
from matplotlib.font_manager import FontProperties

from tlcourse.widgets.figures.base import COLOURS, MARKERS, new_figure

_CJK_FAMILIES = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC", "PingFang SC",
    "Hiragino Sans GB", "Heiti SC", "Microsoft YaHei", "SimHei", "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei", "Arial Unicode MS",
)  # fmt: skip


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


def word_bars(axes: Axes, found: Sequence[tuple[str, float]], right: Container[str]) -> None:
    """Words with their scores as bars, the best on top; right answers green and ticked."""
    longest = max(max(score for _, score in found), 1e-9)
    labels = [f"{word} ✓" if word in right else word for word, _ in found]
    # Room on the left for the longest word, so that none reaches the scores of the panel before.
    share = max(_text_size(label, 9)[0] for label in labels) / axes.get_window_extent().width
    share = min(share + 0.04, 0.6)
    for place, ((word, score), label) in enumerate(zip(found, labels, strict=True)):
        length = max(score, 0.0) / longest  # CSLS may fall below zero: no bar then
        colour = COLOURS[2] if word in right else "#b8c4cc"
        axes.barh(place, length, color=colour, height=0.75)
        axes.text(-0.02, place, label, ha="right", va="center", fontsize=9)
        axes.text(1.02, place, f"{score:.2f}", va="center", fontsize=8, color="#555555")
    axes.set(xlim=(-1.2 * share / (1 - share), 1.2), ylim=(len(found) - 0.5, -0.5))


def plane(points: np.ndarray) -> np.ndarray:
    """The first two principal components of some rows: shape (n, 2)."""
    centred = points - points.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    return u[:, :2] * s[:2]


def links(axes: Axes, start: np.ndarray, end: np.ndarray) -> None:
    """Thin lines between the rows of two arrays of points, each of shape (n, 2)."""
    pairs = np.stack([start, end], axis=1)
    axes.add_collection(LineCollection(list(pairs), colors="#bbbbbb", linewidths=0.7, zorder=1))


def scatter_words(
    axes: Axes,
    points: np.ndarray,
    words: Sequence[str],
    glosses: Sequence[str] | None = None,
    style: int | Sequence[int] = 0,
    ring: int | None = None,
) -> None:
    """Words as points whose labels keep clear of each other; give all words of the axes at once.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        In its final place and with its final limits, unless these follow from the points.
    points : numpy.ndarray
        Shape (n, 2).
    words, glosses : sequence of str
        A label for each point, and its English gloss.
    style : int or sequence of int
        Colour and marker, of all points or of each.
    ring : int, optional
        The point to stress.
    """
    styles = np.broadcast_to(style, len(words))
    for kind in np.unique(styles):
        some = points[styles == kind]
        axes.scatter(
            some[:, 0], some[:, 1], s=22, color=COLOURS[kind], marker=MARKERS[kind], zorder=3
        )
    axes.get_xlim()  # matplotlib puts limits that follow from the points off until they are asked
    labels = [
        word_label(word, glosses[number] if glosses else "") for number, word in enumerate(words)
    ]
    looks = [
        {
            "fontsize": 9 if number == ring else 8,
            "fontweight": "bold" if number == ring else "normal",
        }
        | font
        for number, (_, font) in enumerate(labels)
    ]
    sizes = [_text_size(text, **look) for (text, _), look in zip(labels, looks, strict=True)]
    dots = axes.transData.transform(points)
    corners = _free_places(dots, np.array(sizes), np.array(axes.get_window_extent().extents))
    for number, ((text, _), look) in enumerate(zip(labels, looks, strict=True)):
        away = corners[number] - dots[number]
        colour = COLOURS[styles[number]]
        leads = {"arrowstyle": "-", "lw": 0.5, "color": colour, "shrinkA": 0, "shrinkB": 3}
        axes.annotate(
            text, points[number], xytext=away, textcoords="offset pixels", color=colour,
            zorder=4, ha="left", va="bottom", annotation_clip=False,
            arrowprops=leads if _distance(away, sizes[number]) > _NEAR else None, **look,
        )  # fmt: skip
    if ring is not None:
        axes.scatter(points[ring, 0], points[ring, 1], s=140, facecolors="none", edgecolors="black")


_NEAR = 10
"""Pixels from a point to its label, up to which nobody doubts whose it is."""

# Where a label may lie: how far from its point, and on which side, the likeliest first.
_PLACES = [
    (distance, right, up)
    for distance in (4, 8, 14, 21, 29, 38, 48, 60)
    for right, up in ((1, 1), (1, -1), (-1, 1), (-1, -1), (1, 0), (-1, 0), (0, 1), (0, -1))
]


@lru_cache(maxsize=4096)
def _text_size(
    text: str, fontsize: float, fontweight: str = "normal", fontfamily: str = ""
) -> tuple[float, float]:
    """Width and height of a text in pixels, on a figure of ours."""
    font = FontProperties(family=fontfamily or None, size=fontsize, weight=fontweight)
    width, height, _ = _renderer().get_text_width_height_descent(text, font, False)
    return width, max(height, _renderer().get_text_width_height_descent("lp", font, False)[1])


@cache
def _renderer() -> RendererAgg:
    return RendererAgg(100, 100, new_figure().dpi)


def _distance(away: np.ndarray, size: tuple[float, float]) -> float:
    """From a point to a box whose lower left corner lies so far away from it."""
    gaps = np.maximum(np.maximum(away, -(away + size)), 0)
    return float(np.hypot(*gaps))


def _free_places(dots: np.ndarray, sizes: np.ndarray, room: np.ndarray) -> np.ndarray:
    """Lower left corners of labels that cover little of each other and of the dots.

    Parameters
    ----------
    dots, sizes : numpy.ndarray
        Shape (n, 2), in pixels: the points, and the labels' widths and heights.
    room : numpy.ndarray
        Left, low, right, high: where labels should lie.

    Returns
    -------
    numpy.ndarray
        Shape (n, 2).
    """
    far, right, up = np.array(_PLACES, dtype=float).T
    taken = np.hstack([dots - 4, dots + 4])
    corners = np.empty_like(dots)
    for number, (dot, (width, height)) in enumerate(zip(dots, sizes, strict=True)):
        left = dot[0] + right * far + (right - 1) / 2 * width
        low = dot[1] + up * far + (up - 1) / 2 * height
        boxes = np.stack([left, low, left + width, low + height], axis=1)
        shared = np.minimum(boxes[:, None, 2:], taken[:, 2:]) - np.maximum(
            boxes[:, None, :2], taken[:, :2]
        )
        covered = np.maximum(shared, 0).prod(2).sum(1)
        outside = np.maximum(room[:2] - boxes[:, :2], 0) + np.maximum(boxes[:, 2:] - room[2:], 0)
        best = int((covered + 10 * outside.sum(1)).argmin())  # the nearest of several free ones
        corners[number] = boxes[best, :2]
        taken = np.vstack([taken, boxes[best] + (-1, -1, 1, 1)])
    return corners
