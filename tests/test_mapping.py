"""The mathematics of lesson 2, by properties and against plain NumPy on the real matrices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes

from tlcourse import mapping, retrieval
from tlcourse.bilingual import CANDIDATES, evaluate_map, load_bilingual, translate

SEEDS = st.integers(0, 10_000)


def _pairs(seed, n=40, d=6, k=6):
    generator = np.random.default_rng(seed)
    return generator.normal(size=(n, d)), generator.normal(size=(n, k))


@given(SEEDS)
def test_procrustes_is_orthogonal_and_agrees_with_scipy(seed):
    X, Y = _pairs(seed)
    W = mapping.fit_procrustes(X, Y).W
    assert np.allclose(W.T @ W, np.eye(6), atol=1e-5)
    assert np.allclose(W, orthogonal_procrustes(X, Y)[0], atol=1e-5)
    narrow = mapping.fit_procrustes(*_pairs(seed, k=3)).W
    assert np.allclose(narrow.T @ narrow, np.eye(3), atol=1e-5)


@given(SEEDS)
def test_least_squares_beats_any_change_of_w_or_b(seed):
    X, Y = _pairs(seed)
    best = mapping.fit_least_squares(X, Y)
    error = np.square(best(X) - Y).sum()
    generator = np.random.default_rng(seed)
    other = mapping.LinearMap(
        best.W + 0.05 * generator.normal(size=best.W.shape),
        best.b + 0.05 * generator.normal(size=best.b.shape),
    )
    assert error <= np.square(other(X) - Y).sum()
    design = np.hstack([X, np.ones((len(X), 1))])
    theta = np.linalg.lstsq(design, Y, rcond=None)[0]
    assert np.allclose(best.W, theta[:-1], atol=1e-4)
    assert np.allclose(best.b, theta[-1], atol=1e-4)


def test_ridge_lies_between():
    X, Y = _pairs(3)
    norms = [np.linalg.norm(mapping.fit_least_squares(X, Y, ridge=r).W) for r in (0, 1, 10, 1e6)]
    assert norms == sorted(norms, reverse=True)
    assert norms[-1] < 1e-3


def test_gradient_descent_reaches_least_squares():
    X, Y = _pairs(1, n=200)
    found, losses = mapping.fit_gradient_descent(X, Y, steps=800, learning_rate=0.02)
    assert losses[-1] < losses[0]
    assert np.allclose(found.W, mapping.fit_least_squares(X, Y).W, atol=5e-3)


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_lambda_at_its_ends(seed):
    """λ = 1 does not look at the labels, λ = 0 not at the dictionary."""
    X, Y = _pairs(seed, n=20)
    generator = np.random.default_rng(seed)
    docs, labels = generator.normal(size=(12, 6)), generator.integers(0, 2, 12)
    head = generator.normal(size=6)
    run = lambda x, y, d, t, lam: mapping.fit_transfer(x, y, d, t, head, 0.1, lam=lam, steps=5)[0].W  # noqa: E731
    assert np.array_equal(run(X, Y, docs, labels, 1.0), run(X, Y, -docs, 1 - labels, 1.0))
    assert np.array_equal(run(X, Y, docs, labels, 0.0), run(-X, 2 * Y, docs, labels, 0.0))
    assert not np.array_equal(run(X, Y, docs, labels, 0.5), run(X, Y, docs, 1 - labels, 0.5))


def test_joint_loss_equals_its_formula():
    X, Y = _pairs(0, n=20)
    generator = np.random.default_rng(0)
    docs, labels, head = (
        generator.normal(size=(12, 6)),
        generator.integers(0, 2, 12),
        generator.normal(size=6),
    )
    lam, bias = 0.3, 0.2
    # One step with rate 0 leaves W at its start, so the first loss can be computed by hand.
    found, losses = mapping.fit_transfer(
        X, Y, docs, labels, head, bias, lam=lam, steps=1, learning_rate=0.0
    )
    pre = np.square(found(X) - Y).sum(axis=1).mean()
    p = 1 / (1 + np.exp(-(found(docs) @ head + bias)))
    trans = -np.mean(labels * np.log(p) + (1 - labels) * np.log(1 - p))
    assert losses[0] == pytest.approx(lam * pre + (1 - lam) * trans, rel=1e-5)


def test_errors_name_the_fault():
    X, Y = _pairs(0)
    with pytest.raises(ValueError, match="same number of rows"):
        mapping.fit_least_squares(X, Y[:-1])
    with pytest.raises(ValueError, match="is this the source space"):
        mapping.fit_procrustes(X, Y)(np.zeros((3, 5)))
    with pytest.raises(ValueError, match="method must be"):
        mapping.fit(X, Y, "magic")
    with pytest.raises(ValueError, match="how must be"):
        mapping.normalise_space(X, "centre")
    with pytest.raises(ValueError, match="lam must lie"):
        mapping.fit_transfer(X, Y, X, np.zeros(40), np.zeros(6), 0, lam=1.5)
    with pytest.raises(ValueError, match="needs labelled documents"):
        mapping.fit_transfer(X, Y, X[:0], np.zeros(0), np.zeros(6), 0, lam=0.5)
    with pytest.raises(ValueError, match=r"loss became .* at step"):
        mapping.fit_gradient_descent(X * np.inf, Y)


@given(SEEDS)
def test_normalised_rows_have_length_one(seed):
    X, _ = _pairs(seed)
    for how in ("unit", "unit+centre"):
        assert np.allclose(np.linalg.norm(mapping.normalise_space(X, how), axis=1), 1)
    assert np.array_equal(mapping.normalise_space(X, "none"), X)


@given(SEEDS)
def test_csls_equals_its_definition(seed):
    generator = np.random.default_rng(seed)
    queries, candidates = generator.normal(size=(7, 4)), generator.normal(size=(15, 4))
    unit = lambda E: E / np.linalg.norm(E, axis=1, keepdims=True)  # noqa: E731
    scores = unit(queries) @ unit(candidates).T
    found = retrieval.csls(
        retrieval.cosine_scores(queries, candidates),
        retrieval.candidate_density(candidates, queries, k=3, chunk=4),
        k=3,
    )
    for i in range(7):
        for j in range(15):
            r_x, r_y = np.sort(scores[i])[-3:].mean(), np.sort(scores[:, j])[-3:].mean()
            assert found[i, j] == pytest.approx(2 * scores[i, j] - r_x - r_y)


@given(SEEDS, st.integers(1, 12))
def test_precision_and_ranking(seed, k):
    generator = np.random.default_rng(seed)
    scores = generator.normal(size=(9, 12))
    gold = [
        set(generator.choice(12, size=generator.integers(1, 4), replace=False).tolist())
        for _ in range(9)
    ]
    ranked = retrieval.top_candidates(scores, k)
    assert np.array_equal(ranked, np.argsort(-scores, axis=1)[:, :k])
    wanted = np.mean(
        [bool(set(row.tolist()) & answers) for row, answers in zip(ranked, gold, strict=True)]
    )
    assert retrieval.precision_at_k(ranked, gold, ks=(k,))[k] == pytest.approx(wanted)


def test_retrieval_errors():
    with pytest.raises(ValueError, match="gold sets"):
        retrieval.precision_at_k(np.zeros((2, 10), int), [{1}])
    with pytest.raises(ValueError, match="needs 10 candidates"):
        retrieval.precision_at_k(np.zeros((1, 5), int), [{1}])
    with pytest.raises(ValueError, match="density must have shape"):
        retrieval.csls(np.zeros((2, 3)), np.zeros(2), k=1)


def test_hubness_of_one_hub():
    ranked = np.zeros((10, 1), dtype=int)
    found = retrieval.hubness(ranked, 5)
    assert found["largest"] == 1
    assert found["skewness"] > 1


@pytest.mark.parametrize("normalisation", ["unit", "unit+centre"])
@pytest.mark.parametrize("method", ["least squares", "Procrustes"])
def test_real_precision_agrees_with_plain_numpy(normalisation, method):
    """An independent implementation, on the same matrices, from the fit to P@k and CSLS."""
    spaces = load_bilingual(normalisation)
    X, Y = spaces.pairs(2000, seed=3)
    if method == "Procrustes":
        u, _, vt = np.linalg.svd(X.T.astype(float) @ Y)
        W, b = u[:, :50] @ vt, 0
    else:
        design = np.hstack([X, np.ones((len(X), 1))]).astype(float)
        theta = np.linalg.pinv(design) @ Y
        W, b = theta[:-1], theta[-1]
    unit = lambda E: E / np.linalg.norm(E, axis=1, keepdims=True)  # noqa: E731
    english = unit(spaces.target.vectors[:CANDIDATES].astype(float))
    words = list(spaces.dictionary.subset("test").translations)
    gold = [
        [
            row
            for t in spaces.dictionary.translations[w]
            if (row := spaces.target.key_to_index[t]) < CANDIDATES
        ]
        for w in words
    ]
    mapped = unit(spaces.source[words].astype(float) @ W + b)
    back = unit(spaces.source.vectors[:3000].astype(float) @ W + b)
    cosine = mapped @ english.T
    r_x = np.partition(cosine, -10, axis=1)[:, -10:].mean(axis=1)
    r_y = np.partition(english @ back.T, -10, axis=1)[:, -10:].mean(axis=1)
    linear_map = mapping.fit(X, Y, method)
    for use, scores in ((False, cosine), (True, 2 * cosine - r_x[:, None] - r_y)):
        ours = evaluate_map(spaces, linear_map, "test", use)
        best = [row[right].max(initial=-np.inf) for row, right in zip(scores, gold, strict=True)]
        ahead = (scores > np.array(best)[:, None]).sum(axis=1)
        for k in (1, 5, 10):
            plain = np.mean(ahead < k)
            assert ours[f"p{k}"] == pytest.approx(plain, abs=2.5 / len(words))


def test_the_floor_of_the_design_is_beaten():
    spaces = load_bilingual("unit")
    best = mapping.fit_procrustes(*spaces.pairs())
    assert evaluate_map(spaces, best, "test", use_csls=False)["p10"] > 0.33
    everything = load_bilingual("unit", min_count=5)
    best = mapping.fit_procrustes(*everything.pairs())
    assert evaluate_map(everything, best, "test", use_csls=False)["p10"] > 0.225


def test_bilingual_space_and_translation():
    spaces = load_bilingual("unit")
    train, test = spaces.dictionary.subset("train"), spaces.dictionary.subset("test")
    assert not set(train.translations) & set(test.translations)
    bridge = mapping.fit_procrustes(*spaces.pairs())
    assert "hospital" in dict(translate(spaces, bridge, "医院", 5))
    with pytest.raises(KeyError, match="is not among"):
        translate(spaces, bridge, "qqqq")
    with pytest.raises(ValueError, match="n must lie"):
        spaces.pairs(10**6)


def test_refinement_runs_and_stays_orthogonal():
    X, Y = mapping.planted_rotation(60, 10, 0.1, seed=0, words=200)
    found = mapping.refine(X[:60], Y[:60], X, Y, rounds=2)
    assert np.allclose(found.W.T @ found.W, np.eye(10), atol=1e-4)
