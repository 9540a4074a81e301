"""The learner's copies of the lessons: laid out, renewed and reset, never overwritten."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from tlcourse.paths import is_clone, notebooks_dir

RECORD = ".tlcourse.json"
"""In the folder of the copies: the digest of the original that each was made from."""


@dataclass
class Laid:
    """What `lay_out` did, lessons by their paths in the folder.

    Attributes
    ----------
    new : list of str
        Laid for the first time.
    renewed : list of str
        Replaced by a newer version, since the copy was as it came.
    outdated : list of str
        Changed by the learner, while the course has a newer version: left alone.
    unknown : list of str
        Other than the course's, and not laid by this function: left alone.
    """

    new: list[str] = field(default_factory=list)
    renewed: list[str] = field(default_factory=list)
    outdated: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def default_folder() -> Path:
    """Where the copies lie unless told: in the clone, or else in the current folder."""
    return (notebooks_dir().parent if is_clone() else Path.cwd()) / "tlcourse-notebooks"


def originals() -> list[str]:
    """The lessons in order, as paths below the folder of the originals."""
    folder = notebooks_dir()
    paths = (path.relative_to(folder) for path in folder.rglob("*.ipynb") if path.is_file())
    kept = [path for path in paths if not any(part.startswith(".") for part in path.parts)]
    return [path.as_posix() for path in sorted(kept, key=lambda path: (len(path.parts), path))]


def find(lesson: str) -> str:
    """A lesson by its number, its stem or its file name.

    Raises
    ------
    ValueError
        If there is none or more than one; the message lists the lessons.
    """
    known = originals()
    found = [name for name in known if str(lesson) in _names(name)]
    if len(found) == 1:
        return found[0]
    fault = f"several lessons are called {lesson!r}" if found else f"no lesson {lesson!r}"
    listed = ", ".join(name.removesuffix(".ipynb") for name in found or known)
    raise ValueError(f"{fault}; there are: {listed}")


def _names(name: str) -> set[str]:
    path = Path(name)
    number = path.stem.partition("_")[0]
    numbers = {number, str(int(number))} if number.isdecimal() else set()
    return {name, name.removesuffix(".ipynb"), path.name, path.stem, *numbers}


def lay_out(folder: Path) -> Laid:
    """Lay a copy of every lesson into a folder; what the learner changed is left alone.

    Raises
    ------
    ValueError
        If the folder cannot hold the copies.
    """
    _check(folder)
    made_from, laid = _read_record(folder), Laid()
    for name in originals():
        content = (notebooks_dir() / name).read_bytes()
        copy, digest = folder / name, _digest(content)
        if not os.path.lexists(copy):
            _write(copy, content)
            laid.new.append(name)
        elif (there := _digest(copy.read_bytes())) == digest or made_from.get(name) == digest:
            pass
        elif made_from.get(name) == there:
            _write(copy, content)
            laid.renewed.append(name)
        else:
            (laid.outdated if name in made_from else laid.unknown).append(name)
            continue
        made_from[name] = digest
    _write_record(folder, made_from)
    return laid


def reset(lesson: str, folder: Path) -> tuple[Path, Path | None]:
    """Lay a fresh copy of a lesson; the old one is kept with its date in the name.

    Parameters
    ----------
    lesson : str
        Its number, stem or file name.
    folder : pathlib.Path
        The folder of the copies.

    Returns
    -------
    tuple of pathlib.Path and (pathlib.Path or None)
        The copy, and the old one; None if there was none or it was as the course has it.
    """
    name = find(lesson)
    _check(folder)
    content = (notebooks_dir() / name).read_bytes()
    copy, kept = folder / name, None
    if os.path.lexists(copy) and _digest(copy.read_bytes()) != _digest(content):
        kept = _dated(copy)
        copy.rename(kept)
    _write(copy, content)
    _write_record(folder, {**_read_record(folder), name: _digest(content)})
    return copy, kept


def _dated(copy: Path) -> Path:
    """A name with the time in it that nothing has yet."""
    stem = f"{copy.stem}-{time.strftime('%Y-%m-%d-%H%M')}"
    kept, count = copy.with_name(f"{stem}.ipynb"), 2
    while os.path.lexists(kept):
        kept, count = copy.with_name(f"{stem}-{count}.ipynb"), count + 1
    return kept


def _check(folder: Path) -> None:
    source = notebooks_dir().resolve()
    if folder.resolve().is_relative_to(source):
        raise ValueError(
            f"{folder} holds the originals of the lessons, which stay as they are; name another "
            "folder by --folder"
        )
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; name a folder by --folder")
    folder.mkdir(parents=True, exist_ok=True)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _read_record(folder: Path) -> dict[str, str]:
    """A record that cannot be read is none: then copies are compared with the originals."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads((folder / RECORD).read_text(encoding="utf8"))
        if isinstance(found, dict) and isinstance(made_from := found.get("made_from"), dict):
            return {name: digest for name, digest in made_from.items() if isinstance(digest, str)}
    return {}


def _write_record(folder: Path, made_from: dict[str, str]) -> None:
    text = json.dumps({"made_from": dict(sorted(made_from.items()))}, indent=1) + "\n"
    _write(folder / RECORD, text.encode())


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; it may be written again, whatever the original may."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, unfinished = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        os.chmod(unfinished, 0o644)
        os.replace(unfinished, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(unfinished)
