"""Settings that the notebooks' kernels inherit as well, and how live numbers are compared."""

import os
import re

import pytest

for name, value in {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONHASHSEED": "0",
}.items():
    os.environ.setdefault(name, value)

if "TLCOURSE_NOISE" in os.environ:
    from tests import noise

    noise.install()

_NUMBER = re.compile(r"[-+]?\d+\.\d+|\d+(?=\s?%)")
TOLERANCE = 0.05
"""How far a number computed live may lie from the saved one: absolute, or as a share of it."""


class Approximate(str):
    """A printed text that equals another if the words do, and the decimals nearly."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, str) or _NUMBER.sub("#", self) != _NUMBER.sub("#", other):
            return False
        pairs = zip(_NUMBER.findall(self), _NUMBER.findall(other), strict=True)
        return all(_near(float(one), float(two), "." not in one) for one, two in pairs)

    def __ne__(self, other: object) -> bool:
        return not self == other


def _near(one: float, two: float, percent: bool) -> bool:
    return abs(one - two) <= TOLERANCE * max(100 if percent else 1, abs(one), abs(two))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Cells tagged ``live`` print what another CPU computes a little differently."""
    for item in items:
        cell = getattr(item, "cell", None)
        if cell is not None and "live" in cell.metadata.get("tags", []):
            plain = item.sanitize
            item.sanitize = lambda text, plain=plain: Approximate(plain(text))
