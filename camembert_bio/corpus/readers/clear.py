"""CLEAR (Grabar and Cardon 2018): French medical texts, technical and simplified.

The corpus is had from its authors on request and was not at hand. Assumed: a folder below which each text is a
UTF-8 `.txt` file, the technical and the simplified one of a subject in folders, or under names, of their own (each
becomes a document, its id its path); and `.tsv` files of aligned sentences without a heading, a technical and a
simplified one a line, which become two documents, `PATH/technical` and `PATH/simplified`.
"""

from __future__ import annotations

from pathlib import Path

from camembert_bio.corpus.readers.one_file import Opener, Part
from camembert_bio.corpus.readers.record import BadDocumentError
from camembert_bio.corpus.readers.text import plain


def parse(file: Path, opened: Opener) -> list[Part]:
    """One document, or the two sides of a file of pairs."""
    text = plain(opened(file))
    if ".tsv" not in [suffix.lower() for suffix in file.suffixes[-2:]]:
        return [Part(text)]
    pairs = [line.split("\t") for line in text.splitlines() if line.strip()]
    for number, pair in enumerate(pairs, 1):
        if len(pair) != 2:
            reason = f"has {len(pair)} fields in pair {number} instead of 2; give a technical and a simplified sentence"
            raise BadDocumentError("broken row", reason)
    technical, simplified = ("\n".join(pair[side].strip() for pair in pairs) for side in (0, 1))
    return [Part(technical, suffix="/technical"), Part(simplified, suffix="/simplified")]
