"""Exercises and quizzes: what they are, and how an answer is judged: right, or which mistake."""

from __future__ import annotations

import builtins
import contextlib
import functools
import importlib
import io
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tlcourse.arguments import check_kind, check_text
from tlcourse.notices import message_html
from tlcourse.paths import data_dir

_LESSONS = ("embeddings", "mapping", "finetuning", "multitask", "bert")


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


_EXERCISES: dict[str, Exercise] = {}


def exercise(name: str, title: str) -> Callable[[Callable], Callable]:
    """Make a function that judges answers an exercise, ``"lesson.exercise"``."""

    def register(judge: Callable) -> Callable:
        _EXERCISES[name] = Exercise(title, judge)
        return judge

    return register


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


class Asked(BaseException):
    """The answer called ``input()``; no `Exception`, so that a loop around it ends."""


def judge(exercise: Exercise, answer: Any) -> Feedback:
    """Judge an answer, a function. Never raises for what the learner wrote."""
    feedback = _judged(check_kind("exercise", exercise, Exercise), answer)
    return Feedback(feedback.passed, f"{exercise.title}: {feedback.text}")


def _judged(exercise: Exercise, answer: Any) -> Feedback:
    if answer is ...:
        return Feedback(None, "not attempted yet.")
    if not callable(answer):
        return Feedback(
            False,
            f"the function itself is asked for, but a {type(answer).__name__} came. Give its name "
            "without calling it: no brackets after it.",
        )
    raised: list[BaseException] = []

    @functools.wraps(answer)
    def watched(*arguments: Any, **settings: Any) -> Any:
        try:
            return answer(*arguments, **settings)
        except BaseException as fault:
            raised.append(fault)
            raise

    try:
        with _without_input(), _Said() as said:
            exercise.judge(watched)
    except NotAttempted:
        return Feedback(None, "not attempted yet.")
    except Mistake as mistake:
        printed = said.any and "is None" in str(mistake)
        hint = " You print the result: return it." if printed else ""
        return Feedback(False, f"{mistake}{hint}")
    except KeyboardInterrupt:
        raise
    except Asked:
        return Feedback(False, "your code waits for input(): all it needs comes as arguments.")
    except BaseException as fault:  # exit() too, which would end the learner's kernel
        if all(fault is not other for other in raised):
            return Feedback(False, f"what your code returns cannot be read ({_named(fault)}).")
        if isinstance(fault, SystemExit):
            return Feedback(False, "your code calls exit(), which would end Python: use return.")
        return Feedback(
            False,
            f"your code raised {_named(fault)}. Try it on a small array of your own first.",
        )
    return Feedback(True, "right.")


def _named(fault: BaseException) -> str:
    text = str(fault).rstrip(".")
    return f"{type(fault).__name__}: {text if len(text) <= 200 else f'{text[:200]}…'}"


@contextlib.contextmanager
def _without_input() -> Iterator[None]:
    """Nobody would see the question that an answer asks."""

    def refuse(*arguments: Any) -> str:
        raise Asked

    before, builtins.input = builtins.input, refuse
    try:
        yield
    finally:
        builtins.input = before


class _Said(io.TextIOBase):
    """What an answer prints: passed on, but no more than a screenful."""

    def __init__(self) -> None:
        self.any = False
        self._left = 2000

    def __enter__(self) -> _Said:
        self._to = sys.stdout
        sys.stdout = self
        return self

    def __exit__(self, *raised: object) -> None:
        sys.stdout = self._to

    def write(self, text: str) -> int:
        self.any = True
        if self._left > 0:
            self._to.write(text[: self._left])
            self._left -= len(text)
            if self._left <= 0:
                self._to.write("… (what your code prints beyond this is left out)\n")
        return len(text)

    def flush(self) -> None:
        self._to.flush()


class NotAttempted(Exception):
    """The stub's ``...`` came back."""


