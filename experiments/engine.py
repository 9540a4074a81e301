"""Run a sweep: each row once, on this machine's cores or on a dask cluster."""

from __future__ import annotations

import contextlib
import importlib.metadata
import itertools
import json
import os
import platform
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.partial import Partial, Tell, code_of, write
from tlcourse.arguments import shown
from tlcourse.paths import data_dir

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
    keep : sequence of mapping
        The values that some settings may have: only combinations that fit one of them are run; all
        if there is none.
    """

    name: str
    title: str
    run: Callable[..., Mapping[str, Any]]
    grid: Mapping[str, Sequence[Any]]
    seeds: Sequence[int] = range(5)
    keep: Sequence[Mapping[str, Sequence[Any]]] = ()

    def settings(self) -> list[Settings]:
        """Every run's settings, seed included."""
        names = [*self.grid, "seed"]
        combinations = itertools.product(*self.grid.values(), self.seeds)
        rows = [dict(zip(names, values, strict=True)) for values in combinations]
        keep = self.keep or ({},)
        return [
            row
            for row in rows
            if any(all(row[name] in known for name, known in rule.items()) for rule in keep)
        ]


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


_ORPHANED = "ends with its parent"


def _run_apart(sweep: Sweep, settings: Settings, parent: int) -> Settings:
    """`run_one` in a worker, which ends with the process that started it, even by a kill."""
    if os.getpid() != parent and _ORPHANED not in {thread.name for thread in threading.enumerate()}:
        threading.Thread(target=_end_with, args=(parent,), name=_ORPHANED, daemon=True).start()
    return run_one(sweep, settings)


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
    scheduler: str | None = None,
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
        Processes of this machine; −1 for one a core.
    progress : callable, optional
        Called with the runs done and the runs in all.
    tell : callable
        Called with a sentence if kept runs cannot be used.
    scheduler : str, optional
        Address of a dask scheduler, such as ``"tcp://10.0.0.1:8786"``: its workers make the runs.
        Runs of a worker that is lost are made by another.

    Returns
    -------
    pathlib.Path
        The CSV file.

    Raises
    ------
    ValueError, OSError
        If the number of jobs makes no sense, or there is no scheduler or no fit worker.
    """
    import joblib
    import pandas as pd

    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs == 0 or jobs < -1:
        raise ValueError(f"jobs must be a number of processes, or -1 for one a core; got {jobs!r}")
    with contextlib.nullcontext() if scheduler is None else _cluster(scheduler):
        folder = Path(folder) if folder is not None else data_dir() / "runs"
        folder.mkdir(parents=True, exist_ok=True)
        code = code_of(sweep.run)
        partial = Partial(folder, sweep.name, [*sweep.grid, "seed"], code)
        wanted = {partial.key(row): row for row in sweep.settings()}
        done = partial.take_up(wanted, tell)
        missing = [row for key, row in wanted.items() if key not in done]
        progress = progress or (lambda done, total: None)
        progress(len(done), len(wanted))
        if scheduler is None:
            calls = [joblib.delayed(_run_apart)(sweep, row, os.getpid()) for row in missing]
        else:
            calls = [joblib.delayed(run_one)(sweep, row) for row in missing]
        for row in joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")(calls):
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
    }
    path = folder / f"{sweep.name}.csv"
    write(path, table.to_csv(index=False, float_format="%.5g", lineterminator="\n", na_rep="nan"))
    describe(path.with_suffix(".json"), recipe)
    partial.path.unlink(missing_ok=True)
    return path


@contextlib.contextmanager
def _cluster(address: str) -> Iterator[None]:
    """Let joblib hand its calls to a dask cluster's workers.

    Several runs in one process would disturb each other's random numbers: one thread a worker.
    """
    import joblib

    try:
        from distributed import Client
        from distributed.comm.addressing import get_address_host_port
    except ImportError as fault:
        raise ImportError(f"{fault}: pip install 'dask[distributed]'") from fault
    try:
        with socket.create_connection(get_address_host_port(address), timeout=5):
            client = Client(address, timeout=10, set_as_default=False)
    except (ValueError, OSError) as fault:
        raise OSError(
            f"no dask scheduler answers at {address!r} ({fault}); an address looks like "
            "'tcp://10.0.0.1:8786', as the command dask scheduler prints it"
        ) from fault
    with client:
        threads = client.nthreads().values()
        if not threads or max(threads) > 1:
            raise ValueError(
                f"the scheduler at {address} has {len(threads)} workers, with up to "
                f"{max(threads, default=0)} threads; it needs one at least, and one thread in each:"
                f" dask worker {address} --nthreads 1"
            )
        with joblib.parallel_config(backend="dask", client=client):
            yield


def describe(path: Path, about: Mapping[str, Any]) -> None:
    """Write how something was made, with the versions that decide its numbers."""
    packages = {name: importlib.metadata.version(name) for name in _PACKAGES}
    about = {**about, "python": platform.python_version(), "versions": packages}
    write(path, json.dumps(about, indent=1, ensure_ascii=False) + "\n")
