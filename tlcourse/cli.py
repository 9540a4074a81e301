"""The ``tlcourse`` command: open the lessons, fetch the data, look for faults, remake runs."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType

from tlcourse import __version__, doctor, lessons
from tlcourse.data import sources
from tlcourse.doctor import find_chromium
from tlcourse.paths import cache_dir

__all__ = ["find_chromium", "main"]

_NEXT = """\
tlcourse lab      opens JupyterLab on the first lesson
tlcourse doctor   says what is missing, and how to mend it
tlcourse fetch    fetches the course's data, once (tlcourse --help lists everything)"""

_JUPYTER = Path(__file__).resolve().parent / "_jupyter"
"""JupyterLab's defaults for the course; a setting that the user has made wins over them."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 0 if all went well."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if options.call is run_lab:
        options.lab_options = rest
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        status = options.call(options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # as of `tlcourse doctor | head -1`: nobody reads on
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13
    except KeyboardInterrupt:
        print(f"tlcourse: stopped. {options.stopped}".rstrip(), file=sys.stderr)
        return 128 + 2
    except ImportError as fault:
        print(f"tlcourse: {fault}; tlcourse doctor says what is missing", file=sys.stderr)
    except (sources.SourceError, KeyError, ValueError, OSError) as fault:
        said = fault.args[0] if isinstance(fault, KeyError) and fault.args else fault
        print(f"tlcourse: {said}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tlcourse", description=__doc__)
    parser.add_argument("--version", action="version", version=f"tlcourse {__version__}")
    parser.set_defaults(call=run_nothing, stopped="")
    commands = parser.add_subparsers(metavar="COMMAND")

    def command(name: str, call: object, text: str, stopped: str = "") -> argparse.ArgumentParser:
        # No abbreviations: JupyterLab's options pass through, and may begin like ours.
        added = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        added.set_defaults(call=call, stopped=stopped)
        return added

    lab = command(
        "lab",
        run_lab,
        "open JupyterLab on your copy of lesson 1; other options are passed on to it",
    )
    fresh = command("reset", run_reset, "lay a fresh copy of a lesson; the old one is kept")
    fresh.add_argument("lesson", metavar="LESSON", help="its number, or its name")
    for added in (lab, fresh):
        where = "folder of your copies; left out: tlcourse-notebooks, in the clone or here"
        added.add_argument("--folder", type=Path, help=where)
    fetch = command(
        "fetch",
        run_fetch,
        "fetch the course's data, all or by name",
        "What was fetched is kept: the same command goes on from there.",
    )
    fetch.add_argument("names", nargs="*", metavar="NAME")
    fetch.add_argument("--verify", action="store_true", help="hash what is there again")
    look = command(
        "doctor", run_doctor, "show versions and what is missing, with the mending command"
    )
    look.add_argument(
        "--lessons", action="store_true", help="try each lesson: imports, data, drawing"
    )
    sweep = command(
        "sweep",
        run_sweep,
        "make recorded runs again; goes on where it stopped",
        "Finished runs are kept: the same command goes on from there.",
    )
    sweep.add_argument("name", metavar="NAME", nargs="?", help="left out: list the sweeps")
    sweep.add_argument("--jobs", type=int, default=-1, help="processes; -1 is one a core")
    sweep.add_argument("--scheduler", metavar="ADDRESS", help="a dask scheduler, for its workers")
    sweep.add_argument("--out", type=Path, help="folder for the files instead of data/runs")
    vectors = command(
        "vectors",
        run_vectors,
        "train word vectors that the course ships again",
        "Nothing was written: the same command begins again.",
    )
    vectors.add_argument("name", metavar="NAME")
    vectors.add_argument("--out", type=Path, help="folder for the files instead of data/vectors")
    pretrain = command(
        "pretrain",
        run_pretrain,
        "pretrain models that the course ships again",
        "The same command begins again; the own BERT goes on from its last kept step.",
    )
    pretrain.add_argument("name", metavar="NAME", nargs="?", help="left out: list the models")
    pretrain.add_argument("--out", type=Path, help="folder for the files instead of data/models")
    return parser


def run_nothing(options: argparse.Namespace) -> int:
    """Say what to do next."""
    print(_NEXT)
    return 0


def run_lab(options: argparse.Namespace) -> int:
    """Start JupyterLab on the learner's copies: token on, loopback only."""
    folder = (options.folder or lessons.default_folder()).resolve()
    laid = lessons.lay_out(folder)
    print(f"Your copies of the lessons are in {folder}.")
    for name in laid.renewed:
        print(f"{name} was renewed: there is a newer version, and your copy was as it came.")
    for names, what in (
        (laid.outdated, "has a newer version"),
        (laid.unknown, "is not the course's present version"),
    ):
        for name in names:
            again = f"tlcourse reset {name.removesuffix('.ipynb')}"
            again += f' --folder "{options.folder}"' if options.folder else ""
            print(f"{name} {what}; your copy stays as it is. For a fresh one: {again}")
    sys.stdout.flush()
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder}"]
    command += ["--ServerApp.ip=127.0.0.1"]
    command += [f"--LabApp.default_url=/lab/tree/{lessons.originals()[0]}"]
    paths = filter(None, [str(_JUPYTER), os.environ.get("JUPYTER_CONFIG_PATH")])
    environment = {**os.environ, "JUPYTER_CONFIG_PATH": os.pathsep.join(paths)}
    server = subprocess.Popen([*command, *options.lab_options], env=environment)
    with _passed_on(server):
        while True:
            try:
                return server.wait()
            except KeyboardInterrupt:  # JupyterLab got it too: it asks, and ends by itself
                continue


