"""Rows of every table format give the same values, and what is malformed is named by file and row."""

import json

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from camembert_bio.errors import UserError
from camembert_bio.evaluation.corpora.tables import read_rows

ROWS = [
    {"id": "a", "text": 'Le "foie"\r\net la rate ; 2 %\u2028fin', "label": "x"},
    {"id": "b", "text": "L’aspirine, 😀", "label": "y"},
]


def quoted(cell):
    return '"' + cell.replace('"', '""') + '"'


def write(folder, kind):
    path = folder / f"rows.{kind}"
    if kind in ("csv", "tsv"):
        lines = [[quoted(cell) for cell in row] for row in ([*ROWS[0]], *(row.values() for row in ROWS))]
        separator = {"csv": ";", "tsv": "\t"}[kind]
        path.write_bytes("\r\n".join(map(separator.join, lines)).encode("utf-8-sig"))
    elif kind == "json":
        path.write_text(json.dumps(ROWS), encoding="utf-8")
    elif kind == "jsonl":
        path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS), encoding="utf-8")
    else:
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    return path


@pytest.mark.parametrize("kind", ["csv", "tsv", "json", "jsonl", "parquet"])
def test_every_format_gives_the_same_rows(tmp_path, kind):
    path = write(tmp_path, kind)
    assert [row for _, _, row in read_rows(kind, path)] == ROWS
    assert [number for _, number, _ in read_rows(kind, tmp_path)] == ["1", "2"]
    (tmp_path / "more").mkdir()
    write(tmp_path / "more", kind)
    assert next(number for _, number, _ in read_rows(kind, tmp_path)) == "more/rows-1"


def test_classes_are_given_by_name(tmp_path):
    columns = {"label": [1, 0, -1], "labels": [[0, 1], [], [1]]}
    classes = datasets.ClassLabel(names=["non", "oui"])
    features = datasets.Features({"label": classes, "labels": datasets.List(classes)})
    table = datasets.Dataset.from_dict(columns, features=features)
    table.save_to_disk(tmp_path / "saved")
    table.to_parquet(tmp_path / "rows.parquet")
    expected = [
        {"label": "oui", "labels": ["non", "oui"]},
        {"label": "non", "labels": []},
        {"label": None, "labels": ["oui"]},
    ]
    assert [row for _, _, row in read_rows("datasets", tmp_path / "saved")] == expected
    assert [row for _, _, row in read_rows("parquet", tmp_path / "rows.parquet")] == expected


def test_the_separator_is_that_of_the_first_line_however_it_ends(tmp_path):
    (tmp_path / "rows.csv").write_bytes(b"a,b\rx;y;z,w\r")
    assert [row for _, _, row in read_rows("csv", tmp_path / "rows.csv")] == [{"a": "x;y;z", "b": "w"}]


@pytest.mark.parametrize(
    ("kind", "content", "message"),
    [
        ("csv", 'a,b\nx,"secret', r"rows\.csv, line 2 has a quoted field that does not end"),
        ("csv", "a,b\nsecret\n", r"rows\.csv, line 2 has 1 fields, and line 1 names 2 columns"),
        ("csv", "a,b\nx,y\nsecret\0,y\n", r"rows\.csv, line 3 holds a NUL character; take it out, or convert the file"),
        ("tsv", "a\ta\n", r"rows\.tsv, line 1 names a column twice"),
        ("tsv", 'a\tb\n"x\ny"\tz\nsecret\n', r"rows\.tsv, line 4 has 1 fields"),
        ("json", '[{"a": 1},\n{"secret"]', r"rows\.json is not valid JSON at line 2; mend it, or give jsonl"),
        ("json", '{"a": "secret"}', r"rows\.json is not a list of JSON objects"),
        ("parquet", "secret", r"rows\.parquet is not readable Parquet \(ArrowInvalid\)"),
    ],
)
def test_what_is_malformed_is_named_without_its_text(tmp_path, kind, content, message):
    path = tmp_path / f"rows.{kind}"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message) as caught:
        list(read_rows(kind, path))
    assert "secret" not in str(caught.value)
