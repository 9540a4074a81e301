"""Lesson 2's exercises and quiz."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tlcourse.checks import Exercise, Mistake, NotAttempted, Question, as_array, expect


def _least_squares(answer: Callable) -> None:
    generator = np.random.default_rng(4)
    X = generator.normal(size=(40, 4)) + 2.0
    Y = X @ generator.normal(size=(4, 3)) + np.array([5.0, -3.0, 1.0])
    Y = Y + 0.1 * generator.normal(size=Y.shape)
    mean_x, mean_y = X.mean(axis=0), Y.mean(axis=0)
    W = np.linalg.lstsq(X - mean_x, Y - mean_y, rcond=None)[0]
    back = np.linalg.lstsq(Y - mean_y, X - mean_x, rcond=None)[0]
    given = answer(X, Y)
    if given is ...:
        raise NotAttempted
    if not isinstance(given, tuple) or len(given) != 2:
        raise Mistake("return two things, W and b.")
    expect(
        given[0],
        W,
        "W",
        {
            "W is transposed. With words as rows, E_fine = E_pre @ W + b needs the shape "
            "(d_pre, d_fine).": W.T,
            "your W maps Y to X; the data asks for the other direction, X to Y.": back,
            "your W maps Y to X, and is transposed.": back.T,
            "you fitted X W = Y without b: both means are pressed into W. Centre X and Y first, "
            "or append a column of ones.": np.linalg.lstsq(X, Y, rcond=None)[0],
        },
    )
    expect(
        given[1],
        mean_y - mean_x @ W,
        "b",
        {
            "b is zero, but the spaces have different means: b = mean(Y) − mean(X) W.": np.zeros(3),
            "b is mean(Y) − mean(X); the mean of X has to pass through W first.": (
                mean_y - mean_x[:3]
            ),
            "b is mean(Y): that is right only if X was centred for good. Subtract mean(X) W.": (
                mean_y
            ),
        },
    )


def _procrustes(answer: Callable) -> None:
    generator = np.random.default_rng(5)
    X = generator.normal(size=(60, 4))
    rotation = np.linalg.qr(generator.normal(size=(4, 4)))[0]
    Y = X @ rotation + 0.1 * generator.normal(size=X.shape)
    U, _, Vt = np.linalg.svd(X.T @ Y)
    W = U @ Vt
    expect(
        answer(X, Y),
        W,
        "W",
        {
            "W is transposed: it turns Y into X. With rows as words take U Vᵀ from the SVD of "
            "Xᵀ Y.": W.T,
            "you kept the singular values, so W stretches: W = Xᵀ Y is no rotation. Leave S out.": (
                X.T @ Y
            ),
            "this is least squares; its W is not orthogonal. Use the SVD of Xᵀ Y.": (
                np.linalg.lstsq(X, Y, rcond=None)[0]
            ),
            "numpy gives Vᵀ already, not V: multiply U by it as it comes.": U @ Vt.T,
            "numpy gives Vᵀ already; you multiplied V Uᵀ.": Vt.T @ U.T,
        },
    )


def _precision(answer: Callable) -> None:
    generator = np.random.default_rng(6)
    candidates = generator.normal(size=(50, 6)) * generator.uniform(0.3, 3, size=(50, 1))
    mapped = candidates[:20] + 0.9 * generator.normal(size=(20, 6))
    gold = [{row, (row * 7 + 3) % 50} for row in range(20)]
    k = 5

    def unit(E: np.ndarray) -> np.ndarray:
        return E / np.linalg.norm(E, axis=1, keepdims=True)

    def ranked(scores: np.ndarray) -> np.ndarray:
        return np.argsort(-scores, axis=1)

    def rate(order: np.ndarray, cut: int = k) -> float:
        return float(
            np.mean([bool(set(row[:cut].tolist()) & g) for row, g in zip(order, gold, strict=True)])
        )

    order = ranked(unit(mapped) @ unit(candidates).T)
    hits = [len(set(row[:k].tolist()) & g) for row, g in zip(order, gold, strict=True)]
    found = as_array(answer(mapped, candidates, gold, k), "P@k")
    own = list(range(20))
    expect(
        found,
        rate(order),
        "P@k",
        {
            "you scored the mapped words against themselves: each finds itself. The candidates "
            "are the words of the other space.": rate(ranked(unit(mapped) @ unit(mapped).T)),
            "you scored candidates against themselves; the queries are the mapped words.": rate(
                ranked(unit(candidates[:20]) @ unit(candidates).T)
            ),
            "you counted every gold answer found; a query counts once, however many of its "
            "answers are among the first k.": float(np.mean(hits)),
            "you divided the hits by k; P@k of word translation is the share of queries with a "
            "right answer among the first k.": float(np.mean(hits)) / k,
            "you accept one gold answer only; any of them counts.": float(
                np.mean([own[n] in order[n, :k] for n in own])
            ),
            "your list is upside down: these are the k farthest candidates.": rate(order[:, ::-1]),
            "you looked at the first candidate only: that is P@1.": rate(order, 1),
            "these are dot products: long candidates win. Divide by both lengths.": rate(
                ranked(mapped @ candidates.T)
            ),
        },
    )


EXERCISES = {
    "least_squares": Exercise("W and b by least squares", _least_squares),
    "procrustes": Exercise("Procrustes from an SVD", _procrustes),
    "precision_at_k": Exercise("P@k with several gold answers", _precision),
}

QUESTIONS = (
    Question(
        "With n = d training pairs, plain least squares fits every pair exactly and then fails "
        "on new words. Why does Procrustes not?",
        (
            (
                "It has fewer degrees of freedom: a rotation cannot stretch to fit the noise",
                "Right. Least squares spends d numbers a column on n = d pairs and amplifies "
                "the noise; a rotation keeps all lengths.",
            ),
            (
                "It uses a better optimiser",
                "Both are solved exactly, by an SVD. What differs is the set of allowed maps.",
            ),
            (
                "It was trained on more pairs",
                "Both get the same pairs in every run.",
            ),
        ),
        0,
    ),
    Question(
        "What does CSLS change?",
        (
            (
                "The map W",
                "W stays as it is; only the ranking of candidates changes.",
            ),
            (
                "The ranking: candidates that are near to everything lose score",
                "Right: r(y) is large for a hub and is subtracted.",
            ),
            (
                "The dictionary",
                "CSLS needs no pairs beyond those the map was fitted on.",
            ),
        ),
        1,
    ),
    Question(
        "A classifier over averages has accuracy 0.69 with no Chinese label. You can have "
        "1,000. What should you expect from the English knowledge then?",
        (
            (
                "The same gain as with 20 labels",
                "Look at the curves: the gap closes to the right.",
            ),
            (
                "Little or nothing: the labels themselves teach as much",
                "Right for these data: the bands meet there.",
            ),
            (
                "A loss: transfer always hurts when there are labels",
                "For averages the two arms end level. The LSTM did lose, but not always: it gained "
                "with few labels.",
            ),
        ),
        1,
    ),
)
