"""Every explorer: redraws, describes, exports code that gives its numbers, trains and cancels."""

from __future__ import annotations

import contextlib
import io
import re
import time

import ipywidgets as widgets
import numpy as np
import pytest

from tlcourse import explorers, figures
from tlcourse.explorers.base import Explorer
from tlcourse.explorers.controls import html_table
from tlcourse.explorers.quiz import Quiz

NAMES = [name for name in explorers.__all__ if name not in {"Explorer", "Quiz"}]

# Settings whose live run takes seconds.
QUICK = {
    "WordVectorKnobs": {"tokens": 30_000, "window": 2, "vector_size": 25, "epochs": 1},
    "NeighbourhoodMap": {"word": "film"},
    "FewShotTransfer": {"n": 20},
    "PairsAndMethod": {"pairs": 100},
    "PlantedRotation": {"pairs_n": 60},
    "TranslateWord": {"chinese": "医院"},
    "ZeroLabelTransfer": {"n": 20},
    "MapLambda": {"lam": 0.9, "task_labels": 20},
    "MixtureLambda": {"lam": 0.0, "n": 50},
    "FrozenLayers": {"embedding": True, "lower": True, "upper": True},
    "CollapsingLoss": {"trainable": False},
    "TaskWeights": {"weight": 0.3},
    "GradientConflict": {"tasks": "news + movies"},
    "WhoHelpsWhom": {"target": "news", "helper": "plots"},
    "FreezeDial": {"frozen": 6, "labels": 50},
    "PretrainingCurve": {"bias": "frequencies"},
}


@pytest.fixture(scope="module")
def shown():
    return {name: getattr(explorers, name)() for name in NAMES}


def _values(control):
    options = getattr(control, "options", None)
    if options is not None:
        return [item[1] if isinstance(item, tuple) else item for item in options]
    return [True, False] if isinstance(control, widgets.Checkbox) else []


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_is_drawn_and_described(name, shown):
    explorer = shown[name]
    for setting, control in explorer.controls.items():
        pictures, texts = set(), set()
        before = control.value
        for value in _values(control):
            explorer.set(**{setting: value})
            if 'role="alert"' in explorer._caption.value:
                assert name == "NeighbourhoodMap"  # an English word in a Chinese space
                continue
            assert explorer.png.startswith(b"\x89PNG")
            assert len(explorer.summary) > 30
            assert "nan" not in explorer.summary.lower().split()
            assert explorer.summary in explorer._caption.value or "&" in explorer._caption.value
            assert explorer._picture.tooltip == explorer.summary
            pictures.add(explorer.png)
            texts.add(explorer.summary + explorer._rows.value)
        if _values(control):
            assert len(texts) > 1, f"{setting} changes no text"
            assert len(pictures) > 1 or setting == "probe", f"{setting} changes no picture"
        explorer.set(**{setting: before})


@pytest.mark.parametrize("name", NAMES)
def test_a_moved_control_does_what_set_does(name, shown):
    explorer = shown[name]
    setting, control = next((s, c) for s, c in explorer.controls.items() if _values(c))
    first, other = _values(control)[:2]
    explorer.set(**{setting: first})
    one = explorer.png, explorer.summary
    control.value = other
    assert explorer.summary != one[1]
    control.value = first
    assert (explorer.png, explorer.summary) == one, "no trace of where it was"


def test_what_can_be_trained_live(shown):
    assert {name for name in NAMES if shown[name].can_train} == set(QUICK)


@pytest.mark.parametrize("name", QUICK)
def test_live_run(name):
    explorer = getattr(explorers, name)(**QUICK[name])
    before = explorer.png
    explorer.train_live().join(120)
    assert explorer.live_result is not None
    assert explorer.png != before
    assert "ive" in explorer.summary
    assert "done" in explorer._status.value
    setting, control = next((s, c) for s, c in explorer.controls.items() if _values(c))
    explorer.set(**{setting: next(v for v in _values(control) if v != control.value)})
    assert explorer.live_result is None, "a live run belongs to its settings"


def test_live_run_lies_near_the_recorded_band():
    explorer = explorers.FewShotTransfer(task="news_topics", n=100, features="GloVe")
    live = explorer.train_live().join(60).live_result
    mean, std = explorer.result["at_n"]["GloVe"]
    assert abs(live["accuracy"] - mean) < 5 * std


