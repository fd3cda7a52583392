"""Rows as items of each type; what a row lacks is named."""

import json

import datasets
import pytest

from camembert_bio.errors import UserError
from camembert_bio.evaluation.corpora.annotation import ANY, Labels
from camembert_bio.evaluation.corpora.answers import read_items, read_texts
from camembert_bio.evaluation.corpora.reading import read_part
from camembert_bio.evaluation.recipe import Columns, Task

QUESTION = {"text": "Lequel ?", "choices": ["un", "deux", "trois"], "answers": ["b"]}


def read(folder, task_type, *rows, labels=ANY, wanted=None, **columns):
    path = folder / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return read_items("jsonl", path, task_type, Columns(**columns), (0.0, 5.0), labels, wanted)


def test_classes(tmp_path):
    rows = [{"text": "a", "label": "x"}, {"text": "b", "label": 3}, {"text": "c", "label": " y "}]
    items = read(tmp_path, "classification", *rows)
    assert [(item.id, item.texts, item.gold) for item in items] == [
        ("1", ("a",), ("x",)),
        ("2", ("b",), ("3",)),
        ("3", ("c",), ("y",)),
    ]
    kept = read(tmp_path, "classification", *rows, labels=Labels(frozenset({"x", "y"}), frozenset({"3"})))
    assert [item.id for item in kept] == ["1", "3"]


def test_a_pair_of_texts_and_columns_of_other_names(tmp_path):
    row = {"n": 7, "source": "a", "cible": "b", "moy": "2.5"}
    (item,) = read(tmp_path, "similarity", row, id="n", text="source", text_pair="cible", label="moy")
    assert (item.id, item.texts, item.gold, item.labels) == ("7", ("a", "b"), 2.5, ())
    assert item.text == "a\nb"
    (item,) = read(tmp_path, "similarity", {"id": "p", "text": "a", "text_pair": "b", "label": 5})
    assert item.gold == 5.0


def test_any_number_of_labels(tmp_path):
    rows = [{"text": "a", "labels": "y|x|y"}, {"text": "b", "labels": ""}, {"text": "c", "labels": ["x", "z"]}]
    found = read(tmp_path, "multi-label", *rows, labels=Labels(dropped=frozenset({"z"})))
    assert [item.gold for item in found] == [("x", "y"), (), ("x",)]
    assert [item.id for item in read(tmp_path, "multi-label", *rows, wanted={"3"})] == ["3"]
    (item,) = read(tmp_path, "multi-label", {"text": "a", "labels": "x, y"}, separator=", ")
    assert item.gold == ("x", "y")


def test_choices_of_every_form(tmp_path):
    (item,) = read(tmp_path, "multiple-choice", QUESTION)
    assert (item.choices, item.gold) == ((("a", "un"), ("b", "deux"), ("c", "trois")), ("b",))
    assert item.text == "Lequel ?\nun\ndeux\ntrois"
    by_name = QUESTION | {"choices": {"x": "un", "y": "deux"}, "answers": "y|x"}
    assert read(tmp_path, "multiple-choice", by_name)[0].gold == ("x", "y")
    apart = {"text": "Lequel ?", "cible_1": "un", "cible_2": "deux", "answers": "2"}
    names = {"1": "cible_1", "2": "cible_2"}
    assert read(tmp_path, "multiple-choice", apart, choices=names)[0].gold == ("2",)
    (item,) = read(tmp_path, "multiple-choice", apart | {"answers": [1]}, choices=("cible_1", "cible_2"))
    assert (item.choices, item.gold) == ((("a", "un"), ("b", "deux")), ("b",))


CLASSES = datasets.ClassLabel(names=["1", "2", "3"])
# The columns of DrBenchmark's loaders (data_loaders_hf/*.py), with rows of our own.
DRBENCHMARK = {
    "CAS": ("classification", {"text": "tokens"}, {"tokens": [["Pas", "de", "toux"]], "label": [1]}, ("2",)),
    "CLISTER": (
        "similarity",
        {"text": "text_1", "text_pair": "text_2"},
        {"text_1": ["Pas de toux"], "text_2": ["Toux"], "label": [3.5]},
        3.5,
    ),
    "DEFT 2020": (
        "multiple-choice",
        {
            "text": "source",
            "choices": {"1": "cible_1", "2": "cible_2", "3": "cible_3"},
            "answers": "correct_cible",
        },
        {"source": ["Pas de toux"], "cible_1": ["a"], "cible_2": ["b"], "cible_3": ["c"], "correct_cible": [2]},
        ("3",),
    ),
    "DEFT 2021": (
        "multi-label",
        {"labels": "specialities"},
        {"text": ["Pas de toux"], "specialities": [[2, 0]]},
        ("1", "3"),
    ),
}


