"""Lesson 4's five tasks in two languages over one vocabulary and one embedding."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from gensim.models.keyedvectors import KeyedVectors

from tlcourse.data.datasets import (
    TextDataset,
    load_movie_reviews,
    load_news_topics,
    load_plot_or_review,
    load_speech_paragraphs,
    load_zh_reviews,
)
from tlcourse.data.text import Vocabulary
from tlcourse.embeddings.vectors import embedding_matrix
from tlcourse.finetuning.tasks import Encoded, Task, encode_task, start_from_frequencies
from tlcourse.mapping.linear_map import fit_least_squares
from tlcourse.mapping.spaces import load_bilingual, map_vectors
from tlcourse.models import Encoder, MultitaskModel
from tlcourse.training import Stream

SUITE: Mapping[str, Callable[[], TextDataset]] = {
    "movies": load_movie_reviews,
    "news": load_news_topics,
    "plots": load_plot_or_review,
    "party": load_speech_paragraphs,
    "chinese": load_zh_reviews,
}
"""Movie sentiment, news topic, plot or review, party of a speech, Chinese sentiment."""

MAX_WORDS = 2500
MAX_LENGTH = 40
HIDDEN = (64, 64)


@dataclass(frozen=True, eq=False)
class Suite:
    """Several tasks whose words share one numbering.

    Attributes
    ----------
    tasks : mapping of str to tlcourse.finetuning.Task
    vocabulary : tlcourse.data.Vocabulary
        The `MAX_WORDS` most frequent words of each task's train split.
    embedding : numpy.ndarray
        float32, shape (V, 50): English words as in GloVe, Chinese words by lesson 2's map.
    """

    tasks: Mapping[str, Task]
    vocabulary: Vocabulary
    embedding: np.ndarray

    def sample(self, sizes: Mapping[str, int], seed: int) -> dict[str, Encoded]:
        """Labelled train texts: each task's number of them, evenly over its classes."""
        self.check_names(list(sizes))
        return {name: self.tasks[name].sample(n, seed) for name, n in sizes.items()}

    def source(self, names: Sequence[str]) -> Encoded:
        """The texts of these tasks' train splits without labels, as many of each."""
        self.check_names(names)
        splits = [self.tasks[name].splits["train"] for name in names]
        few = min(map(len, splits))
        order = torch.Generator().manual_seed(0)
        parts = [part.take(torch.randperm(len(part), generator=order)[:few]) for part in splits]
        return Encoded(
            torch.cat([part.ids for part in parts]), torch.cat([part.lengths for part in parts])
        )

    def check_names(self, names: Sequence[str]) -> None:
        """Refuse names of no task, or none at all."""
        if isinstance(names, str) or not names or any(name not in self.tasks for name in names):
            found = names if isinstance(names, str) else tuple(names)
            raise ValueError(f"names must be some of {tuple(self.tasks)}, got {found!r}")


def load_suite() -> Suite:
    """The five tasks of `SUITE`; tensors and arrays are the caller's own."""
    suite = _load_suite()
    tasks = {name: task.copy() for name, task in suite.tasks.items()}
    return replace(suite, tasks=tasks, embedding=suite.embedding.copy())


@lru_cache(maxsize=1)
def _load_suite() -> Suite:
    return build_suite({name: load() for name, load in SUITE.items()})


def build_suite(datasets: Mapping[str, TextDataset]) -> Suite:
    """Labelled sets of your own, English or Chinese, on one vocabulary and one embedding.

    Parameters
    ----------
    datasets : mapping of str to tlcourse.data.TextDataset
        Each task's texts, as `tlcourse.data.load_labelled` gives them.
    """
    if not datasets:
        raise ValueError("at least one labelled set is needed")
    words: dict[str, None] = {}
    for dataset in datasets.values():
        train = dataset.subset("train").tokens
        words |= dict.fromkeys(Vocabulary.build(train, max_words=MAX_WORDS).words[2:])
    vocabulary = Vocabulary.build([list(words)])
    tasks = {
        name: encode_task(name, dataset, vocabulary, MAX_LENGTH)
        for name, dataset in datasets.items()
    }
    return Suite(tasks, vocabulary, _embedding(vocabulary))


def _embedding(vocabulary: Vocabulary) -> np.ndarray:
    """A row for each word; a word of both languages (a number, say) is read as English."""
    spaces = load_bilingual()
    mapped = map_vectors(spaces, fit_least_squares(*spaces.pairs()))
    E = np.random.default_rng(0).normal(size=(len(vocabulary), mapped.vector_size))
    for vectors in (mapped, spaces.target):
        found, known = embedding_matrix(vocabulary, vectors)
        # Least squares shrinks what it maps: each language by its own standard deviation.
        E[known] = found[known] / _scale(vectors)
    E[0] = 0
    return E.astype(np.float32)


def _scale(vectors: KeyedVectors) -> float:
    return float(vectors.vectors.std())


def build_multitask(suite: Suite, names: Sequence[str], seed: int = 0) -> MultitaskModel:
    """A fresh trunk on the suite's embedding, with a fresh head for each named task.

    Raises
    ------
    ValueError
        If there is no such task, or none is named.
    """
    suite.check_names(names)
    classes = {name: len(suite.tasks[name].dataset.label_names) for name in names}
    with Stream(seed):
        model = MultitaskModel(Encoder(suite.embedding, HIDDEN), classes)
    start_from_frequencies(model, suite.source(names).ids)
    return model
