import logging
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from camembert_bio.data import windows as windows_module
from camembert_bio.data.windows import build_windows, load_windows, split_entries
from camembert_bio.errors import UserError
from camembert_bio.shards import words
from camembert_bio.shards.format import Shard
from camembert_bio.shards.packing import pack


def shard_of(documents):
    offsets = np.concatenate([[0], np.cumsum([len(document) for document in documents])]).astype(np.int32)
    ids = np.concatenate([*(np.array(document, np.uint16) for document in documents), np.empty(0, np.uint16)])
    return Shard(Path("shard"), ids.astype(np.uint16), offsets, None)


def assert_is_partition(shard, packed, room):
    """Each document is the concatenation of its segments, none of which crosses its end."""
    segments = sorted(segment for window in packed for segment in window)
    place = 0
    for start, length in segments:
        assert start == place and 0 < length <= room
        place += length
    assert place == len(shard.input_ids)
    starts = {start for start, _ in segments} | {place}
    assert set(shard.offsets.tolist()) <= starts


@settings(max_examples=150)
@given(
    seed=st.integers(0, 2**32),
    lengths=st.lists(st.integers(0, 300), max_size=40),
    seq_length=st.integers(8, 80),
)
def test_every_token_stands_in_one_segment(vocabulary, make_document, seed, lengths, seq_length):
    rng = np.random.default_rng(seed)
    shard = shard_of([make_document(rng, length) for length in lengths])
    packed = list(pack(shard, words.kinds_of(vocabulary), seq_length))
    assert_is_partition(shard, packed, seq_length - 2)
    assert all(sum(length + 2 for _, length in window) <= seq_length for window in packed)


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32), seq_length=st.integers(40, 200))
def test_words_are_not_cut(vocabulary, make_document, seed, seq_length):
    rng = np.random.default_rng(seed)
    shard = shard_of([make_document(rng, int(length)) for length in rng.integers(1, 1500, 30)])
    pieces = vocabulary.pieces
    documents = set(shard.offsets.tolist())
    for window in pack(shard, words.kinds_of(vocabulary), seq_length):
        for start, _ in window:
            if start not in documents:
                assert pieces[shard.input_ids[start]].startswith("▁")
                assert pieces[shard.input_ids[start - 1]] != "▁"


def test_a_word_longer_than_the_window_is_cut(vocabulary):
    opener, inner = 20, 200
    shard = shard_of([[opener] * 3 + [opener] + [inner] * 100 + [opener] * 3])
    packed = list(pack(shard, words.kinds_of(vocabulary), 32))
    assert_is_partition(shard, packed, 30)
    starts = sorted(start for window in packed for start, _ in window)
    assert starts[:5] == [0, 3, 33, 63, 93]


def test_long_documents_are_cut_at_a_near_sentence_end(vocabulary):
    opener, stop = 20, vocabulary.pieces.index(".")
    document = [opener] * 1200
    for place in (500, 700, 1000, 1010):
        document[place] = stop
    shard = shard_of([document])
    starts = sorted(start for window in pack(shard, words.kinds_of(vocabulary), 512) for start, _ in window)
    # 501 is within 510 / 28 of the room's end; 1001 and 1011 of that of 501 + 510, which is 1011.
    assert starts == [0, 501, 1011]


def test_a_far_sentence_end_is_no_cut(vocabulary):
    document = [20] * 1000
    document[480] = vocabulary.pieces.index(".")
    packed = list(pack(shard_of([document]), words.kinds_of(vocabulary), 512))
    assert packed[0] == [(0, 510)]


def test_a_cut_leaves_no_crumb(vocabulary):
    shard = shard_of([[20] * 515])
    lengths = sorted(length for window in pack(shard, words.kinds_of(vocabulary), 512) for _, length in window)
    assert lengths == [31, 484]


def test_the_longest_that_fits_shares_the_window(vocabulary):
    shard = shard_of([[20] * length for length in (300, 100, 208, 206)])
    packed = list(pack(shard, words.kinds_of(vocabulary), 512))
    assert packed[0] == [(0, 300), (400, 208)]
    assert packed[1] == [(300, 100), (608, 206)]


def lengths_of(name, rng):
    if name == "leaflets":
        return rng.lognormal(8.0, 0.6, 120).astype(int)
    if name == "abstracts":
        return np.clip(rng.normal(330, 80, 2500), 50, 505).astype(int)
    if name == "titles":
        return rng.integers(5, 40, 20000)
    return np.concatenate([lengths_of(other, rng) for other in ("leaflets", "abstracts", "titles")])


