import json

import pytest

from camembert_bio.errors import UserError
from camembert_bio.evaluation.documents import Span
from camembert_bio.evaluation.measures import Labelled, Likelihood, Rated, scores_of
from camembert_bio.evaluation.predictions import Row, read_saved, score, scores, write_answers, write_predictions

WHOLE = Span(((0, 8),), "CHEM")
NESTED = Span(((0, 3),), "CHEM")
SPLIT = Span(((10, 12), (14, 16)), "DISO")


@pytest.fixture
def rows():
    return [
        Row("a", gold=(NESTED, WHOLE, SPLIT), pred=[WHOLE, Span(((20, 22),), "DISO")], perfect=[WHOLE]),
        Row("b", gold=(WHOLE,), pred=[], perfect=[WHOLE]),
    ]


def test_scores_against_all_gold_and_against_what_tags_can_hold(rows):
    values = scores(rows)
    assert (values["true_positives"], values["predicted"], values["gold"]) == (1, 2, 4)
    assert values["f1"] == pytest.approx(2 / 6)
    assert values["iob2_f1"] == pytest.approx(2 / 4)
    assert values["ceiling"] == pytest.approx(2 * 2 / (2 + 4))
    assert values["per_label"]["CHEM"]["recall"] == pytest.approx(1 / 3)
    assert values["macro"] == {"precision": 0.5, "recall": pytest.approx(1 / 6), "f1": pytest.approx(1 / 4)}


def test_scores_that_forgive(rows):
    near = Row("c", gold=(NESTED, SPLIT), pred=[Span(((0, 4),), "CHEM"), Span(SPLIT.fragments, "CHEM")], perfect=[])
    values = scores([*rows, near])
    assert values["exact"]["true_positives"] == 2
    assert values["partial"]["true_positives"] == 2.5
    assert values["type"]["f1"] == pytest.approx(2 * 2 / (4 + 6))
    assert values["type"]["per_label"]["CHEM"]["true_positives"] == 2
    assert values["errors"] == {
        **{"correct": 1, "boundary": 1, "type": 1, "boundary and type": 0},
        **{"missed": 3, "spurious": 1},
    }


def test_there_and_back(tmp_path, rows):
    write_predictions(tmp_path, "some-id", rows)
    saved = read_saved(tmp_path)
    identity, found = saved.id, saved.rows
    assert identity == "some-id"
    assert [(set(row.gold), set(row.pred), set(row.perfect)) for row in found] == [
        (set(row.gold), set(row.pred), set(row.perfect)) for row in rows
    ]
    assert score(tmp_path) == scores(rows)


def cut_inside_a_line(lines):
    return [*lines[:-1], lines[-1][:10]]


def cut_between_lines(lines):
    return lines[:-1]


def no_header(lines):
    return lines[1:]


def no_line(lines):
    return []


def another_record(lines):
    return [lines[0], json.dumps({"id": "a", "gold": []}), lines[2]]


def a_number(lines):
    return [lines[0], "7", lines[2]]


def a_deep_line(lines):
    return [lines[0], "[" * 100_000, lines[2]]


def number_as_a_string(lines):
    return ['{"id":"some-id","num_documents":"2"}', *lines[1:]]


def no_run_id(lines):
    return ['{"id":null,"num_documents":2}', *lines[1:]]


def a_type_that_is_none(lines):
    return ['{"id":"some-id","num_documents":2,"type":[]}', *lines[1:]]


def a_type_of_keys(lines):
    return ['{"id":"some-id","num_documents":2,"type":{}}', *lines[1:]]


def one_document_twice(lines):
    return [lines[0], lines[1], lines[1]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (cut_inside_a_line, r"predictions\.jsonl, line 3 is not JSON, perhaps cut"),
        (cut_between_lines, r"predictions\.jsonl ends at line 2, its first line promises 2 documents"),
        (no_header, r"predictions\.jsonl, line 1 does not say id and num_documents"),
        (no_line, r"predictions\.jsonl, line 1 is not JSON, perhaps cut"),
        (a_deep_line, r"predictions\.jsonl, line 2 is not JSON, perhaps cut"),
        (number_as_a_string, r"predictions\.jsonl, line 1 does not say id and num_documents"),
        (no_run_id, r"predictions\.jsonl, line 1 does not say id and num_documents"),
        (a_type_that_is_none, r"predictions\.jsonl, line 1 does not say id and num_documents"),
        (a_type_of_keys, r"predictions\.jsonl, line 1 does not say id and num_documents"),
        (one_document_twice, r"predictions\.jsonl holds a document twice"),
        (another_record, r"predictions\.jsonl, line 2 is not a document's record"),
        (a_number, r"predictions\.jsonl, line 2 is not a record"),
    ],
)
def test_a_file_that_is_not_whole(tmp_path, rows, change, message):
    write_predictions(tmp_path, "some-id", rows)
    path = tmp_path / "predictions.jsonl"
    path.write_text("".join(f"{line}\n" for line in change(path.read_text().splitlines())))
    with pytest.raises(UserError, match=message):
        score(tmp_path)


