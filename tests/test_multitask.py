"""Lesson 4: the multitask loss, sampling, conflicts, groups, tied trunks, and its claims."""

from __future__ import annotations

import copy
import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from gensim.models.keyedvectors import KeyedVectors
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from tlcourse import multitask, recorded
from tlcourse.data.own import load_labelled
from tlcourse.finetuning import domains
from tlcourse.finetuning.layers import freeze
from tlcourse.finetuning.losses import next_word_loss
from tlcourse.finetuning.tasks import Encoded
from tlcourse.finetuning.tuning import tune
from tlcourse.models import LAYERS, Encoder, MultitaskModel, TransferModel
from tlcourse.multitask import gradients, losses, soft_sharing
from tlcourse.multitask.grouping import best_grouping, grouping_score, partitions, predict_groups
from tlcourse.multitask.tasks import SUITE, build_multitask, build_suite, load_suite
from tlcourse.scores import clear_after_correction, interval, is_clear

WORDS = 30


def _texts(n, classes=2, seed=0, length=7):
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(2, length + 1, (n,), generator=generator)
    ids = torch.randint(1, WORDS, (n, length), generator=generator)
    ids[torch.arange(length)[None] >= lengths[:, None]] = 0
    return Encoded(ids, lengths, torch.randint(0, classes, (n,), generator=generator))


def _model(classes, dropout=0.2, seed=0):
    torch.manual_seed(seed)
    E = np.random.default_rng(seed).normal(size=(WORDS, 6)).astype(np.float32)
    E[0] = 0
    return MultitaskModel(Encoder(E, (5, 4)), classes, dropout)


TASKS = {"a": _texts(19), "b": _texts(40, 3, seed=1)}
CLASSES = {"a": 2, "b": 3}
OPTIONS = {"steps": 6, "learning_rate": 0.01, "batch_size": 8}


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=4).filter(any),
    seed=st.integers(0, 999),
    weighted=st.booleans(),
)
def test_loss_equals_a_brute_force_sum(sizes, seed, weighted):
    generator = np.random.default_rng(seed)
    logits, labels, weights = {}, {}, {}
    for number, n in enumerate(sizes):
        classes = int(generator.integers(2, 6))
        logits[f"t{number}"] = torch.tensor(generator.normal(size=(n, classes)))
        labels[f"t{number}"] = torch.tensor(generator.integers(0, classes, n))
        weights[f"t{number}"] = float(generator.random() + 0.1)
    mean = sum(weights.values()) / len(weights) if weighted else 1.0
    total = 0.0
    for task, rows in logits.items():
        for row, label in zip(rows.tolist(), labels[task].tolist(), strict=True):
            exps = [math.exp(value) for value in row]
            Y = [float(c == label) for c in range(len(row))]
            each = -sum(y * math.log(e / sum(exps)) for y, e in zip(Y, exps, strict=True))
            total += each * (weights[task] / mean if weighted else 1.0)
    found = losses.multitask_loss(logits, labels, weights if weighted else None)
    assert float(found) == pytest.approx(total / sum(sizes))


def test_trunk_gradient_is_the_weighted_sum_of_the_tasks_gradients():
    model = _model(CLASSES, dropout=0.0)
    trunk = gradients.trunk_parameters(model)
    weights = {"a": 3.0, "b": 1.0}
    logits = {name: model(t.ids, t.lengths, name) for name, t in TASKS.items()}
    labels = {name: t.labels for name, t in TASKS.items()}
    losses.multitask_loss(logits, labels, weights).backward()
    whole = torch.cat([parameter.grad.flatten() for parameter in trunk])
    rows = gradients.probe_gradients(model, TASKS)
    share = torch.tensor([1.5 * 19 / 59, 0.5 * 40 / 59])
    torch.testing.assert_close(whole, share @ rows, atol=1e-6, rtol=1e-4)
    cosines = gradients.gradient_cosines(rows)
    assert torch.diagonal(cosines) == pytest.approx(torch.ones(2), abs=1e-5)
    assert float(cosines[0, 1]) == pytest.approx(
        float(torch.cosine_similarity(rows[0], rows[1], dim=0)), abs=1e-5
    )


def _pcgrad(gradients, orders):
    """Algorithm 1 of the paper, on lists."""
    result = np.zeros_like(gradients[0])
    for i, order in enumerate(orders):
        g = gradients[i].copy()
        for j in order:
            if j != i and g @ gradients[j] < 0:
                g -= g @ gradients[j] / (gradients[j] @ gradients[j]) * gradients[j]
        result += g
    return result