@pytest.mark.parametrize("name", ["leaflets", "abstracts", "titles", "mixed"])
def test_windows_are_full(vocabulary, make_document, name):
    rng = np.random.default_rng(3)
    lengths = lengths_of(name, rng)
    shard = shard_of([make_document(rng, int(length)) for length in lengths])
    packed = list(pack(shard, words.kinds_of(vocabulary), 512))
    assert_is_partition(shard, packed, 510)
    used = [sum(length + 2 for _, length in window) for window in packed]
    assert max(used) <= 512 and sum(used) / (512 * len(packed)) >= 0.985
    if name == "titles":
        assert sum(len(window) for window in packed) == len(lengths)  # what fits somewhere is not cut


def test_table_describes_the_corpus(corpus):
    table = build_windows(corpus, "train", 64)
    assert table.sources == ("articles", "notices")
    shards = [(source, corpus.open(entry)) for source, entry in split_entries(corpus, "train")]
    assert [source for source, _ in shards] == ["articles", "notices", "notices"]
    for index, source in enumerate(table.sources):
        windows = slice(table.source_offsets[index], table.source_offsets[index + 1])
        assert {shards[shard][0] for shard in table.shard[windows]} == {source}
    assert table.source_offsets[-1] == len(table) and table.offsets[-1] == len(table.start)
    for number, (_, shard) in enumerate(shards):
        mine = np.repeat(table.shard, np.diff(table.offsets)) == number
        segments = sorted(zip(table.start[mine].tolist(), table.length[mine].tolist(), strict=True))
        assert_is_partition(shard, [segments], 62)
    used = np.add.reduceat(table.length + 2, table.offsets[:-1])
    assert used.max() <= 64 and table.num_tokens == used.sum()
    assert table.fill == pytest.approx(used.mean() / 64)


def test_table_does_not_depend_on_the_order_of_the_manifest(corpus):
    sources = dict(reversed(corpus.manifest.sources.items()))
    turned = replace(corpus, manifest=replace(corpus.manifest, sources=sources))
    assert turned.manifest.hash == corpus.manifest.hash
    assert list(turned.manifest.sources) != list(corpus.manifest.sources)
    assert equal(build_windows(turned, "train", 64), build_windows(corpus, "train", 64))


def equal(one, two):
    return all(np.array_equal(getattr(one, name), getattr(two, name)) for name in one.__dataclass_fields__)


@pytest.fixture
def small(tmp_path, write_corpus, make_document):
    rng = np.random.default_rng(0)
    documents = [make_document(rng, length) for length in (10, 300, 25)]
    return write_corpus(tmp_path / "small", {"a": {"train": [documents]}, "b": {"train": [documents[:1]]}})


def cached(corpus):
    return sorted((corpus.folder / "windows").iterdir())


def test_table_is_cached_and_read_again(small, monkeypatch):
    first = load_windows(small, "train", 32)
    assert [path.name[:9] for path in cached(small)] == ["train-32-"]
    monkeypatch.setattr(windows_module, "build_windows", None)  # a second build would fail
    assert equal(load_windows(small, "train", 32), first)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 cut"])
def test_corrupted_cache_is_built_again(small, caplog, content):
    first = load_windows(small, "train", 32)
    (path,) = cached(small)
    whole = path.read_bytes()
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert equal(load_windows(small, "train", 32), first)
    assert "is built again" in caplog.text
    assert path.read_bytes() == whole


def test_no_flipped_bit_changes_the_table(small, monkeypatch):
    monkeypatch.setattr("camembert_bio.log.logger.disabled", True)
    first = load_windows(small, "train", 32)
    (path,) = cached(small)
    whole = path.read_bytes()
    rebuilt = 0
    for place in range(0, len(whole), 3):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << (place % 8)
        path.write_bytes(damaged)
        table = windows_module._read(path)
        rebuilt += table is None
        assert table is None or equal(table, first)
    assert rebuilt > len(whole) / 6  # the zip's unused fields may change


