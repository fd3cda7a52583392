import numpy as np
import pytest

from camembert_bio.data.rows import FILLER, lay_out
from camembert_bio.data.windows import load_windows, split_entries

BOS, EOS, PAD = 5, 6, 1
LENGTH = 64


@pytest.fixture(scope="module")
def table(corpus):
    return load_windows(corpus, "train", LENGTH)


@pytest.fixture(scope="module")
def windows(table):
    """Some windows twice, some next to one another, fillers at the beginning, inside and at the end."""
    drawn = np.random.default_rng(0).integers(0, len(table), 40)
    return np.concatenate([[FILLER], drawn, [FILLER, FILLER], np.arange(len(table) - 20, len(table)), drawn, [FILLER]])


def expected(table, shards, window):
    """Ids, segment ids and positions of one row, by a loop over its segments."""
    ids, segments, positions = [BOS, EOS], [1, 1], [0, 1]
    if window != FILLER:
        ids, segments, positions = [], [], []
        for number, segment in enumerate(range(table.offsets[window], table.offsets[window + 1]), start=1):
            start, length = table.start[segment], table.length[segment]
            ids += [BOS, *shards[table.shard[window]][start : start + length].tolist(), EOS]
            segments += [number] * (length + 2)
            positions += range(length + 2)
    padding = LENGTH - len(ids)
    return ids + [PAD] * padding, segments + [0] * padding, positions + [0] * padding


def test_rows_are_their_segments_and_padding(corpus, table, windows):
    shards = [corpus.open(entry).input_ids for _, entry in split_entries(corpus, "train")]
    rows = lay_out(table, windows)
    ids = rows.read(shards, corpus.vocabulary)
    assert ids.dtype == np.uint16 and rows.segment_ids().dtype == np.int32 and rows.position_ids().dtype == np.int64
    got = zip(ids.tolist(), rows.segment_ids().tolist(), rows.position_ids().tolist(), strict=True)
    for window, row in zip(windows.tolist(), got, strict=True):
        assert row == expected(table, shards, window)
    tokens = [0 if w == FILLER else sum(i != PAD for i in expected(table, shards, w)[0]) for w in windows]
    assert rows.tokens().tolist() == tokens


def test_followed_positions_have_their_next_in_the_same_segment(table, windows):
    rows = lay_out(table, windows)
    segments = rows.segment_ids()
    places = [
        row * LENGTH + column
        for row, window in enumerate(windows.tolist())
        for column in range(LENGTH - 1)
        if window != FILLER and segments[row, column] == segments[row, column + 1] > 0
    ]
    assert rows.followed().tolist() == places


def test_bounds_are_where_the_segment_changes(table, windows):
    rows = lay_out(table, windows)
    segments = rows.segment_ids()
    changes = [
        row * LENGTH + column
        for row in range(len(windows))
        for column in range(LENGTH)
        if column == 0 or segments[row, column] != segments[row, column - 1]
    ]
    assert rows.cu_seqlens().tolist() == [*changes, LENGTH * len(windows)]


@pytest.mark.parametrize(("first", "count"), [(0, 1), (0, 7), (1, 3), (38, 10), (40, 3), (103, 1), (0, 104)])
def test_a_part_is_laid_out_as_alone(corpus, table, windows, first, count):
    assert len(windows) == 104
    part, alone = lay_out(table, windows).part(first, count), lay_out(table, windows[first : first + count])
    for name in ("shard", "start", "length", "place", "number", "bounds", "pieces"):
        mine, its = getattr(part, name), getattr(alone, name)
        assert np.array_equal(mine, its) and mine.dtype == its.dtype, name
