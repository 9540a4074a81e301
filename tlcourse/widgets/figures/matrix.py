"""Matrices with named rows and columns and a number in each cell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle


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
