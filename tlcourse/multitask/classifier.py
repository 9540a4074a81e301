"""Lesson 4 for data sets of one's own: one call from texts and labels to a model that predicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gensim.models.keyedvectors import KeyedVectors

from tlcourse.arguments import check_share
from tlcourse.finetuning.tasks import Data
from tlcourse.models import MultitaskModel
from tlcourse.multitask.tasks import Suite, build_multitask, build_suite
from tlcourse.multitask.training import evaluate_tasks, train_tasks
from tlcourse.training import History
from tlcourse.training import predict as class_probabilities


@dataclass(frozen=True, eq=False)
class MultitaskClassifier:
    """A trunk with a head for each task, and all that is needed to read texts with it.

    Attributes
    ----------
    model : MultitaskModel
    suite : Suite
        Its ``tasks[name].encode(texts)`` puts texts into the model's numbers.
    history : tlcourse.training.History
    """

    model: MultitaskModel
    suite: Suite
    history: History

    def probabilities(self, texts: Sequence[str], task: str) -> np.ndarray:
        """Class probabilities of texts, float32, shape (n, classes)."""
        self.suite.check_names([task])
        encoded = self.suite.tasks[task].encode(texts)
        return class_probabilities(self.model, encoded.inputs, task=task)

    def predict(self, texts: Sequence[str], task: str) -> np.ndarray:
        """The likeliest label of each text, as the labels were given; shape (n,)."""
        found = self.probabilities(texts, task).argmax(1)
        return np.array(self.suite.tasks[task].classes)[found]

    def scores(
        self, texts: Sequence[str], labels: Sequence[str | int], task: str
    ) -> dict[str, float]:
        """``accuracy`` and ``macro_f1`` of a task on labelled texts."""
        self.suite.check_names([task])
        found = evaluate_tasks(self.model, {task: self.suite.tasks[task].encode(texts, labels)})
        return {name.removesuffix(f"_{task}"): value for name, value in found.items()}


def train(
    data: Mapping[str, Data],
    *,
    vectors: KeyedVectors | None = None,
    language: str = "en",
    lam: float = 0.0,
    source: Sequence[str] | None = None,
    seed: int = 0,
    **options: Any,
) -> MultitaskClassifier:
    """Train several tasks of one's own on one trunk by ``λ L_pre + (1 − λ) L_mt``.

    Parameters
    ----------
    data : mapping of str to tlcourse.data.TextDataset or (texts, labels)
        Each task's labelled texts; of a data set the train split. Labels are names or numbers.
    vectors, language
        See `tlcourse.multitask.build_suite`.
    lam : float
        λ, 0 … 1.
    source : sequence of str, optional
        Texts for the language model; left out, those of the tasks, as many of each.
    seed : int
        For the trunk, the heads, the tasks drawn, the order of the examples, and dropout.
    **options
        Of `tlcourse.multitask.train_tasks`: weights, temperature, method, steps, device …

    Returns
    -------
    MultitaskClassifier

    Examples
    --------
    >>> films = ["a fine film", "a dull film"] * 8, ["good", "bad"] * 8
    >>> topics = ["the match was lost", "shares rose again"] * 8, [0, 1] * 8
    >>> two = train({"films": films, "topics": topics}, steps=60, learning_rate=0.01, device="cpu")
    >>> two.predict(["shares rose", "the match"], "topics").tolist()
    [1, 0]
    """
    check_share("lam", lam)
    suite = build_suite(data, vectors=vectors, language=language)
    names = list(suite.tasks)
    model = build_multitask(suite, names, seed)
    plain = None
    if lam > 0:
        plain = suite.source(names) if source is None else suite.tasks[names[0]].encode(source)
    labelled = {name: task.splits["train"] for name, task in suite.tasks.items()}
    history = train_tasks(model, labelled, lam=lam, source=plain, seed=seed, **options)
    return MultitaskClassifier(model, suite, history)
