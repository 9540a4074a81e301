"""Lesson 1's explorers."""

from __future__ import annotations

import textwrap
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from gensim.models.keyedvectors import KeyedVectors
from matplotlib.figure import Figure

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

PROBES = ("film", "government", "game", "music", "money")
FEATURES = ("GloVe", "own Word2Vec", "random vectors", "bag of words")

# Logistic regression's C: best macro-F1 on the validation splits at n = 100, mean of the tasks.
STRENGTHS = {"GloVe": 0.1, "own Word2Vec": 0.1, "random vectors": 0.01, "bag of words": 10.0}

SPACES = {
    "GloVe (English)": "load_glove()",
    "ours (Chinese)": 'load_vectors("zh")',
    "ours (English)": 'load_vectors("en")',
}


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
        "probe": Knob("neighbours of", "film", values=PROBES),
    }

    def charts(self, result: Result) -> list[Chart]:
        """ρ on the left and coverage on the right, with GloVe's values."""
        panels = (
            ("Spearman ρ, WordSim-353 (known pairs)", "rho", (-0.7, 0.75)),
            ("share of the 353 pairs known", "coverage", (0, 1.12)),
        )
        return [
            Chart(
                title, "tokens of text", {f"wordsim_{name}": "own Word2Vec"}, limits, "log",
                levels={"GloVe, 6 billion tokens": _glove()[name]},
            )
            for title, name, limits in panels
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
            f"has {_glove()['rho']:.2f} on {_glove()['coverage']:.0%}. "
            f"A run took {here['seconds']:.0f} s."
        )
        if live:
            text += f" Live, seed 0: ρ = {live['wordsim_rho']:.2f}."
        return text

    def table(self, result: Result, live: Result | None) -> list[list[str]]:
        """The probe's neighbours for three seeds."""
        here = result["here"][:3]
        found = {f"seed {seed}": words for seed, words in zip(here["seed"], here[f"near_{result['probe']}"], strict=True)}
        if live:
            found["live"] = live["neighbours"]
        rows = [[who, words or "(too rare: it has no vector)"] for who, words in found.items()]
        return [["", f"nearest to “{result['probe']}”"], *rows]

    def code(self, tokens: int, window: int, vector_size: int, epochs: int, probe: str) -> str:
        """Train the same vectors with seed 0."""
        return textwrap.dedent(f"""\
            from tlcourse.data import load_corpus
            from tlcourse.embeddings import nearest, similarity_score, train_word2vec

            sentences = load_corpus("english", {tokens})  # or lists of words of your own

            vectors = train_word2vec(
                sentences, vector_size={vector_size}, window={window}, epochs={epochs}, seed=0
            )
            result = similarity_score(vectors, "wordsim353")
            print(result)
            if "{probe}" in vectors:
                print(nearest(vectors, "{probe}", 5))
            """)


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
        return [
            Chart(
                f"{readable(result['task'])}: test accuracy, mean ± std over seeds",
                "labelled documents n", {name: name for name in FEATURES},
                (0.47, 0.72) if movies else (0.15, 1.02), "log",
                levels={"chance": 0.5 if movies else 0.2}, legend="beside",
            )
        ]  # fmt: skip

    def train(self, progress: Progress, task: str, n: int, features: str) -> Result:
        """Train once with a seed that was not recorded."""
        data = load_movie_reviews() if task == "movie_reviews" else load_news_topics()
        few, test = data.subset("train").sample(n, seed=1000), data.subset("test")
        progress(0.3)
        classifier = LogisticRegression(C=STRENGTHS[features], max_iter=3000)
        if features == "bag of words":
            model = make_pipeline(TfidfVectorizer(analyzer=list), classifier)
            predicted = model.fit(few.tokens, few.labels).predict(test.tokens)
        else:
            model, vectors = make_pipeline(StandardScaler(), classifier), _vectors(features)
            model.fit(document_averages(few.tokens, vectors), few.labels)
            predicted = model.predict(document_averages(test.tokens, vectors))
        return {features: scores(test.labels, predicted)["accuracy"]}

    def describe(self, result: Result, live: Result | None) -> str:
        """The chosen features beside the best of the others."""
        chosen = result["features"]
        others = [f"{name} {self.told(result, name)}" for name in FEATURES if name != chosen]
        runs = int(result["lines"][chosen]["count"][result["n"]])
        text = (
            f"{readable(result['task'])} with {result['n']:,} labels: {chosen} has test "
            f"accuracy {self.told(result, chosen)} over {runs} seeds; {', '.join(others)}."
        )
        if live:
            text += f" Live, {chosen}: {live[chosen]:.3f}."
        return text

    def code(self, task: str, n: int, features: str) -> str:
        """Train the classifier with seed 0."""
        first, imports, made = "StandardScaler()", "", _VECTORS[features]
        if features == "bag of words":
            ...
        return textwrap.dedent(f"""\
            from sklearn.linear_model import LogisticRegression
            """)
