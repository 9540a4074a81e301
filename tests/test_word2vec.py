from __future__ import annotations

import numpy as np
import pytest

from tlcourse.embeddings.word2vec import train_word2vec
from tlcourse.training import Cancelled

SENTENCES = [["the", "cat", "sat"], ["the", "dog", "sat"], ["a", "cat", "ran"]] * 400


def test_training_is_repeatable_and_seeded():
    options = {"vector_size": 8, "epochs": 2, "min_count": 1}
    first, again, other = (train_word2vec(SENTENCES, **options, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.vectors, again.vectors)
    assert not np.array_equal(first.vectors, other.vectors)
    assert first.get_vecattr("the", "count") == 800


def test_subwords():
    vectors = train_word2vec(SENTENCES, vector_size=8, epochs=1, subwords=2)
    assert vectors.vectors.shape == (len(vectors), 8)


def test_progress_and_cancel():
    seen = []
    train_word2vec(SENTENCES, epochs=3, vector_size=4, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(1.0)

    def stop(share):
        if share > 0.3:
            raise Cancelled

    with pytest.raises(Cancelled):
        train_word2vec(SENTENCES, epochs=50, vector_size=4, progress=stop)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 0}, "window must be"),
        ({"min_count": 10**6}, "no word occurs"),
        ({"min_count": 0}, "min_count must be a whole number, at least 1"),
        ({"subwords": -1}, "subwords must be"),
        ({"sample": -1.0}, "sample must be"),
        ({"sample": float("nan")}, "sample must be"),
    ],
)
def test_training_errors(options, message):
    with pytest.raises(ValueError, match=message):
        train_word2vec(SENTENCES, **options)


def test_texts_in_the_place_of_words_are_refused():
    with pytest.raises(TypeError, match=r"sentences must be .* number 0 is one text: 'the film"):
        train_word2vec(["the film was good"] * 30)
    with pytest.raises(TypeError, match="sentences must be sequences of words"):
        train_word2vec("the film was good")
    with pytest.raises(TypeError, match="epochs must be a whole number"):
        train_word2vec(SENTENCES, epochs=1.5)
    with pytest.raises(ValueError, match="no word occurs 5 times in these 0 sentences"):
        train_word2vec([])


def test_a_stream_of_sentences_is_taken():
    options = {"vector_size": 4, "epochs": 1}
    streamed = train_word2vec(iter(SENTENCES), **options)
    assert np.array_equal(streamed.vectors, train_word2vec(SENTENCES, **options).vectors)
