"""Where the course's own files lie, in a clone and in an installed wheel."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

_PACKAGE = Path(__file__).resolve().parent
_CLONE = _PACKAGE.parent


def _bundled(name: str) -> Path:
    """A folder that stands beside the package in a clone and inside it in a wheel."""
    inside = _PACKAGE / f"_{name}"
    return inside if inside.is_dir() else _CLONE / name


def data_dir() -> Path:
    """The manifest, our vectors and our recorded runs (read-only in a wheel)."""
    return _bundled("data")


def notebooks_dir() -> Path:
    """The lessons."""
    return _bundled("notebooks")


def is_clone() -> bool:
    """Whether the package runs from a clone, where its data may be rewritten."""
    return data_dir() == _CLONE / "data"


def cache_dir() -> Path:
    """Where fetched data go: ``$TLCOURSE_CACHE`` or the user's cache folder; absolute."""
    place = os.environ.get("TLCOURSE_CACHE") or platformdirs.user_cache_path("tlcourse")
    try:
        return Path(os.path.abspath(Path(place).expanduser()))
    except RuntimeError:
        raise ValueError(f"TLCOURSE_CACHE names no user's home: {place}; give a folder") from None
