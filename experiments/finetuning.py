"""Lesson 3's sweeps: λ, frozen layers, schedules, R(w), and how many labels pretraining saves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.engine import Settings, Sweep
from tlcourse.finetuning.layers import count_parameters
from tlcourse.finetuning.start import build_model
from tlcourse.finetuning.tasks import TASKS, load_task
from tlcourse.finetuning.tuning import evaluate, source_loss, tune
from tlcourse.models import LAYERS
from tlcourse.training import Progress

LABELS = (50, 200, 1000)
FROZEN_LABELS = (100, 1000)
MANY_LABELS = (20, 50, 100, 200, 500, 1000, 2000)
CHECKS = 5
INITS = TASKS["zh_reviews"]

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

ORDERS = ("fine-tune only", "pretrain, then fine-tune", "joint, λ = 0.5")

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
    split: str = "test",
    learning_rate: float = 3e-3,
    checks: int = 0,
    progress: Progress | None = None,
    **options: Any,
) -> dict[str, float | str]:
    """Adapt a model to n labelled texts and judge it on both tasks.

    Parameters
    ----------
    n : int
        Labelled texts of the target task.
    seed : int
        Draws them, their order, the new head and dropout.
    task, init, pretrained
        See `tlcourse.finetuning.build_model`.
    split : {"test", "validation"}
        What is judged on.
    checks : int
        Points of the learning curve.
    **options
        Of `tlcourse.finetuning.tune`; ``steps`` is `steps_for` (n) if left out.

    Returns
    -------
    dict
        ``accuracy`` and ``macro_f1`` of the target task, ``pre`` the language-model loss on
        validation texts, and with checks the curves ``curve_accuracy`` (300 validation
        texts) and ``curve_pre`` as numbers in a string.
    """
    data = load_task(task)
    model = build_model(data, init, pretrained, seed)
    held_out = data.splits["validation"]
    probe = held_out.take(np.random.default_rng(0).permutation(len(held_out))[:300])
    steps = int(options.pop("steps", steps_for(n)))

    def check() -> dict[str, float]:
        accuracy = evaluate(model, probe)["accuracy"]
        return {"accuracy": accuracy, "pre": source_loss(model, held_out, 60)}

    history = tune(
        model,
        data.sample(n, seed),
        steps=steps,
        learning_rate=learning_rate,
        seed=seed,
        source=data.splits["train"],
        source_batch_size=8,
        check_at=[steps * point // checks for point in range(checks + 1)] if checks else (),
        on_check=check,
        progress=progress,
        device="cpu",
        **options,
    )
    counted, frozen = count_parameters(model), options.get("frozen", ())
    found: dict[str, float | str] = {
        **evaluate(model, data.splits[split]),
        "pre": source_loss(model, held_out, 200),
        "trainable": sum(counted[layer][0] for layer in LAYERS if layer not in frozen),
    }
    for name in ("accuracy", "pre"):
        if checks:
            found[f"curve_{name}"] = " ".join(f"{point[name]:.4f}" for point in history.checks)
    return found


def mixture_lambda(lam: float, n: int, init: str, seed: int) -> dict[str, float | str]:
    """`adapt` with λ, and its learning curves."""
    return adapt(n, seed, init=init, lam=lam, checks=CHECKS)


def freeze_and_tune(
    embedding: bool,
    lower: bool,
    upper: bool,
    schedule: str,
    n: int,
    seed: int,
    progress: Progress | None = None,
) -> dict[str, float | str]:
    """`adapt` with the ticked layers frozen and one of `SCHEDULES`.

    The encoder was pretrained from random numbers: all it knows is from pretraining.
    """
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule must be one of {tuple(SCHEDULES)}, got {schedule!r}")
    frozen = {"embedding": embedding, "lower": lower, "upper": upper}
    names = tuple(layer for layer in LAYERS if frozen[layer])
    return adapt(n, seed, init="random", frozen=names, progress=progress, **SCHEDULES[schedule])


def labels_needed(
    task: str, init: str, arm: str, n: int, seed: int, steps: int | None = None
) -> dict[str, float | str]:
    """`adapt` by one of `ARMS`, each with its own learning rate, at equal steps."""
    options = {"learning_rate": BEST_RATE[arm], "steps": steps or steps_for(n), **ARMS[arm]}
    return adapt(n, seed, task=task, init=init, **options)


def more_steps(arm: str, n: int, seed: int, steps: int = 500) -> dict[str, float | str]:
    """`labels_needed` from random numbers, with several times the steps."""
    return labels_needed("zh_reviews", "random", arm, n, seed, steps)


def orders(order: str, seed: int, steps: int = 400, n: int = 200) -> dict[str, float | str]:
    """Joint training against pretraining first, from the same fresh encoder.

    All see the same number of labelled batches; the first two as many batches of text.

    Parameters
    ----------
    order : str
        One of `ORDERS`.
    """
    data = load_task()
    model = build_model(data, "random", pretrained=False, seed=seed)
    labelled, texts = data.sample(n, seed), data.splits["train"]
    options = {"steps": steps, "learning_rate": 3e-3, "seed": seed, "source": texts}
    options |= {"source_batch_size": 8, "device": "cpu"}
    if order == "pretrain, then fine-tune":
        tune(model, None, lam=1.0, **options)  # type: ignore[arg-type]
    pretrained_loss = source_loss(model, data.splits["validation"], 200)
    tune(model, labelled, lam=0.5 if order == "joint, λ = 0.5" else 0.0, **options)  # type: ignore[arg-type]
    return {
        **evaluate(model, data.splits["test"]),
        "pre_before": pretrained_loss,
        "pre": source_loss(model, data.splits["validation"], 200),
    }


def penalty_strength(penalty: str, strength: float, n: int, seed: int) -> dict[str, float | str]:
    """`adapt` with R(w) as weight decay or L2-SP."""
    options: dict[str, Any] = {"l2_sp" if penalty == "L2-SP" else "weight_decay": strength}
    return adapt(n, seed, init="random", **options)


def _worth_running(row: Settings) -> bool:
    """Chinese from two embeddings; English from GloVe, with fewer steps of n."""
    english = row["task"] == "movie_reviews"
    return (row["init"] == "GloVe") == english and (not english or row["n"] in LABELS)


SWEEPS = (
    Sweep(
        "mixture_lambda",
        "Chinese reviews: λ between language model and labels, by labels and embedding",
        mixture_lambda,
        {"lam": tuple(round(0.1 * step, 1) for step in range(11)), "n": LABELS, "init": INITS},
    ),
    Sweep(
        "frozen_layers",
        "Chinese reviews: frozen layers and schedules against accuracy and forgetting",
        freeze_and_tune,
        {
            "embedding": (False, True),
            "lower": (False, True),
            "upper": (False, True),
            "schedule": tuple(SCHEDULES),
            "n": FROZEN_LABELS,
        },
    ),
    Sweep(
        "labels_needed",
        "Labels against accuracy: scratch, frozen, fine-tuned, joint, on two tasks",
        labels_needed,
        {
            "task": tuple(TASKS),
            "init": ("random", "own vectors", "GloVe"),
            "arm": tuple(ARMS),
            "n": MANY_LABELS,
        },
        keep=_worth_running,
    ),
    Sweep(
        "more_steps",
        "Labels against accuracy after 500 steps, Chinese reviews, embedding from random",
        more_steps,
        {"arm": ("scratch", "frozen", "fine-tuned"), "n": MANY_LABELS},
    ),
    Sweep(
        "training_orders",
        "From a fresh encoder, 200 labels, 400 steps: joint against pretraining first",
        orders,
        {"order": ORDERS},
    ),
    Sweep(
        "penalty_strength",
        "R(w) as weight decay and as L2-SP, by strength and labels",
        penalty_strength,
        {
            "penalty": ("weight decay", "L2-SP"),
            "strength": (0.0001, 0.001, 0.01, 0.1, 1.0),
            "n": (200,),
        },
    ),
)
