"""Recorded runs: load them, pick from them, read their curves."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tlcourse.arguments import check_texts, shown
from tlcourse.paths import data_dir

if TYPE_CHECKING:
    import pandas as pd


@lru_cache(maxsize=64)
def _read(path: Path, changed: int) -> pd.DataFrame:
    import pandas as pd

    return pd.read_csv(path, keep_default_na=False, na_values=["nan"])


def _table(name: str) -> pd.DataFrame:
    """The one table that all share: for reading only."""
    folder = data_dir() / "runs"
    # A name, and no path that would lead elsewhere.
    if isinstance(name, str) and Path(name).name == name:
        path = folder / f"{name}.csv"
        if path.is_file():
            return _read(path, path.stat().st_mtime_ns)
    known = sorted(item.stem for item in folder.glob("*.csv"))
    raise KeyError(f"no recorded runs of the name {name!r}; there are: {', '.join(known)}")


def load(name: str) -> pd.DataFrame:
    """The recorded runs of a sweep: one row a run, settings, seed, metrics and seconds.

    The table is yours: what you change in it changes nothing elsewhere.
    """
    return _table(name).copy()


def select(name: str, **settings: Any) -> pd.DataFrame:
    """The recorded runs at some settings, a table of your own as from `load`.

    Raises
    ------
    KeyError
        If nothing was recorded there; the message says which values were.
    """
    table = _table(name)
    for setting, value in settings.items():
        if setting not in table:
            raise KeyError(f"the runs {name!r} have no column {setting!r}: {list(table)}")
        found = table[table[setting] == value] if np.ndim(value) == 0 else table.iloc[:0]
        if found.empty:
            values = sorted(table[setting].unique().tolist())
            raise KeyError(f"no recorded run has {setting} = {shown(value)}; there are {values}")
        table = found
    return table.copy()


def spread(table: pd.DataFrame, by: str, metric: str) -> pd.DataFrame:
    """Mean and standard deviation over seeds of a metric, for each value of a setting.

    Returns
    -------
    pandas.DataFrame
        Index: the setting's values in order; columns ``mean``, ``std`` and ``count``.

    Raises
    ------
    KeyError
        If the table has no such column.
    TypeError
        If the table is no table of runs, or the metric no number.
    """
    import pandas as pd

    if not isinstance(table, pd.DataFrame):
        raise TypeError(f"table must be a table of runs, as of select(name); got {shown(table)}")
    for name, column in (("by", by), ("metric", metric)):
        if not isinstance(column, str) or column not in table:
            raise KeyError(f"{name} must be a column, got {shown(column)}; there are {list(table)}")
    if not pd.api.types.is_numeric_dtype(table[metric]):
        raise TypeError(
            f"metric must be a column of numbers; {metric!r} holds {table[metric].dtype}"
        )
    return table.groupby(by)[metric].agg(["mean", "std", "count"]).sort_index()


def curves(strings: Iterable[str]) -> np.ndarray:
    """Recorded curves, numbers in a string for each run, as an array (runs, points).

    Raises
    ------
    TypeError
        If they are no strings.
    ValueError
        If one holds something else than numbers, or another number of them.
    """
    rows = []
    for row, text in enumerate(check_texts("strings", strings, least=0)):
        try:
            rows.append([float(number) for number in text.split()])
        except ValueError as fault:
            raise ValueError(f"strings must hold numbers; number {row}: {fault}") from None
        if len(rows[row]) != len(rows[0]):
            raise ValueError(
                f"strings must have as many numbers as each other; number 0 has {len(rows[0])}, "
                f"number {row} has {len(rows[row])}: {shown(text)}"
            )
    return np.array(rows)


def grid(name: str) -> dict[str, list[Any]]:
    """The settings that were recorded, each with its values in the sweep's order."""
    _table(name)  # an unknown name is told
    recipe = data_dir() / "runs" / f"{name}.json"
    return json.loads(recipe.read_text(encoding="utf8"))["grid"]


def chosen_by_validation(
    rows: pd.DataFrame, setting: str = "learning_rate", metric: str = "accuracy"
) -> pd.DataFrame:
    """Of some runs those with the value of a setting that is best on validation texts.

    Parameters
    ----------
    rows : pandas.DataFrame
        As of `select`, with a column ``validation_<metric>``.

    Returns
    -------
    pandas.DataFrame
        In the order of their seeds.
    """
    best = spread(rows, setting, f"validation_{metric}")["mean"].idxmax()
    return rows[rows[setting] == best].sort_values("seed")
