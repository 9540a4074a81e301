"""All lessons' explorers by name, for the tests that go through every one."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from types import SimpleNamespace

import tlcourse
from tlcourse.widgets.explorer import Explorer


def _explorers():
    for folder in ("embeddings", "mapping", "finetuning", "multitask", "bert"):
        package = importlib.import_module(f"tlcourse.{folder}")
        for module in pkgutil.iter_modules(package.__path__):
            if module.name.startswith("explorers"):
                yield from _defined(importlib.import_module(f"tlcourse.{folder}.{module.name}"))


def _defined(module):
    for name, kind in inspect.getmembers(module, inspect.isclass):
        if issubclass(kind, Explorer) and kind.__module__ == module.__name__:
            yield name, kind


explorers = SimpleNamespace(**dict(_explorers()))
NAMES = tuple(vars(explorers))
assert tlcourse
