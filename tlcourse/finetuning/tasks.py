"""Labelled tasks as tensors, and models that start with or without pretraining."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from gensim.models.keyedvectors import KeyedVectors

from tlcourse.arguments import check_choice, check_rows, shown
from tlcourse.data.datasets import SPLITS, TextDataset, load_movie_reviews, load_zh_reviews
from tlcourse.data.text import Vocabulary
from tlcourse.embeddings.vectors import embedding_matrix, load_glove, load_vectors
from tlcourse.mapping.linear_map import fit_least_squares
from tlcourse.mapping.spaces import load_bilingual, map_vectors
from tlcourse.models import Encoder, SharedModel, TransferModel
from tlcourse.paths import data_dir
from tlcourse.training import Stream

TASKS = {
    "zh_reviews": ("random", "own vectors", "mapped vectors"),
    "movie_reviews": ("random", "own vectors", "GloVe"),
}
"""Each task with the embeddings that its encoder can start from."""

INITS = {"zh": TASKS["zh_reviews"], "en": TASKS["movie_reviews"]}
"""The same for a task of your own, by its language."""

MAX_WORDS = 5000
MAX_LENGTH = 60


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

    def copy(self) -> Encoded:
        """The same texts in tensors of their own."""
        parts = (self.ids, self.lengths, self.labels, self.weights)
        return Encoded(*(None if part is None else part.clone() for part in parts))  # type: ignore[arg-type]

    def take(self, rows: torch.Tensor | np.ndarray | Sequence[int]) -> Encoded:
        """The chosen rows: their numbers, or a boolean mask of n entries."""
        rows = torch.from_numpy(check_rows("rows", rows, len(self)))
        return replace(
            self,
            ids=self.ids[rows],
            lengths=self.lengths[rows],
            labels=None if self.labels is None else self.labels[rows],
            weights=None if self.weights is None else self.weights[rows],
        )


@dataclass(frozen=True, eq=False)
class Task:
    """A labelled task over one vocabulary: the data set and its three splits as tensors."""

    name: str
    dataset: TextDataset
    vocabulary: Vocabulary
    splits: Mapping[str, Encoded]
    max_length: int = MAX_LENGTH

    def copy(self) -> Task:
        """The same task with tensors of its own; data set and vocabulary are shared."""
        return replace(self, splits={name: part.copy() for name, part in self.splits.items()})

    def sample(self, n: int, seed: int) -> Encoded:
        """N labelled texts of the train split, evenly over the classes."""
        train = self.dataset.subset("train")
        return self.splits["train"].take(train.sample_rows(n, seed))

    def encode(self, dataset: TextDataset) -> Encoded:
        """Other texts in the same numbers."""
        ids, lengths = self.vocabulary.encode_batch(dataset.tokens, self.max_length)
        labels = torch.as_tensor(dataset.labels)
        return Encoded(torch.as_tensor(ids), torch.as_tensor(lengths), labels)


def load_task(name: str = "zh_reviews") -> Task:
    """A task by name: Chinese reviews or English movie reviews.

    The vocabulary has the `MAX_WORDS` most frequent words of the train split. The tensors are
    the caller's own.
    """
    return _load_task(check_choice("task", name, TASKS)).copy()


@lru_cache(maxsize=2)
def _load_task(name: str) -> Task:
    dataset = load_zh_reviews() if name == "zh_reviews" else load_movie_reviews()
    vocabulary = Vocabulary.build(dataset.subset("train").tokens, max_words=MAX_WORDS - 2)
    return encode_task(name, dataset, vocabulary)


def encode_task(
    name: str, dataset: TextDataset, vocabulary: Vocabulary, max_length: int = MAX_LENGTH
) -> Task:
    """A data set's three splits in the numbers of a vocabulary."""
    task = Task(name, dataset, vocabulary, {}, max_length)
    return replace(task, splits={name: task.encode(dataset.subset(name)) for name in SPLITS})


