"""The published corpora: in their own layout with text of ours, and where they are at hand, themselves."""

import json
from pathlib import Path

import pytest

from camembert_bio import config
from camembert_bio.errors import UserError
from camembert_bio.evaluation.corpora.layouts import LAYOUTS
from camembert_bio.evaluation.recipe import Task
from camembert_bio.evaluation.tasks import load_task

TASKS = Path(__file__).parents[3] / "shared/data/tasks"
MORFITT, FRENCHMEDMCQA = TASKS / "morfitt", TASKS / "frenchmedmcqa"
LEAK = "7379f75b5f80c8f8d4c51a67d8b57afb982f50bb7258046285c20c417e061c50"


def task(name, task_type, path, **more):
    return config.build(Task, {"name": name, "format": name, "type": task_type, "path": path, **more})


def write_morfitt(folder):
    for part, name in (("train", "train"), ("validation", "dev"), ("test", "test")):
        rows = [f"{part}-{n}\tRésumé {part} numéro {n}.\tsurgery|virology" for n in range(3)]
        (folder / f"{name}.tsv").write_text("\n".join(["identifier\tabstract\tspecialities", *rows]), encoding="utf-8")
    return folder


def write_questions(folder, repeated=None):
    (folder / "corpus").mkdir(exist_ok=True)
    for part, name in (("train", "train"), ("validation", "dev"), ("test", "test")):
        rows = [
            {
                "id": f"{part}-{n}",
                "question": f"Question {n} de {part} ?",
                "answers": {letter: f"réponse {letter}{n}" for letter in "abcde"},
                "correct_answers": ["e", "b"],
            }
            for n in range(3)
        ]
        rows += repeated if part == "train" and repeated else []
        (folder / "corpus" / f"{name}.json").write_text(json.dumps(rows), encoding="utf-8")
    return folder


def test_morfitt(tmp_path):
    data = load_task(task("morfitt", "multi-label", write_morfitt(tmp_path)))
    assert [len(part) for part in (data.train, data.validation, data.test)] == [3, 3, 3]
    assert data.labels == ("surgery", "virology")
    assert data.test[0].texts == ("Résumé test numéro 0.",)
    text = (tmp_path / "dev.tsv").read_text()
    (tmp_path / "dev.tsv").write_text(text.replace("virology", "astrology", 1))
    with pytest.raises(UserError, match=r"dev\.tsv, line 2: label 'astrology' is not declared"):
        load_task(task("morfitt", "multi-label", tmp_path))


def test_frenchmedmcqa(tmp_path):
    data = load_task(task("frenchmedmcqa", "multiple-choice", write_questions(tmp_path)))
    assert data.test[0].choices[4] == ("e", "réponse e0")
    assert data.test[0].gold == ("b", "e")
    assert data.labels == ()
    (known,) = LAYOUTS["frenchmedmcqa"].repeated
    question = {"question": "Quoi ?", "answers": {"a": "x", "b": "y"}, "correct_answers": ["a"]}
    write_questions(tmp_path, [question | {"id": known}] * 2)
    assert len(load_task(task("frenchmedmcqa", "multiple-choice", tmp_path)).train) == 4
    for twice in (
        [question | {"id": known}, question | {"id": known, "correct_answers": ["b"]}],
        [question | {"id": "train-0"}],
    ):
        write_questions(tmp_path, twice)
        with pytest.raises(UserError, match=r"object 5: id '04c58.*' is that of|object 4: id 'train-0' is that of"):
            load_task(task("frenchmedmcqa", "multiple-choice", tmp_path))


@pytest.mark.skipif(not MORFITT.is_dir(), reason="../shared/data/tasks is absent")
def test_morfitt_as_published():
    with pytest.raises(UserError, match=rf"1 of 1088 test documents have .*: {LEAK}"):
        load_task(task("morfitt", "multi-label", MORFITT))
    data = load_task(task("morfitt", "multi-label", MORFITT, allowed_leaks=[LEAK]))
    assert [len(part) for part in (data.train, data.validation, data.test)] == [1514, 1022, 1088]
    assert len(data.labels) == 12
    # Of the paper's table of specialities: veterinary, 254 of the 1,560 labels of the test part.
    assert sum("veterinary" in item.gold for item in data.test) == 254
    assert sum(len(item.gold) for item in data.test) == 1560


@pytest.mark.skipif(not FRENCHMEDMCQA.is_dir(), reason="../shared/data/tasks is absent")
def test_frenchmedmcqa_as_published():
    data = load_task(task("frenchmedmcqa", "multiple-choice", FRENCHMEDMCQA))
    assert [len(part) for part in (data.train, data.validation, data.test)] == [2170, 312, 622]
    assert sum(len(item.gold) == 1 for item in data.test) == 321  # its README's table
