"""Lesson 4's exercises."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tlcourse.checks import (
    Mistake,
    NotAttempted,
    as_array,
    exercise,
    expect,
    expect_set,
    untouched,
)


def _number(value: Any) -> Any:
    """An array of one number as that number; anything else as it is."""
    if isinstance(value, (dict, list)) or getattr(value, "shape", None) == (2,):
        raise Mistake("one number is asked for, but you return one for each task.")
    return value.reshape(()) if isinstance(value, np.ndarray) and value.size == 1 else value


@exercise("multitask.mixed_loss", "L_mt of a mixed batch")
def _mixed_loss(answer: Callable) -> None:
    generator = np.random.default_rng(3)
    probabilities, labels = {}, {}
    for task, n, classes in (("movies", 6, 2), ("news", 2, 5)):
        raw = generator.random((n, classes)) + 0.1
        probabilities[task] = raw / raw.sum(1, keepdims=True)
        labels[task] = generator.integers(0, classes, n)
    each = [-np.log(p[np.arange(len(p)), labels[t]]) for t, p in probabilities.items()]
    total, means = sum(values.sum() for values in each), [values.mean() for values in each]
    largest = sum(-np.log(p.max(1)).sum() for p in probabilities.values())
    mistakes = {
        "you averaged the tasks' means. The formula divides one sum over all examples by "
        "ΣN_t: every example counts once, not every task.": np.mean(means),
        "this is the sum of the tasks' means; divide one sum over all examples by ΣN_t.": (
            sum(means)
        ),
        "the division by ΣN_t is missing.": total,
        "the minus sign is missing: a loss is at least 0.": -total / 8,
        "you divided by the number of tasks; the formula divides by ΣN_t, the number of "
        "examples.": total / 2,
        "you averaged over the classes too: Y is 1 for one class only, divide by the number "
        "of examples.": total / sum(p.size for p in probabilities.values()),
        "use the natural logarithm.": total / 8 / np.log(2),
        "use the probability of the true class, not the largest one.": largest / 8,
    }
    found = answer({t: p.copy() for t, p in probabilities.items()}, dict(labels))
    expect(_number(found), total / 8, "L_mt", mistakes)


@exercise("multitask.temperature", "Sampling by temperature")
def _temperature(answer: Callable) -> None:
    n = np.array([900.0, 100.0, 400.0])
    for tau in (2.0, 1.0, 5.0):
        power, shifted = n ** (1 / tau), np.exp((n - n.max()) / tau)
        mistakes = {
            "the shares do not sum to 1: divide by their sum.": power,
            "the shares do not sum to 1: divide by the sum of the powers, not by a power of "
            "the sum.": (n / n.sum()) ** (1 / tau),
            "the exponent is upside down: it is 1/τ, so that a high τ makes the shares alike.": n
            ** tau
            / (n**tau).sum(),
            "this is a softmax of the sizes: take the power n^(1/τ), that is a softmax of "
            "log(n)/τ.": shifted / shifted.sum(),
            "τ has no effect in what you return: raise the sizes to the power 1/τ. In Python "
            "that needs brackets: sizes ** (1 / tau).": n / n.sum(),
            "Python reads sizes ** 1 / tau as (sizes ** 1) / tau; write sizes ** (1 / tau).": (
                n / tau
            ),
            "all shares are alike whatever τ is: raise the sizes to the power 1/τ.": (
                np.full(3, 1 / 3)
            ),
        }
        expect(answer(n.copy(), tau), power / power.sum(), f"p at τ = {tau:g}", mistakes)


@exercise("multitask.even_weights", "Weights against sizes")
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
    what = "the vector of weights, divided by its sum,"
    mistakes = {explanation: weights / weights.sum() for explanation, weights in wrong.items()}
    expect(values / values.sum(), (1 / n) / (1 / n).sum(), what, mistakes)


@exercise("multitask.project", "A gradient freed from a conflict")
def _project(answer: Callable) -> None:
    g = np.array([1.0, 2.0, -1.0])
    others = np.array([[2.0, 1.0, 1.0], [-2.0, 0.5, 3.0]])  # one agrees, one conflicts
    found = [as_array(untouched(answer, g, other), "the gradient") for other in others]
    for each in found:
        if each.shape != g.shape:
            raise Mistake(f"the gradient has shape {each.shape}, expected {g.shape}.")

    def by(rule: Callable) -> np.ndarray:
        """A rule's results for both; rule(g·h, h) gives what is subtracted from g."""
        return np.array([g - rule(g @ h, h) for h in others])

    def over(length: Callable) -> np.ndarray:
        """The right rule, but with another length in the denominator."""
        return by(lambda dot, h: min(dot, 0) / length(h) * h)

    norm, right = np.linalg.norm, over(lambda h: h @ h)
    mistakes = {
        "you return g unchanged although one pair conflicts: there g·h is negative.": (
            by(lambda dot, h: 0)
        ),
        "you project although the cosine is positive: where the two agree, leave g as it is.": (
            by(lambda dot, h: dot / (h @ h) * h)
        ),
        "you project where they agree and not where they conflict.": (
            by(lambda dot, h: max(dot, 0) / (h @ h) * h)
        ),
        "divide by the squared length of the other gradient, not by its length.": over(norm),
        "divide by the squared length of the other gradient, not of g.": over(lambda h: g @ g),
        "divide by the squared length of the other gradient; the product of both lengths belongs "
        "to the cosine.": over(lambda h: norm(g) * norm(h)),
        "where the two conflict you return the component that should be taken away.": (
            by(lambda dot, h: g - dot / (h @ h) * h if dot < 0 else 0)
        ),
        "you return the component that should be taken away.": g - right,
        "you return the component along the other gradient; take it away from g, and only where "
        "the two conflict.": by(lambda dot, h: g - dot / (h @ h) * h),
        "you add the component along the other gradient; subtract it.": 2 * g - right,
        "you took the component off along g; take it off along the other gradient.": (
            by(lambda dot, h: min(dot, 0) / (g @ g) * g)
        ),
    }
    expect(np.array(found), right, "the gradient in two cases", mistakes)