@pytest.mark.parametrize("tasks", [2, 3, 5])
@pytest.mark.parametrize("seed", range(5))
def test_pcgrad_equals_its_definition(tasks, seed):
    generator = np.random.default_rng(seed)
    drawn = generator.normal(size=(tasks, 7))
    theta = torch.zeros(7, dtype=torch.float64, requires_grad=True)
    parts = {str(t): theta @ torch.tensor(row) for t, row in enumerate(drawn)}
    torch.manual_seed(seed)
    orders = [torch.randperm(tasks).tolist() for _ in range(tasks)]
    torch.manual_seed(seed)
    gradients.project_conflicts(parts, [theta])
    assert theta.grad.numpy() == pytest.approx(_pcgrad(drawn, orders))


def test_pcgrad_without_conflict_is_the_plain_sum():
    theta = torch.zeros(3, requires_grad=True)
    parts = {t: theta @ torch.tensor(row) for t, row in (("a", [1.0, 0, 2]), ("b", [2.0, 1, 0]))}
    gradients.project_conflicts(parts, [theta])
    assert theta.grad.tolist() == pytest.approx([3, 1, 2])
    same = {"a": TASKS["a"], "b": TASKS["a"]}  # one task twice, with one head: never in conflict
    trained = []
    for method in ("weights", "PCGrad"):
        model = _model({"a": 2, "b": 2}, dropout=0.0)
        model.heads["b"].load_state_dict(model.heads["a"].state_dict())
        multitask.train_tasks(model, same, method=method, **OPTIONS)
        trained.append(torch.cat([p.detach().flatten() for p in model.encoder.parameters()]))
    torch.testing.assert_close(*trained, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("lam", [0.0, 0.3])
def test_a_step_with_pcgrad_is_the_projected_one(lam):
    """Two tasks with opposite labels conflict; the trunk's first step follows Algorithm 1."""
    opposite = {"a": TASKS["a"], "b": replace(TASKS["a"], labels=1 - TASKS["a"].labels)}
    options = {"steps": 1, "learning_rate": 0.01, "batch_size": 19, "seed": 2, "lam": lam}
    trunks = {}
    for method in ("weights", "PCGrad"):
        model = _model({"a": 2, "b": 2}, dropout=0.0)
        model.heads["b"].load_state_dict(model.heads["a"].state_dict())
        reference = copy.deepcopy(model)
        multitask.train_tasks(model, opposite, method=method, source=TASKS["b"], **options)
        trunks[method] = torch.cat([w.detach().flatten() for w in model.encoder.parameters()])
    freeze(reference, ("embedding",))
    parts = [
        (1 - lam) / 2 * cross_entropy(reference(t.ids, t.lengths, name), t.labels)
        for name, t in opposite.items()
    ]
    if lam:
        order = torch.randperm(40, generator=torch.Generator().manual_seed(2))[:19]
        drawn = TASKS["b"].take(order)
        parts.append(lam * next_word_loss(reference, drawn.ids, drawn.lengths))
    trunk = gradients.trunk_parameters(reference)
    rows = gradients.task_gradients(dict(enumerate(parts)), trunk).double().numpy()
    assert rows[0] @ rows[1] < 0
    torch.manual_seed(2)
    wanted = _pcgrad(rows, [torch.randperm(len(rows)).tolist() for _ in rows])
    before = torch.cat([w.detach().flatten() for w in trunk])
    moved = (trunks["PCGrad"][-len(before) :] - before).numpy()
    large = np.abs(wanted) > 1e-5  # Adam's first step has the rate's size and the gradient's sign
    assert large.sum() > 50
    assert (np.sign(moved[large]) == -np.sign(wanted[large])).all()
    assert not torch.equal(trunks["PCGrad"], trunks["weights"])


@pytest.mark.parametrize("lam", [0.0, 0.3])
def test_one_task_is_lesson_3s_fine_tuning_bit_for_bit(lam):
    many = _model({"a": 2})
    single = TransferModel(Encoder(many.encoder.embedding.weight.detach().numpy(), (5, 4)))
    single.load_state_dict({k.replace("heads.a", "head"): v for k, v in many.state_dict().items()})
    options = {**OPTIONS, "lam": lam, "source": TASKS["b"], "source_batch_size": 3, "seed": 4}
    one = multitask.train_tasks(many, {"a": TASKS["a"]}, **options)
    other = tune(single, TASKS["a"], frozen=("embedding",), **options)
    assert one.loss == other.loss
    assert one.parts["a"] == other.parts["fine"]
    for name, weight in many.state_dict().items():
        assert torch.equal(weight, single.state_dict()[name.replace("heads.a", "head")]), name


def test_sampling_follows_its_probabilities():
    sizes = {"a": 900, "b": 100}
    assert losses.sampling_probabilities(sizes, 1) == pytest.approx({"a": 0.9, "b": 0.1})
    even = losses.sampling_probabilities(sizes, math.inf)
    assert even == pytest.approx({"a": 0.5, "b": 0.5})
    shares = [losses.sampling_probabilities(sizes, T)["b"] for T in (1, 2, 5, 100)]
    assert shares == sorted(shares)
    wanted = losses.sampling_probabilities({name: len(t) for name, t in TASKS.items()}, 2)
    model = _model(CLASSES)
    history = multitask.train_tasks(
        model, TASKS, steps=400, learning_rate=1e-3, batch_size=1, temperature=2
    )
    # Two batches a step: a task is missing with probability (1 − p)².
    for name, p in wanted.items():
        missing = np.isnan(history.parts[name]).mean()
        assert missing == pytest.approx((1 - p) ** 2, abs=0.07)


def test_every_task_trains_and_weights_count():
    for name in TASKS:
        model = _model(CLASSES)
        before = copy.deepcopy(model.state_dict())
        weights = {task: float(task == name) for task in TASKS}
        multitask.train_tasks(model, TASKS, weights=weights, **OPTIONS)
        for task in TASKS:
            moved = not torch.equal(model.heads[task].weight, before[f"heads.{task}.weight"])
            assert moved == (task == name), "a task of weight 0 leaves its head alone"
        assert torch.equal(model.encoder.embedding.weight, before["encoder.embedding.weight"])
    history = multitask.train_tasks(_model(CLASSES), TASKS, method="uncertainty", **OPTIONS)
    assert np.mean(list(history.weights.values())) == pytest.approx(1)
    assert history.weights["a"] != history.weights["b"]


def test_uncertainty_weights_follow_the_noise():
    """A task with random labels keeps a high loss, and is given the smaller weight."""
    clear = TASKS["b"]
    clear = Encoded(clear.ids, clear.lengths, (clear.ids[:, 0] > WORDS // 2).long())
    noisy = _texts(400, seed=5)
    history = multitask.train_tasks(
        _model({"easy": 2, "noisy": 2}, dropout=0.0),
        {"easy": clear, "noisy": noisy},
        steps=300, learning_rate=0.02, batch_size=8, method="uncertainty",
    )  # fmt: skip
    assert history.weights["easy"] > 1.5 * history.weights["noisy"]


def test_errors_say_what_came():
    fail = [
        ({"weights": {"a": 1.0}}, r"weights need \['b'\]"),
        ({"weights": {"a": -1.0, "b": 1.0}}, r"weights\['a'\] must be at least 0"),
        ({"weights": {"a": math.nan, "b": 1.0}}, r"weights\['a'\] must be at least 0, got nan"),
        ({"weights": {"a": 1.0, "b": 1.0, "typo": 9}}, r"weights for \['typo'\], but there are"),
        ({"temperature": -1.0}, "temperature must be above 0"),
        ({"temperature": math.nan}, "temperature must be above 0"),
        ({"weights": {"a": 0.0, "b": 0.0}}, "at least 0 and not all 0"),
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"method": "surgery"}, "method must be one of"),
        ({"lam": 1.5}, "between 0 and 1"),
        ({"lam": 0.5}, "needs source texts"),
        ({"method": "uncertainty", "temperature": 1.0}, "leave weights and temperature out"),
        ({"method": "uncertainty", "weights": CLASSES}, "leave weights and temperature out"),
        ({"method": "PCGrad", "frozen": LAYERS}, "all of them are frozen"),
    ]
    for options, words in fail:
        with pytest.raises(ValueError, match=words):
            multitask.train_tasks(_model(CLASSES), TASKS, **{**OPTIONS, **options})
    with pytest.raises(ValueError, match="at least one task"):
        multitask.train_tasks(_model(CLASSES), {}, **OPTIONS)
    with pytest.raises(ValueError, match=r"each of tasks must be one of \('b',\), got 'a'"):
        multitask.train_tasks(_model({"b": 3}), TASKS, **OPTIONS)
    bare = replace(TASKS["a"], labels=None)
    for call in (multitask.evaluate_tasks, gradients.probe_gradients):
        with pytest.raises(ValueError, match="label"):
            call(_model(CLASSES), {"a": bare})
    with pytest.raises(ValueError, match="same tasks"):
        losses.multitask_loss({"a": torch.zeros(1, 2)}, {})
    with pytest.raises(ValueError, match=r"sizes\['a'\] must be a whole number, at least 1"):
        losses.sampling_probabilities({"a": 0}, 1)
    with pytest.raises(ValueError, match="at least one task"):
        losses.sampling_probabilities({}, 1)
    with pytest.raises(TypeError, match="temperature must be a number"):
        losses.sampling_probabilities({"a": 1}, "2")
    with pytest.raises(TypeError, match="weights must map"):
        losses.relative_weights(["a"], [1.0])
    with pytest.raises(TypeError, match=r"weights\['a'\] must be a number"):
        losses.relative_weights(["a"], {"a": "1"})
    with pytest.raises(ValueError, match="at least one"):
        losses.mean_loss(torch.zeros(0, 2), torch.zeros(0, dtype=torch.long))
    with pytest.raises(ValueError, match="need a task with examples"):
        losses.loss_parts({}, {}, {})
    with pytest.raises(ValueError, match=r"weights need \['a'\] too"):
        losses.loss_parts({"a": torch.zeros(())}, {"a": torch.zeros(3)}, {"b": 1.0})
    with pytest.raises(ValueError, match="no task called 'items'"):
        _model({"items": 2})
    broken = _model(CLASSES)
    torch.nn.init.constant_(broken.heads["a"].bias, math.nan)
    with pytest.raises(ValueError, match="loss became nan at step 0"):
        multitask.train_tasks(broken, TASKS, **OPTIONS)


def test_tied_trunks_come_nearer_with_strength():
    found = []
    for strength in (0.0, 0.1, 10.0):
        models = {name: _model({name: CLASSES[name]}) for name in TASKS}
        options = {**OPTIONS, "steps": 40, "strength": strength}
        found.append(soft_sharing.train_tied(models, TASKS, **options).checks[-1]["distance"])
        measured = soft_sharing.trunk_distance(*models.values()).item()
        assert measured == pytest.approx(found[-1])
    assert found[0] > found[1] > found[2] > 0
    with pytest.raises(ValueError, match="two tasks"):
        soft_sharing.train_tied({}, TASKS, strength=0.0, **OPTIONS)
    models = {name: _model({name: CLASSES[name]}) for name in TASKS}
    with pytest.raises(ValueError, match="at least 0"):
        soft_sharing.train_tied(models, TASKS, strength=-1.0, **OPTIONS)
    before = copy.deepcopy(models["a"].state_dict())
    for changed, words in (
        ({"strength": math.nan}, "strength must be at least 0, got nan"),
        ({"strength": math.inf}, "strength must be at least 0, got inf"),
        ({"steps": 0}, "steps must be"),
        ({"learning_rate": -1e-3}, "learning_rate must be above 0"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"batch_size": 0}, "batch_size must be"),
    ):
        with pytest.raises(ValueError, match=words):
            soft_sharing.train_tied(models, TASKS, **{"strength": 0.1, **OPTIONS, **changed})
    for name, weight in models["a"].state_dict().items():
        assert torch.equal(weight, before[name]), "a refused call trains nothing"


