"""The manifest of a corpus: what it was built from, and the hash of every file in it.

    CORPUS/corpus.json           read first: it names the others
    CORPUS/vocabulary.json
    CORPUS/tokenizer/            sentencepiece.bpe.model or tokenizer.json, and what transformers reads beside it
    CORPUS/SOURCE/SPLIT-00000.arrow

The manifest's own hash names the corpus: a run records it and refuses another. No path is hashed, so the same
inputs under another path are the same corpus.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from camembert_bio import config, files
from camembert_bio.errors import RunError, UserError
from camembert_bio.shards.address import is_address
from camembert_bio.shards.cache import ShardCache, locked
from camembert_bio.shards.format import Shard, open_shard
from camembert_bio.shards.recipe import Storage
from camembert_bio.shards.vocabulary import (
    SENTENCEPIECE_MODEL,
    TOKENIZER_JSON,
    Kind,
    Vocabulary,
    load_vocabulary,
    tokenizer_file,
)

FORMAT = 2
MANIFEST = "corpus.json"
VOCABULARY = "vocabulary.json"
TOKENIZER = "tokenizer"
BESIDE_TOKENIZER = ("tokenizer_config.json", "special_tokens_map.json", "config.json")
"""What may stand beside the tokenizer's own file."""
_ALSO_READ = (SENTENCEPIECE_MODEL, TOKENIZER_JSON, *BESIDE_TOKENIZER, "added_tokens.json")
"""What transformers takes into account where it finds it."""
WINDOWS = "windows"
"""The folder of the tables of windows that runs keep beside the shards."""
TRAIN = "train"
VALIDATION = "validation"
SHARD_NAME = rf"(?:{TRAIN}|{VALIDATION})-\d{{5}}(?:-r\d+)?\.arrow"
"""The names of shards in their source's folder, as a pattern; `-rN` are those that `forget` wrote."""


@dataclass(frozen=True)
class ShardEntry:
    """One shard file; `path` is relative to the corpus folder."""

    path: str
    documents: int
    tokens: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Split:
    """The documents of one source on one side of the held-out split."""

    documents: int
    words: int
    tokens: int
    shards: tuple[ShardEntry, ...]


@dataclass(frozen=True)
class Source:
    """One source of a corpus, with its splits by name (`train`, `validation`)."""

    licence: str
    splits: dict[str, Split]
    weight: float = 1.0
    """How often an epoch reads each of its windows, where a run does not say."""


@dataclass(frozen=True)
class Removal:
    """Documents that were taken out of a corpus after it was built; never which."""

    date: str
    """ISO 8601, UTC."""
    documents: int


@dataclass(frozen=True)
class Manifest:
    """The content of `corpus.json`."""

    format: int
    tokenizer_kind: Kind
    """How its pieces show where a word begins."""
    tokenizer_sha256: str
    """Of `tokenizer/sentencepiece.bpe.model`, or of `tokenizer/tokenizer.json` where the kind is another."""
    vocabulary_sha256: str
    """Of `vocabulary.json`."""
    vocab_size: int
    build: dict[str, Any]
    """What the corpus is a function of: `prepare`'s recipe without its paths, and the hash of each input."""
    sources: dict[str, Source]
    paths: dict[str, str]
    """Where the sources stood, by name, and the given `tokenizer`: for the reader, not in the hash."""
    removals: tuple[Removal, ...] = ()
    """What `forget` did since, oldest first: for the reader too, the shards' hashes say it already."""
    tokenizer_files: dict[str, str] | None = None
    """The sha256 of each file beside the tokenizer's own: for `verify`, not in the hash. None: a corpus of a version
    that did not note them."""

    @functools.cached_property
    def hash(self) -> str:
        """Hexadecimal sha256 of the manifest's canonical JSON without `paths`, `removals` and `tokenizer_files`: the
        corpus' name."""
        told_only = ("paths", "removals", "tokenizer_files")
        return files.sha256_json({name: value for name, value in asdict(self).items() if name not in told_only})

    def repeats(self, changes: Mapping[str, float]) -> dict[str, float]:
        """How often an epoch reads each source: its weight, or what a run changes it to."""
        return {name: source.weight for name, source in self.sources.items()} | dict(changes)

    def shards(self, split: str) -> list[tuple[str, ShardEntry]]:
        """(source, shard) of a split, sources in the manifest's order."""
        return [
            (name, shard)
            for name, source in self.sources.items()
            if split in source.splits
            for shard in source.splits[split].shards
        ]

    def save(self, folder: Path) -> None:
        """Write `corpus.json` into a corpus folder."""
        files.write_json(folder / MANIFEST, asdict(self))


