"""Labelled text sets from the Hugging Face Hub by name, or from a folder laid out like one.

Only tables (Parquet, CSV) are read: a data set's own loading script is never fetched or run.
"""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tlcourse.arguments import check_choice, check_count
from tlcourse.data.datasets import SPLITS, TextDataset, split_of
from tlcourse.data.tables import contradiction, read_columns, read_text
from tlcourse.data.text import LANGUAGES, tokenise

if TYPE_CHECKING:
    import pandas as pd
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
import numpy as np
from tlcourse.arguments import check_choice, check_count, shown
from tlcourse.data.derived import Tokens, cached_tokens
from tlcourse.data.sources import fetch
from tlcourse.data.tables import contradiction, read_columns
from tlcourse.data.text import LANGUAGES, normalise, tokenise
from tlcourse.data.datasets import SPLITS, TextDataset, build_dataset

KINDS = (".parquet", ".csv")
_TEST = re.compile(r"(^|[^a-z])test([^a-z]|$)")


def from_hub(
    name: str,
    text: str = "text",
    label: str = "label",
    language: str = "en",
    limit: int | None = None,
    seed: int = 0,
    contradictions: str = "error",
) -> TextDataset:
    """Read a labelled text set.

    Parameters
    ----------
    name : str
        A Hub name such as ``"stanfordnlp/imdb"`` or ``"fancyzhx/ag_news"``, fetched once into
        the Hub's own cache; or a local folder.
    text, label : str
        The names of the two columns.
    language : {"en", "zh"}
        How the texts are split into tokens.
    limit : int, optional
        Keep at most so many texts of a file's split, 1 or more, drawn at random.
    seed : int
        For that draw.
    contradictions : {"error", "drop"}
        What to do with a text that stands there under two labels.

    Returns
    -------
    TextDataset
        Files with the word "test" in their path are the test split, if there are any; the rest
        is divided by text into train and validation. Of duplicates one is kept, in the test
        split if one of them stands there.

    Raises
    ------
    FileNotFoundError
        If nothing can be fetched and nothing lies in the cache, or there is no table.
    ValueError
        If a column is missing, a label is hidden (below 0) or has no name, a text has two
        labels, a CSV file is broken, there is only one class, or a split stays empty.
    """
    check_choice("language", language, LANGUAGES)
    if limit is not None:
        check_count("limit", limit)
    check_count("seed", seed, 0)
    check_choice("contradictions", contradictions, ("error", "drop"))
    folder = Path(name) if Path(name).is_dir() else _fetch(name)
    files = sorted(path for path in folder.rglob("*") if path.suffix in KINDS)
    files = [path for path in files if "unsupervised" not in path.name]
    if not files:
        raise FileNotFoundError(f"{name} has no Parquet or CSV file, so there is nothing to read")
    tests = [path for path in files if _TEST.search(path.relative_to(folder).as_posix())]
    seen: dict[str, tuple[int | str, str]] = {}
    labels: dict[str, int | str] = {}
    doubtful: set[str] = set()
    names: list[str] | None = None
    for is_test, paths in ((True, tests), (False, [path for path in files if path not in tests])):
        rows: list[tuple[str, int | str]] = []
        for path in paths:
            table, found = _read(path, text, label)
            names = names or found
            rows += zip(table[text].astype(str).str.strip(), table[label], strict=True)
        for content, value in rows:  # all of them, or the draw would decide
            if content and labels.setdefault(content, value) != value:
                both = (names[int(item)] if names else item for item in (labels[content], value))
                if contradictions == "error":
                    said = contradiction(name, content, *map(str, both))
                    raise ValueError(f"{said}. Or give contradictions='drop' to leave such out")
                doubtful.add(content)
        chosen = np.random.default_rng(seed).permutation(len(rows))[:limit]
        for row in sorted(chosen):
            content, value = rows[row]
            split = split_of(content)
            if tests:  # the set's own test split stands; a train text may become validation
                split = "test" if is_test else split.replace("test", "train")
            if content:
                seen.setdefault(content, (value, split))
    seen = {content: found for content, found in seen.items() if content not in doubtful}
    splits = np.array([split for _, split in seen.values()])
    if missing := [split for split in SPLITS if split not in splits]:
        raise ValueError(f"{name} has {len(seen)} texts, and none for {missing}")
    values = sorted({value for value, _ in seen.values()}, key=str)
    if len(values) < 2:
        raise ValueError(f"{name} has only the class {values}; a classifier needs two")
    label_names = tuple(names) if names else tuple(map(str, values))
    numbers = {value: number for number, value in enumerate(values)}
    texts = tuple(seen)
    found_labels = [value if names else numbers[value] for value, _ in seen.values()]
    tokens = tuple(tuple(tokenise(item, language)) for item in texts)
    return TextDataset(
        name, language, texts, np.array(found_labels, dtype=np.int64), label_names, splits, tokens
    )


