"""Lesson 2's exercises."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tlcourse.checks import exercise, expect, two


@exercise("mapping.least_squares", "W and b by least squares")
def _least_squares(answer: Callable) -> None:
    generator = np.random.default_rng(4)
    X = generator.normal(size=(40, 4)) + 2.0
    Y = X @ generator.normal(size=(4, 3)) + np.array([5.0, -3.0, 1.0])
    Y = Y + 0.1 * generator.normal(size=Y.shape)
    mean_x, mean_y = X.mean(axis=0), Y.mean(axis=0)
    W = np.linalg.lstsq(X - mean_x, Y - mean_y, rcond=None)[0]
    back = np.linalg.lstsq(Y - mean_y, X - mean_x, rcond=None)[0]
    found_W, found_b = two(answer(X, Y), "return two things, W and b.")
    mistakes = {
        "W is transposed. With words as rows, E_fine = E_pre @ W + b needs the shape "
        "(d_pre, d_fine).": W.T,
        "your W maps Y to X; the data asks for the other direction, X to Y.": back,
        "your W maps Y to X, and is transposed.": back.T,
        "you fitted X W = Y without b: both means are pressed into W. Centre X and Y first, "
        "or append a column of ones.": np.linalg.lstsq(X, Y, rcond=None)[0],
    }
    expect(found_W, W, "W", mistakes)
    mistakes = {
        "b is zero, but the spaces have different means: b = mean(Y) − mean(X) W.": np.zeros(3),
        "b is mean(Y) − mean(X); the mean of X has to pass through W first.": mean_y - mean_x[:3],
        "b is mean(Y): that is right only if X was centred for good. Subtract mean(X) W.": mean_y,
    }
    expect(found_b, mean_y - mean_x @ W, "b", mistakes)


@exercise("mapping.procrustes", "Procrustes from an SVD")
def _procrustes(answer: Callable) -> None:
    generator = np.random.default_rng(5)
    X = generator.normal(size=(60, 4))
    rotation = np.linalg.qr(generator.normal(size=(4, 4)))[0]
    Y = X @ rotation + 0.1 * generator.normal(size=X.shape)
    U, _, Vt = np.linalg.svd(X.T @ Y)
    mistakes = {
        "W is transposed: it turns Y into X. With rows as words take U Vᵀ from the SVD of Xᵀ Y.": (
            U @ Vt
        ).T,
        "you kept the singular values, so W stretches: W = Xᵀ Y is no rotation. Leave S out.": (
            X.T @ Y
        ),
        "this is least squares; its W is not orthogonal. Use the SVD of Xᵀ Y.": (
            np.linalg.lstsq(X, Y, rcond=None)[0]
        ),
        "numpy gives Vᵀ already, not V: multiply U by it as it comes.": U @ Vt.T,
        "numpy gives Vᵀ already; you multiplied V Uᵀ.": Vt.T @ U.T,
    }
    expect(answer(X, Y), U @ Vt, "W", mistakes)


@exercise("mapping.precision_at_k", "P@k with several gold answers")
def _precision(answer: Callable) -> None:
    generator = np.random.default_rng(6)
    candidates = generator.normal(size=(50, 6)) * generator.uniform(0.3, 3, size=(50, 1))
    mapped = candidates[:20] + 0.9 * generator.normal(size=(20, 6))
    gold = [{row, (row * 7 + 3) % 50} for row in range(20)]
    queries, others = (E / np.linalg.norm(E, axis=1, keepdims=True) for E in (mapped, candidates))
    k = 5

    def rank(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.argsort(-a @ b.T, axis=1)

    def hits(order: np.ndarray, cut: int = k) -> np.ndarray:
        rows = zip(order[:, :cut].tolist(), gold, strict=True)
        return np.array([len(set(row) & right) for row, right in rows])

    order = rank(queries, others)
    mistakes = {
        "you scored the mapped words against themselves: each finds itself. The candidates "
        "are the words of the other space.": (hits(rank(queries, queries)) > 0).mean(),
        "you scored candidates against themselves; the queries are the mapped words.": (
            (hits(rank(others[:20], others)) > 0).mean()
        ),
        "you counted every gold answer found; a query counts once, however many of its "
        "answers are among the first k.": hits(order).mean(),
        "you divided the hits by k; P@k of word translation is the share of queries with a "
        "right answer among the first k.": hits(order).mean() / k,
        "you accept one gold answer only; any of them counts.": (
            np.mean([row in order[row, :k] for row in range(20)])
        ),
        "your list is upside down: these are the k farthest candidates.": (
            (hits(order[:, ::-1]) > 0).mean()
        ),
        "you looked at the first candidate only: that is P@1.": (hits(order, 1) > 0).mean(),
        "these are dot products: long candidates win. Divide by both lengths.": (
            (hits(rank(mapped, candidates)) > 0).mean()
        ),
    }
    expect(answer(mapped, candidates, gold, k), (hits(order) > 0).mean(), "P@k", mistakes)