def test_partitions_and_their_scores():
    assert [len(list(partitions([*"abcde"][:n]))) for n in range(6)] == [1, 1, 2, 5, 15, 52]
    for division in partitions(["a", "b", "c", "d"]):
        assert sorted(itertools.chain(*division)) == ["a", "b", "c", "d"]
    scores = {("a",): {"a": 0.5}, ("b",): {"b": 0.7}, ("a", "b"): {"a": 0.6, "b": 0.64}}
    assert grouping_score((("a", "b"),), scores) == pytest.approx(0.62)
    assert grouping_score((("a",), ("b",)), scores) == pytest.approx(0.6)
    assert best_grouping(["a", "b"], scores) == (("a", "b"),)
    pairs = {
        (one, two): {one: 0.1 * (number + 1), two: 0.2}
        for number, (one, two) in enumerate(itertools.combinations("abc", 2))
    }
    predicted = predict_groups([*"abc"], pairs | {(name,): {name: 0.0} for name in "abc"})
    assert predicted[("a", "b", "c")]["a"] == pytest.approx(0.15)


def test_best_grouping_of_many_tasks_is_exact_and_quick():
    generator = np.random.default_rng(0)

    def scored(names):
        groups = [g for n in range(1, len(names) + 1) for g in itertools.combinations(names, n)]
        return {group: {task: float(generator.random()) for task in group} for group in groups}

    for n in (1, 3, 6):
        scores = scored("abcdefgh"[:n])
        by_hand = max(partitions([*"abcdefgh"][:n]), key=lambda way: grouping_score(way, scores))
        assert best_grouping([*"abcdefgh"][:n], scores) == by_hand
    level = {group: dict.fromkeys(group, 0.5) for group in scored("abc")}
    assert best_grouping([*"abc"], level) == next(partitions([*"abc"])), "of equals the first"
    names = [*"abcdefghijkl"]

    class Counted(dict):
        looked = 0

        def __getitem__(self, group):
            self.looked += 1
            return super().__getitem__(group)

    scores = Counted(
        {group: dict.fromkeys(group, -float(len(group) != 3)) for group in scored(names)}
    )
    assert [len(group) for group in best_grouping(names, scores)] == [3] * 4
    assert scores.looked < 200_000, "each group is looked at once, not once a partition"
    pairs = {group: row for group, row in scores.items() if len(group) < 3}
    assert len(predict_groups(names, pairs)) == 2**12 - 1