@pytest.mark.parametrize("name", DRBENCHMARK)
def test_the_columns_of_drbenchmark(tmp_path, name):
    task_type, columns, values, gold = DRBENCHMARK[name]
    table = datasets.Dataset.from_dict({"id": ["7"], **values})
    if "correct_cible" in values or task_type == "classification":
        table = table.cast_column("correct_cible" if "correct_cible" in values else "label", CLASSES)
    if "specialities" in values:
        table = table.cast_column("specialities", datasets.List(CLASSES))
    table.save_to_disk(tmp_path)
    (item,) = read_items("datasets", tmp_path, task_type, Columns(**columns), (0.0, 5.0))
    assert (item.id, item.texts[0], item.gold) == ("7", "Pas de toux", gold)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"id": "text"}, r"columns.id is 'text', the column of a text; name another, or leave it out for numbers"),
        ({"id": "pair", "text_pair": "pair"}, r"columns.id is 'pair', the column of a text"),
        ({"id": "long"}, r"line 1 has an id of 201 characters, which is longer than one line of 200; is it text\?"),
        ({"id": "lines"}, r"line 1 has an id of 8 characters, which is longer than one line of 200; is it text\?"),
    ],
)
def test_texts_in_the_place_of_ids_are_refused(tmp_path, columns, message):
    row = {"text": "secret", "label": "x", "pair": "secret", "long": "x" * 201, "lines": "secret\nx", "n": "x" * 200}
    with pytest.raises(UserError, match=message) as caught:
        read(tmp_path, "classification", row, **columns)
    assert "secret" not in str(caught.value)
    assert read(tmp_path, "classification", row, id="n")[0].id == "x" * 200


def test_an_id_that_may_be_text_is_not_told(tmp_path):
    (tmp_path / "rows.jsonl").write_text(2 * '{"id": "secret de", "text": "x", "label": "y"}\n')
    task = Task("t", "jsonl", "classification", train=tmp_path, test=tmp_path)
    with pytest.raises(
        UserError, match=r"line 2: id <9 characters> is that of .*line 1 too; give each document its own"
    ):
        read_part(task, tmp_path / "rows.jsonl")


@pytest.mark.parametrize("label", ["secret " * 15, "secret\nsecret", "a\u2028b"])
def test_a_label_as_long_as_a_text_must_be_declared(tmp_path, label):
    row = {"text": "a", "label": label}
    with pytest.raises(UserError, match=r"line 1: label <\d+ characters> is longer than one .*; is it text\?"):
        read(tmp_path, "classification", row)
    declared = Labels(frozenset({label.strip()}))
    assert read(tmp_path, "classification", row, labels=declared)[0].gold == (label.strip(),)
    assert read(tmp_path, "classification", row | {"label": "x" * 100})[0].gold == ("x" * 100,)


@pytest.mark.parametrize(
    "header",
    ["A\tsecret 0 toux", "secret\t7", f"A\t{'secret' * 6}", "A\tsecret,", "A\ttext secret", "secret toux\ttext", "A\t"],
)
def test_a_table_without_header_shows_nothing_of_its_first_row(tmp_path, header):
    (tmp_path / "rows.tsv").write_text(f"{header}\nB\tsecret 1\n", encoding="utf-8")
    message = r"line 2 has no column 'label' \(its 2 columns are not shown, .* is line 1 the header\?\); name it under"
    with pytest.raises(UserError, match=message) as caught:
        read_items("tsv", tmp_path / "rows.tsv", "classification", Columns(text=header.split("\t")[0]), (0.0, 5.0))
    assert "secret" not in str(caught.value)