def as_array(value: Any, what: str) -> np.ndarray:
    """The answer as an array of numbers, or a `Mistake` that says what it is instead."""
    if value is ...:
        raise NotAttempted
    if value is None:
        raise Mistake(f"{what} is None; does your function end with return?")
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    try:
        found = np.asarray(value)
        if found.dtype.kind not in "biufO":  # a text "0.5" is no number, nor is 1j or a date
            raise TypeError(f"{found.dtype} is no number")
        return found.astype(float)
    except (TypeError, ValueError, RuntimeError) as fault:
        raise Mistake(f"{what} should be an array of numbers, but is {value!r:.80}") from fault


def two(value: Any, said: str) -> Any:
    """The two things that were returned, or a `Mistake`."""
    if value is ...:
        raise NotAttempted
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise Mistake(said)
    return value


def untouched(answer: Callable, *given: Any) -> Any:
    """What an answer makes of arrays and numbers; a `Mistake` if it changes the arrays."""
    own = [value.copy() if isinstance(value, np.ndarray) else value for value in given]
    found = answer(*own)
    if not all(map(np.array_equal, own, given)):
        raise Mistake("you changed the arrays that were given: copy them first, or make new ones.")
    return found


def expect_set(found: set, right: set, mistakes: Mapping[str, set], otherwise: str) -> None:
    """Compare a set with the right one and with typical wrong ones; else say ``otherwise``."""
    if found == right:
        return
    raise Mistake(next((told for told, wrong in mistakes.items() if found == wrong), otherwise))


def expect(value: Any, right: Any, what: str, mistakes: Mapping[str, Any]) -> None:
    """Compare an answer with the right one and with typical wrong ones.

    Raises
    ------
    Mistake
        If it is not right; with the matching explanation if it is a typical one.
    """

    def alike(other: Any) -> bool:
        other = np.asarray(other, dtype=float)
        return found.shape == other.shape and np.allclose(found, other, atol=1e-4, equal_nan=True)

    found, wanted = as_array(value, what), np.asarray(right, dtype=float)
    if alike(wanted):
        return
    for explanation, wrong in mistakes.items():
        if alike(wrong):
            raise Mistake(explanation)
    if found.shape != wanted.shape:
        raise Mistake(f"{what} has shape {found.shape}, expected {wanted.shape}.")
    if not np.isfinite(found).all():
        raise Mistake(f"{what} has NaN or infinite entries; is something divided by zero?")
    gap = np.abs(found - wanted).max()
    raise Mistake(f"{what} has the right shape, but differs by up to {gap:.3g}.")


def _lesson(name: str) -> dict[str, Exercise]:
    """The exercises of a lesson, registered when its module is imported."""
    if not isinstance(name, str) or name not in _LESSONS:
        raise KeyError(f"no lesson of the name {name!r}; there are: {', '.join(_LESSONS)}")
    importlib.import_module(f"tlcourse.{name}.exercises")
    return {key: found for key, found in _EXERCISES.items() if key.startswith(f"{name}.")}


def names() -> list[str]:
    """All exercises, as ``lesson.exercise``."""
    return [key for lesson in _LESSONS for key in _lesson(lesson)]


def check(name: str, answer: Any) -> Feedback:
    """Check an answer to an exercise.

    Parameters
    ----------
    name : str
        ``"lesson.exercise"``, such as ``"embeddings.cosine_neighbours"``.
    answer : callable
        The function you wrote, or ``...``.

    Returns
    -------
    Feedback
        Right, not attempted yet, or the likely mistake.
    """
    known = _lesson(check_text("name", name).partition(".")[0])
    if name not in known:
        raise KeyError(f"no exercise of the name {name!r}; there are: {', '.join(names())}")
    return judge(known[name], answer)


def questions(lesson: str) -> tuple[Question, ...]:
    """The quiz of a lesson, from ``data/quizzes``."""
    if lesson not in _LESSONS:
        raise KeyError(f"no lesson {lesson!r}; there are: {', '.join(_LESSONS)}")
    text = (data_dir() / "quizzes" / f"{lesson}.toml").read_text(encoding="utf8")
    found = []
    for item in tomllib.loads(text)["questions"]:
        options = tuple((option["text"], option["why"]) for option in item["options"])
        right = [option.get("right", False) for option in item["options"]].index(True)
        found.append(Question(item["text"], options, right))
    return tuple(found)