def test_groupings_say_which_score_is_missing():
    scores = {("a",): {"a": 0.5}, ("b",): {"b": 0.7}, ("a", "b"): {"a": 0.6}}
    fail = [
        (
            lambda: grouping_score((("a", "b"),), scores),
            r"no score of 'b' in the group \('a', 'b'\)",
        ),
        (lambda: grouping_score((("b", "a"),), scores), r"the group \('b', 'a'\).*in their order"),
        (lambda: grouping_score((), scores), "at least one task"),
        (lambda: best_grouping(["a", "b", "c"], scores), "scores hold no score of"),
        (lambda: predict_groups(["a", "b"], scores), "no score of 'b'"),
        (lambda: predict_groups(["a", "b", "c"], scores), "scores hold no score of"),
        (lambda: best_grouping(["a", "a"], scores), "names must differ"),
        (lambda: best_grouping(["a"], {("a",): {"a": math.nan}}), "must be finite, got nan"),
        (lambda: best_grouping([*"abcdefghijklmn"], scores), "at most 13 tasks"),
        (lambda: best_grouping([], scores), "at least 1 text"),
    ]
    for call, words in fail:
        with pytest.raises(ValueError, match=words):
            call()
    with pytest.raises(TypeError, match="scores must map groups"):
        best_grouping(["a"], [0.5])


