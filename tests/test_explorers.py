"""Every explorer: redraws, describes, exports code that gives its numbers, trains and cancels."""

from __future__ import annotations

import contextlib
import io
import itertools
import re
import time
from typing import ClassVar

import ipywidgets as widgets
import numpy as np
import pytest
from transformers import BertModel

from tests.everything import NAMES, explorers
from tlcourse.paths import data_dir
from tlcourse.widgets import figures
from tlcourse.widgets.controls import html_table
from tlcourse.widgets.curves import Chart, CurveExplorer, Knob
from tlcourse.widgets.explorer import Explorer
from tlcourse.widgets.quiz import Quiz
from tlcourse.widgets.snippets import snippet

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
    mean, std, _ = explorer.result["lines"]["GloVe"].loc[100]
    assert abs(live["GloVe"] - mean) < 5 * std


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
        explorer._start.click()
        thread = explorer._run.thread
        explorer.train_live()
        assert explorer._run.thread is thread, "one run at a time"
        assert explorer._start.disabled
        assert not explorer._cancel.disabled
        explorer.set(x=3)
        explorer._cancel.click()
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


class _Failing(_Endless):
    """Its live result cannot be drawn."""

    name = "failing"

    def train(self, progress, x):
        return {"x": x}

    def draw(self, figure, result, live):
        if live or result["x"] == 66:
            raise TypeError("no such picture")
        super().draw(figure, result, live)


def test_an_error_in_the_last_redraw_is_told():
    explorer = _Failing()
    picture, text = explorer.png, explorer.summary
    explorer.train_live()
    with pytest.raises(TypeError, match="no such picture"):
        explorer.join(10)
    assert "it failed: no such picture" in explorer._status.value
    assert not explorer._start.disabled
    assert explorer.live_result is None
    assert (explorer.png, explorer.summary) == (picture, text), "the recorded result stands"
    assert explorer.set(x=3).summary.startswith("x is 3")


def test_an_error_while_a_control_moves_is_told():
    explorer = _Failing()
    with pytest.raises(TypeError, match="no such picture"):
        explorer.controls["x"].value = 66
    assert "it failed: no such picture" in explorer._caption.value
    assert "tl-veiled" in explorer._picture._dom_classes


class _Counting(_Endless):
    """Counts the runs that train at the same time."""

    name = "counting"
    now = most = begun = 0

    def train(self, progress, x):
        self.begun, self.now = self.begun + 1, self.now + 1
        self.most = max(self.most, self.now)
        try:
            for _ in range(5):
                time.sleep(0.02)
            progress(0.5)
            return {"x": x}
        finally:
            self.now -= 1


def test_a_run_asked_for_after_cancel_starts_when_the_old_one_has_stopped():
    explorer = _Counting().train_live()
    while not explorer.begun:
        time.sleep(0.005)
    explorer.cancel()
    assert not explorer._start.disabled, "it can be asked for again at once"
    assert explorer._cancel.disabled
    explorer.train_live()
    assert "waiting" in explorer._status.value
    assert explorer._start.disabled
    explorer.join(10)
    assert explorer.live_result == {"x": 0}
    assert (explorer.begun, explorer.most) == (2, 1), "never lost, never two at once"
    assert "done" in explorer._status.value
    assert not explorer._start.disabled


def test_a_storm_of_starts_and_cancels_ends_well():
    explorer = _Counting()
    for _ in range(30):
        explorer.train_live().cancel()
    explorer.train_live().join(30)
    assert explorer.live_result == {"x": 0}
    assert explorer.most == 1
    assert explorer.train_live().join(10).live_result == {"x": 0}


def _open_widgets():
    return len(widgets.widget._instances)


@pytest.mark.parametrize("name", ["GradientConflict", "PlantedRotation", "AttentionViewer"])
def test_close_leaves_nothing_behind(name):
    before = _open_widgets()
    explorer = getattr(explorers, name)()
    assert _open_widgets() > before + 20
    explorer.close()
    assert _open_widgets() == before
    assert not explorer._stage._frames
    explorer.close()
    with pytest.raises(RuntimeError, match="is closed"):
        explorer.train_live()


