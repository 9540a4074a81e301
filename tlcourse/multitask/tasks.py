"""Lesson 4's five tasks in two languages over one vocabulary and one embedding."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from gensim.models.keyedvectors import KeyedVectors

from tlcourse.arguments import check_count, shown
from tlcourse.data.datasets import (
    TextDataset,
    load_movie_reviews,
    load_news_topics,
    load_plot_or_review,
    load_speech_paragraphs,
    load_zh_reviews,
)
from tlcourse.data.text import Vocabulary
from tlcourse.finetuning.start import standard_embedding, start_from_frequencies
from tlcourse.finetuning.tasks import Data, Encoded, Task, as_dataset, encode_task
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


@dataclass(frozen=True, eq=False)
class Suite:
    """Several tasks whose words share one numbering.

    Attributes
    ----------
    tasks : mapping of str to tlcourse.finetuning.Task
    vocabulary : tlcourse.data.Vocabulary
        The most frequent words of each task's train split.
    embedding : numpy.ndarray
        float32, shape (V, d): in the course's English words as in GloVe (d = 50), Chinese words by
        lesson 2's map.
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


def build_suite(
    datasets: Mapping[str, Data],
    *,
    vectors: KeyedVectors | None = None,
    language: str = "en",
    max_words: int = 2500,
    max_length: int = 40,
) -> Suite:
    """Labelled sets of your own on one vocabulary and one embedding.

    Parameters
    ----------
    datasets : mapping of str to tlcourse.data.TextDataset or (texts, labels)
        Each task's texts; texts and labels of your own all fall into the train split.
    vectors : gensim.models.KeyedVectors, optional
        The words' vectors; left out, those of the course, for English and for Chinese words.
    language : {"en", "zh"}
        Of texts that come without a data set.
    max_words : int
        So many of each task's most frequent words.
    max_length : int
        Longer texts lose their end.
    """
    if not isinstance(datasets, Mapping) or not datasets:
        raise ValueError(
            f"datasets must map names to labelled sets, at least one; got {shown(datasets)}"
        )
    check_count("max_words", max_words)
    check_count("max_length", max_length)
    own = {name: as_dataset(data, language, name) for name, data in datasets.items()}
    words: dict[str, None] = {}
    for dataset, _ in own.values():
        train = dataset.subset("train").tokens
        words |= dict.fromkeys(Vocabulary.build(train, max_words=max_words).words[2:])
    vocabulary = Vocabulary.build([list(words)])
    spaces = _course_vectors() if vectors is None else (vectors,)
    # Not centred: a word of either language keeps its place in the space that both share.
    E = standard_embedding(vocabulary, *spaces, centre=False)
    tasks = {
        name: encode_task(name, dataset, vocabulary, max_length, classes)
        for name, (dataset, classes) in own.items()
    }
    return Suite(tasks, vocabulary, E)


def _course_vectors() -> tuple[KeyedVectors, KeyedVectors]:
    """Chinese and English; a word of both languages (a number, say) is read as English."""
    spaces = load_bilingual()
    return map_vectors(spaces, fit_least_squares(*spaces.pairs())), spaces.target


def build_multitask(
    suite: Suite, names: Sequence[str], seed: int = 0, hidden: tuple[int, int] = (64, 64)
) -> MultitaskModel:
    """A fresh trunk on the suite's embedding, with a fresh head for each named task.

    Raises
    ------
    ValueError
        If there is no such task, or none is named.
    """
    suite.check_names(names)
    classes = {name: len(suite.tasks[name].classes) for name in names}
    with Stream(seed):
        model = MultitaskModel(Encoder(suite.embedding, hidden), classes)
    start_from_frequencies(model, suite.source(names).ids)
    return model
