"""Read columns of CSV, TSV, JSON lines and Parquet files, and tell where a file is broken.

A CSV parser takes nearly anything: an unquoted comma moves a piece of the text into the label, and
a stray quote swallows lines. Here both are errors that name the line.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tlcourse.arguments import shown

FORMATS = (".parquet", ".csv", ".tsv", ".jsonl")
Rows = list[tuple[str, list[Any]]]

_DELIMITERS = (",", ";", "\t", "|")
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read_table(
    path: Path, columns: Sequence[str], encoding: str = "utf8"
) -> tuple[Rows, list[str] | None]:
    """Some columns of a table.

    Parameters
    ----------
    path : pathlib.Path
        Its suffix, one of `FORMATS`, tells the format. A CSV file's delimiter is found by its
        header.
    columns : sequence of str
        Their names, the label's last.
    encoding : str
        Of a text file; a byte-order mark in the file wins.

    Returns
    -------
    list of tuple of (str, list)
        For each row where it stands, such as ``"line 3"``, and the columns' values.
    list of str or None
        The names of the classes 0, 1 …, if a Parquet file tells them.

    Raises
    ------
    ValueError
        If the format or the encoding is another, a column is missing or there twice, a row has
        another number of fields than the header, or a quote is stray.
    """
    if path.suffix == ".parquet":
        return _read_parquet(path, columns)
    if path.suffix == ".jsonl":
        return _read_lines(path, columns, encoding), None
    if path.suffix in FORMATS:
        return _read_csv(path, columns, encoding), None
    raise ValueError(
        f"{path} must be a file of one of the kinds {', '.join(FORMATS)}; a sheet can be saved as "
        "CSV, a list of JSON objects as JSON lines"
    )


def _read_text(path: Path, encoding: str) -> str:
    """A file's text; a byte-order mark, as spreadsheets write it, wins over ``encoding``."""
    content = path.read_bytes()
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), encoding)
    try:
        text = content.decode(encoding)
    except (LookupError, TypeError):
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


def _check_columns(path: Path, columns: Sequence[str], header: Sequence[str]) -> None:
    for column in columns:
        if (count := header.count(column)) > 1:
            raise ValueError(f"{path} has {count} columns {column!r}; rename one")
        if not count:
            raise ValueError(f"{path} has no column {column!r}; it has {list(header)}")


def _read_parquet(path: Path, columns: Sequence[str]) -> tuple[Rows, list[str] | None]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
        _check_columns(path, columns, schema.names)
        table = pq.read_table(path, columns=list(columns))
    except pa.ArrowException as fault:
        raise ValueError(f"{path} is no Parquet file, or is damaged: {fault}") from fault
    about = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    label = about.get("info", {}).get("features", {}).get(columns[-1], {})
    values = zip(*(table[column].to_pylist() for column in columns), strict=True)
    return [(f"row {at}", list(row)) for at, row in enumerate(values, 1)], label.get("names")


def _read_lines(path: Path, columns: Sequence[str], encoding: str) -> Rows:
    found: Rows = []
    for at, line in enumerate(_read_text(path, encoding).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as fault:
            raise ValueError(f"{path}, line {at} is no JSON: {fault}") from fault
        if not isinstance(row, dict):
            raise ValueError(f"{path}, line {at} must be a JSON object, got {shown(row)}")
        for column in columns:
            if column not in row:
                raise ValueError(f"{path}, line {at} has no field {column!r}; it has {list(row)}")
        found.append((f"line {at}", [row[column] for column in columns]))
    return found


def _read_csv(path: Path, columns: Sequence[str], encoding: str) -> Rows:
    content = _read_text(path, encoding)
    headers = {mark: _header(content, mark) for mark in _DELIMITERS}
    delimiter = max(  # of several with the columns, or of none, the one with the most fields
        _DELIMITERS, key=lambda mark: (set(columns) <= set(headers[mark]), len(headers[mark]))
    )
    header = headers[delimiter]
    _check_columns(path, columns, header)
    rows = list(_csv_rows(path, content, delimiter))[1:]
    for first, last, row in rows:
        if len(row) != len(header):
            raise ValueError(_other_width(path, first, last, row, header, delimiter))
    lines, label_at = list(io.StringIO(content, newline="")), header.index(columns[-1])
    known = {row[label_at] for _, _, row in rows if row[label_at].strip()}
    for first, last, row in rows:
        if last > first:
            _check_breaks(path, lines[first - 1 : last], first, row, label_at, known, delimiter)
    places = [header.index(column) for column in columns]
    return [(f"line {first}", [row[place] for place in places]) for first, _, row in rows]


def _header(content: str, delimiter: str) -> list[str]:
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter)
    try:
        return next((row for row in reader if row), [])
    except csv.Error:  # a field too long to be one
        return []


def _csv_rows(path: Path, content: str, delimiter: str) -> Iterator[tuple[int, int, list[str]]]:
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
        said = str(fault)
        if "unexpected end" in said:
            said = "the quote that opens here is never closed"
        elif "expected after" in said:
            said = "a closing quote is followed by more text"
        raise ValueError(
            f"{path}, {_where(first, reader.line_num)}: {said}; write a quote inside a text twice "
            '(""), and the text in quotes'
        ) from fault


def _where(first: int, last: int) -> str:
    return f"line {first}" if last <= first else f"lines {first}–{last}"


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
    where = f"{path}, {_where(first, first + len(lines) - 1)}"
    broken = [at for at, field in enumerate(row) if "\n" in field or "\r" in field]
    if label_at in broken:
        raise ValueError(
            f"{where}: the label runs over several lines: {shown(row[label_at])}; is a quote "
            "missing or stray there?"
        )
    for at, line in enumerate(lines):
        own_first = at == 0 and label_at < broken[-1]
        own_last = at == len(lines) - 1 and label_at > broken[0]
        # Between two texts of several lines the label stands in a line with their quotes.
        between = 0 < at < len(lines) - 1 and '"' in line.replace('""', "")
        if own_first or own_last or between:
            continue
        inner = line.rstrip("\r\n")
        fields = next(csv.reader([inner], delimiter=delimiter, quoting=csv.QUOTE_NONE), [])
        if len(fields) == len(row) and fields[label_at] in known:
            raise ValueError(
                f"{where}: one quoted text, in which line {first + at} looks like a row of its "
                f"own: {shown(inner)}; is a quote stray there? If the text is meant so, take its "
                "line breaks out"
            )
