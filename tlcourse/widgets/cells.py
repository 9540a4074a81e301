"""*Copy as code*: a public function's own lines, with a learner's data in the first ones."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any


def cell_of(function: Callable, data: Mapping[str, str], **inline: Any) -> str:
    """A function's body as a cell of its own: what is shown is what the explorer runs.

    Parameters
    ----------
    function : callable
        Its arguments become the cell's first lines or are written where they stand; a
        ``progress`` is left out. What it returns is called ``result``.
    data : mapping of str to str
        Code for the first lines: arguments, and a remark behind ``#`` where one helps.
    **inline
        Values to write where an argument stands; for others the default is written.
    """
    source = textwrap.dedent(inspect.getsource(function))
    definition: Any = ast.parse(source).body[0]
    statements = definition.body[ast.get_docstring(definition) is not None :]
    lines = source.splitlines()[statements[0].lineno - 1 :]
    body = textwrap.dedent("\n".join(lines).replace("  # fmt: skip", ""))
    body = re.sub(r"^ *(progress=|_check\().*\n", "", body, flags=re.MULTILINE)
    body = re.sub(r"^return ", "result = ", body, flags=re.MULTILINE)
    for name, parameter in inspect.signature(function).parameters.items():
        if name not in data and name != "progress":
            value = repr(inline.get(name, parameter.default)).replace("\\", r"\\")
            body = re.sub(rf"(?<![\w.]){name}\b(?!=[^=])", value, body)
    body = re.sub(r" -> [^\n]+:\n", ":\n", body)
    first = "\n".join(f"{name} = {code}" for name, code in data.items())
    imports = _imports(f"{first}\n{body}", function)
    return f"{imports}\n\n{first}\n\n{body}\nprint(result)\n"


def _imports(code: str, function: Callable) -> str:
    """The imports that code needs, of what the function's module or folder knows by its names."""
    folder = importlib.import_module(".".join(function.__module__.split(".")[:2]))
    used = {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}
    modules, names = [], dict[str, list[str]]()
    for name in sorted(used, key=str.lower):
        found = function.__globals__.get(name, getattr(folder, name, None))
        if isinstance(found, ModuleType):
            whole = found.__name__
            modules.append(f"import {whole}" + (f" as {name}" if name != whole else ""))
        elif found is not None:
            home = ".".join(found.__module__.split(".")[:2])
            names.setdefault(home, []).append(name)
    lines = [f"from {home} import {', '.join(found)}" for home, found in sorted(names.items())]
    return "\n".join([*modules, *[part for line in lines for part in _wrapped(line)]])


def _wrapped(line: str) -> list[str]:
    """An import in brackets where it is longer than a line."""
    if len(line) <= 100:
        return [line]
    head, _, tail = line.partition(" import ")
    return [f"{head} import (", *textwrap.wrap(f"{tail},", 96, initial_indent="    ",
            subsequent_indent="    "), ")"]  # fmt: skip
