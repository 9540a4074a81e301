"""Typed loaders for the course's data, with fixed splits that do not leak.

Each text, movie, or dictionary word falls into *train* (75 %), *validation* (10 %) or
*test* (15 %) by a hash of itself, so a split never depends on order, on a seed or on
what else was loaded. Duplicates are dropped before splitting.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tlcourse.arguments import (
    check_choice,
    check_count,
    check_kind,
    check_labels,
    check_rows,
    check_text,
    check_texts,
    shown,
)
from tlcourse.data.derived import Tokens, cached_tokens
from tlcourse.data.sources import fetch
from tlcourse.data.text import LANGUAGES, normalise, tokenise

SPLITS = ("train", "validation", "test")


def split_of(key: str) -> str:
    """The split that a key (a text, a movie's name, a word) belongs to, for ever.

    Examples
    --------
    >>> split_of("电影"), split_of("电影")
    ('train', 'train')
    """
    digest = hashlib.blake2b(check_text("key", key).encode(), digest_size=8).digest()
    percent = int.from_bytes(digest, "big") % 100
    return "test" if percent < 15 else "validation" if percent < 25 else "train"


@dataclass(frozen=True)
class TextDataset:
    """Labelled texts.

    Attributes
    ----------
    name : str
    language : {"en", "zh"}
    texts : tuple of str
    labels : numpy.ndarray
        int64, shape (n,), values 0 … len(label_names) − 1. Loaded sets' are read-only, since
        several callers may share one; `take` gives copies.
    label_names : tuple of str
    split : numpy.ndarray
        str, shape (n,): "train", "validation" or "test".
    tokens : tuple of tuple of str
        The texts' tokens, as `tlcourse.data.tokenise` gives them; a pair's one after the other.
    second : tuple of str, optional
        Each row's second text, in a set of pairs.
    """

    name: str
    language: str
    texts: tuple[str, ...]
    labels: np.ndarray
    label_names: tuple[str, ...]
    split: np.ndarray
    tokens: Tokens
    second: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: Sequence[int] | np.ndarray) -> TextDataset:
        """The chosen rows, in the order given: their numbers, or a mask of n booleans."""
        rows = check_rows("rows", rows, len(self))
        return replace(
            self,
            texts=tuple(self.texts[row] for row in rows),
            labels=self.labels[rows],
            split=self.split[rows],
            tokens=tuple(self.tokens[row] for row in rows),
            second=self.second and tuple(self.second[row] for row in rows),
        )

    def subset(self, split: str) -> TextDataset:
        """One of the three splits."""
        check_choice("split", split, SPLITS)
        return self.take(np.flatnonzero(self.split == split))

    def sample_rows(self, n: int, seed: int) -> np.ndarray:
        """Draw n row numbers at random, as evenly over the classes as n allows.

        Raises
        ------
        ValueError
            If a class has too few examples or n is less than the number of classes.
        """
        classes = len(self.label_names)
        check_count("n", n)
        if n < classes:
            raise ValueError(f"n must be at least the number of classes ({classes}), got {n}")
        generator = np.random.default_rng(check_count("seed", seed, 0))
        rows: list[int] = []
        for label in range(classes):
            quota = n // classes + (label < n % classes)
            members = np.flatnonzero(self.labels == label)
            if len(members) < quota:
                name = self.label_names[label]
                raise ValueError(
                    f"n = {n} asks for {quota} of class {name!r}, there are {len(members)}"
                )
            rows.extend(generator.choice(members, size=quota, replace=False))
        return generator.permutation(rows)

    def sample(self, n: int, seed: int) -> TextDataset:
        """The examples of `sample_rows`."""
        return self.take(self.sample_rows(n, seed))


def build_dataset(
    name: str,
    language: str,
    pairs: Sequence[tuple[str, int]],
    label_names: tuple[str, ...],
    keys: Sequence[str],
    cached: bool = True,
) -> TextDataset:
    """Drop duplicate texts, split by key, tokenise.

    Parameters
    ----------
    name : str
    language : {"en", "zh"}
    pairs : sequence of (str, int)
        Texts with their labels.
    label_names : tuple of str
    keys : sequence of str
        What each text is split by, see `split_of`.
    cached : bool
        Keep the tokens of Chinese texts in the cache.

    Raises
    ------
    ValueError
        If a text has two labels, or there are not as many keys as pairs.
    """
    check_text("name", name)
    check_choice("language", language, LANGUAGES)
    check_choice("cached", cached, (True, False))
    pairs = list(check_kind("pairs", pairs, (list, tuple), "a list of (text, label)"))
    for row, pair in enumerate(pairs):
        if not isinstance(pair, tuple) or len(pair) != 2 or not isinstance(pair[0], str):
            raise TypeError(f"pairs must be (text, label); number {row} is {shown(pair)}")
    label_names, keys = tuple(check_texts("label_names", label_names)), check_texts("keys", keys)
    check_labels("the labels of pairs", [label for _, label in pairs], len(label_names))
    if len(keys) != len(pairs):
        raise ValueError(f"keys must have {len(pairs)} entries, one a pair; got {len(keys)}")
    first: dict[str, int] = {}
    for row, (text, label) in enumerate(pairs):
        before = pairs[first.setdefault(text.strip(), row)][1]
        if before != label:
            names = label_names[before], label_names[label]
            raise ValueError(contradiction(name, text.strip(), *names))
    texts = tuple(first)
    rows = list(first.values())

    def make() -> Tokens:
        return tuple(tuple(tokenise(text, language)) for text in texts)

    if cached and language == "zh":  # segmenting takes seconds: keep the tokens
        digest = hashlib.blake2b("\n".join(texts).encode(), digest_size=6).hexdigest()
        tokens = cached_tokens(name, digest, make)
    else:
        tokens = make()
    labels = np.array([pairs[row][1] for row in rows], dtype=np.int64)
    split = np.array([split_of(keys[row]) for row in rows])
    for shared in (labels, split):
        shared.flags.writeable = False
    return TextDataset(name, language, texts, labels, label_names, split, tokens)


def contradiction(where: str, text: str, one: str, other: str) -> str:
    """What to say of a text that has two labels."""
    return (
        f"{where}: this text stands there as {one!r} and as {other!r}; keep one. "
        f"The text: {shown(text)}"
    )


def load_zh_reviews() -> TextDataset:
    """Chinese reviews of books, hotels and laptops; 0 negative, 1 positive.

    The archive holds 35,124 lines, about half of them repeats. A text that stands
    there under both labels is dropped too. Split by text.
    """
    folder = fetch("zh_text")
    labels_of: dict[str, set[int]] = {}
    for label, file in enumerate(("reviews_negative.txt", "reviews_positive.txt")):
        for line in (folder / file).read_text(encoding="utf8").splitlines():
            if text := normalise(line).strip():
                labels_of.setdefault(text, set()).add(label)
    pairs = [(text, min(labels)) for text, labels in labels_of.items() if len(labels) == 1]
    return build_dataset(
        "zh_reviews", "zh", pairs, ("negative", "positive"), [text for text, _ in pairs]
    )


def load_news_topics() -> TextDataset:
    """BBC news articles of 2004–2005 in five topics. Split by title, so reprints stay together."""
    folder = fetch("en_news") / "articles"
    names = tuple(sorted(path.name for path in folder.iterdir() if path.is_dir()))
    pairs = [
        (path.read_text(encoding="utf8", errors="replace"), label)
        for label, name in enumerate(names)
        for path in sorted((folder / name).glob("*.txt"))
    ]
    return build_dataset(
        "news_topics", "en", pairs, names, [text.splitlines()[0] for text, _ in pairs]
    )


_PARTIES = ("democrat", "republican")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


def load_movie_reviews() -> TextDataset:
    """Sentences of English movie reviews; 0 rotten, 1 fresh. Split by movie."""
    rows = [row for row in _movie_rows() if row["category"] in {"fresh", "rotten"}]
    pairs = [(row["text"], int(row["category"] == "fresh")) for row in rows]
    keys = [row["movie_name"] for row in rows]
    return build_dataset("movie_reviews", "en", pairs, ("rotten", "fresh"), keys)


def _movie_rows() -> list[dict[str, str]]:
    import pandas as pd

    table = pd.read_csv(fetch("en_text") / "movie_reviews.csv.bz2", dtype=str)
    table = table.dropna(subset=["text"]).drop_duplicates("text")
    return table[["category", "text", "movie_name"]].fillna("").to_dict("records")


def load_speeches() -> TextDataset:
    """Convention speeches of 2012; 0 democrat, 1 republican. Split by speaker."""
    texts, labels, speakers = _speech_columns()
    return build_dataset("speeches", "en", [*zip(texts, labels)], _PARTIES, speakers)  # noqa: B905


def _speech_columns() -> tuple[list[str], list[int], list[str]]:
    """Texts, parties and speakers."""
    path = fetch("en_text") / "speeches.csv"
    with path.open(encoding="utf8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    labels = [int(row["party"] == "republican") for row in rows]
    return [row["text"] for row in rows], labels, [row["speaker"] for row in rows]


def load_plot_or_review() -> TextDataset:
    """Sentences about movies; 0 from a plot summary, 1 from a review. Split by movie.

    Plots are cut into sentences; reviews are some of `load_movie_reviews`', in the same splits.
    Both have 5 to 60 words, and a movie gives at most eight of each, so that length and
    number tell little.
    """
    pairs, keys = [], []
    taken: Counter[tuple[str, bool]] = Counter()
    for row in _movie_rows():
        movie, plot = row["movie_name"], row["category"] == "plot"
        for text in _SENTENCE_END.split(row["text"]) if plot else [row["text"]]:
            if 5 <= len(text.split()) <= 60 and taken[movie, plot] < 8:
                taken[movie, plot] += 1
                pairs.append((text, int(not plot)))
                keys.append(movie)
    return build_dataset("plot_or_review", "en", pairs, ("plot", "review"), keys)


def load_speech_paragraphs() -> TextDataset:
    """Paragraphs of the convention speeches, of 15 words or more. Split by speaker.

    A speaker's paragraphs all lie in one split: a new speech is judged, not a known one.
    """
    pairs, keys = [], []
    for text, label, speaker in zip(*_speech_columns(), strict=True):
        for paragraph in text.splitlines():
            if len(paragraph.split()) >= 15:
                pairs.append((paragraph, label))
                keys.append(speaker)
    return build_dataset("speech_paragraphs", "en", pairs, _PARTIES, keys)
