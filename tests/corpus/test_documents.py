import gzip
import json
import traceback

import pytest
import zstandard

from camembert_bio.corpus.documents import Rejected, read
from camembert_bio.corpus.recipe import Source
from camembert_bio.errors import UserError

SECRET = "Dupont-Martin"


def source(path, **changes):
    return Source(**{"name": "s", "path": path, "licence": "CC0", **changes})


def lines(*records):
    return "".join(json.dumps(record) + "\n" for record in records).encode()


RECORDS = lines({"id": "1", "text": "été"}, {"id": 2, "text": "b", "licence": "MIT"})
FRAME = zstandard.ZstdCompressor().compress


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", RECORDS),
        ("a.jsonl", b"\xef\xbb\xbf" + RECORDS.replace(b"\n", b"\r\n") + b"\n\n"),
        ("a.jsonl.gz", gzip.compress(RECORDS, mtime=0)),
        ("a.jsonl.zst", FRAME(RECORDS)),
        ("a.jsonl.zst", FRAME(RECORDS[:20]) + FRAME(RECORDS[20:])),
    ],
)
def test_jsonl_in_each_form(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    documents = list(read(source(path)))
    assert [(d.id, d.source, d.text, d.licence) for d in documents] == [
        ("1", "s", "été", "CC0"),
        ("2", "s", "b", "MIT"),
    ]


def test_a_window_of_128_mb_is_read(tmp_path):
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    path = tmp_path / "a.jsonl.zst"
    path.write_bytes(stream.compress(RECORDS) + stream.flush())
    assert len(list(read(source(path)))) == 2


def test_fields_by_other_names_and_line_numbers_as_ids(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines({"body": "x"}) + b"\n" + lines({"body": "y"}))
    documents = read(source(path, text_field="body", id_field=None))
    assert [(d.id, d.text) for d in documents] == [("1", "x"), ("3", "y")]


def test_a_folder_of_texts_is_read_recursively_in_order(tmp_path):
    for name in ("b.txt", "a/2.TXT", "a/10.txt", "notes.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    documents = list(read(source(tmp_path)))
    assert [(d.id, d.text) for d in documents] == [("a/10", "a/10.txt"), ("a/2", "a/2.TXT"), ("b", "b.txt")]


GOOD = lines({"id": "1", "text": SECRET})
BAD = {
    "not UTF-8": (GOOD + SECRET.encode() + b"\xe9\n", r"line 2 is not UTF-8 \(byte 13\); convert"),
    "broken": (GOOD + b'{"id": "2", "text": "' + SECRET.encode(), r"line 2 is not valid JSON at column 21"),
    "deep": (GOOD + b"[" * 100_000 + SECRET.encode(), "line 2 is not valid JSON; mend or remove the line"),
    "list": (GOOD + b'["%s"]\n' % SECRET.encode(), "line 2 holds a JSON list, not an object"),
    "no text": (GOOD + lines({"id": "2", "content": SECRET}), "line 2 has no text in field 'text'; set text_field"),
    "null text": (GOOD + lines({"id": "2", "text": None, "x": SECRET}), "line 2 has no text"),
    "no id": (GOOD + lines({"text": SECRET}), "line 2 has no id in field 'id'; set id_field"),
    "half a surrogate pair as id": (GOOD + b'{"id": "\\ud800", "text": "x"}\n', "line 2 has no id"),
    "twice": (GOOD + b"\n" + GOOD, r"source 's': \S*bad.jsonl line 1 and \S*bad.jsonl line 3 have the same id; make"),
    "a licence that is text": (
        GOOD + lines({"id": "2", "text": "x", "licence": SECRET * 8}),
        "line 2 has a licence of 104 characters; give one line of at most 100, or remove the field 'licence'",
    ),
    "a licence of two lines": (
        GOOD + lines({"id": "2", "text": "x", "licence": f"MIT\n{SECRET}"}),
        "line 2 has a licence of 17 characters",
    ),
    "half a surrogate pair as licence": (
        GOOD + b'{"id": "2", "text": "x", "licence": "\\ud800"}\n',
        "line 2 has a licence of 1 char",
    ),
    "empty": (b"\n \n", "holds no document"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_jsonl_names_file_and_line_and_shows_no_text(tmp_path, case):
    content, message = BAD[case]
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as raised:
        list(read(source(path)))
    assert "bad.jsonl" in str(raised.value)
    assert SECRET not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("cut.jsonl.zst", FRAME(RECORDS * 1000)[:-5]),
        ("damaged.jsonl.zst", b"\x00" * 40),
        ("cut.jsonl.gz", gzip.compress(RECORDS * 1000, mtime=0)[:-20]),
        ("damaged.jsonl.gz", b"\x00" * 40),
    ],
)
def test_damaged_compression(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{name} cannot be decompressed"):
        list(read(source(tmp_path / name, id_field=None)))


def test_paths_that_hold_no_source(tmp_path):
    with pytest.raises(UserError, match=r"holds no .txt file"):
        list(read(source(tmp_path)))
    with pytest.raises(UserError, match="does not exist"):
        list(read(source(tmp_path / "none.jsonl")))
    (tmp_path / "a.pdf").write_bytes(b"x")
    with pytest.raises(
        UserError, match=r"no known format; give a file, or a folder of files, ending in .txt, .jsonl.*; or set format"
    ):
        list(read(source(tmp_path / "a.pdf")))


def test_a_text_file_that_is_not_utf8(tmp_path):
    (tmp_path / "note.txt").write_bytes(f"ligne\n{SECRET}\n".encode() + b"caf\xe9")
    with pytest.raises(UserError, match=r"note.txt line 3 is not UTF-8 \(byte 23\)") as raised:
        list(read(source(tmp_path)))
    assert SECRET not in "".join(traceback.format_exception(raised.value))


def test_an_id_that_is_the_text_is_not_shown(tmp_path):
    path = tmp_path / "bad.jsonl"
    path.write_bytes(GOOD + GOOD)
    with pytest.raises(UserError, match=r"line 1 and .* line 2 have the same id") as raised:
        list(read(source(path, id_field="text")))
    assert SECRET not in "".join(traceback.format_exception(raised.value))


def test_a_record_without_a_licence_has_its_sources(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines(*({"id": i, "text": "x", "licence": value} for i, value in enumerate(["", None, 3]))))
    assert [document.licence for document in read(source(path))] == ["CC0"] * 3


def test_a_folder_that_cannot_be_read_is_not_left_out(open_folder, nobody):
    for name in ("a", "b"):
        (open_folder / name).mkdir()
        (open_folder / name / "x.txt").write_text("x")
    assert len(list(read(source(open_folder)))) == 2
    (open_folder / "b").chmod(0)
    with (
        nobody(),
        pytest.raises(UserError, match=rf"folder {open_folder}/b cannot be read \(Permission denied\); make"),
    ):
        list(read(source(open_folder)))


def test_two_files_with_one_id(tmp_path):
    for name in ("a.txt", "a.TXT"):
        (tmp_path / name).write_text("x")
    if len(list(tmp_path.iterdir())) == 1:
        pytest.skip("this file system does not tell the case of names apart")
    with pytest.raises(UserError, match=r"a.TXT and \S*a.txt have the same id"):
        list(read(source(tmp_path)))


def test_a_file_name_that_is_not_utf8(tmp_path):
    try:
        (tmp_path / "caf\udce9.txt").write_text("x")
    except OSError:
        pytest.skip("this file system has UTF-8 names only")
    with pytest.raises(UserError, match="is not UTF-8; rename it"):
        list(read(source(tmp_path)))


def test_a_bad_document_is_given_to_the_caller_and_reading_goes_on(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines({"id": "1", "text": "x"}) + b"{\n" + lines({"id": "3"}, {"id": "4", "text": "y"}))
    rejected = []
    assert [document.id for document in read(source(path), rejected=rejected.append)] == ["1", "4"]
    assert rejected == [
        Rejected(f"{path} line 2", "is not valid JSON at column 2; mend or remove the line", "not JSON"),
        Rejected(
            f"{path} line 3", "has no text in field 'text'; set text_field to the field that holds it", "no text", "3"
        ),
    ]


def test_a_source_of_bad_documents_alone_is_not_an_empty_one(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xff")
    rejected = []
    assert not list(read(source(tmp_path), rejected=rejected.append))
    assert [(bad.where, bad.kind) for bad in rejected] == [(f"{tmp_path / 'a.txt'} line 1", "not UTF-8")]


def test_an_empty_text_file_is_an_empty_document(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"")
    assert [(document.id, document.text) for document in read(source(tmp_path))] == [("a", "")]


def test_one_text_file_is_a_source(tmp_path):
    (tmp_path / "note.txt").write_text("x")
    assert [document.id for document in read(source(tmp_path / "note.txt"))] == ["note"]


def test_a_folder_of_two_formats_needs_to_be_told(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(RECORDS, mtime=0))
    with pytest.raises(UserError, match="holds files of the formats jsonl, text; set format to the one to read"):
        list(read(source(tmp_path)))
    assert [document.id for document in read(source(tmp_path, format="text"))] == ["a"]
    assert [document.id for document in read(source(tmp_path, format="jsonl"))] == ["1", "2"]
    with pytest.raises(UserError, match=r"holds no .csv file; check the path"):
        list(read(source(tmp_path, format="csv")))


def test_a_format_is_told_for_a_file_of_any_name(tmp_path):
    (tmp_path / "a.dump").write_bytes(RECORDS)
    assert len(list(read(source(tmp_path / "a.dump", format="jsonl")))) == 2
