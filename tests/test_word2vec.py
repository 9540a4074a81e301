from __future__ import annotations

import numpy as np
import pytest

from tlcourse.training import Cancelled
from tlcourse.word2vec import train_word2vec

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
    [({"window": 0}, "window must be"), ({"min_count": 10**6}, "no word occurs")],
)
def test_training_errors(options, message):
    with pytest.raises(ValueError, match=message):
        train_word2vec(SENTENCES, **options)
