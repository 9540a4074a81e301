"""Lesson 4's exercises and quiz."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tlcourse.checks import Exercise, Mistake, Question, as_array, expect
from tlcourse.multitask.exercises_gains import judge_harmed


def _number(value: Any) -> Any:
    """An array of one number as that number; anything else as it is."""
    if isinstance(value, (dict, list)) or getattr(value, "shape", None) == (2,):
        raise Mistake("one number is asked for, but you return one for each task.")
    return value.reshape(()) if isinstance(value, np.ndarray) and value.size == 1 else value


def _mixed_loss(answer: Callable) -> None:
    generator = np.random.default_rng(3)
    probabilities, labels = {}, {}
    for task, n, classes in (("movies", 6, 2), ("news", 2, 5)):
        raw = generator.random((n, classes)) + 0.1
        probabilities[task] = raw / raw.sum(1, keepdims=True)
        labels[task] = generator.integers(0, classes, n)
    each = {t: -np.log(p[np.arange(len(p)), labels[t]]) for t, p in probabilities.items()}
    total = sum(values.sum() for values in each.values())
    entries = sum(p.size for p in probabilities.values())
    expect(
        _number(answer({t: p.copy() for t, p in probabilities.items()}, dict(labels))),
        total / 8,
        "L_mt",
        {
            "you averaged the tasks' means. The formula divides one sum over all examples by "
            "ΣN_t: every example counts once, not every task.": np.mean(
                [values.mean() for values in each.values()]
            ),
            "this is the sum of the tasks' means; divide one sum over all examples by ΣN_t.": sum(
                values.mean() for values in each.values()
            ),
            "the division by ΣN_t is missing.": total,
            "the minus sign is missing: a loss is at least 0.": -total / 8,
            "you divided by the number of tasks; the formula divides by ΣN_t, the number of "
            "examples.": total / 2,
            "you averaged over the classes too: Y is 1 for one class only, divide by the number "
            "of examples.": total / entries,
            "use the natural logarithm.": total / 8 / np.log(2),
            "use the probability of the true class, not the largest one.": sum(
                -np.log(p.max(1)).sum() for p in probabilities.values()
            )
            / 8,
        },
    )


def _temperature(answer: Callable) -> None:
    for tau in (2.0, 1.0, 5.0):
        n = np.array([900.0, 100.0, 400.0])
        power, shifted = n ** (1 / tau), np.exp((n - n.max()) / tau)
        expect(
            answer(n.copy(), tau),
            power / power.sum(),
            f"p at τ = {tau:g}",
            {
                "the shares do not sum to 1: divide by their sum.": power,
                "the shares do not sum to 1: divide by the sum of the powers, not by a power of "
                "the sum.": (n / n.sum()) ** (1 / tau),
                "the exponent is upside down: it is 1/τ, so that a high τ makes the shares "
                "alike.": n**tau / (n**tau).sum(),
                "this is a softmax of the sizes: take the power n^(1/τ), that is a softmax of "
                "log(n)/τ.": shifted / shifted.sum(),
                "τ has no effect in what you return: raise the sizes to the power 1/τ. In Python "
                "that needs brackets: sizes ** (1 / tau).": n / n.sum(),
                "Python reads sizes ** 1 / tau as (sizes ** 1) / tau; write sizes ** (1 / tau).": n
                / tau,
                "all shares are alike whatever τ is: raise the sizes to the power 1/τ.": np.full(
                    3, 1 / 3
                ),
            },
        )


def _even_weights(answer: Callable) -> None:
    n = np.array([900.0, 100.0, 200.0])
    found = answer(n.copy())
    values = as_array(found, "what you return")
    if values.shape != n.shape or not np.isfinite(values).all() or (values <= 0).any():
        raise Mistake(f"three positive weights are asked for, got {found!r:.80}")
    wrong = {
        "you weigh by size twice: with τ = 1 a large task is drawn more often already, and you "
        "give each of its examples a larger weight as well.": n,
        "with equal weights a task counts in proportion to how often it is drawn, n_t: nine times "
        "as much for the first as for the second.": np.ones(3),
        "you divided by the root of the size; that undoes τ = 2, here τ is 1.": n**-0.5,
        "one minus the share is not enough: p times w must be the same for all.": 1 - n / n.sum(),
    }
    expect(
        values / values.sum(),
        (1 / n) / (1 / n).sum(),
        "the vector of weights, divided by its sum,",
        {explanation: weights / weights.sum() for explanation, weights in wrong.items()},
    )


def _project(answer: Callable) -> None:
    g = np.array([1.0, 2.0, -1.0])
    others = np.array([[2.0, 1.0, 1.0], [-2.0, 0.5, 3.0]])  # one agrees, one conflicts
    found = []
    for other in others:
        before, seen = g.copy(), other.copy()
        found.append(as_array(answer(before, seen), "the gradient"))
        if not (np.array_equal(before, g) and np.array_equal(seen, other)):
            raise Mistake("you changed the arrays that were given; make new ones.")
    for each in found:
        if each.shape != g.shape:
            raise Mistake(f"the gradient has shape {each.shape}, expected {g.shape}.")

    def by(rule: Callable) -> np.ndarray:
        """A rule's results for both; rule(g·h, h) gives what is subtracted from g."""
        return np.array([g - rule(g @ h, h) for h in others])

    mistakes = {
        "you return g unchanged although one pair conflicts: there g·h is negative.": by(
            lambda dot, h: 0
        ),
        "you project although the cosine is positive: where the two agree, leave g as it is.": by(
            lambda dot, h: dot / (h @ h) * h
        ),
        "you project where they agree and not where they conflict.": by(
            lambda dot, h: max(dot, 0) / (h @ h) * h
        ),
        "divide by the squared length of the other gradient, not by its length.": by(
            lambda dot, h: min(dot, 0) / np.linalg.norm(h) * h
        ),
        "divide by the squared length of the other gradient, not of g.": by(
            lambda dot, h: min(dot, 0) / (g @ g) * h
        ),
        "divide by the squared length of the other gradient; the product of both lengths belongs "
        "to the cosine.": by(
            lambda dot, h: min(dot, 0) / (np.linalg.norm(g) * np.linalg.norm(h)) * h
        ),
        "where the two conflict you return the component that should be taken away.": by(
            lambda dot, h: g - dot / (h @ h) * h if dot < 0 else 0
        ),
        "you return the component that should be taken away.": by(
            lambda dot, h: g - min(dot, 0) / (h @ h) * h
        ),
        "you return the component along the other gradient; take it away from g, and only where "
        "the two conflict.": by(lambda dot, h: g - dot / (h @ h) * h),
        "you add the component along the other gradient; subtract it.": by(
            lambda dot, h: -min(dot, 0) / (h @ h) * h
        ),
        "you took the component off along g; take it off along the other gradient.": by(
            lambda dot, h: min(dot, 0) / (g @ g) * g
        ),
    }
    right = by(lambda dot, h: min(dot, 0) / (h @ h) * h)
    expect(np.array(found), right, "the gradient in two cases", mistakes)