def test_a_file_that_is_not_text(tmp_path):
    (tmp_path / "predictions.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"predictions\.jsonl cannot be read \(UnicodeDecodeError\)"):
        score(tmp_path)


def test_a_folder_without_runs(tmp_path):
    with pytest.raises(UserError, match=r"holds no predictions\.jsonl"):
        score(tmp_path)


def test_a_run_without_its_predictions_is_named(tmp_path, rows):
    write_predictions(tmp_path / "task/tiny/seed-0", "some-id", rows)
    (tmp_path / "task/tiny/seed-1").mkdir()
    (tmp_path / "task/tiny/seed-1/result.json").write_text("{}")
    for folder in (tmp_path, tmp_path / "task/tiny"):
        with pytest.raises(UserError, match=r"seed-1/predictions\.jsonl cannot be read \(FileNotFoundError\); run"):
            score(folder)


def test_results_below_a_folder_of_any_name_are_scored(tmp_path, rows):
    output = tmp_path / ".tmp-x" / "out"
    write_predictions(output / "task/tiny/seed-0", "some-id", rows)
    write_predictions(output / "task/tiny/.tmp-host-1-01234567-seed-1", "some-id", rows)
    assert score(output).keys() == {"task/tiny/seed-0"}
    assert score(output / "task/tiny/seed-0") == scores(rows)


@pytest.mark.parametrize(
    "changes",
    [
        {"id": None},
        {"id": 3},
        {"gold": "spans"},
        {"gold": [[[], "CHEM"]]},
        {"gold": [["ab", "CHEM"]]},
        {"gold": [[[["a", "b"]], "CHEM"]]},
        {"gold": [[[[0, 1.5]], "CHEM"]]},
        {"gold": [[[[True, 2]], "CHEM"]]},
        {"gold": [[[[5, 3]], "CHEM"]]},
        {"gold": [[[[-1, 3]], "CHEM"]]},
        {"gold": [[[[4, 6], [0, 2]], "CHEM"]]},
        {"gold": [[[[0, 3]], None]]},
        {"gold": [[[[0, 3]], ["CHEM"]]]},
    ],
)
def test_a_record_that_is_no_documents(tmp_path, rows, changes):
    write_predictions(tmp_path, "some-id", rows)
    path = tmp_path / "predictions.jsonl"
    lines = path.read_text().splitlines()
    lines[1] = json.dumps({**json.loads(lines[1]), **changes})
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match=r"predictions\.jsonl, line 2 is not a document's record; run finetune again"):
        score(tmp_path)


@pytest.mark.parametrize("name", ["a\u2028b", "a\u0085b", "a\rb", "a\x1cb", "a\nb"])
def test_an_id_with_a_line_end_of_its_own(tmp_path, name):
    write_predictions(tmp_path, "some-id", [Row(name, gold=(WHOLE,), pred=[WHOLE], perfect=[WHOLE])])
    (row,) = read_saved(tmp_path).rows
    assert row.document == name


ANSWERS = {
    "pos": Labelled("a", ("X", "Y"), ("X", "")),
    "multi-label": Labelled("a", (), ("x", "y")),
    "similarity": Rated("a", 0.5, 4.25),
    "pseudo-perplexity": Likelihood("a", 12.5, 4, 3, 1),
}


@pytest.mark.parametrize("task_type", ANSWERS)
def test_answers_there_and_back(tmp_path, task_type):
    row = ANSWERS[task_type]
    write_answers(tmp_path, "some-id", task_type, (0.0, 5.0), [row])
    saved = read_saved(tmp_path)
    assert (saved.id, saved.type, saved.scale, saved.rows) == ("some-id", task_type, (0.0, 5.0), [row])
    assert score(tmp_path) == scores_of(task_type, [row], (0.0, 5.0))


@pytest.mark.parametrize(
    ("task_type", "record", "line"),
    [
        ("pos", {"id": "a", "gold": ["X", "Y"], "pred": ["X"]}, 2),
        ("pos", {"id": "a", "gold": ["X"], "pred": "X"}, 2),
        ("classification", {"id": "a", "gold": ["x"], "pred": [1]}, 2),
        ("similarity", {"id": "a", "gold": 1.0, "pred": None}, 2),
        ("similarity", {"id": "a", "gold": ["x"], "pred": ["x"]}, 2),
        ("perplexity", {"id": "a", "nll": 1.0, "num_tokens": 2.5, "num_words": 1, "num_unscored_words": 0}, 2),
        ("perplexity", {"id": "a", "nll": float("nan"), "num_tokens": 2, "num_words": 1, "num_unscored_words": 0}, 2),
        ("perplexity", {"id": "a", "nll": 1.0, "num_tokens": 2, "num_words": 1}, 2),
        ("perplexity", {"id": "a", "nll": 1.0, "num_tokens": 2, "num_words": 1, "num_unscored_words": -1}, 2),
        ("pseudo-perplexity", {"id": "a", "nll": 1.0, "num_tokens": 2, "num_words": 0, "num_unscored_words": 1}, 2),
        ("similarity", {"id": "a", "gold": 1.0, "pred": float("inf")}, 2),
        ("anything", {"id": "a", "gold": ["x"], "pred": ["x"]}, 1),
    ],
)
def test_answers_of_another_form_are_named_by_line(tmp_path, task_type, record, line):
    header = {"id": "some-id", "num_documents": 1, "type": task_type, "scale": [0.0, 5.0]}
    (tmp_path / "predictions.jsonl").write_text(json.dumps(header) + "\n" + json.dumps(record) + "\n")
    with pytest.raises(UserError, match=rf"predictions\.jsonl, line {line} (is not|does not say)"):
        read_saved(tmp_path)


@pytest.mark.parametrize("task_type", ["perplexity", "pseudo-perplexity"])
def test_texts_of_which_nothing_was_scored_are_no_perplexity(tmp_path, task_type):
    write_answers(tmp_path, "some-id", task_type, (0.0, 5.0), [Likelihood("a", 0.0, 0, 0, 2)])
    with pytest.raises(
        UserError, match=r"predictions\.jsonl holds no text of which a sub-word was scored; run finetune"
    ):
        score(tmp_path)
