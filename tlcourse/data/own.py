"""Labelled texts of one's own: a file, a folder, or a set of the Hugging Face Hub by name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tlcourse.arguments import check_choice, check_count, shown
from tlcourse.data.datasets import SPLITS, TextDataset, contradiction, split_of
from tlcourse.data.tables import FORMATS, read_table
from tlcourse.data.text import LANGUAGES, tokenise

_TEST = re.compile(r"(^|[^a-z])test([^a-z]|$)")
_HUB = re.compile(r"[\w.-]+(/[\w.-]+)?")


class _Row(NamedTuple):
    where: str
    texts: tuple[str, ...]
    label: str
    test: bool


def load_labelled(
    place: str | Path,
    text: str = "text",
    label: str = "label",
    pair: str | None = None,
    language: str = "en",
    *,
    encoding: str = "utf8",
    doubtful: str = "error",
    limit: int | None = None,
    seed: int = 0,
) -> TextDataset:
    """Read a labelled text set.

    Parameters
    ----------
    place : str or pathlib.Path
        A CSV, TSV, JSON lines (``.jsonl``) or Parquet file; a folder of such files; or a Hub name
        such as ``"stanfordnlp/imdb"``, fetched once into the Hub's own cache. Only tables are
        fetched: a set's own loading script is never run.
    text, label : str
        The names of the two columns.
    pair : str, optional
        The name of a column with each row's second text; it becomes the set's ``second``.
    language : {"en", "zh"}
        How the texts are split into tokens.
    encoding : str
        Of text files; a byte-order mark in a file wins.
    doubtful : {"error", "drop"}
        What to do with rows without a text or a label, with a label that names no class, and with
        a text that stands there under two labels.
    limit : int, optional
        Keep at most so many texts of the test files, and of the others, drawn at random.
    seed : int
        For that draw.

    Returns
    -------
    TextDataset
        Without duplicates. In a folder, files with the word "test" in their path are the test
        split, if there are any; all else is divided by its (first) text. Classes have the order
        that a Parquet file tells, or else that of their numbers or of the alphabet.

    Raises
    ------
    FileNotFoundError
        If there is no such file, nothing can be fetched and nothing lies in the cache, or there
        is no table.
    ValueError
        If a column is missing, a row is broken or doubtful, there is only one class, a split stays
        empty, or the encoding is wrong. The message says where.

    Examples
    --------
    >>> own = load_labelled("reviews.csv", text="review", label="stars")  # doctest: +SKIP
    """
    check_choice("language", language, LANGUAGES)
    check_choice("doubtful", doubtful, ("error", "drop"))
    if limit is not None:
        check_count("limit", limit)
    check_count("seed", seed, 0)
    columns = [text, label] if pair is None else [text, pair, label]
    for column in columns:
        if not isinstance(column, str):
            raise TypeError(f"text, label and pair must be names of columns, got {shown(column)}")
        if columns.count(column) > 1:
            raise ValueError(f"text, label and pair must be different columns, got {columns}")
    files, tests = _files(place)
    rows: list[_Row] = []
    names: list[str] = []
    for path in files:
        table, told = read_table(path, columns, encoding)
        rows += (_row(path, where, values, told, path in tests) for where, values in table)
        names += [name for name in told or () if name not in names]
    rows = _checked(rows, names, doubtful == "error")
    seen: dict[tuple[str, ...], _Row] = {}
    for row in sorted(rows, key=lambda row: not row.test):  # a copy in the test split stays there
        seen.setdefault(row.texts, row)
    chosen: list[_Row] = []
    for test in (True, False):
        group = [row for row in seen.values() if row.test == test]
        drawn = np.random.default_rng(seed).permutation(len(group))[:limit]
        chosen += (group[at] for at in sorted(drawn))
    found = {row.label for row in chosen}
    if len(found) < 2:
        raise ValueError(f"{place} has only one class, {sorted(found)}; a classifier needs two")
    splits = [split_of(row.texts[0]) for row in chosen]
    if tests:  # the set's own test split stands; a train text may become validation
        splits = [
            "test" if row.test else split.replace("test", "train")
            for row, split in zip(chosen, splits, strict=True)
        ]
    if missing := [split for split in SPLITS if split not in splits]:
        raise ValueError(f"{place} has {len(chosen)} texts, too few: none for {missing}")
    order = names or sorted(found, key=_in_order(found))
    return TextDataset(
        Path(place).stem if len(files) == 1 and files[0] == Path(place) else str(place),
        language,
        tuple(row.texts[0] for row in chosen),
        np.array([order.index(row.label) for row in chosen], dtype=np.int64),
        tuple(order),
        np.array(splits),
        tuple(tuple(t for item in row.texts for t in tokenise(item, language)) for row in chosen),
        None if pair is None else tuple(row.texts[1] for row in chosen),
    )


def _files(place: str | Path) -> tuple[list[Path], list[Path]]:
    """A set's tables, and those of them that are its test split."""
    if not isinstance(place, (str, Path)) or not str(place):
        raise TypeError(f"place must be a file, a folder or a Hub name, got {shown(place)}")
    path = Path(place)
    if path.is_file():
        return [path], []
    if path.suffix in FORMATS or not (path.is_dir() or _HUB.fullmatch(str(place))):
        raise FileNotFoundError(
            f"place must be a file, a folder or a Hub name: there is no {str(place)!r}; a Hub name "
            "looks like 'owner/name'"
        )
    folder = path if path.is_dir() else _fetch(str(place))
    files = sorted(item for item in folder.rglob("*") if item.suffix in FORMATS)
    files = [item for item in files if "unsupervised" not in item.name]
    if not files:
        raise FileNotFoundError(f"{place} holds no table, a file of the kinds {', '.join(FORMATS)}")
    return files, [item for item in files if _TEST.search(item.relative_to(folder).as_posix())]


