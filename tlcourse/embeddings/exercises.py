"""Lesson 1's exercises and quiz."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tlcourse.checks import Exercise, Question, as_array, expect


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

    found = as_array(answer(E, row, k), "the answer")
    expect(
        found,
        best(cosine),
        "the answer",
        {
            "you left the word itself in: it always has cosine 1 with itself. Skip its row.": (
                np.argsort(-cosine)[:k]
            ),
            "these are the highest dot products. Cosine divides by both lengths: long vectors "
            "(frequent words) win otherwise.": best(dot),
            "the order is upside down: these are the least similar rows.": best(-cosine),
            "these rows are nearest in Euclidean distance; cosine compares directions.": best(
                -distance
            ),
            "you returned the cosines; the rows' numbers are asked for.": cosine[best(cosine)],
        },
    )


def _embedding_matrix(answer: Callable) -> None:
    generator = np.random.default_rng(2)
    words = ["<pad>", "good", "zxqy", "film", "plot", "qqq"]
    vectors = {word: generator.normal(size=3) for word in ("film", "good", "plot", "other")}
    mean = np.mean([vectors[word] for word in ("good", "film", "plot")], axis=0)
    everything = np.mean(list(vectors.values()), axis=0)

    def build(unknown: np.ndarray, pad: np.ndarray | None = None) -> np.ndarray:
        E = np.array([vectors.get(word, unknown) for word in words])
        E[0] = np.zeros(3) if pad is None else pad
        return E

    right = build(mean)
    expect(
        answer(words, vectors, 3),
        right,
        "E",
        {
            "unknown words got zeros: then the model cannot tell them from padding. Give them "
            "the mean of the known rows.": build(np.zeros(3)),
            "the padding row is not zero; row 0 must stay 0.": build(mean, mean),
            "E is transposed: one row a word, shape (V, d).": right.T,
            "you took the mean of all vectors given; take it over the vocabulary's known words.": (
                build(everything)
            ),
            "the rows follow the order of the vectors; they must follow the order of the words.": (
                np.array([vectors[word] for word in ("film", "good", "plot")])
            ),
        },
    )


def _masked_average(answer: Callable) -> None:
    generator = np.random.default_rng(3)
    states, lengths = generator.normal(size=(4, 6, 3)), np.array([6, 2, 4, 1])
    mask = (np.arange(6)[None, :] < lengths[:, None])[..., None]
    total = (states * mask).sum(axis=1)
    right = total / lengths[:, None]
    expect(
        answer(states, lengths),
        right,
        "the average",
        {
            "padding still counts: you averaged all positions. Sum only the first `length` ones.": (
                states.mean(axis=1)
            ),
            "you summed the right positions but divided by the padded length, so that short "
            "documents shrink. Divide by each document's own length.": total / 6,
            "this is the sum; divide by each document's length.": total,
            "you averaged over the documents; average over the positions, axis 1.": (
                states.mean(axis=0)
            ),
            "you took the last position; the average over the real ones is asked for.": (
                states[:, -1]
            ),
        },
    )
    empty = as_array(answer(states[:1], np.array([0])), "the average of an empty document")
    expect(
        empty,
        np.zeros((1, 3)),
        "the average of an empty document (length 0: return zeros)",
        {
            "an empty document gives NaN: you divide by its length 0. Divide by max(length, 1).": (
                np.full((1, 3), np.nan)
            )
        },
    )


EXERCISES = {
    "cosine_neighbours": Exercise("Cosine neighbours by hand", _cosine_neighbours),
    "embedding_matrix": Exercise("An embedding matrix with unknown words", _embedding_matrix),
    "masked_average": Exercise("A document average that ignores padding", _masked_average),
}

QUESTIONS = (
    Question(
        "Model A has ρ = 0.53 on the 66 % of WordSim pairs it knows, model B ρ = 0.52 on 99 %. "
        "Which vectors are better?",
        (
            (
                "A, its ρ is higher",
                "The two ρ are over different pairs: A was never asked about the rarer words.",
            ),
            (
                "That cannot be said from these numbers",
                "Right. Compare both on the pairs that both know, and report coverage with ρ.",
            ),
            (
                "B, its coverage is higher",
                "Coverage says how many words are known, not how good their vectors are.",
            ),
        ),
        1,
    ),
    Question(
        "Random vectors, averaged, classify news far better than chance. How can that be?",
        (
            (
                "They are random, but each word keeps its own: the average still tells "
                "which words occur",
                "Right: it is a blurred bag of words. What is missing is that similar words "
                "have similar vectors, and that is what pretraining brings.",
            ),
            (
                "By luck: another seed would fall to chance",
                "The band over seeds is narrow and far above chance.",
            ),
            (
                "The classifier trains the vectors",
                "The vectors stay as they are; only the classifier's weights are trained.",
            ),
        ),
        0,
    ),
    Question(
        "When do vectors pretrained elsewhere bring most?",
        (
            (
                "When there are very many labels",
                "Then the task's own labels teach what a word means: the curves meet.",
            ),
            (
                "When labels are few and the text resembles what the vectors were trained on",
                "Right: on the news the gap is widest on the left, and vectors trained "
                "on text like the task's can beat larger ones.",
            ),
            (
                "Always equally",
                "Look at the few-shot explorer: the gap closes as labels are added.",
            ),
        ),
        1,
    ),
)
