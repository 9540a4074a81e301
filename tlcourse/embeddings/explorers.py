"""Lesson 1's explorers."""

from __future__ import annotations

import textwrap
from collections.abc import Hashable
from functools import lru_cache

from matplotlib.figure import Figure

from experiments.embeddings import FEATURES, PROBES, TASKS, few_shot, word2vec_knobs
from tlcourse import recorded
from tlcourse.embeddings.vectors import load_glove, similarity_score
from tlcourse.training import Progress
from tlcourse.widgets import figures
from tlcourse.widgets.controls import choice, menu, readable
from tlcourse.widgets.explorer import Explorer, Result


@lru_cache(maxsize=1)
def _glove_rho() -> dict[str, float]:
    return similarity_score(load_glove())


class WordVectorKnobs(Explorer):
    """Training knobs of Word2Vec against ρ, coverage and neighbours, over recorded runs."""

    name = "Word2Vec knobs"
    size = (7.8, 3.0)

    def __init__(self, **settings: object) -> None:
        grid = recorded.grid("word2vec_knobs")
        controls = {
            "tokens": choice("tokens of text", grid["tokens"], 300_000, "{:,}".format),
            "window": choice("window", grid["window"], 5),
            "vector_size": choice("dimension d", grid["vector_size"], 100),
            "epochs": choice("epochs", grid["epochs"], 10),
            "probe": menu("neighbours of", PROBES, "film"),
        }
        super().__init__(controls, **settings)

    def compute(
        self, tokens: int, window: int, vector_size: int, epochs: int, probe: str
    ) -> Result:
        """Recorded runs at these settings, and the same at the other corpus sizes."""
        rows = recorded.select(
            "word2vec_knobs", window=window, vector_size=vector_size, epochs=epochs
        )
        here = rows[rows["tokens"] == tokens]
        return {
            "tokens": tokens,
            "by_size": recorded.spread(rows, "tokens", "wordsim_rho"),
            "coverage": recorded.spread(rows, "tokens", "wordsim_coverage"),
            "rho": (here["wordsim_rho"].mean(), here["wordsim_rho"].std()),
            "simlex": (here["simlex_rho"].mean(), here["simlex_rho"].std()),
            "covered": here["wordsim_coverage"].mean(),
            "seconds": here["seconds"].mean(),
            "runs": len(here),
            "glove": _glove_rho(),
            "probe": probe,
            "neighbours": dict(zip(here["seed"], here[f"near_{probe}"], strict=True)),
        }

    def train(self, progress: Progress, **settings: object) -> Result:
        """Train the vectors here and now, with seed 0."""
        probe = settings.pop("probe")
        found = word2vec_knobs(**settings, seed=0, progress=progress)  # type: ignore[arg-type]
        return {**found, "neighbours": found[f"near_{probe}"]}

    def frame(self, figure: Figure, result: Result) -> None:
        """ρ on the left and coverage on the right, against corpus size, with GloVe's values."""
        left, right = figure.subplots(1, 2)
        figure.subplots_adjust(left=0.06, right=0.98, bottom=0.17, top=0.88, wspace=0.18)
        for axes, glove in ((left, "rho"), (right, "coverage")):
            figures.number_ticks(axes, result["by_size"].index)
            axes.set_xlim(25_000, 360_000)
            figures.level(axes, result["glove"][glove], "GloVe, 6 billion tokens")
        figures.tidy(left, "Spearman ρ, WordSim-353 (known pairs)", "tokens of text")
        figures.tidy(right, "share of the 353 pairs known", "tokens of text")
        left.set_ylim(-0.7, 0.75)
        right.set_ylim(0, 1.12)

    def draw(self, figure: Figure, result: Result, live: Result | None) -> None:
        """The curves over seeds, and the live run."""
        for axes, table, name in (
            (figure.axes[0], result["by_size"], "wordsim_rho"),
            (figure.axes[1], result["coverage"], "wordsim_coverage"),
        ):
            figures.band(axes, table.index, table["mean"], table["std"], "own Word2Vec")
            figures.here(axes, result["tokens"])
            if live:
                figures.star(axes, result["tokens"], live[name])

    def describe(self, result: Result, live: Result | None) -> str:
        """ρ, its spread and its coverage, beside GloVe's."""
        rho, std = result["rho"]
        text = (
            f"{result['tokens']:,} tokens: ρ = {rho:z.2f} ± {std:.2f} on the "
            f"{result['covered']:.0%} of WordSim-353 pairs whose words are known (mean ± std of "
            f"{result['runs']} seeds; SimLex-999 ρ = {result['simlex'][0]:z.2f}); GloVe has "
            f"{result['glove']['rho']:.2f} on {result['glove']['coverage']:.0%}. "
            f"A run took {result['seconds']:.0f} s."
        )
        if live:
            text += f" Live, seed 0: ρ = {live['wordsim_rho']:.2f}."
        return text

    def table(self, result: Result, live: Result | None) -> list[list[str]]:
        """The probe's neighbours for three seeds."""
        rows = [["", f"nearest to “{result['probe']}”"]]
        for seed, words in list(result["neighbours"].items())[:3]:
            rows.append([f"seed {seed}", words or "(too rare: it has no vector)"])
        if live:
            rows.append(["live", live["neighbours"] or "(too rare: it has no vector)"])
        return rows

    def code(self, tokens: int, window: int, vector_size: int, epochs: int, probe: str) -> str:
        """Train the same vectors with seed 0."""
        return textwrap.dedent(f"""\
            from tlcourse.data.corpora import load_corpus
            from tlcourse.embeddings import nearest, similarity_score
            from tlcourse.embeddings.word2vec import train_word2vec

            sentences = load_corpus("english", {tokens})
            vectors = train_word2vec(
                sentences, vector_size={vector_size}, window={window}, epochs={epochs}, seed=0
            )
            result = similarity_score(vectors, "wordsim353")
            print(result)
            if "{probe}" in vectors:
                print(nearest(vectors, "{probe}", 5))
            """)


