"""Documents that stand in two parts of a corpus: the same text, or half of its word 5-grams."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence

import numpy as np

from camembert_bio.corpus import ngrams
from camembert_bio.evaluation.documents import Text

NEAR = 0.5
"""Share of the shorter document's 5-grams in the other from which the two are near. On QUAERO's MEDLINE it finds titles
that differ by a few words; two documents of E3C share 12 % at most."""
_WORDS = 5
_MARK = "\ufeff"
"""The byte order mark, which some editors put before a text."""


def same_text(documents: Sequence[Text], seen: Sequence[Text]) -> list[tuple[str, str]]:
    """(document, seen) ids of the documents whose text stands among those seen.

    White space, case, byte order marks and the Unicode form of accents do not count; a document without text is none.
    """
    known: dict[str, str] = {}
    for document in filter(has_text, seen):
        known.setdefault(_key(document), document.id)
    keys = ((document.id, _key(document)) for document in filter(has_text, documents))
    return [(name, known[key]) for name, key in keys if key in known]


def has_text(document: Text) -> bool:
    """Whether a document has more than white space and byte order marks."""
    return bool(document.text.replace(_MARK, "").strip())


def near(documents: Sequence[Text], seen: Sequence[Text], share: float = NEAR) -> list[tuple[str, str, float]]:
    """(document, seen, share) of each pair of which the shorter has this share of its 5-grams, or more, in the other.

    Memory: 16 bytes a 5-gram of `documents`.
    """
    if not documents or not seen:
        return []
    grams = [np.unique(found) for found in _grams(documents)]
    owners = np.repeat(np.arange(len(grams)), [len(found) for found in grams])
    hashes = np.concatenate(grams)
    order = np.argsort(hashes, kind="stable")
    hashes, owners = hashes[order], owners[order]
    sizes = np.maximum([len(found) for found in grams], 1)
    pairs = []
    for other, found in zip(seen, _grams(seen), strict=True):
        found = np.unique(found)  # noqa: PLW2901
        firsts, lasts = np.searchsorted(hashes, found), np.searchsorted(hashes, found, side="right")
        shared = [owners[first:last] for first, last in zip(firsts, lasts, strict=True) if last > first]
        counts = np.bincount(np.concatenate(shared), minlength=len(sizes)) if shared else np.zeros(len(sizes))
        shares = counts / np.minimum(sizes, max(len(found), 1))
        pairs += [(documents[i].id, other.id, float(shares[i])) for i in np.flatnonzero(shares >= share).tolist()]
    return sorted(pairs)


def _grams(documents: Sequence[Text]) -> list[ngrams.Hashes]:
    found = ngrams.ngrams(ngrams.words([document.text for document in documents]), _WORDS)
    return np.split(found.hashes, found.offsets[1:-1])


def _key(document: Text) -> str:
    folded = unicodedata.normalize("NFC", document.text.replace(_MARK, "").casefold())
    return hashlib.sha256(" ".join(folded.split()).encode()).hexdigest()
