"""Take named members out of an archive, each checked against its hash."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath


class SourceError(RuntimeError):
    """A dataset could not be fetched or is damaged; the message says what to do."""


@dataclass(frozen=True)
class Member:
    """One file (``path``) or one folder of files (``prefix``, ``suffix``) of an archive."""

    save: str
    sha256: str
    size: int
    path: str = ""
    prefix: str = ""
    suffix: str = ""
    count: int = 1


def sha256_of(content: bytes) -> str:
    """Hexadecimal SHA-256 of some bytes."""
    return hashlib.sha256(content).hexdigest()


def tree_digest(files: list[tuple[str, bytes]]) -> str:
    """Digest of a folder: its sorted names, each with the digest of its file."""
    lines = "".join(f"{name}\n{sha256_of(content)}\n" for name, content in sorted(files))
    return sha256_of(lines.encode())


def has_size(member: Member, folder: Path) -> bool:
    """Whether a member that was taken out has its number of files and bytes still."""
    try:
        sizes = [path.stat().st_size for path in _files(folder / member.save)]
    except OSError:  # it goes while we look
        return False
    return (len(sizes), sum(sizes)) == (member.count, member.size)


def digest_of(member: Member, folder: Path) -> str:
    """The digest that a member has now; empty if it is gone."""
    place = folder / member.save
    if member.path:
        return sha256_of(place.read_bytes()) if place.is_file() else ""
    files = _files(place)
    return tree_digest([(path.relative_to(place).as_posix(), path.read_bytes()) for path in files])


def _files(place: Path) -> list[Path]:
    if place.is_dir():
        return [Path(root, name) for root, _, names in os.walk(place) for name in names]
    return [place] if place.is_file() else []


def extract(archive: Path, members: tuple[Member, ...], target: Path) -> None:
    """Take the wanted members out of an archive, checked, and delete the archive."""
    target.mkdir()
    try:
        with _opened(archive) as (names, read):
            for member in members:
                _extract_member(member, names, read, target)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError) as fault:
        raise SourceError(f"- {archive.name} is truncated or no archive: {fault}") from fault
    archive.unlink()


def _extract_member(
    member: Member, names: list[str], read: Callable[[str], bytes], target: Path
) -> None:
    if member.path:
        if member.path not in names:
            raise SourceError(f"- the archive has no member {member.path}")
        content = read(member.path)
        digest = sha256_of(content)
        files = [(member.save, content)]
    else:
        matching = [
            name
            for name in names
            if name.startswith(member.prefix) and name.endswith(member.suffix)
        ]
        if len(matching) != member.count:
            raise SourceError(
                f"- the archive has {len(matching)} members {member.prefix}*{member.suffix}, "
                f"not {member.count}"
            )
        inner = [(name.removeprefix(member.prefix), read(name)) for name in matching]
        digest = tree_digest(inner)
        files = [(f"{member.save}/{name}", content) for name, content in inner]
    if digest != member.sha256:
        raise SourceError(f"- {member.path or member.prefix} differs from what the manifest has")
    for name, content in files:
        parts = PurePosixPath(name).parts
        if name.startswith("/") or ".." in parts or "\\" in name or ":" in name:
            raise SourceError(f"- the archive has an unsafe member name: {name!r}")
        place = target.joinpath(*parts)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


@contextlib.contextmanager
def _opened(archive: Path) -> Iterator[tuple[list[str], Callable[[str], bytes]]]:
    """The names of an archive's plain files, and a function that reads one."""
    if archive.suffix in {".whl", ".zip"}:
        with zipfile.ZipFile(archive) as packed:
            yield [item.filename for item in packed.infolist() if not item.is_dir()], packed.read
        return
    with tarfile.open(archive) as tar:
        plain = {item.name: item for item in tar.getmembers() if item.isfile()}

        def read(name: str) -> bytes:
            stream = tar.extractfile(plain[name])
            assert stream is not None  # plain files have one
            return stream.read()

        yield list(plain), read
