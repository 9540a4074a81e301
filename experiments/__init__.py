"""The sweeps and recipes that made ``data/runs``, ``data/vectors`` and ``data/models``.

Used from a clone, by ``tlcourse sweep``, ``vectors`` and ``pretrain``; no lesson imports them. The
sweeps are declared in ``sweeps.toml``; what makes a run stands in the module of its lesson.
"""

from __future__ import annotations

import importlib
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any

from experiments.engine import Sweep


@lru_cache(maxsize=1)
def _declared() -> dict[str, dict[str, Any]]:
    return tomllib.loads(Path(__file__).with_name("sweeps.toml").read_text(encoding="utf8"))


def names() -> list[str]:
    """Names of all sweeps."""
    return list(_declared())


def find(name: str) -> Sweep:
    """A sweep by name; an unknown name raises a `KeyError` that lists the known ones."""
    if name not in _declared():
        raise KeyError(f"no sweep {name!r}; there are: {', '.join(names())}")
    about = _declared()[name]
    module, _, function = about["run"].partition(".")
    run = getattr(importlib.import_module(f"experiments.{module}"), function)
    seeds = range(about.get("seeds", 5))
    return Sweep(name, about["title"], run, about["grid"], seeds, about.get("keep", ()))
