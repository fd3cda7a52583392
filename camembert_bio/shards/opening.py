"""Opens a corpus at an address: its manifest first, then its small files, once on each node.

CACHE/corpora/HASH/           named by the manifest's hash: another corpus at the same address is another folder
"""

from __future__ import annotations

import json
import resource
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from camembert_bio import files
from camembert_bio.errors import DoNotRequeueError, RunError, UserError
from camembert_bio.shards.cache import ShardCache, locked
from camembert_bio.shards.manifest import (
    BESIDE_TOKENIZER,
    MANIFEST,
    TOKENIZER,
    VOCABULARY,
    Corpus,
    Manifest,
    read_manifest,
)
from camembert_bio.shards.recipe import Storage
from camembert_bio.shards.remote import Remote
from camembert_bio.shards.vocabulary import tokenizer_file

_CACHE = Path("~/.cache/camembert-bio")


class UnreachableError(RunError):
    """An address that does not answer: the user's mistake at first, the network's once a run has begun with it."""


def open_remote(address: str, storage: Storage) -> Corpus:
    """Open the corpus at an address; shards are not read yet. Any number of processes of a node may call it at once.

    Raises `UnreachableError` when nothing answers; `UserError` when it is no corpus, or has a shard above
    `storage.cache_bytes`, and when the cache cannot be written;
    `DoNotRequeueError` when a file twice had another hash than its manifest says.
    """
    remote = Remote(address, storage.retries)
    try:
        content = remote.read(MANIFEST)
    except FileNotFoundError:
        raise UserError(f"{remote.name} is not a corpus: it has no {MANIFEST}; upload what prepare built") from None
    except RunError as error:
        raise UnreachableError(f"{error}; check the address, the network and the credentials") from None
    manifest = _parse(content, f"{remote.name}/{MANIFEST}")
    cache = ShardCache(remote, storage.cache or _CACHE.expanduser(), storage.cache_bytes)
    _allow_open_files()
    _check_size(manifest, cache)
    folder = cache.folder / "corpora" / manifest.hash
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / "lock"):
            _keep_small_files(remote, folder, manifest)
    except OSError as error:
        raise UserError(
            f"storage.cache {cache.folder} cannot be used ({error.strerror}); give a folder on a disk of this node"
        ) from None
    return Corpus(folder, manifest, cache)


def _parse(content: bytes, where: str) -> Manifest:
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        raise UserError(f"{where} is not readable JSON; upload what prepare built again") from None
    if not isinstance(values, dict):
        raise UserError(f"{where} holds {type(values).__name__}, not a mapping")
    return read_manifest(values, where)


def _allow_open_files() -> None:
    """As many open files as the system grants: each shard in use is one, and 1,024 are usual."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _check_size(manifest: Manifest, cache: ShardCache) -> None:
    """Refuse a cache that is smaller than a shard."""
    shards = [
        shard for source in manifest.sources.values() for split in source.splits.values() for shard in split.shards
    ]
    largest = max(shards, key=lambda shard: shard.bytes, default=None)
    if largest and largest.bytes > cache.num_bytes:
        raise UserError(
            f"storage.cache_bytes {cache.num_bytes:,} is below the largest shard of {cache.remote.name}, "
            f"{largest.path} with {largest.bytes:,} bytes; give at least twice that"
        )


def _keep_small_files(remote: Remote, folder: Path, manifest: Manifest) -> None:
    """Fetch vocabulary and tokenizer unless they are there and whole."""
    tokenizer = f"{TOKENIZER}/{tokenizer_file(manifest.tokenizer_kind)}"
    hashed = {VOCABULARY: manifest.vocabulary_sha256}
    hashed |= {f"{TOKENIZER}/{name}": digest for name, digest in (manifest.tokenizer_files or {}).items()}
    hashed[tokenizer] = manifest.tokenizer_sha256
    if manifest.tokenizer_files is None and not (folder / tokenizer).is_file():
        for name in BESIDE_TOKENIZER:  # before the tokenizer's own file, which tells that they were fetched
            with suppress(FileNotFoundError):
                files.write_atomic(folder / TOKENIZER / name, remote.read(f"{TOKENIZER}/{name}"))
    for name, digest in hashed.items():
        if not (folder / name).is_file() or files.sha256_file(folder / name) != digest:
            files.write_atomic(folder / name, _read_hashed(remote, name, digest))


def _read_hashed(remote: Remote, name: str, digest: str) -> bytes:
    """The content of a small file, read again once where its hash is wrong."""
    for _ in range(2):
        try:
            content = remote.read(name)
        except FileNotFoundError as error:
            raise UserError(f"{error}, which a corpus has; upload what prepare built again") from None
        found = sha256(content).hexdigest()
        if found == digest:
            return content
    raise DoNotRequeueError(
        f"{remote.name}/{name} has sha256 {found} instead of {digest}, read twice; restore it at its address"
    )
