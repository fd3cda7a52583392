import numpy as np

from camembert_bio import files
from camembert_bio.corpus.writer import ShardWriter
from camembert_bio.shards.format import open_shard


def test_shards_are_bounded_and_hold_every_document_once(tmp_path):
    lengths = [3, 40, 1, 200, 0, 30, 30, 41]
    documents = [np.arange(n, dtype=np.uint16) + 7 for n in lengths]
    writer = ShardWriter(tmp_path, "a/train", np.dtype(np.uint16), shard_bytes=120)
    for i, ids in enumerate(documents):
        writer.add(f"d{i}", ids, num_words=2)
    split = writer.close()
    assert (split.documents, split.words, split.tokens) == (8, 16, sum(lengths))
    assert [shard.path for shard in split.shards] == [f"a/train-{i:05d}.arrow" for i in range(len(split.shards))]
    found = {}
    for entry in split.shards:
        path = tmp_path / entry.path
        assert (path.stat().st_size, files.sha256_file(path)) == (entry.bytes, entry.sha256)
        shard = open_shard(path)
        assert (len(shard), len(shard.input_ids)) == (entry.documents, entry.tokens)
        assert entry.tokens * 2 <= 120 or entry.documents == 1
        found |= {name: shard.document(i).tolist() for i, name in enumerate(shard.doc_ids)}
    assert found == {f"d{i}": ids.tolist() for i, ids in enumerate(documents)}


def test_no_document_no_shard(tmp_path):
    split = ShardWriter(tmp_path, "a/train", np.dtype(np.uint16), 1000).close()
    assert (split.documents, split.shards) == (0, ())
    assert not list(tmp_path.iterdir())