def test_closing_stops_the_live_run():
    explorer = _Endless().train_live()
    thread = explorer._run.thread
    explorer.close()
    thread.join(10)
    assert not thread.is_alive()


def test_an_explorer_that_cannot_start_leaves_nothing_behind():
    before = _open_widgets()
    with pytest.raises(ValueError, match="noise cannot be 7"):
        explorers.PlantedRotation(noise=7)
    assert _open_widgets() == before


def test_a_cell_run_again_replaces_its_explorers(monkeypatch):
    from tlcourse.widgets import tidying

    run = ["cell-1", "run-1"]
    monkeypatch.setattr(tidying, "running_cell", lambda: tuple(run))
    first, second = _Endless(), _Endless()
    quiz = Quiz("bert")
    assert not first._closed
    run[0] = "cell-2"
    other = _Endless()
    run[:] = "cell-1", "run-2"
    kept = _open_widgets()
    third, fourth, again = _Endless(), _Endless(), Quiz("bert")
    assert first._closed
    assert second._closed
    assert quiz.comm is None
    assert not any(box._closed for box in (other, third, fourth))
    assert _open_widgets() == kept, "as many as before"
    for box in (other, third, fourth, again):
        box.close()


def test_the_running_cell_is_known_in_a_notebook_only(monkeypatch):
    from tlcourse.widgets import tidying

    class Shell:
        class kernel:
            @staticmethod
            def get_parent(channel):
                return {"metadata": {"cellId": "c"}, "header": {"msg_id": "m"}}

    assert tidying.running_cell() is None
    monkeypatch.setattr(tidying, "get_ipython", Shell)
    assert tidying.running_cell() == ("c", "m")
    monkeypatch.setattr(Shell.kernel, "get_parent", staticmethod(lambda channel: {}))
    assert tidying.running_cell() is None


def test_picture_and_its_name_come_in_one_message(monkeypatch):
    explorer, sent = _Endless(), []
    monkeypatch.setattr(
        explorer._picture, "_send", lambda message, buffers=None: sent.append(message["state"])
    )
    explorer.set(x=3)
    assert [set(state) for state in sent] == [{"tooltip"}] or len(sent) == 1
    assert "tooltip" in sent[0]


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
    assert explorer._code.value == "result = 0", "there to be copied before it is shown"
    assert explorer._code.layout.display == "none"
    explorer._show.value = True
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
    ("name", "wrong", "said"),
    [
        ("FewShotTransfer", {"n": 10, "features": "BERT"}, r"features cannot be 'BERT'; it takes"),
        ("FewShotTransfer", {"features": None}, r"features cannot be None; it takes \['GloVe"),
        ("PlantedRotation", {"noise": None}, r"noise cannot be None; it takes \[0.1"),
        ("PlantedRotation", {"noise": np.ones(2)}, r"noise cannot be ndarray of shape \(2,\)"),
        ("PairsAndMethod", {"pairs": 100, "use_csls": "no"}, "use_csls cannot be 'no'; it takes True"),
        ("NeighbourhoodMap", {"k": 5, "word": None}, "word cannot be None; it takes a text"),
        ("AttentionViewer", {"model": "own BERT (Chinese)", "layer": 6}, r"takes \[1, 2, 3, 4\]"),
        ("WhoHelpsWhom", {"target": "movies", "helper": "movies"}, "helper cannot be 'movies'"),
        ("PlantedRotation", {"noise": 0.1, "pairs": 3}, "there are: pairs_n, noise"),
    ],
)  # fmt: skip
def test_a_failed_set_changes_nothing(name, wrong, said, shown):
    explorer = shown[name]
    options = {key: _values(control) for key, control in explorer.controls.items()}
    before = explorer.settings, explorer.png, explorer.summary, explorer._code.value
    with pytest.raises((KeyError, ValueError), match=said):
        explorer.set(**wrong)
    assert (explorer.settings, explorer.png, explorer.summary, explorer._code.value) == before
    assert {key: _values(control) for key, control in explorer.controls.items()} == options


