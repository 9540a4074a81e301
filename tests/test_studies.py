"""Lesson 4's studies of a suite, and what is read of the recorded runs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tlcourse import multitask, recorded
from tlcourse.data import TextDataset
from tlcourse.multitask import train_helped, train_together, train_watched

QUICK = {"steps": 10, "seed": 3}


@pytest.fixture(scope="module")
def suite():
    """Two small sets, as anybody's: colours by sound, and numbers by size."""

    def made(words, names):
        texts = [f"{words[n % 4]} {words[(n + 2 * (n % 2)) % 4]}" for n in range(160)]
        labels = np.arange(160) % 4 // 2 ^ (np.random.default_rng(0).random(160) < 0.15)
        split = ["train"] * 96 + ["validation"] * 32 + ["test"] * 32
        tokens = tuple(tuple(text.split()) for text in texts)
        return TextDataset("made", "en", tuple(texts), labels, names, np.array(split), tokens)

    colours = made(("red", "green", "movie", "film"), ("a", "b"))
    numbers = made(("one", "two", "king", "queen"), ("c", "d"))
    return multitask.build_suite({"colours": colours, "numbers": numbers})


def test_train_together_on_sets_of_ones_own(suite):
    sizes = {"colours": 80, "numbers": 80}
    shares = []
    found = train_together(
        suite, sizes, {"colours": 1, "numbers": 2}, 3, 0.1, progress=shares.append
    )
    assert set(found) == {f"{m}_{t}" for m in ("accuracy", "macro_f1") for t in sizes}
    assert found["accuracy_colours"] > 0.7
    assert shares[-1] == 1
    one, again, other = (train_together(suite, sizes, steps=4, seed=n) for n in (3, 3, 4))
    assert one == again != other


def test_train_helped_alone_at_once_and_in_sequence(suite):
    alone = train_helped(suite, {"colours": 20}, **QUICK)
    assert [check["step"] for check in alone] == [0, 2, 4, 6, 8, 10]
    assert set(alone[0]) == {"step", "validation", "test"}
    both = {"colours": 20, "numbers": 80}
    at_once = train_helped(suite, both, **QUICK)
    before = train_helped(suite, both, ["numbers"], **QUICK)
    # The three begin from the same trunk, and the third has been trained by then.
    assert alone[0] == at_once[0] != before[0]
    longer = train_helped(suite, {"colours": 80}, steps=60)
    assert longer[-1]["test"] > 0.7


def test_train_watched_gives_cosines_of_each_pair(suite):
    cosines, scores = train_watched(suite, {"colours": 70, "numbers": 70}, "PCGrad", **QUICK)
    assert [check["step"] for check in cosines] == list(range(11))
    assert all(-1 <= check["colours + numbers"] <= 1 for check in cosines)
    assert 0 <= scores["accuracy_numbers"] <= 1
    first = train_watched(suite, {"colours": 70, "numbers": 70}, **QUICK)[0][0]
    assert first == cosines[0], "before training the method makes no difference"


@pytest.mark.parametrize("study", [train_together, train_helped, train_watched])
def test_studies_refuse_what_is_no_suite(study, suite):
    with pytest.raises(TypeError, match="suite must be as load_suite"):
        study({"colours": 3}, {"colours": 20})
    for sizes in ({}, ["colours"], None):
        with pytest.raises(ValueError, match="sizes must map tasks to numbers of texts, got"):
            study(suite, sizes)
    with pytest.raises(ValueError, match="each of names must be one of"):
        study(suite, {"colors": 20})


def test_a_study_gives_what_was_recorded():
    """Alone with 50 labels, seed 0: the same draws as in the recorded runs."""
    row = recorded.select("helper_gains", target="news", arm="alone", n=50, seed=0).iloc[0]
    torch.set_num_threads(1)
    found = train_helped(multitask.load_suite(), {"news": 50}, seed=0)
    assert found[-1]["test"] == pytest.approx(row["accuracy"], abs=0.03)


# What was recorded.


def test_gains_are_paired_by_seed_and_read_only():
    gains = multitask.gain_matrix("at once", 500, "stopped")
    names = recorded.grid("helper_gains")["target"]
    assert gains.shape == (5, 5, 8)
    assert np.isnan(gains[np.arange(5), np.arange(5)]).all()
    rows = recorded.select("helper_gains", target="party", n=500, seed=5).set_index(
        ["arm", "helper"]
    )
    wanted = rows.loc[("at once", "news"), "stopped"] - rows.loc[("alone", "none"), "stopped"]
    assert gains[names.index("party"), names.index("news"), 5] == pytest.approx(wanted)
    with pytest.raises(ValueError, match="read-only"):
        gains[0, 0, 0] = 1
    with pytest.raises(ValueError, match="metric must be one of"):
        multitask.gain_matrix("at once", 50, "loss")
    with pytest.raises(KeyError, match="arm = 'later'"):
        multitask.gain_matrix("later", 50)


def test_scores_of_groups_and_ways_to_balance():
    mean, one = multitask.group_scores(), multitask.group_scores("validation", seed=2)
    assert len(mean) == len(one) == 31
    row = recorded.select("task_groups", tasks="movies + party", seed=2).iloc[0]
    assert one["movies", "party"] == {
        name: row[f"validation_{name}"] for name in ("movies", "party")
    }
    assert not any(math.isnan(score) for scores in mean.values() for score in scores.values())
    ways = multitask.balance_scores("movies + news")
    assert list(ways) == ["equal", "uncertainty", "PCGrad", "movies × 4", "movies ÷ 4"]
    rows = recorded.select("task_balancing", tasks="movies + news", scheme="PCGrad", seed=4)
    wanted = rows[["accuracy_movies", "accuracy_news"]].to_numpy().mean()
    assert ways["PCGrad"][4] == pytest.approx(wanted)


def test_cosines_by_pair():
    tasks = recorded.grid("gradient_conflict")["tasks"][-1]
    strings = recorded.select("gradient_conflict", tasks=tasks, method="weights")["curve_cosines"]
    cosines, pairs = multitask.cosine_curves(strings, tasks), multitask.task_pairs(tasks)
    assert cosines.shape == (5, 11, 10)
    assert pairs[3] == ("movies", "chinese")
    assert cosines[0, 0, 3] == float(strings.iloc[0].split()[3])


def test_chosen_by_validation():
    rows = recorded.select("freeze_dial", frozen=6, labels=200)
    best = recorded.chosen_by_validation(rows)
    assert set(best["learning_rate"]) == {0.003}
    assert list(best["seed"]) == sorted(best["seed"])
    with pytest.raises(KeyError, match="by must be a column, got 'rate'"):
        recorded.chosen_by_validation(rows, "rate")
