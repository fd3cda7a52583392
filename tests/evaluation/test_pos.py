"""Words and their tags, from columns and from rows."""

import json

import pytest

from camembert_bio.errors import UserError
from camembert_bio.evaluation.corpora.annotation import Labels
from camembert_bio.evaluation.corpora.pos import read_pos
from camembert_bio.evaluation.recipe import Columns

CONLLU = """\
# newdoc id = d1
# text = Il va au lit.
1\tIl\til\tPRON\t_\t_\t2\tnsubj\t_\t_
2\tva\taller\tVERB\t_\t_\t0\troot\t_\t_
3-4\tau\t_\t_\t_\t_\t_\t_\t_\t_
3\tà\tà\tADP\t_\t_\t5\tcase\t_\t_
4\tle\tle\tDET\t_\t_\t5\tdet\t_\t_
4.1\tgrand\tgrand\tADJ\t_\t_\t_\t_\t_\t_
5\tlit\tlit\tNOUN\t_\t_\t2\tobl\t_\t_

# newdoc id = d2
1\tToux\ttoux\tNOUN\t_\t_\t0\troot\t_\t_
"""


def words(document):
    return [(document.text[span.start : span.end], span.label) for span in document.spans]


def test_conllu(tmp_path):
    (tmp_path / "a.conllu").write_text(CONLLU, encoding="utf-8")
    first, second = read_pos("conll", tmp_path, Columns())
    assert (first.id, first.text) == ("d1", "Il va à le lit")
    assert words(first) == [("Il", "PRON"), ("va", "VERB"), ("à", "ADP"), ("le", "DET"), ("lit", "NOUN")]
    assert (second.id, words(second)) == ("d2", [("Toux", "NOUN")])
    assert [document.id for document in read_pos("conll", tmp_path, Columns(), wanted={"d2"})] == ["d2"]
    (found,) = read_pos("conll", tmp_path, Columns(tags=3), Labels(dropped=frozenset({"il"})), {"d1"})
    assert words(found)[0] == ("va", "aller")


def test_columns_by_number_and_documents_by_a_column(tmp_path):
    lines = ["7\t0\tFièvre\tfièvre\tNOM", "7\t1\t#\t#\tSYM", "", "7\t0\tToux\ttoux\tNOM", "8\t0\tRas\tras\tABR"]
    (tmp_path / "a.txt").write_text("\n".join(lines), encoding="utf-8")
    first, second = read_pos("conll", tmp_path, Columns(id=1, tokens=3, tags=5))
    assert (first.id, first.text) == ("7", "Fièvre #\nToux")
    assert words(first) == [("Fièvre", "NOM"), ("#", "SYM"), ("Toux", "NOM")]
    assert (second.id, words(second)) == ("8", [("Ras", "ABR")])


def test_rows(tmp_path):
    rows = [
        {"document_id": 1, "tokens": ["Le", "foie"], "pos_tags": ["DET", "NOM"]},
        {"document_id": 1, "tokens": ["Bien"], "pos_tags": ["ADV"]},
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    (document,) = read_pos("jsonl", path, Columns(id="document_id", tags="pos_tags"))
    assert (document.id, document.text, len(document.spans)) == ("1", "Le foie\nBien", 3)
    assert [document.id for document in read_pos("jsonl", path, Columns(tags="pos_tags"))] == ["1", "2"]


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        ("secret\tX\ny\tz\tX\n", {}, r"a\.conll, line 2 has 3 columns, the lines before it 2"),
        ("secret\tX\n", {"tags": 3}, r"a\.conll, line 1 has 2 columns, and column 3 is asked for; mend columns"),
        ("secret\t \ty\n", {"tags": 2}, r"a\.conll, line 1 has an empty tag; remove the line"),
        ("# secret\n\n", {}, r"a\.conll holds no token; remove the file"),
        ("secret\tX\n", {"tags": "tags"}, r"columns\.tags is 'tags'; in conll give the column's number, from 1"),
    ],
)
def test_bad_columns(tmp_path, text, columns, message):
    (tmp_path / "a.conll").write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        read_pos("conll", tmp_path, Columns(**columns))
    assert "secret" not in str(caught.value).replace(str(tmp_path), "")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"tokens": ["secret"], "tags": []}, r"rows\.jsonl, line 1 has no list of words, or not a tag for each"),
        ({"tokens": "secret", "tags": ["X"]}, r"has no list of words"),
        ({"tokens": ["secret", " "], "tags": ["X", "X"]}, r"line 1 has an empty word"),
        ({"tokens": ["secret"], "tags": [None]}, r"line 1 has an empty tag"),
        ({"words": ["secret"], "tags": ["X"]}, r"line 1 has no column 'tokens' \(known: tags, words\)"),
    ],
)
def test_bad_rows(tmp_path, row, message):
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    with pytest.raises(UserError, match=message) as caught:
        read_pos("jsonl", tmp_path, Columns())
    assert "secret" not in str(caught.value)