class FewShotTransfer(Explorer):
    """Accuracy of a classifier against the number of labels, for four kinds of features."""

    name = "few-shot transfer"
    size = (7.8, 3.6)

    def __init__(self, **settings: object) -> None:
        grid = recorded.grid("few_shot")
        controls = {
            "task": menu("task", TASKS, "news_topics", readable),
            "n": choice("labels n", grid["n"], 50, "{:,}".format),
            "features": menu("features", FEATURES, "GloVe"),
        }
        super().__init__(controls, **settings)

    def compute(self, task: str, n: int, features: str) -> Result:
        """Recorded accuracies of all features on the task."""
        rows = recorded.select("few_shot", task=task)
        curves = {
            name: recorded.spread(rows[rows["features"] == name], "n", "accuracy")
            for name in FEATURES
        }
        at_n = {name: (curve["mean"][n], curve["std"][n]) for name, curve in curves.items()}
        return {
            "task": task, "n": n, "features": features, "curves": curves, "at_n": at_n,
            "chance": 1 / (2 if task == "movie_reviews" else 5),
            "runs": int(curves[features]["count"][n]),
        }  # fmt: skip

    def train(self, progress: Progress, task: str, n: int, features: str) -> Result:
        """Train once with a seed that was not recorded."""
        progress(0.3)
        return few_shot(task, features, n, seed=1000, progress=progress)

    def frame_key(self, result: Result) -> Hashable:
        """The task: its title and its chance level."""
        return result["task"]

    def frame(self, figure: Figure, result: Result) -> None:
        """Axes, title and legend."""
        axes = figure.subplots()
        figure.subplots_adjust(left=0.07, right=0.78, bottom=0.14, top=0.92)
        figures.level(axes, result["chance"], "chance")
        figures.number_ticks(axes, result["curves"]["GloVe"].index)
        axes.set_xlim(9, 1150)
        axes.set_ylim(0.15, 1.02) if result["chance"] < 0.5 else axes.set_ylim(0.47, 0.72)
        title = f"{readable(result['task'])}: test accuracy, mean ± std over seeds"
        figures.tidy(axes, title, "labelled documents n")
        figures.legend(axes, FEATURES)

    def draw(self, figure: Figure, result: Result, live: Result | None) -> None:
        """Curves with bands; the chosen features stand out."""
        axes = figure.axes[0]
        for style, (name, curve) in enumerate(result["curves"].items()):
            chosen = name == result["features"]
            figures.band(axes, curve.index, curve["mean"], curve["std"], name, style, chosen)
        figures.here(axes, result["n"])
        if live:
            figures.star(axes, result["n"], live["accuracy"])

    def describe(self, result: Result, live: Result | None) -> str:
        """The chosen features beside the best of the others."""
        chosen = result["features"]
        told = {name: f"{mean:.3f} ± {std:.3f}" for name, (mean, std) in result["at_n"].items()}
        others = ", ".join(f"{name} {score}" for name, score in told.items() if name != chosen)
        text = (
            f"{readable(result['task'])} with {result['n']:,} labels: {chosen} has test "
            f"accuracy {told[chosen]} over {result['runs']} seeds; {others}."
        )
        if live:
            text += f" Live, {result['features']}: {live['accuracy']:.3f}."
        return text

    def code(self, task: str, n: int, features: str) -> str:
        """Train the classifier with seed 0."""
        return textwrap.dedent(f"""\
            from tlcourse.runs.embeddings import few_shot

            result = few_shot({task!r}, {features!r}, n={n}, seed=0)
            print(result)
            """)


from tlcourse.embeddings.explorers_neighbourhood import NeighbourhoodMap  # noqa: E402, F401
