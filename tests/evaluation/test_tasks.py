import json
import shutil

import pytest

from camembert_bio.errors import UserError
from camembert_bio.evaluation.corpora.reading import read_documents
from camembert_bio.evaluation.documents import Document
from camembert_bio.evaluation.recipe import Columns, Task
from camembert_bio.evaluation.splits import manifest
from camembert_bio.evaluation.tasks import load_task, read_parts, split_validation

from .conftest import write_brat


@pytest.fixture
def documents():
    return [Document(f"d{number}", f"texte {number}", ()) for number in range(40)]


def test_validation_is_the_same_whatever_the_order(documents):
    train, validation = split_validation(documents, 0.1)
    assert (len(train), len(validation)) == (36, 4)
    again, held_out = split_validation(documents[::-1], 0.1)
    assert set(held_out) == set(validation)
    assert not set(again) & set(held_out)


def test_validation_is_drawn_by_text_not_by_name(documents):
    renamed = [Document(f"x{number}", document.text, ()) for number, document in enumerate(documents[::-1])]
    texts = [{document.text for document in split_validation(part, 0.2)[1]} for part in (documents, renamed)]
    assert texts[0] == texts[1]


def test_a_single_document_cannot_be_split(documents):
    assert [len(part) for part in split_validation(documents[:2], 0.01)] == [1, 1]
    with pytest.raises(UserError, match="1 training documents leave none to train on"):
        split_validation(documents[:1], 0.1)


def test_the_three_parts(brat_folder):
    task = Task("drugs", "brat", train=brat_folder / "train", test=brat_folder / "test")
    data = load_task(task)
    assert (len(data.train), len(data.validation), len(data.test)) == (43, 5, 16)
    assert data.labels == ("CHEM", "DISO")


def test_the_hash_follows_every_part(brat_folder):
    def sha256(**changes):
        folders = {"train": "train", "validation": "dev", "test": "test"} | changes
        return load_task(Task("t", "brat", **{part: brat_folder / name for part, name in folders.items()})).sha256

    everywhere = {sha256(), sha256(train="dev", validation="train"), sha256(test="dev", validation="test")}
    assert sha256() == sha256()
    assert len(everywhere) == 3


def test_paths_of_the_parts_from_that_of_the_corpus(brat_folder):
    task = Task("t", "brat", path=brat_folder, train="train", validation="dev", test="test")
    assert len(load_task(task).test) == 16


def test_a_test_document_seen_in_training_is_refused(brat_folder):
    whole = {"train": brat_folder / "train", "test": brat_folder / "train"}
    message = r"task drugs: 48 of 48 test documents .* training or validation document: doc000 \(as doc000\), doc001"
    with pytest.raises(UserError, match=message):
        load_task(Task("drugs", "brat", **whole))
    validated = {"train": brat_folder / "train", "validation": brat_folder / "test", "test": brat_folder / "test"}
    with pytest.raises(UserError, match=r"16 of 16 test documents have the text"):
        load_task(Task("drugs", "brat", **validated))


def test_a_leak_that_is_allowed_by_name(brat_folder, tmp_path, caplog):
    shutil.copytree(brat_folder / "test", tmp_path / "test")
    for suffix in (".txt", ".ann"):
        shutil.copy(brat_folder / f"train/doc007{suffix}", tmp_path / f"test/again{suffix}")
    # A line end more, and capitals, are no other text.
    again = tmp_path / "test/again.txt"
    again.write_bytes(again.read_bytes() + b"\r\n")
    parts = {"train": brat_folder / "train", "validation": brat_folder / "dev", "test": tmp_path / "test"}
    with pytest.raises(UserError, match=r"1 of 17 test documents have .*: again \(as doc007\); take them out, or name"):
        load_task(Task("drugs", "brat", **parts))
    assert len(load_task(Task("drugs", "brat", **parts, allowed_leaks=("again",))).test) == 17
    assert "task drugs: 1 test documents seen in training, as allowed" in caplog.text
    with pytest.raises(UserError, match=r"allowed_leaks names agian, which is no test document; remove it"):
        load_task(Task("drugs", "brat", **parts, allowed_leaks=("again", "agian")))


def test_documents_without_text_are_told_and_no_leak(brat_folder, tmp_path, caplog):
    for part in ("train", "test"):
        shutil.copytree(brat_folder / part, tmp_path / part)
        for suffix in (".txt", ".ann"):
            (tmp_path / part / f"empty{suffix}").write_text("")
    data = load_task(Task("drugs", "brat", **{part: tmp_path / part for part in ("train", "test")}))
    assert len(data.test) == 17
    assert "task drugs: 1 of 17 test documents have no text (empty)" in caplog.text


