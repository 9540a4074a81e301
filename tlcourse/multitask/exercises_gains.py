"""Lesson 4's exercise on reading gains: which pairs of tasks show negative transfer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tlcourse.checks import Mistake, NotAttempted

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


def judge_harmed(answer: Callable) -> None:
    """Judge a function of runs alone and with helpers that names the pairs that lose."""
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
    gains = {
        step: {
            pair: np.mean(runs[200]) - np.mean(_ALONE[pair[0]][step])
            for pair, runs in _HELPED.items()
        }
        for step in (200, 400)
    }
    right = {pair for pair, gain in gains[200].items() if gain < 0}
    if found == right:
        return
    of_helper = {
        pair for pair, runs in _HELPED.items() if np.mean(runs[200]) < np.mean(_ALONE[pair[1]][200])
    }
    mixed = {
        pair
        for pair, runs in _HELPED.items()
        if np.mean(runs[200]) < np.mean([_ALONE[pair[0]][step] for step in (200, 400)])
    }
    mistakes = (
        (
            {pair for pair, gain in gains[400].items() if gain < 0},
            "you compare at unequal steps: the helped runs stopped after 200 steps, so the run "
            "alone counts after 200 as well, not after 400.",
        ),
        (mixed, "you average over the checks; compare at the same step, 200."),
        (
            {(b, a) for a, b in right},
            "rows and columns are swapped: (target, helper), and the target's accuracy counts.",
        ),
        (set(_HELPED) - right, "these are the pairs that gain; negative transfer is a loss."),
        (of_helper, "you compare with the helper alone; compare with the target alone."),
        (
            {p for p, runs in _HELPED.items() if runs[200][0] < _ALONE[p[0]][200][0]},
            "you compare the first seed only; compare the means over all.",
        ),
        (
            {p for p, runs in _HELPED.items() if max(runs[200]) < max(_ALONE[p[0]][200])},
            "you compare the best seeds; compare the means over all.",
        ),
        (set(_HELPED), "these are all pairs; keep those whose target loses."),
    )
    for wrong, explanation in mistakes:
        if found == wrong:
            raise Mistake(explanation)
    raise Mistake(
        f"expected {len(right)} pairs, got {sorted(found)!r:.120}; for each pair compare the "
        "means of target with helper and target alone at 200 steps."
    )
