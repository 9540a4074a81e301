"""Words in figures: labels with a Chinese font or a gloss, word bars, labelled points."""

from __future__ import annotations

from collections.abc import Container, Sequence
from functools import cache
from typing import Any

import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from tlcourse.figures.base import COLOURS, MARKERS

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
