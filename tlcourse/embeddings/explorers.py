"""Lesson 1's explorers."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any, ClassVar

import numpy as np
from gensim.models.keyedvectors import KeyedVectors
from matplotlib.figure import Figure
from sklearn import feature_extraction, linear_model, pipeline, preprocessing

from tlcourse.data.corpora import load_corpus
from tlcourse.data.datasets import load_movie_reviews, load_news_topics
from tlcourse.data.dictionary import gloss
from tlcourse.embeddings.vectors import (
    document_averages,
    load_glove,
    load_vectors,
    make_vectors,
    nearest,
    require_word,
    similarity_score,
)
from tlcourse.embeddings.word2vec import train_word2vec
from tlcourse.scores import scores
from tlcourse.training import Progress
from tlcourse.widgets import figures
from tlcourse.widgets.controls import choice, field, menu, readable
from tlcourse.widgets.curves import Chart, CurveExplorer, Knob
from tlcourse.widgets.explorer import Explorer, Result
from tlcourse.widgets.snippets import snippet

_PROBES = ("film", "government", "game", "music", "money")
# Logistic regression's C: best macro-F1 on the validation splits at n = 100, mean of the tasks.
_STRENGTHS = {"GloVe": 0.1, "own Word2Vec": 0.1, "random vectors": 0.01, "bag of words": 10.0}

_SPACES = ("GloVe (English)", "ours (Chinese)", "ours (English)")
_SHIPPED = {"own Word2Vec": "en", "ours (English)": "en", "ours (Chinese)": "zh"}


def _vectors(name: str) -> KeyedVectors:
    """Vectors by the name in a menu; random ones have GloVe's words, but rows without meaning."""
    if name in _SHIPPED:
        return load_vectors(_SHIPPED[name])
    glove = load_glove()
    if name != "random vectors":
        return glove
    noise = np.random.default_rng(0).normal(size=glove.vectors.shape)
    return make_vectors(glove.index_to_key, noise)


def _made(name: str) -> str:
    """The call that makes them."""
    return f'load_vectors("{_SHIPPED[name]}")' if name in _SHIPPED else "load_glove()"


@lru_cache(maxsize=1)
def _glove() -> dict[str, float]:
    return similarity_score(load_glove())


class WordVectorKnobs(CurveExplorer):
    """Training knobs of Word2Vec against ρ, coverage and neighbours, over recorded runs."""

    name = "Word2Vec knobs"
    size = (7.8, 3.0)
    sweep, x = "word2vec_knobs", "tokens"
    margins = 0.06, 0.17, 0.98, 0.88, 0.18
    knobs: ClassVar = {
        "tokens": Knob("tokens of text", 300_000, "{:,}".format),
        "window": Knob("window", 5),
        "vector_size": Knob("dimension d", 100),
        "epochs": Knob("epochs", 10),
        "probe": Knob("neighbours of", "film", values=_PROBES),
    }

    def charts(self, result: Result) -> list[Chart]:
        """ρ on the left and coverage on the right, with GloVe's values."""
        glove, x = "GloVe, 6 billion tokens", "tokens of text"
        return [
            Chart(
                "Spearman ρ, WordSim-353 (known pairs)", x, {"wordsim_rho": "own"}, (-0.7, 0.75),
                "log", levels={glove: _glove()["rho"]},
            ),
            Chart(
                "share of the 353 pairs known", x, {"wordsim_coverage": "own"}, (0, 1.12),
                "log", levels={glove: _glove()["coverage"]},
            ),
        ]  # fmt: skip

    def train(self, progress: Progress, tokens: int, probe: str, **options: Any) -> Result:
        """Train the vectors here and now, with seed 0."""
        sentences = load_corpus("english", tokens)
        vectors = train_word2vec(sentences, **options, seed=0, progress=progress)
        found = {f"wordsim_{name}": value for name, value in similarity_score(vectors).items()}
        near = nearest(vectors, probe, 5) if probe in vectors else []
        return {**found, "neighbours": " ".join(word for word, _ in near)}

    def describe(self, result: Result, live: Result | None) -> str:
        """ρ, its spread and its coverage, beside GloVe's."""
        here = result["here"].mean(numeric_only=True)
        text = (
            f"{result['tokens']:,} tokens: ρ = {self.told(result, 'wordsim_rho', 2)} on the "
            f"{here['wordsim_coverage']:.0%} of WordSim-353 pairs whose words are known (mean ± "
            f"std of {len(result['here'])} seeds; SimLex-999 ρ = {here['simlex_rho']:z.2f}); GloVe "
            f"has {_glove()['rho']:.2f} on {_glove()['coverage']:.0%}. A run took "
            f"{here['seconds']:.0f} s."
        )
        if live:
            text += f" Live, seed 0: ρ = {live['wordsim_rho']:.2f}."
        return text

    def table(self, result: Result, live: Result | None) -> list[list[str]]:
        """The probe's neighbours for three seeds."""
        near = result["here"].set_index("seed")[f"near_{result['probe']}"]
        found = {f"seed {seed}": words for seed, words in near[:3].items()}
        if live:
            found["live"] = live["neighbours"]
        rows = [[who, words or "(too rare: it has no vector)"] for who, words in found.items()]
        return [["", f"nearest to “{result['probe']}”"], *rows]


