"""The ``tlcourse`` command: open the lessons, fetch the data, look for faults, remake runs."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tlcourse import __version__, sources
from tlcourse.paths import cache_dir, data_dir, is_clone, notebooks_dir


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 0 if all went well."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if options.call is run_lab:
        options.lab_options = rest
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        return options.call(options)
    except (sources.SourceError, KeyError, ValueError, OSError) as fault:
        said = fault.args[0] if isinstance(fault, KeyError) else fault
        print(f"tlcourse: {said}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tlcourse", description=__doc__)
    parser.add_argument("--version", action="version", version=f"tlcourse {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, call: object, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(call=call)
        return added

    command(
        "lab", run_lab, "open JupyterLab on the first lesson; other options are passed on to it"
    )
    fetch = command("fetch", run_fetch, "fetch the course's data, all or by name")
    fetch.add_argument("names", nargs="*", metavar="NAME")
    fetch.add_argument("--verify", action="store_true", help="hash what is there again")
    command("doctor", run_doctor, "show versions and what is missing, with the mending command")
    sweep = command("sweep", run_sweep, "make recorded runs again; goes on where it stopped")
    sweep.add_argument("name", metavar="NAME", nargs="?", help="left out: list the sweeps")
    sweep.add_argument("--jobs", type=int, default=-1, help="processes; -1 is one a core")
    sweep.add_argument("--out", type=Path, help="folder for the files instead of data/runs")
    vectors = command("vectors", run_vectors, "train word vectors that the course ships again")
    vectors.add_argument("name", metavar="NAME")
    vectors.add_argument("--out", type=Path, help="folder for the files instead of data/vectors")
    pretrain = command("pretrain", run_pretrain, "pretrain models that the course ships again")
    pretrain.add_argument("name", metavar="NAME", nargs="?", help="left out: list the models")
    pretrain.add_argument("--out", type=Path, help="folder for the files instead of data/models")
    return parser


def run_lab(options: argparse.Namespace) -> int:
    """Start JupyterLab: token on, loopback only, on lesson 1."""
    folder = notebooks_dir()
    if not is_clone():  # a wheel's files are nobody's to edit: work on a copy
        folder = Path.cwd() / "tlcourse-notebooks"
        folder.mkdir(exist_ok=True)
        for notebook in sorted(notebooks_dir().glob("*.ipynb")):
            if not (folder / notebook.name).exists():
                shutil.copy(notebook, folder)
    first = min(folder.glob("*.ipynb")).name
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder}"]
    command += ["--ServerApp.ip=127.0.0.1", f"--LabApp.default_url=/lab/tree/{first}"]
    return subprocess.call([*command, *options.lab_options])


def run_fetch(options: argparse.Namespace) -> int:
    """Fetch datasets with progress bars."""
    from tqdm import tqdm

    wanted = [sources.dataset(name) for name in options.names or sources.manifest()]
    print(f"The cache is {cache_dir()}.")
    for dataset in wanted:
        if sources.is_fetched(dataset.name):
            if options.verify:
                sources.verify(dataset.name)
            print(f"{dataset.name}: is there, {dataset.disk_size / 1e6:.0f} MB. {dataset.title}")
            continue
        print(f"{dataset.name}: {dataset.title} ({dataset.licence})")
        with tqdm(total=dataset.download_size, unit="B", unit_scale=True) as bar:

            def show(what: str, done: int, total: int, bar: tqdm = bar) -> None:
                bar.total = total
                bar.update(max(done - bar.n, 0))

            sources.fetch(dataset.name, show)
            bar.update(max((bar.total or 0) - bar.n, 0))
    if not options.names:
        from tlcourse.corpora import CORPORA, load_corpus

        for name in CORPORA:  # segmented once, so that no lesson has to wait for it
            print(f"corpus {name}: {sum(map(len, load_corpus(name))):,} tokens")
    return 0


def run_doctor(options: argparse.Namespace) -> int:
    """Print what is here and how to mend what is not."""
    import psutil

    faults = []
    print(f"tlcourse {__version__}, Python {platform.python_version()}, {platform.platform()}")
    for name in (
        "jupyterlab", "ipykernel", "ipywidgets", "torch", "transformers", "gensim", "matplotlib",
        "nbval", "numpy", "scikit-learn", "accelerate", "captum", "peft", "seqeval",
    ):  # fmt: skip
        try:
            print(f"  {name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            faults.append((f"{name} is missing", f"pip install {name}"))
    memory = psutil.virtual_memory()
    print(f"  {os.cpu_count()} cores, {memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB")
    if memory.available < 1.5e9:
        faults.append(("less than 1.5 GB of memory is free", "close other programs"))
    place = next(path for path in (cache_dir(), *cache_dir().parents) if path.exists())
    free = shutil.disk_usage(place).free
    print(f"  cache {cache_dir()}, {free / 1e9:.1f} GB free")
    if free < 1e9:
        faults.append(("less than 1 GB of disk is free", "set TLCOURSE_CACHE to a roomier folder"))
    if not os.access(place, os.W_OK):
        faults.append((f"{place} cannot be written", "set TLCOURSE_CACHE to a folder of yours"))
    for name in sources.manifest():
        if sources.is_fetched(name):
            print(f"  data {name}: there")
        else:
            faults.append((f"data {name!r} is not fetched", f"tlcourse fetch {name}"))
    for name in ("en", "zh"):
        if not (data_dir() / "vectors" / f"{name}.npz").is_file():
            faults.append((f"our vectors {name!r} are missing", f"tlcourse vectors {name}"))
    for name in _model_names():
        place = data_dir() / "models" / name
        if not any(
            path.is_file()
            for path in (place.with_suffix(".safetensors"), place / "model.safetensors")
        ):
            faults.append((f"our model {name!r} is missing", f"tlcourse pretrain {name}"))
    browser = find_chromium()
    print(f"  Chromium: {browser or 'none; needed only for the browser tests'}")
    for fault, mend in faults:
        print(f"✗ {fault}; mend it with: {mend}")
    if not faults:
        print("✓ nothing is missing")
    return 1 if faults else 0


def _model_names() -> list[str]:
    """The models that the course ships; none if what they need is not installed."""
    try:
        from tlcourse.runs import models
    except ImportError:  # the missing package is told by name
        return []
    return models.names()


def find_chromium() -> str | None:
    """The path of a Chromium or Chrome on this machine."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