def _fetch(name: str) -> Path:
    """The data set's tables in the Hub's cache."""
    from huggingface_hub import snapshot_download

    try:
        patterns = [f"*{kind}" for kind in KINDS]
        return Path(snapshot_download(name, repo_type="dataset", allow_patterns=patterns))
    except Exception as fault:  # the library has many errors for: no network, no such name
        raise FileNotFoundError(
            f"{name} is no local folder and could not be fetched from the Hub "
            f"({type(fault).__name__}); check the name and the network, or give a folder of "
            "Parquet or CSV files"
        ) from fault


def _read(path: Path, text: str, label: str) -> tuple[pd.DataFrame, list[str] | None]:
    """A table's two columns, and the classes' names if the file tells them."""
    import pandas as pd
    import pyarrow.parquet as pq

    if path.suffix == ".csv":
        read_columns(path, text, label)  # pandas takes broken files
        table, names = pd.read_csv(io.StringIO(read_text(path))), None
    else:
        table = pd.read_parquet(path)
        about = (pq.read_schema(path).metadata or {}).get(b"huggingface", b"{}")
        features = json.loads(about).get("info", {}).get("features", {})
        names = features.get(label, {}).get("names")
    for column in (text, label):
        if column not in table:
            raise ValueError(f"{path.name} has no column {column!r}; it has {list(table)}")
    table = table[[text, label]].dropna()
    if pd.api.types.is_numeric_dtype(table[label]):
        bad = table[(table[label] < 0) | (table[label] >= (len(names) if names else np.inf))]
        if len(bad):
            raise ValueError(
                f"{path.name} has {len(bad)} labels such as {bad[label].iloc[0]}, which name no "
                "class; test labels are often hidden so: take that file out"
            )
    return table, names


def from_csv(
    path: str | Path,
    text: str = "text",
    label: str = "label",
    language: str = "en",
    encoding: str = "utf8",
    delimiter: str = ",",
) -> TextDataset:
    """Read your own labelled texts.

    Parameters
    ----------
    path : str or pathlib.Path
        A CSV file with a header line.
    text, label : str
        The names of its two columns.
    language : {"en", "zh"}
        How the texts are split into tokens.
    encoding : str
        The file's encoding; a byte-order mark in the file wins.
    delimiter : str
        What stands between the columns; some spreadsheets write semicolons or tabs.

    Returns
    -------
    TextDataset
        Duplicate texts dropped, split by text; classes in alphabetical order.

    Raises
    ------
    ValueError
        If a column is missing, a row has too many or too few fields, a quote is stray, a text
        or label is empty, a text has two labels, there is only one class, a split stays empty,
        or the encoding is wrong. The message says where.
    FileNotFoundError
        If there is no such file.
    """
    path = Path(path)
    check_choice("language", language, LANGUAGES)
    if text == label:
        raise ValueError(f"text and label must be two columns, got {text!r} for both")
    seen: dict[str, str] = {}
    for line, content, name in read_columns(path, text, label, encoding, delimiter):
        content, name = content.strip(), name.strip()
        if not content or not name:
            raise ValueError(f"{path}, line {line}: the text or the label is empty; drop the row")
        if seen.setdefault(content, name) != name:
            raise ValueError(contradiction(f"{path}, line {line}", content, seen[content], name))
    names = tuple(sorted(set(seen.values())))
    if len(names) < 2:
        raise ValueError(f"{path} has only one class, {list(names)}; a classifier needs two")
    pairs = [(content, names.index(name)) for content, name in seen.items()]
    found = build_dataset(path.stem, language, pairs, names, list(seen), cached=False)
    for split in SPLITS:
        if split not in found.split:
            raise ValueError(
                f"{path} has {len(found)} texts, too few: none falls into the {split} split"
            )
    return found
