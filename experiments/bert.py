"""Lesson 5's sweeps on English movie reviews: the freeze dial, methods, pooling, scratch."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from sklearn.metrics import balanced_accuracy_score

from experiments.shared import judged, on_split, split_from, tuned
from tlcourse import bert
from tlcourse.bert.layers import trainable_share
from tlcourse.data.datasets import TextDataset, load_movie_reviews, load_news_topics
from tlcourse.inputs import Inputs
from tlcourse.training import Stream

MAX_LENGTH = 32
RATE, HEAD_RATE = 3e-4, 3e-3
JUDGED = {"validation": 300, "test": 500}


def _judged(split: str) -> TextDataset:
    return split_from(load_movie_reviews, split).sample(JUDGED[split], 0)


def _encoded(texts: TextDataset, max_length: int = MAX_LENGTH) -> Inputs:
    return bert.encode(bert.load_tokenizer("minilm"), texts.texts, max_length)


def _tuned(labels: int, learning_rate: float, seed: int, **options: Any) -> bert.TextClassifier:
    """MiniLM tuned on a draw of movie reviews, with the mean of the states read unless told."""
    train = split_from(load_movie_reviews, "train").sample(labels, seed)
    return bert.tune(
        "minilm", train.texts, list(train.labels), learning_rate=learning_rate, seed=seed,
        max_length=MAX_LENGTH, device="cpu", **{"pooling": "mean", **options},
    )  # fmt: skip


def tune_reviews(labels: int, learning_rate: float, seed: int, **options: Any) -> dict[str, float]:
    """Fine-tune MiniLM on a draw of movie reviews and judge it on others.

    ``cpu_seconds`` has the loading of the checkpoint in it.
    """
    start = time.process_time()
    classifier = _tuned(labels, learning_rate, seed, **options)
    found = {
        "trainable": trainable_share(classifier.model),
        "loss": float(np.mean(classifier.history.loss[-10:])),
        "cpu_seconds": time.process_time() - start,
    }
    for split in JUDGED:
        texts = _judged(split)
        found |= on_split(split, classifier.scores(texts.texts, list(texts.labels)))
    return found


def from_scratch(scratch: bool, labels: int, learning_rate: float, seed: int) -> dict[str, float]:
    """MiniLM's shape, trained on a draw of movie reviews from random weights."""
    train = split_from(load_movie_reviews, "train").sample(labels, seed)
    model = bert.load_model(
        bert.BertMeanClassifier, "minilm", scratch=scratch, seed=seed, num_labels=2
    )
    tuned(model, _encoded(train), train.labels, 0, learning_rate, seed)
    found: dict[str, float] = {}
    for split in JUDGED:
        texts = _judged(split)
        found |= judged(split, texts.labels, bert.predict(model, _encoded(texts)))
    return found


@lru_cache(maxsize=5)
def _tuned_on_reviews(seed: int) -> dict[str, torch.Tensor]:
    """The weights of MiniLM tuned on 200 movie reviews, shared by the runs of `second_task`."""
    return _tuned(200, RATE, seed).model.state_dict()


def second_task(start: str, frozen: int, seed: int) -> dict[str, float]:
    """News topics from 50 labels, on MiniLM as it is or after it was tuned on movie reviews."""
    model = bert.load_model(bert.BertMeanClassifier, "minilm", seed=seed, num_labels=2)
    if start == "tuned on reviews":
        model.load_state_dict(_tuned_on_reviews(seed))
    train, test = (split_from(load_news_topics, split) for split in ("train", "test"))
    train, test = train.sample(50, seed), test.sample(200, 0)
    model.num_labels = model.config.num_labels = len(train.label_names)
    with Stream(seed):
        model.classifier = torch.nn.Linear(model.config.hidden_size, model.num_labels)
    rate = HEAD_RATE if frozen else RATE
    tuned(model, _encoded(train, 48), train.labels, frozen, rate, seed, steps=30)
    return judged("test", test.labels, bert.predict(model, _encoded(test, 48)))


NEGATIONS = frozenset(
    ("not", "n't", "no", "never", "nothing", "nobody", "none", "hardly", "without", "neither")
)
CONTRASTS = frozenset(("but", "though", "although", "however", "yet", "despite"))


def error_slices(labels: int, frozen: int, learning_rate: float, seed: int) -> dict[str, float]:
    """Where a tuned MiniLM errs: test sentences by kind, those that were not cut.

    Returns for each kind the balanced accuracy (the mean over both classes, since the kinds are not
    equally often positive), how many there are (``n_…``) and their mean length in pieces
    (``pieces_…``); over all sentences ``accuracy``, ``sure``, the accuracy where the probability is
    above 0.9, and ``sure_share``, how often that is.
    """
    test = split_from(load_movie_reviews, "test")
    probabilities = _tuned(labels, learning_rate, seed, frozen=frozen).probabilities(test.texts)
    predicted, sure = probabilities.argmax(1), probabilities.max(1) > 0.9
    right = predicted == test.labels
    found = {
        "accuracy": float(right.mean()),
        "sure": float(right[sure].mean()),
        "sure_share": float(sure.mean()),
    }
    pieces = _encoded(test)["attention_mask"].sum(1).numpy()
    negated = np.array([bool(NEGATIONS & set(tokens)) for tokens in test.tokens])
    contrast = np.array([bool(CONTRASTS & set(tokens)) for tokens in test.tokens])
    kinds = {"all": right | ~right, "negation": negated, "contrast": contrast}
    for name, kind in {**kinds, "neither": ~negated & ~contrast}.items():
        rows = kind & (pieces < MAX_LENGTH)
        found[name] = float(balanced_accuracy_score(test.labels[rows], predicted[rows]))
        found[f"n_{name}"] = int(rows.sum())
        found[f"pieces_{name}"] = float(pieces[rows].mean())
    return found
