"""Lesson 1: word vectors. Load them, judge them, use them for documents.

Vectors are gensim `KeyedVectors`: ``vectors.index_to_key`` has the words, the most
frequent first, and ``vectors.vectors`` the embedding matrix E, float32, shape (V, d).
"""

from __future__ import annotations

import difflib
import os
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from gensim.models.keyedvectors import KeyedVectors
from gensim.test.utils import datapath

from tlcourse.paths import data_dir
from tlcourse.sources import fetch
from tlcourse.text import Vocabulary

GOLD_SETS = {"wordsim353": "wordsim353.tsv", "simlex999": "simlex999.txt"}


def make_vectors(
    words: Sequence[str], matrix: np.ndarray, counts: Sequence[int] | None = None
) -> KeyedVectors:
    """Make `KeyedVectors` of words and their rows of E (V, d)."""
    if len(words) != len(matrix):
        raise ValueError(f"{len(words)} words, but E has {len(matrix)} rows")
    vectors = KeyedVectors(matrix.shape[1], count=0)
    vectors.add_vectors(list(words), np.asarray(matrix, dtype=np.float32))
    if counts is not None:
        for word, count in zip(words, counts, strict=True):
            vectors.set_vecattr(word, "count", int(count))
    return vectors


def save_vectors(path: str | Path, vectors: KeyedVectors) -> None:
    """Write vectors as an ``.npz`` file: words and counts, and E in half precision."""
    path = Path(path)
    words = vectors.index_to_key
    counts = np.array([vectors.get_vecattr(word, "count") for word in words], dtype=np.int32)
    packed = np.frombuffer("\n".join(words).encode(), dtype=np.uint8)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".npz", delete=False) as stream:
        np.savez_compressed(
            stream, words=packed, counts=counts, matrix=vectors.vectors.astype(np.float16)
        )
    os.replace(stream.name, path)
    path.chmod(0o644)


@lru_cache(maxsize=4)
def load_vectors(name: str) -> KeyedVectors:
    """Load vectors that the course ships (``"zh"``, ``"en"``) or a file of `save_vectors`."""
    path = Path(name) if name.endswith(".npz") else data_dir() / "vectors" / f"{name}.npz"
    if not path.is_file():
        shipped = sorted(item.stem for item in (data_dir() / "vectors").glob("*.npz"))
        raise FileNotFoundError(f"no vectors {name!r}; the course ships {shipped}")
    with np.load(path, allow_pickle=False) as packed:
        words = packed["words"].tobytes().decode().split("\n")
        return make_vectors(words, packed["matrix"].astype(np.float32), packed["counts"])


@lru_cache(maxsize=2)
def load_glove(limit: int = 50_000) -> KeyedVectors:
    """GloVe 6B, d = 50: vectors of the ``limit`` most frequent of 400,000 English words.

    References
    ----------
    Pennington et al. (2014), "GloVe: global vectors for word representation".
    """
    import pyarrow.parquet

    folder = fetch("glove")
    words = pyarrow.parquet.read_table(folder / "words.parquet")["index"][:limit].to_pylist()
    matrix = np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False)[:limit]
    return make_vectors(words, np.array(matrix))


def near_matches(word: str, words: Sequence[str], k: int = 3) -> list[str]:
    """Known words that look like an unknown one, the closest first.

    Examples
    --------
    >>> near_matches("moive", ["movie", "book", "move"])
    ['move', 'movie']
    """
    # Spelling distance over 50,000 words takes a second; words that share a beginning,
    # a character (Chinese) or nearly all letters are the ones that count.
    letters = set(word)
    if word.isascii():
        shortlist = [w for w in words if abs(len(w) - len(word)) < 3 and w[:1] == word[:1]]
        shortlist = [w for w in shortlist if len(letters & set(w)) >= len(letters) - 2]
    else:
        shortlist = [w for w in words if letters & set(w)]
    return difflib.get_close_matches(word, shortlist[:4000], n=k, cutoff=0.3)


