"""Explorers that are declared: a recorded sweep, one setting on x, lines with bands."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tlcourse import recorded
from tlcourse.widgets import figures
from tlcourse.widgets.controls import choice, menu, tick
from tlcourse.widgets.explorer import Explorer, Result

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Knob:
    """A control over recorded values: a menu of names, a tick, or a slider over numbers.

    Attributes
    ----------
    label : str
    start : str, bool or number
        Its value at first; what it is decides which control this becomes.
    text : callable
        How a value is written.
    column : str
        The sweep's setting, if the control has another name.
    values : sequence
        The values, if they are not those of the sweep's grid.
    """

    label: str
    start: Any
    text: Callable[[Any], str] = str
    column: str = ""
    values: Sequence[Any] = ()

    def control(self, name: str, grid: Mapping[str, Sequence[Any]]) -> Any:
        """The widget."""
        if isinstance(self.start, bool):
            return tick(self.label, self.start)
        values = self.values or grid[self.column or name]
        make = menu if isinstance(self.start, str) else choice
        return make(self.label, values, self.start, self.text)


@dataclass(frozen=True)
class Chart:
    """One pair of axes of a `CurveExplorer`.

    Attributes
    ----------
    title, xlabel : str
    lines : mapping of str to str
        What is drawn, metrics or arms, and how each is called; one name has one colour.
    ylim : (float, float)
    scale : {"linear", "log", "even"}
        Of x; "even" puts the ticks side by side, so that 0 has a place beside 20 and 5,000.
    ticks : sequence of numbers, or mapping of number to text
        On x; the sweep's values if left out.
    levels : mapping of str to float or (float, float)
        Baselines by their label: a value, or its mean and standard deviation.
    legend : str
        A corner for the lines' names, "beside" the axes, or "" for none.
    steps : float
        If not 0 the lines are learning curves, numbers in a string that were taken from step 0
        to this one, at the setting on x.
    """

    title: str
    xlabel: str
    lines: Mapping[str, str]
    ylim: tuple[float, float]
    scale: str = "linear"
    ticks: Sequence[float] | Mapping[float, str] = ()
    levels: Mapping[str, float | tuple[float, float]] = field(default_factory=dict)
    legend: str = ""
    steps: float = 0

    def place(self, x: float) -> float:
        """Where a value of x lies on the axis."""
        return list(self.ticks).index(x) if self.scale == "even" else x

    def dress(self, axes: Axes) -> None:
        """Title, labels, limits, ticks, baselines, legend."""
        figures.tidy(axes, self.title, self.xlabel)
        axes.set_ylim(*self.ylim)
        if self.steps:
            axes.set_xlim(-0.02 * self.steps, 1.02 * self.steps)
        elif self.ticks:
            texts = self.ticks if isinstance(self.ticks, Mapping) else {}
            at = {self.place(x): texts.get(x, f"{x:,}") for x in self.ticks}
            log, low, high = self.scale == "log", min(at), max(at)
            room = 0.3 if self.scale == "even" else 0.04 * (high - low)
            axes.set_xlim(*(low / 1.15, high * 1.15) if log else (low - room, high + room))
            figures.number_ticks(axes, at, log)
        for text, value in self.levels.items():
            if isinstance(value, tuple):
                mean, std = value
                axes.axhspan(mean - std, mean + std, color="#bbbbbb", alpha=0.35, lw=0)
            figures.level(axes, value[0] if isinstance(value, tuple) else value, text)
        if self.legend:
            inside = "" if self.legend == "beside" else self.legend
            figures.legend(axes, list(self.lines.values()), inside)


def plus_minus(values: Any, digits: int = 3) -> str:
    """Mean ± standard deviation over runs, in words."""
    return f"{np.mean(values):z.{digits}f} ± {np.std(values, ddof=1):.{digits}f}"


class CurveExplorer(Explorer):
    """Base class of explorers of a recorded sweep: what is declared here is drawn.

    A subclass declares ``name``, ``size``, the attributes below and `charts`, and writes
    `describe` and `train`; what else it shows it adds to `frame` and `draw`.

    A result has the sweep's settings by their names, ``rows`` (all runs along x), ``here`` (those
    at the setting on x) and ``lines``, for each line of the charts a table with columns ``mean``
    and ``std`` over x. `train` gives, by the same names, the numbers for a star, or a curve.

    Attributes
    ----------
    sweep : str
        See `tlcourse.recorded`.
    knobs : mapping of str to Knob
        The controls. Those that are settings of the sweep pick its rows.
    x : str
        The setting that lies on x; none if all charts show learning curves.
    arms : str
        The setting whose values are the lines, each with its ``metric``. If it has a control,
        the chosen line stands out. Left out, the lines are metrics.
    metric : str
    across : int
        How many charts stand side by side; all if 0.
    margins : tuple of float
        Left, bottom, right, top, and the room between charts: `Figure.subplots_adjust`.
    """

    sweep = ""
    knobs: ClassVar[Mapping[str, Knob]] = {}
    x = ""
    arms = ""
    metric = "accuracy"
    across: int = 0
    margins: tuple[float, ...] = (0.06, 0.16, 0.98, 0.9, 0.18)

    def __init__(self, **settings: Any) -> None:
        grid = recorded.grid(self.sweep)
        controls = {name: knob.control(name, grid) for name, knob in self.knobs.items()}
        super().__init__(controls, **settings)

    def charts(self, result: Result) -> Sequence[Chart]:
        """The charts, from left to right; the result has no lines yet; pure."""
        raise NotImplementedError

    def compute(self, **settings: Any) -> Result:
        """Recorded runs at these settings, and the lines through them."""
        grid = recorded.grid(self.sweep)
        at = {self.knobs[name].column or name: value for name, value in settings.items()}
        fixed = {name: at[name] for name in at if name in grid and name not in (self.x, self.arms)}
        rows = recorded.select(self.sweep, **fixed)
        here = rows[rows[self.x] == at[self.x]] if self.x else rows
        result = {**at, "rows": rows, "here": here, "ticks": grid.get(self.x, ())}
        lines = {name: self.line(result, name, c) for c in self.charts(result) for name in c.lines}
        return {**result, "lines": lines}

    def _charts(self, result: Result) -> list[Chart]:
        """The charts, with the sweep's values as ticks where none were declared."""
        ticks = result["ticks"]
        return [replace(c, ticks=c.ticks or ticks) for c in self.charts(result)]

    def line(self, result: Result, name: str, chart: Chart) -> pd.DataFrame:
        """Mean and standard deviation along x of one line; pure."""
        if chart.steps:
            return over_steps(recorded.curves(result["here"][name]), chart.steps)
        rows = result["rows"]
        if self.arms:
            return recorded.spread(rows[rows[self.arms] == name], self.x, self.metric)
        return recorded.spread(rows, self.x, name)

    def told(self, result: Result, name: str, digits: int = 3) -> str:
        """A line's mean ± standard deviation at the setting on x, in words."""
        mean, std = result["lines"][name].loc[result[self.x], ["mean", "std"]]
        return f"{mean:z.{digits}f} ± {std:.{digits}f}"

    def told_all(self, result: Result, digits: int = 3, sign: str = " ") -> str:
        """All lines' names with their mean ± standard deviation, in words."""
        names = {line: name for c in self.charts(result) for line, name in c.lines.items()}
        told = (f"{names[line]}{sign}{self.told(result, line, digits)}" for line in names)
        return ", ".join(told)

    def frame_key(self, result: Result) -> Hashable:
        """The charts as they were declared: limits, ticks, titles, baselines."""
        return repr(self._charts(result))

    def frame(self, figure: Figure, result: Result) -> None:
        """The axes of all charts."""
        charts = self._charts(result)
        across = self.across or len(charts)
        figure.subplots(len(charts) // across, across)
        figure.subplots_adjust(*self.margins)
        for axes, chart in zip(figure.axes, charts, strict=True):
            chart.dress(axes)

    def draw(self, figure: Figure, result: Result, live: Result | None) -> None:
        """Bands, the setting on x, and the live run."""
        charts, chosen = self._charts(result), result.get(self.arms)
        names = list(dict.fromkeys(name for chart in charts for name in chart.lines.values()))
        for axes, chart in zip(figure.axes, charts, strict=False):
            for line, name in chart.lines.items():
                table, style = result["lines"][line], names.index(name)
                x = [chart.place(value) for value in table.index]
                figures.band(
                    axes, x, table["mean"], table["std"], name, style, chosen in (None, line)
                )
                if live and line in live:
                    if chart.steps:
                        figures.live_line(axes, table.index, live[line])
                    else:
                        figures.star(axes, chart.place(result[self.x]), live[line])
            if not chart.steps:
                figures.here(axes, chart.place(result[self.x]))


def over_steps(curves: np.ndarray, steps: float) -> pd.DataFrame:
    """Mean and standard deviation over runs, at evenly spaced steps, of curves (runs, points)."""
    import pandas as pd

    at = np.linspace(0, steps, curves.shape[1])
    return pd.DataFrame({"mean": curves.mean(0), "std": curves.std(0, ddof=1)}, index=at)
