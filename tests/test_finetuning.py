"""Lesson 3: the mixture, freezing, schedules, penalties, checkpoints, domains."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tlcourse import tasks
from tlcourse.domains import DOMAINS, domain_of, instance_weights
from tlcourse.encoders import LAYERS, Encoder, TransferModel, last_state, masked_mean
from tlcourse.finetuning import (
    class_loss,
    distance_loss,
    mixture,
    next_word_loss,
    source_loss,
    tune,
)
from tlcourse.freezing import (
    count_parameters,
    parameter_groups,
    set_trainable,
    slanted_triangular,
    unfrozen_layers,
    weight_penalty,
)
from tlcourse.tasks import Encoded
from tlcourse.training import Cancelled, predict

WORDS, LENGTH = 30, 9


def make_model(seed=0):
    torch.manual_seed(seed)
    E = np.random.default_rng(seed).normal(size=(WORDS, 6)).astype(np.float32)
    E[0] = 0
    return TransferModel(Encoder(E, (5, 4)), classes=3)


def make_texts(n=24, seed=0):
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, LENGTH + 1, n)
    ids = generator.integers(1, WORDS, (n, LENGTH))
    ids[np.arange(LENGTH) >= lengths[:, None]] = 0
    labels = generator.integers(0, 3, n)
    return Encoded(*(torch.as_tensor(item) for item in (ids, lengths, labels)))


TEXTS = make_texts()
QUICK = {"steps": 6, "learning_rate": 1e-2, "source": TEXTS, "batch_size": 8}


def weights(model, prefix=""):
    return {n: p.detach().clone() for n, p in model.named_parameters() if n.startswith(prefix)}


# Padding, order, threads.


@given(st.integers(0, 10_000), st.integers(0, 6))
@settings(max_examples=25, deadline=None)
def test_padding_never_changes_a_prediction(seed, extra):
    texts, model = make_texts(7, seed), make_model(seed)
    ids = torch.nn.functional.pad(texts.ids, (0, extra))
    together = predict(model, (ids, texts.lengths))
    for row, length in enumerate(texts.lengths.tolist()):
        alone = predict(model, (texts.ids[row : row + 1, :length], texts.lengths[row : row + 1]))
        assert together[row] == pytest.approx(alone[0], abs=1e-6)
    loss = [next_word_loss(model, item, texts.lengths).item() for item in (texts.ids, ids)]
    assert loss[0] == pytest.approx(loss[1], abs=1e-6, nan_ok=True)


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_last_state_is_the_last_real_one(seed):
    texts = make_texts(5, seed)
    states = torch.randn(5, LENGTH, 4)
    found = last_state(states, texts.lengths)
    for row, length in enumerate(texts.lengths.tolist()):
        assert torch.equal(found[row], states[row, length - 1])


def test_batch_order_does_not_change_a_prediction():
    model, order = make_model(), torch.randperm(len(TEXTS))
    straight = predict(model, (TEXTS.ids, TEXTS.lengths), batch_size=5)
    mixed = predict(model, (TEXTS.ids[order], TEXTS.lengths[order]), batch_size=11)
    assert straight[order] == pytest.approx(mixed, abs=1e-6)


def test_thread_count_does_not_change_a_run():
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        model = make_model()
        history = tune(model, TEXTS, lam=0.5, **QUICK)
        found.append((history.loss[-1], source_loss(model, TEXTS)))
    torch.set_num_threads(1)
    assert found[0] == pytest.approx(found[1], abs=1e-4)


def test_thread_count_does_not_change_a_reported_number():
    task, found = tasks.load_task(), []
    some = task.splits["validation"].take(range(40))
    for threads in (1, 2):
        torch.set_num_threads(threads)
        model = tasks.build_model(task)
        probabilities = predict(model, (some.ids, some.lengths))
        found.append([source_loss(model, some), *probabilities[:, 1]])
    torch.set_num_threads(1)
    assert found[0] == pytest.approx(found[1], abs=1e-4)


# The losses.


@given(st.floats(0, 1))
@settings(max_examples=25, deadline=None)
def test_mixture_is_its_parts_in_loss_and_gradient(lam):
    model = make_model()
    model.eval()
    parameters = list(model.parameters())

    def gradients(loss):
        found = torch.autograd.grad(loss, parameters, allow_unused=True)
        return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]  # fmt: skip

    pre, fine = next_word_loss(model, TEXTS.ids, TEXTS.lengths), class_loss(model, TEXTS)
    mixed = mixture(pre, fine, lam)
    assert mixed.item() == pytest.approx(lam * pre.item() + (1 - lam) * fine.item(), rel=1e-5)
    of_pre = gradients(next_word_loss(model, TEXTS.ids, TEXTS.lengths))
    of_fine = gradients(class_loss(model, TEXTS))
    for both, one, other in zip(gradients(mixed), of_pre, of_fine, strict=True):
        assert torch.allclose(both, lam * one + (1 - lam) * other, atol=1e-6)


def test_lambda_at_its_ends():
    pre, fine = torch.tensor(3.7), torch.tensor(0.4)
    assert mixture(pre, fine, 1.0) == pre
    assert mixture(pre, fine, 0.0) == fine
    model = make_model()
    before = weights(model, "lm_head")
    history = tune(model, TEXTS, lam=0.0, **QUICK)
    assert history.loss == history.fine
    assert all(math.isnan(value) for value in history.pre)
    assert all(torch.equal(old, new) for old, new in zip(before.values(), weights(model, "lm_head").values(), strict=True))  # fmt: skip
    model = make_model()
    before = weights(model, "head")
    history = tune(model, TEXTS, lam=1.0, **QUICK)
    assert history.loss == history.pre
    assert all(torch.equal(old, new) for old, new in zip(before.values(), weights(model, "head").values(), strict=True))  # fmt: skip


def test_next_word_loss_by_hand():
    model = make_model().eval()
    total, count = 0.0, 0
    for row, length in enumerate(TEXTS.lengths.tolist()):
        if length < 2:
            continue
        ids = TEXTS.ids[row : row + 1, :length]
        logits = model.lm_head(model.encoder(ids[:, :-1]))[0].log_softmax(-1)
        total -= logits[torch.arange(length - 1), ids[0, 1:]].sum().item()
        count += length - 1
    assert source_loss(model, TEXTS) == pytest.approx(total / count, rel=1e-5)


def test_example_weights():
    model = make_model().eval()
    counted = Encoded(TEXTS.ids, TEXTS.lengths, TEXTS.labels, torch.arange(24.0))
    logits = model(TEXTS.ids, TEXTS.lengths).detach()
    each = torch.nn.functional.cross_entropy(logits, TEXTS.labels, reduction="none")
    assert class_loss(model, counted).item() == pytest.approx(
        float((each * torch.arange(24.0)).mean()), rel=1e-5
    )
    assert torch.equal(counted.take([3, 5]).weights, torch.tensor([3.0, 5.0]))


def test_distance_loss_and_its_repair():
    F, E = (torch.randn(8, 4, requires_grad=True) for _ in range(2))
    assert distance_loss(F, E).item() == pytest.approx(
        float((F - E).detach().square().sum(1).mean())
    )
    distance_loss(F, E).backward()
    assert torch.allclose(E.grad, -F.grad)
    E.grad = None
    distance_loss(F, E, detach=True).backward()
    assert E.grad is None
    with pytest.raises(ValueError, match="as wide as the embedding"):
        distance_loss(F, E[:, :2])


def test_the_articles_loss_collapses_and_the_repairs_do_not():
    from tlcourse.runs.collapse import LOSSES, pretraining_losses

    ends = {}
    for loss in LOSSES[:2]:
        found = pretraining_losses("next word", True, loss, seed=9, steps=120)
        curve = [float(number) for number in found["curve_std"].split()]
        ends[loss] = curve[-1] / curve[0]
    assert ends["distance, as written"] < 0.6
    assert ends["distance, target detached"] > 0.9
    with pytest.raises(ValueError, match="expected one of"):
        pretraining_losses("previous word", True, LOSSES[0], seed=0)


# What trains.


@pytest.mark.parametrize("layers", [(), ("upper",), ("embedding",), ("lower", "upper"), LAYERS])
@pytest.mark.parametrize(
    "options",
    [{}, {"gradual": True, "factor": 2.6}, {"penalty": "L2-SP", "strength": 0.1}, {"lam": 0.5}],
)
def test_frozen_parameters_are_bit_identical(layers, options):
    model = make_model()
    tune(model, TEXTS, **QUICK)  # gradients lie in their buffers
    before = weights(model)
    tune(model, TEXTS, layers=layers, **{**QUICK, **options})
    for name, old in before.items():
        frozen = name.startswith("encoder.") and name.split(".")[1] not in layers
        if frozen:
            assert torch.equal(old, model.get_parameter(name)), name
        elif name.startswith("head"):
            assert not torch.equal(old, model.get_parameter(name)), name


def test_freezing_survives_momentum_and_decay():
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    for step in range(6):
        if step == 3:
            set_trainable(model, ("upper",))
            before = weights(model, "encoder.lower")
        optimizer.zero_grad(set_to_none=False)
        class_loss(model, TEXTS).backward()
        optimizer.step()
    assert all(torch.equal(old, model.get_parameter(name)) for name, old in before.items())
    with pytest.raises(ValueError, match="no shared layer 'top'"):
        set_trainable(model, ("top",))


def test_parameters_are_counted():
    model = make_model()
    set_trainable(model, ("upper",))
    counts = count_parameters(model)
    assert counts["embedding"] == (WORDS * 6, False)
    assert counts["upper"] == (4 * 4 * (5 + 4 + 2), True)
    assert counts["head"] == (4 * 3 + 3, True)


def test_discriminative_rates_cover_every_parameter_once():
    model = make_model()
    groups = parameter_groups(model, 0.01)
    assert [group["lr"] for group in groups] == pytest.approx([0.01 / 2.6**k for k in range(4)])
    inside = [id(p) for group in groups for p in group["params"]]
    assert sorted(inside) == sorted(id(p) for p in model.parameters())


@given(st.integers(4, 300))
@settings(max_examples=25, deadline=None)
def test_schedules(steps):
    rates = [slanted_triangular(step, steps) for step in range(steps + 1)]
    assert max(rates) <= 1 + 1e-9
    assert max(rates) > 0.9
    assert rates[-1] == pytest.approx(1 / 32)
    sizes = [len(unfrozen_layers(step, steps)) for step in range(steps)]
    assert sizes == sorted(sizes)
    assert (sizes[0], sizes[-1]) == (0, 3)


def test_penalties():
    model = make_model()
    start = {name: value.detach().clone() for name, value in model.encoder.named_parameters()}
    assert weight_penalty(model, start).item() == 0
    squares = sum(float(value.square().sum()) for value in start.values())
    assert weight_penalty(model).item() == pytest.approx(squares, rel=1e-5)
    with torch.no_grad():
        model.encoder.upper.weight_hh_l0.add_(0.1)
    weight_penalty(model, start).backward()
    gradient = model.encoder.upper.weight_hh_l0.grad
    assert torch.allclose(gradient, torch.full_like(gradient, 0.2), atol=1e-6)
    assert model.head.weight.grad is None
    set_trainable(model, ())
    assert weight_penalty(model).item() == 0


def test_l2_sp_stays_nearer_to_the_start():
    def moved(**options):
        model = make_model()
        before = weights(model, "encoder")
        tune(model, TEXTS, **{**QUICK, "steps": 40}, **options)
        return sum(
            float((model.get_parameter(n) - v).detach().square().sum()) for n, v in before.items()
        )

    free = moved()
    assert moved(penalty="L2-SP", strength=1.0) < 0.7 * free
    assert moved(penalty="weight decay", strength=1.0) > free


# The run as a whole.


def test_same_seed_same_run_and_the_labelled_batches_do_not_depend_on_lambda():
    runs = [tune(make_model(), TEXTS, lam=lam, seed=3, **QUICK) for lam in (0.5, 0.5, 0.0)]
    assert runs[0] == runs[1]
    assert runs[0].fine[0] == pytest.approx(runs[2].fine[0])
    assert tune(make_model(), TEXTS, seed=4, **QUICK).loss != runs[2].loss


def test_checks_progress_and_cancel():
    shares, model = [], make_model()
    history = tune(
        model, TEXTS, check_at=(0, 3, 6), on_check=lambda: {"x": 1.0}, progress=shares.append, **QUICK
    )  # fmt: skip
    assert [point["step"] for point in history.checks] == [0, 3, 6]
    assert shares[-1] == 1.0

    def stop(share):
        raise Cancelled

    with pytest.raises(Cancelled):
        tune(model, TEXTS, progress=stop, **QUICK)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_the_run(value):
    model = make_model()
    with torch.no_grad():
        model.head.bias[0] = value
    with pytest.raises(ValueError, match=r"at step 0; usually the learning rate"):
        tune(model, TEXTS, **QUICK)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lam": 1.5}, "between 0 and 1, got 1.5"),
        ({"lam": -0.1}, "between 0 and 1"),
        ({"rate": "cosine"}, "rate must be one of"),
        ({"penalty": "L1"}, "penalty must be one of"),
        ({"layers": ("top",)}, "no shared layer"),
        ({"lam": 0.5, "source": None}, "needs source texts"),
    ],
)
def test_bad_settings(options, message):
    with pytest.raises(ValueError, match=message):
        tune(make_model(), TEXTS, **{**QUICK, **options})


def test_labels_are_asked_for():
    with pytest.raises(ValueError, match="needs labelled"):
        tune(make_model(), None, **QUICK)
    assert len(tune(make_model(), None, lam=1.0, **QUICK).pre) == 6


# Tasks and checkpoints.


@pytest.mark.parametrize("name", tasks.TASKS)
def test_every_task_has_its_pretrained_models(name):
    task = tasks.load_task(name)
    for init in tasks.TASKS[name]:
        E = tasks.initial_embedding(task, init)
        assert E.shape[0] == len(task.vocabulary)
        assert not E[0].any()
        assert 0.5 < E[1:].std() < 1.5
        fresh, trained = (tasks.build_model(task, init, pretrained) for pretrained in (False, True))
        path = tasks.checkpoint_path(name, init)
        curve = json.loads(path.with_suffix(".json").read_text())["validation_loss"]
        told = curve[-1]["loss"]
        assert source_loss(trained, task.splits["validation"]) == pytest.approx(told, abs=0.01)
        assert source_loss(fresh, task.splits["validation"]) > told + 0.4
        assert path.stat().st_size < 3e6


def test_checkpoint_errors(tmp_path, monkeypatch):
    task = tasks.load_task()
    model = tasks.build_model(task, "random")
    monkeypatch.setattr(tasks, "data_dir", lambda: tmp_path)
    with pytest.raises(FileNotFoundError, match="tlcourse pretrain zh_reviews-random"):
        tasks.build_model(task, "random")
    tasks.save_checkpoint(model, task, "random", None)
    again = tasks.build_model(task, "random", seed=5)
    assert torch.allclose(again.lm_head.weight, model.lm_head.weight, atol=1e-3)
    assert not torch.equal(again.head.weight, model.head.weight)
    path = tasks.checkpoint_path("zh_reviews", "own vectors")
    path.write_bytes(tasks.checkpoint_path("zh_reviews", "random").read_bytes())
    other = tasks.load_task("movie_reviews")
    tasks.checkpoint_path("movie_reviews", "random").write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match="another vocabulary"):
        tasks.build_model(other, "random")
    model.other = torch.nn.Linear(1, 1)
    tasks.save_checkpoint(model, task, "random", None)
    with pytest.raises(ValueError, match="does not fit"):
        tasks.build_model(task, "random")
    with pytest.raises(ValueError, match="init must be one of"):
        tasks.build_model(task, "GloVe")
    with pytest.raises(ValueError, match="task must be one of"):
        tasks.load_task("tweets")


def test_splits_do_not_leak():
    task = tasks.load_task()
    assert task.sample(50, 0).labels.sum() == 25
    assert len(task.splits["train"]) == 13_003
    seen = {tuple(row) for row in task.splits["train"].ids[:3000].tolist()}
    tests = [tuple(row) for row in task.splits["test"].ids.tolist()]
    # Texts differ, but cut to 60 words and with rare words unknown, a few short ones agree.
    assert sum(row in seen for row in tests) < 0.02 * len(tests)


# Domains.


def test_domains():
    assert domain_of(["书", "酒店"]) is None, "a tie"
    assert domain_of(["键盘", "书", "散热"]) == "computer"
    generator = np.random.default_rng(0)
    source = np.vstack([generator.normal(0, 1, (50, 3)), generator.normal(3, 1, (50, 3))])
    found = instance_weights(source, generator.normal(3, 1, (80, 3)), C=1.0)
    assert found.mean() == pytest.approx(1)
    assert found[50:].mean() > 5 * found[:50].mean()
    with pytest.raises(ValueError, match="same d"):
        instance_weights(source, source[:, :2])


def test_relabelled_targets():
    from tlcourse.runs.domains import TARGETS, pooling, relabelled, targets

    task = tasks.load_task()
    texts = task.splits["validation"]
    shuffled = relabelled(task, "word order", "validation", 0)
    assert torch.equal(shuffled.ids.sort(1).values, texts.ids.sort(1).values)
    same = (shuffled.ids == texts.ids).all(1)
    assert same[shuffled.labels == 0].all()
    assert not same[shuffled.labels == 1].all()
    train = relabelled(task, "shuffled labels", "train", 0)
    assert train.labels.sum() == task.splits["train"].labels.sum()
    assert torch.equal(relabelled(task, "shuffled labels", "test", 0).labels, task.splits["test"].labels)  # fmt: skip
    assert set(TARGETS) >= {"sentiment", "domain"}
    with pytest.raises(ValueError, match="target must be one of"):
        targets("irony", "frozen", 0)
    with pytest.raises(ValueError, match="method must be one of"):
        pooling(DOMAINS[0], "best", 0)


def test_masked_mean_ignores_padding():
    states = torch.ones(1, 4, 2)
    states[0, 2:] = 99
    assert torch.equal(masked_mean(states, torch.tensor([2])), torch.ones(1, 2))
