"""Neighbours by blocks are the neighbours of a plain sort; a map is judged on anybody's words."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlcourse.embeddings.vectors import make_vectors
from tlcourse.mapping import retrieval
from tlcourse.mapping.linear_map import LinearMap, fit_procrustes, planted_rotation
from tlcourse.mapping.spaces import evaluate

KINDS = st.sampled_from(["float32", "float64", "int32", "int64", "read-only", "columns first"])


def _array(kind, shape, seed):
    found = np.random.default_rng(seed).normal(scale=50, size=shape)
    if kind == "read-only":
        found.flags.writeable = False
    return np.asfortranarray(found) if kind == "columns first" else found.astype(
        kind if kind[-1].isdigit() else float
    )  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 999), KINDS, st.integers(1, 9), st.integers(1, 730), st.integers(1, 40))
def test_the_best_are_those_of_a_plain_sort(seed, kind, n, m, k):
    """With a rest of columns, more neighbours than blocks, fewer columns than neighbours, ties."""
    scores = _array(kind, (n, m), seed)
    found = retrieval.top_candidates(scores, k)
    wanted = -np.sort(-scores, axis=1)[:, :k]
    assert found.dtype == np.int64
    assert np.array_equal(np.take_along_axis(scores, found, axis=1), wanted)
    assert all(len(set(row)) == len(row) for row in found.tolist())
    assert np.allclose(retrieval.mean_of_top(scores, k), wanted.mean(1), rtol=1e-5, atol=1e-3)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 999), st.integers(1, 300), st.integers(101, 1500), st.integers(1, 12))
def test_neighbours_are_those_of_the_whole_matrix(seed, n, m, k):
    generator = np.random.default_rng(seed)
    queries, candidates = generator.normal(size=(n, 5)), generator.normal(size=(m, 5))
    density = retrieval.candidate_density(candidates, queries, k, chunk=100)
    cosines = retrieval.cosine_scores(queries, candidates)
    assert np.allclose(density, np.sort(cosines, axis=0)[::-1][:k].mean(0))
    for crowding, scores in ((None, cosines), (density, retrieval.csls(cosines, density, k))):
        found = retrieval.nearest_candidates(queries, candidates, k, crowding)
        best = np.take_along_axis(scores, found, axis=1)
        assert np.allclose(best, -np.sort(-scores, axis=1)[:, :k])


def test_what_is_no_number_is_refused():
    scores = np.zeros((3, 250))
    scores[1, 240] = np.nan
    for call in (retrieval.top_candidates, retrieval.mean_of_top):
        with pytest.raises(ValueError, match=r"scores must be finite.*\(1, 240\)"):
            call(scores, 2)
    with pytest.raises(ValueError, match="queries must be finite"):
        retrieval.nearest_candidates(scores, np.ones((5, 250)))


def _spaces():
    words = [f"w{row}" for row in range(400)]
    source, target = planted_rotation(100, 12, 0.05, seed=0, words=300)
    return make_vectors(words, source), make_vectors([w.upper() for w in words], target)


@pytest.mark.parametrize("csls", [False, True])
def test_a_map_is_judged_on_any_words(csls):
    source, target = _spaces()
    found = fit_procrustes(source.vectors[:100], target.vectors[:100])
    gold = {word: word.upper() for word in source.index_to_key[100:]}
    result = evaluate(found.W, source, target, gold, csls)
    assert result == evaluate(found, source, target, {w: {g} for w, g in gold.items()}, csls)
    assert result["p1"] > 0.9
    assert result["coverage"] == 1
    turned = evaluate(found.W[::-1], source, target, gold, csls)
    assert turned["p1"] < 0.1


def test_what_cannot_be_asked_is_told():
    source, target = _spaces()
    near = LinearMap(np.eye(12), np.zeros(12))
    gold = {"w0": ["W0", "nowhere"], "w1": "nowhere", "unknown": "W1", "w399": "W399"}
    assert evaluate(near, source, target, gold)["coverage"] == 0.5
    assert evaluate(near, source, target, gold, candidates=300)["coverage"] == 0.25
    with pytest.raises(ValueError, match="dictionary must have a word"):
        evaluate(near, source, target, {"unknown": "W1"})
    with pytest.raises(TypeError, match="dictionary must be a mapping"):
        evaluate(near, source, target, ["w0"])
    with pytest.raises(TypeError, match="target must be KeyedVectors"):
        evaluate(near, source, target.vectors, gold)
