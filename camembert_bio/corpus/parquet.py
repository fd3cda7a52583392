"""A corpus as Parquet files, for tools that read no Arrow streams and for moving it: a third of the size, same hash.

OUT/corpus.json  vocabulary.json  tokenizer/
OUT/SOURCE/SPLIT-00000.parquet      one a shard: doc_id, input_ids, source, split
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from camembert_bio import files
from camembert_bio.errors import RunError, UserError
from camembert_bio.shards.format import write_shard
from camembert_bio.shards.manifest import (
    BESIDE_TOKENIZER,
    MANIFEST,
    SHARD_NAME,
    TOKENIZER,
    TRAIN,
    VALIDATION,
    VOCABULARY,
    Corpus,
    Manifest,
    ShardEntry,
    open_corpus,
    verify,
)
from camembert_bio.shards.vocabulary import tokenizer_file

_SHARD = re.compile(rf"[a-z0-9_-]+/{SHARD_NAME}")


def export_corpus(folder: Path, output: Path) -> Manifest:
    """Write a corpus, verified first, as a folder of Parquet files. Memory: one shard and its compressed copy.

    Raises `UserError` when `output` holds something or lies in the corpus, `RunError` when the corpus is damaged.
    """
    _check_output(folder, output)
    corpus = open_corpus(folder)
    verify(corpus)
    with files.atomic_folder(output) as aside:
        _copy_descriptions(corpus.manifest, folder, aside)
        for source, split, entry in _entries(corpus.manifest):
            path = (aside / entry.path).with_suffix(".parquet")
            path.parent.mkdir(exist_ok=True)
            with pa.memory_map(str(folder / entry.path)) as file, pa.ipc.open_stream(file) as stream:
                table = stream.read_all()
            for name, value in (("source", source), ("split", split)):
                table = table.append_column(name, pa.array([value] * len(table), pa.string()))
            parquet.write_table(table, path, compression="zstd")
    return corpus.manifest


def import_corpus(folder: Path, output: Path) -> Manifest:
    """Build a corpus from what `export_corpus` wrote: the same bytes, so the same hash. Memory: two shards.

    Raises `UserError` when `output` holds something or lies in the folder, or the folder is not what its `corpus.json`
    describes.
    """
    _check_output(folder, output)
    corpus = open_corpus(folder)
    if odd := [entry.path for *_, entry in _entries(corpus.manifest) if not _SHARD.fullmatch(entry.path)]:
        raise UserError(f"{folder / MANIFEST} names {len(odd)} shards as no corpus does; export the corpus again")
    with files.atomic_folder(output) as aside:
        _copy_descriptions(corpus.manifest, folder, aside)
        for source, split, entry in _entries(corpus.manifest):
            (aside / entry.path).parent.mkdir(exist_ok=True)
            _import_shard((folder / entry.path).with_suffix(".parquet"), aside / entry.path, source, split, entry)
        try:
            verify(Corpus(aside, corpus.manifest))
        except RunError:
            raise UserError(
                f"{folder} is not the corpus that its {MANIFEST} describes: a file was changed, or another version of "
                "pyarrow writes other shards; export the corpus again"
            ) from None
    return corpus.manifest


def _import_shard(path: Path, target: Path, source: str, split: str, entry: ShardEntry) -> None:
    columns = ["doc_id", "input_ids", "source", "split"]
    try:
        if parquet.read_metadata(path).num_rows != entry.documents:
            raise UserError(f"{path} has not the {entry.documents} documents of {MANIFEST}; export the corpus again")
        table = parquet.read_table(path, columns=columns, partitioning=None).combine_chunks()
        ids = _single(table["input_ids"])
        flat, offsets = ids.values.to_numpy(), ids.offsets.to_numpy()
        if {*table["source"].unique().to_pylist()} != {source} or {*table["split"].unique().to_pylist()} != {split}:
            raise UserError(f"{path} holds documents of another source or split; export the corpus again")
    except FileNotFoundError:
        raise UserError(f"{path} is missing; restore it or export the corpus again") from None
    except (pa.ArrowException, KeyError, AttributeError, OSError) as error:
        raise UserError(f"{path} is no readable export ({type(error).__name__}); export the corpus again") from None
    write_shard(target, table["doc_id"].to_pylist(), np.split(flat, offsets[1:-1]), flat.dtype)


def _single(column: Any) -> Any:
    """A chunked column as one array."""
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def _entries(manifest: Manifest) -> list[tuple[str, str, ShardEntry]]:
    """(source, split, shard) of every shard."""
    return [(source, split, entry) for split in (TRAIN, VALIDATION) for source, entry in manifest.shards(split)]


def _copy_descriptions(manifest: Manifest, folder: Path, target: Path) -> None:
    """Copy the manifest, the vocabulary and the tokenizer's known files; a link could bring any file of the disk."""
    (target / TOKENIZER).mkdir()
    own = tokenizer_file(manifest.tokenizer_kind)
    for name in (MANIFEST, VOCABULARY, *(f"{TOKENIZER}/{file}" for file in (own, *BESIDE_TOKENIZER))):
        path = folder / name
        if path.is_symlink() or (folder / TOKENIZER).is_symlink():
            raise UserError(f"{path} is a link, or in one; put the file itself there")
        try:
            shutil.copyfile(path, target / name)
        except FileNotFoundError:
            if path.name not in BESIDE_TOKENIZER:
                raise UserError(f"{path} is missing; restore it or export the corpus again") from None


def _check_output(folder: Path, output: Path) -> None:
    """Refuse an output that holds something, or that lies in the folder it is made from: no one would look for it."""
    if output.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"output {output} lies in {folder}; give a folder outside")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UserError(f"output {output} holds something; give a new or empty folder")
