"""What is here, what is missing or damaged, and the command that mends it."""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.metadata
import json
import os
import platform
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tlcourse import __version__, lessons
from tlcourse.data import sources
from tlcourse.paths import cache_dir, data_dir, is_clone, notebooks_dir

Fault = tuple[str, str]
"""What is wrong, and the command or the step that mends it."""

_SPARED = {
    "minilm": (
        "01_embeddings", "02_linear_embedding_transfer", "03_pretrain_and_finetune",
        "04_multitask_learning",
    )
}  # fmt: skip
"""Data sets that some lessons do without; a lesson that is not named may use any."""


def check_all() -> list[Fault]:
    """Print what is here; give what is not."""
    print(f"tlcourse {__version__}, Python {platform.python_version()}, {platform.platform()}")
    faults = [*_packages(), *_machine(), *_data(), *_own_files()]
    browser = find_chromium()
    print(f"  Chromium: {browser or 'none; needed only for the browser tests'}")
    return faults


def _packages() -> Iterator[Fault]:
    """Every package that the course requires, against the versions that it takes."""
    try:
        from packaging.requirements import Requirement

        wanted = importlib.metadata.requires("tlcourse") or []
    except ImportError as fault:  # which a package that is not found is, too
        mend = "pip install -e ." if is_clone() else "pip install tlcourse"
        yield f"the course's packages cannot be looked up ({fault})", mend
        return
    for text in wanted:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        name, range_ = requirement.name, requirement.specifier
        mend = f'pip install "{name}{range_}"'
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield f"{name} is missing", mend
            continue
        print(f"  {name} {version}")
        if not range_.contains(version, prereleases=True):
            yield f"{name} {version} does not fit; the course needs {name} {range_}", mend


def _machine() -> Iterator[Fault]:
    try:
        import psutil
    except ImportError:  # told by name
        pass
    else:
        memory = psutil.virtual_memory()
        free, total = memory.available / 1e9, memory.total / 1e9
        print(f"  {os.cpu_count()} cores, {free:.1f} of {total:.1f} GB")
        if free < 1.5:
            yield "less than 1.5 GB of memory is free", "close other programs"
    place = next(path for path in (cache_dir(), *cache_dir().parents) if path.exists())
    room = shutil.disk_usage(place).free
    print(f"  cache {cache_dir()}, {room / 1e9:.1f} GB free")
    if room < 1e9:
        yield "less than 1 GB of disk is free", "set TLCOURSE_CACHE to a roomier folder"
    if not os.access(place, os.W_OK):
        yield f"{place} cannot be written", "set TLCOURSE_CACHE to a folder of yours"


def _data() -> Iterator[Fault]:
    for name in sources.manifest():
        if sources.is_fetched(name):
            print(f"  data {name}: there")
        else:
            yield f"data {name!r} is not fetched, or is damaged", f"tlcourse fetch {name}"


def _own_files() -> Iterator[Fault]:
    """The vectors and models that the course ships."""
    for name in ("en", "zh"):
        if not (data_dir() / "vectors" / f"{name}.npz").is_file():
            yield f"our vectors {name!r} are missing", f"tlcourse vectors {name}"
    try:
        from tlcourse.finetuning.start import TASKS, checkpoint_path
    except ImportError:  # the missing package is told by name
        return
    pairs = ((task, init) for task in TASKS for init in TASKS[task])
    for name in (*(checkpoint_path(task, init).stem for task, init in pairs), "bert-zh"):
        place = data_dir() / "models" / name
        files = (place.with_suffix(".safetensors"), place / "model.safetensors")
        if not any(path.is_file() for path in files):
            yield f"our model {name!r} is missing", f"tlcourse pretrain {name}"


def find_chromium() -> str | None:
    """The path of a Chromium or Chrome on this machine."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


def check_lessons() -> bool:
    """Print for each lesson whether its imports, its data and an explorer work; True if all do."""
    well = True
    for name in lessons.originals():
        start = time.perf_counter()
        try:
            fault = _lesson_fault(name)
        except Exception as raised:  # whatever it is, the other lessons are checked too
            said = raised.args[0] if isinstance(raised, KeyError) and raised.args else raised
            fault = f"{type(raised).__name__}: {said}"
        seconds = time.perf_counter() - start
        print(f"{'✗' if fault else '✓'} {name} ({seconds:.1f} s){fault and ': '}{fault}")
        well = well and not fault
    return well


def _lesson_fault(name: str) -> str:
    """What keeps a lesson from working; empty if nothing does."""
    missing = [
        data
        for data in sources.manifest()
        if Path(name).stem not in _SPARED.get(data, ()) and not sources.is_fetched(data)
    ]
    if missing:
        return (
            f"data is not fetched, or is damaged; mend it with: tlcourse fetch {' '.join(missing)}"
        )
    trees = [ast.parse(text) for text in _code_cells(notebooks_dir() / name)]
    space: dict[str, Any] = {}
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            exec(compile(ast.Module([node], []), name, "exec"), space)
    for kind, settings in _explorers(trees):
        explorer = getattr(space["explorers"], kind)(**settings)
        drawn = explorer.summary
        explorer.close()
        return "" if drawn else f"its explorer {kind} draws nothing"
    return ""


def _code_cells(path: Path) -> Iterator[str]:
    for cell in json.loads(path.read_text(encoding="utf8"))["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "code" and not text.lstrip().startswith(("%", "!")):
            yield text


def _explorers(trees: list[ast.Module]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The lesson's calls of the kind ``explorers.Name(…)``, with the settings written there."""
    for node in (node for tree in trees for node in ast.walk(tree)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "explorers"
        ):
            settings = {}
            for keyword in node.keywords:
                with contextlib.suppress(ValueError):  # computed in the lesson: the default then
                    settings[str(keyword.arg)] = ast.literal_eval(keyword.value)
            yield node.func.attr, settings