def test_a_set_that_cannot_be_drawn_changes_nothing():
    explorer = _Failing().set(x=5)
    with pytest.raises(TypeError, match="no such picture"):
        explorer.set(x=66)
    assert explorer.settings == {"x": 5}
    assert explorer.summary.startswith("x is 5")
    assert "alert" not in explorer._caption.value


def test_after_bad_input_the_old_picture_is_veiled():
    explorer = explorers.TranslateWord()
    told = explorer.summary
    for bad in ("qqqqqq", ""):
        explorer.set(chinese=bad)
        assert "tl-veiled" in explorer._picture._dom_classes
        assert explorer._picture.tooltip == f"Not of this setting, but of the one before: {told}"
        assert "image/png" not in explorer._repr_mimebundle_()
        assert explorer._code.value.startswith("# ")
    explorer.set(chinese="医院")
    assert "tl-veiled" not in explorer._picture._dom_classes
    assert explorer._picture.tooltip == explorer.summary
    assert explorer._code.value.startswith("from tlcourse")


def test_the_viewer_offers_what_the_model_has():
    from tlcourse import bert

    MODELS = explorers.AttentionViewer.models

    viewer = explorers.AttentionViewer()
    for label, model in MODELS.items():
        config = bert.load_model(BertModel, model.name).config
        assert (model.layers, model.heads) == (config.num_hidden_layers, config.num_attention_heads)
        viewer.set(model=label)
        assert _values(viewer.controls["layer"]) == list(range(1, model.layers + 1))
        assert _values(viewer.controls["head"]) == ["mean", *range(1, model.heads + 1)]
        assert viewer.settings["text"] == model.sentence
        assert "[UNK]" not in viewer.summary

    viewer.set(model="MiniLM (English)", layer=3, head=12)
    viewer.controls["model"].value = "own BERT (Chinese)"
    assert viewer.settings["layer"] == 3, "kept where the model has it"
    assert viewer.settings["head"] == "mean"
    assert "alert" not in viewer._caption.value
    viewer.set(text="我的电影")
    viewer.controls["model"].value = "MiniLM (English)"
    assert viewer.settings["text"] == "我的电影", "a typed sentence stays"


def test_rows_of_the_viewer_do_not_collide():
    viewer = explorers.AttentionViewer(text="g y p " * 20)
    figure = figures.new_figure(*viewer.size)
    viewer.draw(figure, viewer.result, None)
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in figure.axes[0].get_yticklabels()]
    assert len(boxes) == 32
    assert all(low.y1 <= high.y0 for high, low in itertools.pairwise(boxes))


def test_no_task_helps_itself(shown):
    who = shown["WhoHelpsWhom"].set(target="chinese", helper="movies")
    assert _values(who.controls["helper"]) == ["movies", "news", "plots", "party"]
    who.controls["target"].value = "movies"
    assert who.settings["helper"] == "chinese"
    assert "movies" not in _values(who.controls["helper"])
    with pytest.raises(ValueError, match="cannot be its own helper"):
        who.compute(**(who.settings | {"helper": "movies"}))


def test_labels_are_in_words(shown):
    for explorer in shown.values():
        for control in explorer.controls.values():
            texts = [control.description]
            texts += [
                item[0] for item in getattr(control, "options", ()) if isinstance(item, tuple)
            ]
            assert not any("_" in text for text in texts if text != "sentence with [MASK] or _")


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
    for typed_wrong in ("", "x" * 5000):
        viewer.set(text=typed_wrong)
        assert 'role="alert"' in viewer._caption.value


def test_a_slow_live_run_is_refused_with_advice():
    dial = explorers.FreezeDial(frozen=0).train_live()
    with pytest.raises(ValueError, match="choose k ≥ 4"):
        dial.join(30)
    assert dial._status.value.count("choose k ≥ 4") == 1


def test_a_slow_live_run_is_not_offered_and_the_status_says_why():
    dial = explorers.FreezeDial(frozen=4, labels=200)
    assert not dial._start.disabled
    for slow in ({"frozen": 3}, {"labels": 800}, {"method": "LoRA"}):
        dial.set(**slow)
        assert dial._start.disabled
        assert "choose k ≥ 4" in dial._status.value
        assert "Copy as code" in dial._status.value
        dial.set(method="full", frozen=4, labels=200)
        assert not dial._start.disabled
        assert "choose" not in dial._status.value


