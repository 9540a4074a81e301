"""Lesson 3: the mixture, freezing, schedules, penalties, checkpoints, domains."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from gensim.models.keyedvectors import KeyedVectors
from hypothesis import given, settings
from hypothesis import strategies as st

from tlcourse.data.own import load_labelled
from tlcourse.data.text import Vocabulary
from tlcourse.finetuning import start, tasks
from tlcourse.finetuning.collapse import PRETRAINING_LOSSES, pretrain_encoder
from tlcourse.finetuning.domains import DOMAINS, domain_of, instance_weights
from tlcourse.finetuning.layers import (
    count_parameters,
    freeze,
    l2_sp,
    parameter_groups,
    squared_norm,
    unfrozen_layers,
    weights_of,
)
from tlcourse.finetuning.losses import (
    class_loss,
    distance_loss,
    mixture,
    next_word_loss,
)
from tlcourse.finetuning.tasks import Encoded
from tlcourse.finetuning.tuning import evaluate, slanted_triangular, source_loss, tune
from tlcourse.models import LAYERS, Encoder, TransferModel, last_state, masked_mean
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
        model = start.build_model(task)
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
    assert history.loss == history.parts["fine"]
    assert "pre" not in history.parts
    assert all(torch.equal(old, new) for old, new in zip(before.values(), weights(model, "lm_head").values(), strict=True))  # fmt: skip
    model = make_model()
    before = weights(model, "head")
    history = tune(model, TEXTS, lam=1.0, **QUICK)
    assert history.loss == history.parts["pre"]
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
    splits, ends = tasks.load_task().splits, {}
    for loss in PRETRAINING_LOSSES[:2]:
        _, history = pretrain_encoder(
            splits["train"], splits["validation"], loss, steps=120, seed=9, device="cpu"
        )
        ends[loss] = history.checks[-1]["std"] / history.checks[0]["std"]
    assert ends["distance, as written"] < 0.6
    assert ends["distance, target detached"] > 0.9
    with pytest.raises(ValueError, match="target must be one of"):
        pretrain_encoder(splits["train"], splits["validation"], target="previous word")


# What trains.


@pytest.mark.parametrize("frozen", [(), ("upper",), ("embedding",), 1, LAYERS])
@pytest.mark.parametrize(
    "options", [{}, {"gradual": True, "factor": 2.6}, {"l2_sp": 0.1}, {"lam": 0.5}]
)
def test_frozen_parameters_are_bit_identical(frozen, options):
    model = make_model()
    tune(model, TEXTS, **QUICK)  # gradients lie in their buffers
    before = weights(model)
    tune(model, TEXTS, frozen=frozen, **{**QUICK, **options})
    names = ("embedding", "lower") if frozen == 1 else frozen
    for name, old in before.items():
        if name.startswith("encoder.") and name.split(".")[1] in names:
            assert torch.equal(old, model.get_parameter(name)), name
        elif name.startswith("head"):
            assert not torch.equal(old, model.get_parameter(name)), name


def test_freezing_survives_momentum_and_decay():
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    for step in range(6):
        if step == 3:
            freeze(model, 1)
            before = weights(model, "encoder.lower")
        optimizer.zero_grad(set_to_none=False)
        class_loss(model, TEXTS).backward()
        optimizer.step()
    assert all(torch.equal(old, model.get_parameter(name)) for name, old in before.items())
    with pytest.raises(
        ValueError, match=r"each of frozen must be one of \('embedding', .* got 'top'"
    ):
        freeze(model, ("top",))
    with pytest.raises(ValueError, match="frozen must be a whole number, at least 0, at most 2"):
        freeze(model, 3)


def test_parameters_are_counted():
    model = make_model()
    freeze(model, 1)
    counts = count_parameters(model)
    assert counts["embedding"] == (WORDS * 6, False)
    assert counts["upper"] == (4 * 4 * (5 + 4 + 2), True)
    assert counts["head"] == (4 * 3 + 3, True)


def test_discriminative_rates_cover_every_parameter_once():
    model = make_model()
    groups = parameter_groups(model, 0.01)
    rates = sorted((group["lr"] for group in groups), reverse=True)
    assert rates == pytest.approx([0.01 / 2.6**k for k in range(4)])
    rate_of = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert rate_of[id(model.head.weight)] == rate_of[id(model.lm_head.weight)] == 0.01
    assert rate_of[id(model.encoder.embedding.weight)] == pytest.approx(0.01 / 2.6**3)
    inside = [id(p) for group in groups for p in group["params"]]
    assert sorted(inside) == sorted(id(p) for p in model.parameters())


@given(st.integers(4, 300))
@settings(max_examples=25, deadline=None)
def test_schedules(steps):
    rates = [slanted_triangular(step, steps) for step in range(steps + 1)]
    assert max(rates) <= 1 + 1e-9
    assert max(rates) > 0.9
    assert rates[-1] == pytest.approx(1 / 32)
    sizes = [len(unfrozen_layers(step, steps, LAYERS)) for step in range(steps)]
    assert sizes == sorted(sizes)
    assert (sizes[0], sizes[-1]) == (0, 3)


def test_penalties():
    model = make_model()
    begun = weights_of(model.encoder)
    assert l2_sp(model.encoder, begun).item() == 0
    squares = sum(float(value.square().sum()) for value in begun.values())
    assert squared_norm(model.encoder).item() == pytest.approx(squares, rel=1e-5)
    with torch.no_grad():
        model.encoder.upper.weight_hh_l0.add_(0.1)
    l2_sp(model.encoder, begun).backward()
    gradient = model.encoder.upper.weight_hh_l0.grad
    assert torch.allclose(gradient, torch.full_like(gradient, 0.2), atol=1e-6)
    assert model.head.weight.grad is None
    freeze(model, LAYERS)
    assert squared_norm(model.encoder).item() == 0


def test_l2_sp_of_any_module():
    net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    begun = weights_of(net)
    with torch.no_grad():
        net[0].weight.add_(0.5)
        net[2].bias.sub_(2.0)
    assert l2_sp(net, begun).item() == pytest.approx(6 * 0.25 + 2 * 4, rel=1e-5)
    del begun["2.bias"]  # a new head has no start
    assert l2_sp(net, begun).item() == pytest.approx(1.5, rel=1e-5)
    net[0].weight.requires_grad_(False)
    assert l2_sp(net, begun).item() == 0
    with pytest.raises(ValueError, match="start must have the names of the module's weights"):
        l2_sp(net, {"weight": torch.zeros(1)})


def test_l2_sp_stays_nearer_to_the_start():
    def moved(**options):
        model = make_model()
        before = weights(model, "encoder")
        tune(model, TEXTS, **{**QUICK, "steps": 40}, **options)
        return sum(
            float((model.get_parameter(n) - v).detach().square().sum()) for n, v in before.items()
        )

    free = moved()
    assert moved(l2_sp=1.0) < 0.7 * free
    assert moved(weight_decay=1.0) > free


# The run as a whole.


def test_same_seed_same_run_and_the_labelled_batches_do_not_depend_on_lambda():
    runs = [tune(make_model(), TEXTS, lam=lam, seed=3, **QUICK) for lam in (0.5, 0.5, 0.0)]
    assert runs[0] == runs[1]
    assert runs[0].parts["fine"][0] == pytest.approx(runs[2].parts["fine"][0])
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
    with pytest.raises(ValueError, match=r"at step 0, before any update"):
        tune(model, TEXTS, **QUICK)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lam": 1.5}, "between 0 and 1, got 1.5"),
        ({"lam": -0.1}, "between 0 and 1"),
        ({"rate": "cosine"}, "rate must be one of"),
        ({"l2_sp": math.nan}, "l2_sp must be at least 0"),
        ({"frozen": ("top",)}, "each of frozen must be one of"),
        ({"frozen": 3}, "frozen must be a whole number"),
        ({"device": "gpu"}, "device must be 'auto' or a device of torch"),
        ({"lam": 0.5, "source": None}, "needs source texts"),
    ],
)
def test_bad_settings(options, message):
    with pytest.raises(ValueError, match=message):
        tune(make_model(), TEXTS, **{**QUICK, **options})


def test_labels_are_asked_for():
    with pytest.raises(ValueError, match="needs labelled"):
        tune(make_model(), None, **QUICK)
    assert len(tune(make_model(), None, lam=1.0, **QUICK).parts["pre"]) == 6


# Tasks and checkpoints.


@pytest.mark.parametrize("name", tasks.TASKS)
def test_every_task_has_its_pretrained_models(name):
    task = tasks.load_task(name)
    for init in tasks.TASKS[name]:
        E = start.initial_embedding(task, init)
        assert E.shape[0] == len(task.vocabulary)
        assert not E[0].any()
        assert 0.5 < E[1:].std() < 1.5
        fresh, trained = (start.build_model(task, init, pretrained) for pretrained in (False, True))
        path = start.checkpoint_path(name, init)
        curve = json.loads(path.with_suffix(".json").read_text())["validation_loss"]
        told = curve[-1]["loss"]
        assert source_loss(trained, task.splits["validation"]) == pytest.approx(told, abs=0.01)
        assert source_loss(fresh, task.splits["validation"]) > told + 0.4
        assert path.stat().st_size < 3e6


def test_checkpoint_errors(tmp_path, monkeypatch):
    task = tasks.load_task()
    model = start.build_model(task, "random")
    monkeypatch.setattr(start, "data_dir", lambda: tmp_path)
    with pytest.raises(FileNotFoundError, match="tlcourse pretrain zh_reviews-random"):
        start.build_model(task, "random")
    start.save_checkpoint(model, task, "random", None)
    again = start.build_model(task, "random", seed=5)
    assert torch.allclose(again.lm_head.weight, model.lm_head.weight, atol=1e-3)
    assert not torch.equal(again.head.weight, model.head.weight)
    path = start.checkpoint_path("zh_reviews", "own vectors")
    path.write_bytes(start.checkpoint_path("zh_reviews", "random").read_bytes())
    other = tasks.load_task("movie_reviews")
    start.checkpoint_path("movie_reviews", "random").write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match="another vocabulary"):
        start.build_model(other, "random")
    model.other = torch.nn.Linear(1, 1)
    start.save_checkpoint(model, task, "random", None)
    with pytest.raises(ValueError, match="does not fit"):
        start.build_model(task, "random")
    with pytest.raises(ValueError, match="init must be one of"):
        start.build_model(task, "GloVe")
    with pytest.raises(ValueError, match="name must be one of"):
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
    from experiments.domains import TARGETS, pooling, relabelled, targets

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


# Threads, frozen parameters, and settings that do not fit.


def test_threads_tune_as_if_alone_and_leave_torchs_state_as_it_was():
    def run(seed):
        return tune(make_model(), TEXTS, lam=0.5, seed=seed, **{**QUICK, "steps": 30}).loss

    torch.manual_seed(3)
    model, before = make_model(), torch.get_rng_state()
    tune(model, TEXTS, **QUICK)
    assert torch.equal(torch.get_rng_state(), before)
    alone = {seed: run(seed) for seed in (1, 2)}
    inside = []

    def other(share):
        if not inside:
            inside.append(run(2))

    between = tune(make_model(), TEXTS, lam=0.5, seed=1, progress=other, **{**QUICK, "steps": 30})
    assert between.loss == alone[1]
    assert inside == [alone[2]]


def test_making_a_model_leaves_torchs_state_as_it_was():
    task = tasks.load_task()
    one = start.build_model(task, "random", False, seed=4)
    before = torch.get_rng_state()
    torch.rand(3)
    between = torch.get_rng_state()
    other = start.build_model(task, "random", False, seed=4)
    assert torch.equal(torch.get_rng_state(), between)
    assert not torch.equal(before, between)
    assert torch.equal(one.head.weight, other.head.weight)


@pytest.mark.parametrize("options", [{}, {"gradual": True}, {"frozen": ("embedding",)}])
def test_what_was_frozen_stays_frozen(options):
    model = make_model()
    tune(model, TEXTS, **QUICK)  # gradients lie in their buffers
    freeze(model, ("embedding", "lower"))
    model.encoder.upper.bias_hh_l0.requires_grad_(False)
    asked = {name: p.requires_grad for name, p in model.named_parameters()}
    before = weights(model)
    tune(model, TEXTS, **{**QUICK, **options})
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == asked[name], name
        if not name.startswith("lm_head"):  # λ = 0 leaves it alone
            assert torch.equal(before[name], parameter) != asked[name], name


def test_layers_are_chosen_for_one_run():
    model = make_model()
    with pytest.raises(Cancelled):
        tune(model, TEXTS, frozen=LAYERS, progress=_stop, **QUICK)
    assert all(p.requires_grad for p in model.parameters())
    before = weights(model)
    tune(model, TEXTS, **QUICK)
    assert not torch.equal(before["encoder.lower.bias_hh_l0"], model.encoder.lower.bias_hh_l0)


def _stop(share):
    raise Cancelled


def test_a_model_that_is_frozen_as_a_whole_is_refused():
    model = make_model().requires_grad_(False)
    with pytest.raises(ValueError, match="nothing trains: all parameters"):
        tune(model, TEXTS, **QUICK)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": -1e-3}, "learning_rate must be above 0, got -0.001"),
        ({"steps": 0}, "steps must be a whole number, at least 1"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"source_batch_size": -1}, "source_batch_size must be"),
        ({"l2_sp": -5}, "l2_sp must be at least 0, got -5"),
        ({"weight_decay": -1}, "weight_decay must be at least 0"),
        ({"factor": -2}, "factor must be above 0"),
    ],
)
def test_settings_that_did_nonsense_in_silence(options, message):
    with pytest.raises(ValueError, match=message):
        tune(make_model(), TEXTS, **{**QUICK, **options})


def test_schedules_say_where_they_end():
    assert unfrozen_layers(10, 10, LAYERS) == unfrozen_layers(99, 10, LAYERS) == LAYERS
    with pytest.raises(ValueError, match="step must be"):
        unfrozen_layers(-1, 10, LAYERS)
    with pytest.raises(ValueError, match="steps must be"):
        unfrozen_layers(0, 0, LAYERS)
    with pytest.raises(ValueError, match="at most 100; got 200"):
        slanted_triangular(200, 100)
    with pytest.raises(ValueError, match="cut must lie between 0 and 1"):
        slanted_triangular(2, 100, cut=3)
    with pytest.raises(ValueError, match="factor must be above 0, got -2"):
        parameter_groups(make_model(), 0.1, factor=-2)
    with pytest.raises(TypeError, match="lam must be a number"):
        mixture(torch.tensor(1.0), torch.tensor(2.0), "0.5")
    with pytest.raises(TypeError, match=r"write \('upper',\)"):
        freeze(make_model(), "upper")


def test_texts_that_do_not_fit():
    bare = Encoded(TEXTS.ids, TEXTS.lengths)
    with pytest.raises(ValueError, match="texts must hold labelled texts; got 24 texts without"):
        evaluate(make_model(), bare)
    with pytest.raises(ValueError, match="batch must hold labelled texts"):
        class_loss(make_model(), bare)
    with pytest.raises(ValueError, match=r"weights must have shape \(24,\), .* got \(24, 1\)"):
        Encoded(TEXTS.ids, TEXTS.lengths, TEXTS.labels, torch.ones(24, 1))
    with pytest.raises(ValueError, match=r"target\.labels must be class numbers 0 … 2"):
        tune(make_model(), Encoded(TEXTS.ids, TEXTS.lengths, TEXTS.labels + 1), **QUICK)
    with pytest.raises(ValueError, match="ids must be word numbers 0 … 29"):
        tune(make_model(), Encoded(TEXTS.ids + 30, TEXTS.lengths, TEXTS.labels), **QUICK)
    with pytest.raises(ValueError, match="limit must be"):
        source_loss(make_model(), TEXTS, -5)
    with pytest.raises(ValueError, match="target must hold texts, at least one; got none"):
        tune(make_model(), TEXTS.take([]), **QUICK)
    for call in (
        lambda: tune(make_model(), ["a fine film"], **QUICK),
        lambda: tune(make_model(), TEXTS, **{**QUICK, "source": ["a fine film"]}),
        lambda: evaluate(make_model(), ["a fine film"]),
        lambda: source_loss(make_model(), None),
    ):
        with pytest.raises(TypeError, match=r"must be Encoded, as task.encode\(texts, labels\) gi"):
            call()


def test_rows_are_numbers_or_a_mask():
    positive = TEXTS.labels == 1
    for mask in (positive, positive.numpy(), positive.tolist(), pd.Series(positive.numpy())):
        assert torch.equal(TEXTS.take(mask).ids, TEXTS.ids[positive])
    assert torch.equal(TEXTS.take([-1, 0]).lengths, TEXTS.lengths[[23, 0]])
    assert len(TEXTS.take([])) == 0
    with pytest.raises(ValueError, match="must have 24 entries"):
        TEXTS.take(positive[:5])
    with pytest.raises(IndexError, match=r"between -24 and 23, got \[24\]"):
        TEXTS.take([0, 24])
    with pytest.raises(TypeError, match="whole numbers"):
        TEXTS.take([0.5])
    with pytest.raises(ValueError, match="rows"):
        TEXTS.take([[0, 1]])


def test_a_loaded_task_is_the_callers_own():
    train = tasks.load_task().splits["train"]
    kept = train.labels.clone()
    train.labels[:] = 0
    train.ids[:] = 0
    again = tasks.load_task().splits["train"]
    assert torch.equal(again.labels, kept)
    assert again.ids.any()


def test_a_task_of_ones_own_has_a_model(tmp_path):
    rows = [f"a {'fine' if i % 2 else 'dull'} film number {i},{i % 2}" for i in range(60)]
    (tmp_path / "own.csv").write_text("\n".join(["text,label", *rows]))
    dataset = load_labelled(tmp_path / "own.csv")
    task = tasks.encode_task("mine", dataset, Vocabulary.build(dataset.tokens))
    model = start.build_model(task, "random", pretrained=False)
    assert evaluate(model, task.splits["train"])["accuracy"] > 0
    with pytest.raises(ValueError, match=r"init must be one of .* got 'mapped vectors'"):
        start.build_model(task, "mapped vectors", pretrained=False)
    with pytest.raises(FileNotFoundError, match="take pretrained=False"):
        start.build_model(task, "random")


def _own(n=40):
    texts = [f"a {'fine' if i % 2 else 'dull'} film number {i}" for i in range(n)]
    return texts, ["good" if i % 2 else "bad" for i in range(n)]


@pytest.mark.parametrize("names", [("bad", "good"), (3, 7)])
def test_a_model_for_texts_of_ones_own(names):
    texts, words = _own()
    labels = [names[word == "good"] for word in words]
    vectors = KeyedVectors(7)
    vectors.add_vectors(["fine", "dull"], np.eye(2, 7, dtype=np.float32))
    model, task = start.build(texts, labels, vectors=vectors, hidden=(12, 8))
    assert task.classes == names
    assert len(task.splits["train"]) == 40
    assert model.encoder.embedding.weight.shape == (len(task.vocabulary), 7)
    row = model.encoder.embedding.weight[task.vocabulary.index["fine"]].detach().numpy()
    fine = (vectors["fine"] - vectors.vectors.mean(0)) / vectors.vectors.std()
    assert row == pytest.approx(fine)
    plain = task.encode(["one more film", "and another film of some length"])
    assert plain.labels is None
    movies = tasks.load_task("movie_reviews").dataset
    with pytest.raises(ValueError, match=r"texts must have the classes .* got \('rotten'"):
        task.encode(movies)
    embedding = model.encoder.embedding.weight.clone()
    history = tune(
        model, task.encode(texts, labels), source=plain, lam=0.5, frozen=("embedding",),
        steps=60, learning_rate=0.02, device="cpu",
    )  # fmt: skip
    assert history.loss[-1] < history.loss[0]
    assert torch.equal(model.encoder.embedding.weight, embedding)
    new = task.encode(["a fine play", "a dull play"], [names[1], names[0]])
    assert new.labels.tolist() == [1, 0]
    assert evaluate(model, new)["accuracy"] == 1
    assert predict(model, new.inputs).argmax(1).tolist() == [1, 0]
    assert source_loss(model, plain) > 0


def test_a_data_set_of_ones_own_keeps_its_splits():
    movies = tasks.load_task("movie_reviews").dataset
    some = movies.take(range(0, 1200, 3))
    model, task = start.build(some, max_words=300, max_length=20)
    assert task.classes == ("rotten", "fresh")
    assert len(task.vocabulary) == 302
    assert len(task.splits["train"]) == (some.split == "train").sum()
    tune(model, task.sample(40, 0), steps=2, device="cpu")
    assert 0 <= evaluate(model, task.splits["test"])["accuracy"] <= 1


def test_a_pretrained_model_of_ones_own_is_kept_and_found_again(tmp_path):
    model, task = start.build(*_own())
    start.save_checkpoint(model, task, "mine", tmp_path)
    again, _ = start.build(*_own(), seed=3)
    start.load_checkpoint(again, task, "mine", tmp_path)
    assert torch.allclose(again.lm_head.weight, model.lm_head.weight, atol=1e-3)


def test_labels_of_ones_own_are_checked():
    texts, labels = _own(4)
    _, task = start.build(texts, labels)
    assert tasks.class_numbers(np.array([1, 0]), ("bad", "good")).tolist() == [1, 0]
    assert tasks.class_numbers(pd.Series(["good", "bad"]), ("bad", "good")).tolist() == [1, 0]
    assert tasks.class_numbers(torch.tensor([7, 3]), (3, 7)).tolist() == [1, 0]
    fail = [
        (lambda: start.build(texts[0], labels), TypeError, "texts must be a sequence of texts"),
        (lambda: start.build(texts, "good"), TypeError, "labels must be a sequence, one a text"),
        (lambda: start.build(texts), ValueError, "labels must have 4 entries, .* got 0"),
        (lambda: start.build(texts, labels[:3]), ValueError, "labels must have 4 entries"),
        (lambda: start.build(texts, [1, "a", 1, 2]), TypeError, "all names or all whole numbers"),
        (lambda: start.build(texts, [0.5] * 4), TypeError, "all names or all whole numbers"),
        (lambda: start.build(texts, [1] * 4), ValueError, "at least two classes"),
        (lambda: start.build([], []), ValueError, "texts needs at least 1 text"),
        (lambda: start.build(texts, labels, language="fr"), ValueError, "language must be one of"),
        (lambda: start.build(texts, labels, max_words=0), ValueError, "max_words must be"),
        (
            lambda: start.build(texts, labels, vectors={"a": [1]}),
            TypeError,
            "vectors must be Keyed",
        ),
        (
            lambda: task.encode(texts, ["good", "bad", "fair", "bad"]),
            ValueError,
            "labels must be am",
        ),
        (lambda: task.encode(texts, labels[:3]), ValueError, r"labels must have shape \(4,\)"),
        (lambda: tasks.class_numbers([0, 7], (3, 7)), ValueError, r"among \(3, 7\), got \[0\]"),
        (lambda: tasks.as_dataset(texts), TypeError, r"data must be a TextDataset or \(texts, lab"),
    ]
    for call, error, words in fail:
        with pytest.raises(error, match=words):
            call()
