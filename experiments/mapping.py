"""Lesson 2's sweeps: maps between two spaces and what they carry across."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from filelock import FileLock
from gensim.models.keyedvectors import KeyedVectors

from tlcourse.data.corpora import load_corpus
from tlcourse.data.sources import content_digest
from tlcourse.embeddings.vectors import load_vectors, save_vectors
from tlcourse.embeddings.word2vec import train_word2vec
from tlcourse.mapping.crosslingual import classify_averages, classify_lstm, fit_lambda
from tlcourse.mapping.linear_map import LinearMap, fit, planted_rotation, refine
from tlcourse.mapping.retrieval import cosine_scores, precision_at_k, top_candidates
from tlcourse.mapping.spaces import Bilingual, between, evaluate_map, load_bilingual
from tlcourse.paths import cache_dir


def _with_csls(spaces: Bilingual, linear_map: LinearMap) -> dict[str, float]:
    plain = evaluate_map(spaces, linear_map, "test", use_csls=False)
    scaled = evaluate_map(spaces, linear_map, "test", use_csls=True)
    return {**plain, **{f"csls_{name}": value for name, value in scaled.items()}}


def map_pairs(normalisation: str, method: str, pairs: int, seed: int) -> dict[str, float]:
    """A map fitted on a random draw of dictionary pairs, on the test words, without CSLS and with.

    Returns ``p1``, ``p5``, ``p10``, ``skewness``, ``hub``, and the same as ``csls_…``.
    """
    spaces = load_bilingual(normalisation)
    return _with_csls(spaces, fit(*spaces.pairs(pairs, seed), method, seed))


@lru_cache(maxsize=2)
def _chinese_vectors(vectors: str, seed: int) -> KeyedVectors:
    """Chinese vectors of a kind and a seed; kept in the cache, training takes minutes."""
    place = cache_dir() / "derived" / f"zh-{vectors}-{seed}-{content_digest('zh_text')[:12]}.npz"
    options: dict[str, Any] = {"subwords": 2} if vectors == "fastText" else {}
    with FileLock(place.with_suffix(".lock")):
        if not place.is_file():
            options |= {"vector_size": 100, "epochs": 15, "sample": 1e-4, "seed": seed}
            save_vectors(place, train_word2vec(load_corpus("chinese"), **options))
    return load_vectors(str(place))


def map_ladder(
    vectors: str, min_count: int, normalisation: str, method: str, seed: int
) -> dict[str, float]:
    """One rung of the ladder: Chinese vectors trained with a seed, all pairs, test words.

    As `map_pairs`, and ``words``, the number of test words.
    """
    spaces = between(_chinese_vectors(vectors, seed), normalisation, min_count)
    X, Y = spaces.pairs()
    if method == "Procrustes, refined":
        linear_map = refine(X, Y, spaces.source.vectors[:5000], spaces.candidates[:10_000])
    else:
        linear_map = fit(X, Y, method)
    return {"words": len(spaces.queries("test")[0]), **_with_csls(spaces, linear_map)}


def rotation(method: str, noise: float, pairs: int, seed: int) -> dict[str, float]:
    """Find a planted rotation (d = 50) again from noisy pairs: P@1 over 1,000 other words."""
    source, target = planted_rotation(pairs, 50, noise, seed)
    linear_map = fit(source[:pairs], target[:pairs], method, seed)
    ranked = top_candidates(cosine_scores(linear_map(source[pairs:]), target[pairs:]), 1)
    gold = [{number} for number in range(len(ranked))]
    return {"p1": precision_at_k(ranked, gold, ks=(1,))[1]}


def zero_label(model: str, arm: str, n: int, seed: int) -> dict[str, float]:
    """Chinese reviews judged with n Chinese labels, with or without English knowledge."""
    if model == "LSTM":
        return classify_lstm(n, seed, arm, device="cpu")
    return classify_averages(n, seed, arm)


def map_lambda(lam: float, n: int, seed: int) -> dict[str, float]:
    """The map fitted by λ L_pre + (1 − λ) L_trans, judged as classifier and as dictionary."""
    return fit_lambda(lam, n, seed, device="cpu")[1]