def test_truncation_and_overwriting_are_noticed(small):
    first = load_windows(small, "train", 32)
    (path,) = cached(small)
    whole = path.read_bytes()
    for damaged in (
        whole[: len(whole) // 2],
        whole[:-1],
        whole.replace(first.start.tobytes(), bytes(first.start.nbytes)),
    ):
        assert damaged != whole
        path.write_bytes(damaged)
        assert equal(load_windows(small, "train", 32), first)


def changed(name, place, value):
    """A table in which one number of an array is another."""

    def change(table):
        array = getattr(table, name).copy()
        array[place] = value
        return {name: array}

    return change


@pytest.mark.parametrize(
    "change",
    [
        changed("start", 0, 10**6),
        changed("start", -1, -1),
        changed("length", 0, 0),
        changed("length", 0, 31),
        changed("shard", 0, 2),
        changed("shard", 0, -1),
        changed("offsets", 0, 1),
        changed("offsets", -1, 10**6),
        changed("offsets", 1, 0),
        changed("source_offsets", -1, 10**6),
        lambda table: {"start": table.start[:-1]},
        lambda table: {"start": table.start.astype(float)},
        lambda table: {"length": table.length.reshape(1, -1)},
        lambda table: {"seq_length": 64},
        lambda table: {"seq_length": np.array([32, 32])},
        lambda table: {"sources": ("a",)},
    ],
)
def test_a_cache_that_does_not_fit_the_shards_is_built_again(small, caplog, change):
    first = load_windows(small, "train", 32)
    (path,) = cached(small)
    whole = path.read_bytes()
    path.write_bytes(windows_module._to_npz(replace(first, **change(first))))
    with caplog.at_level(logging.WARNING):
        assert equal(load_windows(small, "train", 32), first)
    assert "built again" in caplog.text
    assert path.read_bytes() == whole


def test_another_corpus_is_another_cache(tmp_path, small, write_corpus):
    load_windows(small, "train", 32)
    changed = write_corpus(small.folder, {"a": {"train": [[[20] * 50]]}})
    assert len(load_windows(changed, "train", 32)) == 2
    assert len(cached(small)) == 2


def test_without_a_writable_folder_it_works(small, caplog):
    (small.folder / "windows").write_text("a file stands where the folder would")
    with caplog.at_level(logging.WARNING):
        table = load_windows(small, "train", 32)
    assert equal(table, build_windows(small, "train", 32))
    assert "is not cached" in caplog.text


def test_many_may_build_at_once(small):
    tables = [None] * 8

    def load(index):
        tables[index] = load_windows(small, "train", 32)

    threads = [threading.Thread(target=load, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = build_windows(small, "train", 32)
    assert all(equal(table, expected) for table in tables)
    assert equal(load_windows(small, "train", 32), expected)
    assert len(cached(small)) == 1


def test_too_short_windows_are_refused(small):
    with pytest.raises(UserError, match=r"seq_length 7 is too short for a window; use 8 or more"):
        build_windows(small, "train", 7)


def test_absurd_windows_are_refused_at_once(small):
    with pytest.raises(UserError, match=r"seq_length 1000000000000 is too long for a window; use 65536 or less"):
        build_windows(small, "train", 10**12)


def test_a_split_without_windows_is_refused(small):
    with pytest.raises(UserError, match=r"no windows in its split 'validation'"):
        build_windows(small, "validation", 32)


def test_a_source_without_windows_is_refused(tmp_path, write_corpus):
    corpus = write_corpus(
        tmp_path / "c", {"full": {"train": [[[20] * 50]]}, "empty": {"train": [[[], []]]}, "none": {"validation": []}}
    )
    with pytest.raises(UserError, match=r"no windows of empty, none in its split 'train'"):
        build_windows(corpus, "train", 32)


def test_a_source_may_have_nothing_held_out(tmp_path, write_corpus):
    document = [20] * 50
    corpus = write_corpus(
        tmp_path / "c", {"a": {"train": [[document]]}, "b": {"train": [[document]], "validation": [[document]]}}
    )
    assert build_windows(corpus, "validation", 64).sources == ("b",)


def test_a_changed_shard_is_refused(small, write_corpus, tmp_path):
    other = write_corpus(tmp_path / "other", {"a": {"train": [[[20] * 7]]}})
    (small.folder / "a/train-00000.arrow").write_bytes((other.folder / "a/train-00000.arrow").read_bytes())
    with pytest.raises(UserError, match=r"holds 7 tokens, its corpus.json says 335"):
        build_windows(small, "train", 32)