class FewShotTransfer(CurveExplorer):
    """Accuracy of a classifier against the number of labels, for four kinds of features."""

    name = "few-shot transfer"
    size = (7.8, 3.6)
    sweep, x, arms = "few_shot", "n", "features"
    margins = 0.07, 0.14, 0.78, 0.92
    knobs: ClassVar = {
        "task": Knob("task", "news_topics", readable),
        "n": Knob("labels n", 50, "{:,}".format),
        "features": Knob("features", "GloVe"),
    }

    def charts(self, result: Result) -> list[Chart]:
        """One chart, a line for each kind of features."""
        movies = result["task"] == "movie_reviews"
        chart = Chart(
            f"{readable(result['task'])}: test accuracy, mean ± std over seeds",
            "labelled documents n", {name: name for name in _STRENGTHS},
            (0.47, 0.72) if movies else (0.15, 1.02), "log",
            levels={"chance": 0.5 if movies else 0.2}, legend="beside",
        )  # fmt: skip
        return [chart]

    def train(self, progress: Progress, task: str, n: int, features: str) -> Result:
        """Train once with a seed that was not recorded."""
        data = load_movie_reviews() if task == "movie_reviews" else load_news_topics()
        few, test = data.subset("train").sample(n, seed=1000), data.subset("test")
        progress(0.3)
        steps: list[Any] = [feature_extraction.text.TfidfVectorizer(analyzer=list)]
        if features != "bag of words":
            averages = partial(document_averages, vectors=_vectors(features))
            steps = [preprocessing.FunctionTransformer(averages), preprocessing.StandardScaler()]
        classifier = linear_model.LogisticRegression(C=_STRENGTHS[features], max_iter=3000)
        model = pipeline.make_pipeline(*steps, classifier).fit(few.tokens, few.labels)
        return {features: scores(test.labels, model.predict(test.tokens))["accuracy"]}

    def describe(self, result: Result, live: Result | None) -> str:
        """The chosen features beside the best of the others."""
        chosen = result["features"]
        others = [f"{name} {self.told(result, name)}" for name in _STRENGTHS if name != chosen]
        runs = int(result["lines"][chosen]["count"][result["n"]])
        text = (
            f"{readable(result['task'])} with {result['n']:,} labels: {chosen} has test "
            f"accuracy {self.told(result, chosen)} over {runs} seeds; {', '.join(others)}."
        )
        if live:
            text += f" Live, {chosen}: {live[chosen]:.3f}."
        return text

    def code(self, task: str, n: int, features: str) -> str:
        """Train the classifier with seed 0, on one of four kinds of features."""
        steps = "steps = [feature_extraction.text.TfidfVectorizer(analyzer=list)]"
        if features != "bag of words":
            lines = [f"vectors = embeddings.{_made(features)}"]
            if features == "random vectors":
                lines += ["noise = np.random.default_rng(0).normal(size=vectors.vectors.shape)"]
                lines += ["vectors = embeddings.make_vectors(vectors.index_to_key, noise)"]
            lines += ["averages = lambda texts: embeddings.document_averages(texts, vectors)"]
            steps = "preprocessing.FunctionTransformer(averages), preprocessing.StandardScaler()"
            steps = "\n".join([*lines, f"steps = {steps}"])
        parts = {"task": task, "features": steps}
        return snippet("FewShotTransfer", parts, n=n, strength=_STRENGTHS[features])


