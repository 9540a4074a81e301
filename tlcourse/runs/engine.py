"""Recorded runs: real training runs, one a row, that figures and sliders answer from."""

from __future__ import annotations

import importlib.metadata
import itertools
import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tlcourse.paths import data_dir

if TYPE_CHECKING:
    import pandas as pd

Settings = dict[str, Any]

_PACKAGES = (
    "accelerate", "gensim", "numpy", "peft", "scikit-learn", "scipy", "seqeval", "torch", "torchjd",
    "transformers",
)  # fmt: skip


@dataclass(frozen=True)
class Sweep:
    """A grid of runs.

    Attributes
    ----------
    name : str
        Names the files ``data/runs/<name>.csv`` and ``.json``.
    title : str
        What is measured, in one line.
    run : callable
        ``run(**settings, seed=…)`` trains once and returns its metrics.
    grid : mapping
        Each setting with its values; every combination is run.
    seeds : sequence of int
    keep : callable, optional
        Tells which combinations make sense; all if left out.
    """

    name: str
    title: str
    run: Callable[..., Mapping[str, Any]]
    grid: Mapping[str, Sequence[Any]]
    seeds: Sequence[int] = (0, 1, 2, 3, 4)
    keep: Callable[[Settings], bool] | None = None

    def settings(self) -> list[Settings]:
        """Every run's settings, seed included."""
        names = [*self.grid, "seed"]
        combinations = itertools.product(*self.grid.values(), self.seeds)
        rows = [dict(zip(names, values, strict=True)) for values in combinations]
        return [row for row in rows if self.keep is None or self.keep(row)]


def run_one(sweep: Sweep, settings: Settings) -> Settings:
    """Run one row of a sweep: its settings, its metrics and its seconds."""
    import torch

    torch.set_num_threads(1)
    start = time.perf_counter()
    metrics = sweep.run(**settings)
    if clash := set(metrics) & set(settings):
        raise ValueError(f"{sweep.name}: {sorted(clash)} name a setting and a metric; rename one")
    return {**settings, **metrics, "seconds": round(time.perf_counter() - start, 3)}


def record(
    sweep: Sweep,
    folder: Path | None = None,
    jobs: int = -1,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Make all runs of a sweep and write them to ``<name>.csv`` and ``<name>.json``.

    Finished runs are kept in ``<name>.partial.jsonl`` until all are there, so a sweep
    that was killed goes on where it stood.

    Parameters
    ----------
    sweep : Sweep
    folder : pathlib.Path, optional
        Where the files go; the course's own ``data/runs`` if left out.
    jobs : int
        Processes; −1 for one a core.
    progress : callable, optional
        Called with the runs done and the runs in all.

    Returns
    -------
    pathlib.Path
        The CSV file.
    """
    import joblib
    import pandas as pd

    folder = folder or data_dir() / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{sweep.name}.partial.jsonl"
    names = [*sweep.grid, "seed"]
    wanted = {_key(row, names): row for row in sweep.settings()}
    done = {key: row for row in _read_lines(partial) if (key := _key(row, names)) in wanted}
    missing = [row for key, row in wanted.items() if key not in done]
    tell = progress or (lambda done, total: None)
    tell(len(done), len(wanted))
    results = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")(
        joblib.delayed(run_one)(sweep, row) for row in missing
    )
    for row in results:
        with partial.open("a", encoding="utf8") as stream:
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
        done[_key(row, names)] = row
        tell(len(done), len(wanted))
    table = pd.DataFrame([json.loads(json.dumps(done[key])) for key in wanted])
    recipe = {
        "title": sweep.title,
        "command": f"tlcourse sweep {sweep.name}",
        "grid": {name: list(values) for name, values in sweep.grid.items()},
        "seeds": list(sweep.seeds),
        "runs": len(table),
        "run_seconds": round(float(table["seconds"].sum()), 1),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": versions(),
    }
    path = folder / f"{sweep.name}.csv"
    write(path, table.to_csv(index=False, float_format="%.5g", lineterminator="\n", na_rep="nan"))
    write(path.with_suffix(".json"), json.dumps(recipe, indent=1, ensure_ascii=False) + "\n")
    partial.unlink(missing_ok=True)
    load.cache_clear()
    return path


def _key(row: Mapping[str, Any], names: Sequence[str]) -> str:
    return json.dumps([row[name] for name in names], ensure_ascii=False)


def _read_lines(path: Path) -> Iterator[Settings]:
    """Rows of a partial file; a line cut off by a kill is left out and run again."""
    if path.is_file():
        for line in path.read_text(encoding="utf8").splitlines():
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                continue


def versions() -> dict[str, str]:
    """Of the packages that decide a run's numbers."""
    return {name: importlib.metadata.version(name) for name in _PACKAGES}


def write(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    unfinished = path.with_name(path.name + ".tmp")
    unfinished.write_text(text, encoding="utf8")
    os.replace(unfinished, path)


@lru_cache(maxsize=32)
def load(name: str) -> pd.DataFrame:
    """The recorded runs of a sweep: one row a run, settings, seed, metrics and seconds."""
    import pandas as pd

    path = data_dir() / "runs" / f"{name}.csv"
    if not path.is_file():
        known = sorted(item.stem for item in path.parent.glob("*.csv"))
        raise KeyError(f"no recorded runs {name!r}; there are: {', '.join(known)}")
    return pd.read_csv(path, keep_default_na=False, na_values=["nan"])


def select(name: str, **settings: Any) -> pd.DataFrame:
    """The recorded runs at some settings.

    Raises
    ------
    KeyError
        If nothing was recorded there; the message says which values were.
    """
    table = load(name)
    for setting, value in settings.items():
        if setting not in table:
            raise KeyError(f"the runs {name!r} have no column {setting!r}: {list(table)}")
        values = sorted(table[setting].unique().tolist())
        table = table[table[setting] == value]
        if table.empty:
            raise KeyError(f"no recorded run has {setting} = {value!r}; there are {values}")
    return table


def spread(table: pd.DataFrame, by: str, metric: str) -> pd.DataFrame:
    """Mean and standard deviation over seeds of a metric, for each value of a setting.

    Returns
    -------
    pandas.DataFrame
        Index: the setting's values in order; columns ``mean``, ``std`` and ``count``.
    """
    return table.groupby(by)[metric].agg(["mean", "std", "count"]).sort_index()


def curves(strings: Iterable[str]) -> np.ndarray:
    """Recorded curves, numbers in a string for each run, as an array (runs, points)."""
    return np.array([[float(number) for number in text.split()] for text in strings])
