"""Recorded runs are complete, can be made again, and a killed sweep goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from tlcourse import runs
from tlcourse.paths import data_dir
from tlcourse.runs import bert_models, models, vectors
from tlcourse.runs.engine import Sweep, record


def _toy(x, seed):
    return {"y": x * 10 + seed}


TOY = Sweep("toy", "a toy", _toy, {"x": (1, 2, 3)}, seeds=(0, 1))


@pytest.mark.parametrize("name", runs.names())
def test_recorded_grid_is_complete(name):
    sweep, table = runs.find(name), runs.load(name)
    columns = [*sweep.grid, "seed"]
    wanted = {tuple(map(str, row.values())) for row in sweep.settings()}
    assert {tuple(map(str, row)) for row in table[columns].itertuples(index=False)} == wanted
    assert len(table) == len(wanted)
    assert len(sweep.seeds) >= 5
    recipe = json.loads((data_dir() / "runs" / f"{name}.json").read_text(encoding="utf8"))
    assert recipe["command"] == f"tlcourse sweep {name}"
    assert recipe["runs"] == len(table)
    assert recipe["versions"]["torch"]


# A few quick rows of each sweep, with the tolerance that another machine may need: the fits
# are exact up to rounding, trained vectors and networks differ in their last digits and
# drift apart from there.
ROWS = [
    ("word2vec_knobs", {"tokens": 30_000, "window": 2, "vector_size": 25, "epochs": 3, "seed": 0}, "wordsim_coverage", 0.001),
    ("word2vec_knobs", {"tokens": 100_000, "window": 5, "vector_size": 25, "epochs": 3, "seed": 1}, "wordsim_rho", 0.1),
    ("few_shot", {"task": "news_topics", "features": "GloVe", "n": 50, "seed": 3}, "accuracy", 0.01),
    ("few_shot", {"task": "movie_reviews", "features": "bag of words", "n": 200, "seed": 1}, "accuracy", 0.01),
    ("few_shot", {"task": "news_topics", "features": "random vectors", "n": 100, "seed": 0}, "accuracy", 0.01),
    ("map_pairs", {"normalisation": "unit", "method": "Procrustes", "pairs": 500, "seed": 2}, "p10", 0.005),
    ("map_pairs", {"normalisation": "unit+centre", "method": "least squares", "pairs": 3500, "seed": 0}, "csls_p10", 0.005),
    ("map_pairs", {"normalisation": "none", "method": "gradient descent", "pairs": 200, "seed": 1}, "p10", 0.01),
    ("planted_rotation", {"method": "least squares", "noise": 0.6, "pairs": 50, "seed": 4}, "p1", 0.02),
    ("zero_label", {"model": "averages", "arm": "English, then Chinese", "n": 0, "seed": 0}, "accuracy", 0.005),
    ("zero_label", {"model": "averages", "arm": "Chinese only", "n": 100, "seed": 2}, "accuracy", 0.01),
    ("zero_label", {"model": "LSTM", "arm": "Chinese only", "n": 50, "seed": 1}, "accuracy", 0.03),
    ("map_lambda", {"lam": 0.9, "n": 100, "seed": 0}, "auc", 0.01),
    ("mixture_lambda", {"lam": 0.0, "n": 50, "init": "own vectors", "seed": 0}, "accuracy", 0.03),
    ("mixture_lambda", {"lam": 0.7, "n": 50, "init": "mapped vectors", "seed": 1}, "pre", 0.05),
    ("frozen_layers", {"embedding": True, "lower": True, "upper": False, "schedule": "all three (ULMFiT)", "n": 100, "seed": 2}, "accuracy", 0.03),
    ("frozen_layers", {"embedding": False, "lower": False, "upper": False, "schedule": "L2-SP, α = 0.1", "n": 100, "seed": 0}, "pre", 0.05),
    ("labels_needed", {"task": "movie_reviews", "init": "GloVe", "arm": "frozen", "n": 50, "seed": 1}, "accuracy", 0.03),
    ("more_steps", {"arm": "frozen", "n": 50, "seed": 0}, "accuracy", 0.03),
    ("penalty_strength", {"penalty": "weight decay", "strength": 0.01, "n": 200, "seed": 1}, "pre", 0.05),
    ("pretraining_losses", {"target": "same position", "trainable": True, "loss": "distance, as written", "seed": 0}, "copy", 0.02),
    ("domain_pooling", {"target": "book", "method": "target only", "seed": 0}, "accuracy", 0.03),
    ("helper_gains", {"target": "plots", "helper": "none", "arm": "alone", "n": 500, "seed": 2}, "accuracy", 0.03),
    ("helper_gains", {"target": "chinese", "helper": "movies", "arm": "in sequence", "n": 50, "seed": 1}, "accuracy", 0.04),
    ("alone_longer", {"target": "news", "n": 50, "seed": 4}, "accuracy", 0.04),
    ("task_groups", {"tasks": "movies + plots", "seed": 1}, "accuracy_plots", 0.03),
    ("gradient_conflict", {"tasks": "chinese + movies", "method": "PCGrad", "seed": 0}, "mean_accuracy", 0.03),
    ("task_balancing", {"tasks": "chinese + movies", "scheme": "uncertainty", "seed": 3}, "accuracy_chinese", 0.03),
    ("soft_sharing", {"strength": 0.1, "n": 50, "seed": 2}, "accuracy", 0.04),
    ("single_tasks", {"task": "news", "n": 1000, "seed": 0}, "accuracy", 0.03),
    ("weights_and_lambda", {"tasks": "chinese + movies", "weight": 0.9, "lam": 0.1, "temperature": 1, "seed": 4}, "accuracy_1", 0.04),
    ("freeze_dial", {"learning_rate": 3e-3, "labels": 200, "frozen": 6, "seed": 1}, "accuracy", 0.03),
    ("freeze_dial", {"learning_rate": 3e-4, "labels": 50, "frozen": 5, "seed": 2}, "accuracy", 0.05),
    ("pooling", {"pooling": "[CLS]", "learning_rate": 3e-3, "labels": 200, "frozen": 6, "seed": 0}, "accuracy", 0.05),
    ("own_bert_labels", {"start": "own BERT", "frozen": 4, "learning_rate": 1e-3, "labels": 200, "seed": 3}, "accuracy", 0.03),
    ("named_entities", {"start": "own BERT", "frozen": 4, "learning_rate": 3e-3, "lines": 100, "seed": 0}, "tag_accuracy", 0.02),
    ("second_task", {"start": "as released", "frozen": 6, "seed": 1}, "accuracy", 0.05),
    ("first_steps", {"bias": "zeros", "learning_rate": 1e-3, "seed": 0}, "mlm", 0.1),
    ("transfer_targets", {"target": "domain", "arm": "frozen", "seed": 0}, "accuracy", 0.03),
]  # fmt: skip


@pytest.mark.parametrize(("name", "settings", "metric", "tolerance"), ROWS)
def test_a_row_can_be_made_again(name, settings, metric, tolerance):
    recorded = runs.select(name, **settings)
    assert len(recorded) == 1
    found = runs.run_one(runs.find(name), settings)
    assert found[metric] == pytest.approx(recorded[metric].iloc[0], abs=tolerance)


def test_sweep_resumes_and_cleans_up(tmp_path):
    partial = tmp_path / "toy.partial.jsonl"
    done = {"x": 1, "seed": 0, "y": -1, "seconds": 0.5}
    partial.write_text(json.dumps(done) + '\n{"x": 2, "seed"', encoding="utf8")
    seen = []
    path = record(TOY, tmp_path, jobs=1, progress=lambda d, t: seen.append((d, t)))
    table = pd.read_csv(path)
    assert seen[0] == (1, 6)
    assert seen[-1] == (6, 6)
    assert list(table["y"]) == [-1, 11, 20, 21, 30, 31], (
        "the finished row is kept, the cut one redone"
    )
    assert not partial.exists()
    assert {item.name for item in tmp_path.iterdir()} == {"toy.csv", "toy.json"}


_KILLED = """
import sys, time
from pathlib import Path
from tlcourse.runs.engine import Sweep, record
def slow(x, seed):
    time.sleep(0.4)
    return {"y": x}
