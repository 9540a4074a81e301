"""Lesson 2's example in full: English labels for Chinese texts, through a linear map.

Both classifiers live in the English space. Chinese documents enter it through the
mapped word vectors, so what English labels taught applies to them. Any two languages will do:
each call takes a `Crossing`.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from gensim.models.keyedvectors import KeyedVectors
from sklearn.linear_model import LogisticRegression

from tlcourse.arguments import check_choice, check_count, check_share, shown
from tlcourse.data.datasets import TextDataset, load_movie_reviews, load_zh_reviews
from tlcourse.embeddings.vectors import document_averages
from tlcourse.mapping.linear_map import LinearMap, fit_least_squares, fit_transfer
from tlcourse.mapping.spaces import Bilingual, evaluate_map, load_bilingual, map_vectors
from tlcourse.models import LSTMClassifier
from tlcourse.scores import binary_scores
from tlcourse.training import Progress, Stream, predict, train_classifier

ARMS = ("English, then Chinese", "Chinese only")


@dataclass(frozen=True, eq=False)
class Crossing:
    """What is carried from one language to another: two spaces, and labelled texts of both.

    Attributes
    ----------
    spaces : Bilingual
    english : tlcourse.data.TextDataset
        Texts with two classes in the language of ``spaces.target``.
    chinese : tlcourse.data.TextDataset
        The same in the language of ``spaces.source``.
    """

    spaces: Bilingual
    english: TextDataset
    chinese: TextDataset
    _kept: dict[Any, Any] = field(default_factory=dict, repr=False)

    def averages(self, split: str) -> np.ndarray:
        """Averaged vectors of a split's Chinese texts, shape (n, d); made once."""
        if split not in self._kept:
            tokens = self.chinese.subset(split).tokens
            self._kept[split] = document_averages(tokens, self.spaces.source)
        return self._kept[split]


@lru_cache(maxsize=1)
def load_crossing() -> Crossing:
    """English movie reviews, Chinese reviews, and `load_bilingual` between them."""
    return Crossing(load_bilingual(), load_movie_reviews(), load_zh_reviews())


def train_english_classifier(
    spaces: Bilingual, english: TextDataset | None = None
) -> LogisticRegression:
    """Logistic regression on averaged vectors of the train split; of movie reviews if left out."""
    if not isinstance(spaces, Bilingual):
        raise TypeError(
            f"spaces must be a Bilingual, as `load_bilingual` gives it; got {shown(spaces)}"
        )
    train = (english or load_crossing().english).subset("train")
    averages = document_averages(train.tokens, spaces.target)
    return LogisticRegression(C=1.0, max_iter=2000).fit(averages, train.labels)


