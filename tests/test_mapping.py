"""The mathematics of lesson 2, by properties and against plain NumPy on the real matrices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes

import experiments
from experiments import engine
from tlcourse import mapping, recorded
from tlcourse.data.dictionary import load_dictionary
from tlcourse.embeddings.vectors import make_vectors
from tlcourse.mapping import crosslingual, retrieval
from tlcourse.mapping.spaces import (
    CANDIDATES,
    Bilingual,
    evaluate_map,
    load_bilingual,
    map_vectors,
    translate,
)
from tlcourse.scores import binary_scores

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


@given(SEEDS, st.integers(1, 5), st.integers(3, 6))
def test_procrustes_with_few_pairs_takes_the_smallest_map(seed, n, k):
    """As good on the pairs as any rotation; zero where no pair reaches: nothing is arbitrary."""
    X, Y = _pairs(seed, n=n, d=6, k=k)
    W = mapping.fit_procrustes(X, Y).W
    r = min(n, k)
    singular = np.linalg.svd(W, compute_uv=False)
    assert np.allclose(singular, [1] * r + [0] * (len(singular) - r), atol=1e-5)
    best = np.linalg.svd(X.T @ Y, compute_uv=False).sum()
    assert np.sum((X @ W) * Y) == pytest.approx(best, rel=1e-4), "nothing is lost on the pairs"
    out = np.linalg.svd(X)[2][n:]  # what no pair reaches
    assert np.allclose(out @ W, 0, atol=1e-4)
    turned = np.linalg.qr(np.random.default_rng(seed + 1).normal(size=(6, 6)))[0]
    assert np.allclose(turned @ mapping.fit_procrustes(X @ turned, Y).W, W, atol=1e-3)
    again = mapping.fit_procrustes(np.vstack([X, X[:1]]), np.vstack([Y, Y[:1]])).W
    assert np.allclose(np.linalg.svd(again, compute_uv=False), singular, atol=1e-5), "a twin pair"


@pytest.mark.parametrize("pairs", [25, 40])
def test_recorded_rows_with_few_pairs_can_be_made_again(pairs):
    """They depended on the CPU: P@1 by up to 0.138."""
    for noise in (0.1, 0.6):
        row = {"method": "Procrustes", "noise": noise, "pairs": pairs, "seed": 3}
        wanted = recorded.select("planted_rotation", **row)["p1"].iloc[0]
        found = engine.run_one(experiments.find("planted_rotation"), row)["p1"]
        assert found == pytest.approx(wanted, abs=0.003)
    row = {"normalisation": "unit", "method": "Procrustes", "pairs": 25, "seed": 1}
    if pairs == 25:
        wanted = recorded.select("map_pairs", **row)
        found = engine.run_one(experiments.find("map_pairs"), row)
        for metric in ("p1", "p10", "csls_p10"):
            assert found[metric] == pytest.approx(wanted[metric].iloc[0], abs=0.003)


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
    found, history = mapping.fit_gradient_descent(X, Y, steps=800, learning_rate=0.02)
    assert history.loss[-1] < history.loss[0]
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
    # One step of 1e-12 leaves W at its start, so the first loss can be computed by hand.
    found, history = mapping.fit_transfer(
        X, Y, docs, labels, head, bias, lam=lam, steps=1, learning_rate=1e-12
    )
    pre = np.square(found(X) - Y).sum(axis=1).mean()
    p = 1 / (1 + np.exp(-(found(docs) @ head + bias)))
    trans = -np.mean(labels * np.log(p) + (1 - labels) * np.log(1 - p))
    assert history.loss[0] == pytest.approx(lam * pre + (1 - lam) * trans, rel=1e-5)
    assert history.parts["pre"] == [pytest.approx(pre, rel=1e-5)]
    assert history.parts["trans"] == [pytest.approx(trans, rel=1e-5)]


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
        mapping.fit_gradient_descent(X, Y, learning_rate=1e30)


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
    with pytest.raises(ValueError, match="gold must have 2 sets"):
        retrieval.precision_at_k(np.zeros((2, 10), int), [{1}])
    with pytest.raises(ValueError, match="needs 10 candidates"):
        retrieval.precision_at_k(np.zeros((1, 5), int), [{1}])
    with pytest.raises(ValueError, match=r"density must be .* shape \(3\)"):
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
    for n in (0, -3, 10**6):
        with pytest.raises(ValueError, match="n must be a whole number, at least 1, at most 3591"):
            spaces.pairs(n)


def test_refinement_runs_and_stays_orthogonal():
    X, Y = mapping.planted_rotation(60, 10, 0.1, seed=0, words=200)
    found = mapping.refine(X[:60], Y[:60], X, Y, rounds=2)
    assert np.allclose(found.W.T @ found.W, np.eye(10), atol=1e-4)


@pytest.mark.parametrize("method", mapping.MAP_METHODS)
def test_pairs_are_taken_from_numpy_torch_pandas_and_lists_alike(method):
    import pandas as pd
    import torch

    X, Y = (E.astype(np.float32) for E in _pairs(2, n=12))
    wanted = mapping.fit(X, Y, method)
    for form in (torch.as_tensor, pd.DataFrame, lambda E: E.tolist()):
        found = mapping.fit(form(X), form(Y), method)
        assert np.allclose(found.W, wanted.W, atol=1e-3)
        assert np.allclose(found(form(X)), wanted(X), atol=1e-3)
    whole = mapping.fit(np.arange(12).reshape(6, 2) ** 2 % 7, np.eye(6, 2, dtype=int), method)
    assert np.isfinite(whole.W).all()


@pytest.mark.parametrize("method", mapping.MAP_METHODS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_no_method_takes_nan(method, bad):
    X, Y = _pairs(0)
    spoilt = X.copy()
    spoilt[3, 1] = bad
    with pytest.raises(ValueError, match=r"X must be finite.*\(3, 1\)"):
        mapping.fit(spoilt, Y, method)
    with pytest.raises(ValueError, match="Y must be finite"):
        mapping.fit(X, spoilt, method)


_X, _Y = _pairs(0)
_DOCS, _LABELS, _HEAD = _X[:8], np.arange(8) % 2, np.ones(6)


def _transfer(**changed):
    given = {"documents": _DOCS, "labels": _LABELS, "head": _HEAD, "bias": 0.0, "lam": 0.5}
    given |= {"steps": 2} | changed
    return mapping.fit_transfer(_X, _Y, **given)


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"labels": 2 * _LABELS - 1}, ValueError, "labels must be class numbers 0 … 1"),
        ({"labels": _LABELS[:5]}, ValueError, "labels must have 8 entries"),
        ({"documents": _DOCS[:, :4]}, ValueError, r"documents must be .* \(m, 6\)"),
        ({"documents": _DOCS * np.nan}, ValueError, "documents must be finite"),
        ({"head": np.ones(5)}, ValueError, r"head must be .* \(6\)"),
        ({"bias": np.nan}, ValueError, "bias must be finite"),
        ({"lam": "0.5"}, TypeError, "lam must be a number"),
        ({"lam": None}, TypeError, "lam must be a number"),
        ({"lam": np.nan}, ValueError, "lam must lie between 0 and 1"),
        ({"steps": 0}, ValueError, "steps must be a whole number, at least 1"),
        ({"learning_rate": 0.0}, ValueError, "learning_rate must be above 0"),
        ({"learning_rate": -1.0}, ValueError, "learning_rate must be above 0"),
        ({"seed": -1}, ValueError, "seed must be a whole number"),
    ],
)
def test_transfer_refuses_what_would_train_on_nonsense(changed, error, words):
    with pytest.raises(error, match=words):
        _transfer(**changed)


def test_bad_calls_of_maps_say_what_came():
    fail = [
        (lambda: mapping.fit_gradient_descent(_X, _Y, steps=0), "steps must be"),
        (lambda: mapping.fit_gradient_descent(_X, _Y, learning_rate=-1), "learning_rate must be"),
        (lambda: mapping.fit_least_squares(_X, _Y, ridge=-1), "ridge must be at least 0"),
        (lambda: mapping.LinearMap(np.eye(3), np.zeros(2)), r"b must be .* \(3\)"),
        (lambda: mapping.LinearMap(np.eye(3), np.zeros(3))(np.full((1, 3), np.nan)), "E must be"),
        (lambda: mapping.normalise_space(_X * np.nan), "E must be finite"),
        (lambda: mapping.normalise_space(_X * (np.arange(40) != 7)[:, None]), "row 7 of E is zero"),
        (lambda: mapping.normalise_space(np.ones((4, 3))), "equals the mean"),
        (lambda: mapping.normalise_space(np.zeros((0, 3))), "at least 1 rows"),
        (lambda: mapping.planted_rotation(0, 5, 0.1, 0), "n must be"),
        (lambda: mapping.planted_rotation(5, 0, 0.1, 0), "d must be"),
        (lambda: mapping.planted_rotation(5, 5, -0.1, 0), "noise must be at least 0"),
        (lambda: mapping.planted_rotation(5, 5, 0.1, 0, words=-1), "words must be"),
        (lambda: mapping.refine(_X, _Y, _X, _Y[:, :3]), r"target must be .* \(m, 6\)"),
        (lambda: mapping.refine(_X, _Y, _X, _Y, rounds=-1), "rounds must be"),
    ]
    for call, words in fail:
        with pytest.raises(ValueError, match=words):
            call()


def test_bad_calls_of_retrieval_say_what_came():
    scores, density = _X @ _Y.T, np.zeros(40)
    ranked, gold = np.array([[0, 1], [2, 3]]), [{0}, {1}]
    fail = [
        (lambda: retrieval.top_candidates(scores, -1), "k must be"),
        (lambda: retrieval.top_candidates(scores * np.nan, 2), "scores must be finite"),
        (lambda: retrieval.top_candidates(scores[0], 2), r"scores must be .* \(n, m\)"),
        (lambda: retrieval.top_candidates(scores[:, :0], 2), "no candidate"),
        (lambda: retrieval.mean_of_top(scores, 0), "k must be"),
        (lambda: retrieval.csls(scores, density, k=0), "k must be"),
        (lambda: retrieval.csls(scores, density[:, None]), r"density must be .* shape \(40\)"),
        (lambda: retrieval.csls(scores[0], density), r"scores must be .* \(n, m\)"),
        (lambda: retrieval.candidate_density(_X, _Y, k=0), "k must be"),
        (lambda: retrieval.candidate_density(_X, _Y, chunk=0), "chunk must be"),
        (lambda: retrieval.candidate_density(_X[:0], _Y), "candidates needs at least 1"),
        (lambda: retrieval.candidate_density(_X, _Y[:0]), "background needs at least 1"),
        (lambda: retrieval.candidate_density(_X, _Y[:, :3]), r"background must be .* \(v, 6\)"),
        (lambda: retrieval.cosine_scores(_X, _Y[:, :3]), "map the queries first"),
        (lambda: retrieval.precision_at_k(ranked, gold, ks=()), "ks is empty"),
        (lambda: retrieval.precision_at_k(ranked, gold, ks=(0, 1)), "each of ks must be"),
        (lambda: retrieval.precision_at_k(ranked[:0], [], ks=(1,)), "at least 1 rows"),
        (lambda: retrieval.precision_at_k(ranked / 2, gold, ks=(1,)), "must be candidate numbers"),
        (lambda: retrieval.hubness(ranked, 3), "there are only 3"),
        (lambda: retrieval.hubness(ranked, 0), "candidates must be"),
        (lambda: retrieval.hubness(ranked - 1, 9), "must be candidate numbers"),
    ]
    for call, words in fail:
        with pytest.raises(ValueError, match=words):
            call()
    with pytest.raises(TypeError, match="number 0 is 3"):
        retrieval.precision_at_k(ranked, [3, 4], ks=(1,))
    assert retrieval.hubness(ranked, 4)["skewness"] == 0, "all alike: no hub, and no NaN"


def _small_spaces(words=400):
    """Two spaces of the dictionary's own words: the English one has few hundred candidates."""
    listed = dict(list(load_dictionary().translations.items())[:words])
    english = sorted({item for items in listed.values() for item in items})
    generator = np.random.default_rng(0)
    source, target = generator.normal(size=(words, 8)), generator.normal(size=(len(english), 8))
    return Bilingual(
        make_vectors(list(listed), source.astype(np.float32)),
        make_vectors(english, target.astype(np.float32)),
        type(load_dictionary())(listed),
        words,
    )


