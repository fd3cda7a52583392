import gzip
import json
import lzma
import subprocess
import sys

import pytest
import zstandard

from camembert_bio.corpus.documents import read
from camembert_bio.errors import UserError

from .conftest import read_all, source, texts

RECORDS = b"".join(json.dumps({"id": i, "text": "été"}).encode() + b"\n" for i in range(3000))
PACK = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": zstandard.ZstdCompressor().compress,
    ".xz": lzma.compress,
}
READ_BOUNDED = """
import resource, sys
from pathlib import Path
from camembert_bio.corpus.documents import read
from camembert_bio.corpus.recipe import Source
from camembert_bio.errors import UserError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    for document in read(Source("s", Path(sys.argv[1]), "CC0"), rejected=lambda bad: print(bad.kind)):
        print(document.id)
except UserError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def read_in_a_process(path):
    """The lines that reading prints, and by how many MB its memory grew."""
    done = subprocess.run([sys.executable, "-c", READ_BOUNDED, path], capture_output=True, text=True, check=True)
    *lines, grown = done.stdout.splitlines()
    return lines, int(grown)


@pytest.mark.parametrize("suffix", PACK)
def test_each_compression_in_several_streams(tmp_path, suffix):
    path = tmp_path / f"a.jsonl{suffix.upper()}"
    half = RECORDS.index(b"\n", len(RECORDS) // 2) + 1
    path.write_bytes(PACK[suffix](RECORDS[:half]) + PACK[suffix](RECORDS[half:]))
    assert len(list(read(source(path)))) == 3000


@pytest.mark.parametrize("suffix", [".gz", ".zst", ".xz"])
@pytest.mark.parametrize("damage", ["cut", "nonsense", "cut after its beginning"])
def test_a_file_cut_short_or_damaged_is_named(tmp_path, suffix, damage):
    packed = PACK[suffix](RECORDS)
    damaged = {"cut": packed[:-5], "nonsense": b"\x00" * 40, "cut after its beginning": packed[:20]}[damage]
    (tmp_path / f"a.txt{suffix}").write_bytes(damaged)
    (tmp_path / f"a.jsonl{suffix}").write_bytes(damaged)
    for name in (f"a.txt{suffix}", f"a.jsonl{suffix}"):
        with pytest.raises(UserError, match=f"{name} cannot be decompressed: it is damaged, cut short"):
            read_all(tmp_path / name)


def test_an_empty_file_that_should_be_compressed(tmp_path):
    for suffix in (".gz", ".zst", ".xz"):
        (tmp_path / suffix).mkdir()
        (tmp_path / suffix / "a.jsonl").write_bytes(RECORDS)
        (tmp_path / suffix / f"b.jsonl{suffix}").write_bytes(b"")
        with pytest.raises(UserError, match=f"b.jsonl{suffix} cannot be decompressed"):
            read_all(tmp_path / suffix)


@pytest.mark.parametrize("num_bytes", [4, 1 << 16, 200_000])
def test_an_xz_file_that_is_padded(tmp_path, num_bytes):
    packed, padding = lzma.compress(RECORDS), b"\0" * num_bytes
    (tmp_path / "a.jsonl.xz").write_bytes(packed + padding + lzma.compress(b'{"id": "x", "text": "y"}') + padding)
    assert len(texts(tmp_path / "a.jsonl.xz")) == 3001


def test_a_window_or_dictionary_over_128_mb_is_refused(tmp_path):
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 1, "dict_size": 512 << 20}]
    (tmp_path / "a.jsonl.xz").write_bytes(lzma.compress(RECORDS, filters=filters))
    with pytest.raises(UserError, match=r"a.jsonl.xz cannot be decompressed.* needs a window over 128 MB"):
        read_all(tmp_path / "a.jsonl.xz")


def test_a_line_of_100_mb_is_rejected_and_the_next_is_read(tmp_path):
    path = tmp_path / "a.jsonl"
    with open(path, "wb") as file:
        file.write(b'{"id": 0, "text": "x"}\n' + b'{"id": "long", "text": "')
        for _ in range(100):
            file.write(b"x" * (1 << 20))
        file.write(b'"}\n{"id": 2, "text": "x"}\n')
    lines, grown = read_in_a_process(path)
    assert lines == ["0", "too long", "2"]
    assert grown < 80
    with pytest.raises(UserError, match=r"a.jsonl line 2 has 1048\d+ bytes or more, over max_document_bytes 20000000;"):
        list(read(source(path)))


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst", "a.csv.gz", "a.csv.zst", "a.txt.gz", "a.txt.zst"])
def test_a_bomb_is_refused_without_holding_it(tmp_path, name):
    path = tmp_path / name
    piece = PACK[path.suffix](b" " * (16 << 20))
    path.write_bytes(PACK[path.suffix](b"id,text\n") + piece * 20)  # 320 MB
    assert path.stat().st_size < 400_000
    lines, grown = read_in_a_process(path)
    assert grown < 250
    if ".txt" in name:
        assert lines == ["too long"]
    else:
        assert len(lines) == 1 and "decompresses to over 500 times its size" in lines[0] and path.name in lines[0]


def test_a_bomb_of_many_records_is_refused(tmp_path):
    path = tmp_path / "a.jsonl.zst"
    path.write_bytes(PACK[".zst"]((b'{"id": 1, "text": "' + b"a" * 4000 + b'"}\n') * 20_000))
    with pytest.raises(UserError, match="over 500 times its size"):
        list(read(source(path, id_field=None)))


def test_the_bound_is_the_sources_own(tmp_path):
    (tmp_path / "a.txt").write_text("x" * 1000)
    (tmp_path / "b.txt").write_text("x" * 1001)
    documents, rejected = read_all(tmp_path, max_document_bytes=1000)
    assert [document.id for document in documents] == ["a"]
    assert [(bad.where, bad.kind) for bad in rejected] == [(str(tmp_path / "b.txt"), "too long")]


def test_a_source_that_vanishes_while_it_is_read(tmp_path):
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(name)
    documents = read(source(tmp_path), wanted=lambda n: True)
    (tmp_path / "c.txt").symlink_to(tmp_path / "gone.txt")
    with pytest.raises(UserError, match=r"source 's': \S*c.txt cannot be read \(No such file or directory\); check"):
        list(documents)


def test_compressed_texts_have_the_ids_of_plain_ones(tmp_path):
    (tmp_path / "a").mkdir()
    for name, content in {
        "a/1.txt.gz": gzip.compress(b"x", mtime=0),
        "2.txt.xz": lzma.compress(b"y"),
        "3.txt": b"z",
    }.items():
        (tmp_path / name).write_bytes(content)
    assert texts(tmp_path) == {"2": "y", "3": "z", "a/1": "x"}