class _Endless(Explorer):
    name = "endless"

    def __init__(self):
        super().__init__({"x": widgets.IntSlider(description="x")})

    def compute(self, x):
        return {"x": x}

    def draw(self, figure, result, live):
        figure.subplots().plot([0, result["x"]])

    def describe(self, result, live):
        return f"x is {result['x']} <b>"

    def code(self, x):
        return f"result = {x}"

    def train(self, progress, x):
        while True:
            time.sleep(0.01)
            progress(0.5)
            if x == 13:
                raise ValueError("unlucky")


def test_cancel_and_restart():
    explorer = _Endless()
    for _ in range(2):
        explorer.train_live()
        thread = explorer._thread
        explorer.train_live()
        assert explorer._thread is thread, "one run at a time"
        assert explorer._start.disabled
        assert not explorer._cancel.disabled
        explorer.set(x=3)
        explorer.cancel()
        explorer.join(10)
        assert not thread.is_alive()
        assert "cancelled" in explorer._status.value
        assert not explorer._start.disabled
        assert explorer.live_result is None


def test_a_failing_run_is_told():
    explorer = _Endless().set(x=13).train_live()
    with pytest.raises(ValueError, match="unlucky"):
        explorer.join(10)
    assert "it failed: unlucky" in explorer._status.value


def test_fallbacks_and_escaping():
    explorer = _Endless()
    bundle = explorer._repr_mimebundle_()
    assert bundle["text/plain"] == "x is 0 <b>"
    assert bundle["image/png"].startswith("iVBOR")
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert "<b>" not in explorer._caption.value
    assert html_table([["a"], ["<script>"]]).count("<script>") == 0


def test_code_is_shown_and_follows_the_controls():
    explorer = _Endless()
    explorer._show.value = True
    assert explorer._code.value == "result = 0"
    explorer.set(x=5)
    assert explorer._code.value == "result = 5"
    assert explorer._code.layout.display == ""


def test_set_errors():
    explorer = explorers.PlantedRotation()
    with pytest.raises(KeyError, match="there are: pairs_n, noise"):
        explorer.set(pairs=3)
    with pytest.raises(ValueError, match=r"noise cannot be 7; it takes \[0.1, 0.3"):
        explorer.set(noise=7)


@pytest.mark.parametrize(
    "typed",
    ["", "   ", "qqqqqq", "<script>alert(1)</script>", "x" * 5000, "电影🎬", "\u202e", "'; --"],
)
def test_garbage_in_text_fields(typed):
    for explorer, setting in (
        (explorers.NeighbourhoodMap(), "word"),
        (explorers.TranslateWord(), "chinese"),
        (explorers.FillMask(), "text"),
    ):
        picture = explorer.png
        explorer.set(**{setting: typed})
        assert explorer.summary
        assert 'role="alert"' in explorer._caption.value
        assert "<script>" not in explorer._caption.value
        assert explorer.png == picture, "the last picture stays"
        assert len(explorer.summary) < 400


@pytest.mark.parametrize(
    "typed", ["<script>alert(1)</script>", "电影🎬", "\u202e", "[CLS] [MASK]", "%$"]
)
def test_odd_text_in_the_attention_viewer(typed):
    viewer = explorers.AttentionViewer()
    for model in ("MiniLM (English)", "own BERT (Chinese)"):
        viewer.set(model=model, text=typed)
        assert "<script>" not in viewer._caption.value
        assert "attention to [CLS] and [SEP]" in viewer.summary
    viewer.set(model="own BERT (Chinese)", layer=6)
    assert "has 4 layers with 4 heads each" in viewer.summary
    for typed_wrong in ("", "x" * 5000):
        viewer.set(text=typed_wrong)
        assert 'role="alert"' in viewer._caption.value


def test_a_slow_live_run_is_refused_with_advice():
    dial = explorers.FreezeDial(frozen=0).train_live()
    with pytest.raises(ValueError, match="choose k ≥ 4"):
        dial.join(30)
    assert "choose k ≥ 4" in dial._status.value


def _run(snippet: str):
    names: dict = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(snippet, names)
    return names["result"]


