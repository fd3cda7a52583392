"""Documents of one source and split to shards of a bounded size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from camembert_bio import files
from camembert_bio.shards.format import Ids, write_tokens
from camembert_bio.shards.manifest import ShardEntry, Split


class ShardWriter:
    """Collects documents, and writes `SOURCE/SPLIT-00000.arrow`, `-00001`, ... below a corpus folder.

    A shard holds at most `shard_bytes` bytes of tokens, or one document: what this keeps in memory, once.
    """

    def __init__(self, folder: Path, name: str, dtype: np.dtype[Any], shard_bytes: int) -> None:
        self._folder = folder
        self._name = name
        self._dtype = dtype
        self._shard_bytes = shard_bytes
        self._doc_ids: list[str] = []
        self._offsets = [0]
        # Not touched before it is filled, so that a small split takes little.
        self._tokens: Ids = np.empty(max(1, shard_bytes // dtype.itemsize), dtype)
        self._words = 0
        self._shards: list[ShardEntry] = []

    def add(self, doc_id: str, ids: Ids, num_words: int) -> None:
        """Add one document; `ids` is copied."""
        end = self._offsets[-1] + len(ids)
        if self._doc_ids and end * self._dtype.itemsize > self._shard_bytes:
            self._flush()
            end = len(ids)
        if end > len(self._tokens):
            self._tokens = np.empty(end, self._dtype)
        self._tokens[self._offsets[-1] : end] = ids
        self._doc_ids.append(doc_id)
        self._offsets.append(end)
        self._words += num_words

    def close(self) -> Split:
        """Write what is left; the split's entry of the manifest."""
        if self._doc_ids:
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
        num_tokens = self._offsets[-1]
        write_tokens(path, self._doc_ids, self._tokens[:num_tokens], np.array(self._offsets))
        self._shards.append(
            ShardEntry(
                path=path.relative_to(self._folder).as_posix(),
                documents=len(self._doc_ids),
                tokens=num_tokens,
                bytes=path.stat().st_size,
                sha256=files.sha256_file(path),
            )
        )
        self._doc_ids, self._offsets = [], [0]