def run_sweep(options: argparse.Namespace) -> int:
    """Make a sweep's runs again, with a progress bar."""
    from tqdm import tqdm

    from tlcourse import runs

    if options.name is None:
        for name in runs.names():
            sweep = runs.find(name)
            print(f"{name}: {len(sweep.settings())} runs. {sweep.title}")
        return 0
    sweep = runs.find(options.name)
    with tqdm(unit="run") as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        path = runs.record(sweep, options.out, options.jobs, show)
    print(f"wrote {path}")
    return 0


def run_vectors(options: argparse.Namespace) -> int:
    """Train the vectors of a recipe again, with a progress bar."""
    from tlcourse.runs import vectors

    return _make(vectors.make, options)


def run_pretrain(options: argparse.Namespace) -> int:
    """Pretrain a model by its recipe again, with a progress bar."""
    # oneDNN keeps a kernel for each of 1,024 shapes, and every batch has its own: gigabytes.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
    import torch

    from tlcourse.runs import models

    if options.name is None:
        print("\n".join(models.names()))
        return 0
    torch.set_num_threads(1)  # these models are too small to share
    return _make(models.make, options)


def _make(make: Callable[..., Path], options: argparse.Namespace) -> int:
    from tqdm import tqdm

    with tqdm(total=1.0, bar_format="{percentage:3.0f}% |{bar}| {elapsed}") as bar:
        path = make(options.name, options.out, lambda share: bar.update(share - bar.n))
    print(f"wrote {path}")
    return 0
