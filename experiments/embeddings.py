"""Lesson 1's sweeps: training knobs of Word2Vec, and few-shot transfer of vectors."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from experiments.engine import Sweep
from tlcourse.data.corpora import load_corpus
from tlcourse.data.datasets import TextDataset, load_movie_reviews, load_news_topics
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
from tlcourse.training import Progress

PROBES = ("film", "government", "game", "music", "money")
FEATURES = ("GloVe", "own Word2Vec", "random vectors", "bag of words")
TASKS = ("movie_reviews", "news_topics")

# Logistic regression's C: best macro-F1 on the validation splits at n = 100, mean of the tasks.
BEST_C = {"GloVe": 0.1, "own Word2Vec": 0.1, "random vectors": 0.01, "bag of words": 10.0}


def word2vec_knobs(
    tokens: int,
    window: int,
    vector_size: int,
    epochs: int,
    seed: int,
    progress: Progress | None = None,
) -> dict[str, float | str]:
    """Train Word2Vec on the first tokens of the English corpus and judge the vectors.

    Returns
    -------
    dict
        Words known, ρ and coverage on both gold sets, and five neighbours of each probe.
    """
    vectors = train_word2vec(
        load_corpus("english", tokens),
        vector_size=vector_size,
        window=window,
        epochs=epochs,
        seed=seed,
        progress=progress,
    )
    wordsim, simlex = similarity_score(vectors), similarity_score(vectors, "simlex999")
    neighbours = {
        f"near_{probe}": " ".join(word for word, _ in nearest(vectors, probe, 5))
        if probe in vectors
        else ""
        for probe in PROBES
    }
    return {
        "words": len(vectors),
        "wordsim_rho": wordsim["rho"],
        "wordsim_coverage": wordsim["coverage"],
        "simlex_rho": simlex["rho"],
        "simlex_coverage": simlex["coverage"],
        **neighbours,
    }


@lru_cache(maxsize=2)
def load_task(task: str) -> TextDataset:
    """One of the two English tasks of lesson 1."""
    if task not in TASKS:
        raise ValueError(f"task must be one of {TASKS}, got {task!r}")
    return load_movie_reviews() if task == "movie_reviews" else load_news_topics()


@lru_cache(maxsize=8)
def _features(task: str, features: str, split: str) -> np.ndarray:
    """Averaged vectors of a split, computed once; they need no labels."""
    glove = load_glove()
    if features == "GloVe":
        vectors = glove
    elif features == "own Word2Vec":
        vectors = load_vectors("en")
    else:  # the same words as GloVe, but rows without meaning
        noise = np.random.default_rng(0).normal(size=glove.vectors.shape)
        vectors = make_vectors(glove.index_to_key, noise)
    return document_averages(load_task(task).subset(split).tokens, vectors)


def few_shot(
    task: str,
    features: str,
    n: int,
    seed: int,
    split: str = "test",
    strength: float | None = None,
    progress: Progress | None = None,
) -> dict[str, float]:
    """Train a logistic regression on n labelled documents and test it.

    Parameters
    ----------
    task : {"movie_reviews", "news_topics"}
    features : {"GloVe", "own Word2Vec", "random vectors", "bag of words"}
        Averaged word vectors, or TF-IDF counts of the n documents' own words.
    n : int
        Labelled documents, drawn from the train split.
    seed : int
        Draws the documents.
    split : {"test", "validation"}
        What is judged on.
    strength : float, optional
        scikit-learn's C; `BEST_C` if left out.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if features not in FEATURES:
        raise ValueError(f"features must be one of {FEATURES}, got {features!r}")
    train, judged = load_task(task).subset("train"), load_task(task).subset(split)
    rows = train.sample_rows(n, seed)
    labels = train.labels[rows]
    classifier = LogisticRegression(C=strength or BEST_C[features], max_iter=3000)
    if features == "bag of words":
        model = make_pipeline(TfidfVectorizer(analyzer=_own_tokens), classifier)
        model.fit([train.tokens[row] for row in rows], labels)
        predicted = model.predict(judged.tokens)
    else:
        model = make_pipeline(StandardScaler(), classifier)
        model.fit(_features(task, features, "train")[rows], labels)
        predicted = model.predict(_features(task, features, split))
    if progress is not None:
        progress(1.0)
    return scores(judged.labels, predicted)


def _own_tokens(tokens: tuple[str, ...]) -> tuple[str, ...]:
    return tokens


SWEEPS = (
    Sweep(
        "word2vec_knobs",
        "Word2Vec on English text: corpus size, window, width and epochs against ρ",
        word2vec_knobs,
        {
            "tokens": (30_000, 100_000, 300_000),
            "window": (2, 5, 10),
            "vector_size": (25, 100),
            "epochs": (1, 3, 10),
        },
    ),
    Sweep(
        "few_shot",
        "Classifiers over averaged vectors: accuracy against the number of labels",
        few_shot,
        {"task": TASKS, "features": FEATURES, "n": (10, 20, 50, 100, 200, 500, 1000)},
        seeds=tuple(range(10)),
    ),
)