@dataclass(frozen=True)
class Corpus:
    """A corpus, opened: one in a folder, or one at an address."""

    folder: Path
    """Of one at an address: what this node keeps of it beside its shards."""
    manifest: Manifest
    cache: ShardCache | None = None
    """What fetches the shards of a corpus at an address; None when they stand in the folder."""

    @property
    def place(self) -> str:
        """The folder, or the address, as messages name it."""
        return self.cache.remote.name if self.cache else str(self.folder)

    @functools.cached_property
    def vocabulary(self) -> Vocabulary:
        """The tokenizer's pieces and special ids."""
        return load_vocabulary(self.folder / VOCABULARY)

    def open(self, shard: ShardEntry) -> Shard:
        """Map one shard into memory, fetched before if it stands at an address and not in this node's cache.

        Raises `UserError` when it is missing, or is not the one that the manifest describes; else `ShardCache.hold`.
        """
        if self.cache:
            opened = open_shard(self.cache.path(shard), held=self.cache.hold(shard))
        else:
            opened = open_shard(self.folder / shard.path)
        if len(opened.input_ids) != shard.tokens:
            raise UserError(
                f"shard {opened.path} holds {len(opened.input_ids)} tokens, its corpus.json says {shard.tokens};"
                " restore it or run prepare again"
            )
        return opened

    def alone(self) -> AbstractContextManager[None]:
        """What one process of the node does at a time, of a corpus at an address: each node makes its own windows."""
        return locked(self.folder / "windows.lock") if self.cache else nullcontext()


def open_corpus(place: Path | str, storage: Storage | None = None) -> Corpus:
    """Open a corpus folder, or a corpus at an address through this node's cache; shards are not read yet.

    Raises `UserError` when there is no corpus, or one of another format version; of an address also when it cannot
    be reached or when the cache is too small for a shard of it.
    """
    if isinstance(place, str) and is_address(place):
        from camembert_bio.shards.opening import open_remote

        return open_remote(place, storage or Storage())
    folder = Path(place)
    path = folder / MANIFEST
    if not path.is_file():
        raise UserError(f"{folder} is not a corpus: it has no {MANIFEST}; build one with `camembert-bio prepare`")
    return Corpus(folder, read_manifest(config.read_json(path), str(path)))


def read_manifest(values: dict[str, Any], where: str) -> Manifest:
    """The manifest that `corpus.json` holds. Raises `UserError` when it is of another format version, or none."""
    version = values.get("format")
    if version != FORMAT:
        raise UserError(f"{where} has format {version!r}, this version reads {FORMAT}; run prepare again")
    return config.build(Manifest, values, where)


def hash_tokenizer_files(folder: Path) -> dict[str, str]:
    """The sha256 of what stands beside the tokenizer's own file in a corpus folder, by name."""
    present = [name for name in BESIDE_TOKENIZER if (folder / TOKENIZER / name).is_file()]
    return {name: files.sha256_file(folder / TOKENIZER / name) for name in present}


def verify(corpus: Corpus) -> None:
    """Hash every file that the manifest names; `RunError` lists those that differ, and files beside the tokenizer
    that transformers would read though the build did not write them.

    Of a corpus at an address, the files that this node has: a damaged shard among them is fetched again when it is
    read.
    """
    manifest = corpus.manifest
    own = tokenizer_file(manifest.tokenizer_kind)
    beside = manifest.tokenizer_files
    expected = {VOCABULARY: manifest.vocabulary_sha256, f"{TOKENIZER}/{own}": manifest.tokenizer_sha256}
    expected |= {f"{TOKENIZER}/{name}": digest for name, digest in (beside or {}).items()}
    for source in manifest.sources.values():
        for shard in (shard for split in source.splits.values() for shard in split.shards):
            if corpus.cache:
                corpus.cache.verify(shard)
            else:
                expected[shard.path] = shard.sha256
    wrong = [
        name
        for name, digest in expected.items()
        if not (corpus.folder / name).is_file() or files.sha256_file(corpus.folder / name) != digest
    ]
    if beside is not None:
        names = (f"{TOKENIZER}/{name}" for name in _ALSO_READ)
        wrong += [name for name in names if name not in expected and (corpus.folder / name).exists()]
    if wrong:
        raise RunError(f"{corpus.folder}: {', '.join(wrong)} differ from {MANIFEST}; restore them or run prepare again")
