"""Lesson 3's sweeps: λ, frozen layers, schedules, R(w), and how many labels pretraining saves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.shared import curve, points
from tlcourse.finetuning.collapse import pretrain_encoder
from tlcourse.finetuning.layers import count_parameters
from tlcourse.finetuning.start import build_model
from tlcourse.finetuning.tasks import load_task
from tlcourse.finetuning.tuning import evaluate, source_loss, tune
from tlcourse.models import LAYERS

Found = dict[str, float | str]

SCHEDULES: Mapping[str, Mapping[str, Any]] = {
    "constant rate": {},
    "slanted triangular": {"rate": "slanted triangular"},
    "gradual unfreezing": {"gradual": True},
    "discriminative rates": {"factor": 2.6},
    "all three (ULMFiT)": {"rate": "slanted triangular", "gradual": True, "factor": 2.6},
    "L2-SP, α = 0.001": {"l2_sp": 0.001},
    "L2-SP, α = 0.01": {"l2_sp": 0.01},
    "L2-SP, α = 0.1": {"l2_sp": 0.1},
}

ARMS: Mapping[str, Mapping[str, Any]] = {
    "scratch": {"pretrained": False},
    "frozen": {"frozen": LAYERS},
    "fine-tuned": {},
    "joint": {"lam": 0.5},
}
"""Ways to use the pretrained encoder, and not to."""

# Learning rate of each arm, of 0.001, 0.003 and 0.01: best mean accuracy on the validation
# split over n = 50, 200, 1,000 (own vectors, three seeds).
BEST_RATE = {"scratch": 1e-3, "frozen": 1e-2, "fine-tuned": 1e-3, "joint": 1e-3}


def steps_for(n: int) -> int:
    """Updates for n labels: more labels, more steps."""
    return 100 if n < 1000 else 150


def adapt(
    n: int,
    seed: int,
    *,
    task: str = "zh_reviews",
    init: str = "own vectors",
    pretrained: bool = True,
    steps: int | None = None,
    learning_rate: float = 3e-3,
    checks: int = 0,
    **options: Any,
) -> Found:
    """Adapt a model to n labelled texts and judge it on both tasks.

    ``seed`` draws them, their order, the new head and dropout; options are of `tune`. Returns
    ``accuracy`` and ``macro_f1`` of the target task on test texts, ``pre``, the language-model loss
    on validation texts, and with ``checks`` the curves ``curve_accuracy`` (300 validation texts)
    and ``curve_pre``, of as many points.
    """
    data = load_task(task)
    model = build_model(data, init, pretrained, seed)
    held_out, steps = data.splits["validation"], steps or steps_for(n)
    probe = held_out.take(np.random.default_rng(0).permutation(len(held_out))[:300])
    history = tune(
        model, data.sample(n, seed), steps=steps, learning_rate=learning_rate, seed=seed,
        source=data.splits["train"], source_batch_size=8,
        check_at=points(checks, steps) if checks else (),
        on_check=lambda: {
            "accuracy": evaluate(model, probe)["accuracy"],
            "pre": source_loss(model, held_out, 60),
        },
        device="cpu", **options,
    )  # fmt: skip
    counted, frozen = count_parameters(model), options.get("frozen", ())
    found: Found = {
        **evaluate(model, data.splits["test"]),
        "pre": source_loss(model, held_out, 200),
        "trainable": sum(counted[layer][0] for layer in LAYERS if layer not in frozen),
    }
    for name in ("accuracy", "pre") if checks else ():
        found[f"curve_{name}"] = curve(point[name] for point in history.checks)
    return found


def mixture_lambda(lam: float, n: int, init: str, seed: int) -> Found:
    """`adapt` with λ, and its learning curves."""
    return adapt(n, seed, init=init, lam=lam, checks=5)


def freeze_and_tune(schedule: str, n: int, seed: int, **ticked: bool) -> Found:
    """`adapt` with the ticked layers frozen and one of `SCHEDULES`.

    The encoder was pretrained from random numbers: all it knows is from pretraining.
    """
    frozen = tuple(layer for layer in LAYERS if ticked[layer])
    return adapt(n, seed, init="random", frozen=frozen, **SCHEDULES[schedule])


def labels_needed(
    task: str, init: str, arm: str, n: int, seed: int, steps: int | None = None
) -> Found:
    """`adapt` by one of `ARMS`, each with its own learning rate, at equal steps."""
    options = {"learning_rate": BEST_RATE[arm], "steps": steps, **ARMS[arm]}
    return adapt(n, seed, task=task, init=init, **options)


def more_steps(arm: str, n: int, seed: int) -> Found:
    """`labels_needed` from random numbers, with several times the steps."""
    return labels_needed("zh_reviews", "random", arm, n, seed, steps=500)


def penalty_strength(penalty: str, strength: float, n: int, seed: int) -> Found:
    """`adapt` with R(w) as weight decay or L2-SP."""
    name = "l2_sp" if penalty == "L2-SP" else "weight_decay"
    return adapt(n, seed, init="random", **{name: strength})  # type: ignore[arg-type]


def orders(order: str, seed: int) -> dict[str, float]:
    """Joint training against pretraining first, from the same fresh encoder.

    All see the same number of labelled batches; those with pretraining as many batches of text.
    """
    data = load_task()
    model, held_out = build_model(data, "random", False, seed), data.splits["validation"]
    options: dict[str, Any] = {"steps": 400, "learning_rate": 3e-3, "seed": seed}
    options |= {"source": data.splits["train"], "source_batch_size": 8, "device": "cpu"}
    if order == "pretrain, then fine-tune":
        tune(model, None, lam=1.0, **options)
    before = source_loss(model, held_out, 200)
    lam = 0.5 if order == "joint, λ = 0.5" else 0.0
    tune(model, data.sample(200, seed), lam=lam, **options)
    scores = evaluate(model, data.splits["test"])
    return {**scores, "pre_before": before, "pre": source_loss(model, held_out, 200)}


def pretraining_losses(target: str, trainable: bool, loss: str, seed: int) -> Found:
    """The article's pretraining loss, which collapses, and two repairs: the embedding's curves."""
    splits = load_task().splits
    _, history = pretrain_encoder(
        splits["train"], splits["validation"], loss, target, trainable, seed=seed, device="cpu"
    )
    found: Found = {
        f"curve_{name}": curve((check[name] for check in history.checks), ".4g")
        for name in ("std", "loss", "cosine")
    }
    return {**found, "copy": history.checks[-1]["copy"]}