def _fetch(name: str) -> Path:
    """The data set's tables in the Hub's cache."""
    from huggingface_hub import snapshot_download

    try:
        patterns = [f"*{kind}" for kind in FORMATS]
        return Path(snapshot_download(name, repo_type="dataset", allow_patterns=patterns))
    except Exception as fault:  # the library has many errors for: no network, no such name
        raise FileNotFoundError(
            f"{name} is no local file or folder and could not be fetched from the Hub "
            f"({type(fault).__name__}); check the name and the network, or give a file or a folder "
            f"of files of the kinds {', '.join(FORMATS)}"
        ) from fault


def _row(path: Path, where: str, values: list[Any], names: list[str] | None, test: bool) -> _Row:
    *texts, label = values
    for item in texts:
        if item is not None and not isinstance(item, str):
            raise ValueError(f"{path}, {where}: the text must be a text, got {shown(item)}")
    if isinstance(label, float):
        label = int(label) if label.is_integer() else None if label != label else label
    if names and isinstance(label, int) and 0 <= label < len(names):
        label = names[label]
    if label is not None and not isinstance(label, (str, int)):
        raise ValueError(f"{path}, {where}: the label must be a text or number, got {shown(label)}")
    stripped = tuple("" if item is None else item.strip() for item in texts)
    return _Row(f"{path}, {where}", stripped, "" if label is None else str(label).strip(), test)


def _checked(rows: list[_Row], names: list[str], strict: bool) -> list[_Row]:
    """The rows without the doubtful ones, each of which is an error if ``strict``."""
    known = set(names) or {row.label for row in rows}
    if not names and {"0", "-1"} <= known:
        known.remove("-1")
    first: dict[tuple[str, ...], _Row] = {}
    doubtful: set[tuple[str, ...]] = set()
    kept = []
    for row in rows:
        said = ""
        if not all(row.texts) or not row.label:
            said = f"{row.where}: the text or the label is empty; drop the row"
        elif row.label not in known:
            said = (
                f"{row.where}: the label {row.label!r} names no class; test labels are often "
                "hidden so: take that file out"
            )
        elif (before := first.setdefault(row.texts, row).label) != row.label:
            said = contradiction(row.where, " / ".join(row.texts), before, row.label)
            doubtful.add(row.texts)
        else:
            kept.append(row)
        if said and strict:
            raise ValueError(f"{said}. Or give doubtful='drop' to leave such rows out")
    return [row for row in kept if row.texts not in doubtful]


def _in_order(labels: set[str]) -> Any:
    """The key that sorts labels: whole numbers by value, others by the alphabet."""
    return int if all(re.fullmatch(r"-?\d+", label) for label in labels) else str