def test_intervals_refuse_what_has_none():
    fail = [
        (lambda: interval([1.0]), "at least two values"),
        (lambda: interval([1.0, 2.0], 95), "level must lie between 0 and 1, got 95"),
        (lambda: interval([1.0, 2.0], 1), "level must lie between 0 and 1"),
        (lambda: interval([1.0, 2.0], 0), "level must lie between 0 and 1"),
        (lambda: interval([1.0, math.nan]), "values must be finite"),
        (lambda: interval([1.0, math.inf]), "values must be finite"),
        (lambda: is_clear([0.5, 0.5, math.nan]), "values must be finite"),
        (lambda: clear_after_correction(np.ones((3, 4)), 5), "rate must lie between 0 and 1"),
        (lambda: clear_after_correction(np.ones((3, 1))), "at least two seeds"),
        (lambda: clear_after_correction(np.full((3, 4), np.inf)), "gains must be finite"),
    ]
    for call, words in fail:
        with pytest.raises(ValueError, match=words):
            call()
    with pytest.raises(TypeError, match="level must be a number"):
        interval([1.0, 2.0], "0.95")
    same = [interval(form([1.0, 2.0, 4.0])) for form in (list, np.array, torch.tensor)]
    assert same[0] == same[1] == same[2]
    level = np.zeros((3, 5))
    level[1] = [1.0, 1.1, 0.9, 1.0, 1.05]
    assert clear_after_correction(level).tolist() == [False, True, False], "all 0: no gain, no NaN"
    assert not clear_after_correction(np.full((2, 3), np.nan)).any()


