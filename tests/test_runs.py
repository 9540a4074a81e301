"""Recorded runs are complete, can be made again, and a killed sweep goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest

import experiments
from experiments import bert_models, engine, recipes
from experiments.engine import Sweep, record
from experiments.partial import code_of
from tlcourse import recorded
from tlcourse.paths import data_dir


def _toy(x, seed):
    return {"y": x * 10 + seed}


TOY = Sweep("toy", "a toy", _toy, {"x": (1, 2, 3)}, seeds=(0, 1))


@pytest.mark.parametrize("name", experiments.names())
def test_recorded_grid_is_complete(name):
    sweep, table = experiments.find(name), recorded.load(name)
    columns = [*sweep.grid, "seed"]
    wanted = {tuple(map(str, row.values())) for row in sweep.settings()}
    assert {tuple(map(str, row)) for row in table[columns].itertuples(index=False)} == wanted
    assert len(table) == len(wanted)
    assert len(sweep.seeds) >= 5
    recipe = json.loads((data_dir() / "runs" / f"{name}.json").read_text(encoding="utf8"))
    assert (recipe["title"], recipe["grid"]) == (sweep.title, sweep.grid)
    assert recipe["seeds"] == list(sweep.seeds)
    assert recipe["command"] == f"tlcourse sweep {name}"
    assert recipe["runs"] == len(table)
    assert recipe["versions"]["torch"]


# A few quick rows of each sweep, with the tolerance that another machine may need. Fits are exact
# up to rounding (0.01 at most). Trained vectors and networks differ in their last digits and drift
# apart from there, up to what another seed changes: see the test.
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
    wanted = recorded.select(name, **settings)
    assert len(wanted) == 1
    if tolerance > 0.01:
        others = {setting: value for setting, value in settings.items() if setting != "seed"}
        tolerance = max(tolerance, 3 * recorded.select(name, **others)[metric].std())
    found = engine.run_one(experiments.find(name), settings)
    assert found[metric] == pytest.approx(wanted[metric].iloc[0], abs=tolerance)


def _partial(folder, *lines, head=None):
    """A partial file of the toy sweep with these lines after its head."""
    head = head or {"code": code_of(_toy), "settings": ["x", "seed"]}
    texts = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    path = folder / "toy.partial.jsonl"
    path.write_bytes(b"\n".join([json.dumps(head).encode(), *texts]))
    return path


DONE = {"x": 1, "seed": 0, "y": -1, "seconds": 0.5}
"""A finished row; its y is none that `_toy` gives, so that it is known again."""

FRESH = [10, 11, 20, 21, 30, 31]


def test_sweep_resumes_and_cleans_up(tmp_path):
    partial = _partial(tmp_path, DONE, b'{"x": 2, "seed"')
    seen, told = [], []
    path = record(
        TOY, tmp_path, jobs=1, progress=lambda d, t: seen.append((d, t)), tell=told.append
    )
    table = pd.read_csv(path)
    assert seen[0] == (1, 6)
    assert seen[-1] == (6, 6)
    assert list(table["y"]) == [-1, *FRESH[1:]], "the finished row is kept, the cut one redone"
    assert not partial.exists()
    assert {item.name for item in tmp_path.iterdir()} == {"toy.csv", "toy.json"}
    assert len(told) == 1
    assert "toy.partial.jsonl has lines that are damaged" in told[0]
    assert json.loads((tmp_path / "toy.json").read_text())["code"] == code_of(_toy)


@pytest.mark.parametrize(
    "damaged",
    [
        '{"x": 2, "seed": 0, "y": "é'.encode()[:-1],
        b"[1, 2]",
        b"7",
        b"null",
        b'"x"',
        b'{"x": 2}',
        b'{"x": 2, "seed": 0, "seconds": 1}',
        b'{"x": 2, "seed": 0, "y": 1, "seconds": "long"}',
        b'{"x": [2], "seed": 0, "y": 1, "seconds": 1}',
        b'{"x": 99, "seed": 0, "y": 1, "seconds": 1}',
        b"\x00\xff\xfe",
    ],
)
def test_a_damaged_line_costs_only_its_own_run(damaged, tmp_path):
    _partial(tmp_path, DONE, damaged, {**DONE, "x": 3})
    told = []
    table = pd.read_csv(record(TOY, tmp_path, jobs=1, tell=told.append))
    assert list(table["y"]) == [-1, 11, 20, 21, -1, 31]
    assert len(told) == 1
    assert "no runs of this sweep: 3;" in told[0]


@pytest.mark.parametrize(
    "head",
    [
        {"code": "of last week", "settings": ["x", "seed"]},
        {"code": code_of(_toy), "settings": ["x", "z", "seed"]},
        {"x": 2, "seed": 0, "y": 20, "seconds": 0.1},  # a file of before there were heads
        [],
    ],
)
def test_rows_of_other_code_are_set_aside(head, tmp_path):
    for count, name in enumerate(("toy.partial-OLD-1.jsonl", "toy.partial-OLD-2.jsonl"), start=1):
        content = _partial(tmp_path, DONE, head=head or [1]).read_bytes()
        told = []
        table = pd.read_csv(record(TOY, tmp_path, jobs=1, tell=told.append))
        assert list(table["y"]) == FRESH
        assert name in told[0]
        assert (tmp_path / name).read_bytes() == content
        assert len(list(tmp_path.glob("*OLD*"))) == count


def test_untold_it_warns(tmp_path):
    _partial(tmp_path, b"{")
    with pytest.warns(UserWarning, match="lines that are damaged"):
        record(TOY, tmp_path, jobs=1)


def test_a_row_after_a_cut_one_stands_on_its_own_line(tmp_path):
    def stops(x, seed):
        if x == 2:
            raise RuntimeError("stopped")
        return _toy(x, seed)

    sweep = Sweep("toy", "a toy", stops, {"x": (1, 2, 3)}, seeds=(0, 1))
    head = {"code": code_of(stops), "settings": ["x", "seed"]}
    partial = _partial(tmp_path, b'{"x": 1, "se', head=head)
    with pytest.raises(RuntimeError, match="stopped"):
        record(sweep, tmp_path, jobs=1, tell=lambda text: None)
    rows = [json.loads(line) for line in partial.read_text().splitlines()]
    assert rows[0] == head
    assert [row["y"] for row in rows[1:]] == [10, 11]


def test_the_code_is_that_of_the_file(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "toy_code.py").write_text("STEPS = 5\ndef run(x, seed):\n    return {'y': STEPS}\n")
    import toy_code

    before = code_of(toy_code.run)
    assert before == code_of(toy_code.run)
    (tmp_path / "toy_code.py").write_text("STEPS = 6\ndef run(x, seed):\n    return {'y': STEPS}\n")
    assert code_of(toy_code.run) != before
    spaces = [{}, {}]
    for space, value in zip(spaces, ("x + 1", "x * 2"), strict=True):  # as in a notebook
        exec(f"def run(x, seed):\n    return {{'y': {value}}}", space)
    assert code_of(spaces[0]["run"]) != code_of(spaces[1]["run"])


_KILLED = """
import sys
from pathlib import Path
from slow_runs import slow
from experiments.engine import Sweep, record
sweep = Sweep("slow", "slow", slow, {"x": (1, 2, 3, 4, 5)}, seeds=(0,))
jobs = int(sys.argv[2])
record(sweep, Path(sys.argv[1]), jobs, lambda done, total: print(done, flush=True))
"""
_SLOW = """
import os, time
def slow(x, seed):
    with open(f"process-{os.getpid()}", "w"):
        pass
    time.sleep(0.4 if x < 5 or seed else 1.5)
    return {"y": x}