class NeighbourhoodMap(Explorer):
    """Any word, its nearest neighbours, and a plane through them."""

    name = "neighbourhood map"
    size = (7.8, 3.9)

    def __init__(self, **settings: Any) -> None:
        controls = {
            "space": menu("vectors", _SPACES, _SPACES[0]),
            "word": field("word", "king"),
            "k": choice("neighbours k", (5, 10, 15, 20), 10),
        }
        super().__init__(controls, **settings)

    def compute(self, space: str, word: str, k: int) -> Result:
        """Neighbours with their cosines, and their places in the plane."""
        return self._around(_vectors(space), word.strip().lower(), k)

    def _around(self, vectors: KeyedVectors, word: str, k: int) -> Result:
        if not word:
            raise ValueError("type a word and press Enter")
        if word.isascii() and word not in vectors and "的" in vectors:
            raise KeyError(f"{word[:40]!r} has no vector here: try a Chinese word, 音乐 or 便宜")
        found = {word: 1.0, **dict(nearest(vectors, word, k))}
        glosses = ["" if item.isascii() else gloss(item) for item in found]
        points = figures.plane(vectors[list(found)])
        return {"found": found, "points": points, "glosses": glosses}

    def train(self, progress: Progress, space: str, word: str, k: int) -> Result:
        """Train small vectors on a slice of text of the same language and look there."""
        require_word(_vectors(space), word.strip().lower())
        text = load_corpus("chinese" if space == _SPACES[1] else "english", 300_000)
        small = train_word2vec(text, vector_size=50, epochs=5, progress=progress)
        return self._around(small, word.strip().lower(), k)

    def draw(self, figure: Figure, result: Result, live: Result | None) -> None:
        """The plane; beside it, after a live run, the small vectors' plane."""
        shown = [("", result)] if live is None else [("shipped vectors", result), ("live", live)]
        figure.subplots_adjust(left=0.02, right=0.98, bottom=0.03, top=0.92, wspace=0.05)
        for place, (title, item) in enumerate(shown, start=1):
            axes = figure.add_subplot(1, len(shown), place)
            axes.set_axis_off()
            axes.margins(x=0.2, y=0.1)
            words = list(item["found"])
            figures.scatter_words(axes, item["points"], words, item["glosses"], place - 1, ring=0)
            axes.set_title(title, fontsize=10, loc="left")

    def describe(self, result: Result, live: Result | None) -> str:
        """The three nearest words and the last one shown."""

        def told(item: Result) -> str:
            pairs = zip(item["found"], item["glosses"], strict=True)
            first, *names = (f"{word} ({told})" if told else word for word, told in pairs)
            scores = list(item["found"].values())[1:]
            near = [f"{name} {score:.2f}" for name, score in zip(names, scores, strict=True)]
            return f"{first}: {', '.join(near[:3])}; number {len(near)} is {near[-1]}"

        text = f"Nearest by cosine to {told(result)}."
        if live:
            text += f" In vectors trained live on 300,000 tokens, to {told(live)}."
        return text

    def table(self, result: Result, live: Result | None) -> list[list[str]]:
        """All neighbours of Chinese words with glosses; English ones stand in the picture."""
        if not any(result["glosses"]):
            return []
        rows = zip(result["found"].items(), result["glosses"], strict=True)
        return [["word", "in English", "cosine"]] + [
            [word, meaning or "–", f"{score:.2f}"] for (word, score), meaning in rows
        ]

    def code(self, space: str, word: str, k: int) -> str:
        """Look the neighbours up."""
        parts = {"vectors": _made(space)}
        return snippet("NeighbourhoodMap", parts, word=word.strip().lower(), k=k)
