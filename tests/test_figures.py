"""Labels in figures: read off their bounding boxes, none lies on another."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.text import Text

from tests.everything import explorers
from tlcourse.mapping.explorers import PairsAndMethod
from tlcourse.widgets import figures


def _colliding(figure):
    """Pairs of texts in the same figure that share more than a pixel."""
    figure.canvas.draw()
    shown = [text for axes in figure.axes for text in (*axes.texts, axes.title) if text.get_text()]
    boxes = [(text.get_text(), Text.get_window_extent(text)) for text in shown]  # without arrows
    return [
        (one, other)
        for (one, a), (other, b) in itertools.combinations(boxes, 2)
        if min(a.x1, b.x1) - max(a.x0, b.x0) > 1 and min(a.y1, b.y1) - max(a.y0, b.y0) > 1
    ]


def _drawn(explorer, live=None):
    figure = figures.new_figure(*explorer.size)
    explorer.frame(figure, explorer.result)
    explorer.draw(figure, explorer.result, live)
    return figure


@pytest.mark.parametrize(
    ("space", "word"),
    [("GloVe (English)", "king"), ("GloVe (English)", "bank"), ("ours (Chinese)", "便宜")],
)
def test_labels_of_many_neighbours_keep_clear(space, word):
    near = explorers.NeighbourhoodMap(space=space, word=word, k=20)
    assert _colliding(_drawn(near)) == []
    assert _colliding(_drawn(near, live=near.result)) == []


@pytest.mark.parametrize("pairs", [50, 500, 3500])
def test_labels_of_both_languages_keep_clear(pairs):
    maps = PairsAndMethod(method="Procrustes", normalisation="unit", pairs=pairs)
    assert _colliding(_drawn(maps)) == []


@pytest.mark.parametrize("word", ["音乐", "医院", "经济"])
def test_long_words_stay_in_their_panel(word):
    translate = explorers.TranslateWord(chinese=word)
    figure = _drawn(translate, live=translate.result)
    assert _colliding(figure) == []
    assert min(Text.get_window_extent(text).x0 for text in figure.axes[0].texts) >= 0


def test_a_crowd_of_labels_keeps_clear_and_close():
    figure = figures.new_figure(5, 4)
    axes = figure.subplots()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    points = 0.5 + 0.1 * np.random.default_rng(0).standard_normal((20, 2))
    figures.scatter_words(axes, points, [f"word{number}" for number in range(20)])
    assert _colliding(figure) == []
    dots = axes.transData.transform(points)
    for dot, text in zip(dots, axes.texts, strict=True):
        box = Text.get_window_extent(text)
        gap = np.maximum(0, [box.x0 - dot[0], dot[0] - box.x1, box.y0 - dot[1], dot[1] - box.y1])
        assert np.linalg.norm(gap) < 90
