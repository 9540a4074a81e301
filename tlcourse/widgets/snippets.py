"""*Copy as code*: the files of ``data/snippets``, filled in with an explorer's settings."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from string import Template
from typing import Any

from tlcourse.paths import data_dir


@cache
def _template(name: str) -> Template:
    return Template((data_dir() / "snippets" / f"{name}.txt").read_text(encoding="utf8"))


def snippet(name: str, parts: Mapping[str, str] | None = None, /, **settings: Any) -> str:
    """A snippet with its ``$names`` filled in: settings as Python writes them, parts as they are.

    Raises
    ------
    KeyError
        If the file has a ``$name`` that was not given.
    """
    values = {setting: repr(value) for setting, value in settings.items()}
    return _template(name).substitute({**values, **(parts or {})})
