"""Recorded sweeps: load them, pick from them, make them again.

Each lesson's sweeps are defined in the module here that carries the lesson's name;
lesson 3's also in `domains` and `collapse`, lesson 4's in `gains` and `conflict`, lesson 5's in
`own_bert`.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from tlcourse.runs.engine import Sweep, curves, load, record, run_one, select, spread

__all__ = ["Sweep", "curves", "find", "load", "names", "record", "run_one", "select", "spread"]

_LESSONS = (
    "embeddings",
    "mapping",
    "finetuning",
    "domains",
    "collapse",
    "multitask",
    "gains",
    "conflict",
    "bert",
    "own_bert",
)


_MODULES = tuple(module.name for module in pkgutil.iter_modules(__path__))


def __getattr__(name: str) -> ModuleType:
    if name in _MODULES:  # loaded when it is first used
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _all() -> dict[str, Sweep]:
    modules = [importlib.import_module(f"tlcourse.runs.{lesson}") for lesson in _LESSONS]
    return {sweep.name: sweep for module in modules for sweep in module.SWEEPS}


def names() -> list[str]:
    """Names of all sweeps."""
    return list(_all())


def find(name: str) -> Sweep:
    """A sweep by name; an unknown name raises a `KeyError` that lists the known ones."""
    known = _all()
    if name not in known:
        raise KeyError(f"no sweep {name!r}; there are: {', '.join(known)}")
    return known[name]