_ALONE = {
    "a": {200: [0.70, 0.74, 0.69], 400: [0.74, 0.75, 0.76]},
    "b": {200: [0.58, 0.61, 0.64], 400: [0.57, 0.56, 0.58]},
    "c": {200: [0.80, 0.78, 0.82], 400: [0.84, 0.85, 0.83]},
}
_HELPED = {
    ("a", "b"): {200: [0.69, 0.76, 0.74]},
    ("b", "a"): {200: [0.60, 0.57, 0.57]},
    ("a", "c"): {200: [0.71, 0.65, 0.66]},
    ("c", "a"): {200: [0.81, 0.82, 0.81]},
    ("b", "c"): {200: [0.63, 0.64, 0.64]},
    ("c", "b"): {200: [0.81, 0.81, 0.81]},
}


@exercise("multitask.harmed", "Reading negative transfer")
def _harmed(answer: Callable) -> None:
    given = answer(
        {task: {step: list(runs) for step, runs in by.items()} for task, by in _ALONE.items()},
        {pair: {step: list(runs) for step, runs in by.items()} for pair, by in _HELPED.items()},
    )
    if given is ...:
        raise NotAttempted
    try:
        pairs = list(given)
        if any(isinstance(pair, str) or len(pair) != 2 for pair in pairs):
            raise TypeError("not pairs")
        found = {tuple(pair) for pair in pairs}
    except TypeError as fault:
        raise Mistake(f"a set of (target, helper) pairs is asked for, got {given!r:.80}") from fault

    def lost(score: Callable, steps: Iterable[int] = (200,), whose: int = 0) -> set:
        """Pairs that score lower than a task alone after some steps."""
        return {
            pair
            for pair, runs in _HELPED.items()
            if score(runs[200]) < score([run for at in steps for run in _ALONE[pair[whose]][at]])
        }

    right = lost(np.mean)
    mistakes = {
        "you compare at unequal steps: the helped runs stopped after 200 steps, so the run "
        "alone counts after 200 as well, not after 400.": lost(np.mean, (400,)),
        "you average over the checks; compare at the same step, 200.": lost(np.mean, (200, 400)),
        "rows and columns are swapped: (target, helper), and the target's accuracy counts.": {
            (helper, target) for target, helper in right
        },
        "these are the pairs that gain; negative transfer is a loss.": set(_HELPED) - right,
        "you compare with the helper alone; compare with the target alone.": lost(np.mean, whose=1),
        "you compare the first seed only; compare the means over all.": lost(lambda runs: runs[0]),
        "you compare the best seeds; compare the means over all.": lost(max),
        "these are all pairs; keep those whose target loses.": set(_HELPED),
    }
    otherwise = (
        f"expected {len(right)} pairs, got {sorted(found)!r:.120}; for each pair compare the "
        "means of target with helper and target alone at 200 steps."
    )
    expect_set(found, right, mistakes, otherwise)
