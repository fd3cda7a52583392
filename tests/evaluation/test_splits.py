import json
from pathlib import Path

import pytest

from camembert_bio import config
from camembert_bio.errors import UserError
from camembert_bio.evaluation.census import census
from camembert_bio.evaluation.corpora.reading import read_documents
from camembert_bio.evaluation.documents import Document
from camembert_bio.evaluation.official_splits import e3c_french, quaero, without_leaks
from camembert_bio.evaluation.recipe import Task
from camembert_bio.evaluation.splits import Split, divide, find_split, manifest
from camembert_bio.evaluation.tasks import load_task, read_parts

SHARED = Path(__file__).parents[3] / "shared/data"
QUAERO, E3C = SHARED / "quaero-brat/corpus", SHARED / "e3c-fr"
NO_QUAERO = pytest.mark.skipif(not QUAERO.is_dir(), reason="../shared/data/quaero-brat is absent")
NO_E3C = pytest.mark.skipif(not E3C.is_dir(), reason="../shared/data/e3c-fr is absent")
SIZES = {
    "quaero-emea": (11, 12, 15),
    "quaero-medline": (833, 832, 833),
    "quaero-medline-audited": (830, 828, 833),
    "e3c-official": (36, 0, 45),
    "e3c-paper": (168, 0, 81),
    "e3c-audited": (150, 18, 45),
}


@pytest.fixture
def corpus(brat_folder):
    """A folder, and the manifest of its parts as JSON values."""
    documents = {part: read_documents("brat", brat_folder / name) for part, name in PARTS.items()}
    named = {
        part: [Document(f"{PARTS[part]}/{d.id}", d.text, d.spans) for d in found] for part, found in documents.items()
    }
    return brat_folder, manifest(named, description="by folder")


PARTS = {"train": "train", "validation": "dev", "test": "test"}


def write(folder, values):
    path = folder / "split.json"
    path.write_text(json.dumps(values))
    return str(path)


def test_a_manifest_divides_a_corpus(corpus, tmp_path):
    folder, values = corpus
    data = load_task(Task("drugs", "brat", path=folder, split=write(tmp_path, values)))
    assert (len(data.train), len(data.validation), len(data.test)) == (48, 12, 16)
    assert data.test[0].id == "test/doc000"


def test_documents_that_the_split_does_not_name_are_not_read(corpus, tmp_path):
    folder, values = corpus
    values["train"] = dict(list(values["train"].items())[:40])
    (folder / "train/alone.txt").write_text("no .ann beside it")
    try:
        assert len(load_task(Task("drugs", "brat", path=folder, split=write(tmp_path, values))).train) == 40
    finally:
        (folder / "train/alone.txt").unlink()


def test_a_missing_document_and_another_text_are_told_together(corpus, tmp_path):
    folder, values = corpus
    values["train"]["train/gone"] = "0" * 64
    values["test"]["test/doc003"] = "0" * 64
    with pytest.raises(UserError) as caught:
        load_task(Task("drugs", "brat", path=folder, split=write(tmp_path, values)))
    told = str(caught.value)
    assert told.startswith(f"task drugs: {folder} is not what split {tmp_path}/split.json divides:")
    assert "train: train/gone (1 document) not found; give the folder from which these are the paths" in told
    assert f"test: {folder}/test/doc003.txt (1 document) with another text; restore the files" in told


def test_many_missing_documents_are_counted(corpus, tmp_path):
    folder, values = corpus
    with pytest.raises(UserError, match=r"test: test/doc000, .*, test/doc004, \.\.\. \(16 documents\) not found"):
        load_task(Task("drugs", "brat", path=folder / "train", split=write(tmp_path, values)))


def test_a_document_in_two_parts(corpus, tmp_path):
    folder, values = corpus
    values["test"] |= {"train/doc001": values["train"]["train/doc001"]}
    with pytest.raises(UserError, match=r"train/doc001 \(1 document\) in train and in test; a document stands in one"):
        find_split(write(tmp_path, values), "brat", folder)


def test_a_manifest_that_is_none(tmp_path):
    with pytest.raises(UserError, match=r"split\.json.*train: this option is required"):
        find_split(write(tmp_path, {"description": "", "test": {}}), "brat", tmp_path)
    with pytest.raises(
        UserError, match=r"split 'e3c-audit' is neither a file nor known for e3c \(did you mean 'e3c-aud"
    ):
        find_split("e3c-audit", "e3c", tmp_path)
    with pytest.raises(UserError, match=r"split 'deft-2020' is neither a file nor known for brat"):
        find_split("deft-2020", "brat", tmp_path)