def nearest(vectors: KeyedVectors, word: str, k: int = 10) -> list[tuple[str, float]]:
    """The k words with the highest cosine to a word, itself left out.

    Raises
    ------
    KeyError
        If the word has no vector; the message names near matches.
    """
    require_word(vectors, word)
    return [(other, float(score)) for other, score in vectors.most_similar(word, topn=k)]


def require_word(vectors: KeyedVectors, word: str) -> None:
    """Raise a `KeyError` with near matches if a word has no vector."""
    if word not in vectors:
        close = near_matches(word[:40], vectors.index_to_key)
        hint = f"; did you mean {', '.join(close)}?" if close else ""
        shown = word if len(word) <= 40 else word[:40] + "…"
        raise KeyError(f"{shown!r} is not among the {len(vectors):,} words{hint}")


def similarity_score(vectors: KeyedVectors, gold: str = "wordsim353") -> dict[str, float]:
    """Compare cosines with human similarity judgements.

    Parameters
    ----------
    vectors : gensim.models.keyedvectors.KeyedVectors
    gold : {"wordsim353", "simlex999"}

    Returns
    -------
    dict
        ``rho``, Spearman's rank correlation over the pairs known (−1 … 1; NaN if fewer
        than three), and ``coverage``, their share of all pairs (0 … 1).

    References
    ----------
    Finkelstein et al. (2002), "Placing search in context"; Hill et al. (2015), "SimLex-999".
    """
    if gold not in GOLD_SETS:
        raise KeyError(f"no gold set {gold!r}; there are {', '.join(GOLD_SETS)}")
    _, spearman, missing = vectors.evaluate_word_pairs(
        datapath(GOLD_SETS[gold]), dummy4unknown=False
    )
    return {"rho": float(spearman.statistic), "coverage": 1 - missing / 100}


def analogy_score(vectors: KeyedVectors, limit: int = 30_000) -> dict[str, float]:
    """Accuracy on "a is to b as c is to ?" and the share of questions that could be asked."""
    accuracy, sections = vectors.evaluate_word_analogies(
        datapath("questions-words.txt"), restrict_vocab=limit
    )
    asked = len(sections[-1]["correct"]) + len(sections[-1]["incorrect"])
    return {"accuracy": float(accuracy), "coverage": asked / 19_544}


def embedding_matrix(
    vocabulary: Vocabulary, vectors: KeyedVectors, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Carry pretrained vectors into the embedding layer of a new task.

    Parameters
    ----------
    vocabulary : tlcourse.text.Vocabulary
        The new task's words.
    vectors : gensim.models.keyedvectors.KeyedVectors
        The pretrained vectors.
    seed : int
        For the rows of words without a pretrained vector: drawn from a normal
        distribution with the pretrained vectors' own mean and standard deviation.

    Returns
    -------
    E : numpy.ndarray
        float32, shape (len(vocabulary), d); row 0 (padding) is zero.
    known : numpy.ndarray
        bool, shape (len(vocabulary),): which rows are pretrained.
    """
    generator = np.random.default_rng(seed)
    size = (len(vocabulary), vectors.vector_size)
    spread = vectors.vectors.mean(), vectors.vectors.std()
    matrix = generator.normal(*spread, size=size).astype(np.float32)
    known = np.array([word in vectors for word in vocabulary.words])
    rows = [vectors.key_to_index[word] for word in vocabulary.words if word in vectors]
    matrix[known] = vectors.vectors[rows]
    matrix[0] = 0.0
    return matrix, known


def document_averages(documents: Sequence[Sequence[str]], vectors: KeyedVectors) -> np.ndarray:
    """Mean vector of each document's known words, float32, shape (n, d); zero if none is known."""
    averages = np.zeros((len(documents), vectors.vector_size), dtype=np.float32)
    for row, tokens in enumerate(documents):
        known = [vectors.key_to_index[token] for token in tokens if token in vectors]
        if known:
            averages[row] = vectors.vectors[known].mean(axis=0)
    return averages
