"""What `camembert-bio inspect` says of a corpus folder."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from camembert_bio.corpus.tokenize import load_tokenizer
from camembert_bio.errors import UserError
from camembert_bio.shards.manifest import TOKENIZER, TRAIN, VALIDATION, Split, open_corpus, verify


def describe(folder: Path, with_build: bool = False) -> dict[str, Any]:
    """The manifest in short, every file's hash verified; `with_build` adds the recipe and the inputs' hashes.

    Raises `UserError` when the folder is no corpus, `RunError` when a file differs from the manifest.
    """
    corpus = open_corpus(folder)
    verify(corpus)
    manifest = corpus.manifest
    sources = {
        name: {
            "licence": source.licence,
            "weight": source.weight,
            **{split: _counts(value) for split, value in source.splits.items()},
        }
        for name, source in manifest.sources.items()
    }
    about = {
        "hash": manifest.hash,
        "verified": True,
        "tokenizer": manifest.tokenizer_kind,
        "vocab_size": manifest.vocab_size,
        "sources": sources,
        "removals": [asdict(removal) for removal in manifest.removals],
        "paths": manifest.paths,
    }
    return about | ({"build": manifest.build} if with_build else {})


def decode(folder: Path, doc_id: str) -> str:
    """The text of one document by its id, or by `SOURCE:ID` where sources share ids; as tokenised: white space
    folded, an unknown character as ` ⁇ `.

    This shows text of the corpus: call it only when the user asks for it.
    Raises `UserError` when no document, or several, have that id; the message does not repeat it.
    """
    corpus = open_corpus(folder)
    found = []
    for split in (TRAIN, VALIDATION):
        for source, entry in corpus.manifest.shards(split):
            shard = corpus.open(entry)
            names = ((known, f"{source}:{known}") for known in shard.doc_ids)
            found += [(source, shard.document(index)) for index, pair in enumerate(names) if doc_id in pair]
    if not found:
        raise UserError(f"{folder} holds no document of this id; check the id, or it was dropped (see report.md)")
    if len(found) > 1:
        sources = ", ".join(sorted(source for source, _ in found))
        raise UserError(f"{len(found)} documents have this id, in {sources}; give SOURCE:ID")
    return load_tokenizer(folder / TOKENIZER).decode(found[0][1])


def _counts(split: Split) -> dict[str, int]:
    return {
        "documents": split.documents,
        "words": split.words,
        "tokens": split.tokens,
        "shards": len(split.shards),
        "bytes": sum(shard.bytes for shard in split.shards),
    }
