from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tlcourse import training
from tlcourse.models import LSTMClassifier, last_state, masked_mean
from tlcourse.scores import scores


def _model(seed=0):
    embedding = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    embedding[0] = 0
    with training.Stream(seed):
        return LSTMClassifier(embedding, hidden=5)


def _data(n=40, seed=0):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, 20, (n, 8), generator=generator)
    lengths = torch.randint(1, 9, (n,), generator=generator)
    ids = ids * (torch.arange(8)[None] < lengths[:, None])
    return ids, lengths, (ids[:, 0] > 10).long()


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 100), st.integers(1, 6))
def test_padding_never_changes_a_prediction(seed, extra):
    ids, lengths, _ = _data(6, seed)
    model = _model().eval()
    longer = torch.cat([ids, torch.zeros(6, extra, dtype=torch.long)], dim=1)
    noisy = longer.clone()
    noisy[torch.arange(8 + extra)[None] >= lengths[:, None]] = 7
    with torch.no_grad():
        plain = model(ids, lengths)
        assert torch.allclose(plain, model(longer, lengths), atol=1e-6)
        assert torch.allclose(plain, model(noisy, lengths), atol=1e-6)
        alone = torch.cat([model(ids[i : i + 1], lengths[i : i + 1]) for i in range(6)])
        assert torch.allclose(plain, alone, atol=1e-6)


def test_masked_mean():
    states = torch.tensor([[[1.0], [3.0], [100.0]]])
    assert masked_mean(states, torch.tensor([2])).item() == 2
    assert masked_mean(states, torch.tensor([0])).item() == 0


def test_a_classifier_learns_and_is_repeatable():
    ids, lengths, labels = _data(200)
    runs = []
    for _ in range(2):
        model = _model()
        history = training.train_classifier(
            model, (ids, lengths), labels, epochs=15, learning_rate=0.02, seed=1,
            on_epoch=lambda m=model: scores(labels.numpy(), training.predict(m, (ids, lengths)).argmax(1)),
        )  # fmt: skip
        runs.append(history)
    assert runs[0].loss == runs[1].loss
    assert [check["step"] for check in runs[0].checks] == [7 * epoch for epoch in range(1, 16)]
    assert runs[0].checks[-1]["accuracy"] > 0.85
    assert runs[0].loss[-1] < runs[0].loss[0]


def test_frozen_embedding_stays_bit_identical():
    ids, lengths, labels = _data()
    model = _model()
    before = model.embedding.weight.clone()
    training.train_classifier(
        model, (ids, lengths), labels, epochs=2, learning_rate=0.1, weight_decay=0.1
    )
    assert torch.equal(before, model.embedding.weight)


def test_nan_stops_with_step_and_cause():
    ids, lengths, labels = _data()
    with pytest.raises(ValueError, match=r"at step \d+; usually the learning rate is too high"):
        training.check_finite(float("nan"), 7)
    model = _model()
    model.head.weight.data.fill_(float("inf"))
    with pytest.raises(ValueError, match="at step 0, before any update: the inputs, or the weig"):
        training.train_classifier(model, (ids, lengths), labels, epochs=1, learning_rate=0.1)


def test_cancel_and_bad_input():
    ids, lengths, labels = _data()

    def stop(share):
        raise training.Cancelled

    with pytest.raises(training.Cancelled):
        training.train_classifier(
            _model(), (ids, lengths), labels, epochs=1, learning_rate=0.1, progress=stop
        )
    with pytest.raises(ValueError, match="same number of rows"):
        training.train_classifier(_model(), (ids, lengths), labels[:3], epochs=1, learning_rate=0.1)


# Streams of random numbers.


def _fitted(seed, **options):
    ids, lengths, labels = _data(60)
    return training.train_classifier(
        _model(), (ids, lengths), labels, epochs=3, learning_rate=0.02, seed=seed, **options
    ).loss


def test_a_stream_is_what_torch_draws_after_seeding():
    torch.manual_seed(5)
    wanted = torch.rand(6)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    stream, found = training.Stream(5), []
    for _ in range(3):
        with stream:
            found.append(torch.rand(2))
        torch.rand(1)
    assert torch.equal(torch.cat(found), wanted)
    torch.set_rng_state(before)
    with pytest.raises(training.Cancelled), stream:
        raise training.Cancelled
    assert torch.equal(torch.get_rng_state(), before)


def test_what_runs_between_two_steps_changes_nothing_and_nothing_of_the_callers():
    alone, other = _fitted(1), _fitted(2)
    torch.manual_seed(7)
    before, inside = torch.get_rng_state(), []
    assert _fitted(1, progress=lambda share: inside or inside.append(_fitted(2))) == alone
    assert inside == [other]
    assert torch.equal(torch.get_rng_state(), before)


def test_threads_train_as_if_alone():
    alone = {seed: _fitted(seed) for seed in (1, 2, 3)}
    found = {}
    threads = [
        threading.Thread(target=lambda s=seed: found.update({s: _fitted(s)})) for seed in alone
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, losses in alone.items():
        assert found[seed] == pytest.approx(losses, rel=1e-4)


# What came and does not fit.


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epochs": 0}, "epochs must be a whole number, at least 1; got 0"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"learning_rate": -1e-3}, "learning_rate must be above 0"),
        ({"weight_decay": -1.0}, "weight_decay must be at least 0"),
    ],
)
def test_settings_out_of_range(change, words):
    ids, lengths, labels = _data()
    with pytest.raises(ValueError, match=words):
        training.train_classifier(
            _model(), (ids, lengths), labels, **{"epochs": 1, "learning_rate": 0.1, **change}
        )


