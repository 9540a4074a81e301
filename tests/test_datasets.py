"""Splits do not leak, and records are what they say."""

from __future__ import annotations

import copy
import functools
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlcourse.data import corpora, datasets, derived, dictionary


def test_splits_have_the_stated_shares():
    found = [datasets.split_of(f"key {number}") for number in range(20_000)]
    shares = {split: found.count(split) / len(found) for split in datasets.SPLITS}
    assert shares == pytest.approx({"train": 0.75, "validation": 0.10, "test": 0.15}, abs=0.01)


@pytest.mark.parametrize(
    ("load", "size", "classes"),
    [
        (datasets.load_zh_reviews, 17_360, 2),
        (datasets.load_movie_reviews, 12_752, 2),
        (datasets.load_speeches, 189, 2),
        (datasets.load_news_topics, 2_127, 5),
    ],
)
def test_records(load, size, classes):
    data = load()
    assert len(data) == size
    assert len(data.texts) == len(data.labels) == len(data.split) == len(data.tokens) == size
    assert set(data.labels) == set(range(classes)) == set(range(len(data.label_names)))
    assert len(set(data.texts)) == size, "duplicates"
    assert sum(len(data.subset(split)) for split in datasets.SPLITS) == size
    assert all(len(data.subset(split)) for split in datasets.SPLITS)


def test_movies_do_not_cross_splits():
    split_by_text = dict(
        zip(*(lambda d: (d.texts, d.split))(datasets.load_movie_reviews()), strict=True)
    )
    movies: dict[str, set[str]] = {}
    for row in datasets._movie_rows():
        if (split := split_by_text.get(row["text"].strip())) is not None:
            movies.setdefault(row["movie_name"], set()).add(split)
    assert len(movies) > 400
    assert all(len(splits) == 1 for splits in movies.values())


def test_corpora_hold_no_text_of_a_test_split():
    for name, load in (
        ("english", datasets.load_movie_reviews),
        ("chinese", datasets.load_zh_reviews),
    ):
        documents = set(corpora.load_corpus(name))
        data = load()
        kept = set(data.subset("train").tokens)
        judged = {t for split in ("validation", "test") for t in data.subset(split).tokens}
        # A sentence may tokenise like a training sentence; only those may be shared.
        assert not (judged - kept) & documents


def test_corpus_by_tokens():
    small = corpora.load_corpus("english", 5_000)
    assert sum(map(len, small)) == 5_000
    full = corpora.load_corpus("english")
    assert small[:-1] == full[: len(small) - 1]
    assert full[len(small) - 1][: len(small[-1])] == small[-1]
    with pytest.raises(ValueError, match="between 1 and"):
        corpora.load_corpus("english", 10**9)
    with pytest.raises(ValueError, match="name must be one of"):
        corpora.load_corpus("french")


@given(n=st.integers(2, 60), seed=st.integers(0, 5))
def test_samples_are_balanced_and_repeatable(n, seed):
    data = _toy()
    rows = data.sample_rows(n, seed)
    assert np.array_equal(rows, data.sample_rows(n, seed))
    assert len(set(rows)) == n
    counts = np.bincount(data.labels[rows], minlength=2)
    assert abs(counts[0] - counts[1]) <= 1


def _toy() -> datasets.TextDataset:
    pairs = [(f"text number {number}", number % 2) for number in range(80)]
    texts = [text for text, _ in pairs]
    return datasets.build_dataset("toy", "en", pairs, ("a", "b"), texts, cached=False)


def test_sample_errors():
    with pytest.raises(ValueError, match="number of classes"):
        _toy().sample_rows(1, 0)
    with pytest.raises(ValueError, match="there are"):
        _toy().sample_rows(100, 0)
    with pytest.raises(ValueError, match="split must be"):
        _toy().subset("dev")


def test_dictionary_is_clean_and_split_by_word():
    found = dictionary.load_dictionary()
    assert found.translations["电影"] == ("movie", "film")
    assert all(gold for gold in found.translations.values())
    assert all(
        word.replace("-", "").isalpha() and word == word.lower()
        for gold in found.translations.values()
        for word in gold
    )
    parts = [set(found.subset(split).translations) for split in datasets.SPLITS]
    assert sum(map(len, parts)) == len(set.union(*parts)) == len(found)
    with pytest.raises(ValueError, match="split must be"):
        found.subset("dev")


