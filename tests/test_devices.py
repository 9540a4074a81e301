"""Training and judging on a device: nothing stays behind on the CPU, and the run is the same."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from tests.elsewhere import DEVICE, Device
from tlcourse import mapping, multitask, training
from tlcourse.finetuning.tasks import Encoded
from tlcourse.finetuning.tuning import evaluate, source_loss, tune
from tlcourse.models import Encoder, LSTMClassifier, MultitaskModel, TransferModel
from tlcourse.multitask.gradients import probe_gradients
from tlcourse.runtime import Stream


def _embedding():
    E = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    E[0] = 0
    return E


def _texts(n, seed=0):
    draw = torch.Generator().manual_seed(seed)
    lengths = torch.randint(2, 8, (n,), generator=draw)
    ids = torch.randint(1, 20, (n, 7), generator=draw) * (torch.arange(7)[None] < lengths[:, None])
    labels = torch.randint(0, 2, (n,), generator=draw)
    return Encoded(ids, lengths, labels, torch.rand(n, generator=draw))


TEXTS, MORE = _texts(30), _texts(20, 1)
STEPS = {"steps": 4, "learning_rate": 0.01, "batch_size": 8}


def _tuned(device, **options):
    with Stream(0):
        model = TransferModel(Encoder(_embedding(), (5, 4)))
    history = tune(model, TEXTS, source=MORE, device=device, **STEPS, **options)
    return model, [*history.loss, source_loss(model, MORE), *evaluate(model, TEXTS).values()]


def _several(device, **options):
    with Stream(0):
        model = MultitaskModel(Encoder(_embedding(), (5, 4)), {"a": 2, "b": 2})
    tasks = {"a": TEXTS, "b": MORE}
    history = multitask.train_tasks(model, tasks, source=MORE, device=device, **STEPS, **options)
    judged = multitask.evaluate_tasks(model, tasks)
    sizes = probe_gradients(model, tasks).norm(dim=1).tolist()
    return model, [*history.loss, *history.weights.values(), *judged.values(), *sizes]


def _tied(device):
    models = {}
    for seed, name in enumerate(("a", "b")):
        with Stream(seed):
            models[name] = MultitaskModel(Encoder(_embedding(), (5, 4)), {name: 2})
    history = multitask.train_tied(
        models, {"a": TEXTS, "b": MORE}, strength=0.1, device=device, **STEPS
    )
    return models["b"], [*history.loss, *(check["distance"] for check in history.checks)]


def _classified(device):
    with Stream(0):
        model = LSTMClassifier(_embedding(), hidden=5)
    history = training.train_classifier(
        model, TEXTS.inputs, TEXTS.labels, epochs=2, learning_rate=0.01, device=device
    )
    return model, [*history.loss, *training.predict(model, TEXTS.inputs)[:, 1]]


def _mapped(device):
    draw = np.random.default_rng(0)
    X, Y, D = draw.normal(size=(3, 12, 5))
    found, history = mapping.fit_transfer(
        X, Y, D, np.arange(12) % 2, np.ones(5), 0.1, lam=0.5, steps=4, device=device
    )
    return None, [*history.loss, *found.W.ravel()]


RUNS = {
    "mixture": lambda device: _tuned(device, lam=0.4, l2_sp=0.1, weight_decay=0.01),
    "schedules": lambda device: _tuned(
        device, gradual=True, factor=2.0, rate="slanted triangular", frozen=("embedding",)
    ),
    "weights": lambda device: _several(device, lam=0.3, temperature=2.0),
    "uncertainty": lambda device: _several(device, method="uncertainty"),
    "PCGrad": lambda device: _several(device, method="PCGrad", lam=0.3),
    "tied trunks": _tied,
    "classifier": _classified,
    "map": _mapped,
}


@pytest.fixture
def elsewhere(monkeypatch):
    """The device that is none; its random numbers and its fused optimizer are the CPU's."""
    monkeypatch.setattr(training, "Stream", lambda seed, device: Stream(seed))
    fused = sys.modules["torch.optim.optimizer"]
    monkeypatch.setattr(fused, "_get_fused_kernels_supported_devices", lambda: ["meta", "cpu"])
    with Device():
        yield DEVICE


@pytest.mark.parametrize("name", RUNS)
def test_nothing_stays_behind_on_the_cpu(name, elsewhere):
    model, found = RUNS[name](elsewhere)
    assert model is None or {weight.device for weight in model.parameters()} == {elsewhere}
    assert found == pytest.approx(RUNS[name]("cpu")[1], rel=1e-4, abs=1e-6)


def test_the_device_that_is_none_notices_what_stays_behind(elsewhere):
    there = torch.ones(3).to(elsewhere)
    assert (there + 1).cpu().tolist() == [2, 2, 2]
    with pytest.raises(RuntimeError, match="stayed on the CPU"):
        there + torch.ones(3)
    model = LSTMClassifier(_embedding(), hidden=5).to(elsewhere)
    with pytest.raises(RuntimeError, match="stayed on the CPU"):
        model(*TEXTS.inputs)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("name", RUNS)
def test_a_run_on_cuda(name):
    model, found = RUNS[name]("cuda")
    assert model is None or {weight.device.type for weight in model.parameters()} == {"cuda"}
    assert np.isfinite(found).all()


def test_auto_takes_what_there_is(monkeypatch):
    for cuda, mps, wanted in ((True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda found=cuda: found)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda found=mps: found)
        assert training.choose_device().type == wanted
    assert training.choose_device("cpu") == torch.device("cpu")
    for strange in ("gpu", "", 3.5, None):
        with pytest.raises(ValueError, match="device must be 'auto' or a device of torch"):
            training.choose_device(strange)