record(Sweep("slow", "slow", slow, {"x": (1, 2, 3, 4, 5)}, seeds=(0,)), Path(sys.argv[1]), jobs=1)
"""


def test_killed_sweep_keeps_what_it_had(tmp_path):
    partial = tmp_path / "slow.partial.jsonl"
    child = subprocess.Popen([sys.executable, "-c", _KILLED, str(tmp_path)])
    deadline = time.time() + 60
    while time.time() < deadline and not (
        partial.exists() and partial.read_text().count("\n") >= 2
    ):
        time.sleep(0.05)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    kept = partial.read_text().count("\n")
    assert 2 <= kept < 5
    assert not (tmp_path / "slow.csv").exists()
    seen = []
    sweep = Sweep("slow", "slow", _toy, {"x": (1, 2, 3, 4, 5)}, seeds=(0,))
    record(sweep, tmp_path, jobs=1, progress=lambda d, t: seen.append(d))
    assert seen[0] == kept


def test_errors_say_what_there_is(tmp_path):
    with pytest.raises(KeyError, match="few_shot"):
        runs.load("fewshot")
    with pytest.raises(KeyError, match="few_shot"):
        runs.find("fewshot")
    with pytest.raises(KeyError, match="no recorded run has n = 7"):
        runs.select("few_shot", n=7)
    with pytest.raises(KeyError, match="no column"):
        runs.select("few_shot", labels=7)
    with pytest.raises(KeyError, match="no recipe"):
        vectors.make("fr")
    with pytest.raises(KeyError, match="no model"):
        models.make("fr")
    clash = Sweep("clash", "clash", lambda x, seed: {"x": 2}, {"x": (1,)})
    with pytest.raises(ValueError, match="name a setting and a metric"):
        record(clash, tmp_path, jobs=1)


@pytest.mark.parametrize("name", sorted(vectors.RECIPES))
def test_shipped_vectors_match_their_recipe(name):
    from tlcourse.embeddings import load_vectors

    about = json.loads((data_dir() / "vectors" / f"{name}.json").read_text())
    found = load_vectors(name)
    assert about["recipe"] == vectors.RECIPES[name]
    assert about["words"] == len(found)
    assert found.vector_size == vectors.RECIPES[name]["vector_size"]


def test_the_own_bert_matches_its_recipe():
    about = json.loads((data_dir() / "models" / bert_models.NAME / "recipe.json").read_text())
    assert about["recipe"] == json.loads(json.dumps(bert_models.RECIPE))
    assert about["shape"] == bert_models.SHAPE
    assert about["vectors"] == bert_models.VECTORS
    assert [check["step"] for check in about["checks"]] == list(bert_models.CHECKS)


@pytest.mark.parametrize("name", sorted(models.MODELS))
def test_shipped_models_match_their_recipe(name):
    about = json.loads((data_dir() / "models" / f"{name}.json").read_text())
    assert about["recipe"] == models.RECIPE
    losses = [point["loss"] for point in about["validation_loss"]]
    assert losses[0] - losses[-1] > 0.4