def test_hubness_counts_the_candidates_that_there_are():
    spaces = _small_spaces()
    identity = mapping.LinearMap(np.eye(8, dtype=np.float32), np.zeros(8, dtype=np.float32))
    rows, _ = spaces.queries("test")
    scores = retrieval.cosine_scores(spaces.source.vectors[rows], spaces.candidates)
    ranked = retrieval.top_candidates(scores, 10)
    assert len(spaces.candidates) < CANDIDATES
    wanted = retrieval.hubness(ranked, len(spaces.candidates))["skewness"]
    assert evaluate_map(spaces, identity, "test", False)["skewness"] == pytest.approx(wanted)


def test_bad_calls_of_the_bridge_say_what_came():
    spaces = _small_spaces()
    bridge = mapping.LinearMap(np.eye(8, dtype=np.float32), np.zeros(8, dtype=np.float32))
    word = spaces.source.index_to_key[0]
    assert len(translate(spaces, bridge, word, 3)) == 3
    for call in (
        lambda: translate(spaces, bridge.W, word),
        lambda: evaluate_map(spaces, bridge.W),
        lambda: map_vectors(spaces, bridge.W),
    ):
        with pytest.raises(TypeError, match=r"linear_map must be a LinearMap.* not its W"):
            call()
    for call in (
        lambda: translate(spaces.source, bridge, word),
        lambda: evaluate_map(None, bridge),
        lambda: crosslingual.train_english_classifier(spaces.target),
    ):
        with pytest.raises(TypeError, match="spaces must be a Bilingual"):
            call()
    for k in (-1, 0):
        with pytest.raises(ValueError, match="k must be"):
            translate(spaces, bridge, word, k)
    with pytest.raises(TypeError, match="word must be a text"):
        translate(spaces, bridge, 3)
    with pytest.raises(ValueError, match="split must be one of"):
        evaluate_map(spaces, bridge, "dev")
    with pytest.raises(ValueError, match="normalisation must be one of"):
        load_bilingual("centre")
    with pytest.raises(ValueError, match="min_count must be lower"):
        load_bilingual("none", 10**7)


