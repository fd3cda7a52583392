"""A dataset of the library `datasets`: a folder written by `save_to_disk`, or a name on the hub."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from camembert_bio.corpus.readers import columns
from camembert_bio.corpus.readers.blocks import Blocks
from camembert_bio.corpus.readers.record import Block
from camembert_bio.corpus.recipe import Source
from camembert_bio.errors import UserError

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def files_of(source: Source) -> list[Path]:
    """The Arrow files of every split, sorted; those in the local cache for a name on the hub."""
    paths = {Path(entry["filename"]) for _, split in _splits(source) for entry in split.cache_files}
    return sorted(paths)


def read(source: Source, files: list[Path], blocks: Blocks) -> Iterator[Block]:
    """Every split in the order of their names; rows come from memory-mapped files.

    The size of a row is that of its text in UTF-8. Of unwanted rows only that is looked at.
    """
    for name, split in _splits(source):
        names = columns.needed(split.features.arrow_schema, source, f"split {name}" if name else str(source.path))
        rows = split.select_columns(names).with_format("arrow")
        number = 1
        for table in rows.iter(columns.BATCH_ROWS):
            for start, stop, num_bytes in _runs(table.column(source.text_field), blocks):
                if blocks.is_wanted:
                    numbers = range(number + start, number + stop)
                    places = [_place(source, name, n) for n in numbers]
                    blocks.items += columns.items(table.slice(start, stop - start), names, source, places)
                yield from blocks.add(num_bytes)
            number += len(table)


def _runs(text: Any, blocks: Blocks) -> Iterator[tuple[int, int, int]]:
    """Rows [start, stop) and their bytes, cut where a block is full."""
    if pa.types.is_dictionary(text.type):
        text = text.cast(text.type.value_type)
    sizes = [size or 0 for size in pc.binary_length(text).to_pylist()]
    start = total = 0
    for stop, size in enumerate(sizes, 1):
        total += size
        if total >= blocks.room or stop == len(sizes):
            yield start, stop, total
            start, total = stop, 0


def _place(source: Source, split: str, number: int) -> tuple[str, int | str]:
    if not split:
        return f"{source.path} row {number}", number
    return f"{source.path} split {split} row {number}", f"{split}:{number}"


def _splits(source: Source) -> list[tuple[str, Any]]:
    """Name and dataset of each split; the name is empty where there is but one that has none."""
    import datasets  # takes a second

    path = source.path
    try:
        if path.is_dir():
            loaded = datasets.load_from_disk(str(path))
        elif _HUB_NAME.fullmatch(str(path)):
            loaded = datasets.load_dataset(str(path))
        else:
            raise UserError(f"source {source.name!r}: {path} does not exist; check the path")
    except UserError:
        raise
    except Exception as error:  # noqa: BLE001 (of many libraries; their messages may quote a record)
        raise UserError(
            f"source {source.name!r}: datasets cannot load {path} ({type(error).__name__}); give a folder written by "
            "save_to_disk, or a name on the hub that is in the local cache (HF_HUB_OFFLINE=0 lets it be downloaded)"
        ) from None
    if isinstance(loaded, datasets.Dataset):
        return [("", loaded)]
    return sorted(loaded.items())