def _run(snippet: str):
    names: dict = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(snippet, names)
    return names["result"]


def test_copied_code_gives_the_recorded_numbers(shown):
    knobs = shown["WordVectorKnobs"].set(tokens=100_000, window=5, vector_size=25, epochs=3)
    from tlcourse import recorded

    wanted = recorded.select(
        "word2vec_knobs", tokens=100_000, window=5, vector_size=25, epochs=3, seed=0
    ).iloc[0]
    found = _run(knobs.code(**knobs.settings))
    assert found["rho"] == pytest.approx(wanted["wordsim_rho"], abs=0.1)
    assert found["coverage"] == pytest.approx(wanted["wordsim_coverage"], abs=1e-3)

    near = shown["NeighbourhoodMap"].set(word="king", k=5)
    found = _run(near.code(**near.settings))
    assert dict(found) == pytest.approx(
        {k: v for k, v in near.result["found"].items() if k != "king"}
    )

    for features in ("GloVe", "own Word2Vec", "random vectors", "bag of words"):
        state = {"task": "news_topics", "n": 100, "features": features}
        few = shown["FewShotTransfer"].set(**state)
        wanted = recorded.select("few_shot", **state, seed=0).iloc[0]["accuracy"]
        assert _run(few.code(**few.settings))["accuracy"] == pytest.approx(wanted, abs=0.005)

    for use_csls, column in ((False, "p10"), (True, "csls_p10")):
        maps = shown["PairsAndMethod"].set(
            pairs=500, method="Procrustes", normalisation="unit", use_csls=use_csls
        )
        wanted = recorded.select(
            "map_pairs", pairs=500, method="Procrustes", normalisation="unit", seed=0
        ).iloc[0]
        assert _run(maps.code(**maps.settings))["p10"] == pytest.approx(wanted[column], abs=0.003)

    planted = shown["PlantedRotation"].set(pairs_n=60, noise=0.6)
    found = _run(planted.code(**planted.settings))
    for method, value in found.items():
        wanted = recorded.select(
            "planted_rotation", method=method, noise=0.6, pairs=60, seed=0
        ).iloc[0]
        assert value == pytest.approx(wanted["p1"], abs=0.01)

    word = shown["TranslateWord"].set(chinese="医院", map_method="Procrustes")
    found = _run(word.code(**word.settings))
    for score in ("cosine", "CSLS"):
        assert found[score] == word.result[score]

    for model, n in (("averages", 50), ("LSTM", 50)):
        zero = shown["ZeroLabelTransfer"].set(model=model, n=n)
        wanted = recorded.select(
            "zero_label", model=model, arm="English, then Chinese", n=n, seed=0
        ).iloc[0]
        found = _run(zero.code(**zero.settings))
        assert found["accuracy"] == pytest.approx(
            wanted["accuracy"], abs=0.03 if model == "LSTM" else 0.005
        )

    lam = shown["MapLambda"].set(lam=0.9, task_labels=100)
    wanted = recorded.select("map_lambda", lam=0.9, n=100, seed=0).iloc[0]
    assert _run(lam.code(**lam.settings))["auc"] == pytest.approx(wanted["auc"], abs=0.005)

    mixture = shown["MixtureLambda"].set(lam=0.0, n=50, init="own vectors")
    wanted = recorded.select("mixture_lambda", lam=0.0, n=50, init="own vectors", seed=0).iloc[0]
    found = _run(mixture.code(**mixture.settings))
    assert found["accuracy"] == pytest.approx(wanted["accuracy"], abs=0.03)
    assert found["pre"] == pytest.approx(wanted["pre"], abs=0.1)

    state = {"embedding": True, "lower": False, "upper": False, "schedule": "L2-SP, α = 0.1"}
    frozen = shown["FrozenLayers"].set(**state, labels=100)
    wanted = recorded.select("frozen_layers", **state, n=100, seed=0).iloc[0]
    found = _run(frozen.code(**frozen.settings))
    assert found["accuracy"] == pytest.approx(wanted["accuracy"], abs=0.03)
    assert found["pre"] == pytest.approx(wanted["pre"], abs=0.1)

    state = {"loss": "distance, as written", "target": "next word", "trainable": True}
    collapse = shown["CollapsingLoss"].set(**state)
    rows = recorded.select("pretraining_losses", **state, seed=0)
    found = _run(collapse.code(**collapse.settings))
    for name in ("loss", "std", "cosine"):
        wanted = recorded.curves(rows[f"curve_{name}"])[0, -1]
        assert found[name] == pytest.approx(wanted, abs=0.01), name

    state = {"tasks": "chinese + movies", "weight": 0.3, "lam": 0.0, "temperature": 3}
    weights = shown["TaskWeights"].set(**state)
    wanted = recorded.select("weights_and_lambda", **state, seed=0).iloc[0]
    found = _run(weights.code(**weights.settings))
    assert found["accuracy_chinese"] == pytest.approx(wanted["accuracy_0"], abs=0.05)
    assert found["accuracy_movies"] == pytest.approx(wanted["accuracy_1"], abs=0.03)

    pair = shown["GradientConflict"].set(tasks="news + movies", pcgrad=False)
    wanted = recorded.select("gradient_conflict", tasks="news + movies", method="weights", seed=0)
    found = _run(pair.code(**pair.settings))
    first = recorded.curves(wanted["curve_cosines"])[0][0]
    assert found["cosines"][0, 0, 1] == pytest.approx(first, abs=0.001), "before training"
    mean = np.mean([found["accuracy_news"], found["accuracy_movies"]])
    assert mean == pytest.approx(wanted["mean_accuracy"].iloc[0], abs=0.03)

    for comparison, arm in (
        ("at once, 50 labels", "at once"),
        ("in sequence, 50 labels", "in sequence"),
    ):
        helps = shown["WhoHelpsWhom"].set(target="news", helper="plots", comparison=comparison)
        wanted = recorded.select(
            "helper_gains", target="news", helper="plots", arm=arm, n=50, seed=0
        ).iloc[0]
        checks = _run(helps.code(**helps.settings))
        assert checks[-1]["test"] == pytest.approx(wanted["accuracy"], abs=0.05)
        assert [check["step"] for check in checks] == [0, 40, 80, 120, 160, 200]

    state = {"frozen": 5, "labels": 50, "learning_rate": 3e-3}
    dial = shown["FreezeDial"].set(method="full", **state)
    wanted = recorded.select("freeze_dial", **state, seed=0).iloc[0]
    found = _run(dial.code(**dial.settings))
    assert found["accuracy"] == pytest.approx(wanted["accuracy"], abs=0.05)
    assert found["trainable"] == pytest.approx(wanted["trainable"])

    first = shown["PretrainingCurve"].set(bias="zeros", learning_rate=1e-3)
    wanted = recorded.select("first_steps", bias="zeros", learning_rate=1e-3, seed=0).iloc[0]
    assert _run(first.code(**first.settings))[-1]["mlm"] == pytest.approx(wanted["mlm"], abs=0.1)

    fill = shown["FillMask"]
    assert _run(fill.code(**fill.settings)) == fill.result["found"]
    viewer = shown["AttentionViewer"].set(layer=2, head=3)
    assert np.array_equal(_run(viewer.code(**viewer.settings)), viewer.result["weights"])


