"""Lesson 2's sweeps: maps between two spaces and what they carry across."""

from __future__ import annotations

from functools import lru_cache

from filelock import FileLock
from gensim.models.keyedvectors import KeyedVectors

from experiments.engine import Settings, Sweep
from tlcourse.data.corpora import load_corpus
from tlcourse.data.sources import content_digest
from tlcourse.embeddings.vectors import load_vectors, save_vectors
from tlcourse.embeddings.word2vec import train_word2vec
from tlcourse.mapping.crosslingual import ARMS, classify_averages, classify_lstm, fit_lambda
from tlcourse.mapping.linear_map import (
    MAP_METHODS,
    NORMALISATIONS,
    LinearMap,
    fit,
    planted_rotation,
    refine,
)
from tlcourse.mapping.retrieval import cosine_scores, precision_at_k, top_candidates
from tlcourse.mapping.spaces import Bilingual, between, evaluate_map, load_bilingual
from tlcourse.paths import cache_dir

VECTORS = ("Word2Vec", "fastText")
FITS = ("least squares", "Procrustes", "Procrustes, refined")


def _with_csls(spaces: Bilingual, linear_map: LinearMap, split: str = "test") -> dict[str, float]:
    plain = evaluate_map(spaces, linear_map, split, use_csls=False)
    scaled = evaluate_map(spaces, linear_map, split, use_csls=True)
    return {**plain, **{f"csls_{name}": value for name, value in scaled.items()}}


def map_pairs(normalisation: str, method: str, pairs: int, seed: int) -> dict[str, float]:
    """Fit a map on a random draw of dictionary pairs and judge it on the test words.

    Returns
    -------
    dict
        ``p1``, ``p5``, ``p10``, ``skewness``, ``hub``, and the same with CSLS (``csls_…``).
    """
    spaces = load_bilingual(normalisation)
    return _with_csls(spaces, fit(*spaces.pairs(pairs, seed), method, seed))


@lru_cache(maxsize=2)
def _chinese_vectors(vectors: str, seed: int) -> KeyedVectors:
    """Chinese vectors of a kind and a seed; kept in the cache, training takes minutes."""
    place = cache_dir() / "derived" / f"zh-{vectors}-{seed}-{content_digest('zh_text')[:12]}.npz"
    with FileLock(place.with_suffix(".lock")):
        if not place.is_file():
            subwords = 2 if vectors == "fastText" else 0
            options = {"vector_size": 100, "epochs": 15, "sample": 1e-4, "subwords": subwords}
            save_vectors(place, train_word2vec(load_corpus("chinese"), **options, seed=seed))  # type: ignore[arg-type]
    return load_vectors(str(place))


def map_ladder(
    vectors: str, min_count: int, normalisation: str, method: str, seed: int
) -> dict[str, float]:
    """One rung of the ladder: Chinese vectors trained with a seed, all pairs, test words.

    Returns
    -------
    dict
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


def _has_labels(row: Settings) -> bool:
    return row["n"] > 0 or row["arm"] == ARMS[0]


SWEEPS = (
    Sweep(
        "map_pairs",
        "Chinese to English: pairs, method, normalisation and CSLS against precision and hubs",
        map_pairs,
        {
            "normalisation": NORMALISATIONS,
            "method": MAP_METHODS,
            "pairs": (25, 50, 100, 200, 500, 1000, 2000, 3500),
        },
    ),
    Sweep(
        "map_ladder",
        "Chinese to English: what each step of the recipe adds, over seeds of the vectors",
        map_ladder,
        {
            "vectors": VECTORS,
            "min_count": (5, 20),
            "normalisation": ("none", "unit+centre"),
            "method": FITS,
        },
    ),
    Sweep(
        "planted_rotation",
        "A planted rotation: least squares against Procrustes by number of pairs",
        rotation,
        {
            "method": ("least squares", "ridge", "Procrustes"),
            "noise": (0.1, 0.3, 0.6, 1.0),
            "pairs": (25, 40, 50, 60, 75, 100, 200, 500),
        },
        seeds=tuple(range(10)),
    ),
    Sweep(
        "zero_label",
        "Chinese reviews: English knowledge through the map, against Chinese labels alone",
        zero_label,
        {
            "model": ("averages", "LSTM"),
            "arm": ARMS,
            "n": (0, 20, 50, 100, 200, 500, 1000, 2000, 5000),
        },
        keep=_has_labels,
    ),
    Sweep(
        "map_lambda",
        "The map under λ L_pre + (1 − λ) L_trans",
        map_lambda,
        {"lam": tuple(round(0.1 * step, 1) for step in range(11)), "n": (20, 100, 1000)},
    ),
)
