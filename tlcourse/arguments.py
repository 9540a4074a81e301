"""Checks at the door of public calls: which argument, what came, what was expected.

Each gives back what came, in the form that the caller works with, or raises an error with a text
that a learner can act on.
"""

from __future__ import annotations

import numbers
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np


def shown(value: object, limit: int = 60) -> str:
    """What came, short enough for an error text.

    Examples
    --------
    >>> shown(np.zeros((2, 3)))
    'ndarray of shape (2, 3)'
    """
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        return f"{type(value).__name__} of shape {tuple(shape)}"
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}…"


def check_number(
    name: str,
    value: Any,
    low: float | None = None,
    high: float | None = None,
    *,
    above: float | None = None,
) -> float:
    """A finite number, at least ``low``, at most ``high``, more than ``above``.

    Examples
    --------
    >>> check_number("strength", -1, low=0)
    Traceback (most recent call last):
    ValueError: strength must be at least 0, got -1
    """
    bounds = {"at least": low, "at most": high, "above": above}
    wanted = [f"{words} {bound:g}" for words, bound in bounds.items() if bound is not None]
    expected = " and ".join(wanted) or "finite"
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (numbers.Real, np.number)):
        raise TypeError(f"{name} must be a number, {expected}; got {shown(value)}")
    found = float(value)
    inside = (low is None or found >= low) and (high is None or found <= high)
    if not (np.isfinite(found) and inside and (above is None or found > above)):
        raise ValueError(f"{name} must be {expected}, got {shown(value)}")
    return found


def check_share(name: str, value: Any) -> float:
    """A number from 0 to 1.

    Examples
    --------
    >>> check_share("lam", 1.5)
    Traceback (most recent call last):
    ValueError: lam must lie between 0 and 1, got 1.5
    """
    try:
        return check_number(name, value, 0, 1)
    except ValueError:
        raise ValueError(f"{name} must lie between 0 and 1, got {shown(value)}") from None


def check_count(name: str, value: Any, least: int = 1, most: int | None = None) -> int:
    """A whole number, at least ``least`` and at most ``most``.

    Examples
    --------
    >>> check_count("k", -1)
    Traceback (most recent call last):
    ValueError: k must be a whole number, at least 1; got -1
    """
    expected = f"a whole number, at least {least}" + ("" if most is None else f", at most {most}")
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be {expected}; got {shown(value)}")
    if value < least or (most is not None and value > most):
        raise ValueError(f"{name} must be {expected}; got {shown(value)}")
    return int(value)


def check_choice(name: str, value: Any, known: Collection[Any]) -> Any:
    """One of the known values.

    Examples
    --------
    >>> check_choice("split", "dev", ("train", "test"))
    Traceback (most recent call last):
    ValueError: split must be one of ('train', 'test'), got 'dev'
    """
    try:
        fits = value in known
    except (TypeError, ValueError):  # unhashable, or an array
        fits = False
    if not fits:
        raise ValueError(f"{name} must be one of {tuple(known)}, got {shown(value)}")
    return value


def check_counts(name: str, value: Any, most: int | None = None) -> list[int]:
    """Several whole numbers, at least one of them, each at least 1 and at most ``most``.

    Examples
    --------
    >>> check_counts("ks", (1, 0))
    Traceback (most recent call last):
    ValueError: each of ks must be a whole number, at least 1; got 0
    """
    check_kind(name, value, Iterable, "several whole numbers, as (1, 5, 10)")
    found = [check_count(f"each of {name}", item, most=most) for item in value]
    if not found:
        raise ValueError(f"{name} is empty; give at least one number, got {shown(value)}")
    return found


def check_kind(name: str, value: Any, kind: type | tuple[type, ...], wanted: str = "") -> Any:
    """An object of a class, or of one of several.

    Examples
    --------
    >>> check_kind("spaces", 3, dict, "two spaces, as `load_bilingual` gives them")
    Traceback (most recent call last):
    TypeError: spaces must be two spaces, as `load_bilingual` gives them; got 3
    """
    if not isinstance(value, kind):
        wanted = wanted or f"of type {getattr(kind, '__name__', kind)}"
        raise TypeError(f"{name} must be {wanted}; got {shown(value)}")
    return value