@pytest.mark.parametrize("name", NAMES)
def test_copied_code_is_short_and_of_the_library(name, shown):
    code = shown[name].code(**shown[name].settings)
    lines = [line for line in code.splitlines() if line.strip()]
    assert 5 <= len(lines) <= 16
    assert "$" not in code
    assert "experiments" not in code
    assert "result =" in code
    assert lines[-1] == "print(result)" or "print" in lines[-1]


def test_each_snippet_has_its_explorer():
    files = {path.stem for path in (data_dir() / "snippets").iterdir()}
    assert files <= set(NAMES)
    with pytest.raises(KeyError, match="chinese"):
        snippet("TranslateWord", map_method="ridge")


class _Declared(CurveExplorer):
    """One sweep in all the ways that a chart can be declared."""

    name, sweep, x, arms, metric = "declared", "planted_rotation", "pairs", "method", "p1"
    knobs: ClassVar = {
        "n": Knob("n", 50, "{:,}".format, "pairs"),
        "noise": Knob("noise", 0.6),
        "method": Knob("method", "Procrustes"),
        "other": Knob("other", True),
    }

    def charts(self, result):
        lines = {"ridge": "Ridge", "Procrustes": "Rotation"}
        baselines = {"chance": 0.1, f"noise {result['noise']}": (0.5, 0.1)}
        return [
            Chart("even", "n", lines, (0, 1), "even", levels=baselines, legend="upper left"),
            Chart("log", "n", {"ridge": "Ridge"}, (0, 1), "log", (25, 50)),
            Chart(
                "linear", "n", {"Procrustes": "Rotation"}, (0, 1), ticks={25: "few", 500: "many"}
            ),
        ]

    def describe(self, result, live):
        return f"at {result['pairs']}: {self.told_all(result, 2, ' = ')}"

    def code(self, **settings):
        return f"result = {settings}"