def test_a_validation_document_seen_in_training_is_told(brat_folder, caplog):
    folders = {"train": "train", "validation": "train", "test": "test"}
    load_task(Task("drugs", "brat", **{part: brat_folder / name for part, name in folders.items()}))
    assert "48 of 48 validation documents have the text of a training document (doc000, doc001" in caplog.text


def test_what_cannot_be_read_is_told_together(brat_folder, tmp_path):
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(UserError) as caught:
        load_task(Task("drugs", "brat", train=tmp_path / "absent", validation=tmp_path, test=brat_folder / "test"))
    told = str(caught.value)
    assert told.startswith("task drugs: its documents cannot be read:")
    assert "absent is not a folder; give a folder of brat documents" in told
    assert "a.txt has no .ann beside it" in told
    with pytest.raises(UserError, match=r"absent\.jsonl does not exist; give a file or folder of jsonl"):
        load_task(Task("x", "jsonl", train=tmp_path / "absent.jsonl", test=tmp_path / "absent.jsonl"))


def test_nothing_to_learn_or_to_find(brat_folder, tmp_path):
    texts = [(f"Compte rendu {number} sans entité.", []) for number in range(5)]
    write_brat(tmp_path / "plain", texts)
    with pytest.raises(UserError, match="task drugs: 4 training documents and no entity to learn"):
        load_task(Task("drugs", "brat", train=tmp_path / "plain", test=brat_folder / "test"))
    with pytest.raises(UserError, match="task drugs: 5 test documents and no entity to find"):
        load_task(Task("drugs", "brat", train=brat_folder / "train", test=tmp_path / "plain"))
    write_brat(tmp_path / "white", [(" " * number + "\n", [(0, 1, "CHEM")]) for number in range(1, 5)])
    with pytest.raises(
        UserError, match="task drugs: 3 training documents and no text in any; give documents with text"
    ):
        load_task(Task("drugs", "brat", train=tmp_path / "white", test=brat_folder / "test"))


def test_a_label_that_is_not_declared(brat_folder):
    parts = {"train": brat_folder / "train", "test": brat_folder / "test"}
    with pytest.raises(UserError, match=r"train/doc000\.ann, line 2: label 'DISO' is not declared \(known: CHEM\)"):
        load_task(Task("drugs", "brat", **parts, labels=("CHEM",)))
    data = load_task(Task("drugs", "brat", **parts, labels=("CHEM",), dropped_labels=("DISO",)))
    assert data.labels == ("CHEM",)
    assert len(data.test[0].spans) == 1


