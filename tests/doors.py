"""Kinds of arguments: a good value of each, and the bad ones that stand in its place.

A table names a public call and what it takes::

    "embeddings.nearest": lambda: {"vectors": made(VECTORS), "word": text("a"), "k": count(1)},

From the one good call there follow the bad ones, each with one argument replaced.
"""

from __future__ import annotations

import importlib
import inspect
import linecache
import re
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import tlcourse

FOLDERS = ("data", "embeddings", "mapping", "finetuning", "multitask", "bert", "widgets")
MODULES = ("arguments", "checks", "models", "paths", "recorded", "scores", "training")
WANTED = re.compile(
    "must|need|there (is|are)|known|want|give|expect|at least|leave|map the|keep one"
)
NAN, INF = float("nan"), float("inf")


@dataclass(frozen=True)
class Arg:
    """A good value and bad ones; ``names``: how an error may call the argument besides its name."""

    good: Any
    bad: tuple[Any, ...] = ()
    names: tuple[str, ...] = ()

    def but(self, *bad: Any) -> Arg:
        """With more bad values."""
        return Arg(self.good, (*self.bad, *bad), self.names)

    def without(self, *values: Any) -> Arg:
        """Where some of the bad values are good ones, such as None."""
        kept = tuple(b for b in self.bad if not any(b is v or _equal(b, v) for v in values))
        assert len(kept) < len(self.bad), "nothing to leave out"
        return Arg(self.good, kept, self.names)

    def called(self, *names: str) -> Arg:
        """With other names."""
        return Arg(self.good, self.bad, (*self.names, *names))


def _equal(one: Any, two: Any) -> bool:
    return type(one) is type(two) and not isinstance(one, np.ndarray) and one == two


def free(good: Any) -> Arg:
    """What cannot be wrong, or is somebody else's."""
    return Arg(good)


def count(good: int = 1, least: int = 1, most: int | None = None) -> Arg:
    above = () if most is None else (most + 1,)
    return Arg(good, (None, "3", 2.5, NAN, INF, [3], True, least - 1, -7, *above))


def seed(good: int = 0) -> Arg:
    return count(good, least=0)


def number(good: float, *outside: float) -> Arg:
    return Arg(good, (None, "0.5", NAN, INF, -INF, [0.5], True, *outside))


def share(good: float = 0.5) -> Arg:
    return number(good, -0.1, 1.5)


def choice(good: Any) -> Arg:
    return Arg(good, (None, "no such name", "", 7, [good]))


def flag(good: bool = True) -> Arg:
    return Arg(good, (None, "yes", 2, [True]))


def text(good: str = "a") -> Arg:
    return Arg(good, (None, 3, NAN, b"bytes", ["a"]))


def array(good: Any, *, empty: bool = True, flat: bool = True, nan: bool = True) -> Arg:
    """An array of numbers; bad are no rows, another number of axes, and NaN, if so said."""
    good = np.asarray(good)
    bad = [
        None,
        "0.5",
        ["a", "b"],
        [[1.0], [1.0, 2.0]],
        object(),
        good * 1j,
        *_spoilt(good)[not nan :],
    ]
    return Arg(good, (*bad, *([good[:0]] if empty else []), *([good[None], 0.5] if flat else [])))


def _spoilt(good: np.ndarray) -> list[np.ndarray]:
    bad = [good.astype(float), good.astype(float)]
    bad[0].flat[-1], bad[1].flat[-1] = NAN, INF
    return bad


def labels(good: Any, classes: int | None = 2) -> Arg:
    good = np.asarray(good)
    bad = [None, "01", 1, ["pos", "neg"], -good - 1, good / 2 + 0.25, good * NAN, good[:-1]]
    return Arg(good, (*bad, np.stack([good, good]), *([] if classes is None else [good + classes])))


def texts(good: Any, *, empty: bool = True) -> Arg:
    return Arg(good, ("one text", None, 3, [3], [None], [["a"]], *([[]] if empty else [])))


def documents(good: Any, *, empty: bool = True) -> Arg:
    return Arg(good, ("one text", ["one text"], None, 3, [3], [None], *([[]] if empty else [])))


def made(good: Any) -> Arg:
    """An object of a class of its own."""
    return Arg(good, (None, "x", 3, [], {}, np.eye(2)))


def tensor(good: Any) -> Arg:
    return Arg(good, (None, "x", 3, []))


Call = dict[str, Arg]
Table = dict[str, Callable[[], Call]]


