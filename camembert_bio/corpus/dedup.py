"""Exact deduplication after folding, and the held-out split, both from one hash of the text."""

from __future__ import annotations

import hashlib

from camembert_bio.shards.manifest import TRAIN, VALIDATION


def digest(text: str) -> bytes:
    """16 bytes that name a text up to case and white space (blake2b of the folded text).

    Accents and punctuation stay: on biomed-raw-fr folding accents finds no further copy, and without
    punctuation `2,5 mg` would be `25 mg`.
    """
    folded = text.lower().encode().translate(None, b" \n")
    return hashlib.blake2b(folded, digest_size=16).digest()


def split_of(key: bytes, validation_fraction: float) -> str:
    """The side of the held-out split on which the text of this digest stands, whatever else the corpus holds."""
    share = int.from_bytes(key[:8], "big") / 2**64
    return VALIDATION if share < validation_fraction else TRAIN
