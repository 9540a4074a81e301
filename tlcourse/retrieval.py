"""Lesson 2: find a mapped word's neighbours in another space, and count the hits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import skew


def unit_rows(E: np.ndarray) -> np.ndarray:
    """Rows of length 1; a zero row stays zero."""
    return E / np.maximum(np.linalg.norm(E, axis=1, keepdims=True), 1e-12)


def cosine_scores(queries: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Cosine of every query (n, d) with every candidate (m, d): shape (n, m)."""
    return unit_rows(queries) @ unit_rows(candidates).T


def mean_of_top(scores: np.ndarray, k: int) -> np.ndarray:
    """Mean of each row's k highest scores, shape (n,)."""
    k = min(k, scores.shape[1])
    return np.partition(scores, -k, axis=1)[:, -k:].mean(axis=1)


def candidate_density(
    candidates: np.ndarray, background: np.ndarray, k: int = 10, chunk: int = 2_000
) -> np.ndarray:
    """Mean cosine of each candidate with its k nearest mapped source words.

    High for a hub, a candidate that is near to everything.

    Parameters
    ----------
    candidates : numpy.ndarray
        Target space, shape (m, d).
    background : numpy.ndarray
        Mapped source words, shape (v, d).

    Returns
    -------
    numpy.ndarray
        Shape (m,).
    """
    base = unit_rows(background)
    parts = [
        mean_of_top(unit_rows(candidates[start : start + chunk]) @ base.T, k)
        for start in range(0, len(candidates), chunk)
    ]
    return np.concatenate(parts)


def csls(scores: np.ndarray, density: np.ndarray, k: int = 10) -> np.ndarray:
    """Cross-domain similarity local scaling: cosines with hubs pushed down.

    ``CSLS(x, y) = 2 cos(x, y) − r(x) − r(y)``, where r(x) is the mean cosine of x with
    its k nearest candidates and r(y) that of y with its k nearest mapped source words.

    Parameters
    ----------
    scores : numpy.ndarray
        Cosines, shape (n, m).
    density : numpy.ndarray
        r(y) of the candidates, from `candidate_density`, shape (m,).

    References
    ----------
    Conneau et al. (2018), "Word translation without parallel data".
    """
    if density.shape != (scores.shape[1],):
        raise ValueError(f"density must have shape ({scores.shape[1]},), got {density.shape}")
    return 2 * scores - mean_of_top(scores, k)[:, None] - density[None, :]


def top_candidates(scores: np.ndarray, k: int) -> np.ndarray:
    """Numbers of each row's k best candidates, the best first: int64, shape (n, k)."""
    k = min(k, scores.shape[1])
    best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
    return np.take_along_axis(best, order, axis=1)


def precision_at_k(
    ranked: np.ndarray, gold: Sequence[set[int]], ks: Sequence[int] = (1, 5, 10)
) -> dict[int, float]:
    """Share of queries with at least one gold answer among the first k.

    Parameters
    ----------
    ranked : numpy.ndarray
        Candidate numbers, the best first, shape (n, at least max(ks)).
    gold : sequence of set of int
        The right answers of each query; any one counts.

    Examples
    --------
    >>> precision_at_k(np.array([[3, 1], [2, 0]]), [{1, 7}, {2}], ks=(1, 2))
    {1: 0.5, 2: 1.0}
    """
    if len(ranked) != len(gold):
        raise ValueError(f"{len(ranked)} ranked rows, but {len(gold)} gold sets")
    if ranked.shape[1] < max(ks):
        raise ValueError(f"P@{max(ks)} needs {max(ks)} candidates a row, got {ranked.shape[1]}")
    ranks = [
        next((place for place, item in enumerate(row) if item in answers), len(row))
        for row, answers in zip(ranked.tolist(), gold, strict=True)
    ]
    return {k: float(np.mean([rank < k for rank in ranks])) for k in ks}


def hubness(ranked: np.ndarray, candidates: int) -> dict[str, float]:
    """How unevenly candidates turn up as somebody's neighbour.

    Parameters
    ----------
    ranked : numpy.ndarray
        Candidate numbers of each query's k nearest, shape (n, k).
    candidates : int
        Number of candidates in all.

    Returns
    -------
    dict
        ``skewness`` of the number of times each candidate occurs, and ``largest``, the
        share of queries that have the largest hub among their k.

    References
    ----------
    Radovanović, Nanopoulos and Ivanović (2010), "Hubs in space".
    """
    occurrences = np.bincount(ranked.ravel(), minlength=candidates)
    return {
        "skewness": float(skew(occurrences)),
        "largest": float(occurrences.max() / len(ranked)),
    }
