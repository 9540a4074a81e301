"""Lesson 1: train word vectors, with progress and a way to stop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gensim.models import FastText, Word2Vec
from gensim.models.callbacks import CallbackAny2Vec
from gensim.models.keyedvectors import KeyedVectors

from tlcourse.arguments import check_count, check_documents, check_number
from tlcourse.embeddings.vectors import make_vectors
from tlcourse.training import Cancelled, Progress


def train_word2vec(
    sentences: Sequence[Sequence[str]],
    *,
    vector_size: int = 100,
    window: int = 5,
    epochs: int = 5,
    min_count: int = 5,
    subwords: int = 0,
    sample: float = 1e-3,
    seed: int = 0,
    progress: Progress | None = None,
) -> KeyedVectors:
    """Train skip-gram word vectors with negative sampling.

    Parameters
    ----------
    sentences : sequence of token lists
    vector_size : int
        d, the width of E.
    window : int
        Context words are taken from up to this many positions on either side.
    epochs : int
        Passes over the sentences.
    min_count : int
        Rarer words get no vector.
    subwords : int
        0 for Word2Vec; n for fastText, whose word vectors are sums over the word's
        character n-grams of 1 to n characters as well.
    sample : float
        Threshold above which frequent words are thinned out.
    seed : int
        One thread is used, so a seed gives the same vectors again.
    progress : callable, optional
        See `tlcourse.training.Progress`; may cancel the run.

    Returns
    -------
    gensim.models.keyedvectors.KeyedVectors
        E has shape (V, vector_size).

    Raises
    ------
    TypeError
        If a sentence is a text and not a list of words.
    ValueError
        If no word occurs ``min_count`` times, or a size is below 1.
    Cancelled
        If ``progress`` asked for it.

    References
    ----------
    Mikolov et al. (2013), "Distributed representations of words and phrases and their
    compositionality"; Bojanowski et al. (2017), "Enriching word vectors with subword
    information".
    """
    sentences = check_documents("sentences", sentences)
    sizes = {"vector_size": vector_size, "window": window, "epochs": epochs, "min_count": min_count}
    for name, value in sizes.items():
        check_count(name, value)
    check_count("subwords", subwords, 0)
    check_count("seed", seed, 0)
    check_number("sample", sample, 0)
    watched = _Watched(sentences, epochs, progress)
    options: dict[str, float] = {
        "vector_size": vector_size,
        "window": window,
        "min_count": min_count,
    }
    options |= {"sample": sample, "sg": 1, "seed": seed, "workers": 1}
    if subwords:
        options |= {"min_n": 1, "max_n": subwords, "bucket": 200_000}
    model = (FastText if subwords else Word2Vec)(**options)
    model.build_vocab(list(sentences))
    if not len(model.wv):
        raise ValueError(
            f"no word occurs {min_count} times in these {len(sentences)} sentences; "
            "give more text or a lower min_count"
        )
    model.train(
        watched, total_examples=len(sentences), epochs=epochs, callbacks=[_StopIfCancelled(watched)]
    )
    words = list(model.wv.index_to_key)
    counts = [model.wv.get_vecattr(word, "count") for word in words]
    return make_vectors(words, model.wv.vectors, counts)


class _Watched:
    """Sentences that report how many of them were read.

    gensim reads them in a thread of its own, where an exception would hang the training:
    so a cancelled run is told by sentences that end early.
    """

    def __init__(
        self, sentences: Sequence[Sequence[str]], epochs: int, progress: Progress | None
    ) -> None:
        self.sentences, self.total, self.progress = sentences, epochs * len(sentences), progress
        self.read, self.cancelled = 0, False

    def __iter__(self) -> Iterator[Sequence[str]]:
        for sentence in self.sentences:
            self.read += 1
            if self.progress is not None and self.read % 200 == 0:
                try:
                    self.progress(min(self.read / self.total, 1.0))
                except Cancelled:
                    self.cancelled = True
            if self.cancelled:
                return
            yield sentence


class _StopIfCancelled(CallbackAny2Vec):
    def __init__(self, watched: _Watched) -> None:
        self.watched = watched

    def on_epoch_end(self, model: object) -> None:
        if self.watched.cancelled:
            raise Cancelled
