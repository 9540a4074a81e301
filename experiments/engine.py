"""Recorded runs: real training runs, one a row, that figures and sliders answer from."""

from __future__ import annotations

import importlib.metadata
import itertools
import json
import os
import platform
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.partial import Partial, Tell, code_of, write
from tlcourse.arguments import shown
from tlcourse.paths import data_dir

if TYPE_CHECKING:
    pass
from tlcourse.recorded import _read

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
    """Run one row of a sweep: its settings, its metrics and its seconds.

    Raises
    ------
    ValueError
        If a setting is unknown or missing.
    """
    import torch

    names = {*sweep.grid, "seed"}
    if not isinstance(settings, Mapping) or set(settings) != names:
        came = list(settings) if isinstance(settings, Mapping) else shown(settings)
        raise ValueError(f"the sweep {sweep.name!r} takes the settings {sorted(names)}, got {came}")
    torch.set_num_threads(1)
    start = time.perf_counter()
    metrics = sweep.run(**settings)
    if clash := set(metrics) & set(settings):
        raise ValueError(f"{sweep.name}: {sorted(clash)} name a setting and a metric; rename one")
    return {**settings, **metrics, "seconds": round(time.perf_counter() - start, 3)}


def _run_apart(sweep: Sweep, settings: Settings, parent: int) -> Settings:
    """`run_one` in a worker, which ends with the process that started it, even by a kill."""
    if os.getpid() != parent and _ORPHANED not in {thread.name for thread in threading.enumerate()}:
        threading.Thread(target=_end_with, args=(parent,), name=_ORPHANED, daemon=True).start()
    return run_one(sweep, settings)


_ORPHANED = "ends with its parent"


def _end_with(parent: int) -> None:
    import psutil

    while os.getppid() == parent and psutil.pid_exists(parent):
        time.sleep(1)
    os._exit(1)


def record(
    sweep: Sweep,
    folder: Path | None = None,
    jobs: int = -1,
    progress: Callable[[int, int], None] | None = None,
    tell: Tell = warnings.warn,
) -> Path:
    """Make all runs of a sweep and write them to ``<name>.csv`` and ``<name>.json``.

    Finished runs are kept in ``<name>.partial.jsonl`` until all are there, so a sweep
    that was killed goes on where it stood, unless its code has changed.

    Parameters
    ----------
    sweep : Sweep
    folder : pathlib.Path, optional
        Where the files go; the course's own ``data/runs`` if left out.
    jobs : int
        Processes; −1 for one a core.
    progress : callable, optional
        Called with the runs done and the runs in all.
    tell : callable
        Called with a sentence if kept runs cannot be used.

    Returns
    -------
    pathlib.Path
        The CSV file.
    """
    import joblib
    import pandas as pd

    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs == 0 or jobs < -1:
        raise ValueError(f"jobs must be a number of processes, or -1 for one a core; got {jobs!r}")
    folder = Path(folder) if folder is not None else data_dir() / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    code = code_of(sweep.run)
    partial = Partial(folder, sweep.name, [*sweep.grid, "seed"], code)
    wanted = {partial.key(row): row for row in sweep.settings()}
    done = partial.take_up(wanted, tell)
    missing = [row for key, row in wanted.items() if key not in done]
    progress = progress or (lambda done, total: None)
    progress(len(done), len(wanted))
    results = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")(
        joblib.delayed(_run_apart)(sweep, row, os.getpid()) for row in missing
    )
    for row in results:
        partial.add(row)
        done[partial.key(row)] = row
        progress(len(done), len(wanted))
    table = pd.DataFrame([json.loads(json.dumps(done[key])) for key in wanted])
    recipe = {
        "title": sweep.title,
        "command": f"tlcourse sweep {sweep.name}",
        "grid": {name: list(values) for name, values in sweep.grid.items()},
        "seeds": list(sweep.seeds),
        "code": code,
        "runs": len(table),
        "run_seconds": round(float(table["seconds"].sum()), 1),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": versions(),
    }
    path = folder / f"{sweep.name}.csv"
    write(path, table.to_csv(index=False, float_format="%.5g", lineterminator="\n", na_rep="nan"))
    write(path.with_suffix(".json"), json.dumps(recipe, indent=1, ensure_ascii=False) + "\n")
    partial.path.unlink(missing_ok=True)
    _read.cache_clear()
    return path


def versions() -> dict[str, str]:
    """Of the packages that decide a run's numbers."""
    return {name: importlib.metadata.version(name) for name in _PACKAGES}