EXERCISES = {
    "mixed_loss": Exercise("L_mt of a mixed batch", _mixed_loss),
    "temperature": Exercise("Sampling by temperature", _temperature),
    "even_weights": Exercise("Weights against sizes", _even_weights),
    "project": Exercise("A gradient freed from a conflict", _project),
    "harmed": Exercise("Reading negative transfer", judge_harmed),
}

QUESTIONS = (
    Question(
        "A large task has 9,000 examples and a small one 1,000. L_mt as written counts every "
        "example once. How much does the small task weigh in the gradient at the start, when "
        "losses are alike?",
        (
            ("One half: there are two tasks", "That is the mean of the tasks' means."),
            (
                "One tenth: its share of the examples",
                "Right: one sum over all examples, divided by ΣN_t.",
            ),
            (
                "Nothing that can be said without the number of classes",
                "Classes change how large a loss is, not how often an example is counted.",
            ),
        ),
        1,
    ),
    Question(
        "Two tasks' gradients on the trunk have cosine −0.3 at some step. What follows?",
        (
            (
                "The tasks hurt each other: train them apart",
                "Not from this: a step that costs one task a little now can still help it later. "
                "Gains have to be measured on held-out texts.",
            ),
            (
                "A small descent step for one task raises the other's loss on these examples",
                "Right, and no more than that.",
            ),
            (
                "PCGrad will be better than a plain sum",
                "In this lesson's runs conflicts come and go, and PCGrad ends within the spread.",
            ),
        ),
        1,
    ),
    Question(
        "With a helper a task reaches 0.66 after 200 joint steps of two batches; alone it had "
        "reached 0.64 after 200 steps of one batch. What must you say about the comparison?",
        (
            (
                "Nothing: both made 200 steps",
                "The target saw as much in both, but the joint run did twice the work.",
            ),
            (
                "The target's steps are equal, the work is not; the baseline may need more steps",
                "Right: say which of the two you keep equal, and show the baseline over its steps.",
            ),
            (
                "It is wrong: joint training should get half the steps",
                "That would be equal work, another fair question, with another answer.",
            ),
        ),
        1,
    ),
)