def test_copied_code_gives_the_recorded_numbers(shown):
    knobs = shown["WordVectorKnobs"].set(tokens=100_000, window=5, vector_size=25, epochs=3)
    from tlcourse import runs

    recorded = runs.select(
        "word2vec_knobs", tokens=100_000, window=5, vector_size=25, epochs=3, seed=0
    ).iloc[0]
    found = _run(knobs.code(**knobs.settings))
    assert found["rho"] == pytest.approx(recorded["wordsim_rho"], abs=0.1)
    assert found["coverage"] == pytest.approx(recorded["wordsim_coverage"], abs=1e-3)

    near = shown["NeighbourhoodMap"].set(word="king", k=5)
    found = _run(near.code(**near.settings))
    assert [word for word, _ in found] == near.result["words"][1:]
    assert [score for _, score in found] == pytest.approx(near.result["scores"][1:])

    few = shown["FewShotTransfer"].set(task="news_topics", n=100, features="GloVe")
    recorded = runs.select("few_shot", task="news_topics", n=100, features="GloVe", seed=0).iloc[0]
    assert _run(few.code(**few.settings))["accuracy"] == pytest.approx(
        recorded["accuracy"], abs=0.005
    )

    for use_csls, column in ((False, "p10"), (True, "csls_p10")):
        maps = shown["PairsAndMethod"].set(
            pairs=500, method="Procrustes", normalisation="unit", use_csls=use_csls
        )
        recorded = runs.select(
            "map_pairs", pairs=500, method="Procrustes", normalisation="unit", seed=0
        ).iloc[0]
        assert _run(maps.code(**maps.settings))["p10"] == pytest.approx(recorded[column], abs=0.003)

    planted = shown["PlantedRotation"].set(pairs_n=60, noise=0.6)
    found = _run(planted.code(**planted.settings))
    for method, value in found.items():
        recorded = runs.select("planted_rotation", method=method, noise=0.6, pairs=60, seed=0).iloc[
            0
        ]
        assert value == pytest.approx(recorded["p1"], abs=0.01)

    word = shown["TranslateWord"].set(chinese="医院", map_method="Procrustes")
    found = _run(word.code(**word.settings))
    for score in ("cosine", "CSLS"):
        assert found[score] == word.result[score]

    for model, n in (("averages", 50), ("LSTM", 50)):
        zero = shown["ZeroLabelTransfer"].set(model=model, n=n)
        recorded = runs.select(
            "zero_label", model=model, arm="English, then Chinese", n=n, seed=0
        ).iloc[0]
        found = _run(zero.code(**zero.settings))
        assert found["accuracy"] == pytest.approx(
            recorded["accuracy"], abs=0.03 if model == "LSTM" else 0.005
        )

    lam = shown["MapLambda"].set(lam=0.9, task_labels=100)
    recorded = runs.select("map_lambda", lam=0.9, n=100, seed=0).iloc[0]
    assert _run(lam.code(**lam.settings))["auc"] == pytest.approx(recorded["auc"], abs=0.005)

    mixture = shown["MixtureLambda"].set(lam=0.0, n=50, init="own vectors")
    recorded = runs.select("mixture_lambda", lam=0.0, n=50, init="own vectors", seed=0).iloc[0]
    found = _run(mixture.code(**mixture.settings))
    assert found["accuracy"] == pytest.approx(recorded["accuracy"], abs=0.03)
    assert found["pre"] == pytest.approx(recorded["pre"], abs=0.1)

    state = {"embedding": True, "lower": False, "upper": False, "schedule": "L2-SP, α = 0.1"}
    frozen = shown["FrozenLayers"].set(**state, labels=100)
    recorded = runs.select("frozen_layers", **state, n=100, seed=0).iloc[0]
    found = _run(frozen.code(**frozen.settings))
    assert found["accuracy"] == pytest.approx(recorded["accuracy"], abs=0.03)
    assert found["trainable"] == recorded["trainable"]

    state = {"loss": "distance, as written", "target": "next word", "trainable": True}
    collapse = shown["CollapsingLoss"].set(**state)
    recorded = runs.select("pretraining_losses", **state, seed=0)["curve_std"]
    found = _run(collapse.code(**collapse.settings))
    assert runs.curves([found["curve_std"]]) == pytest.approx(runs.curves(recorded), abs=0.01)

    state = {"tasks": "chinese + movies", "weight": 0.3, "lam": 0.0, "temperature": 3}
    weights = shown["TaskWeights"].set(**state)
    recorded = runs.select("weights_and_lambda", **state, seed=0).iloc[0]
    found = _run(weights.code(**weights.settings))
    assert found["accuracy_0"] == pytest.approx(recorded["accuracy_0"], abs=0.05)
    assert found["accuracy_1"] == pytest.approx(recorded["accuracy_1"], abs=0.03)

    pair = shown["GradientConflict"].set(tasks="news + movies", pcgrad=False)
    recorded = runs.select("gradient_conflict", tasks="news + movies", method="weights", seed=0)
    found = _run(pair.code(**pair.settings))
    cosines = runs.curves([found["curve_cosines"]])[0], runs.curves(recorded["curve_cosines"])[0]
    assert cosines[0][0] == pytest.approx(cosines[1][0], abs=0.001), "before training"
    assert found["mean_accuracy"] == pytest.approx(recorded["mean_accuracy"].iloc[0], abs=0.03)

    helps = shown["WhoHelpsWhom"].set(target="news", helper="plots")
    recorded = runs.select(
        "helper_gains", target="news", helper="plots", arm="at once", n=50, seed=0
    ).iloc[0]
    assert _run(helps.code(**helps.settings))["accuracy"] == pytest.approx(
        recorded["accuracy"], abs=0.05
    )

    state = {"frozen": 5, "labels": 50, "learning_rate": 3e-3}
    dial = shown["FreezeDial"].set(method="full", **state)
    recorded = runs.select("freeze_dial", **state, seed=0).iloc[0]
    found = _run(dial.code(**dial.settings))
    assert found["accuracy"] == pytest.approx(recorded["accuracy"], abs=0.05)
    assert found["trainable"] == pytest.approx(recorded["trainable"])

    first = shown["PretrainingCurve"].set(bias="zeros", learning_rate=1e-3)
    recorded = runs.select("first_steps", bias="zeros", learning_rate=1e-3, seed=0).iloc[0]
    assert _run(first.code(**first.settings))["mlm"] == pytest.approx(recorded["mlm"], abs=0.1)

    fill = shown["FillMask"]
    assert _run(fill.code(**fill.settings)) == fill.result["found"]
    viewer = shown["AttentionViewer"].set(layer=2, head=3)
    assert np.array_equal(_run(viewer.code(**viewer.settings)), viewer.result["weights"])


