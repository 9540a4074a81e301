"""Lesson 2: spaces made comparable, neighbours of a mapped word, and the hits among them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from scipy.stats import skew

from tlcourse.arguments import check_array, check_choice, check_count, shown

NORMALISATIONS = ("none", "unit", "unit+centre")


def unit_rows(E: np.ndarray) -> np.ndarray:
    """Rows of length 1; a zero row stays zero."""
    E = check_array("E", E, ("n", "d"))
    return E / np.maximum(np.linalg.norm(E, axis=1, keepdims=True), 1e-12)


def normalise_space(E: np.ndarray, how: str = "unit+centre") -> np.ndarray:
    """Prepare an embedding matrix (V, d) for a map.

    Parameters
    ----------
    E : numpy.ndarray
        Shape (V, d).
    how : {"none", "unit", "unit+centre"}
        Leave it; rows of length 1; or length 1, then mean 0, then length 1 again.

    Raises
    ------
    ValueError
        If a row has no direction: it is zero, or equals the mean that is taken off.

    References
    ----------
    Artetxe, Labaka and Agirre (2016), "Learning principled bilingual mappings of word
    embeddings while preserving monolingual invariance".
    """
    check_choice("how", how, NORMALISATIONS)
    E = check_array("E", E, ("V", "d"), least=1)
    if how == "none":
        return E
    _check_directions(E, "is zero")
    E = unit_rows(E)
    if how == "unit":
        return E
    E = E - E.mean(axis=0)
    _check_directions(E, "equals the mean of all rows")
    return unit_rows(E)


def _check_directions(E: np.ndarray, fault: str) -> None:
    lost = np.flatnonzero(~E.any(axis=1))
    if len(lost):
        raise ValueError(
            f"row {lost[0]} of E {fault} (in all {len(lost)} of {len(E)} rows) and cannot get "
            "length 1: leave such words out"
        )


def cosine_scores(queries: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Cosine of every query (n, d) with every candidate (m, d): shape (n, m)."""
    queries = check_array("queries", queries, ("n", "d"))
    candidates = check_array("candidates", candidates, ("m", "d"))
    if queries.shape[1] != candidates.shape[1]:
        raise ValueError(
            f"queries have {queries.shape[1]} columns, candidates {candidates.shape[1]}: both must "
            "be in one space, so map the queries first"
        )
    return unit_rows(queries) @ unit_rows(candidates).T


def mean_of_top(scores: np.ndarray, k: int) -> np.ndarray:
    """Mean of each row's k highest scores (of all, if there are fewer), shape (n,)."""
    scores, k = _check_scores(scores, k)
    return _mean_of_top(scores, k)


def _check_scores(scores: np.ndarray, k: int) -> tuple[np.ndarray, int]:
    scores = check_array("scores", scores, ("n", "m"))
    if not scores.shape[1]:
        raise ValueError("scores have no column: there is no candidate")
    return scores, min(check_count("k", k), scores.shape[1])


def _mean_of_top(scores: np.ndarray, k: int) -> np.ndarray:
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
    candidates = check_array("candidates", candidates, ("m", "d"), least=1)
    background = check_array("background", background, ("v", candidates.shape[1]), least=1)
    chunk, k = check_count("chunk", chunk), min(check_count("k", k), len(background))
    base = unit_rows(background)
    parts = [
        _mean_of_top(unit_rows(candidates[start : start + chunk]) @ base.T, k)
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
    scores, k = _check_scores(scores, k)
    density = check_array("density", density)
    if density.shape != (scores.shape[1],):
        raise ValueError(
            f"density must have shape ({scores.shape[1]},), one entry for each column of scores, "
            f"got {density.shape}"
        )
    return 2 * scores - _mean_of_top(scores, k)[:, None] - density[None, :]


def top_candidates(scores: np.ndarray, k: int) -> np.ndarray:
    """Numbers of each row's k best candidates, the best first: int64, shape (n, k).

    If there are fewer than k candidates, all of them.
    """
    scores, k = _check_scores(scores, k)
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
    ranked = _check_ranked(ranked)
    ks = [check_count("each of ks", k) for k in ks]
    if not ks:
        raise ValueError("ks is empty: name at least one k, such as (1, 5, 10)")
    for row, answers in enumerate(gold):
        if isinstance(answers, (str, bytes)) or not isinstance(answers, Collection):
            raise TypeError(
                f"gold must be sets of candidate numbers; number {row} is {shown(answers)}"
            )
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
        share of queries that have the largest hub among their k. If all occur equally
        often, the skewness is 0.

    References
    ----------
    Radovanović, Nanopoulos and Ivanović (2010), "Hubs in space".
    """
    ranked, candidates = _check_ranked(ranked), check_count("candidates", candidates)
    if ranked.max() >= candidates:
        raise ValueError(
            f"ranked names candidate {ranked.max()}, but there are only {candidates}, numbered "
            "from 0: candidates must be the number of rows that were ranked"
        )
    occurrences = np.bincount(ranked.ravel(), minlength=candidates)
    uneven = occurrences.min() < occurrences.max()
    return {
        "skewness": float(skew(occurrences)) if uneven else 0.0,
        "largest": float(occurrences.max() / len(ranked)),
    }


def _check_ranked(ranked: np.ndarray) -> np.ndarray:
    ranked = check_array("ranked", ranked, ("n", "k"), least=1)
    if not np.issubdtype(ranked.dtype, np.integer) or not ranked.size or ranked.min() < 0:
        raise ValueError(
            "ranked must be candidate numbers from 0 up, at least one a row, as `top_candidates` "
            f"gives them; got {shown(ranked)} of {ranked.dtype}"
        )
    return ranked
