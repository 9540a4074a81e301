"""The finished rows of an unfinished sweep; only the code that made them takes them up."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Tell = Callable[[str], object]


class Partial:
    """The file ``<name>.partial.jsonl``: a line about the code, then a line for each row.

    ``names`` tell a row from the others; ``code`` is `code_of` the function that makes the rows.
    """

    def __init__(self, folder: Path, name: str, names: Sequence[str], code: str) -> None:
        self.path = folder / f"{name}.partial.jsonl"
        self.names = list(names)
        self.head = {"code": code, "settings": self.names}

    def take_up(self, wanted: Mapping[str, Any], tell: Tell) -> dict[str, dict[str, Any]]:
        """The finished rows by their `key`; what cannot be used is told.

        Rows of other code are set aside; the file is left whole: a cut line would spoil the next.
        """
        lines = self.path.read_bytes().split(b"\n") if self.path.is_file() else []
        rows = [_parsed(line) for line in lines if line.strip()]
        if rows and rows[0] != self.head:
            stem, count = self.path.name.removesuffix(".jsonl"), 1
            while (old := self.path.with_name(f"{stem}-OLD-{count}.jsonl")).exists():
                count += 1
            self.path.rename(old)
            tell(
                f"{self.path.name} holds runs of other code or other settings: it is set aside as "
                f"{old.name}, and every run is made again"
            )
            rows = []
        done, useless = {}, []
        for number, row in enumerate(rows[1:], start=2):
            fits = isinstance(row, dict) and set(row) > {*self.names, "seconds"}
            if fits and isinstance(row["seconds"], int | float) and self.key(row) in wanted:
                done[self.key(row)] = row
            else:
                useless.append(number)
        if useless:
            shown = ", ".join(map(str, useless[:5])) + (", …" if len(useless) > 5 else "")
            tell(
                f"{self.path.name} has lines that are damaged or no runs of this sweep: {shown}; "
                "what they stood for is run again"
            )
        write(self.path, "".join(map(_line, (self.head, *done.values()))))
        return done

    def add(self, row: Mapping[str, Any]) -> None:
        """Keep a finished row."""
        with self.path.open("a", encoding="utf8") as stream:
            stream.write(_line(row))

    def key(self, row: Mapping[str, Any]) -> str:
        """What tells a row from the others."""
        return json.dumps([row[name] for name in self.names], ensure_ascii=False)


def code_of(run: Callable[..., Any]) -> str:
    """A hash of the source file that a function stands in.

    A function without a file, as of a notebook, is known by its own byte code.
    """
    run = inspect.unwrap(run)
    try:
        content = Path(str(inspect.getsourcefile(run))).read_text(encoding="utf8").encode()
    except (OSError, TypeError):
        content = getattr(getattr(run, "__code__", None), "co_code", b"")
    return hashlib.sha256(content).hexdigest()


def write(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    unfinished = path.with_name(path.name + ".tmp")
    unfinished.write_text(text, encoding="utf8")
    os.replace(unfinished, path)


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line.decode("utf8"))
    except ValueError:  # which a wrong letter raises, too
        return None