def test_a_classifier_says_what_is_wrong_with_inputs_labels_or_model():
    ids, lengths, labels = _data()
    options = {"epochs": 1, "learning_rate": 0.1}
    with pytest.raises(ValueError, match="labels must be class numbers 0 … 1"):
        training.train_classifier(_model(), (ids, lengths), labels + 1, **options)
    with pytest.raises(ValueError, match=r"ids must be word numbers 0 … 19, got .* 99"):
        training.train_classifier(_model(), (ids.clamp(max=5) + 94, lengths), labels, **options)
    frozen = _model().requires_grad_(False)
    with pytest.raises(ValueError, match="nothing trains"):
        training.train_classifier(frozen, (ids, lengths), labels, **options)
    linear, X = torch.nn.Linear(3, 2), torch.full((40, 3), float("nan"))
    with pytest.raises(ValueError, match=r"inputs\[0\] must be finite"):
        training.train_classifier(linear, (X,), labels, **options)
    with pytest.raises(ValueError, match="no row"):
        training.predict(_model(), (ids[:0], lengths[:0]))


def test_lengths_must_fit_the_states():
    for pool in (masked_mean, last_state):
        with pytest.raises(ValueError, match=r"between 0 and 3, the positions .*; got 6 … 6"):
            pool(torch.ones(1, 3, 1), [6])
        with pytest.raises(ValueError, match="lengths"):
            pool(torch.ones(2, 3, 1), torch.tensor([1]))
    assert masked_mean(torch.ones(1, 3, 1), [3]).item() == 1


def test_predict_by_name_runs_without_needless_padding_and_keeps_the_order():
    seen = []

    class Reader(torch.nn.Module):
        def forward(self, input_ids, attention_mask, sign=1):
            seen.append(tuple(input_ids.shape))
            total = (input_ids * attention_mask).sum(1).float() * sign
            return SimpleNamespace(logits=torch.stack([total, -total], 1) / 100)

    ids, lengths, _ = _data(10)
    inputs = {"input_ids": ids, "attention_mask": (ids > 0).long()}
    wanted = (torch.stack([ids.sum(1), -ids.sum(1)], 1) / 100).softmax(1).numpy()
    assert training.predict(Reader(), inputs, batch_size=4) == pytest.approx(wanted)
    assert [shape[1] for shape in seen] == [
        int(part.max()) for part in lengths.sort().values.split(4)
    ]
    assert training.predict(Reader(), inputs, sign=-1) == pytest.approx(wanted[:, ::-1])


def test_history_keeps_what_a_step_had():
    history = training.History()
    history.add(1.0, {"a": 0.5})
    history.add(2.0, {"b": 0.25})
    assert history.loss == [1.0, 2.0]
    assert history.parts["a"][0] == 0.5
    assert history.parts["b"][1] == 0.25
    assert np.isnan([history.parts["a"][1], history.parts["b"][0]]).all()


def test_one_loop_with_all_it_offers():
    weight = torch.nn.Parameter(torch.tensor([2.0]))
    rates, steps, shares = [], [], []
    optimizer = torch.optim.SGD([weight], lr=0.5)

    def loss_of(step):
        rates.append(optimizer.param_groups[0]["lr"])
        return weight.square().sum(), {"size": abs(weight.item())}

    history = training.train(
        loss_of, optimizer, steps=4, first=1, rate=training.linear_schedule(4, 2), clip=(),
        after_step=steps.append, check_at=(0, 2, 4), on_check=lambda: {"w": weight.item()},
        progress=shares.append,
    )  # fmt: skip
    assert rates == [0.25, 0.5, 0.25]
    assert steps == [2, 3, 4]
    assert [check["step"] for check in history.checks] == [2, 4], "what was stopped goes on"
    assert shares == [0.5, 0.75, 1.0]
    assert history.parts["size"][0] == 2.0
    assert weight.item() == pytest.approx(2 * 0.5 * 0 * 0.5)
    with pytest.raises(ValueError, match="nothing trains"):
        training.train(lambda step: torch.ones(()), optimizer, steps=1)


def test_gradients_are_clipped_group_by_group():
    one, other = (torch.nn.Parameter(torch.full((4,), 10.0)) for _ in range(2))
    optimizer = torch.optim.SGD([one, other], lr=1.0)
    loss_of = lambda step: (one.square() + 3 * other.square()).sum()  # noqa: E731
    training.train(loss_of, optimizer, steps=1, clip=[[one], [other]])
    for moved in (one, other):
        assert (10 - moved).norm().item() == pytest.approx(1, rel=1e-4)
    with torch.no_grad():
        one.fill_(10.0)
        other.fill_(10.0)
    training.train(loss_of, optimizer, steps=1)
    moved = torch.cat([10 - one, 10 - other])
    assert moved.norm().item() == pytest.approx(1, rel=1e-4)
