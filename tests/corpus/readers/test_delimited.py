import csv
import gzip
import io
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camembert_bio.corpus.documents import read
from camembert_bio.corpus.readers.quotes import Quotes
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
    "quote": (b'2,"%s" x\n', "broken row", "line 3 has text after the end of a quoted field; double the quotes"),
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


ROWS = "".join(f"{i},Le patient {i}\n" for i in range(10, 60))
NEVER_CERTAIN = {
    "to the end of the file": (f'1,"{SECRET}\n{ROWS}', 3, "by the end of the file"),
    "over the bound": (f'1,"{SECRET}\n{ROWS * 20}', 3, "by the end of the file"),
    "in the last line": (f'1,"{SECRET}', 3, "by the end of the file"),
    "after a field of two lines": (f'1,x\n"a\nb","{SECRET}\n{ROWS}', 5, "by the end of the file"),
    "up to the next quoted row": (f'1,"{SECRET}\n{ROWS}2,"y"\n{ROWS}', 3, "where its row does"),
    "up to the next quoted row, over the bound": (f'1,"{SECRET}\n{ROWS * 20}2,"y"\n{ROWS}', 3, "where its row does"),
    "as quotes inside are not doubled": (f'1,"dit "{SECRET}" et\nsuite, fin"\n{ROWS}', 3, "where its row does"),
    "as one quote is too many": (f'1,"5" de {SECRET}"\n{ROWS}', 3, "where its row does"),
    "as a row swallows others": (f'1,{SECRET},"x\n{ROWS * 20}2,"\n{ROWS}', 3, "where its row does"),
}


@pytest.mark.parametrize("case", NEVER_CERTAIN)
def test_a_row_whose_end_is_not_certain_stops_whatever_may_be_rejected(tmp_path, case):
    content, line, told = NEVER_CERTAIN[case]
    path = tmp_path / "a.csv"
    path.write_text(f"id,text\n0,z\n{content}")
    with pytest.raises(UserError, match=rf"a.csv line {line} opens a quoted field that does not end {told}") as raised:
        read_all(path, max_document_bytes=1500)
    assert SECRET not in "".join(traceback.format_exception(raised.value))


LONG = {
    "lines": "".join(f'{SECRET}{i},né le troisième jour, "avec" une douleur\n' for i in range(40)),
    "one line": SECRET * 200,
    "to the bound and over": "x" * 1490 + "\n" + 'y""' * 300,
    "quotes alone": '""' * 2000,
}


@pytest.mark.parametrize("case", LONG)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_quoted_row_over_the_bound_is_rejected_once_and_no_line_of_it_becomes_a_document(tmp_path, case, end):
    path = tmp_path / "a.csv"
    content = LONG[case].replace('"', '""')
    path.write_bytes(f'id,text{end}1,x{end}2,"{content}"{end}3,"y, z"{end}4,w'.encode())
    documents, rejected = read_all(path, max_document_bytes=1500)
    assert [(document.id, document.text) for document in documents] == [("1", "x"), ("3", "y, z"), ("4", "w")]
    assert [(bad.where, bad.kind) for bad in rejected] == [(f"{path} line 3", "too long")]


def test_a_long_row_with_quotes_in_a_field_that_is_not_quoted(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text('id\ttext\n1\tune plaie de 5" de long' + "g" * 2000 + '\n2\t3" et "4"\n')
    documents, rejected = read_all(path, max_document_bytes=1500)
    assert [(document.id, document.text) for document in documents] == [("2", '3" et "4"')]
    assert [(bad.where, bad.kind) for bad in rejected] == [(f"{path} line 2", "too long")]


@given(st.lists(st.text('a",\n\r', max_size=6), min_size=1, max_size=3), st.integers(1, 5), st.booleans())
def test_quotes_are_followed_as_csv_reads_them(fields, cut, ends):
    """Of a record as csv writes it, however it is cut, the end and the fields are found."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n" if ends else "").writerow(fields)
    record = file.getvalue().encode()
    quotes = Quotes(",")
    for place in range(0, len(record), cut):
        quotes.feed(record[place : place + cut], 1)
    quotes.end()
    assert (quotes.is_open, quotes.is_broken, quotes.num_fields) == (False, False, len(fields))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_told(tmp_path, encoding):
    (tmp_path / "a.csv").write_text("id,text\n1,été\n", encoding=encoding)
    with pytest.raises(UserError, match=r"a.csv line 1 holds NUL bytes, as UTF-16 does; convert the file to UTF-8"):
        read_all(tmp_path / "a.csv")


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
