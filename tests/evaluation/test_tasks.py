import logging

import pytest

from camembert_bio.errors import UserError
from camembert_bio.evaluation.documents import Document
from camembert_bio.evaluation.recipe import Task
from camembert_bio.evaluation.tasks import load_task, split_validation

from .conftest import make_documents, write_brat


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

    assert sha256() == sha256()
    assert len({sha256(), sha256(test="dev"), sha256(validation="test"), sha256(train="dev")}) == 4


def test_a_test_document_seen_in_training_is_reported_by_id(brat_folder, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("camembert_bio"), "propagate", True)
    load_task(Task("drugs", "brat", train=brat_folder / "train", test=brat_folder / "train"))
    assert "48 of 48 test documents have the text of a training or validation document (doc000, doc001" in caplog.text


def test_a_missing_folder(brat_folder):
    with pytest.raises(UserError, match=r"task drugs: .*absent is not a folder"):
        load_task(Task("drugs", "brat", train=brat_folder / "absent", test=brat_folder / "test"))


def test_nothing_to_learn(brat_folder, tmp_path):
    write_brat(tmp_path / "plain", [(text, []) for text, _ in make_documents(5, seed=0)])
    with pytest.raises(UserError, match="has 4 training documents and no entity to learn"):
        load_task(Task("drugs", "brat", train=tmp_path / "plain", test=brat_folder / "test"))
