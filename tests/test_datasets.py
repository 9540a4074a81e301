"""Splits do not leak, records are what they say, and a learner's own file gets clear errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlcourse import corpora, datasets, dictionaries, en_text


def test_splits_have_the_stated_shares():
    found = [datasets.split_of(f"key {number}") for number in range(20_000)]
    shares = {split: found.count(split) / len(found) for split in datasets.SPLITS}
    assert shares == pytest.approx({"train": 0.75, "validation": 0.10, "test": 0.15}, abs=0.01)


@pytest.mark.parametrize(
    ("load", "size", "classes"),
    [
        (datasets.load_zh_reviews, 17_360, 2),
        (en_text.load_movie_reviews, 12_752, 2),
        (en_text.load_speeches, 189, 2),
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
        zip(*(lambda d: (d.texts, d.split))(en_text.load_movie_reviews()), strict=True)
    )
    movies: dict[str, set[str]] = {}
    for row in en_text._movie_rows():
        if (split := split_by_text.get(row["text"].strip())) is not None:
            movies.setdefault(row["movie_name"], set()).add(split)
    assert len(movies) > 400
    assert all(len(splits) == 1 for splits in movies.values())


def test_corpora_hold_no_text_of_a_test_split():
    for name, load in (
        ("english", en_text.load_movie_reviews),
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


def test_from_csv(tmp_path):
    path = tmp_path / "own.csv"
    lines = [f"review number {number},{'good' if number % 2 else 'bad'}" for number in range(60)]
    path.write_text("review,stars\n" + "\n".join(lines + lines[:5]), encoding="utf8")
    data = datasets.from_csv(path, text="review", label="stars")
    assert len(data) == 60
    assert data.label_names == ("bad", "good")
    assert data.tokens[0][:2] == ("review", "number")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,stars\na,b\n", "no column 'label'"),
        ("text,label\na,x\nb,x\n", "only one class"),
        ("text,label\na,x\n,y\n", "row 3: the text or the label is empty"),
        ("text,label\na,x\na,y\n", "row 3: this text stands there"),
        ("text,label\na,x\nb,y\n", "too few"),
        ("", "no column 'text'"),
    ],
)
def test_from_csv_errors(tmp_path, content, message):
    path = tmp_path / "own.csv"
    path.write_text(content, encoding="utf8")
    with pytest.raises(ValueError, match=message):
        datasets.from_csv(path)


def test_from_csv_encoding(tmp_path):
    path = tmp_path / "own.csv"
    path.write_bytes("text,label\n好书,x\n坏书,y\n".encode("gb18030"))
    with pytest.raises(ValueError, match="gb18030"):
        datasets.from_csv(path)


def test_dictionary_is_clean_and_split_by_word():
    dictionary = dictionaries.load_dictionary()
    assert dictionary.translations["电影"] == ("movie", "film")
    assert all(gold for gold in dictionary.translations.values())
    assert all(
        word.replace("-", "").isalpha() and word == word.lower()
        for gold in dictionary.translations.values()
        for word in gold
    )
    parts = [set(dictionary.subset(split).translations) for split in datasets.SPLITS]
    assert sum(map(len, parts)) == len(set.union(*parts)) == len(dictionary)
    with pytest.raises(ValueError, match="split must be"):
        dictionary.subset("dev")