def test_masks_pick_the_rows_that_are_true():
    data = _toy()
    chosen = data.take(data.labels == 1)
    assert len(chosen) == 40
    assert set(chosen.labels) == {1}
    assert chosen.texts == tuple(
        text for text, label in zip(data.texts, data.labels, strict=True) if label
    )
    assert data.take([True] + [False] * 79).texts == data.texts[:1]


def test_rows_by_number_in_the_order_given():
    data = _toy()
    assert data.take([3, -1, 3]).texts == tuple(data.texts[row] for row in (3, 79, 3))
    assert data.take(range(2)).tokens == data.tokens[:2]
    assert len(data.take([])) == 0


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ([True, False], ValueError, "a mask must have 80 entries, one a row; got 2"),
        ([80], IndexError, r"between -80 and 79, got \[80\]"),
        ([-81], IndexError, "between -80"),
        ([0.0, 1.0], TypeError, "whole numbers or a mask"),
        (["0"], TypeError, "rows must be an array of numbers"),
        (3, ValueError, r"rows must be an array of numbers .* got 3"),
        ([[0, 1]], ValueError, r"rows must be .* got shape \(1, 2\)"),
    ],
)
def test_other_rows_are_refused(rows, error, message):
    with pytest.raises(error, match=message):
        _toy().take(rows)


def test_a_loaded_set_cannot_be_changed_but_a_part_of_it_can():
    data = _toy()
    for array in (data.labels, data.split):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = array[1]
    part = data.subset("train")
    part.labels[:] = 1
    assert set(data.labels) == {0, 1}


def test_two_labels_of_a_text_and_a_missing_key_are_told():
    with pytest.raises(ValueError, match="own: this text stands there as 'b' and as 'a'"):
        datasets.build_dataset("own", "en", [("x", 1), ("x ", 0)], ("a", "b"), ["x", "x"])
    with pytest.raises(ValueError, match="keys needs at least 1 text, got 0"):
        datasets.build_dataset("own", "en", [("x", 1)], ("a", "b"), [])


def test_a_key_is_a_text():
    with pytest.raises(TypeError, match="key must be a text, got 5"):
        datasets.split_of(5)
    with pytest.raises(TypeError, match="n must be a whole number"):
        _toy().sample_rows(4.0, 0)


def test_a_dictionary_cannot_be_changed_for_the_next():
    found = dictionary.load_dictionary()
    with pytest.raises(TypeError):
        found.translations["电影"] = ("nothing",)
    assert dictionary.load_dictionary().translations["电影"] == ("movie", "film")
    part = found.subset("test")
    assert pickle.loads(pickle.dumps(part)) == copy.deepcopy(part) == part


def test_damaged_tokens_are_made_again(empty_cache):
    right = (("一", "二"), (), ("三",))
    made = []

    def make():
        made.append(1)
        return right

    assert derived.cached_tokens("toy", "d1", make) == right
    assert derived.cached_tokens("toy", "d1", make) == right
    assert len(made) == 1
    (place,) = (empty_cache / "derived").glob("toy-d1.tokens")
    whole = place.read_bytes()
    for damaged in (whole[:-4], whole.replace("二".encode(), "三".encode()), b"", b"\xff"):
        place.write_bytes(damaged)
        assert derived.cached_tokens("toy", "d1", make) == right
        assert place.read_bytes() == whole
    assert len(made) == 5
    assert derived.cached_tokens("toy", "d2", lambda: (("四",),)) == (("四",),)


def test_kept_tokens_need_no_writing(empty_cache, monkeypatch):
    derived.cached_tokens("toy", "d", lambda: (("a",),))
    monkeypatch.setattr(derived, "FileLock", lambda place: pytest.fail("it locks"))
    assert derived.cached_tokens("toy", "d", lambda: pytest.fail("made again")) == (("a",),)


@pytest.mark.parametrize("name", corpora.CORPORA)
def test_a_mended_source_gives_another_corpus(monkeypatch, name):
    names = []
    monkeypatch.setattr(
        corpora, "cached_tokens", lambda name, digest, make: names.append(digest) or (("a",),)
    )
    load = functools.partial(corpora._loaded.__wrapped__, tokens=None)
    load(name)
    load(name)
    real = corpora.content_digest
    monkeypatch.setattr(corpora, "content_digest", lambda source: real(source)[::-1])
    load(name)
    assert names[0] == names[1] != names[2]


def test_corpus_of_no_count():
    with pytest.raises(TypeError, match="tokens must be a whole number"):
        corpora.load_corpus("english", 5.5)
