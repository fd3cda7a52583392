"""Plain text: one document a file, in UTF-8. The texts of brat, beside their `.ann` files, are such a folder."""

from __future__ import annotations

from pathlib import Path

from camembert_bio.corpus.readers.one_file import Opener, Part
from camembert_bio.corpus.readers.record import BOM, decode


def plain(data: bytes) -> str:
    """The text of a whole file; `BadDocumentError` when it is not UTF-8."""
    return decode(data.removeprefix(BOM), whole_file=True)


def parse(file: Path, opened: Opener) -> list[Part]:
    """The file's text."""
    return [Part(plain(opened(file)))]