def test_gradients_without_a_direction_are_refused():
    rows = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    wanted = torch.eye(2)
    for form in (rows, rows.numpy(), rows.tolist(), rows.long()):
        assert torch.allclose(gradients.gradient_cosines(form).float(), wanted, atol=1e-4)
    fail = [
        (
            lambda: gradients.gradient_cosines(rows[0]),
            r"gradients must be .* \(tasks, parameters\)",
        ),
        (lambda: gradients.gradient_cosines(rows * math.nan), "gradients must be finite"),
        (
            lambda: gradients.gradient_cosines(rows * torch.tensor([1, 0])),
            "row 1 of gradients is zero",
        ),
        (lambda: gradients.task_gradients({}, [rows]), "at least one loss"),
        (lambda: gradients.task_gradients({"a": rows.sum()}, []), "at least one loss"),
    ]
    for call, words in fail:
        with pytest.raises(ValueError, match=words):
            call()


def test_domains_ask_for_words_and_finite_features():
    for call in (
        lambda: domains.domain_of("酒店的早餐不错"),
        lambda: domains.domain_of(None),
        lambda: domains.domain_rows("酒店", "hotel"),
        lambda: domains.domain_rows([["酒店"]], "hotel"),
    ):
        with pytest.raises(TypeError, match=r"sequence of texts|must be a TextDataset"):
            call()
    source, target = np.random.default_rng(0).normal(size=(2, 20, 3))
    weights = domains.instance_weights(source.tolist(), torch.tensor(target))
    assert np.allclose(weights, domains.instance_weights(source, target))
    assert np.isfinite(domains.instance_weights(source, source + 1e3, C=1e6)).all()
    spoilt = source.copy()
    spoilt[3, 0] = np.nan
    fail = [
        (lambda: domains.instance_weights(spoilt, target), "source must be finite"),
        (lambda: domains.instance_weights(source, spoilt), "target must be finite"),
        (lambda: domains.instance_weights(source, target[:, :2]), "with the same d"),
        (lambda: domains.instance_weights(source, target[:0]), "at least one row each"),
        (lambda: domains.instance_weights(source, target, C=0), "C must be above 0"),
    ]
    for call, words in fail:
        with pytest.raises(ValueError, match=words):
            call()


def test_interval_covers_as_often_as_it_says():
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(2000):
        low, high = interval(generator.normal(size=8))
        held += low < 0 < high
    assert held / 2000 == pytest.approx(0.95, abs=0.015)


def test_correction_for_looking_at_many():
    generator = np.random.default_rng(1)
    gains = generator.normal(size=(200, 8))
    alone = np.array([not low < 0 < high for low, high in map(interval, gains)])
    assert 3 <= alone.sum() <= 20, "about one in twenty by chance"
    assert clear_after_correction(gains).sum() <= 2
    gains[:5] += 5
    gains[5] = np.nan
    found = clear_after_correction(gains.reshape(20, 10, 8)).ravel()
    assert found[:5].all()
    assert not found[5]


def test_suite_is_one_space_without_leaks():
    from tlcourse.mapping.spaces import load_bilingual

    suite = load_suite()
    assert suite.embedding.shape == (len(suite.vocabulary), 50)
    assert not suite.embedding[0].any()
    assert suite.embedding[2:].std() == pytest.approx(1, abs=0.05)
    glove = load_bilingual().target
    row = suite.embedding[suite.vocabulary.index["film"]]
    assert np.corrcoef(row, glove["film"])[0, 1] == pytest.approx(1)
    assert suite.vocabulary.index["酒店"]
    movies, plots = (suite.tasks[name].dataset for name in ("movies", "plots"))
    where = dict(zip(movies.texts, movies.split, strict=True))
    shared = [(where[t], s) for t, s in zip(plots.texts, plots.split, strict=True) if t in where]
    assert len(shared) > 3000
    assert all(one == other for one, other in shared), "a review is in one split for both tasks"
    for name, task in suite.tasks.items():
        assert task.splits["test"].ids.shape[1] == 40
        texts = {split: set(task.dataset.subset(split).texts) for split in task.splits}
        for one, other in itertools.combinations(texts.values(), 2):
            assert not one & other, name
    source = suite.source(["news", "chinese"])
    assert source.labels is None
    assert len(source) == 2 * len(suite.tasks["news"].splits["train"])
    with pytest.raises(ValueError, match="each of names must be one of"):
        build_multitask(suite, ["sports"])


