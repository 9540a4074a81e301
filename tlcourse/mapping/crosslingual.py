"""Lesson 2's example in full: English labels for Chinese texts, through a linear map.

Both classifiers live in the English space. Chinese documents enter it through the
mapped word vectors, so what English labels taught applies to them.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from gensim.models.keyedvectors import KeyedVectors
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from tlcourse.arguments import (
    check_array,
    check_choice,
    check_count,
    check_labels,
    check_number,
    check_share,
    shown,
)
from tlcourse.data.datasets import TextDataset, load_movie_reviews, load_zh_reviews
from tlcourse.embeddings.vectors import document_averages
from tlcourse.mapping.linear_map import LinearMap, fit_least_squares, fit_transfer
from tlcourse.mapping.spaces import Bilingual, evaluate_map, load_bilingual, map_vectors
from tlcourse.models import LSTMClassifier
from tlcourse.scores import scores
from tlcourse.training import Progress, Stream, fit, predict

MODELS = ("averages", "LSTM")
ARMS = ("English, then Chinese", "Chinese only")
MAX_LENGTH = 60
HIDDEN = 64
ENGLISH_EPOCHS = 3
_ENGLISH_LSTMS: dict[int, LSTMClassifier] = {}


def train_english_classifier(spaces: Bilingual) -> LogisticRegression:
    """Logistic regression on averaged English vectors of the movie reviews' train split."""
    if not isinstance(spaces, Bilingual):
        raise TypeError(
            f"spaces must be a Bilingual, as `load_bilingual` gives it; got {shown(spaces)}"
        )
    english = _movies().subset("train")
    averages = document_averages(english.tokens, spaces.target)
    return LogisticRegression(C=1.0, max_iter=2000).fit(averages, english.labels)


@lru_cache(maxsize=1)
def _movies() -> TextDataset:
    return load_movie_reviews()


@lru_cache(maxsize=1)
def _reviews() -> TextDataset:
    return load_zh_reviews()


@lru_cache(maxsize=4)
def _chinese_averages(normalisation: str, min_count: int, split: str) -> np.ndarray:
    spaces = load_bilingual(normalisation, min_count)
    return document_averages(_reviews().subset(split).tokens, spaces.source)


def judge(labels: np.ndarray, positive: np.ndarray, threshold: float) -> dict[str, float]:
    """Accuracy and macro-F1 at a threshold, and AUC, of scores for the positive class.

    Parameters
    ----------
    labels : numpy.ndarray
        0 or 1, shape (n,); both must occur, or there is no AUC.
    positive : numpy.ndarray
        Scores, shape (n,); higher for class 1.
    threshold : float
        Scores above it count as class 1.
    """
    positive = check_array("positive", positive, ("n",))
    labels = check_labels("labels", labels, 2, len(positive))
    if len(np.unique(labels)) < 2:
        raise ValueError(
            f"labels must hold both classes, 0 and 1; got {shown(labels)} of one class"
        )
    check_number("threshold", threshold)
    auc = float(roc_auc_score(labels, positive))
    return {**scores(labels, (positive > threshold).astype(int)), "auc": auc}


def classify_averages(
    n: int, seed: int, arm: str = ARMS[0], split: str = "test", pairs: int | None = None
) -> dict[str, float]:
    """Classify Chinese reviews by averaged vectors.

    Parameters
    ----------
    n : int
        Labelled Chinese reviews; with 0 the English classifier is applied as it is, its
        threshold set to the median score of unlabelled Chinese reviews.
    seed : int
        Draws the labelled reviews (and the pairs, if fewer than all).
    arm : {"English, then Chinese", "Chinese only"}
        With English knowledge, the English classifier's score of a mapped review is one
        more feature beside its averaged Chinese vectors.
    split : {"test", "validation"}
        What is judged on.
    pairs : int, optional
        Dictionary pairs for the map; all if left out.

    Returns
    -------
    dict
        ``accuracy``, ``macro_f1``, ``auc``.
    """
    n, seed = _check_run(n, seed, arm, split)
    spaces = load_bilingual()
    if pairs is not None:
        check_count("pairs", pairs, 1, len(spaces.dictionary.subset("train")))
    linear_map = fit_least_squares(*spaces.pairs(pairs, seed))
    train, judged = _reviews().subset("train"), _reviews().subset(split)
    averages = {part: _chinese_averages("unit+centre", 20, part) for part in ("train", split)}
    mean, std = averages["train"].mean(axis=0), averages["train"].std(axis=0)
    features = {part: (x - mean) / std for part, x in averages.items()}
    if arm == ARMS[0]:
        english = train_english_classifier(spaces)
        score = {part: english.decision_function(linear_map(x)) for part, x in averages.items()}
        if n == 0:
            return judge(judged.labels, score[split], float(np.median(score["train"])))
        # Standardised and given a larger scale than the rest, so that the penalty on the
        # weights falls mainly on what the few Chinese labels add.
        centre, width = score["train"].mean(), score["train"].std()
        for part, x in features.items():
            extra = 10 * (score[part] - centre) / width
            features[part] = np.hstack([x, extra[:, None]])
    rows = train.sample_rows(n, seed)
    model = LogisticRegression(C=_strength(arm, n), max_iter=3000)
    model.fit(features["train"][rows], train.labels[rows])
    return judge(judged.labels, model.decision_function(features[split]), 0.0)


