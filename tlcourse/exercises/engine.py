"""What an exercise is, and how an answer is judged: right, not attempted, or which mistake."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tlcourse.notices import message_html


class Mistake(Exception):
    """A wrong answer whose likely cause is known; the message names it."""


@dataclass(frozen=True)
class Exercise:
    """A task for the learner.

    Attributes
    ----------
    title : str
    judge : callable
        Takes the learner's answer; raises `Mistake` if it is wrong.
    """

    title: str
    judge: Callable[[Any], None]


@dataclass(frozen=True)
class Question:
    """A quiz question: each option has its explanation, one is right."""

    text: str
    options: tuple[tuple[str, str], ...]
    right: int


@dataclass(frozen=True)
class Feedback:
    """What a check says; ``passed`` is None if the exercise was not attempted."""

    passed: bool | None
    text: str

    def __repr__(self) -> str:
        return f"{ {None: '…', True: '✓', False: '✗'}[self.passed] } {self.text}"

    def _repr_html_(self) -> str:
        kind = {None: "open", True: "right", False: "wrong"}[self.passed]
        return message_html(self.text, kind)


def judge(exercise: Exercise, answer: Any) -> Feedback:
    """Judge an answer: a function, usually. Never raises for what the learner wrote."""
    if answer is ...:
        return Feedback(None, f"{exercise.title}: not attempted yet.")
    try:
        exercise.judge(answer)
    except NotAttempted:
        return Feedback(None, f"{exercise.title}: not attempted yet.")
    except Mistake as mistake:
        return Feedback(False, f"{exercise.title}: {mistake}")
    except Exception as fault:
        return Feedback(
            False,
            f"{exercise.title}: your code raised {type(fault).__name__}: {fault}. Try it on a "
            "small array of your own first.",
        )
    return Feedback(True, f"{exercise.title}: right.")


class NotAttempted(Exception):
    """The stub's ``...`` came back."""


def as_array(value: Any, what: str) -> np.ndarray:
    """The answer as an array of numbers, or a `Mistake` that says what it is instead."""
    if value is ...:
        raise NotAttempted
    if value is None:
        raise Mistake(f"{what} is None; does your function end with return?")
    if hasattr(value, "detach"):
        value = value.detach().numpy()
    try:
        return np.asarray(value, dtype=float)
    except (TypeError, ValueError) as fault:
        raise Mistake(f"{what} should be an array of numbers, but is {value!r:.80}") from fault


def expect(value: Any, right: Any, what: str, mistakes: Mapping[str, Any]) -> None:
    """Compare an answer with the right one and with typical wrong ones.

    Raises
    ------
    Mistake
        If it is not right; with the matching explanation if it is a typical one.
    """
    found, wanted = as_array(value, what), np.asarray(right, dtype=float)
    if found.shape == wanted.shape and np.allclose(found, wanted, atol=1e-4):
        return
    for explanation, wrong in mistakes.items():
        other = np.asarray(wrong, dtype=float)
        if found.shape == other.shape and np.allclose(found, other, atol=1e-4, equal_nan=True):
            raise Mistake(explanation)
    if found.shape != wanted.shape:
        raise Mistake(f"{what} has shape {found.shape}, expected {wanted.shape}.")
    if not np.isfinite(found).all():
        raise Mistake(f"{what} has NaN or infinite entries; is something divided by zero?")
    gap = np.abs(found - wanted).max()
    raise Mistake(f"{what} has the right shape, but differs by up to {gap:.3g}.")