def test_two_documents_of_one_id(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text('{"id": 3, "text": "x", "spans": []}\n')
    message = r"b\.jsonl, line 1: id '3' is that of .*a\.jsonl, line 1 too; give each document its own"
    with pytest.raises(UserError, match=message):
        read_documents("jsonl", tmp_path)


def write_rows(folder, name, *rows):
    path = folder / f"{name}.jsonl"
    path.write_text("\n".join(json.dumps({"text": text, "label": label}) for text, label in rows))
    return path


@pytest.mark.parametrize(
    ("task_type", "train", "test", "message"),
    [
        (
            "classification",
            [("a", "x"), ("b", "x"), ("c", "x")],
            [("d", "x")],
            "2 training documents and fewer than two",
        ),
        ("classification", [("a", "x"), ("b", "y"), ("c", "y")], [], "task t: 0 test documents; give some"),
        ("classification", [("a", "x"), ("b", "y"), ("c", "y")], [("A ", "x")], r"1 of 1 test documents have the text"),
        ("multi-label", [("a", ""), ("b", "")], [("d", "x")], "1 training documents and no label to learn"),
        ("multi-label", [("a", "x"), ("b", "x")], [("d", "")], "1 test documents and no label to find"),
        ("similarity", [("a", 1), ("b", 2), ("c", 3)], [("d", 4)], "1 test documents of one similarity"),
        ("similarity", [("a", 1), ("b", 1)], [("c", 4), ("d", 5)], "fewer than two different similarities to learn"),
    ],
)
def test_parts_that_no_score_can_be_trusted_of(tmp_path, task_type, train, test, message):
    columns = Columns(labels="label", text_pair="text")
    parts = {"train": write_rows(tmp_path, "train", *train), "test": write_rows(tmp_path, "test", *test)}
    with pytest.raises(UserError, match=message):
        load_task(Task("t", "jsonl", task_type, columns, **parts))


def test_a_class_that_no_training_document_has_is_told(tmp_path, caplog):
    parts = {
        "train": write_rows(tmp_path, "train", ("a", "x"), ("b", "y"), ("c", "y"), ("d", "x")),
        "validation": write_rows(tmp_path, "validation", ("e", "x")),
        "test": write_rows(tmp_path, "test", ("f", "z"), ("g", "x")),
    }
    data = load_task(Task("t", "jsonl", "classification", **parts))
    assert (data.labels, data.test[0].gold) == (("x", "y"), ("z",))
    assert "task t: 1 of 2 test documents have a label that no training document has ('z')" in caplog.text


@pytest.mark.parametrize(
    ("task_type", "columns"),
    [
        ("classification", {"text": "label", "label": "text"}),
        ("classification", {"label": "note"}),
        ("multi-label", {"labels": "note"}),
    ],
)
def test_texts_in_the_place_of_labels_are_refused_and_not_shown(tmp_path, task_type, columns):
    rows = [{"text": f"secret {n}", "label": f"x{n}", "note": f"secret {n}"} for n in range(6)]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    task = Task("t", "jsonl", task_type, Columns(**columns), train=path, test=path)
    message = (
        r"task t: 6 different labels among the 6 .*; is column '\w+' that of the text\? Name another under columns"
    )
    for read in (load_task, read_parts):
        with pytest.raises(UserError, match=message) as caught:
            read(task)
        assert "secret" not in str(caught.value)
    few, twice = rows[:4], [{**row, "label": "text"[: n % 3 + 1]} for n, row in enumerate(rows)]
    for found in (few, twice):
        path.write_text("\n".join(map(json.dumps, found)))
        read_parts(Task("t", "jsonl", "classification", train=path, test=path))
    path.write_text("\n".join(map(json.dumps, rows)))
    labels = tuple(row["label"] for row in rows)
    assert len(read_parts(Task("t", "jsonl", "classification", train=path, test=path, labels=labels))["train"]) == 6


def test_words_in_the_place_of_tags_are_refused(tmp_path):
    (tmp_path / "a.conll").write_text("".join(f"secret{n} N{n % 2}\n" for n in range(4)))
    parts = {"train": tmp_path, "test": tmp_path}
    assert len(read_parts(Task("t", "conll", "pos", **parts))["train"]) == 1
    with pytest.raises(
        UserError, match="task t: 4 different tags of 2 different words; are the columns tokens and tags"
    ):
        read_parts(Task("t", "conll", "pos", Columns(tokens=2, tags=1), **parts))


def test_a_label_that_may_be_text_is_not_told(tmp_path, caplog):
    parts = {
        "train": write_rows(tmp_path, "train", ("a", "x"), ("b", "y"), ("c", "y"), ("d", "x")),
        "validation": write_rows(tmp_path, "validation", ("e", "x")),
        "test": write_rows(tmp_path, "test", ("f", "secret de 3 mots"), ("g", "x"), ("h", "secret" * 11)),
    }
    load_task(Task("t", "jsonl", "classification", **parts))
    assert "2 of 3 test documents have a label that no training document has" in caplog.text
    assert "(<16 characters>, <66 characters>)" in caplog.text
    assert "secret" not in caplog.text


def test_a_split_divides_rows_too(tmp_path):
    rows = [{"id": f"d{n}", "text": f"texte {n}", "label": "xy"[n % 2]} for n in range(8)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    whole = Task("t", "jsonl", "classification", train=tmp_path, test=tmp_path)
    items = read_parts(whole)["train"]
    parts = {"train": items[:4], "validation": items[4:6], "test": items[6:]}
    (tmp_path / "split.json").write_text(json.dumps(manifest(parts, description="mine")))
    data = load_task(Task("t", "jsonl", "classification", path=tmp_path, split=str(tmp_path / "split.json")))
    assert [item.id for item in data.test] == ["d6", "d7"]


def test_held_out_texts_need_no_training(tmp_path):
    path = write_rows(tmp_path, "test", ("Le foie est sain.", ""), ("Le foie.", ""))
    data = load_task(Task("t", "jsonl", "perplexity", test=path))
    assert ([document.text for document in data.test], data.train) == (["Le foie est sain.", "Le foie."], [])
    with pytest.raises(UserError, match="2 of 2 test documents have the text of a training"):
        load_task(Task("t", "jsonl", "perplexity", train=path, test=path))


@pytest.mark.parametrize("task_type", ["perplexity", "pseudo-perplexity"])
def test_held_out_texts_of_white_space_are_refused(tmp_path, task_type):
    for number, text in enumerate((" \u00a0\n", "")):
        (tmp_path / f"{number}.txt").write_text(text, encoding="utf-8")
        (tmp_path / f"{number}.ann").write_text("")
    with pytest.raises(UserError, match="task t: 2 test documents and no word to score"):
        load_task(Task("t", "brat", task_type, test=tmp_path))
