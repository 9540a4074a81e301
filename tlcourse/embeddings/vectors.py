"""Lesson 1: word vectors. Load them, judge them, use them for documents.

Vectors are gensim `KeyedVectors`: ``vectors.index_to_key`` has the words, the most
frequent first, and ``vectors.vectors`` the embedding matrix E, float32, shape (V, d).
"""

from __future__ import annotations

import copy
import difflib
import os
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from gensim.models.keyedvectors import KeyedVectors
from gensim.test.utils import datapath

from tlcourse.arguments import (
    check_array,
    check_choice,
    check_count,
    check_documents,
    check_kind,
    check_text,
    check_texts,
    shown,
)
from tlcourse.data.sources import fetch
from tlcourse.data.text import Vocabulary
from tlcourse.paths import data_dir

GOLD_SETS = {"wordsim353": "wordsim353.tsv", "simlex999": "simlex999.txt"}


def make_vectors(
    words: Sequence[str], matrix: np.ndarray, counts: Sequence[int] | None = None
) -> KeyedVectors:
    """Make `KeyedVectors` of words and their rows of E (V, d).

    Parameters
    ----------
    words : sequence of str
        Each once.
    matrix : array_like
        Finite numbers, shape (V, d).
    counts : sequence of int, optional
        How often each word occurs.
    """
    words = check_texts("words", words)
    matrix = check_array("matrix", matrix, ("V", "d"))
    if len(words) != len(matrix):
        raise ValueError(
            f"matrix must have {len(words)} rows, one for each of words; got {len(matrix)}"
        )
    if twice := [word for word, times in Counter(words).items() if times > 1]:
        raise ValueError(f"words must each stand there once; these do not: {shown(twice)}")
    vectors = KeyedVectors(matrix.shape[1], count=0)
    vectors.add_vectors(words, matrix.astype(np.float32))
    if counts is not None:
        for word, count in zip(words, check_array("counts", counts, (len(words),)), strict=True):
            vectors.set_vecattr(word, "count", check_count("each of counts", count, 0))
    return vectors


def save_vectors(path: str | Path, vectors: KeyedVectors) -> None:
    """Write vectors as an ``.npz`` file: words and counts, and E in half precision."""
    path = Path(check_kind("path", path, (str, Path), "a path"))
    _check_vectors(vectors)
    words = vectors.index_to_key
    if broken := [word for word in words if "\n" in word]:
        raise ValueError(f"a word to save must stand on one line, got {broken[0]!r}")
    if not np.abs(vectors.vectors).max() <= np.finfo(np.float16).max:
        raise ValueError("E has numbers that half precision cannot hold: NaN, or above 65,504")
    counts = np.array([vectors.get_vecattr(word, "count") for word in words], dtype=np.int32)
    packed = np.frombuffer("\n".join(words).encode(), dtype=np.uint8)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".npz", delete=False) as stream:
        np.savez_compressed(
            stream, words=packed, counts=counts, matrix=vectors.vectors.astype(np.float16)
        )
    os.replace(stream.name, path)
    path.chmod(0o644)


def load_vectors(name: str | Path) -> KeyedVectors:
    """Load vectors that the course ships (``"zh"``, ``"en"``) or a file of `save_vectors`.

    E is read-only, since all callers share it; copy it to change it.
    """
    file = os.fspath(check_kind("name", name, (str, Path), "a name or a path"))
    path = Path(file) if file.endswith(".npz") else data_dir() / "vectors" / f"{file}.npz"
    if not path.is_file():
        shipped = sorted(item.stem for item in (data_dir() / "vectors").glob("*.npz"))
        raise FileNotFoundError(f"no vectors of the name {file!r}; there are {shipped}")
    about = path.stat()
    return _handed_out(_read_vectors(path.resolve(), about.st_mtime_ns, about.st_size))


@lru_cache(maxsize=4)
def _read_vectors(path: Path, changed: int, size: int) -> KeyedVectors:
    """The vectors of a file as it was when it had this time and size."""
    try:
        with np.load(path, allow_pickle=False) as packed:
            words = packed["words"].tobytes().decode().split("\n")
            matrix, counts = packed["matrix"].astype(np.float32), packed["counts"]
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError) as fault:
        raise ValueError(f"{path} is damaged, or no file of save_vectors ({fault})") from fault
    return _to_share(make_vectors(words, matrix, counts))


def _to_share(vectors: KeyedVectors) -> KeyedVectors:
    """Vectors for a cache: E and the rows' lengths are read-only."""
    vectors.fill_norms()
    for shared in (vectors.vectors, vectors.norms):
        shared.flags.writeable = False
    return vectors


