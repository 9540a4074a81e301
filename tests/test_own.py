"""Labelled texts of one's own: files of all kinds, folders laid out as on the Hub, clear errors."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tlcourse.data import tokenise
from tlcourse.data.own import load_labelled


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
    found = load_labelled(folder)
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
    found = load_labelled(folder, limit=30)
    assert (found.split == "test").sum() == 30
    assert set(found.labels[found.split != "test"]) == {0, 1}, "files are sorted by label"


def test_csv_with_other_columns_and_no_test_split(tmp_path):
    rows = [(f"text {i}", "ja" if i % 2 else "nein") for i in range(80)]
    pd.DataFrame(rows, columns=["body", "class"]).to_csv(tmp_path / "all.csv", index=False)
    found = load_labelled(tmp_path, text="body", label="class")
    assert found.label_names == ("ja", "nein")
    assert set(found.split) == {"train", "validation", "test"}
    with pytest.raises(ValueError, match=r"no column 'text'; there are \['body', 'class'\]"):
        load_labelled(tmp_path)


def test_splits_in_folders_and_look_alikes(tmp_path):
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        for label in (0, 1):
            table = pd.DataFrame(_table(f"{split} {label}", label, 30))
            table.to_csv(tmp_path / split / f"latest-{label}.csv", index=False)
    found = load_labelled(tmp_path)
    assert all(
        (split == "test") == text.startswith("test")
        for text, split in zip(found.texts, found.split, strict=True)
    )


def test_hidden_labels_are_refused(folder):
    pq.write_table(pa.table({"text": ["a", "b"], "label": [-1, -1]}), folder / "test.parquet")
    with pytest.raises(ValueError, match=r"test\.parquet, row 1: the label '-1' names no class"):
        load_labelled(folder)


def test_errors(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="holds no table"):
        load_labelled(tmp_path)
    pd.DataFrame({"text": ["a", "b"], "label": [0, 1]}).to_csv(tmp_path / "x.csv")
    with pytest.raises(ValueError, match="2 texts, too few: none for"):
        load_labelled(tmp_path)
    pd.DataFrame(_table("a", 1, 90)).to_csv(tmp_path / "x.csv")
    with pytest.raises(ValueError, match="only one class"):
        load_labelled(tmp_path)
    with pytest.raises(FileNotFoundError, match="could not be fetched"):  # the hub is offline here
        load_labelled("nobody/nothing")


def test_a_name_fetches_tables_only(folder, monkeypatch):
    asked = {}

    def snapshot_download(name, **options):
        asked.update(options, name=name)
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    found = load_labelled("stanfordnlp/imdb")
    assert found.name == "stanfordnlp/imdb"
    assert asked["repo_type"] == "dataset"
    assert asked["allow_patterns"] == ["*.parquet", "*.csv", "*.tsv", "*.jsonl"]


def test_contradicting_labels_are_told(folder):
    columns = {"text": ["in both", "more"], "label": [0, 1]}
    features = {"label": {"names": ["neg", "pos"], "_type": "ClassLabel"}}
    about = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    table = pa.table(columns).replace_schema_metadata(about)
    pq.write_table(table, folder / "more.parquet")
    for limit in (None, 5):
        with pytest.raises(
            ValueError, match=r"row 41: .* as 'neg' and as 'pos'; keep one.*in both"
        ):
            load_labelled(folder, limit=limit)
    left = load_labelled(folder, doubtful="drop")
    assert "in both" not in left.texts
    assert "more" in left.texts
    with pytest.raises(ValueError, match="doubtful must be one of"):
        load_labelled(folder, doubtful="keep")


def test_limits_and_languages(folder):
    for limit in (-5, 0):
        with pytest.raises(ValueError, match="limit must be a whole number, at least 1"):
            load_labelled(folder, limit=limit)
    with pytest.raises(TypeError, match="limit must be"):
        load_labelled(folder, limit=2.5)
    with pytest.raises(ValueError, match="language must be one of"):
        load_labelled(folder, language="fr")


def test_broken_csv_files(tmp_path):
    lines = [f"text {number},{'ja' if number % 2 else 'nein'}" for number in range(80)]
    path = tmp_path / "all.csv"
    for broken, message in (("a, b,ja", "line 82: 3 fields"), ('"a,ja', "is never closed")):
        path.write_text("\n".join(["text,label", *lines, broken]), encoding="utf-8-sig")
        with pytest.raises(ValueError, match=message):
            load_labelled(tmp_path)
    path.write_text("\n".join(["text,label", *lines]), encoding="utf-16")
    assert len(load_labelled(tmp_path)) == 80


# Files.


def test_a_csv_file(tmp_path):
    path = tmp_path / "own.csv"
    lines = [f"review number {number},{'good' if number % 2 else 'bad'}" for number in range(60)]
    path.write_text("review,stars\n" + "\n".join(lines + lines[:5]), encoding="utf8")
    data = load_labelled(path, text="review", label="stars")
    assert len(data) == 60
    assert data.label_names == ("bad", "good")
    assert data.tokens[0][:2] == ("review", "number")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,stars\na,b\n", "no column 'label'"),
        ("text,label\na,x\nb,x\n", "only one class"),
        ("text,label\na,x\n,y\n", "line 3: the text or the label is empty"),
        ("text,label\na,x\na,y\n", "line 3: this text stands there as 'x' and as 'y'"),
        ("text,label\na,x\nb,y\n", "too few"),
        ("", "no column 'text'"),
    ],
)
def test_errors_of_a_file(tmp_path, content, message):
    path = tmp_path / "own.csv"
    path.write_text(content, encoding="utf8")
    with pytest.raises(ValueError, match=message):
        load_labelled(path)


def test_encoding(tmp_path):
    path = tmp_path / "own.csv"
    path.write_bytes("text,label\n好书,x\n坏书,y\n".encode("gb18030"))
    with pytest.raises(ValueError, match="gb18030"):
        load_labelled(path)


def _reviews(n=200):
    return [f"Review number {number},{'clean' if number % 2 else 'dirty'}" for number in range(n)]


def _own(tmp_path, lines, encoding="utf8"):
    path = tmp_path / "own.csv"
    path.write_bytes("\n".join(["text,label", *lines]).encode(encoding))
    return path


def test_an_unquoted_comma_is_no_label(tmp_path):
    lines = _reviews()
    lines[100] = "Nice hotel,clean rooms,clean"
    with pytest.raises(ValueError, match=r"line 102: 3 fields, the header has 2.*in quotes"):
        load_labelled(_own(tmp_path, lines))
    lines[100] = "Nice hotel"
    with pytest.raises(ValueError, match="line 102: 1 field, the header has 2"):
        load_labelled(_own(tmp_path, lines))
    lines[100] = '"Nice hotel, clean rooms",clean'
    assert "Nice hotel, clean rooms" in load_labelled(_own(tmp_path, lines)).texts


@pytest.mark.parametrize(
    ("first", "last", "message"),
    [
        ('"Nice hotel,clean', 'Bad hotel",dirty', "lines 12–22: one quoted text, in which line 12"),
        ('"Nice hotel,clean', "Bad hotel,dirty", "lines 12–201: the quote that opens here is ne"),
        ('"Nice hotel,clean', '"Bad hotel,dirty', "lines 12–22: a closing quote is followed by"),
        ('"Nice" hotel,clean', "Bad hotel,dirty", "line 12: a closing quote is followed by more"),
        ('"Nice hotel,clean', 'Bad hotel,dirty"', "lines 12–22: 1 field, .* a quote missing"),
        ('Nice hotel,"clean', 'Bad hotel,dirty"', "lines 12–22: the label runs over several"),
    ],
)
def test_a_stray_quote_swallows_no_lines(tmp_path, first, last, message):
    lines = _reviews()
    lines[10], lines[20] = first, last
    with pytest.raises(ValueError, match=message):
        load_labelled(_own(tmp_path, lines))


def test_stray_quotes_in_every_other_line(tmp_path):
    lines = [
        f'"Review {number},{"clean" if number % 4 else "dirty"}' if number % 2 == 0
        else f'Review {number}",{"clean" if number % 3 else "dirty"}'
        for number in range(122)
    ]  # fmt: skip
    with pytest.raises(ValueError, match="lines 2–3: one quoted text, in which line 2 looks like"):
        load_labelled(_own(tmp_path, lines))


def test_a_swallowed_row_is_found_where_the_label_comes_first(tmp_path):
    lines = [",".join(reversed(line.split(","))) for line in _reviews()]
    lines[10] = 'clean,"Nice hotel'
    lines[11] = 'dirty,Bad hotel"'
    path = _own(tmp_path, lines)
    path.write_text(path.read_text().replace("text,label", "label,text"))
    with pytest.raises(ValueError, match="lines 12–13: one quoted text, in which line 13 looks"):
        load_labelled(path)
    lines[10:12] = ['clean,"Nice hotel,', "clean rooms,", 'good food"']
    path.write_text("\n".join(["label,text", *lines]))
    assert "Nice hotel,\nclean rooms,\ngood food" in load_labelled(path).texts


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_texts_of_several_lines_and_quotes_stay(tmp_path, end):
    text = end.join(["It was nice, but", "", 'they said ""clean"", we', "say dirty,dirty", "so."])
    lines = [*_reviews(), f'"{text}",clean']
    if end == "\r\n":
        lines[-1] = lines[-1].replace(",dirty", ", dirty")
        data = load_labelled(_own(tmp_path, lines))
        assert text.replace('""', '"').replace(",dirty", ", dirty") in data.texts
    else:  # that line looks like a row
        with pytest.raises(ValueError, match=r"lines 202–206: .* line 205 looks like a row.*'say"):
            load_labelled(_own(tmp_path, lines))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_tells_the_encoding(tmp_path, encoding):
    lines = [f"第{number}条评论,{'好' if number % 2 else '坏'}" for number in range(100)]
    data = load_labelled(_own(tmp_path, lines, encoding))
    assert data.label_names == ("坏", "好")
    assert len(data) == 100


@pytest.mark.parametrize(
    ("written", "read", "advice"),
    [
        ("gb18030", "utf8", "encoding='gb18030'"),
        ("utf-16-le", "utf8", "encoding='utf-16-le'"),
        ("utf8", "ascii", "it is UTF-8: leave encoding out"),
        ("utf8", "klingon", "encoding must be one that Python knows"),
    ],
)
def test_advice_on_encodings(tmp_path, written, read, advice):
    path = _own(tmp_path, ["好书,x", "坏书,y"], written)
    with pytest.raises(ValueError, match=advice):
        load_labelled(path, encoding=read)


def test_a_long_text(tmp_path):
    lines = [*_reviews(), f"{'long ' * 40_000},clean"]
    assert max(map(len, load_labelled(_own(tmp_path, lines)).texts)) == 199_999


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_the_delimiter_is_found_by_the_header(tmp_path, delimiter):
    lines = [line.replace(",", delimiter) for line in ["text,label", *_reviews()]]
    lines.append(delimiter.join(["Nice hotel, clean rooms", "clean"]))
    path = tmp_path / "own.csv"
    path.write_text("\n".join(lines))
    data = load_labelled(path)
    assert len(data) == 201
    assert "Nice hotel, clean rooms" in data.texts
    with pytest.raises(ValueError, match=r"no column 'review'; there are \['text', 'label'\]"):
        load_labelled(path, text="review")
    path.write_text("\n".join([*lines, delimiter.join(["a", "b", "clean"])]))
    with pytest.raises(ValueError, match=r"line 203: 3 fields.*must stand in quotes"):
        load_labelled(path)


def test_columns_and_languages_that_make_no_sense(tmp_path):
    path = _own(tmp_path, _reviews())
    with pytest.raises(ValueError, match="must be different columns"):
        load_labelled(path, text="text", label="text")
    with pytest.raises(ValueError, match="language must be one of"):
        load_labelled(path, language="fr")
    path.write_text("text,text,label\na,b,c\n")
    with pytest.raises(ValueError, match="2 columns 'text'"):
        load_labelled(path)


# All kinds alike.


def _rows(n=90):
    return [
        {"text": f"review number {at}", "other": f"reply {at % 7}", "label": at % 3, "seed": at}
        for at in range(n)
    ]


def _written(rows, path):
    table = pd.DataFrame(rows)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    else:
        table.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


KINDS = (".csv", ".tsv", ".jsonl", ".parquet")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pair", [None, "other"])
def test_all_kinds_give_the_same_set(kind, pair, tmp_path):
    data = load_labelled(_written(_rows(), tmp_path / f"mine{kind}"), pair=pair)
    assert (data.name, data.label_names) == ("mine", ("0", "1", "2"))
    assert data.texts == tuple(row["text"] for row in _rows())
    assert data.labels.tolist() == [row["label"] for row in _rows()]
    wanted = tuple(row["other"] for row in _rows()) if pair else None
    assert data.second == wanted
    assert data.take([4]).second == (wanted and wanted[4:5])
    assert data.tokens[8] == ("review", "number", "8", *(("reply", "1") if pair else ()))
    assert set(data.split) == {"train", "validation", "test"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("change", "where", "words"),
    [
        ({"text": " "}, 40, "the text or the label is empty"),
        ({"label": ""}, 40, "the text or the label is empty"),
        ({"text": "review number 0", "label": 2}, 40, "stands there as '0' and as '2'; keep one"),
        ({"label": -1}, 40, "the label '-1' names no class"),
    ],
)
def test_doubtful_rows_are_the_same_error_in_all_kinds(kind, change, where, words, tmp_path):
    rows = _rows()
    rows[where] |= change
    if kind == ".parquet":  # a column has one type
        rows = [{**row, "label": None if row["label"] == "" else row["label"]} for row in rows]
    path = _written(rows, tmp_path / f"mine{kind}")
    place = f"row {where + 1}" if kind == ".parquet" else f"line {where + 1 + (kind != '.jsonl')}"
    with pytest.raises(ValueError, match=rf"mine\{kind}, {place}: .*{words}.*doubtful='drop'"):
        load_labelled(path)
    left = load_labelled(path, doubtful="drop")
    assert left.label_names == ("0", "1", "2")
    assert rows[where]["text"] not in left.texts
    assert len(left) == 89 - (rows[where]["text"] == "review number 0")


def test_a_pair_is_doubtful_as_a_whole(tmp_path):
    rows = [{**row, "text": "the same"} for row in _rows()]
    for at, row in enumerate(rows):
        row["other"] = f"reply {at}"
    rows += [{**row, "text": "another"} for row in rows] + [
        {**row, "text": f"text {at}"} for at, row in enumerate(rows)
    ]
    data = load_labelled(_written(rows, tmp_path / "pairs.jsonl"), pair="other")
    assert len(data) == 270
    for text in ("the same", "another"):  # or a model could know it from training
        rows_of = [row for row, first in enumerate(data.texts) if first == text]
        assert len(set(data.split[rows_of])) == 1
    rows[5]["other"] = "reply 4"
    with pytest.raises(ValueError, match=r"line 6: .*as '1' and as '2'.* 'the same / reply 4'"):
        load_labelled(_written(rows, tmp_path / "pairs.jsonl"), pair="other")


def test_classes_are_in_the_order_of_their_numbers(tmp_path):
    rows = [{"text": f"text {at}", "label": str(at % 12)} for at in range(240)]
    data = load_labelled(_written(rows, tmp_path / "x.csv"))
    assert data.label_names == tuple(map(str, range(12)))
    signs = [{**row, "label": "-1" if at % 2 else "1"} for at, row in enumerate(rows)]
    assert load_labelled(_written(signs, tmp_path / "x.csv")).label_names == ("-1", "1")


def test_chinese_is_cut_into_words(tmp_path):
    rows = [{"text": f"我喜欢第{at}本书", "label": "好坏"[at % 2]} for at in range(60)]
    data = load_labelled(_written(rows, tmp_path / "x.jsonl"), language="zh")
    assert data.tokens[0] == tuple(tokenise(rows[0]["text"], "zh"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.jsonl", b'{"text": "a", "label": 1}\n{"text"', "line 2 is no JSON"),
        ("x.jsonl", b'["a", 1]', "line 1 must be a JSON object"),
        ("x.jsonl", b'{"text": "a", "stars": 1}', r"line 1 has no field 'label'; it has \['text'"),
        ("x.jsonl", b'{"text": 5, "label": 1}', "line 1: the text must be a text, got 5"),
        ("x.jsonl", b'{"text": "a", "label": [1]}', "line 1: the label must be a text or number"),
        ("x.jsonl", b'{"text": "a", "label": 0.5}', "line 1: the label must be a text or number"),
        ("x.jsonl", "{'文'}".encode("gb18030"), "encoding='gb18030'"),
        ("x.parquet", b"PAR1", "is no Parquet file"),
        ("x.parquet", b"", "is no Parquet file"),
        ("x.xlsx", b"PK", "one of the kinds .parquet, .csv, .tsv, .jsonl; a sheet can be saved"),
        ("x.json", b"[]", "one of the kinds"),
    ],
)  # fmt: skip
def test_broken_files_of_other_kinds(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_labelled(tmp_path / name)


def test_a_parquet_file_with_other_columns(tmp_path):
    pq.write_table(pa.table({"body": ["a"], "stars": [1]}), tmp_path / "x.parquet")
    with pytest.raises(ValueError, match=r"no column 'text'; there are \['body', 'stars'\]"):
        load_labelled(tmp_path / "x.parquet")


@pytest.mark.parametrize("place", ["reviews.csv", "data/reviews.parquet", "/no/such/folder", "a b"])
def test_what_is_not_there(place):
    with pytest.raises(FileNotFoundError, match=f"there is no '{place}'; a Hub name looks like"):
        load_labelled(place)


@pytest.mark.parametrize("place", [None, "", 5, ["x.csv"]])
def test_what_is_no_place(place):
    with pytest.raises(TypeError, match="place must be a file, a folder or a Hub name, got"):
        load_labelled(place)


@pytest.mark.parametrize("options", [{"text": None}, {"label": 3}, {"pair": ["other"]}])
def test_columns_are_names(options, tmp_path):
    with pytest.raises(TypeError, match="must be names of columns"):
        load_labelled(_written(_rows(), tmp_path / "x.csv"), **options)
