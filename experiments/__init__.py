"""The sweeps and recipes that made ``data/runs``, ``data/vectors`` and ``data/models``.

Used from a clone, by ``tlcourse sweep``, ``vectors`` and ``pretrain``; no lesson imports them. Each
lesson's sweeps stand in the module with its name; lesson 3's also in `domains` and `collapse`,
lesson 4's in `gains` and `conflict`, lesson 5's in `own_bert`.
"""

from __future__ import annotations

import importlib

from experiments.engine import Sweep

_LESSONS = (
    "embeddings", "mapping", "finetuning", "domains", "collapse", "multitask", "gains", "conflict",
    "bert", "own_bert",
)  # fmt: skip


def _all() -> dict[str, Sweep]:
    modules = [importlib.import_module(f"experiments.{lesson}") for lesson in _LESSONS]
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
