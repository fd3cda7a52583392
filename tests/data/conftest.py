"""Synthetic corpora, written with the shard format itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from camembert_bio import files
from camembert_bio.shards.format import dtype_for, write_shard
from camembert_bio.shards.manifest import (
    FORMAT,
    VOCABULARY,
    Corpus,
    Manifest,
    ShardEntry,
    Source,
    Split,
    open_corpus,
)
from camembert_bio.shards.vocabulary import SPACE, Vocabulary

Documents = Sequence[Sequence[int]]
WriteCorpus = Callable[..., Corpus]


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    """CamemBERT's layout in small: 7 special ids, `▁` alone, 4 sentence ends, 150 openers, 150 others, `<mask>`."""
    special = ["<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED", "<s>", "</s>"]
    openers = [f"{SPACE}mot{index}" for index in range(150)]
    inner = [f"suite{index}" for index in range(150)]
    pieces = (*special, SPACE, ".", "!", "?", "…", *openers, *inner, "<mask>")
    return Vocabulary(
        pieces=pieces,
        bos_id=5,
        eos_id=6,
        pad_id=1,
        unk_id=3,
        mask_id=len(pieces) - 1,
        special_ids=(0, 1, 2, 3, 4, 5, 6, len(pieces) - 1),
        kind="sentencepiece",
    )


@pytest.fixture(scope="session")
def make_document(vocabulary: Vocabulary) -> Callable[[np.random.Generator, int], list[int]]:
    """A document of so many tokens, at most 20,000, cut anywhere from one text.

    Its words have 1 to 5 pieces, some stand after a lone `▁`, some are unknown, some end a sentence.
    """
    lone = vocabulary.pieces.index(SPACE)
    openers = [i for i, piece in enumerate(vocabulary.pieces) if piece.startswith(f"{SPACE}m")]
    inner = [i for i, piece in enumerate(vocabulary.pieces) if piece.startswith("suite")]

    rng = np.random.default_rng(0)
    text: list[int] = []
    while len(text) < 40_000:
        kind = rng.random()
        head = [lone, rng.choice(inner)] if kind < 0.1 else [lone, vocabulary.unk_id] if kind < 0.13 else []
        text += head or [rng.choice(openers)]
        text += rng.choice(inner, rng.integers(0, 4)).tolist()
        if rng.random() < 0.08:
            text.append(rng.integers(8, 12))
    ids = [int(token) for token in text]

    def make(rng: np.random.Generator, length: int) -> list[int]:
        first = int(rng.integers(0, 20_000))
        return ids[first : first + length]

    return make


@pytest.fixture(scope="session")
def write_corpus(vocabulary: Vocabulary) -> WriteCorpus:
    """Write a corpus folder from `{source: {split: [shard, ...]}}`, a shard being a list of documents."""

    def write(folder: Path, sources: Mapping[str, Mapping[str, Sequence[Documents]]]) -> Corpus:
        folder.mkdir(parents=True, exist_ok=True)
        vocabulary.save(folder / VOCABULARY)
        written = {}
        for source, splits in sources.items():
            (folder / source).mkdir(exist_ok=True)
            written[source] = Source(
                "CC0",
                {
                    split: _write_split(folder, f"{source}/{split}", shards, len(vocabulary))
                    for split, shards in splits.items()
                },
            )
        Manifest(
            format=FORMAT,
            tokenizer_kind=vocabulary.kind,
            tokenizer_sha256="0" * 64,
            vocabulary_sha256=files.sha256_file(folder / VOCABULARY),
            vocab_size=len(vocabulary),
            build={},
            sources=written,
            paths={},
        ).save(folder)
        return open_corpus(folder)

    return write


def _write_split(folder: Path, name: str, shards: Sequence[Documents], vocab_size: int) -> Split:
    entries = []
    dtype = dtype_for(vocab_size)
    for index, documents in enumerate(shards):
        path = f"{name}-{index:05d}.arrow"
        arrays = [np.array(document, dtype) for document in documents]
        write_shard(folder / path, [f"d{number}" for number in range(len(documents))], arrays, dtype)
        tokens = sum(len(document) for document in documents)
        size = (folder / path).stat().st_size
        entries.append(ShardEntry(path, len(documents), tokens, size, files.sha256_file(folder / path)))
    total = sum(entry.tokens for entry in entries)
    return Split(sum(entry.documents for entry in entries), total, total, tuple(entries))


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory, write_corpus: WriteCorpus, make_document: Callable) -> Corpus:
    """Two sources, three train shards, a validation split: about 60,000 tokens."""
    rng = np.random.default_rng(7)

    def shard(count: int, mean: float) -> list[list[int]]:
        return [make_document(rng, int(length)) for length in rng.exponential(mean, count).astype(int)]

    return write_corpus(
        tmp_path_factory.mktemp("corpora") / "corpus",
        {
            "notices": {"train": [shard(40, 700), shard(20, 300)], "validation": [shard(8, 300)]},
            "articles": {"train": [shard(100, 120)], "validation": [shard(10, 90)]},
        },
    )