def check_text(name: str, value: Any, least: int = 0) -> str:
    """A text, of ``least`` characters that are no white space.

    Examples
    --------
    >>> check_text("word", " ", least=1)
    Traceback (most recent call last):
    ValueError: word must not be empty, got ' '
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a text, got {shown(value)}")
    if len(value.strip()) < least:
        raise ValueError(f"{name} must not be empty, got {shown(value)}")
    return value


def check_array(
    name: str,
    value: Any,
    shape: Sequence[int | str] | None = None,
    *,
    least: int = 0,
    finite: bool = True,
) -> np.ndarray:
    """An array of finite numbers; NumPy, torch, pandas and lists are taken alike.

    Parameters
    ----------
    name : str
    value : array_like
    shape : sequence of int or str, optional
        A length for each axis; a letter stands for any length.
    least : int
        Rows at least.
    finite : bool
        Refuse NaN and infinity.

    Returns
    -------
    numpy.ndarray

    Examples
    --------
    >>> check_array("X", [[1.0, 2.0]], ("n", 3))
    Traceback (most recent call last):
    ValueError: X must be an array of numbers with shape (n, 3), got shape (1, 2)
    """
    wanted = "" if shape is None else f" with shape ({', '.join(map(str, shape))})"
    if hasattr(value, "detach"):  # a torch tensor, without importing torch
        value = value.detach().cpu().numpy()
    try:
        found = np.asarray(value)
    except (TypeError, ValueError):
        found = np.asarray(None)  # rows of several lengths
    if found.dtype.kind not in "biuf":  # no objects, texts, dates, complex numbers
        raise TypeError(f"{name} must be an array of numbers{wanted}; got {shown(value)}")
    lengths = found.shape if shape is None else tuple(shape)
    fixed = zip(lengths, found.shape, strict=False)
    if found.ndim != len(lengths) or any(a != b for a, b in fixed if isinstance(a, int)):
        came = f"shape {found.shape}" if found.ndim else shown(value)
        raise ValueError(f"{name} must be an array of numbers{wanted}, got {came}")
    if found.ndim and len(found) < least:
        raise ValueError(f"{name} needs at least {least} rows, got {len(found)}")
    if finite and np.issubdtype(found.dtype, np.inexact) and not np.isfinite(found).all():
        places = np.argwhere(~np.isfinite(found)).tolist()
        where = f"{len(places)} places, the first at {tuple(places[0])}"
        raise ValueError(f"{name} must be finite; it holds NaN or infinity at {where}")
    return found


def check_texts(name: str, value: Any, least: int = 1) -> list[str]:
    """Several texts, and not one text whose letters would be taken for texts.

    Examples
    --------
    >>> check_texts("texts", "a single text")
    Traceback (most recent call last):
    TypeError: texts must be a sequence of texts, got one text: 'a single text'; put it into a list
    """
    if isinstance(value, (str, bytes)):
        came = f"got one text: {shown(value)}; put it into a list"
        raise TypeError(f"{name} must be a sequence of texts, {came}")
    found = list(check_kind(name, value, Iterable, "a sequence of texts"))
    for row, text in enumerate(found):
        if not isinstance(text, str):
            raise TypeError(f"{name} must be texts; number {row} is {shown(text)}")
    if len(found) < least:
        raise ValueError(f"{name} needs at least {least} text{'s' * (least > 1)}, got {len(found)}")
    return found


def check_documents(name: str, value: Any) -> Sequence[Sequence[str]]:
    """Documents as sequences of words, and not as texts whose letters would be taken for words.

    A stream of them is read into a list.

    Examples
    --------
    >>> check_documents("sentences", ["the film was good"])
    Traceback (most recent call last):
    TypeError: sentences must be sequences of words; number 0 is one text: 'the film was good'; split it first: tlcourse.data.tokenise(text, "en")
    """  # noqa: E501
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise TypeError(f"{name} must be sequences of words, got {shown(value)}")
    found = value if isinstance(value, Sequence) else list(value)
    for row, document in enumerate(found):
        if isinstance(document, (str, bytes)):
            came = f'{shown(document)}; split it first: tlcourse.data.tokenise(text, "en")'
            raise TypeError(f"{name} must be sequences of words; number {row} is one text: {came}")
        if not isinstance(document, Iterable):
            raise TypeError(f"{name} must be sequences of words; number {row} is {shown(document)}")
    return found


def check_labels(
    name: str, value: Any, classes: int | None = None, n: int | None = None
) -> np.ndarray:
    """Class numbers 0 … classes − 1, int64, shape (n,).

    Examples
    --------
    >>> check_labels("labels", [1, -1, 1], 2)
    Traceback (most recent call last):
    ValueError: labels must be class numbers 0 … 1, got [-1, 1]
    """
    found = check_array(name, value, ("n",))
    whole = found.astype(np.int64)
    top = "" if classes is None else f" {classes - 1}"
    if not np.array_equal(whole, found) or (
        len(whole) and (whole.min() < 0 or (classes is not None and whole.max() >= classes))
    ):
        came = shown(np.unique(found).tolist())
        raise ValueError(f"{name} must be class numbers 0 …{top}, got {came}")
    if n is not None and len(whole) != n:
        raise ValueError(f"{name} must have {n} entries, one a row, got {len(whole)}")
    return whole


def check_rows(name: str, value: Any, n: int) -> np.ndarray:
    """Row numbers −n … n − 1, or a boolean mask of n entries; int64, shape (rows,).

    Examples
    --------
    >>> check_rows("rows", [False, True], 2).tolist()
    [1]
    >>> check_rows("rows", [0, 7], 5)
    Traceback (most recent call last):
    IndexError: rows must lie between -5 and 4, got [7]
    """
    found = check_array(name, value, ("rows",))
    if found.dtype == np.bool_:
        if len(found) != n:
            raise ValueError(f"{name} as a mask must have {n} entries, one a row; got {len(found)}")
        return np.flatnonzero(found)
    numbers = found.astype(np.int64)
    if len(found) and not np.issubdtype(found.dtype, np.integer):  # a mask of 0.0 and 1.0, say
        raise TypeError(f"{name} must be whole numbers or a mask of booleans, got {shown(value)}")
    if outside := numbers[(numbers < -n) | (numbers >= n)].tolist():
        raise IndexError(f"{name} must lie between {-n} and {n - 1}, got {shown(outside)}")
    return numbers