def initial_embedding(task: Task, init: str | KeyedVectors, seed: int = 0) -> np.ndarray:
    """The embedding matrix that an encoder starts from.

    Parameters
    ----------
    init : str or gensim.models.KeyedVectors
        One of ``INITS[task.dataset.language]``: random numbers, the vectors of lesson 1, the
        Chinese vectors mapped into the English space of lesson 2, or GloVe. Or vectors of your
        own.

    Returns
    -------
    numpy.ndarray
        float32, shape (V, d), centred and divided by the standard deviation of all the
        vectors there are; row 0 is zero. A word without a vector gets random numbers.
    """
    _check_init(task, init)
    vectors: KeyedVectors | None
    if isinstance(init, KeyedVectors):
        vectors, d = init, init.vector_size
    elif init == "random":
        vectors, d = None, 100
    elif init == "own vectors":
        vectors = load_vectors("zh" if task.dataset.language == "zh" else "en")
        d = vectors.vector_size
    elif init == "GloVe":
        vectors, d = load_glove(), 50
    else:
        spaces = load_bilingual()
        vectors, d = map_vectors(spaces, fit_least_squares(*spaces.pairs())), 50
    E = np.random.default_rng(seed).normal(size=(len(task.vocabulary), d)).astype(np.float32)
    if vectors is not None:
        matrix, known = embedding_matrix(task.vocabulary, vectors)
        E[known] = (matrix[known] - vectors.vectors.mean(axis=0)) / vectors.vectors.std()
    E[0] = 0
    return E


def build_model(
    task: Task, init: str | KeyedVectors = "own vectors", pretrained: bool = True, seed: int = 0
) -> TransferModel:
    """A model with a fresh head, its shared layers pretrained or fresh.

    Parameters
    ----------
    init : str or gensim.models.KeyedVectors
        See `initial_embedding`.
    pretrained : bool
        Load the shared layers and the language-model head that the course ships; it has none
        for a task or for vectors of your own.
    seed : int
        For all weights that are not loaded.

    Raises
    ------
    ValueError, FileNotFoundError
        If there is no such embedding, or no pretrained model for the task.
    """
    _check_init(task, init)
    if pretrained and isinstance(init, KeyedVectors):
        raise ValueError("no pretrained model has vectors of your own; take pretrained=False")
    E, classes = initial_embedding(task, init, seed), len(task.dataset.label_names)
    with Stream(seed):
        model = TransferModel(Encoder(E), classes)
    start_from_frequencies(model, task.splits["train"].ids)
    if pretrained:
        assert isinstance(init, str)
        load_checkpoint(model, task, init)
    return model


def start_from_frequencies(model: SharedModel, ids: torch.Tensor) -> None:
    """Let a language-model head begin with the words' frequencies in some texts."""
    counts = torch.bincount(ids[ids > 0], minlength=len(model.lm_head.bias)) + 0.5
    with torch.no_grad():
        model.lm_head.bias.copy_((counts / counts.sum()).log())


def checkpoint_path(task: str, init: str, folder: Path | None = None) -> Path:
    """Where a pretrained model lies."""
    return (folder or data_dir() / "models") / f"{task}-{init.replace(' ', '_')}.safetensors"


def save_checkpoint(model: TransferModel, task: Task, init: str, folder: Path | None) -> Path:
    """Write shared layers and language-model head, as float16, with the vocabulary."""
    from safetensors.torch import save_file

    path = checkpoint_path(task.name, init, folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    weights = {
        name: value.half() for name, value in model.state_dict().items() if name[:5] != "head."
    }
    words = json.dumps(task.vocabulary.words, ensure_ascii=False)
    unfinished = path.with_suffix(".tmp")
    save_file(weights, unfinished, {"words": words})
    os.replace(unfinished, path)
    return path


def load_checkpoint(model: TransferModel, task: Task, init: str) -> None:
    """Load what `save_checkpoint` wrote.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If it was made with other words or has other parameters.
    """
    from safetensors import safe_open

    path = checkpoint_path(task.name, init)
    again = f"make it again with: tlcourse pretrain {path.stem}"
    if task.name not in TASKS:
        again = (
            f"the course ships models for {tuple(TASKS)} only: take pretrained=False, or pretrain "
            "with tune(model, None, lam=1, …) and keep the model with save_checkpoint"
        )
    if not path.is_file():
        raise FileNotFoundError(f"no pretrained model {path}; {again}")
    with safe_open(path, "pt") as stored:
        if json.loads(stored.metadata()["words"]) != list(task.vocabulary.words):
            raise ValueError(f"{path} was made with another vocabulary; {again}")
        weights = {name: stored.get_tensor(name).float() for name in stored.keys()}  # noqa: SIM118
    missing, unexpected = model.load_state_dict(weights, strict=False)
    # A name that matches nothing would be skipped in silence: only the new head may be missing.
    if unexpected or any(name[:5] != "head." for name in missing):
        raise ValueError(f"{path} does not fit the model: {missing}, {unexpected}; {again}")


def _check_init(task: Task, init: str | KeyedVectors) -> None:
    known = INITS[task.dataset.language]
    if not isinstance(init, KeyedVectors) and not (isinstance(init, str) and init in known):
        raise ValueError(
            f"init must be one of {known} for {task.name}, or KeyedVectors; got {shown(init)}"
        )
