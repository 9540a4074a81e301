"""Lesson 2: spaces made comparable, neighbours of a mapped word, and the hits among them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import skew

from tlcourse.arguments import (
    check_array,
    check_choice,
    check_count,
    check_counts,
    check_kind,
    shown,
)

if TYPE_CHECKING:
    import torch

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
    E = _directions(E, "is zero")
    return E if how == "unit" else _directions(E - E.mean(axis=0), "equals the mean of all rows")


def _directions(E: np.ndarray, fault: str) -> np.ndarray:
    lost = np.flatnonzero(~E.any(axis=1))
    if len(lost):
        raise ValueError(
            f"row {lost[0]} of E {fault} (in all {len(lost)} of {len(E)} rows) and cannot get "
            "length 1: leave such words out"
        )
    return unit_rows(E)


def cosine_scores(queries: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Cosine of every query (n, d) with every candidate (m, d): shape (n, m)."""
    queries = check_array("queries", queries, ("n", "d"))
    candidates = check_array("candidates", candidates, ("m", "d"))
    if queries.shape[1] != candidates.shape[1]:
        widths = f"queries have {queries.shape[1]} columns, candidates {candidates.shape[1]}"
        raise ValueError(f"{widths}: map the queries first, into the candidates' space")
    return unit_rows(queries) @ unit_rows(candidates).T


def mean_of_top(scores: np.ndarray, k: int) -> np.ndarray:
    """Mean of each row's k highest scores (of all, if there are fewer), shape (n,)."""
    return _largest(*_check_scores(scores, k))[0].mean(1).numpy()


def top_candidates(scores: np.ndarray, k: int) -> np.ndarray:
    """Numbers of each row's k best candidates, the best first: int64, shape (n, k).

    If there are fewer than k candidates, all of them.
    """
    return _largest(*_check_scores(scores, k))[1].numpy()


def _check_scores(scores: np.ndarray, k: int) -> tuple[torch.Tensor, int]:
    scores = check_array("scores", scores, ("n", "m"))
    if not scores.shape[1]:
        raise ValueError("scores have no column: there is no candidate")
    return _tensor(scores), min(check_count("k", k), scores.shape[1])


def _tensor(array: np.ndarray) -> torch.Tensor:
    import torch

    return torch.from_numpy(np.require(array, np.result_type(array, np.float32), ["C", "W"]))


def _largest(scores: torch.Tensor, k: int, width: int = 100) -> tuple[torch.Tensor, torch.Tensor]:
    """The k largest of each row, in order, and their places: both (n, k).

    The k largest lie in the k blocks of columns with the largest maxima, and a maximum is found
    many times faster than a rank.
    """
    import torch

    n, m = scores.shape
    whole = m // width * width
    if k * width >= whole:
        return scores.topk(k, 1)
    blocks = scores[:, :whole].reshape(n, -1, width)
    chosen = blocks.amax(2).topk(k, 1)[1]
    kept = blocks.gather(1, chosen[:, :, None].expand(-1, -1, width)).flatten(1)
    values, order = torch.cat([kept, scores[:, whole:]], 1).topk(k, 1)
    block = chosen.gather(1, (order // width).clamp(max=k - 1))
    rest = order >= k * width  # of the columns that fill no block
    return values, order + torch.where(rest, whole - k * width, (block - order // width) * width)


def candidate_density(
    candidates: np.ndarray, background: np.ndarray, k: int = 10, chunk: int = 128
) -> np.ndarray:
    """Mean cosine of each candidate with its k nearest mapped source words.

    High for a hub, a candidate that is near to everything.

    Parameters
    ----------
    candidates : numpy.ndarray
        Target space, shape (m, d).
    background : numpy.ndarray
        Mapped source words, shape (v, d).
    k : int
        Neighbours (all, if there are fewer).
    chunk : int
        Candidates a time: few keep their scores in the processor's cache.

    Returns
    -------
    numpy.ndarray
        Shape (m,).
    """
    candidates = check_array("candidates", candidates, ("m", "d"), least=1)
    background = check_array("background", background, ("v", candidates.shape[1]), least=1)
    found = _ranked(candidates, background, check_count("k", k), check_count("chunk", chunk))
    return np.concatenate([values.mean(1).numpy() for values, _ in found])


def nearest_candidates(
    queries: np.ndarray, candidates: np.ndarray, k: int = 10, density: np.ndarray | None = None
) -> np.ndarray:
    """Numbers of each query's k nearest candidates, by cosine or by CSLS, the nearest first.

    The same as ``top_candidates(csls(cosine_scores(queries, candidates), density), k)``, without
    the (n, m) scores: r(x) is one number a row and changes no order.

    Parameters
    ----------
    queries : numpy.ndarray
        Mapped words, shape (n, d).
    candidates : numpy.ndarray
        Shape (m, d).
    k : int
        All, if there are fewer.
    density : numpy.ndarray, optional
        From `candidate_density`, shape (m,): rank by CSLS.

    Returns
    -------
    numpy.ndarray
        int64, shape (n, k).
    """
    queries = check_array("queries", queries, ("n", "d"), least=1)
    candidates = check_array("candidates", candidates, ("m", queries.shape[1]), least=1)
    if density is not None:
        density = check_array("density", density, (len(candidates),))
    found = _ranked(queries, candidates, check_count("k", k), 128, density)
    return np.concatenate([numbers.numpy() for _, numbers in found])


def _ranked(
    rows: np.ndarray, others: np.ndarray, k: int, chunk: int, density: np.ndarray | None = None
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """For each chunk of rows the k largest cosines (or ``2 cos - density``) and their places."""
    import torch

    kind = np.result_type(rows, others, np.float32)
    left, right = (_tensor(unit_rows(E).astype(kind, copy=False)) for E in (rows, others))
    right = right.T.contiguous()
    crowding = None if density is None else _tensor(density.astype(kind))
    space = torch.empty(min(chunk, len(left)), len(others), dtype=left.dtype)  # used again
    for part in left.split(chunk):
        scores = torch.mm(part, right, out=space[: len(part)])
        if crowding is not None:
            scores.mul_(2).sub_(crowding)
        yield _largest(scores, min(k, len(others)))


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
    r_x = mean_of_top(scores, k)
    scores = check_array("scores", scores)
    return 2 * scores - r_x[:, None] - check_array("density", density, (scores.shape[1],))


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
    ks = check_counts("ks", ks)
    for row, answers in enumerate(check_kind("gold", gold, (list, tuple), "a list of sets")):
        if isinstance(answers, (str, bytes)) or not isinstance(answers, Collection):
            raise TypeError(f"gold must be sets of numbers; number {row} is {shown(answers)}")
    if len(ranked) != len(gold):
        raise ValueError(f"gold must have {len(ranked)} sets, one a ranked row; got {len(gold)}")
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
    times = np.bincount(ranked.ravel(), minlength=candidates)
    uneven = float(skew(times)) if times.min() < times.max() else 0.0
    return {"skewness": uneven, "largest": float(times.max() / len(ranked))}


def _check_ranked(ranked: np.ndarray) -> np.ndarray:
    ranked = check_array("ranked", ranked, ("n", "k"), least=1)
    if not np.issubdtype(ranked.dtype, np.integer) or not ranked.size or ranked.min() < 0:
        raise ValueError(
            "ranked must be candidate numbers from 0 up, at least one a row, as `top_candidates` "
            f"gives them; got {shown(ranked)} of {ranked.dtype}"
        )
    return ranked
