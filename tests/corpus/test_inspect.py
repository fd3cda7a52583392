import shutil

import pytest

from camembert_bio.corpus.inspect import decode, describe
from camembert_bio.errors import RunError, UserError

from .conftest import sentences


def test_describe(corpus):
    about = describe(corpus.folder)
    assert (about["hash"], about["verified"], about["vocab_size"]) == (corpus.manifest.hash, True, 80)
    a = about["sources"]["a"]
    assert a["licence"] == "CC0"
    assert a["train"]["documents"] + a["validation"]["documents"] == 60
    assert a["train"]["shards"] == len(corpus.manifest.sources["a"].splits["train"].shards)


def test_describe_finds_a_changed_file(tmp_path, corpus):
    folder = shutil.copytree(corpus.folder, tmp_path / "copy")
    (folder / "vocabulary.json").write_text("{}")
    with pytest.raises(RunError, match=r"vocabulary.json differ from corpus.json"):
        describe(folder)


def test_decode_gives_one_document(corpus):
    assert decode(corpus.folder, "b:doc-3") == sentences(40, seed=2)[3]
    assert decode(corpus.folder, "doc-55") == sentences(60, seed=1)[55]


def test_decode_refuses_what_is_not_one_document(corpus):
    with pytest.raises(UserError, match="2 documents have this id, in a, b; give SOURCE:ID") as several:
        decode(corpus.folder, "doc-3")
    with pytest.raises(UserError, match="holds no document of this id; check the id") as none:
        decode(corpus.folder, "doc-99")
    assert "doc-" not in f"{several.value} {none.value}"


def test_a_folder_that_is_no_corpus(tmp_path):
    with pytest.raises(UserError, match="is not a corpus"):
        describe(tmp_path)