LESSONS = (
    ("WordVectorKnobs", "NeighbourhoodMap", "FewShotTransfer"),
    ("PairsAndMethod", "PlantedRotation", "TranslateWord", "ZeroLabelTransfer", "MapLambda"),
    ("MixtureLambda", "FrozenLayers", "CollapsingLoss"),
    ("TaskWeights", "GradientConflict", "WhoHelpsWhom"),
    ("FreezeDial", "AttentionViewer", "FillMask", "PretrainingCurve"),
)


def test_labels_are_unique_within_a_lesson(shown):
    assert sorted(name for names in LESSONS for name in names) == sorted(NAMES)
    for names in LESSONS:
        labels = [
            widget.description
            for name in names
            for widget in [
                *shown[name].controls.values(),
                shown[name]._start,
                shown[name]._cancel,
                shown[name]._show,
            ]
        ]
        assert all(labels)
        assert len(labels) == len(set(labels))


def test_drawing_is_safe_from_two_threads(shown):
    import threading

    explorer = shown["PlantedRotation"].set(pairs_n=50, noise=0.6)
    wanted = explorer.png
    threads = [threading.Thread(target=explorer._redraw) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert explorer.png == wanted


def test_quiz_explains_every_choice():
    for lesson in ("embeddings", "mapping", "finetuning", "multitask", "bert"):
        quiz = Quiz(lesson)
        assert len(quiz.questions) == 3
        for number, question in enumerate(quiz.questions):
            said = quiz.children[3 * number + 2]
            for option in range(len(question.options)):
                quiz.choices[number].index = option
                assert ("✓" in said.value) == (option == question.right)
                assert len(re.sub("<.*?>", "", said.value)) > 20
        assert quiz._repr_mimebundle_()["text/plain"].count("( )") >= 6


def test_described_figure_and_missing_font(monkeypatch):
    figure = figures.new_figure(2, 2)
    bundle = figures.Described(figure, "an empty square")._repr_mimebundle_()
    assert bundle["text/plain"] == "an empty square"
    assert figures.word_label("电影", "movie")[0].endswith("movie")
    monkeypatch.setattr(figures.words, "cjk_font", lambda: None)
    assert figures.word_label("电影", "movie") == ("movie", {})
    assert figures.word_label("电影") == ("?", {})
    axes = figure.subplots()
    figures.scatter_words(axes, np.eye(3)[:, :2], ["电影", "a", "b"], ["movie", "", ""])
    assert figures.png(figure)
