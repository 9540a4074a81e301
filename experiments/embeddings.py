"""Lesson 1's sweeps: Word2Vec's settings, and classifiers over averaged vectors."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from experiments.shared import split_from
from tlcourse.data.corpora import load_corpus
from tlcourse.data.datasets import load_movie_reviews, load_news_topics
from tlcourse.embeddings.vectors import (
    document_averages,
    load_glove,
    load_vectors,
    make_vectors,
    nearest,
    similarity_score,
)
from tlcourse.embeddings.word2vec import train_word2vec
from tlcourse.scores import scores

PROBES = ("film", "government", "game", "music", "money")

# Logistic regression's C: best macro-F1 on the validation splits at n = 100, mean of the tasks.
BEST_C = {"GloVe": 0.1, "own Word2Vec": 0.1, "random vectors": 0.01, "bag of words": 10.0}


def word2vec_knobs(tokens: int, **options: Any) -> dict[str, float | str]:
    """Words known, ρ and coverage on both gold sets, and five neighbours of each probe."""
    vectors = train_word2vec(load_corpus("english", tokens), **options)
    found: dict[str, float | str] = {"words": len(vectors)}
    for name, gold in (("wordsim", "wordsim353"), ("simlex", "simlex999")):
        score = similarity_score(vectors, gold)
        found |= {f"{name}_rho": score["rho"], f"{name}_coverage": score["coverage"]}
    for probe in PROBES:
        near = nearest(vectors, probe, 5) if probe in vectors else []
        found[f"near_{probe}"] = " ".join(word for word, _ in near)
    return found


TASKS = {"movie_reviews": load_movie_reviews, "news_topics": load_news_topics}


@lru_cache(maxsize=8)
def _averages(task: str, features: str, split: str) -> np.ndarray:
    """Averaged vectors of a split, computed once; they need no labels."""
    vectors = load_vectors("en") if features == "own Word2Vec" else load_glove()
    if features == "random vectors":  # the same words as GloVe, but rows without meaning
        noise = np.random.default_rng(0).normal(size=vectors.vectors.shape)
        vectors = make_vectors(vectors.index_to_key, noise)
    return document_averages(split_from(TASKS[task], split).tokens, vectors)


def few_shot(task: str, features: str, n: int, seed: int) -> dict[str, float]:
    """Train a logistic regression on n labelled documents and test it.

    It reads averaged word vectors, or TF-IDF counts of the n documents' own words.
    """
    train, judged = (split_from(TASKS[task], split) for split in ("train", "test"))
    rows = train.sample_rows(n, seed)
    classifier = LogisticRegression(C=BEST_C[features], max_iter=3000)
    read: Any = TfidfVectorizer(analyzer=tuple), [train.take(rows).tokens, judged.tokens]
    if features != "bag of words":
        train_averages, test_averages = (
            _averages(task, features, split) for split in ("train", "test")
        )
        read = StandardScaler(), [train_averages[rows], test_averages]
    first, (seen, unseen) = read
    model = make_pipeline(first, classifier).fit(seen, train.labels[rows])
    return scores(judged.labels, model.predict(unseen))
