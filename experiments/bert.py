"""Lesson 5's sweeps on English movie reviews: the freeze dial, methods, pooling, scratch."""

from __future__ import annotations

import time
from collections.abc import Collection
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import balanced_accuracy_score
from transformers import BertForSequenceClassification

from experiments.engine import Sweep
from tlcourse import bert
from tlcourse.bert import layers
from tlcourse.bert.models import BertMeanClassifier
from tlcourse.data.datasets import TextDataset, load_movie_reviews, load_news_topics
from tlcourse.inputs import Inputs
from tlcourse.recorded import select
from tlcourse.scores import scores
from tlcourse.training import Progress, Stream

LAYERS = 6
LABELS = (50, 200, 800)
RATES = (3e-4, 3e-3)
APART = ("LoRA", "BitFit")
AS_DEPTH = {"last layer": LAYERS - 1, "head": LAYERS}
"""Methods that are the dial at one place, and those that are not on it."""

MAX_LENGTH = 32
POOLINGS = {"mean": BertMeanClassifier, "[CLS]": BertForSequenceClassification}
SECOND_SOURCE = 200
NEWS_LENGTH = 48
JUDGED = {"validation": 300, "test": 500}


def steps_for(labels: int) -> int:
    """How long a run trains: 50 steps of 16 texts, or two epochs if that is more."""
    return max(50, 2 * labels // 16)


@lru_cache(maxsize=1)
def reviews() -> TextDataset:
    """The movie reviews; the texts of each split in one order."""
    return load_movie_reviews()


@lru_cache(maxsize=2)
def _judged(split: str) -> tuple[dict[str, torch.Tensor], np.ndarray]:
    texts = reviews().subset(split).sample(JUDGED[split], 0)
    return bert.encode(bert.load_tokenizer("minilm"), texts.texts, MAX_LENGTH), texts.labels


@lru_cache(maxsize=2 * LAYERS)
def _judged_states(split: str, below: int) -> dict[str, torch.Tensor]:
    """What the frozen layers make of the judged texts: the same in every run."""
    model = bert.load_model(BertMeanClassifier, "minilm")
    return layers.frozen_states(model, _judged(split)[0], below)


def tune_reviews(
    labels: int,
    learning_rate: float,
    frozen: int = 0,
    method: str = "full",
    pooling: str = "mean",
    scratch: bool = False,
    warmup: float = 0.1,
    seed: int = 0,
    splits: Collection[str] = tuple(JUDGED),
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Fine-tune MiniLM on a draw of movie reviews and judge it on others, of these splits.

    Frozen layers run once over all texts; only what is above them trains.
    """
    below = AS_DEPTH.get(method, frozen)
    if pooling not in POOLINGS:
        raise ValueError(f"pooling must be one of {tuple(POOLINGS)}, got {pooling!r}")
    if scratch and below:
        raise ValueError("from scratch there is nothing worth freezing: train the full model")
    train = reviews().subset("train").sample(labels, seed)
    inputs: Inputs = bert.encode(bert.load_tokenizer("minilm"), train.texts, MAX_LENGTH)
    model = bert.load_model(
        POOLINGS[pooling], "minilm", scratch=scratch, seed=seed, num_labels=len(train.label_names)
    )
    trained = layers.choose_method(model, method, frozen)
    share = layers.trainable_share(trained)
    start = time.process_time()
    if below:
        trained, inputs = layers.above(model, inputs, below)
    history = bert.fine_tune(
        trained, inputs, torch.from_numpy(train.labels), steps=steps_for(labels),
        learning_rate=learning_rate, warmup=warmup, seed=seed, device="cpu", progress=progress,
    )  # fmt: skip
    spent = time.process_time() - start
    found = {"trainable": share, "loss": float(np.mean(history.loss[-10:])), "cpu_seconds": spent}
    for split in splits:
        texts, wanted = _judged(split)
        if below:
            texts = _judged_states(split, below)
        found |= judged_scores(split, wanted, bert.predict(trained, texts))
    return found


def judged_scores(split: str, labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Accuracy and macro-F1, with the split's name before them unless it is the test split."""
    prefix = "" if split == "test" else f"{split}_"
    found = scores(labels, probabilities.argmax(1))
    return {prefix + name: value for name, value in found.items()}


def _tuned(labels: int, frozen: int, learning_rate: float, seed: int) -> BertMeanClassifier:
    """MiniLM tuned on a draw of movie reviews."""
    train = reviews().subset("train").sample(labels, seed)
    inputs = bert.encode(bert.load_tokenizer("minilm"), train.texts, MAX_LENGTH)
    model = bert.load_model(BertMeanClassifier, "minilm", seed=seed, num_labels=2)
    layers.freeze(model, frozen)
    bert.fine_tune(
        *layers.above(model, inputs, frozen), torch.from_numpy(train.labels),
        steps=steps_for(labels), learning_rate=learning_rate, seed=seed, device="cpu",
    )  # fmt: skip
    return model


@lru_cache(maxsize=5)
def _tuned_on_reviews(seed: int) -> dict[str, torch.Tensor]:
    """The weights of MiniLM tuned on movie reviews, shared by the runs of `second_task`."""
    return _tuned(SECOND_SOURCE, 0, RATES[0], seed).state_dict()


@lru_cache(maxsize=1)
def _news() -> TextDataset:
    return load_news_topics()


SECOND_STARTS = ("as released", "tuned on reviews")


def second_task(
    start: str, frozen: int, seed: int, labels: int = 50, steps: int = 30
) -> dict[str, float]:
    """News topics from few labels, on MiniLM as it is or after it was tuned on movie reviews."""
    if start not in SECOND_STARTS:
        raise ValueError(f"start must be one of {SECOND_STARTS}, got {start!r}")
    news, tokenizer = _news(), bert.load_tokenizer("minilm")
    model = bert.load_model(BertMeanClassifier, "minilm", seed=seed, num_labels=2)
    if start == SECOND_STARTS[1]:
        model.load_state_dict(_tuned_on_reviews(seed))
    model.num_labels = model.config.num_labels = len(news.label_names)
    with Stream(seed):
        model.classifier = torch.nn.Linear(model.config.hidden_size, model.num_labels)
    layers.freeze(model, frozen)
    train = news.subset("train").sample(labels, seed)
    inputs = bert.encode(tokenizer, train.texts, NEWS_LENGTH)
    bert.fine_tune(
        *layers.above(model, inputs, frozen), torch.from_numpy(train.labels), steps=steps,
        learning_rate=RATES[1] if frozen else RATES[0], seed=seed, device="cpu",
    )  # fmt: skip
    judged = news.subset("test").sample(200, 0)
    texts = bert.encode(tokenizer, judged.texts, NEWS_LENGTH)
    return judged_scores("test", judged.labels, bert.predict(model, texts))


NEGATIONS = frozenset(
    ("not", "n't", "no", "never", "nothing", "nobody", "none", "hardly", "without", "neither")
)
CONTRASTS = frozenset(("but", "though", "although", "however", "yet", "despite"))


def error_slices(labels: int, frozen: int, learning_rate: float, seed: int) -> dict[str, float]:
    """Where a tuned MiniLM errs: test sentences by kind, those that were not cut.

    Returns
    -------
    dict
        For each kind of sentence the balanced accuracy (the mean over both classes, since the
        kinds are not equally often positive), how many there are (``n_…``) and their mean length
        in pieces (``pieces_…``); over all sentences ``accuracy``, ``sure``, the accuracy where
        the probability is above 0.9, and ``sure_share``, how often that is.
    """
    model, test = _tuned(labels, frozen, learning_rate, seed), reviews().subset("test")
    inputs = bert.encode(bert.load_tokenizer("minilm"), test.texts, MAX_LENGTH)
    probabilities = bert.predict(model, inputs)
    predicted, sure = probabilities.argmax(1), probabilities.max(1) > 0.9
    right = predicted == test.labels
    found = {
        "accuracy": float(right.mean()),
        "sure": float(right[sure].mean()),
        "sure_share": float(sure.mean()),
    }
    pieces = inputs["attention_mask"].sum(1).numpy()
    negated = np.array([bool(NEGATIONS & set(tokens)) for tokens in test.tokens])
    contrast = np.array([bool(CONTRASTS & set(tokens)) for tokens in test.tokens])
    for name, kind in (
        ("all", np.full(len(test), True)),
        ("negation", negated),
        ("contrast", contrast),
        ("neither", ~negated & ~contrast),
    ):
        rows = kind & (pieces < MAX_LENGTH)
        found[name] = float(balanced_accuracy_score(test.labels[rows], predicted[rows]))
        found[f"n_{name}"] = int(rows.sum())
        found[f"pieces_{name}"] = float(pieces[rows].mean())
    return found


def chosen_by_validation(
    rows: pd.DataFrame, setting: str = "learning_rate", metric: str = "accuracy"
) -> pd.DataFrame:
    """Of some runs those with the value of a setting that is best on validation texts."""
    best = rows.groupby(setting)[f"validation_{metric}"].mean().idxmax()
    return rows[rows[setting] == best].sort_values("seed")


def method_runs(method: str, frozen: int, **settings: Any) -> pd.DataFrame:
    """The recorded runs of a method; ``frozen`` counts for ``"full"`` only."""
    if method in APART:
        return select("efficient_tuning", method=method, **settings)
    return select("freeze_dial", frozen=AS_DEPTH.get(method, frozen), **settings)


SWEEPS = [
    Sweep(
        "freeze_dial",
        "MiniLM tuned on movie reviews with the lowest k layers frozen",
        tune_reviews,
        {"learning_rate": RATES, "labels": LABELS, "frozen": range(LAYERS + 1)},
    ),
    Sweep(
        "efficient_tuning",
        "MiniLM tuned on movie reviews through few parameters",
        tune_reviews,
        {"learning_rate": RATES, "labels": LABELS, "method": APART},
    ),
    Sweep(
        "from_scratch",
        "MiniLM's shape, trained on movie reviews from random weights",
        tune_reviews,
        {"scratch": (True,), "learning_rate": (3e-4,), "labels": LABELS},
    ),
    Sweep(
        "pooling",
        "What the classifier reads: the mean of the states or [CLS]",
        tune_reviews,
        {
            "pooling": ("[CLS]",),
            "learning_rate": (3e-4, 3e-3),
            "labels": (200,),
            "frozen": (0, 4, 6),
        },
        # The head alone needs the higher rate, and nothing else bears it.
        keep=lambda row: (row["frozen"] == LAYERS) == (row["learning_rate"] == RATES[1]),
    ),
    Sweep(
        "unstable_tuning",
        "MiniLM tuned whole at a high rate, with and without warm-up",
        tune_reviews,
        {"learning_rate": (1e-3,), "labels": (200,), "warmup": (0.0, 0.1)},
    ),
    Sweep(
        "second_task",
        "News topics from 50 labels, on MiniLM as it is or tuned on movie reviews before",
        second_task,
        {"start": SECOND_STARTS, "frozen": (0, LAYERS)},
    ),
    Sweep(
        "error_slices",
        "MiniLM tuned on 200 movie reviews: accuracy by kind of sentence",
        error_slices,
        {"labels": (200,), "frozen": (2,), "learning_rate": RATES[:1]},
    ),
]
