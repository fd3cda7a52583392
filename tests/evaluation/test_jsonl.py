import json

import pytest

from camembert_bio.errors import UserError
from camembert_bio.evaluation.corpora.annotation import Labels
from camembert_bio.evaluation.corpora.jsonl import read_jsonl
from camembert_bio.evaluation.corpora.reading import read_documents
from camembert_bio.evaluation.documents import Span


def write(folder, *records, name="a.jsonl"):
    lines = [record if isinstance(record, str) else json.dumps(record, ensure_ascii=False) for record in records]
    (folder / name).write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    return folder


def record(text="abc secret", *spans, **fields):
    return {"id": "a", "text": text, "spans": list(spans), **fields}


def test_spans_of_every_kind(tmp_path):
    text = "L’aspirine 😀\r\nre\u0301nale\u2028fin"
    spans = [
        {"start": 2, "end": 10, "label": "CHEM", "text": "aspirine", "note": "x"},
        {"fragments": [[14, 20], [2, 4]], "label": "DISO", "text": "re\u0301nal as"},
        {"start": 2, "end": 10, "label": "CHEM"},
        {"start": 2, "end": 20, "fragments": [[14, 20], [2, 4]], "label": "DISO"},
    ]
    write(tmp_path, record(text, *spans), "", record("rien", id=7, corpus="y"), name="sub.jsonl")
    first, second = read_jsonl(tmp_path)
    assert (first.id, first.text, second.id, second.spans) == ("a", text, "7", ())
    assert first.spans == (Span(((2, 4), (14, 20)), "DISO"), Span(((2, 10),), "CHEM"))
    assert [document.id for document in read_jsonl(tmp_path / "sub.jsonl", wanted=["7"])] == ["7"]


def test_an_id_that_no_file_of_results_can_hold(tmp_path):
    write(tmp_path, '{"id": "\\ud800", "text": "secret", "spans": []}')
    with pytest.raises(
        UserError, match=r"a\.jsonl, line 1: id, or its file's name, holds half a surrogate pair at 0; mend"
    ):
        read_documents("jsonl", tmp_path)


def test_labels_that_a_task_drops(tmp_path):
    write(tmp_path, record("abc", {"start": 0, "end": 1, "label": "X"}, {"start": 1, "end": 2, "label": "Y"}))
    (document,) = read_jsonl(tmp_path, Labels(dropped=frozenset({"X"})))
    assert [span.label for span in document.spans] == ["Y"]
    with pytest.raises(UserError, match=r"a\.jsonl, line 1, span 2: label 'Y' is not declared \(known: X\)"):
        read_jsonl(tmp_path, Labels(frozenset({"X"})))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ('{"id": "secret', r"a\.jsonl, line 2 is not valid JSON at column 8"),
        ('["secret"]', r"a\.jsonl, line 2 is not a JSON object"),
        ({"id": 1, "text": "secret"}, r"a\.jsonl, line 2 has no text \(a string\) or no spans"),
        ({"id": 1, "text": None, "spans": []}, r"a\.jsonl, line 2 has no text"),
        ({"text": "secret", "spans": []}, r"a\.jsonl, line 2 has no id"),
        (record(id=True), r"a\.jsonl, line 2 has no id"),
        (record(id=""), r"a\.jsonl, line 2 has no id"),
        ('{"id": 1, "text": "\\ud800", "spans": []}', r"line 2: text holds half a surrogate pair at 0"),
        (
            '{"id": 1, "text": "secret", "spans": [{"start": 0, "end": 2, "label": "\\ud800"}]}',
            r"line 2, span 1: label holds half a surrogate pair at 0; mend it",
        ),
        (record("secret", "secret"), r"a\.jsonl, line 2, span 1 is not a span"),
        (record("secret", {"start": 0, "end": 2}), r"span 1 is not a span"),
        (record("secret", {"start": 0, "end": 2, "label": ""}), r"span 1 is not a span"),
        (record("secret", {"start": True, "end": 2, "label": "X"}), r"span 1 is not a span"),
        (record("secret", {"start": 0, "end": 2.0, "label": "X"}), r"span 1 is not a span"),
        (record("secret", {"fragments": [[0]], "label": "X"}), r"span 1 is not a span"),
        (record("secret", {"fragments": [], "label": "X"}), r"span 1 is not a span"),
        (
            record("secret", {"start": 1, "end": 5, "fragments": [[0, 1], [4, 5]], "label": "X"}),
            r"start or end that is",
        ),
        (
            record("secret", {"end": 4, "fragments": [[0, 1], [4, 5]], "label": "X"}),
            r"start or end that is not that of",
        ),
        (record("secret", {"start": 0, "end": 7, "label": "X"}), r"span 1: offsets 0 7 are not inside the text of 6"),
        (record("secret", {"start": -1, "end": 2, "label": "X"}), r"offsets -1 2 are not inside"),
        (record("secret", {"start": 2, "end": 2, "label": "X"}), r"offsets 2 2 are not inside"),
        (record("secret", {"fragments": [[0, 3], [2, 4]], "label": "X"}), r"fragments 0 3;2 4 overlap"),
        (record("secret", {"start": 0, "end": 2, "label": "X", "text": "ec"}), r"span 1: the text at its offsets is"),
    ],
)
def test_bad_lines_are_named_without_their_text(tmp_path, bad, message):
    with pytest.raises(UserError, match=message) as caught:
        read_jsonl(write(tmp_path, record(id="fine"), bad))
    assert "secret" not in str(caught.value)
