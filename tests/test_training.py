from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tlcourse import training
from tlcourse.encoders import LSTMClassifier, masked_mean


def _model(seed=0):
    training.seed_everything(seed)
    embedding = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    embedding[0] = 0
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


def test_fit_learns_and_is_repeatable():
    ids, lengths, labels = _data(200)
    runs = []
    for _ in range(2):
        model = _model()
        history = training.fit(
            model, (ids, lengths), labels, epochs=15, learning_rate=0.02, seed=1,
            on_epoch=lambda epoch, m=model: training.scores(labels.numpy(), training.predict(m, (ids, lengths)).argmax(1)),
        )  # fmt: skip
        runs.append(history)
    assert runs[0].loss == runs[1].loss
    assert len(runs[0].accuracy) == 15
    assert runs[0].accuracy[-1] > 0.85
    assert runs[0].loss[-1] < runs[0].loss[0]


def test_frozen_embedding_stays_bit_identical():
    ids, lengths, labels = _data()
    model = _model()
    before = model.embedding.weight.clone()
    training.fit(model, (ids, lengths), labels, epochs=2, learning_rate=0.1, weight_decay=0.1)
    assert torch.equal(before, model.embedding.weight)


def test_nan_stops_with_step_and_cause():
    ids, lengths, labels = _data()
    with pytest.raises(ValueError, match=r"at step \d+; usually the learning rate is too high"):
        training.check_finite(float("nan"), 7)
    model = _model()
    model.head.weight.data.fill_(float("inf"))
    with pytest.raises(ValueError, match="at step 0"):
        training.fit(model, (ids, lengths), labels, epochs=1, learning_rate=0.1)


def test_cancel_and_bad_input():
    ids, lengths, labels = _data()

    def stop(share):
        raise training.Cancelled

    with pytest.raises(training.Cancelled):
        training.fit(_model(), (ids, lengths), labels, epochs=1, learning_rate=0.1, progress=stop)
    with pytest.raises(ValueError, match="same number of rows"):
        training.fit(_model(), (ids, lengths), labels[:3], epochs=1, learning_rate=0.1)