def classify_averages(
    n: int,
    seed: int,
    arm: str = ARMS[0],
    split: str = "test",
    pairs: int | None = None,
    data: Crossing | None = None,
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
    data : Crossing, optional
        `load_crossing`'s if left out.

    Returns
    -------
    dict
        ``accuracy``, ``macro_f1``, ``auc``.
    """
    data = data or load_crossing()
    n, seed = _check_run(data, n, seed, arm, split)
    spaces, train, judged = data.spaces, data.chinese.subset("train"), data.chinese.subset(split)
    if pairs is not None:
        check_count("pairs", pairs, 1, len(spaces.dictionary.subset("train")))
    linear_map = fit_least_squares(*spaces.pairs(pairs, seed))
    averages = {part: data.averages(part) for part in ("train", split)}
    mean, std = averages["train"].mean(axis=0), averages["train"].std(axis=0)
    features = {part: (x - mean) / std for part, x in averages.items()}
    if arm == ARMS[0]:
        english = train_english_classifier(spaces, data.english)
        score = {part: english.decision_function(linear_map(x)) for part, x in averages.items()}
        if n == 0:
            return binary_scores(judged.labels, score[split], float(np.median(score["train"])))
        # Standardised and given a larger scale than the rest, so that the penalty on the
        # weights falls mainly on what the few Chinese labels add.
        centre, width = score["train"].mean(), score["train"].std()
        for part, x in features.items():
            extra = 10 * (score[part] - centre) / width
            features[part] = np.hstack([x, extra[:, None]])
    rows = train.sample_rows(n, seed)
    model = LogisticRegression(C=_strength(arm, n), max_iter=3000)
    model.fit(features["train"][rows], train.labels[rows])
    return binary_scores(judged.labels, model.decision_function(features[split]), 0.0)


def classify_lstm(
    n: int,
    seed: int,
    arm: str = ARMS[0],
    split: str = "test",
    progress: Progress | None = None,
    data: Crossing | None = None,
    device: str = "auto",
) -> dict[str, float]:
    """Classify Chinese reviews by an LSTM over frozen word vectors.

    Parameters are those of `classify_averages`. With English knowledge the LSTM is first
    trained on movie reviews over GloVe; then the mapped Chinese vectors take GloVe's
    place and it goes on with the Chinese labels. Without, a fresh LSTM learns from the
    Chinese labels alone, over the same Chinese vectors, unmapped.
    """
    data = data or load_crossing()
    n, seed = _check_run(data, n, seed, arm, split)
    spaces, train, judged = data.spaces, data.chinese.subset("train"), data.chinese.subset(split)
    report = progress or (lambda share: None)
    if arm == ARMS[0]:
        known = english_lstm(seed, lambda share: report(0.6 * share), data, device)
        model = copy.deepcopy(known)
        mapped = map_vectors(spaces, fit_least_squares(*spaces.pairs()))
        weight = torch.as_tensor(_padded(mapped), device=model.embedding.weight.device)
        model.embedding = torch.nn.Embedding.from_pretrained(weight, padding_idx=0)
    else:
        with Stream(seed):
            model = LSTMClassifier(_padded(spaces.source))
    threshold = 0.5
    if n == 0:
        unlabelled = train.take(np.random.default_rng(seed).permutation(len(train))[:2000])
        guesses = predict(model, _batch(unlabelled.tokens, spaces.source))[:, 1]
        threshold = float(np.median(guesses))
    else:
        chosen = train.take(train.sample_rows(n, seed))
        train_classifier(
            model,
            _batch(chosen.tokens, spaces.source),
            torch.as_tensor(chosen.labels),
            epochs=int(np.clip(5000 // n, 4, 30)),
            learning_rate=1e-3,
            batch_size=16 if n < 500 else 32,
            seed=seed,
            progress=lambda share: report(0.6 + 0.4 * share),
            device=device,
        )
    positive = predict(model, _batch(judged.tokens, spaces.source))[:, 1]
    return binary_scores(judged.labels, positive, threshold)


def english_lstm(
    seed: int,
    progress: Progress | None = None,
    data: Crossing | None = None,
    device: str = "auto",
) -> LSTMClassifier:
    """An LSTM trained on English movie reviews over normalised GloVe vectors.

    Trained once a seed and process: treat it as read-only.
    """
    data, seed = data or load_crossing(), check_count("seed", seed, 0)
    if ("LSTM", seed) in data._kept:
        return data._kept["LSTM", seed]
    english = data.english.subset("train")
    with Stream(seed):
        model = LSTMClassifier(_padded(data.spaces.target))
    train_classifier(
        model, _batch(english.tokens, data.spaces.target), torch.as_tensor(english.labels),
        epochs=3, learning_rate=3e-3, batch_size=64, seed=seed, progress=progress, device=device,
    )  # fmt: skip
    data._kept["LSTM", seed] = model
    return model


def _padded(vectors: KeyedVectors) -> np.ndarray:
    """E with a zero row for padding on top."""
    return np.vstack([np.zeros((1, vectors.vector_size), np.float32), vectors.vectors])


def _batch(
    documents: Sequence[Sequence[str]], vectors: KeyedVectors
) -> tuple[torch.Tensor, torch.Tensor]:
    """Row numbers of the documents' known words, padded, and the documents' lengths."""
    index = vectors.key_to_index
    ids = np.zeros((len(documents), 60), dtype=np.int64)
    lengths = np.ones(len(documents), dtype=np.int64)
    for row, tokens in enumerate(documents):
        known = [index[token] + 1 for token in tokens if token in index][: ids.shape[1]]
        ids[row, : len(known)] = known
        lengths[row] = max(len(known), 1)
    return torch.as_tensor(ids), torch.as_tensor(lengths)


def _strength(arm: str, n: int) -> float:
    """scikit-learn's C: for each arm and n the better of 0.01 and 0.1 on the validation split."""
    return 0.1 if arm == ARMS[1] and n <= 100 else 0.01


def _check_run(data: Crossing, n: int, seed: int, arm: str, split: str) -> tuple[int, int]:
    if not isinstance(data, Crossing):
        raise TypeError(f"data must be a Crossing, got {shown(data)}")
    check_choice("arm", arm, ARMS)
    check_choice("split", split, ("test", "validation"))
    n, seed = (
        check_count("n", n, 0, len(data.chinese.subset("train"))),
        check_count("seed", seed, 0),
    )
    if n == 0 and arm != ARMS[0]:
        raise ValueError("without any Chinese label only the English classifier can be applied")
    return n, seed


def fit_lambda(
    lam: float,
    n: int,
    seed: int,
    split: str = "test",
    progress: Progress | None = None,
    data: Crossing | None = None,
    device: str = "auto",
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
    lam, data = check_share("lam", lam), data or load_crossing()
    n, seed = _check_run(data, n, seed, ARMS[0], split)
    english = train_english_classifier(data.spaces, data.english)
    train, judged = data.chinese.subset("train"), data.chinese.subset(split)
    rows = train.sample_rows(n, seed)
    linear_map, _ = fit_transfer(
        *data.spaces.pairs(),
        data.averages("train")[rows],
        train.labels[rows],
        english.coef_[0],
        float(english.intercept_[0]),
        lam=lam,
        seed=seed,
        progress=progress,
        device=device,
    )
    positive = english.decision_function(linear_map(data.averages(split)))
    found = binary_scores(judged.labels, positive, 0.0)
    return linear_map, {**found, **evaluate_map(data.spaces, linear_map, split)}
