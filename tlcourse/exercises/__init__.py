"""Exercises and quizzes of the lessons, and their checks."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import Any

from tlcourse.exercises.engine import Feedback, Question, judge

__all__ = ["Feedback", "Question", "check", "names", "questions"]

_LESSONS = ("embeddings", "mapping", "finetuning", "multitask", "bert")
_MODULES = tuple(module.name for module in pkgutil.iter_modules(__path__))


def __getattr__(name: str) -> ModuleType:
    if name in _MODULES:  # loaded when it is first used
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _lesson(name: str) -> ModuleType:
    if name not in _LESSONS:
        raise KeyError(f"no lesson {name!r}; there are: {', '.join(_LESSONS)}")
    return importlib.import_module(f"tlcourse.exercises.{name}")


def names() -> list[str]:
    """All exercises, as ``lesson.exercise``."""
    return [f"{lesson}.{name}" for lesson in _LESSONS for name in _lesson(lesson).EXERCISES]


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
    lesson, _, exercise = name.partition(".")
    known = _lesson(lesson).EXERCISES
    if exercise not in known:
        raise KeyError(f"no exercise {name!r}; there are: {', '.join(names())}")
    return judge(known[exercise], answer)


def questions(lesson: str) -> tuple[Question, ...]:
    """The quiz of a lesson."""
    return _lesson(lesson).QUESTIONS
