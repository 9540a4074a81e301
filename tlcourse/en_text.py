"""The archive ``en_text``: movie reviews and plots, convention speeches, as labelled sets."""

from __future__ import annotations

import csv
import re
from collections import Counter

from tlcourse.datasets import TextDataset, build_dataset, split_of
from tlcourse.sources import fetch

_PARTIES = ("democrat", "republican")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


def load_movie_reviews() -> TextDataset:
    """Sentences of English movie reviews; 0 rotten, 1 fresh. Split by movie."""
    rows = [row for row in _movie_rows() if row["category"] in {"fresh", "rotten"}]
    pairs = [(row["text"], int(row["category"] == "fresh")) for row in rows]
    keys = [row["movie_name"] for row in rows]
    return build_dataset("movie_reviews", "en", pairs, ("rotten", "fresh"), keys)


def load_plots() -> list[str]:
    """Plot summaries of movies that are not in the test split."""
    rows = [row for row in _movie_rows() if row["category"] == "plot"]
    return [row["text"] for row in rows if split_of(row["movie_name"]) != "test"]


def _movie_rows() -> list[dict[str, str]]:
    import pandas as pd

    table = pd.read_csv(fetch("en_text") / "movie_reviews.csv.bz2", dtype=str)
    table = table.dropna(subset=["text"]).drop_duplicates("text")
    return table[["category", "text", "movie_name"]].fillna("").to_dict("records")


def load_speeches() -> TextDataset:
    """Convention speeches of 2012; 0 democrat, 1 republican. Split by speaker."""
    texts, labels, speakers = _speech_columns()
    pairs = list(zip(texts, labels, strict=True))
    return build_dataset("speeches", "en", pairs, _PARTIES, speakers)


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
