import gzip
import json

import pytest

from camembert_bio.corpus.documents import read
from camembert_bio.errors import UserError

from .conftest import read_all, source, texts

SECRET = "Dupont-Martin"
RECORDS = [{"id": "1", "question": "Un ?", "answers": {"a": "x"}}, {"id": 2, "question": "Deux ?", "licence": "MIT"}]


def test_a_list_of_records(tmp_path):
    (tmp_path / "dev.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(RECORDS, indent=4).encode())
    documents, _ = read_all(tmp_path / "dev.json", format="json", text_field="question")
    assert [(d.id, d.text, d.licence) for d in documents] == [("1", "Un ?", "CC0"), ("2", "Deux ?", "MIT")]


def test_record_numbers_as_ids_over_the_files_of_a_folder(tmp_path):
    for name in ("dev", "test"):
        (tmp_path / f"{name}.json.gz").write_bytes(gzip.compress(json.dumps(RECORDS).encode(), mtime=0))
    found = texts(tmp_path, format="json", text_field="question", id_field=None)
    assert found == {"dev:1": "Un ?", "dev:2": "Deux ?", "test:1": "Un ?", "test:2": "Deux ?"}


BAD = {
    "cut": (json.dumps([{"id": "1", "text": SECRET}])[:-4], "not JSON", "a.json line 1 is not valid JSON; fetch it"),
    "lines": (f'{{"text": "x"}}\n{{"text": "{SECRET}"}}', "not JSON", "a.json line 2 .* or set format to jsonl"),
    "deep": ("[" * 100_000, "not JSON", "is not valid JSON"),
    "an object": (json.dumps({"text": SECRET}), "not a JSON list", "a.json holds a JSON dict, not a list of records"),
    "a string": (json.dumps([SECRET]), "not a JSON object", "a.json record 1 is a JSON str, not an object"),
    "no text": (json.dumps([{"id": "1", "body": SECRET}]), "no text", "a.json record 1 has no text in field 'text'"),
    "long": (json.dumps([{"id": "1", "text": SECRET * 99}]), "too long", "a.json has .* over max_document_bytes 1000"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_list_of_records_is_told_without_its_text(tmp_path, case):
    content, kind, message = BAD[case]
    (tmp_path / "a.json").write_text(content)
    documents, rejected = read_all(tmp_path, format="json", max_document_bytes=1000 if case == "long" else 1 << 20)
    assert not documents and [bad.kind for bad in rejected] == [kind]
    with pytest.raises(UserError, match=message) as raised:
        list(read(source(tmp_path, format="json", max_document_bytes=1000 if case == "long" else 1 << 20)))
    assert SECRET not in str(raised.value)