def test_your_own_sets_become_tasks(tmp_path):
    rows = [f"a {'fine' if i % 2 else 'dull'} film number {i},{i % 2}" for i in range(60)]
    (tmp_path / "own.csv").write_text("\n".join(["text,label", *rows]))
    own = {"own": load_labelled(tmp_path / "own.csv"), "party": SUITE["party"]()}
    suite = build_suite(own)
    model = build_multitask(suite, list(own))
    texts = suite.sample({"own": 20, "party": 20}, seed=0)
    multitask.train_tasks(model, texts, steps=25, learning_rate=0.01)
    judged = {"own": suite.tasks["own"].splits["train"]}
    assert multitask.evaluate_tasks(model, judged)["accuracy_own"] > 0.8
    with pytest.raises(ValueError, match="labelled sets, at least one; got"):
        build_suite({})


def test_several_sets_of_ones_own_by_one_call():
    films = [f"a {'fine' if i % 2 else 'dull'} film number {i}" for i in range(30)]
    news = [("shares rose", "the match was lost", "a new law")[i % 3] for i in range(30)]
    data = {
        "films": (films, ["good" if i % 2 else "bad" for i in range(30)]),
        "news": (news, [(10, 20, 30)[i % 3] for i in range(30)]),
    }
    vectors = KeyedVectors(6)
    known = ["fine", "dull", "shares", "match", "law"]
    vectors.add_vectors(known, np.eye(5, 6, dtype=np.float32))
    found = multitask.train(
        data, vectors=vectors, weights={"films": 2.0, "news": 1.0}, temperature=2, lam=0.2,
        steps=80, learning_rate=0.02, device="cpu",
    )  # fmt: skip
    assert found.suite.embedding.shape[1] == 6
    assert found.predict(["a fine play", "a dull play"], "films").tolist() == ["good", "bad"]
    assert found.predict(["shares rose", "the match"], "news").tolist() == [10, 20]
    assert found.probabilities(["shares rose"], "news").shape == (1, 3)
    assert found.scores(films, data["films"][1], "films")["accuracy"] > 0.9
    assert len(found.history.loss) == len(found.history.parts["pre"]) == 80
    assert found.history.weights == pytest.approx({"films": 4 / 3, "news": 2 / 3})
    with pytest.raises(ValueError, match=r"must be one of \('films', 'news'\)"):
        found.predict(["x"], "sports")
    for bad, error, words in (
        ({}, ValueError, "at least one"),
        ({"films": films}, TypeError, "TextDataset or"),
        ({"pre": data["films"]}, ValueError, "no task may be called 'pre'"),
    ):
        with pytest.raises(error, match=words):
            multitask.train(bad, vectors=vectors)
    with pytest.raises(TypeError, match="vectors must be KeyedVectors"):
        multitask.train(data, vectors={"fine": [1.0]})


def test_the_courses_suite_is_such_a_call():
    small = {name: SUITE[name]() for name in ("news", "plots")}
    found = multitask.train(small, steps=2, device="cpu")
    suite = load_suite()
    assert found.suite.tasks["news"].classes == suite.tasks["news"].classes
    row, there = (s.vocabulary.index["film"] for s in (found.suite, suite))
    assert np.array_equal(found.suite.embedding[row], suite.embedding[there])


# What the lesson claims, over the recorded runs.


def _gains(arm, n, metric="accuracy"):
    from tlcourse.multitask.grouping import gain_matrix

    return gain_matrix(arm, n, metric)


def test_the_lessons_gains():
    names = list(SUITE)
    chinese, movies = names.index("chinese"), names.index("movies")
    for arm in ("at once", "in sequence"):
        for metric in ("accuracy", "stopped"):
            low, _ = interval(_gains(arm, 50, metric)[chinese, movies])
            assert low > 0, "English sentiment helps Chinese sentiment, however it is measured"
    assert abs(np.nanmean(_gains("at once", 50))) < 0.01, "no gain on average"


def test_gain_matrix_is_paired():
    gains = _gains("at once", 50)
    assert gains.shape == (5, 5, 8)
    assert np.isnan(gains[np.arange(5), np.arange(5)]).all()
    names = list(SUITE)
    here = recorded.select(
        "helper_gains", target="news", helper="plots", arm="at once", n=50, seed=3
    )
    alone = recorded.select("helper_gains", target="news", arm="alone", n=50, seed=3)
    wanted = here["accuracy"].iloc[0] - alone["accuracy"].iloc[0]
    assert gains[names.index("news"), names.index("plots"), 3] == pytest.approx(wanted)


# Threads, frozen parameters, and settings that do not fit.


