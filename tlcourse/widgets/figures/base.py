"""Figures, and what all of them share: axes, bands, marks, legends, bars, matrices.

Figures are matplotlib's own, made without pyplot, because widgets redraw them from
callbacks and threads; `LOCK` keeps two drawings from running at once.
"""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

LOCK = threading.RLock()

# Okabe and Ito's palette: eight colours that people with colour blindness tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
MARKERS = "osD^vPX*"


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


def number_ticks(axes: Axes, values: Collection[float], log: bool = True) -> None:
    """Ticks at the values that were run, written out, on a logarithmic axis if asked.

    Values may be a mapping with texts of their own.
    """
    if log:
        axes.set_xscale("log")
    texts = values if isinstance(values, Mapping) else {}
    axes.set_xticks(list(values), [texts.get(value, f"{value:,}") for value in values])
    axes.minorticks_off()


def bars(axes: Axes, values: Mapping[str, tuple[float, float]]) -> None:
    """Horizontal bars of mean and standard deviation, with the number beside each."""
    for place, (mean, std) in enumerate(values.values()):
        axes.barh(place, mean, xerr=std, color=COLOURS[place], height=0.6, ecolor="#333333")
        axes.text(mean + std, place, f"  {mean:.3f}", va="center", fontsize=8)
    axes.set_yticks(range(len(values)), list(values))
    axes.invert_yaxis()


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
