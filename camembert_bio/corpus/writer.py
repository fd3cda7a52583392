"""Documents of one source and split to shards of a bounded size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from camembert_bio import files
from camembert_bio.shards.format import Ids, write_shard
from camembert_bio.shards.manifest import ShardEntry, Split


class ShardWriter:
    """Collects documents, and writes `SOURCE/SPLIT-00000.arrow`, `-00001`, ... below a corpus folder.

    A shard holds at most `shard_bytes` bytes of tokens, or one document. Memory: twice that while it is written.
    """

    def __init__(self, folder: Path, name: str, dtype: np.dtype[Any], shard_bytes: int) -> None:
        self._folder = folder
        self._name = name
        self._dtype = dtype
        self._shard_bytes = shard_bytes
        self._doc_ids: list[str] = []
        self._documents: list[Ids] = []
        self._bytes = 0
        self._words = 0
        self._shards: list[ShardEntry] = []

    def add(self, doc_id: str, ids: Ids, num_words: int) -> None:
        """Add one document; `ids` is kept until its shard is written."""
        num_bytes = len(ids) * self._dtype.itemsize
        if self._documents and self._bytes + num_bytes > self._shard_bytes:
            self._flush()
        self._doc_ids.append(doc_id)
        self._documents.append(ids)
        self._bytes += num_bytes
        self._words += num_words

    def close(self) -> Split:
        """Write what is left; the split's entry of the manifest."""
        if self._documents:
            self._flush()
        return Split(
            documents=sum(shard.documents for shard in self._shards),
            words=self._words,
            tokens=sum(shard.tokens for shard in self._shards),
            shards=tuple(self._shards),
        )

    def _flush(self) -> None:
        path = self._folder / f"{self._name}-{len(self._shards):05d}.arrow"
        path.parent.mkdir(exist_ok=True)
        write_shard(path, self._doc_ids, self._documents, self._dtype)
        self._shards.append(
            ShardEntry(
                path=path.relative_to(self._folder).as_posix(),
                documents=len(self._documents),
                tokens=self._bytes // self._dtype.itemsize,
                bytes=path.stat().st_size,
                sha256=files.sha256_file(path),
            )
        )
        self._doc_ids, self._documents, self._bytes = [], [], 0
