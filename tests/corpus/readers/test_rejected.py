"""What is said of a document that cannot be read, in each format: its kind, its place and its id."""

import json

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from .conftest import read_all
from .test_articles import TEI

UTF_16 = "Fièvre.".encode("utf-16-le").decode("latin-1")
"""What is seen of UTF-16 that was taken for another encoding: every other character is NUL."""
RECORD = {"id": "bad", "text": UTF_16}


def as_dataset(path):
    datasets.Dataset.from_list([RECORD]).save_to_disk(path)


NUL = {
    "text": ("bad.txt", UTF_16.encode()),
    "jsonl": ("a.jsonl", json.dumps(RECORD).encode()),
    "csv": ("a.csv", f"id,text\nbad,{UTF_16}\n".encode()),
    "tsv": ("a.tsv", f"id\ttext\nbad\t{UTF_16}\n".encode()),
    "parquet": ("a.parquet", lambda path: pq.write_table(pa.Table.from_pylist([RECORD]), path)),
    "datasets": ("saved", as_dataset),
    "html": ("bad.html", f"<p>{UTF_16}</p>".encode()),
    "e3c": ("bad.json", json.dumps(RECORD).encode()),
    "istex": ("bad.txt", UTF_16.encode()),
    "clear": ("bad.txt", UTF_16.encode()),
}


@pytest.mark.parametrize("form", NUL)
def test_nul_bytes_are_refused_in_every_format(tmp_path, form):
    name, content = NUL[form]
    path = tmp_path / name
    content(path) if callable(content) else path.write_bytes(content)
    documents, rejected = read_all(path if form == "datasets" else tmp_path, format=form)
    assert not documents
    assert [(bad.kind, bad.id) for bad in rejected] == [("NUL bytes", "bad")]
    assert "bytes, as UTF-16 or no text does; convert it to UTF-8" in rejected[0].reason


@pytest.mark.parametrize("form", ["jsonl", "csv", "tsv", "parquet", "datasets"])
def test_one_nul_in_a_hundred_characters_is_left_to_the_cleaning(tmp_path, form):
    record = {"id": "good", "text": "Fièvre. " * 20 + "\0"}
    name, path = NUL[form][0], tmp_path / NUL[form][0]
    if form == "parquet":
        pq.write_table(pa.Table.from_pylist([record]), path)
    elif form == "datasets":
        datasets.Dataset.from_list([record]).save_to_disk(path)
    else:
        separator = "\t" if form == "tsv" else ","
        rows = f"id{separator}text\ngood{separator}{record['text']}\n"
        path.write_text(json.dumps(record) if form == "jsonl" else rows)
    documents, rejected = read_all(tmp_path / name)
    assert [document.text for document in documents] == [record["text"]] and not rejected


@pytest.mark.parametrize(
    ("name", "content", "kind", "doc_id"),
    [
        ("a.jsonl", b'{"id": "7", "text": 1}', "no text", "7"),
        ("a.jsonl", b'{"id": "7", "text": "x", "licence": "%s"}' % (b"y" * 200), "licence is a text", "7"),
        ("a.jsonl", b'{"id": "7", "text": ', "not JSON", None),
        ("a.jsonl", b'{"id": "%s", "text": 1}' % (b"Dupont " * 20), "no text", None),
        ("a.jsonl", b'{"id": "Mme Dupont\\nest venue", "text": 1}', "no text", None),
        ("a.jsonl", b'{"text": 1}', "no text", None),
        ("a.csv", b"id,text\n7,caf\xe9\n", "not UTF-8", "7"),
        ("a.csv", b"id,text\n7,a,b\n", "broken row", None),
        ("b.txt", b"caf\xe9", "not UTF-8", "b"),
        ("b.html", b"", "no text", "b"),
    ],
)
def test_the_id_is_given_where_it_was_read_and_is_no_text(tmp_path, name, content, kind, doc_id):
    (tmp_path / name).write_bytes(content)
    _, rejected = read_all(tmp_path)
    assert [(bad.kind, bad.id) for bad in rejected] == [(kind, doc_id)]


def test_a_line_number_is_an_id_even_of_a_broken_line(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "x"}\n{')
    assert [bad.id for bad in read_all(tmp_path / "a.jsonl", id_field=None)[1]] == ["2"]


def test_a_parquet_text_that_is_not_utf_8_has_its_id(tmp_path):
    text = pa.array([b"caf\xe9"], pa.binary())
    columns = {"text": pa.StringArray.from_buffers(1, *text.buffers()[1:]), "id": ["7"]}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    assert [(bad.kind, bad.id) for bad in read_all(tmp_path)[1]] == [("not UTF-8", "7")]


def test_an_article_has_the_id_of_its_file(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "1.tei.xml").write_text(TEI[:300])
    assert [(bad.kind, bad.id) for bad in read_all(tmp_path, format="istex")[1]] == [("not XML", "deep/1")]
