import numpy as np
import pyarrow as pa
import pytest

from camembert_bio.errors import UserError
from camembert_bio.shards.format import dtype_for, open_shard, write_shard

DOCUMENTS = [[7, 8, 9], [], [65_535], list(range(7, 400))]


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
def test_round_trip(tmp_path, dtype):
    dtype = np.dtype(dtype)
    path = tmp_path / "s.arrow"
    write_shard(path, ["a", "é/b", "c", "d"], [np.array(ids, dtype=dtype) for ids in DOCUMENTS], dtype)
    shard = open_shard(path)
    assert (len(shard), shard.doc_ids) == (4, ["a", "é/b", "c", "d"])
    assert [shard.document(i).tolist() for i in range(4)] == DOCUMENTS
    assert shard.input_ids.dtype == dtype
    assert shard.input_ids.tolist() == [i for ids in DOCUMENTS for i in ids]


def test_tokens_are_not_copied(tmp_path):
    path = tmp_path / "s.arrow"
    write_shard(path, ["a"], [np.arange(1_000_000, dtype=np.uint32)], np.dtype(np.uint32))
    before = pa.total_allocated_bytes()
    shard = open_shard(path)
    assert not shard.input_ids.flags.writeable and not shard.input_ids.flags.owndata
    assert pa.total_allocated_bytes() - before < 10_000


def test_an_empty_shard(tmp_path):
    write_shard(tmp_path / "s.arrow", [], [], np.dtype(np.uint16))
    shard = open_shard(tmp_path / "s.arrow")
    assert (len(shard), len(shard.input_ids)) == (0, 0)


def test_other_tools_open_a_shard(tmp_path):
    path = tmp_path / "s.arrow"
    write_shard(path, ["a", "b"], [np.array([7, 8], np.uint16), np.array([9], np.uint16)], np.dtype(np.uint16))
    from datasets import Dataset

    assert Dataset.from_file(str(path))[:] == {"doc_id": ["a", "b"], "input_ids": [[7, 8], [9]]}
    with pa.ipc.open_stream(path.read_bytes()) as stream:
        table = stream.read_all()
    assert table.schema.field("input_ids").type == pa.list_(pa.uint16())
    assert table.column("input_ids").to_pylist() == [[7, 8], [9]]


def test_dtype():
    assert (dtype_for(1 << 16), dtype_for((1 << 16) + 1)) == (np.dtype(np.uint16), np.dtype(np.uint32))


@pytest.mark.parametrize("content", [b"", b"not arrow at all, in no way", b"ARROW1\x00\x00" + bytes(100)])
def test_a_file_that_is_no_shard(tmp_path, content):
    (tmp_path / "s.arrow").write_bytes(content)
    with pytest.raises(UserError, match="is not a readable shard; restore it or run prepare again"):
        open_shard(tmp_path / "s.arrow")


def test_a_shard_cut_short(tmp_path):
    path = tmp_path / "s.arrow"
    write_shard(path, ["a"], [np.arange(5000, dtype=np.uint16)], np.dtype(np.uint16))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(UserError, match="is not a readable shard"):
        open_shard(path)


def test_arrow_of_another_kind(tmp_path):
    batch = pa.record_batch({"text": ["x"]})
    with pa.ipc.new_stream(str(tmp_path / "s.arrow"), batch.schema) as stream:
        stream.write_batch(batch)
    with pytest.raises(UserError, match="is not a readable shard"):
        open_shard(tmp_path / "s.arrow")


def test_any_damaged_byte_is_one_error_or_other_tokens(tmp_path):
    """Not a traceback: a message of ours, or a shard that its hash would tell."""
    path = tmp_path / "s.arrow"
    write_shard(path, ["a", "é", "c"], [np.array(ids, np.uint16) for ids in ([1, 2], [3], [4, 5, 6])], np.dtype("u2"))
    whole = path.read_bytes()
    num_refused = 0
    for place in range(len(whole)):
        for value in (0, 0xFF, whole[place] ^ 1, whole[place] ^ 0x80):
            path.write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
            try:
                shard = open_shard(path)
                assert len([shard.document(index) for index in range(len(shard))]) == len(shard.doc_ids)
            except UserError as error:
                assert "is not a readable shard; restore it" in str(error)
                num_refused += 1
    assert num_refused > len(whole) / 4


@pytest.mark.parametrize("kind", [pa.int16(), pa.float32(), pa.uint64()])
def test_tokens_of_another_type(tmp_path, kind):
    batch = pa.record_batch({"doc_id": ["a"], "input_ids": pa.array([[1, 2]], pa.list_(kind))})
    with pa.ipc.new_stream(str(tmp_path / "s.arrow"), batch.schema) as stream:
        stream.write_batch(batch)
    with pytest.raises(UserError, match="is not a readable shard"):
        open_shard(tmp_path / "s.arrow")


def test_a_missing_shard(tmp_path):
    with pytest.raises(UserError, match="is missing; restore it"):
        open_shard(tmp_path / "none.arrow")
