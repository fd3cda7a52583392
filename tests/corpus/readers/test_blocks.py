import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from camembert_bio.corpus.documents import BLOCK_BYTES, read, read_blocks
from camembert_bio.errors import UserError

from .conftest import source

NUM_DOCUMENTS = 900
TEXTS = {f"d{i}": f"{i} " + "é" * (7000 + i) for i in range(NUM_DOCUMENTS)}  # 13 MB


def as_jsonl(folder):
    lines = [json.dumps({"id": key, "text": text}, ensure_ascii=False) + "\n" for key, text in TEXTS.items()]
    (folder / "a.jsonl").write_text("".join(lines))
    return folder / "a.jsonl"


def as_jsonl_folder(folder):
    lines = [json.dumps({"id": key, "text": text}, ensure_ascii=False) + "\n" for key, text in TEXTS.items()]
    for part in range(9):
        (folder / f"{part}.jsonl.gz").write_bytes(gzip.compress("".join(lines[part * 100 : part * 100 + 100]).encode()))
    return folder


def as_csv(folder):
    rows = [f'{key},"{text}\n"\n' for key, text in TEXTS.items()]
    (folder / "a.csv").write_text("id,text\n" + "".join(rows))
    return folder / "a.csv"


def as_texts(folder):
    for key, text in TEXTS.items():
        (folder / f"{key}.txt").write_text(text)
    return folder


def table():
    return pa.table({"id": list(TEXTS), "text": list(TEXTS.values()), "other": [0] * NUM_DOCUMENTS})


def as_parquet(folder):
    pq.write_table(table(), folder / "a.parquet", row_group_size=300, use_dictionary=False)
    return folder / "a.parquet"


def as_one_group(folder):
    pq.write_table(table(), folder / "a.parquet", use_dictionary=False)
    return folder / "a.parquet"


def as_dataset(folder):
    import datasets

    datasets.Dataset(table()).save_to_disk(folder / "saved")
    return folder / "saved"


FORMS = (as_jsonl, as_jsonl_folder, as_csv, as_texts, as_parquet, as_one_group, as_dataset)


@pytest.mark.parametrize("form", FORMS)
def test_workers_share_a_source_and_read_what_one_reads(tmp_path, form):
    shared = source(form(tmp_path))
    whole = [(document.id, document.text.strip()) for document in read(shared)]
    assert sorted(whole) == sorted(TEXTS.items())
    blocks = {}
    for worker in range(3):
        for number, documents in read_blocks(shared, lambda n, worker=worker: n % 3 == worker):
            assert number % 3 == worker
            blocks[number] = [(document.id, document.text.strip()) for document in documents]
            assert sum(len(text.encode()) for _, text in blocks[number]) < 2 * BLOCK_BYTES
    assert sorted(blocks) == list(range(len(blocks))) and len(blocks) in (3, 4)
    assert [item for number in sorted(blocks) for item in blocks[number]] == whole


def test_lines_of_unwanted_blocks_are_not_parsed(tmp_path):
    path = tmp_path / "a.jsonl"
    filler = b" " * (BLOCK_BYTES - 1) + b"\n"
    good = b'{"id": "1", "text": "x"}\n'
    path.write_bytes(filler + b"broken\n" + filler + good)
    assert [(n, len(d)) for n, d in read_blocks(source(path), lambda n: n == 2)] == [(2, 1)]
    assert [(n, len(d)) for n, d in read_blocks(source(path), lambda n: n in (0, 2))] == [(0, 0), (2, 1)]
    with pytest.raises(UserError, match=r"a.jsonl line 2 is not valid JSON"):
        list(read_blocks(source(path), lambda n: n == 1))


def test_files_of_unwanted_blocks_are_not_opened(tmp_path):
    for name in "abc":
        (tmp_path / f"{name}.txt").write_bytes(b"x" * BLOCK_BYTES)
    (tmp_path / "b.txt").write_bytes(b"\xff" * BLOCK_BYTES)
    assert [(n, d[0].id) for n, d in read_blocks(source(tmp_path), lambda n: n != 1)] == [(0, "a"), (2, "c")]


def test_a_row_group_without_a_wanted_block_is_not_read(tmp_path):
    path = as_parquet(tmp_path)
    second = pq.ParquetFile(path).metadata.row_group(1).column(1)
    data = bytearray(path.read_bytes())
    data[second.data_page_offset : second.data_page_offset + 64] = b"\xff" * 64
    path.write_bytes(data)
    blocks = [(n, d[0].id, len(d)) for n, d in read_blocks(source(path), lambda n: n == 0)]
    assert blocks == [(0, "d0", 300)]
    with pytest.raises(UserError, match=r"a.parquet .*(damaged|cannot be read)"):
        list(read(source(path)))


def test_one_worker_does_not_look_for_ids_given_twice(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"id": "1", "text": "x"}\n' * 2)
    assert [len(d) for _, d in read_blocks(source(tmp_path / "a.jsonl"), lambda n: True)] == [2]
    with pytest.raises(UserError, match="have the same id"):
        list(read(source(tmp_path / "a.jsonl")))