"""


@pytest.mark.parametrize("jobs", [1, 2])
def test_killed_sweep_keeps_what_it_had_and_leaves_no_worker(jobs, tmp_path):
    partial = tmp_path / "slow.partial.jsonl"
    (tmp_path / "slow_runs.py").write_text(_SLOW)
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    start = {
        "args": [sys.executable, "-c", _KILLED, str(tmp_path), str(jobs)],
        "cwd": tmp_path,
        "env": {**os.environ, "PYTHONPATH": path},
        "stdout": subprocess.PIPE,
    }
    child = subprocess.Popen(**start)
    deadline = time.time() + 60
    while time.time() < deadline and not (
        partial.exists() and partial.read_text().count("\n") >= 3
    ):
        time.sleep(0.05)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    kept = partial.read_text().count("\n") - 1
    assert 2 <= kept < 5
    assert not (tmp_path / "slow.csv").exists()
    workers = {int(item.name.removeprefix("process-")) for item in tmp_path.glob("process-*")}
    workers -= {child.pid}
    assert len(workers) == (jobs if jobs > 1 else 0)
    while time.time() < deadline and any(map(psutil.pid_exists, workers)):
        time.sleep(0.1)
    assert not any(map(psutil.pid_exists, workers))
    again = subprocess.run(**start, check=True)
    assert int(again.stdout.split()[0]) == kept


_IN_TURNS = """
import os, time
from pathlib import Path
def slow(x, seed):
    (Path(__file__).parent / f"begun-{x}-{seed}-{os.getpid()}").touch()
    time.sleep(0.3)
    return {"y": x * 10 + seed}