def public() -> Iterator[tuple[str, Callable[..., Any]]]:
    """All public functions, and the public methods of public classes."""
    for name in (*FOLDERS, *MODULES):
        module = importlib.import_module(f"tlcourse.{name}")
        for item in _names(module):
            value = getattr(module, item)
            if inspect.isclass(value) and (
                issubclass(value, BaseException) or "tlcourse" not in value.__module__
            ):
                continue
            if inspect.isclass(value):
                for method in vars(value):
                    found = getattr(value, method)  # a field's default may be callable as well
                    if method[0] != "_" and callable(found) and inspect.isroutine(found):
                        yield f"{name}.{item}.{method}", found
                yield f"{name}.{item}", value
            elif inspect.isfunction(value) or hasattr(value, "cache_info"):
                yield f"{name}.{item}", value


def _names(module: ModuleType) -> list[str]:
    if hasattr(module, "__path__"):
        return [n for n in module.__all__ if not inspect.ismodule(getattr(module, n))]
    return [
        name for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
    ]  # fmt: skip


def parameters(function: Callable[..., Any]) -> list[str]:
    """What a call takes by name."""
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    found = inspect.signature(function).parameters.values()
    return [item.name for item in found if item.kind not in kinds and item.name != "self"]


def find(name: str) -> Callable[..., Any]:
    value: Any = tlcourse
    for part in name.split("."):
        value = getattr(value, part)
    return value


def run(function: Callable[..., Any], call: Call, **changed: Any) -> Any:
    given = {name: arg.good for name, arg in call.items()} | changed
    first = [given.pop("self")] if "self" in given else []
    result = function(*first, **given)
    return list(zip(result, range(3), strict=False)) if inspect.isgenerator(result) else result


def complaint(function: Callable[..., Any], call: Call, name: str, value: Any) -> str | None:
    """What is wrong with how a bad value is answered; None if it is told as it should be."""
    came = f"{name}={value!r:.60}"
    try:
        result = run(function, call, **{name: value})
    except (ValueError, KeyError, TypeError, IndexError, FileNotFoundError) as fault:
        said = str(fault.args[0]) if fault.args else ""
        frame = traceback.extract_tb(fault.__traceback__)[-1]
        line = linecache.getline(frame.filename, frame.lineno or 0).strip()
        ours = Path(frame.filename).is_relative_to(Path(tlcourse.__file__).parent)
        if not ours or not line.startswith("raise"):
            where = f"{Path(frame.filename).name}:{frame.lineno}"
            return f"{came}: {type(fault).__name__} of {where}, not ours: {said[:90]}"
        if not any(item in said for item in (name, *call[name].names)):
            return f"{came}: does not name it: {said}"
        if not any(item in said for item in _forms(value) if item):
            return f"{came}: does not say what came: {said}"
        if not WANTED.search(said):
            return f"{came}: does not say what was expected: {said}"
        return None
    except Exception as fault:
        return f"{came}: {type(fault).__name__}: {str(fault)[:90]}"
    return f"{came}: passes in silence: {result!r:.60}"


def _forms(value: Any) -> Iterator[str]:
    """How an error may show a value."""
    if hasattr(value, "detach") and value.numel():
        yield f"got {value.min():g} … {value.max():g}"
    yield repr(value)[:40]
    yield type(value).__name__
    if isinstance(value, str):
        yield from (repr(value.partition(".")[0]), repr(value[0])) if value else ("empty",)
    if isinstance(value, (int, float)):
        yield from ("got ()", "and ()", "shape ()")
    if isinstance(value, list):
        yield f"shape ({len(value)},)"
    if getattr(value, "shape", None):
        yield str(tuple(value.shape))
        yield f", {value.shape[-1]})" if value.ndim else ""
        yield from (f"{value.shape[-1]} columns", f" {value.shape[-1]}:") if value.ndim else ()
        yield "NaN or infinity"
        if getattr(value, "ndim", 0) and not isinstance(value, str):
            yield str(np.unique(np.asarray(value))[:1].tolist())[:-1]
    if isinstance(value, (list, tuple, set, dict)) or getattr(value, "ndim", 0) > 0:
        yield from (f"got {len(value)}", f"{len(value)} ", f"and {len(value)}")
        yield "[]" if not len(value) else ""
    if isinstance(value, (list, tuple, set, np.ndarray)):
        for item in list(value)[:3]:
            yield repr(item)[:40]
            if isinstance(item, (tuple, list)):
                yield f"got {len(item)}"
                yield f"({len(item)},)"
                yield from map(repr, item)
        yield f"({len(value)},)"
    if isinstance(value, dict):
        for item in value.values():
            if getattr(item, "ndim", 0) > 0:
                yield from (f"got {len(item)}", f"got {int(np.min(np.asarray(item)))} …")
        yield from (repr(item)[:40] for item in value)
        yield from (repr(item)[:40] for item in value.values())