def test_labels_that_a_split_declares(corpus, tmp_path):
    folder, values = corpus
    values["labels"] = ["CHEM"]
    task = {"name": "drugs", "format": "brat", "path": folder, "split": write(tmp_path, values)}
    with pytest.raises(UserError, match=r"\.ann, line \d: label 'DISO' is not declared \(known: CHEM\); add it"):
        load_task(config.build(Task, task))
    assert load_task(config.build(Task, task | {"dropped_labels": ["DISO"]})).labels == ("CHEM",)
    assert load_task(config.build(Task, task | {"labels": ["DISO", "CHEM"]})).labels == ("CHEM", "DISO")


def test_near_documents_are_taken_out_of_the_earlier_part():
    def document(name, text):
        return Document(name, text, ())

    words = ["un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf", "dix", "onze"]
    text = " ".join(words)
    parts = {
        "train": [document("a", "tout autre chose que cela"), document("b", " ".join([*words[2:], "fin"]))],
        "validation": [document("c", text.upper() + "\n"), document("d", "encore autre chose que le reste ici")],
        "test": [document("e", text)],
    }
    kept = without_leaks(parts)
    assert {part: [document.id for document in found] for part, found in kept.items()} == {
        "train": ["a"],
        "validation": ["d"],
        "test": ["e"],
    }
    counted = census(parts)
    assert counted["test"]["same_text_in_validation"] == [("e", "c")]
    assert [pair[:2] for pair in counted["test"]["near_in_train"]] == [("e", "b")]


@pytest.mark.parametrize("name", SIZES)
def test_official_splits_hold_ids_and_hashes_alone(name):
    split = find_split(name, "brat", Path())
    assert tuple(len(split.part(part)) for part in ("train", "validation", "test")) == SIZES[name]
    for part in ("train", "validation", "test"):
        for document, sha256 in split.part(part).items():
            assert len(sha256) == 64 and int(sha256, 16) >= 0
            assert document.rpartition("/")[2].removeprefix("FR").replace("_", "").isdecimal()
    assert bool(split.leaks) == (name == "e3c-paper")


def test_the_audited_split_of_e3c_shares_no_document_with_what_the_paper_tests_by_mistake():
    paper, audited, official = (find_split(f"e3c-{name}", "e3c", Path()) for name in ("paper", "audited", "official"))
    validated = {document.rpartition("/")[2] for document in audited.validation}
    assert not validated & {document.rpartition("/")[2] for document in audited.train}
    assert set(audited.test) == set(official.test) < set(paper.test)
    assert not set(audited.test) & set(official.train)


@NO_QUAERO
def test_quaeros_manifests_are_made_of_quaero():
    made = quaero(QUAERO)
    for name, values in made.items():
        assert config.build(Split, values) == find_split(name, "brat", QUAERO)
    assert set(made) == {name for name in SIZES if name.startswith("quaero")}


@NO_E3C
def test_e3cs_manifests_are_made_of_e3c():
    made = e3c_french(E3C)
    for name, values in made.items():
        assert config.build(Split, values) == find_split(name, "e3c", E3C)
    assert set(made) == {name for name in SIZES if name.startswith("e3c")}


@NO_QUAERO
def test_the_official_medline_has_a_title_that_is_developed_and_tested_on():
    task = {"name": "medline", "format": "brat", "path": QUAERO, "split": "quaero-medline"}
    message = r"1 of 833 test documents .*: test/MEDLINE/9747270 \(as dev/MEDLINE/13316376\); take them out, or name"
    with pytest.raises(UserError, match=message):
        load_task(config.build(Task, task))
    data = load_task(config.build(Task, task | {"split": "quaero-medline-audited"}))
    assert sum(len(document.spans) for document in data.test) == 3099


@NO_QUAERO
def test_every_gold_entity_of_emea_is_in_the_test_whatever_its_length():
    data = load_task(Task("emea", "brat", path=QUAERO, split="quaero-emea"))
    whole = read_documents("brat", QUAERO / "test/EMEA")
    assert [(d.text, d.spans) for d in data.test] == [(d.text, d.spans) for d in whole]


@NO_E3C
def test_the_splits_of_e3c_are_read(caplog):
    audited = load_task(Task("e3c", "e3c", path=E3C, split="e3c-audited"))
    assert (len(audited.train), len(audited.validation), len(audited.test)) == (150, 18, 45)
    assert sum(len(document.spans) for document in audited.validation) == 272  # by hand, not the 213 of the dictionary
    assert "leaks" not in caplog.text
    paper = read_parts(Task("e3c", "e3c", path=E3C, split="e3c-paper"))
    assert (len(paper["train"]), len(paper["test"])) == (168, 81)
    assert "split e3c-paper leaks: layer 2 was annotated with a dictionary" in caplog.text


def test_divide_keeps_the_order_of_the_documents():
    documents = [Document(name, name, ()) for name in "abc"]
    split = Split("", train={"c": None, "a": None}, test={"b": None})
    assert [document.id for document in divide(split, "s", documents, Path())["train"]] == ["a", "c"]