@pytest.mark.parametrize("method", multitask.BALANCING)
def test_a_run_between_two_steps_changes_nothing(method):
    def run(seed, **options):
        return multitask.train_tasks(
            _model(CLASSES), TASKS, method=method, seed=seed, **{**OPTIONS, "steps": 10}, **options
        ).loss

    alone, other = run(1), run(2)
    inside = []
    assert run(1, progress=lambda share: inside or inside.append(run(2))) == alone
    assert inside == [other]
    model, before = _model(CLASSES), torch.get_rng_state()
    multitask.train_tasks(model, TASKS, method=method, **OPTIONS)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_run_of_tied_trunks_between_two_steps_changes_nothing():
    def run(seed, **options):
        models = {name: _model({name: CLASSES[name]}) for name in TASKS}
        return soft_sharing.train_tied(models, TASKS, strength=0.1, seed=seed, **OPTIONS, **options)

    alone, inside = run(1), []
    assert run(1, progress=lambda share: inside or inside.append(run(2))) == alone


def test_what_was_frozen_stays_frozen_in_train_tasks():
    model = _model(CLASSES)
    freeze(model, 1)
    asked = {name: p.requires_grad for name, p in model.named_parameters()}
    before = copy.deepcopy(model.state_dict())
    multitask.train_tasks(model, TASKS, **OPTIONS)
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == asked[name], name
        if not name.startswith("lm_head"):
            assert torch.equal(parameter, before[name]) != asked[name], name
    for method in ("weights", "uncertainty"):
        with pytest.raises(ValueError, match="nothing trains"):
            multitask.train_tasks(
                _model(CLASSES).requires_grad_(False), TASKS, method=method, **OPTIONS
            )
    freeze(model, LAYERS)
    with pytest.raises(ValueError, match="all of them are frozen"):
        multitask.train_tasks(model, TASKS, method="PCGrad", **OPTIONS)


def test_tied_trunks_keep_what_was_frozen():
    models = {name: _model({name: CLASSES[name]}, seed=number) for number, name in enumerate(TASKS)}
    freeze(models["a"], 1)
    before = {name: copy.deepcopy(model.state_dict()) for name, model in models.items()}
    soft_sharing.train_tied(models, TASKS, strength=0.1, **OPTIONS)
    for name, model in models.items():
        assert all(p.requires_grad for p in model.encoder.upper.parameters())
        kept = torch.equal(
            model.encoder.lower.weight_hh_l0, before[name]["encoder.lower.weight_hh_l0"]
        )
        assert kept == (name == "a")
        assert torch.equal(model.encoder.embedding.weight, before[name]["encoder.embedding.weight"])
    assert models["b"].encoder.embedding.weight.requires_grad, "frozen for the run only"


def test_train_tasks_refuses_settings_out_of_range():
    for options, words in (
        ({"steps": 0}, "steps must be"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"source_batch_size": 0}, "source_batch_size must be"),
        ({"learning_rate": -0.1}, "learning_rate must be above 0"),
    ):
        with pytest.raises(ValueError, match=words):
            multitask.train_tasks(_model(CLASSES), TASKS, **{**OPTIONS, **options})
    with pytest.raises(TypeError, match="lam must be a number"):
        multitask.train_tasks(_model(CLASSES), TASKS, lam=None, **OPTIONS)
    with pytest.raises(ValueError, match="labels of 'a' must be class numbers 0 … 1"):
        multitask.train_tasks(
            _model(CLASSES), {**TASKS, "a": TASKS["b"].take(TASKS["b"].labels == 2)}, **OPTIONS
        )
    with pytest.raises(ValueError, match=r"must be one of \('a', 'b'\), got 'c'"):
        multitask.evaluate_tasks(_model(CLASSES), {"c": TASKS["a"]})


def test_a_loaded_suite_is_the_callers_own_and_knows_its_names():
    suite = load_suite()
    train = suite.tasks["news"].splits["train"]
    train.labels[:] = 0
    suite.embedding[:] = 0
    again = load_suite()
    assert again.tasks["news"].splits["train"].labels.any()
    assert again.embedding.any()
    for call in (lambda: suite.sample({"nope": 10}, 0), lambda: suite.source(["nope"])):
        with pytest.raises(ValueError, match=r"each of names must be one of .* got 'nope'"):
            call()
    before = torch.get_rng_state()
    build_multitask(suite, ["news"], 3)
    assert torch.equal(torch.get_rng_state(), before)
