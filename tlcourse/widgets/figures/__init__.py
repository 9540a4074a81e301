"""Drawing: pure functions on a given `Figure`. Nothing here computes, prints or saves."""

from __future__ import annotations

from tlcourse.widgets.figures.base import (
    COLOURS,
    LOCK,
    MARKERS,
    Described,
    band,
    bars,
    here,
    layer_stack,
    legend,
    level,
    live_line,
    new_figure,
    number_ticks,
    png,
    star,
    tidy,
)
from tlcourse.widgets.figures.matrix import matrix_cells, matrix_frame, ring_cell
from tlcourse.widgets.figures.words import cjk_font, links, scatter_words, word_bars, word_label

__all__ = [
    "COLOURS",
    "LOCK",
    "MARKERS",
    "Described",
    "band",
    "bars",
    "cjk_font",
    "here",
    "layer_stack",
    "legend",
    "level",
    "links",
    "live_line",
    "matrix_cells",
    "matrix_frame",
    "new_figure",
    "number_ticks",
    "png",
    "ring_cell",
    "scatter_words",
    "star",
    "tidy",
    "word_bars",
    "word_label",
]