"""


@pytest.fixture
def slow_sweep(tmp_path, monkeypatch):
    """A sweep whose runs leave a file with their process's number."""
    (tmp_path / "in_turns.py").write_text(_IN_TURNS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    import in_turns

    return Sweep("slow", "slow", in_turns.slow, {"x": (1, 2, 3, 4, 5, 6)}, seeds=(0, 1))


@pytest.fixture
def cluster():
    """Start a scheduler with two workers, each its own process, on loopback."""
    from distributed import LocalCluster

    def start(threads=1, workers=2):
        return LocalCluster(
            n_workers=workers, threads_per_worker=threads, processes=True, host="127.0.0.1",
            dashboard_address=None, silence_logs=50,
        )  # fmt: skip

    return start


def test_a_cluster_that_loses_a_worker_gives_the_same_table(slow_sweep, cluster, tmp_path):
    alone = pd.read_csv(record(slow_sweep, tmp_path / "alone", jobs=1))
    killed = []

    def kill_one(done, total):
        if done >= 4 and not killed:
            begun = {int(path.stem.rpartition("-")[2]) for path in tmp_path.glob("begun-*")}
            killed.extend(begun - {os.getpid()})
            os.kill(killed[0], signal.SIGKILL)

    with cluster() as running:
        address = running.scheduler_address
        path = record(slow_sweep, tmp_path / "many", progress=kill_one, scheduler=address)
    assert len(killed) == 2, "both workers had a share"
    assert not psutil.pid_exists(killed[0])
    pd.testing.assert_frame_equal(
        pd.read_csv(path).drop(columns="seconds"), alone.drop(columns="seconds")
    )
    assert {item.name for item in path.parent.iterdir()} == {"slow.csv", "slow.json"}


def test_a_fault_in_a_clusters_run_ends_the_sweep_and_keeps_the_rest(cluster, tmp_path):
    sweep = Sweep("toy", "a toy", _fails_at_3, {"x": (1, 2, 3)}, seeds=(0,))
    with cluster(workers=1) as running, pytest.raises(RuntimeError, match="x is 3"):
        record(sweep, tmp_path, scheduler=running.scheduler_address)
    assert not (tmp_path / "toy.csv").exists()


def _fails_at_3(x, seed):
    if x == 3:
        raise RuntimeError("x is 3")
    return {"y": x}


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:1", "127.0.0.1:1", "nowhere.invalid:8786", "8786", "", "x://y:1"]
)
def test_a_wrong_address_is_told_at_once(address, tmp_path):
    start = time.time()
    with pytest.raises(OSError, match=r"no dask scheduler answers at .*an address looks like"):
        record(TOY, tmp_path / "new", scheduler=address)
    assert time.time() - start < 10
    assert not (tmp_path / "new").exists()


def test_workers_have_one_thread_each(cluster, tmp_path):
    for options, words in (
        ({"threads": 2, "workers": 1}, "1 workers.*2 threads"),
        ({"workers": 0}, "0 workers"),
    ):
        with (
            cluster(**options) as running,
            pytest.raises(ValueError, match=f"{words}.*--nthreads 1"),
        ):
            record(TOY, tmp_path, scheduler=running.scheduler_address)


def test_a_table_that_was_handed_out_can_be_changed():
    for get in (lambda: recorded.load("few_shot"), lambda: recorded.select("few_shot")):
        before = get()
        spoiled = get()
        spoiled["accuracy"] = 0
        spoiled.loc[spoiled.index[0], "n"] = -1
        spoiled.drop(index=spoiled.index[1:], inplace=True)
        pd.testing.assert_frame_equal(get(), before)
    part = recorded.select("few_shot", n=50)
    part.loc[:, "accuracy"] = 0
    assert recorded.select("few_shot", n=50)["accuracy"].min() > 0


