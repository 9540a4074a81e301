"""Tokens that take seconds to make, kept in the cache and checked whenever they are read."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from tlcourse.data.archives import sha256_of
from tlcourse.paths import cache_dir

Tokens = tuple[tuple[str, ...], ...]


def cached_tokens(name: str, digest: str, make: Callable[[], Tokens]) -> Tokens:
    """Tokens from the cache, or made once and kept there, one document a line.

    Parameters
    ----------
    name : str
    digest : str
        Of what they are made from: other texts have another file.
    make : callable
        Makes the tokens, if there are none or the file is damaged.
    """
    place = cache_dir() / "derived" / f"{name}-{digest}.tokens"
    if (kept := _read(place)) is not None:
        return kept
    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(place.with_suffix(".lock")):
        if (kept := _read(place)) is not None:  # another process made them
            return kept
        content = "\n".join(map(" ".join, make())).encode()
        unfinished = place.with_suffix(".tmp")
        unfinished.write_bytes(sha256_of(content).encode() + b"\n" + content)
        os.replace(unfinished, place)
    return _documents(content)


def _read(place: Path) -> Tokens | None:
    """A file's tokens; none if its first line is not the digest of the others."""
    try:
        digest, _, content = place.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    return _documents(content) if digest == sha256_of(content).encode() else None


def _documents(content: bytes) -> Tokens:
    lines = content.decode().split("\n")
    return tuple(tuple(line.split(" ")) if line else () for line in lines)
