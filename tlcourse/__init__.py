"""Transfer learning in NLP, hands on: the code behind the course's notebooks.

Importing the package is instant; a module is loaded when it is first used::

    import tlcourse

    vectors = tlcourse.embeddings.load_glove(limit=1_000)
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

__version__ = "0.1.0"

_MODULES = tuple(
    module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")
)

__all__ = ["__version__", *_MODULES]


def __getattr__(name: str) -> ModuleType:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