def test_bad_calls_across_languages_say_what_came():
    averages, lstm, fitted = (
        crosslingual.classify_averages,
        crosslingual.classify_lstm,
        crosslingual.fit_lambda,
    )
    fail = [
        (lambda: averages(-1, 0), ValueError, "n must be a whole number, at least 0"),
        (lambda: averages(10**6, 0), ValueError, "n must be .* at most"),
        (lambda: averages(20.5, 0), TypeError, "n must be a whole number"),
        (lambda: averages(20, "0"), TypeError, "seed must be"),
        (lambda: averages(20, -1), ValueError, "seed must be"),
        (lambda: averages(20, 0, "Chinese"), ValueError, "arm must be one of"),
        (lambda: averages(0, 0, "Chinese only"), ValueError, "without any Chinese label"),
        (lambda: averages(20, 0, split="train"), ValueError, "split must be one of"),
        (lambda: averages(20, 0, pairs=10**6), ValueError, "pairs must be .* at most 3591"),
        (lambda: averages(20, 0, pairs=0), ValueError, "pairs must be"),
        (lambda: lstm(-1, 0), ValueError, "n must be a whole number, at least 0"),
        (lambda: lstm(20, 0, split="dev"), ValueError, "split must be one of"),
        (lambda: crosslingual.english_lstm("0"), TypeError, "seed must be"),
        (lambda: fitted("0.5", 20, 0), TypeError, "lam must be a number"),
        (lambda: fitted(1.5, 20, 0), ValueError, "lam must lie between 0 and 1"),
        (lambda: fitted(0.5, -1, 0), ValueError, "n must be"),
        (lambda: fitted(0.5, 20, 0, "dev"), ValueError, "split must be one of"),
    ]
    for call, error, words in fail:
        with pytest.raises(error, match=words):
            call()


def test_binary_scores_ask_for_both_classes_and_finite_scores():
    labels, positive = np.array([0, 1, 1]), np.array([0.1, 0.9, 0.4])
    assert binary_scores(labels.tolist(), positive.tolist(), 0.3)["accuracy"] == 1
    fail = [
        ((labels[:2], positive, 0.5), "labels must have 3 entries"),
        ((2 * labels - 1, positive, 0.5), "labels must be class numbers"),
        ((labels * 0, positive, 0.5), "both classes"),
        ((labels, positive * np.nan, 0.5), "positive must be finite"),
        ((labels, np.stack([positive, positive], 1), 0.5), "positive must be"),
        ((labels, positive, np.nan), "threshold must be"),
    ]
    for given_, words in fail:
        with pytest.raises(ValueError, match=words):
            binary_scores(*given_)
