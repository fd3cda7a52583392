from pathlib import Path

import pytest

from camembert_bio.errors import UserError
from camembert_bio.evaluation.corpora.annotation import Labels
from camembert_bio.evaluation.corpora.conll import read_conll
from camembert_bio.evaluation.documents import Span

IOB = Path(__file__).parents[3] / "shared/data/e3c-fr/preprocessed_data/clinical_entities/layer1/French"


def write(folder, text, name="a.conll"):
    (folder / name).write_bytes(text.encode())
    return folder


def surfaces(document):
    return [(document.text[span.start : span.end], span.label) for span in document.spans]


@pytest.mark.parametrize("separator", ["\t", " ", "  POS "])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r\r\n"])
def test_text_is_rebuilt_with_a_space_and_a_line_a_sentence(tmp_path, separator, end):
    lines = ["L'|O", "aspirine|B-CHEM", "😀|O", "", "", "Insuffisance|B-DISO", "re\u0301nale|I-DISO", "aspirine|B-CHEM"]
    write(tmp_path, end.join(line.replace("|", separator) for line in lines) + end)
    (document,) = read_conll(tmp_path)
    assert document.text == "L' aspirine 😀\nInsuffisance re\u0301nale aspirine"
    assert surfaces(document) == [("aspirine", "CHEM"), ("Insuffisance re\u0301nale", "DISO"), ("aspirine", "CHEM")]
    assert document.id == "a"


def test_two_entities_side_by_side_and_a_sentence_that_ends_one(tmp_path):
    write(tmp_path, "a B-X\nb B-X\nc I-X\n\nd B-X\n")
    (document,) = read_conll(tmp_path)
    assert document.spans == tuple(Span((pair,), "X") for pair in ((0, 1), (2, 5), (6, 7)))


def test_documents_begin_where_the_file_says(tmp_path):
    write(tmp_path, "-DOCSTART- -X- O\n\na POS O\n\n-DOCSTART- -X- O\n\nb POS B-X\n")
    write(tmp_path, "# newdoc id = cas 12\n# sent_id = 1\na O\n# newdoc\n# newdoc id = c\nb O\n", "b.conll")
    documents = read_conll(tmp_path)
    assert [(document.id, document.text) for document in documents] == [
        ("a-1", "a"),
        ("a-2", "b"),
        ("cas 12", "a"),
        ("c", "b"),
    ]
    assert [document.id for document in read_conll(tmp_path, wanted=["c"])] == ["c"]
    assert [document.id for document in read_conll(tmp_path / "b.conll")] == ["cas 12", "c"]


def test_comments_are_told_from_tokens(tmp_path):
    write(tmp_path, "# generated = today\n#\n#note\n# O\n#\tB-X\na I-X\n# text of O\n")
    (document,) = read_conll(tmp_path)
    assert document.text == "# # a"
    assert document.spans == (Span(((2, 5),), "X"),)


def test_labels_that_a_task_drops(tmp_path):
    write(tmp_path, "a B-X\nb I-X\nc B-Y\nd I-Y\ne B-X\n")
    (document,) = read_conll(tmp_path, Labels(frozenset({"Y"}), frozenset({"X"})))
    assert surfaces(document) == [("c d", "Y")]
    with pytest.raises(UserError, match=r"a\.conll, line 3: label 'Y' is not declared \(known: X\)"):
        read_conll(tmp_path, Labels(frozenset({"X"})))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a O\nsecret\n", r"a\.conll, line 2 has 1 columns, the lines before it 2"),
        ("secret\n", r"a\.conll, line 1 has 1 columns, the lines before it 1"),
        ("a POS O\nsecret O\n", r"a\.conll, line 2 has 2 columns, the lines before it 3"),
        ("a O\nsecret I-X\n", r"a\.conll, line 2: I- follows no token of its label; in IOB2"),
        ("a B-X\n\nsecret I-X\n", r"a\.conll, line 3: I- follows no token of its label"),
        ("a B-X\nsecret I-Y\n", r"a\.conll, line 2: I- follows no token of its label"),
        ("a O\nb secret\n", r"a\.conll, line 2: the tag in the last column is none of IOB2"),
        ("a\tO\nb\tS-X\n", r"a\.conll, line 2: the tag in the last column is none of IOB2"),
        ("a\tO\n \tO\n", r"a\.conll, line 2 has an empty token"),
        (
            "a O\rsecret B-X\r\rb O\r",
            r"a\.conll, line 1 holds the line separator U\+000D at character 3; end each line",
        ),
        ("secret\fb O\n", r"a\.conll, line 1 holds the line separator U\+000C at character 6"),
        ("a O\nb\x85secret\tO\n", r"a\.conll, line 2 holds the line separator U\+0085"),
        ("# secret\u2028a O\u2028b O", r"a\.conll, line 1 holds the line separator U\+2028"),
        ("\n\n# newdoc\n", r"a\.conll holds no token; remove the file"),
    ],
)
def test_bad_lines_are_named_without_their_text(tmp_path, text, message):
    with pytest.raises(UserError, match=message) as caught:
        read_conll(write(tmp_path, text))
    assert "secret" not in str(caught.value)


def test_a_folder_without_columns(tmp_path):
    with pytest.raises(UserError, match=r"holds no \.bio or \.conll or .* file; give another folder"):
        read_conll(tmp_path)


@pytest.mark.skipif(not IOB.is_dir(), reason="../shared/data/e3c-fr is absent")
def test_the_authors_columns_of_e3c():
    documents = read_conll(IOB)
    assert [document.id for document in documents] == ["test", "train"]
    # Of the 1,327 entities 1,264 are neither nested nor discontinuous, as its README says.
    assert sum(len(document.spans) for document in documents) == 1264
