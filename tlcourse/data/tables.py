"""Read the text and label columns of a CSV file, and tell where the file is broken.

A CSV parser takes nearly anything: an unquoted comma moves a piece of the text into the label, and
a stray quote swallows lines. Here both are errors that name the line.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from pathlib import Path

from tlcourse.arguments import shown

_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read_text(path: Path, encoding: str = "utf8") -> str:
    """A file's text; a byte-order mark, as spreadsheets write it, wins over ``encoding``."""
    content = path.read_bytes()
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), encoding)
    try:
        text = content.decode(encoding)
    except LookupError:
        raise ValueError(f"encoding must be one that Python knows, got {encoding!r}") from None
    except UnicodeDecodeError as fault:
        raise ValueError(
            f"{path} is not encoded in {encoding} (byte {fault.start}); {_advice(content)}"
        ) from fault
    if "\0" in text:
        raise ValueError(
            f"{path} read as {encoding} holds NUL characters, which no text has; {_advice(content)}"
        )
    return text


def _advice(content: bytes) -> str:
    if b"\0" in content[:1000]:
        return "it looks like UTF-16: give encoding='utf-16-le', or save it as UTF-8"
    try:
        content.decode("utf8")
    except UnicodeDecodeError:
        return "Chinese files made by a spreadsheet are often encoding='gb18030'"
    return "it is UTF-8: leave encoding out"


def read_columns(
    path: Path, text: str, label: str, encoding: str = "utf8", delimiter: str = ","
) -> list[tuple[int, str, str]]:
    """Line number, text and label of each row.

    Raises
    ------
    ValueError
        If the encoding or the delimiter is another, a column is missing or there twice, a row
        has another number of fields than the header, or a quote is stray.
    """
    if not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '"\r\n':
        raise ValueError(f"delimiter must be one character such as ',', got {shown(delimiter)}")
    content = read_text(path, encoding)
    rows = _rows(path, content, delimiter)
    _, _, header = next(rows, (1, 1, []))
    for column in (text, label):
        if header.count(column) != 1:
            _no_column(path, column, header, delimiter)
    text_at, label_at = header.index(text), header.index(label)
    found = []
    for first, last, row in rows:
        if len(row) != len(header):
            raise ValueError(_other_width(path, first, last, row, header, delimiter))
        found.append((first, last, row))
    lines = list(io.StringIO(content, newline=""))
    known = {row[label_at] for _, _, row in found if row[label_at].strip()}
    for first, last, row in found:
        if last > first:
            _check_breaks(path, lines[first - 1 : last], first, row, label_at, known, delimiter)
    return [(first, row[text_at], row[label_at]) for first, _, row in found]


def contradiction(where: str, text: str, one: str, other: str) -> str:
    """What to say of a text that has two labels."""
    return (
        f"{where}: this text stands there as {one!r} and as {other!r}; keep one. "
        f"The text: {shown(text)}"
    )


def _rows(path: Path, content: str, delimiter: str) -> Iterator[tuple[int, int, list[str]]]:
    """First line, last line and fields of each row that is not blank."""
    csv.field_size_limit(max(csv.field_size_limit(), len(content)))
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
    first = 1
    try:
        for row in reader:
            if row:
                yield first, reader.line_num, row
            first = reader.line_num + 1
    except csv.Error as fault:
        where = _where(first, reader.line_num)
        if "unexpected end" in str(fault):
            said = "the quote that opens here is never closed"
        elif "expected after" in str(fault):
            said = "a closing quote is followed by more text"
        else:
            said = str(fault)
        raise ValueError(
            f'{path}, {where}: {said}; write a quote inside a text twice (""), and the text in '
            "quotes"
        ) from fault


def _where(first: int, last: int) -> str:
    return f"line {first}" if last <= first else f"lines {first}–{last}"


def _no_column(path: Path, column: str, header: list[str], delimiter: str) -> None:
    if column in header:
        raise ValueError(f"{path} has {header.count(column)} columns {column!r}; rename one")
    for other in (",", ";", "\t"):
        if other != delimiter and any(other in name for name in header):
            raise ValueError(
                f"{path} has no column {column!r}; its header looks separated by {other!r}: "
                f"from_csv(…, delimiter={other!r}) reads it"
            )
    raise ValueError(f"{path} has no column {column!r}; it has {header}")


def _other_width(
    path: Path, first: int, last: int, row: list[str], header: list[str], delimiter: str
) -> str:
    fields = f"{len(row)} field{'s' * (len(row) != 1)}"
    told = f"{path}, {_where(first, last)}: {fields}, the header has {len(header)}: {shown(row)}; "
    if len(row) > len(header):
        return told + f"a text that has {delimiter!r} in it must stand in quotes"
    if last > first:
        return told + "is a quote missing or stray there?"
    return told + "add what is missing or drop the row"


def _check_breaks(
    path: Path,
    lines: list[str],
    first: int,
    row: list[str],
    label_at: int,
    known: set[str],
    delimiter: str,
) -> None:
    """Tell a text of several lines from rows that a stray quote has swallowed.

    Such a row holds lines that are rows of their own, with a label of the table. The row's own
    label stands in its last line, or in its first if the text comes after the label.
    """
    broken = [at for at, field in enumerate(row) if "\n" in field or "\r" in field]
    if label_at in broken:
        raise ValueError(
            f"{path}, {_where(first, first + len(lines) - 1)}: the label runs over several "
            f"lines: {shown(row[label_at])}; is a quote missing or stray there?"
        )
    for at, line in enumerate(lines):
        if at == 0 and label_at < broken[-1]:
            continue
        if at == len(lines) - 1 and label_at > broken[0]:
            continue
        if 0 < at < len(lines) - 1 and '"' in line.replace('""', ""):
            continue  # the label between two texts of several lines
        inner = line.rstrip("\r\n")
        fields = next(csv.reader([inner], delimiter=delimiter, quoting=csv.QUOTE_NONE), [])
        if len(fields) == len(row) and fields[label_at] in known:
            raise ValueError(
                f"{path}, {_where(first, first + len(lines) - 1)}: one quoted text, in which line "
                f"{first + at} looks like a row of its own: {shown(inner)}; is a quote stray "
                "there? If the text is meant so, take its line breaks out"
            )
