"""What `inspect` says of each kind of path."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from camembert_bio.errors import UserError
from camembert_bio.inspection import inspect
from camembert_bio.pretrain import checkpoint
from camembert_bio.shards.manifest import TRAIN, Corpus


def test_a_shard(corpus: Corpus) -> None:
    _, entry = corpus.manifest.shards(TRAIN)[0]
    assert inspect(corpus.folder / entry.path) == {
        "kind": "shard",
        "documents": entry.documents,
        "tokens": entry.tokens,
        "dtype": "uint16",
        "bytes": entry.bytes,
        "sha256": entry.sha256,
    }


def test_an_arrow_file_that_is_no_shard(tmp_path: Path) -> None:
    (tmp_path / "x.arrow").write_bytes(b"x")
    with pytest.raises(UserError, match=r"x.arrow is not a readable shard"):
        inspect(tmp_path / "x.arrow")


@pytest.mark.parametrize("name", ["none", "none.arrow", "a.txt"])
def test_a_path_that_holds_nothing_of_ours(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(UserError, match=r"is no corpus, .* no results of finetune and no shard; check"):
        inspect(tmp_path / name)


def test_a_document_of_what_is_no_corpus(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--document needs a corpus folder; .* has no corpus.json"):
        inspect(tmp_path, "doc-1")


def test_a_corpus_and_one_of_its_documents(corpus: Corpus) -> None:
    described = inspect(corpus.folder)
    assert (described["kind"], described["hash"]) == ("corpus", corpus.manifest.hash)
    _, entry = corpus.manifest.shards(TRAIN)[0]
    name = corpus.open(entry).doc_ids[0]
    assert len(inspect(corpus.folder, name)["text"]) > 20


@pytest.mark.parametrize("name", [checkpoint.STATE, checkpoint.MODEL])
def test_a_checkpoint_and_what_is_wrong_with_it(tmp_path: Path, name: str) -> None:
    tensors = {"weight": torch.ones(3)}
    snapshot = checkpoint.Snapshot(4, tensors, {"exp_avg.weight": torch.ones(3)}, {"step": 4, "tokens": 80})
    folder = checkpoint.write(tmp_path, snapshot, keep=1)
    assert inspect(folder) == {"kind": "checkpoint", "verified": True, "problem": None, "step": 4, "tokens": 80}
    (folder / name).unlink()
    assert inspect(folder) == {"kind": "checkpoint", "verified": False, "problem": f"{name} is missing"}