@contextlib.contextmanager
def _passed_on(server: subprocess.Popen) -> Iterator[None]:
    """End the server when this process is told to end."""
    before = signal.signal(signal.SIGTERM, lambda number, frame: server.terminate())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run_reset(options: argparse.Namespace) -> int:
    """Lay a fresh copy of a lesson beside the old one."""
    copy, kept = lessons.reset(options.lesson, options.folder or lessons.default_folder())
    print(f"{copy} is as the course has it now.")
    if kept is not None:
        print(f"What you had is kept as {kept.name}.")
    return 0


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
        from tlcourse.data.corpora import CORPORA, load_corpus

        for name in CORPORA:  # segmented once, so that no lesson has to wait for it
            print(f"corpus {name}: {sum(map(len, load_corpus(name))):,} tokens")
    return 0


def run_doctor(options: argparse.Namespace) -> int:
    """Print what is here and how to mend what is not."""
    if options.lessons:
        return 0 if doctor.check_lessons() else 1
    faults = doctor.check_all()
    for fault, mend in faults:
        print(f"✗ {fault}; mend it with: {mend}")
    if not faults:
        print("✓ nothing is missing")
    return 1 if faults else 0


def run_sweep(options: argparse.Namespace) -> int:
    """Make a sweep's runs again, with a progress bar."""
    from tqdm import tqdm

    experiments = _of_the_clone("experiments")
    if options.name is None:
        for name in experiments.names():
            sweep = experiments.find(name)
            print(f"{name}: {len(sweep.settings())} runs. {sweep.title}")
        return 0
    sweep = experiments.find(options.name)
    with tqdm(unit="run") as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        path = _of_the_clone("experiments.engine").record(
            sweep, options.out, options.jobs, show, bar.write, options.scheduler
        )
    print(f"wrote {path}")
    return 0


def run_vectors(options: argparse.Namespace) -> int:
    """Train the vectors of a recipe again, with a progress bar."""
    return _make(_of_the_clone("experiments.recipes").make_vectors, options)


def run_pretrain(options: argparse.Namespace) -> int:
    """Pretrain a model by its recipe again, with a progress bar."""
    # oneDNN keeps a kernel for each of 1,024 shapes, and every batch has its own: gigabytes.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
    recipes = _of_the_clone("experiments.recipes")
    if options.name is None:
        print("\n".join(recipes.names()))
        return 0
    import torch

    torch.set_num_threads(1)  # these models are too small to share
    return _make(recipes.make_model, options)


def _of_the_clone(name: str) -> ModuleType:
    """A module that a clone has beside the package, and an installed course has not."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as fault:
        if fault.name != "experiments":
            raise
    raise ValueError(
        "the sweeps and recipes are not installed with the course: get its repository, and run "
        "this command in its folder as python -m tlcourse …"
    )


def _make(make: Callable[..., Path], options: argparse.Namespace) -> int:
    from tqdm import tqdm

    with tqdm(total=1.0, bar_format="{percentage:3.0f}% |{bar}| {elapsed}") as bar:
        path = make(options.name, options.out, lambda share: bar.update(share - bar.n))
    print(f"wrote {path}")
    return 0