def classify_lstm(
    n: int,
    seed: int,
    arm: str = ARMS[0],
    split: str = "test",
    progress: Progress | None = None,
) -> dict[str, float]:
    """Classify Chinese reviews by an LSTM over frozen word vectors.

    Parameters are those of `classify_averages`. With English knowledge the LSTM is first
    trained on movie reviews over GloVe; then the mapped Chinese vectors take GloVe's
    place and it goes on with the Chinese labels. Without, a fresh LSTM learns from the
    Chinese labels alone, over the same Chinese vectors, unmapped.
    """
    n, seed = _check_run(n, seed, arm, split)
    spaces = load_bilingual()
    train, judged = _reviews().subset("train"), _reviews().subset(split)
    report = progress or (lambda share: None)
    if arm == ARMS[0]:
        model = copy.deepcopy(english_lstm(seed, lambda share: report(0.6 * share)))
        mapped = map_vectors(spaces, fit_least_squares(*spaces.pairs()))
        model.embedding = _frozen(mapped)
    else:
        with Stream(seed):
            model = LSTMClassifier(_padded(spaces.source), HIDDEN)
    threshold = 0.5
    if n == 0:
        unlabelled = train.take(np.random.default_rng(seed).permutation(len(train))[:2000])
        guesses = predict(model, _batch(unlabelled.tokens, spaces.source))[:, 1]
        threshold = float(np.median(guesses))
    else:
        chosen = train.take(train.sample_rows(n, seed))
        fit(
            model,
            _batch(chosen.tokens, spaces.source),
            torch.as_tensor(chosen.labels),
            epochs=int(np.clip(5000 // n, 4, 30)),
            learning_rate=1e-3,
            batch_size=16 if n < 500 else 32,
            seed=seed,
            progress=lambda share: report(0.6 + 0.4 * share),
        )
    positive = predict(model, _batch(judged.tokens, spaces.source))[:, 1]
    return judge(judged.labels, positive, threshold)


def english_lstm(seed: int, progress: Progress | None = None) -> LSTMClassifier:
    """An LSTM trained on English movie reviews over normalised GloVe vectors.

    Trained once a seed and process: treat it as read-only.
    """
    seed = check_count("seed", seed, 0)
    if seed in _ENGLISH_LSTMS:
        return _ENGLISH_LSTMS[seed]
    spaces, english = load_bilingual(), _movies().subset("train")
    with Stream(seed):
        model = LSTMClassifier(_padded(spaces.target), HIDDEN)
    labels = torch.as_tensor(english.labels)
    inputs = _batch(english.tokens, spaces.target)
    fit(
        model, inputs, labels, epochs=ENGLISH_EPOCHS, learning_rate=3e-3, batch_size=64,
        seed=seed, progress=progress,
    )  # fmt: skip
    _ENGLISH_LSTMS[seed] = model
    return model


def _padded(vectors: KeyedVectors) -> np.ndarray:
    """E with a zero row for padding on top."""
    return np.vstack([np.zeros((1, vectors.vector_size), np.float32), vectors.vectors])


def _frozen(vectors: KeyedVectors) -> torch.nn.Embedding:
    weight = torch.as_tensor(_padded(vectors))
    return torch.nn.Embedding.from_pretrained(weight, padding_idx=0)


def _batch(
    documents: Sequence[Sequence[str]], vectors: KeyedVectors
) -> tuple[torch.Tensor, torch.Tensor]:
    """Row numbers of the documents' known words, padded, and the documents' lengths."""
    index = vectors.key_to_index
    ids = np.zeros((len(documents), MAX_LENGTH), dtype=np.int64)
    lengths = np.ones(len(documents), dtype=np.int64)
    for row, tokens in enumerate(documents):
        known = [index[token] + 1 for token in tokens if token in index][:MAX_LENGTH]
        ids[row, : len(known)] = known
        lengths[row] = max(len(known), 1)
    return torch.as_tensor(ids), torch.as_tensor(lengths)


def _strength(arm: str, n: int) -> float:
    """scikit-learn's C: for each arm and n the better of 0.01 and 0.1 on the validation split."""
    return 0.1 if arm == ARMS[1] and n <= 100 else 0.01


def _check_run(n: int, seed: int, arm: str, split: str) -> tuple[int, int]:
    check_choice("arm", arm, ARMS)
    check_choice("split", split, ("test", "validation"))
    n, seed = check_count("n", n, 0, len(_reviews().subset("train"))), check_count("seed", seed, 0)
    if n == 0 and arm != ARMS[0]:
        raise ValueError("without any Chinese label only the English classifier can be applied")
    return n, seed


def fit_lambda(
    lam: float, n: int, seed: int, split: str = "test", progress: Progress | None = None
) -> tuple[LinearMap, dict[str, float]]:
    """Fit the map by ``λ L_pre + (1 − λ) L_trans`` and judge it on both sides.

    Parameters
    ----------
    lam : float
        λ: 1 is only the dictionary, 0 only the labels.
    n : int
        Labelled Chinese reviews for L_trans.
    seed : int
        Draws them, and the start of W.

    Returns
    -------
    LinearMap
    dict
        ``accuracy``, ``macro_f1``, ``auc`` of the English classifier on mapped Chinese
        reviews, and ``p1``, ``p5``, ``p10`` of the map on the dictionary.
    """
    lam = check_share("lam", lam)
    n, seed = _check_run(n, seed, ARMS[0], split)
    spaces = load_bilingual()
    english = train_english_classifier(spaces)
    train, judged = _reviews().subset("train"), _reviews().subset(split)
    rows = train.sample_rows(n, seed)
    averages = _chinese_averages("unit+centre", 20, "train")
    linear_map, _ = fit_transfer(
        *spaces.pairs(),
        averages[rows],
        train.labels[rows],
        english.coef_[0],
        float(english.intercept_[0]),
        lam=lam,
        seed=seed,
        progress=progress,
    )
    positive = english.decision_function(linear_map(_chinese_averages("unit+centre", 20, split)))
    found = judge(judged.labels, positive, 0.0)
    return linear_map, {**found, **evaluate_map(spaces, linear_map, split)}
