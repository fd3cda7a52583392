import dataclasses
import json

import numpy as np
import pytest

from camembert_bio import files
from camembert_bio.errors import RunError, UserError
from camembert_bio.shards.format import write_shard
from camembert_bio.shards.manifest import (
    FORMAT,
    Manifest,
    ShardEntry,
    Source,
    Split,
    hash_tokenizer_files,
    open_corpus,
    verify,
)
from camembert_bio.shards.vocabulary import Vocabulary

VOCABULARY = Vocabulary(
    ("<s>", "</s>", "<pad>", "<unk>", "▁le", "<mask>"), 0, 1, 2, 3, 5, (0, 1, 2, 3, 5), "sentencepiece"
)


def write(folder, documents):
    """A corpus of one source with one training shard."""
    (folder / "a").mkdir(parents=True)
    (folder / "tokenizer").mkdir()
    model = folder / "tokenizer" / "sentencepiece.bpe.model"
    model.write_bytes(b"model")
    VOCABULARY.save(folder / "vocabulary.json")
    path = folder / "a" / "train-00000.arrow"
    arrays = [np.array(ids, np.uint16) for ids in documents]
    write_shard(path, [str(i) for i in range(len(documents))], arrays, np.dtype(np.uint16))
    tokens = sum(map(len, documents))
    entry = ShardEntry("a/train-00000.arrow", len(documents), tokens, path.stat().st_size, files.sha256_file(path))
    sources = {"a": Source("CC0", {"train": Split(len(documents), tokens, tokens, (entry,))})}
    digests = files.sha256_file(model), files.sha256_file(folder / "vocabulary.json")
    Manifest(
        FORMAT,
        "sentencepiece",
        *digests,
        len(VOCABULARY),
        {"recipe": {"x": 1.5, "y": [1, None]}},
        sources,
        {"a": str(folder)},
    ).save(folder)
    return open_corpus(folder)


@pytest.fixture
def corpus(tmp_path):
    return write(tmp_path / "corpus", [[4, 4], [4]])


def test_round_trip(corpus):
    assert open_corpus(corpus.folder).manifest == corpus.manifest
    assert corpus.vocabulary == VOCABULARY
    ((name, entry),) = corpus.manifest.shards("train")
    assert (name, corpus.open(entry).document(0).tolist()) == ("a", [4, 4])
    assert corpus.manifest.shards("validation") == []
    verify(corpus)


def test_the_hash_names_the_content(tmp_path, corpus):
    assert write(tmp_path / "same", [[4, 4], [4]]).manifest.hash == corpus.manifest.hash
    assert write(tmp_path / "other", [[4, 4], [3]]).manifest.hash != corpus.manifest.hash
    changed = dataclasses.replace(corpus.manifest, build={"recipe": {"x": 2}})
    assert changed.hash != corpus.manifest.hash


@pytest.mark.parametrize("name", ["a/train-00000.arrow", "vocabulary.json", "tokenizer/sentencepiece.bpe.model"])
def test_a_flipped_bit_and_a_missing_file_are_found(corpus, name):
    path = corpus.folder / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0b100
    path.write_bytes(data)
    with pytest.raises(RunError, match=f"{name} differ from corpus.json"):
        verify(corpus)
    path.unlink()
    with pytest.raises(RunError, match=f"{name} differ from corpus.json"):
        verify(corpus)


def test_files_beside_the_tokenizer_are_verified_and_not_in_the_hash(corpus):
    config = corpus.folder / "tokenizer" / "tokenizer_config.json"
    config.write_text("{}")
    verify(corpus)  # a manifest of a version that did not note them
    dataclasses.replace(corpus.manifest, tokenizer_files=hash_tokenizer_files(corpus.folder)).save(corpus.folder)
    noted = open_corpus(corpus.folder)
    assert noted.manifest.hash == corpus.manifest.hash and list(noted.manifest.tokenizer_files) == [config.name]
    verify(noted)
    (corpus.folder / "tokenizer" / "notes.txt").write_text("mine")
    verify(noted)
    for name in ("tokenizer.json", "special_tokens_map.json", "added_tokens.json"):
        (corpus.folder / "tokenizer" / name).write_text("{}")
        with pytest.raises(RunError, match=f"tokenizer/{name} differ from corpus.json"):
            verify(noted)
        (corpus.folder / "tokenizer" / name).unlink()
    config.write_text('{"tokenizer_class": "BertTokenizer"}')
    with pytest.raises(RunError, match=r"tokenizer/tokenizer_config.json differ from corpus.json"):
        verify(noted)


def test_a_folder_without_a_manifest(tmp_path):
    with pytest.raises(UserError, match=r"is not a corpus: it has no corpus.json; build one with"):
        open_corpus(tmp_path)


def test_a_manifest_of_another_format(corpus):
    path = corpus.folder / "corpus.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(UserError, match="has format 99, this version reads 2; run prepare again"):
        open_corpus(corpus.folder)


def test_a_damaged_manifest(corpus):
    path = corpus.folder / "corpus.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values)[:-3])
    with pytest.raises(UserError, match="is not readable JSON"):
        open_corpus(corpus.folder)
    del values["sources"]
    path.write_text(json.dumps(values))
    with pytest.raises(UserError, match="sources: this option is required"):
        open_corpus(corpus.folder)