def test_columns_that_have_names_are_listed(tmp_path):
    (tmp_path / "rows.csv").write_text("résumé,spé-2\nsecret,secret\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"has no column 'text' \(known: résumé, spé-2\)"):
        read_texts("csv", tmp_path / "rows.csv", Columns())


def test_texts_alone(tmp_path):
    (tmp_path / "rows.csv").write_text("note,x\nMal de tête,1\nToux,2\n", encoding="utf-8")
    found = read_texts("csv", tmp_path / "rows.csv", Columns(text="note"), {"2"})
    assert [(document.id, document.text, document.spans) for document in found] == [("2", "Toux", ())]


@pytest.mark.parametrize(
    ("task_type", "row", "message"),
    [
        ("classification", {"txt": "secret", "label": "x"}, r"line 1 has no column 'text' \(did you mean 'txt'\?\)"),
        ("classification", {"text": " ", "label": "x"}, r"line 1: text is no text; write a string that is not empty"),
        ("classification", {"text": "\ud800", "label": "x"}, r"text holds half a surrogate pair at 0; mend it"),
        (
            "classification",
            {"text": "s", "label": "a\udfff"},
            r"line 1: label holds half a surrogate pair at 1; mend it",
        ),
        ("multi-label", {"text": "s", "labels": ["\ud800"]}, r"line 1: label holds half a surrogate pair at 0"),
        (
            "multiple-choice",
            QUESTION | {"choices": {"\ud800": "x", "b": "y"}},
            r"name of a choice holds half a surrogate",
        ),
        ("multiple-choice", QUESTION | {"answers": ["\ud800"]}, r"answer '\\ud800' is the name of no choice"),
        ("classification", {"text": "secret", "label": None}, r"line 1: label is no label; write a string"),
        ("classification", {"text": "secret", "label": 0.5}, r"line 1: label is no label"),
        ("classification", {"text": "secret", "label": ""}, r"line 1: label is no label"),
        ("classification", {"text": "s", "label": "x", "id": None}, r"line 1 has no id; give each document"),
        ("multi-label", {"text": "secret", "labels": ["x", None]}, r"line 1: labels is no label"),
        ("multi-label", {"text": "secret", "labels": ["X"]}, r"label 'X' is not declared \(known: x\)"),
        ("similarity", {"text": "secret", "label": 1}, r"line 1 has no column 'text_pair'"),
        ("similarity", {"text": "s", "text_pair": "t", "label": 5.5}, r"no similarity from 0 to 5; set scale"),
        ("similarity", {"text": "s", "text_pair": "t", "label": "nan"}, r"no similarity from 0 to 5"),
        ("similarity", {"text": "s", "text_pair": "t", "label": True}, r"no similarity from 0 to 5"),
        ("multiple-choice", QUESTION | {"choices": ["secret"]}, r"line 1 has no choices; write a list or an object"),
        ("multiple-choice", QUESTION | {"choices": ["secret", ""]}, r"line 1: choice 'b' is no text"),
        (
            "multiple-choice",
            QUESTION | {"answers": "d"},
            r"line 1: answer 'd' is the name of no choice \('a', 'b', 'c'\); mend",
        ),
        ("multiple-choice", QUESTION | {"answers": [3]}, r"line 1: answer '3' is the name of no choice"),
        ("multiple-choice", QUESTION | {"answers": ["secret de"]}, r"answer <9 characters> is the name of no"),
        ("multiple-choice", QUESTION | {"choices": {"secret a": "x", "b": ""}}, r"line 1: choice 'b' is no text"),
        ("multiple-choice", QUESTION | {"choices": {"secret a": "", "b": "x"}}, r"choice <8 characters> is no"),
        ("multiple-choice", QUESTION | {"choices": {"secret a": "x", "c": "y"}}, r"no choice \(<8 .*>, 'c'\)"),
        ("multi-label", {"text": "s", "labels": ["secret de 4 mots"]}, r"label <16 characters> is not decl"),
        ("multi-label", {"text": "s", "labels": ["secret" * 11]}, r"label <66 characters> is not declared"),
        ("multiple-choice", QUESTION | {"answers": []}, r"line 1 names no right answer"),
    ],
)
def test_what_a_row_lacks_is_named_without_its_text(tmp_path, task_type, row, message):
    with pytest.raises(UserError, match=message) as caught:
        read(tmp_path, task_type, row, labels=Labels(frozenset({"x"})))
    assert "secret" not in str(caught.value)
