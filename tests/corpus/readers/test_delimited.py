import gzip
import traceback

import pytest

from camembert_bio.corpus.documents import read
from camembert_bio.errors import UserError

from .conftest import read_all, source, texts

SECRET = "Dupont-Martin"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'id,text\n1,"un, ""deux""\ntrois"\n\n2,été\n'),
        ("a.csv", '\ufeffid;text\r\n1;"un, ""deux""\ntrois"\r\n2;été\r\n'),
        ("a.tsv", 'id\ttext\n1\t"un, ""deux""\ntrois"\n2\tété'),
        ("a.csv.gz", 'text,id\n"un, ""deux""\ntrois",1\nété,2\n'),
    ],
)
def test_each_dialect(tmp_path, name, content):
    data = content.encode()
    (tmp_path / name).write_bytes(gzip.compress(data, mtime=0) if name.endswith("gz") else data)
    assert texts(tmp_path / name) == {"1": 'un, "deux"\ntrois', "2": "été"}


def test_a_folder_with_columns_by_other_names_and_line_numbers_as_ids(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text('corps,licence\n"x\ny",MIT\nz,\n')
    documents, _ = read_all(tmp_path, text_field="corps", id_field=None)
    assert [(d.id, d.text, d.licence) for d in documents] == [
        ("a:2", "x\ny", "MIT"),
        ("a:4", "z", "CC0"),
        ("b:2", "x\ny", "MIT"),
        ("b:4", "z", "CC0"),
    ]


def test_a_field_over_the_default_limit_of_csv(tmp_path):
    (tmp_path / "a.csv").write_text(f'id,text\n1,"{"a" * 5_000_000}"\n')
    assert len(texts(tmp_path / "a.csv")["1"]) == 5_000_000


BAD = {
    "fields": (
        b"2,x,%s\n",
        "broken row",
        "line 3 has 3 fields, and line 1 names 2; quote fields that hold the separator",
    ),
    "quote": (b'2,"%s" x\n', "broken row", "line 3 has a quoted field that does not end; double the quotes"),
    "UTF-8": (b"2,%s\xe9\n", "not UTF-8", "line 3 is not UTF-8; convert"),
    "NUL": (b"2,%s\x00\x00\n", "NUL bytes", "line 3 holds 2 NUL bytes, as UTF-16 or no text does"),
    "no id": (b",%s\n", "no id", "line 3 has no id in field 'id'"),
    "long": (
        b"2,%s" + b"x" * 2000 + b"\n",
        "too long",
        r"line 3 has 20\d\d bytes or more, over max_document_bytes 1500",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_row_is_rejected_alone_and_shows_no_text(tmp_path, case):
    row, kind, message = BAD[case]
    path = tmp_path / "a.csv"
    path.write_bytes(b"id,text\n1,x\n" + row.replace(b"%s", SECRET.encode()) + b"4,y\n")
    documents, rejected = read_all(path, max_document_bytes=1500)
    assert [document.id for document in documents] == ["1", "4"]
    assert [(bad.where, bad.kind) for bad in rejected] == [(f"{path} line 3", kind)]
    with pytest.raises(UserError, match=message) as raised:
        list(read(source(path, max_document_bytes=1500)))
    assert SECRET not in "".join(traceback.format_exception(raised.value))


def test_a_quote_that_never_ends_holds_no_more_than_the_bound(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('id,text\n1,"' + "ligne de texte\n" * 1000)
    documents, rejected = read_all(path, max_document_bytes=1000)
    assert not documents
    assert [bad.kind for bad in rejected][:2] == ["too long", "broken row"]


@pytest.mark.parametrize(
    ("content", "changes", "message"),
    [
        (f"1,{SECRET}\n", {}, r"a.csv line 1 does not name one column 'text' \(it names 2 columns\); set text_field"),
        ("text,x\n", {}, "does not name one column 'id' .*; set id_field to a column's name, or id_field to null"),
        ("text,text,id\n", {}, "does not name one column 'text'"),
        ("", {}, r"does not name one column 'text' \(it names 0 columns\)"),
        ("id,text\n", {}, "holds no document"),
    ],
)
def test_a_first_line_without_the_columns(tmp_path, content, changes, message):
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(UserError, match=message) as raised:
        read_all(tmp_path / "a.csv", **changes)
    assert SECRET not in str(raised.value)
