"""Lesson 5's sweeps on English movie reviews: the freeze dial, methods, pooling, scratch."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from sklearn.metrics import balanced_accuracy_score
from transformers import BertForSequenceClassification

from experiments.engine import Settings
from experiments.shared import judged, steps_for, tuned
from tlcourse import bert
from tlcourse.bert import layers
from tlcourse.bert.models import BertMeanClassifier
from tlcourse.data.datasets import TextDataset, load_movie_reviews, load_news_topics
from tlcourse.inputs import Inputs
from tlcourse.training import Stream

LAYERS = 6
MAX_LENGTH = 32
RATE, HEAD_RATE = 3e-4, 3e-3
AS_DEPTH = {"last layer": LAYERS - 1, "head": LAYERS}
"""Methods that are the dial at one place."""
POOLINGS = {"mean": BertMeanClassifier, "[CLS]": BertForSequenceClassification}
JUDGED = {"validation": 300, "test": 500}


@lru_cache(maxsize=1)
def _reviews() -> TextDataset:
    return load_movie_reviews()


def _encoded(texts: TextDataset, max_length: int = MAX_LENGTH) -> Inputs:
    return bert.encode(bert.load_tokenizer("minilm"), texts.texts, max_length)


@lru_cache(maxsize=2)
def _judged(split: str) -> tuple[Inputs, np.ndarray]:
    texts = _reviews().subset(split).sample(JUDGED[split], 0)
    return _encoded(texts), texts.labels


@lru_cache(maxsize=2 * LAYERS)
def _judged_states(split: str, below: int) -> Inputs:
    """What the frozen layers make of the judged texts: the same in every run."""
    model = bert.load_model(BertMeanClassifier, "minilm")
    return layers.frozen_states(model, _judged(split)[0], below)


def tune_reviews(
    labels: int,
    learning_rate: float,
    seed: int,
    frozen: int = 0,
    method: str = "full",
    pooling: str = "mean",
    scratch: bool = False,
    warmup: float = 0.1,
) -> dict[str, Any]:
    """Fine-tune MiniLM on a draw of movie reviews and judge it on others.

    Frozen layers run once over all texts; only what is above them trains.
    """
    below = AS_DEPTH.get(method, frozen)
    train = _reviews().subset("train").sample(labels, seed)
    inputs = _encoded(train)
    model = bert.load_model(POOLINGS[pooling], "minilm", scratch=scratch, seed=seed, num_labels=2)
    trained = layers.choose_method(model, method, frozen)
    share = layers.trainable_share(trained)
    start = time.process_time()
    if below:
        trained, inputs = layers.above(model, inputs, below)
    history = bert.fine_tune(
        trained, inputs, torch.from_numpy(train.labels), steps=steps_for(labels),
        learning_rate=learning_rate, warmup=warmup, seed=seed, device="cpu",
    )  # fmt: skip
    spent = time.process_time() - start
    found = {"trainable": share, "loss": float(np.mean(history.loss[-10:])), "cpu_seconds": spent}
    for split in JUDGED:
        texts, wanted = _judged(split)
        texts = _judged_states(split, below) if below else texts
        found |= judged(split, wanted, bert.predict(trained, texts))
    return found


def bears_the_rate(row: Settings) -> bool:
    """The head alone needs the higher rate, and nothing else bears it."""
    return (row["frozen"] == LAYERS) == (row["learning_rate"] == HEAD_RATE)


def _tuned(labels: int, frozen: int, learning_rate: float, seed: int) -> BertMeanClassifier:
    """MiniLM tuned on a draw of movie reviews."""
    train = _reviews().subset("train").sample(labels, seed)
    model = bert.load_model(BertMeanClassifier, "minilm", seed=seed, num_labels=2)
    return tuned(model, _encoded(train), train.labels, frozen, learning_rate, seed)


@lru_cache(maxsize=5)
def _tuned_on_reviews(seed: int) -> dict[str, torch.Tensor]:
    """The weights of MiniLM tuned on 200 movie reviews, shared by the runs of `second_task`."""
    return _tuned(200, 0, RATE, seed).state_dict()


@lru_cache(maxsize=1)
def _news() -> TextDataset:
    return load_news_topics()


def second_task(start: str, frozen: int, seed: int) -> dict[str, float]:
    """News topics from 50 labels, on MiniLM as it is or after it was tuned on movie reviews."""
    model = bert.load_model(BertMeanClassifier, "minilm", seed=seed, num_labels=2)
    if start == "tuned on reviews":
        model.load_state_dict(_tuned_on_reviews(seed))
    model.num_labels = model.config.num_labels = len(_news().label_names)
    with Stream(seed):
        model.classifier = torch.nn.Linear(model.config.hidden_size, model.num_labels)
    train, test = _news().subset("train").sample(50, seed), _news().subset("test").sample(200, 0)
    rate = HEAD_RATE if frozen else RATE
    tuned(model, _encoded(train, 48), train.labels, frozen, rate, seed, steps=30)
    return judged("test", test.labels, bert.predict(model, _encoded(test, 48)))


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
    model, test = _tuned(labels, frozen, learning_rate, seed), _reviews().subset("test")
    inputs = _encoded(test)
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
    kinds = {"all": right | ~right, "negation": negated, "contrast": contrast}
    for name, kind in {**kinds, "neither": ~negated & ~contrast}.items():
        rows = kind & (pieces < MAX_LENGTH)
        found[name] = float(balanced_accuracy_score(test.labels[rows], predicted[rows]))
        found[f"n_{name}"] = int(rows.sum())
        found[f"pieces_{name}"] = float(pieces[rows].mean())
    return found
