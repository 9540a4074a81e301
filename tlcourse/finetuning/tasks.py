"""Labelled texts as tensors over one vocabulary: the course's tasks, and one's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from tlcourse.arguments import (
    check_choice,
    check_count,
    check_kind,
    check_kinds,
    check_rows,
    check_text,
    check_texts,
    shown,
)
from tlcourse.data.datasets import SPLITS, TextDataset, load_movie_reviews, load_zh_reviews
from tlcourse.data.text import Vocabulary, tokenise
from tlcourse.training import batches, choose_device

TASKS = {
    "zh_reviews": ("random", "own vectors", "mapped vectors"),
    "movie_reviews": ("random", "own vectors", "GloVe"),
}
"""Each task with the embeddings that its encoder can start from."""

Classes = tuple[str, ...] | tuple[int, ...]
Data = TextDataset | tuple[Sequence[str], Sequence[str | int]]


@dataclass(frozen=True)
class Encoded:
    """Texts as padded rows of word numbers.

    Attributes
    ----------
    ids : torch.Tensor
        int64, shape (n, length); 0 is padding.
    lengths : torch.Tensor
        int64, shape (n,).
    labels : torch.Tensor, optional
        int64, shape (n,).
    weights : torch.Tensor, optional
        float32, shape (n,): how much each example counts.

    Raises
    ------
    ValueError
        If the shapes do not fit each other.
    """

    ids: torch.Tensor
    lengths: torch.Tensor
    labels: torch.Tensor | None = None
    weights: torch.Tensor | None = None

    def __post_init__(self) -> None:
        for name in ("ids", "lengths", "labels", "weights"):
            if (given := getattr(self, name)) is not None or name in ("ids", "lengths"):
                check_kind(name, given, torch.Tensor)
        if self.ids.ndim != 2:
            raise ValueError(f"ids must have shape (n, length), got {tuple(self.ids.shape)}")
        for name in ("lengths", "labels", "weights"):
            given = getattr(self, name)
            if given is not None and tuple(given.shape) != (len(self.ids),):
                raise ValueError(
                    f"{name} must have shape ({len(self.ids)},), one entry for each row of ids; "
                    f"got {tuple(given.shape)}"
                )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def inputs(self) -> tuple[torch.Tensor, torch.Tensor]:
        """What a model is called with: ``tlcourse.training.predict(model, texts.inputs)``."""
        return self.ids, self.lengths

    def copy(self) -> Encoded:
        """The same texts in tensors of their own."""
        return self._each(torch.clone)

    def to(self, device: torch.device | str) -> Encoded:
        """The same texts on a device."""
        place = choose_device(device)
        return self._each(lambda part: part.to(place))

    def take(self, rows: torch.Tensor | np.ndarray | Sequence[int]) -> Encoded:
        """The chosen rows: their numbers, or a boolean mask of n entries."""
        chosen = torch.from_numpy(check_rows("rows", rows, len(self))).to(self.ids.device)
        return self._each(lambda part: part[chosen])

    def batches(self, size: int, seed: int) -> Iterator[Encoded]:
        """One batch after the other, for ever, by an order of its own; every text once an epoch."""
        check_count("size", size), check_count("seed", seed, 0)
        for rows in batches(len(self), size, torch.Generator().manual_seed(seed)):
            yield self.take(rows)

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Encoded:
        return Encoded(
            change(self.ids),
            change(self.lengths),
            None if self.labels is None else change(self.labels),
            None if self.weights is None else change(self.weights),
        )


def check_encoded(name: str, texts: Any) -> Encoded:
    """Encoded texts, at least one, and not the texts themselves."""
    if not isinstance(texts, Encoded):
        raise TypeError(
            f"{name} must be Encoded, as task.encode(texts, labels) gives it, got {shown(texts)}"
        )
    if not len(texts):
        raise ValueError(f"{name} must hold texts, at least one; got none")
    return texts


def labels_of(name: str, texts: Any) -> torch.Tensor:
    """The labels of encoded texts, which must have them."""
    labels = check_encoded(name, texts).labels
    if labels is None:
        raise ValueError(f"{name} must hold labelled texts; got {len(texts)} texts without labels")
    return labels


@dataclass(frozen=True, eq=False)
class Task:
    """A labelled task over one vocabulary: the data set and its three splits as tensors.

    Attributes
    ----------
    name : str
    dataset : tlcourse.data.TextDataset
    vocabulary : tlcourse.data.Vocabulary
    splits : mapping of str to Encoded
    max_length : int
        Longer texts lose their end.
    classes : tuple of str or of int
        The labels as they were given; class number c is ``classes[c]``.
    """

    name: str
    dataset: TextDataset
    vocabulary: Vocabulary
    splits: Mapping[str, Encoded]
    max_length: int
    classes: Classes

    def copy(self) -> Task:
        """The same task with tensors of its own; data set and vocabulary are shared."""
        return replace(self, splits={name: part.copy() for name, part in self.splits.items()})

    def sample(self, n: int, seed: int) -> Encoded:
        """N labelled texts of the train split, evenly over the classes."""
        train = self.dataset.subset("train")
        return self.splits["train"].take(train.sample_rows(n, seed))

    def encode(
        self, texts: TextDataset | Sequence[str], labels: Sequence[str | int] | None = None
    ) -> Encoded:
        """Other texts in the same numbers, with their labels if there are any.

        Parameters
        ----------
        texts : sequence of str, or tlcourse.data.TextDataset
            A data set brings its labels along.
        labels : sequence of str or of int, optional
            Some of ``classes``; where these are names, their numbers will do.
        """
        numbers: np.ndarray | None
        if isinstance(texts, TextDataset):
            tokens, numbers = texts.tokens, texts.labels
            if texts.label_names != self.dataset.label_names:
                raise ValueError(
                    f"texts must have the classes {self.dataset.label_names}, in this order; got "
                    f"{texts.label_names}"
                )
        else:
            tokens = _tokens(texts, self.dataset.language)
            numbers = None if labels is None else class_numbers(labels, self.classes)
        ids, lengths = map(torch.as_tensor, self.vocabulary.encode_batch(tokens, self.max_length))
        return Encoded(ids, lengths, None if numbers is None else torch.tensor(numbers))


def class_numbers(labels: Sequence[str | int] | np.ndarray, classes: Classes) -> np.ndarray:
    """Labels as class numbers: each is one of the classes or, where these are names, its number.

    Examples
    --------
    >>> class_numbers(["good", "bad", 1], ("bad", "good")).tolist()
    [1, 0, 1]
    """
    number_of: dict[Any, int] = {value: number for number, value in enumerate(classes)}
    if all(isinstance(name, str) for name in classes):
        number_of |= {number: number for number in range(len(classes))}
    given = _labels(labels)
    if unknown := [value for value in given if value not in number_of]:
        raise ValueError(f"labels must be among {shown(classes)}, got {shown(unknown)}")
    return np.array([number_of[value] for value in given], dtype=np.int64)


def as_dataset(
    data: Data, language: str = "en", name: str = "own texts"
) -> tuple[TextDataset, Classes]:
    """Texts and labels of one's own as a data set, all in the train split, and its classes.

    Parameters
    ----------
    data : (texts, labels), or tlcourse.data.TextDataset
        A data set is handed back with its class names. Labels are names or numbers; their
        order is that of the alphabet, or of size.
    language : {"en", "zh"}
        How the texts are split into tokens.
    """
    check_text("name", name)
    if isinstance(data, TextDataset):
        return data, data.label_names
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise TypeError(f"data must be a TextDataset or (texts, labels), got {shown(data)}")
    texts, given = check_texts("texts", data[0]), _labels(data[1])
    if len(given) != len(texts):
        raise ValueError(f"labels must have {len(texts)} entries, one a text, got {len(given)}")
    if len({type(value) for value in given}) > 1 or not isinstance(given[0], (str, int)):
        raise TypeError(f"labels must be all names or all whole numbers, got {shown(given)}")
    classes = tuple(sorted(set(given)))
    if len(classes) < 2:
        raise ValueError(f"labels need at least two classes, got {classes}")
    tokens, split = _tokens(texts, language), np.full(len(texts), "train")
    names, labels = tuple(map(str, classes)), class_numbers(given, classes)
    return TextDataset(name, language, tuple(texts), labels, names, split, tokens), classes


def _labels(labels: Any) -> list[Any]:
    if isinstance(labels, str) or not (hasattr(labels, "tolist") or isinstance(labels, Iterable)):
        raise TypeError(f"labels must be a sequence, one a text, got {shown(labels)}")
    return labels.tolist() if hasattr(labels, "tolist") else [*labels]


def _tokens(texts: Sequence[str], language: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(tokenise(text, language)) for text in check_texts("texts", texts))


def load_task(name: str = "zh_reviews") -> Task:
    """A task by name: Chinese reviews or English movie reviews.

    The vocabulary has the 5,000 most frequent words of the train split. The tensors are
    the caller's own.
    """
    return _load_task(check_choice("name", name, TASKS)).copy()


@lru_cache(maxsize=2)
def _load_task(name: str) -> Task:
    dataset = load_zh_reviews() if name == "zh_reviews" else load_movie_reviews()
    vocabulary = Vocabulary.build(dataset.subset("train").tokens, max_words=4998)
    return encode_task(name, dataset, vocabulary)


def encode_task(
    name: str,
    dataset: TextDataset,
    vocabulary: Vocabulary,
    max_length: int = 60,
    classes: Classes | None = None,
) -> Task:
    """A data set's three splits in the numbers of a vocabulary."""
    check_text("name", name)
    check_kinds(dataset=(dataset, TextDataset), vocabulary=(vocabulary, Vocabulary))
    task = Task(name, dataset, vocabulary, {}, max_length, classes or dataset.label_names)
    return replace(task, splits={name: task.encode(dataset.subset(name)) for name in SPLITS})
