"""Labelled sets from a folder laid out as on the Hub, and what happens without a network."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tlcourse.data import own


def _table(words, label, n):
    return {"text": [f"{words} number {i}" for i in range(n)], "label": [label] * n}


@pytest.fixture
def folder(tmp_path):
    """Two splits as Parquet with the classes' names, and one text that stands in both."""
    features = {"label": {"names": ["neg", "pos"], "_type": "ClassLabel"}}
    about = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    (tmp_path / "plain_text").mkdir()
    for split, n in (("train", 60), ("test", 20)):
        halves = [_table(f"{split} bad", 0, n), _table(f"{split} good", 1, n)]
        columns = {key: halves[0][key] + halves[1][key] for key in ("text", "label")}
        columns["text"].append("in both")
        columns["label"].append(1)
        table = pa.table(columns).replace_schema_metadata(about)
        pq.write_table(table, tmp_path / "plain_text" / f"{split}-00000-of-00001.parquet")
    pq.write_table(pa.table({"text": ["x"], "label": [-1]}), tmp_path / "unsupervised.parquet")
    (tmp_path / "loader.py").write_text("raise RuntimeError('run!')")
    return tmp_path


def test_splits_names_and_duplicates(folder):
    found = own.from_hub(str(folder))
    assert found.label_names == ("neg", "pos")
    assert len(found) == 161
    assert (found.split == "test").sum() == 41
    assert found.split[found.texts.index("in both")] == "test"
    assert 0 < (found.split == "validation").sum() < 40
    assert set(np.unique(found.labels)) == {0, 1}
    for text, label in zip(found.texts, found.labels, strict=True):
        assert text == "in both" or ("good" in text) == bool(label)
    assert found.tokens[0] == tuple(found.texts[0].split())


def test_limit_draws_from_all(folder):
    found = own.from_hub(str(folder), limit=30)
    assert (found.split == "test").sum() == 30
    assert set(found.labels[found.split != "test"]) == {0, 1}, "files are sorted by label"


def test_csv_with_other_columns_and_no_test_split(tmp_path):
    rows = [(f"text {i}", "ja" if i % 2 else "nein") for i in range(80)]
    pd.DataFrame(rows, columns=["body", "class"]).to_csv(tmp_path / "all.csv", index=False)
    found = own.from_hub(str(tmp_path), text="body", label="class")
    assert found.label_names == ("ja", "nein")
    assert set(found.split) == {"train", "validation", "test"}
    with pytest.raises(ValueError, match=r"no column 'text'; it has \['body', 'class'\]"):
        own.from_hub(str(tmp_path))


def test_splits_in_folders_and_look_alikes(tmp_path):
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        for label in (0, 1):
            table = pd.DataFrame(_table(f"{split} {label}", label, 30))
            table.to_csv(tmp_path / split / f"latest-{label}.csv", index=False)
    found = own.from_hub(str(tmp_path))
    assert all(
        (split == "test") == text.startswith("test")
        for text, split in zip(found.texts, found.split, strict=True)
    )


def test_hidden_labels_are_refused(folder):
    pq.write_table(pa.table({"text": ["a", "b"], "label": [-1, -1]}), folder / "test.parquet")
    with pytest.raises(ValueError, match="2 labels such as -1"):
        own.from_hub(str(folder))


def test_errors(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="no Parquet or CSV"):
        own.from_hub(str(tmp_path))
    pd.DataFrame({"text": ["a", "b"], "label": [0, 1]}).to_csv(tmp_path / "x.csv")
    with pytest.raises(ValueError, match="2 texts, and none for"):
        own.from_hub(str(tmp_path))
    pd.DataFrame(_table("a", 1, 90)).to_csv(tmp_path / "x.csv")
    with pytest.raises(ValueError, match="only the class"):
        own.from_hub(str(tmp_path))
    with pytest.raises(FileNotFoundError, match="could not be fetched"):  # the hub is offline here
        own.from_hub("nobody/nothing")


def test_a_name_fetches_tables_only(folder, monkeypatch):
    asked = {}

    def snapshot_download(name, **options):
        asked.update(options, name=name)
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    found = own.from_hub("stanfordnlp/imdb")
    assert found.name == "stanfordnlp/imdb"
    assert asked["repo_type"] == "dataset"
    assert asked["allow_patterns"] == ["*.parquet", "*.csv"]


def test_contradicting_labels_are_told(folder):
    columns = {"text": ["in both", "more"], "label": [0, 1]}
    features = {"label": {"names": ["neg", "pos"], "_type": "ClassLabel"}}
    about = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    table = pa.table(columns).replace_schema_metadata(about)
    pq.write_table(table, folder / "more.parquet")
    for limit in (None, 5):
        with pytest.raises(ValueError, match=r"as 'pos' and as 'neg'; keep one.*in both"):
            own.from_hub(str(folder), limit=limit)
    left = own.from_hub(str(folder), contradictions="drop")
    assert "in both" not in left.texts
    assert "more" in left.texts
    with pytest.raises(ValueError, match="contradictions must be one of"):
        own.from_hub(str(folder), contradictions="keep")


def test_limits_and_languages(folder):
    for limit in (-5, 0):
        with pytest.raises(ValueError, match="limit must be a whole number, at least 1"):
            own.from_hub(str(folder), limit=limit)
    with pytest.raises(TypeError, match="limit must be"):
        own.from_hub(str(folder), limit=2.5)
    with pytest.raises(ValueError, match="language must be one of"):
        own.from_hub(str(folder), language="fr")


def test_broken_csv_files(tmp_path):
    lines = [f"text {number},{'ja' if number % 2 else 'nein'}" for number in range(80)]
    path = tmp_path / "all.csv"
    for broken, message in (("a, b,ja", "line 82: 3 fields"), ('"a,ja', "is never closed")):
        path.write_text("\n".join(["text,label", *lines, broken]), encoding="utf-8-sig")
        with pytest.raises(ValueError, match=message):
            own.from_hub(str(tmp_path))
    path.write_text("\n".join(["text,label", *lines]), encoding="utf-16")
    assert len(own.from_hub(str(tmp_path))) == 80
