"""Models to start from: fresh or pretrained, over any word vectors, for a task of one's own too."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from gensim.models.keyedvectors import KeyedVectors

from tlcourse.arguments import check_choice, check_count, check_kind, shown
from tlcourse.data.datasets import TextDataset
from tlcourse.data.text import Vocabulary
from tlcourse.embeddings.vectors import embedding_matrix, load_glove, load_vectors
from tlcourse.finetuning.tasks import TASKS, Task, as_dataset, encode_task
from tlcourse.mapping.linear_map import fit_least_squares
from tlcourse.mapping.spaces import load_bilingual, map_vectors
from tlcourse.models import Encoder, SharedModel, TransferModel
from tlcourse.paths import data_dir
from tlcourse.training import Stream

INITS = {"zh": TASKS["zh_reviews"], "en": TASKS["movie_reviews"]}
"""Embeddings to start from, for a task of the course or of your own, by its language."""


def build(
    texts: TextDataset | Sequence[str],
    labels: Sequence[str | int] | None = None,
    *,
    vectors: KeyedVectors | None = None,
    language: str = "en",
    max_words: int = 5000,
    max_length: int = 60,
    hidden: tuple[int, int] = (128, 64),
    seed: int = 0,
) -> tuple[TransferModel, Task]:
    """A fresh model for texts of one's own, and the task that puts texts into its numbers.

    Parameters
    ----------
    texts : sequence of str, or tlcourse.data.TextDataset
        Of a data set the train split counts.
    labels : sequence of str or of int, optional
        One for each text; a data set has its own.
    vectors : gensim.models.KeyedVectors, optional
        Word vectors to start from; random numbers, d = 100, if left out.
    language : {"en", "zh"}
        How the texts are split into tokens.
    max_words : int
        The vocabulary has so many of the most frequent words.
    max_length : int
        Longer texts lose their end.
    hidden : tuple of int
        Widths of the lower and the upper LSTM.
    seed : int
        For all weights that are not given.

    Returns
    -------
    TransferModel
        See `tlcourse.finetuning.tune`.
    Task
        Its ``splits["train"]`` are the texts; ``encode(texts, labels)`` encodes others.
    """
    data = (
        texts if isinstance(texts, TextDataset) else (texts, labels if labels is not None else ())
    )
    dataset, classes = as_dataset(data, language)
    check_count("max_words", max_words), check_count("max_length", max_length)
    check_count("seed", seed, 0)
    check_kind("vectors", vectors, (KeyedVectors, type(None)), "KeyedVectors")
    vocabulary = Vocabulary.build(dataset.subset("train").tokens, max_words=max_words)
    task = encode_task(dataset.name, dataset, vocabulary, max_length, classes)
    if not len(task.splits["train"]):
        raise ValueError("texts needs at least one text in its train split")
    given = () if vectors is None else (vectors,)
    return _fresh(task, standard_embedding(vocabulary, *given, seed=seed), hidden, seed), task


def _fresh(task: Task, E: np.ndarray, hidden: tuple[int, int], seed: int) -> TransferModel:
    with Stream(seed):
        model = TransferModel(Encoder(E, hidden), len(task.classes))
    start_from_frequencies(model, task.splits["train"].ids)
    return model


def standard_embedding(
    vocabulary: Vocabulary, *vectors: KeyedVectors, centre: bool = True, seed: int = 0
) -> np.ndarray:
    """An embedding matrix on the scale of a fresh one: float32, shape (V, d); row 0 is zero.

    Parameters
    ----------
    vocabulary : tlcourse.data.Vocabulary
    *vectors : gensim.models.KeyedVectors
        Each divided by the standard deviation of all its numbers; of a word that several know
        the last ones' vector is taken. A word that none knows gets random numbers, as all do
        (d = 100) without vectors.
    centre : bool
        Take the mean vector away first.
    """
    for some in vectors:
        if not isinstance(some, KeyedVectors):
            raise TypeError(f"vectors must be KeyedVectors, got {shown(some)}")
    check_kind("vocabulary", vocabulary, Vocabulary)
    check_choice("centre", centre, (True, False)), check_count("seed", seed, 0)
    size = vectors[0].vector_size if vectors else 100
    E = np.random.default_rng(seed).normal(size=(len(vocabulary), size)).astype(np.float32)
    for some in vectors:
        found, known = embedding_matrix(vocabulary, some)
        mean = some.vectors.mean(axis=0) if centre else np.float32(0)
        E[known] = (found[known] - mean) / some.vectors.std()
    E[0] = 0
    return E


def initial_embedding(task: Task, init: str, seed: int = 0) -> np.ndarray:
    """The embedding matrix that an encoder starts from.

    Parameters
    ----------
    init : str
        One of ``INITS[task.dataset.language]``: random numbers, the vectors of lesson 1, the
        Chinese vectors mapped into the English space of lesson 2, or GloVe.

    Returns
    -------
    numpy.ndarray
        float32, shape (V, d), centred and divided by the standard deviation of all the
        vectors there are; row 0 is zero. A word without a vector gets random numbers.
    """
    check_choice("init", init, INITS[check_kind("task", task, Task).dataset.language])
    if init == "random":
        return standard_embedding(task.vocabulary, seed=seed)
    if init == "mapped vectors":
        spaces = load_bilingual()
        vectors = map_vectors(spaces, fit_least_squares(*spaces.pairs()))
    else:
        vectors = load_glove() if init == "GloVe" else load_vectors(task.dataset.language)
    return standard_embedding(task.vocabulary, vectors, seed=seed)


def build_model(
    task: Task, init: str = "own vectors", pretrained: bool = True, seed: int = 0
) -> TransferModel:
    """A model with a fresh head, its shared layers pretrained or fresh.

    See `build` for one over vectors of your own.

    Parameters
    ----------
    init : str
        See `initial_embedding`.
    pretrained : bool
        Load the shared layers and the language-model head that the course ships; it has none
        for a task of your own.
    seed : int
        For all weights that are not loaded.

    Raises
    ------
    ValueError, FileNotFoundError
        If there is no such embedding, or no pretrained model for the task.
    """
    check_choice("pretrained", pretrained, (True, False))
    model = _fresh(task, initial_embedding(task, init, seed), (128, 64), seed)
    if pretrained:
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


def load_checkpoint(
    model: TransferModel, task: Task, init: str, folder: Path | None = None
) -> None:
    """Load what `save_checkpoint` wrote.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If it was made with other words or has other parameters.
    """
    from safetensors import safe_open

    path = checkpoint_path(task.name, init, folder)
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