def test_only_names_are_loaded(tmp_path):
    (tmp_path / "mine.csv").write_text("a\n1\n")
    inside = data_dir() / "runs" / "few_shot"
    for name in (str(tmp_path / "mine"), str(inside), "../runs/few_shot", "", "..", None, 3, ["x"]):
        for get in (recorded.load, recorded.select):
            with pytest.raises(KeyError, match=r"no recorded runs .*few_shot"):
                get(name)


def test_bad_input_is_told():
    rows = recorded.select("few_shot", task="news_topics")
    with pytest.raises(TypeError, match="table must be a table of runs"):
        recorded.spread("few_shot", "n", "accuracy")
    with pytest.raises(KeyError, match=r"by must be a column, got 'labels'; there are .*'n'"):
        recorded.spread(rows, "labels", "accuracy")
    with pytest.raises(KeyError, match="metric must be a column"):
        recorded.spread(rows, "n", "acuracy")
    with pytest.raises(KeyError, match="metric must be a column"):
        recorded.spread(rows, "n", ["accuracy"])
    with pytest.raises(TypeError, match="'features' holds"):
        recorded.spread(rows, "n", "features")
    for value in ([50, 100], np.array([50]), None, "50", float("nan")):
        with pytest.raises(KeyError, match="no recorded run has n = "):
            recorded.select("few_shot", n=value)
    for strings, fault, words in (
        ("0.5 0.6", TypeError, "put it into a list"),
        (None, TypeError, "got None"),
        ([0.5], TypeError, "number 0 is 0.5"),
        (["0.5 x"], ValueError, "number 0: could not convert"),
        (["0.5", "0.5 0.6"], ValueError, "number 0 has 1, number 1 has 2"),
    ):
        with pytest.raises(fault, match=words):
            recorded.curves(strings)
    assert recorded.curves(["0.5 nan", "1 2"]).shape == (2, 2)
    assert recorded.curves(pd.Series(["1 2"])).tolist() == [[1, 2]]
    for jobs in (0, -2, 1.5, "2", True, None):
        with pytest.raises(ValueError, match="jobs must be a number of processes"):
            record(TOY, Path("nowhere"), jobs=jobs)
    assert not Path("nowhere").exists()
    for settings in ({"x": 1}, {"x": 1, "seed": 0, "steps": 3}, {}, None, "x"):
        with pytest.raises(ValueError, match=r"'toy' takes the settings \['seed', 'x'\]"):
            engine.run_one(TOY, settings)


def test_errors_say_what_there_is(tmp_path):
    with pytest.raises(KeyError, match="few_shot"):
        recorded.load("fewshot")
    with pytest.raises(KeyError, match="few_shot"):
        experiments.find("fewshot")
    with pytest.raises(KeyError, match="no recorded run has n = 7"):
        recorded.select("few_shot", n=7)
    with pytest.raises(KeyError, match="no column"):
        recorded.select("few_shot", labels=7)
    with pytest.raises(KeyError, match="no recipe"):
        recipes.make_vectors("fr")
    with pytest.raises(KeyError, match="no model"):
        recipes.make_model("fr")
    clash = Sweep("clash", "clash", lambda x, seed: {"x": 2}, {"x": (1,)})
    with pytest.raises(ValueError, match="name a setting and a metric"):
        record(clash, tmp_path, jobs=1)


@pytest.mark.parametrize("name", sorted(recipes.VECTORS))
def test_shipped_vectors_match_their_recipe(name):
    from tlcourse.embeddings.vectors import load_vectors

    about = json.loads((data_dir() / "vectors" / f"{name}.json").read_text())
    found = load_vectors(name)
    assert about["recipe"] == recipes.VECTORS[name]
    assert about["words"] == len(found)
    assert found.vector_size == recipes.VECTORS[name]["vector_size"]


def test_the_own_bert_matches_its_recipe():
    about = json.loads((data_dir() / "models" / bert_models.NAME / "recipe.json").read_text())
    assert about["recipe"] == json.loads(json.dumps(bert_models.RECIPE))
    assert about["shape"] == bert_models.SHAPE
    assert about["vectors"] == bert_models.VECTORS
    assert [check["step"] for check in about["checks"]] == bert_models.CHECKS


@pytest.mark.parametrize("name", sorted(recipes.MODELS))
def test_shipped_models_match_their_recipe(name):
    about = json.loads((data_dir() / "models" / f"{name}.json").read_text())
    assert about["recipe"] == recipes.LANGUAGE_MODEL
    losses = [point["loss"] for point in about["validation_loss"]]
    assert losses[0] - losses[-1] > 0.4