def _handed_out(kept: KeyedVectors) -> KeyedVectors:
    """Vectors of the caller's own: words and counts are copies, E is the shared one."""
    vectors = copy.copy(kept)
    vectors.index_to_key = list(kept.index_to_key)
    vectors.key_to_index = dict(kept.key_to_index)
    vectors.expandos = {name: values.copy() for name, values in kept.expandos.items()}
    return vectors


def load_glove(limit: int = 50_000) -> KeyedVectors:
    """GloVe 6B, d = 50: vectors of the ``limit`` most frequent of 400,000 English words.

    E is read-only, since all callers share it; copy it to change it.

    References
    ----------
    Pennington et al. (2014), "GloVe: global vectors for word representation".
    """
    return _handed_out(_read_glove(check_count("limit", limit, most=400_000)))


@lru_cache(maxsize=2)
def _read_glove(limit: int) -> KeyedVectors:
    import pyarrow.parquet

    folder = fetch("glove")
    words = pyarrow.parquet.read_table(folder / "words.parquet")["index"][:limit].to_pylist()
    matrix = np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False)[:limit]
    return _to_share(make_vectors(words, np.array(matrix)))


def near_matches(word: str, words: Sequence[str], k: int = 3) -> list[str]:
    """Known words that look like an unknown one, the closest first.

    Examples
    --------
    >>> near_matches("moive", ["movie", "book", "move"])
    ['move', 'movie']
    """
    check_text("word", word, least=1)
    check_count("k", k)
    words = check_texts("words", words, least=0)
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
    ValueError
        If the word is empty or k below 1.
    """
    check_count("k", k)
    require_word(vectors, word)
    return [(other, float(score)) for other, score in vectors.most_similar(word, topn=k)]


def require_word(vectors: KeyedVectors, word: str) -> None:
    """Raise a `KeyError` with near matches if a word has no vector."""
    _check_vectors(vectors)
    check_text("word", word, least=1)
    if word not in vectors:
        close = near_matches(word.strip()[:40], vectors.index_to_key)
        hint = f"; did you mean {', '.join(close)}?" if close else ""
        raise KeyError(
            f"word {shown(word, 42)} is not among the {len(vectors):,} known words{hint}"
        )


def _check_vectors(vectors: object) -> None:
    hint = " (a trained model has them as model.wv)" if hasattr(vectors, "wv") else ""
    check_kind("vectors", vectors, KeyedVectors, f"KeyedVectors{hint}")


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
    check_choice("gold", gold, tuple(GOLD_SETS))
    _check_vectors(vectors)
    place = datapath(GOLD_SETS[gold])
    try:
        _, spearman, missing = vectors.evaluate_word_pairs(place, dummy4unknown=False)
    except ValueError:  # not one pair is known
        return {"rho": float("nan"), "coverage": 0.0}
    return {"rho": float(spearman.statistic), "coverage": 1 - missing / 100}


def analogy_score(vectors: KeyedVectors, limit: int = 30_000) -> dict[str, float]:
    """Accuracy on "a is to b as c is to ?" (NaN if none could be asked) and the share asked."""
    _check_vectors(vectors)
    check_count("limit", limit)
    accuracy, sections = vectors.evaluate_word_analogies(
        datapath("questions-words.txt"), restrict_vocab=limit
    )
    asked = len(sections[-1]["correct"]) + len(sections[-1]["incorrect"])
    return {"accuracy": float(accuracy) if asked else float("nan"), "coverage": asked / 19_544}


def embedding_matrix(
    vocabulary: Vocabulary, vectors: KeyedVectors, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Carry pretrained vectors into the embedding layer of a new task.

    Parameters
    ----------
    vocabulary : tlcourse.data.Vocabulary
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
    check_kind("vocabulary", vocabulary, Vocabulary, "made by Vocabulary.build")
    _check_vectors(vectors)
    generator = np.random.default_rng(check_count("seed", seed, 0))
    spread = vectors.vectors.mean(), vectors.vectors.std()
    matrix = generator.normal(*spread, (len(vocabulary), vectors.vector_size)).astype(np.float32)
    found = [vectors.key_to_index.get(word, -1) for word in vocabulary.words]
    known = np.array(found) >= 0
    matrix[known] = vectors.vectors[[row for row in found if row >= 0]]
    matrix[0] = 0.0
    return matrix, known


def document_averages(documents: Sequence[Sequence[str]], vectors: KeyedVectors) -> np.ndarray:
    """Mean vector of each document's known words, float32, shape (n, d); zero if none is known.

    No documents give no rows: shape (0, d).
    """
    documents = check_documents("documents", documents)
    _check_vectors(vectors)
    averages = np.zeros((len(documents), vectors.vector_size), dtype=np.float32)
    for row, tokens in enumerate(documents):
        known = [vectors.key_to_index[token] for token in tokens if token in vectors]
        if known:
            averages[row] = vectors.vectors[known].mean(axis=0)
    return averages
