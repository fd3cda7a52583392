"""The layouts of DEFT 2020 and 2021, on folders of our own making."""

import pytest

from camembert_bio.errors import UserError
from camembert_bio.evaluation.census import census
from camembert_bio.evaluation.corpora.cas import CAS1, CAS2, campaign_parts
from camembert_bio.evaluation.corpora.reading import read_documents
from camembert_bio.evaluation.recipe import Task
from camembert_bio.evaluation.tasks import load_task, read_parts

from .conftest import write_cas_2020, write_cas_2021


@pytest.fixture(scope="module")
def deft_2020(tmp_path_factory):
    return write_cas_2020(tmp_path_factory.mktemp("cas") / "deft2020")


@pytest.fixture(scope="module")
def deft_2021(tmp_path_factory):
    return write_cas_2021(tmp_path_factory.mktemp("cas") / "deft2021")


def labels_of(parts):
    return {span.label for documents in parts.values() for document in documents for span in document.spans}


def test_the_thirteen_labels_are_two_tasks_and_three_that_were_not_scored():
    assert CAS1.declared | CAS1.dropped == CAS2.declared | CAS2.dropped
    assert len(CAS1.declared) == 2 and len(CAS2.declared) == 8 and len(CAS1.declared | CAS1.dropped) == 13
    assert not CAS1.declared & CAS1.dropped and not CAS2.declared & CAS2.dropped


def test_deft_2020_has_a_folder_for_each_part(deft_2020):
    parts = read_parts(Task("cas1", "cas1", path=deft_2020, split="deft-2020"))
    assert {part: len(documents) for part, documents in parts.items()} == {"train": 6, "validation": 0, "test": 4}
    assert parts["train"][0].id == "t3-appr/filepdf-0"
    assert labels_of(parts) == {"pathologie", "sosy"}
    by_folder = Task("cas2", "cas2", path=deft_2020, train="t3-appr", test="t3-test")
    data = load_task(by_folder)
    assert data.labels == ("anatomie", "dose", "examen", "mode", "moment", "substance", "traitement", "valeur")
    assert (len(data.train), len(data.validation), len(data.test)) == (5, 1, 4)
    assert census(read_parts(by_folder))["train"]["discontinuous"] == 6


@pytest.mark.parametrize(("campaign", "sizes"), [("deft-2020", (6, 4)), ("deft-2021", (7, 3))])
def test_deft_2021_says_which_campaign_used_what(deft_2021, campaign, sizes):
    parts = read_parts(Task("cas1", "cas1", path=deft_2021, split=campaign))
    assert (len(parts["train"]), len(parts["test"])) == sizes
    assert all(document.id.startswith("DEFT-cas-cliniques/filepdf-") for document in parts["train"])
    # The two documents that were only used in 2019 have no annotations of these types beside them.
    assert not any(document.id.endswith("-2019") for part in parts.values() for document in part)


def test_a_label_that_deft_does_not_have(deft_2020, tmp_path):
    folder = write_cas_2020(tmp_path / "cas", label="pathology")
    with pytest.raises(
        UserError, match=r"filepdf-0\.ann, line 1: label 'pathology' is not declared \(did you mean 'pa"
    ):
        read_documents("cas1", folder)
    assert read_documents("cas1", deft_2020)


def test_a_folder_of_neither_layout(tmp_path, deft_2020):
    with pytest.raises(UserError, match=r"holds no t3-appr and t3-test, nor distribution-corpus\.txt beside DEFT-cas"):
        campaign_parts(tmp_path, "deft-2020")
    with pytest.raises(
        UserError, match=r"holds no distribution-corpus\.txt beside DEFT-cas-cliniques; give the folder"
    ):
        campaign_parts(deft_2020, "deft-2021")
    (tmp_path / "distribution-corpus.txt").write_text("a.txt\ttrain 2019\t-\t-\n")
    with pytest.raises(UserError, match=r"distribution-corpus\.txt gives no document the use 'train 2021'"):
        campaign_parts(tmp_path, "deft-2021")
