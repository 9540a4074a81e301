"""Lesson 1's explorer of a word's neighbourhood."""

from __future__ import annotations

import textwrap

import numpy as np
from gensim.models.keyedvectors import KeyedVectors
from matplotlib.figure import Figure

from tlcourse.data.corpora import load_corpus
from tlcourse.data.dictionary import gloss
from tlcourse.embeddings.vectors import load_glove, load_vectors, nearest, require_word
from tlcourse.embeddings.word2vec import train_word2vec
from tlcourse.training import Progress
from tlcourse.widgets import figures
from tlcourse.widgets.controls import choice, field, menu
from tlcourse.widgets.explorer import Explorer, Result

SPACES = ("GloVe (English)", "ours (Chinese)", "ours (English)")


def _space(name: str) -> KeyedVectors:
    if name == SPACES[0]:
        return load_glove()
    return load_vectors("zh" if name == SPACES[1] else "en")


def plane(points: np.ndarray) -> np.ndarray:
    """The first two principal components of some rows: shape (n, 2)."""
    centred = points - points.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    return u[:, :2] * s[:2]


class NeighbourhoodMap(Explorer):
    """Any word, its nearest neighbours, and a plane through them."""

    name = "neighbourhood map"
    size = (7.8, 3.9)

    def __init__(self, **settings: object) -> None:
        controls = {
            "space": menu("vectors", SPACES, SPACES[0]),
            "word": field("word", "king"),
            "k": choice("neighbours k", (5, 10, 15, 20), 10),
        }
        super().__init__(controls, **settings)

    def compute(self, space: str, word: str, k: int) -> Result:
        """Neighbours with their cosines, and their places in the plane."""
        return self._around(_space(space), word.strip().lower(), k)

    def _around(self, vectors: KeyedVectors, word: str, k: int) -> Result:
        if not word:
            raise ValueError("type a word and press Enter")
        if word.isascii() and word not in vectors and "的" in vectors:
            raise KeyError(f"{word[:40]!r} has no vector here: try a Chinese word, 音乐 or 便宜")
        found = nearest(vectors, word, k)
        words = [word, *(other for other, _ in found)]
        points = plane(vectors[words])
        glosses = ["" if item.isascii() else gloss(item) for item in words]
        scores = [1.0, *(score for _, score in found)]
        return {"words": words, "scores": scores, "points": points, "glosses": glosses}

    def train(self, progress: Progress, space: str, word: str, k: int) -> Result:
        """Train small vectors on a slice of text of the same language and look there."""
        vectors = _space(space)
        require_word(vectors, word.strip().lower())
        corpus = "chinese" if space == SPACES[1] else "english"
        small = train_word2vec(
            load_corpus(corpus, 300_000), vector_size=50, epochs=5, progress=progress
        )
        return self._around(small, word.strip().lower(), k)

    def draw(self, figure: Figure, result: Result, live: Result | None) -> None:
        """The plane; beside it, after a live run, the small vectors' plane."""
        shown = [("", result)] if live is None else [("shipped vectors", result), ("live", live)]
        figure.subplots_adjust(left=0.02, right=0.98, bottom=0.03, top=0.92, wspace=0.05)
        for place, (title, item) in enumerate(shown, start=1):
            axes = figure.add_subplot(1, len(shown), place)
            axes.set_axis_off()
            axes.margins(x=0.2, y=0.1)
            figures.scatter_words(
                axes, item["points"], item["words"], item["glosses"], place - 1, ring=0
            )
            axes.set_title(title, fontsize=10, loc="left")

    def describe(self, result: Result, live: Result | None) -> str:
        """The three nearest words and the last one shown."""

        def told(item: Result) -> str:
            names = [
                f"{word} ({meaning})" if meaning else word
                for word, meaning in zip(item["words"], item["glosses"], strict=True)
            ]
            pairs = list(zip(names, item["scores"], strict=True))
            first = ", ".join(f"{name} {score:.2f}" for name, score in pairs[1:4])
            name, score = pairs[-1]
            return f"{names[0]}: {first}; number {len(pairs) - 1} is {name} {score:.2f}"

        text = f"Nearest by cosine to {told(result)}."
        if live:
            text += f" In vectors trained live on 300,000 tokens, to {told(live)}."
        return text

    def table(self, result: Result, live: Result | None) -> list[list[str]]:
        """All neighbours of Chinese words with glosses; English ones stand in the picture."""
        if not any(result["glosses"]):
            return []
        rows = zip(result["words"], result["glosses"], result["scores"], strict=True)
        return [["word", "in English", "cosine"]] + [
            [word, meaning or "–", f"{score:.2f}"] for word, meaning, score in rows
        ]

    def code(self, space: str, word: str, k: int) -> str:
        """Look the neighbours up."""
        call = {
            SPACES[0]: "load_glove()",
            SPACES[1]: 'load_vectors("zh")',
            SPACES[2]: 'load_vectors("en")',
        }[space]
        function = call.split("(")[0]
        return textwrap.dedent(f"""\
            from tlcourse.embeddings import {function}, nearest

            vectors = {call}
            result = nearest(vectors, {word.strip().lower()!r}, {k})
            print(result)
            """)
