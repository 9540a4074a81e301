"""Lesson 1's exercises."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tlcourse.checks import exercise, expect


@exercise("embeddings.cosine_neighbours", "Cosine neighbours by hand")
def _cosine_neighbours(answer: Callable) -> None:
    generator = np.random.default_rng(1)
    E = generator.normal(size=(30, 5)) * generator.uniform(0.2, 5, size=(30, 1))
    unit = E / np.linalg.norm(E, axis=1, keepdims=True)
    row, k = 7, 4
    cosine, dot = unit @ unit[row], E @ E[row]
    distance = np.linalg.norm(E - E[row], axis=1)

    def best(scores: np.ndarray) -> np.ndarray:
        order = np.argsort(-scores)
        return order[order != row][:k]

    mistakes = {
        "you left the word itself in: it always has cosine 1 with itself. Skip its row.": (
            np.argsort(-cosine)[:k]
        ),
        "these are the highest dot products. Cosine divides by both lengths: long vectors "
        "(frequent words) win otherwise.": best(dot),
        "the order is upside down: these are the least similar rows.": best(-cosine),
        "these rows are nearest in Euclidean distance; cosine compares directions.": (
            best(-distance)
        ),
        "you returned the cosines; the rows' numbers are asked for.": cosine[best(cosine)],
    }
    expect(answer(E, row, k), best(cosine), "the answer", mistakes)


@exercise("embeddings.embedding_matrix", "An embedding matrix with unknown words")
def _embedding_matrix(answer: Callable) -> None:
    generator = np.random.default_rng(2)
    words = ["<pad>", "good", "zxqy", "film", "plot", "qqq"]
    vectors = {word: generator.normal(size=3) for word in ("film", "good", "plot", "other")}
    mean = np.mean([vectors[word] for word in ("good", "film", "plot")], axis=0)
    zeros = np.zeros(3)

    def build(unknown: np.ndarray, pad: np.ndarray = zeros) -> np.ndarray:
        return np.array([pad, *(vectors.get(word, unknown) for word in words[1:])])

    mistakes = {
        "unknown words got zeros: then the model cannot tell them from padding. Give them "
        "the mean of the known rows.": build(zeros),
        "the padding row is not zero; row 0 must stay 0.": build(mean, mean),
        "E is transposed: one row a word, shape (V, d).": build(mean).T,
        "you took the mean of all vectors given; take it over the vocabulary's known words.": (
            build(np.mean(list(vectors.values()), axis=0))
        ),
        "the rows follow the order of the vectors; they must follow the order of the words.": (
            np.array([vectors[word] for word in ("film", "good", "plot")])
        ),
    }
    expect(answer(words, vectors, 3), build(mean), "E", mistakes)


@exercise("embeddings.masked_average", "A document average that ignores padding")
def _masked_average(answer: Callable) -> None:
    generator = np.random.default_rng(3)
    states, lengths = generator.normal(size=(4, 6, 3)), np.array([6, 2, 4, 1])
    mask = (np.arange(6)[None, :] < lengths[:, None])[..., None]
    total = (states * mask).sum(axis=1)
    mistakes = {
        "padding still counts: you averaged all positions. Sum only the first `length` ones.": (
            states.mean(axis=1)
        ),
        "you summed the right positions but divided by the padded length, so that short "
        "documents shrink. Divide by each document's own length.": total / 6,
        "this is the sum; divide by each document's length.": total,
        "you averaged over the documents; average over the positions, axis 1.": states.mean(0),
        "you took the last position; the average over the real ones is asked for.": states[:, -1],
    }
    expect(answer(states, lengths), total / lengths[:, None], "the average", mistakes)
    mistakes = {
        "an empty document gives NaN: you divide by its length 0. Divide by max(length, 1).": (
            np.full((1, 3), np.nan)
        )
    }
    empty = answer(states[:1], np.array([0]))
    what = "the average of an empty document (length 0: return zeros)"
    expect(empty, np.zeros((1, 3)), what, mistakes)
