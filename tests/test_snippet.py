"""A function's own lines as a cell: flat, with the data first, and running as it stands."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Callable

import numpy as np
from tlcourse.widgets.snippet import snippet


def _check(values: list[float]) -> None:
    assert values


def _scaled(total: float, power: float, progress: Callable[[float], None] | None = None) -> float:
    return total ** (1 / power)


def spread(
    values: list[float],
    power: float = 2.0,
    label: str = "std",
    *,
    root: bool = True,
    progress: Callable[[float], None] | None = None,
) -> tuple[str, float]:
    """How far values lie from their mean: not shown."""
    _check(values)
    gaps = np.abs(values - np.mean(values)) ** power

    def total() -> float:
        return math.fsum(gaps)

    result = _scaled(
        total(), power=power,
        progress=progress,
    )  # fmt: skip
    return label, result if root else total()


def _run(code: str) -> dict:
    space: dict = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(code, space)
    return space


def test_a_body_becomes_a_cell_that_gives_the_functions_result():
    code = snippet(spread, {"values": "[1.0, 2.0, 6.0]  # or your own"}, power=3, label="µ\\n")
    head, first = code.split("\n\n")[:2]
    assert head == "import math\nimport numpy as np\nfrom tests.test_snippet import _scaled"
    assert first == "values = [1.0, 2.0, 6.0]  # or your own"
    for gone in ("progress", "_check", "fmt: skip", '"""', "return label", "->", "def spread"):
        assert gone not in code
    assert "total(), power=3," in code, "a keyword keeps its name, an argument is written"
    assert "** 3\n" in code
    assert _run(code)["result"] == spread([1.0, 2.0, 6.0], 3, "µ\\n")


def test_names_of_the_folder_are_imported_and_long_imports_wrapped():
    from tlcourse.multitask import train_watched

    code = snippet(train_watched, {"suite": "load_suite()", "sizes": "{'news': 70}"})
    head = code.split("\n\n")[0]
    assert "import torch" in head
    assert "from itertools import combinations" in head
    assert "load_suite" in head
    assert max(map(len, code.splitlines())) <= 100
    assert "seed=0" in code
    assert 10 <= len([line for line in code.removeprefix(head).splitlines() if line]) <= 20