def test_a_declared_explorer():
    explorer = _Declared()
    assert explorer.summary == "at 50: Ridge = 0.95 ± 0.01, Rotation = 0.96 ± 0.01"
    kinds = [type(control).__name__ for control in explorer.controls.values()]
    assert kinds == ["SelectionSlider", "SelectionSlider", "Dropdown", "Checkbox"]
    assert _values(explorer.controls["n"]) == [25, 40, 50, 60, 75, 100, 200, 500]
    result = explorer.result
    figure = figures.new_figure(9, 3)
    explorer.frame(figure, result)
    explorer.draw(figure, result, {"Procrustes": 0.7})
    even, _, linear = figure.axes
    texts = [text.get_text() for text in even.get_xticklabels()]
    assert texts == ["25", "40", "50", "60", "75", "100", "200", "500"]
    assert [text.get_text() for text in linear.get_xticklabels()] == ["few", "many"]
    assert [axes.get_xscale() for axes in figure.axes] == ["linear", "log", "linear"]
    ridge, rotation = (line for line in even.lines if len(line.get_xdata()) == 8)
    assert list(ridge.get_xdata()) == list(range(8)), "side by side"
    assert (ridge.get_alpha(), rotation.get_alpha()) == (0.35, 1), "the chosen line stands out"
    assert linear.lines[0].get_color() == rotation.get_color(), "one name, one colour"
    assert ridge.get_ydata()[2] == pytest.approx(result["lines"]["ridge"]["mean"][50])
    stars = [
        [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "*"]
        for axes in figure.axes
    ]
    assert stars == [[2], [], [50]], "a live run's value, where the setting lies"
    assert {"chance", "noise 0.6"} <= {text.get_text() for text in even.texts}
    frames = (
        explorer.frame_key(result),
        explorer.frame_key(explorer.compute(n=25, noise=0.6, method="ridge", other=False)),
    )
    assert frames[0] == frames[1], "the frame stands while x moves"
    assert frames[0] != explorer.frame_key(explorer.set(noise=0.1).result)


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
                assert ("--jp-success" in said.value) == (option == question.right)
                assert len(re.sub("<.*?>", "", said.value)) > 20
            quiz.choices[number].index = None
            assert said.value == ""
        assert quiz._repr_mimebundle_()["text/plain"].count("( )") >= 6


def test_quiz_counts_first_tries():
    quiz = Quiz("bert")
    rights = [question.right for question in quiz.questions]
    assert quiz.score == "0 of 3 answered, 0 right at the first try"
    quiz.choices[0].index = rights[0]
    wrong = next(i for i in range(len(quiz.questions[1].options)) if i != rights[1])
    quiz.choices[1].index = wrong
    quiz.choices[1].index = rights[1]
    assert quiz.score == "2 of 3 answered, 1 right at the first try"
    quiz.choices[2].index = rights[2]
    assert quiz.score == "2 of 3 right at the first try"
    assert quiz.score in quiz.children[-1].value
    quiz.close()
    quiz.choices[0].index = None


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
