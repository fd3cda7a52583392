"""Pages such as the leaflets of the Base de données publique des médicaments: a heading or paragraph a line.

lxml's event interface is used: no tree is built, and its time is linear in the page's size, however tags are nested
(300,000 unclosed `div` took html5-conforming selectolax minutes).
"""

from __future__ import annotations

import re
from pathlib import Path

from lxml import etree

from camembert_bio.corpus.readers.one_file import Opener, Part
from camembert_bio.corpus.readers.record import BOM, BadDocumentError, refuse_nul

_SKIPPED = {"script", "style", "head", "nav", "noscript", "template", "svg", "footer"}
_SKIPPED |= {"button", "select", "textarea", "datalist"}  # of a form, in which the whole page may stand
_INLINE = {
    "a",
    "abbr",
    "b",
    "bdi",
    "bdo",
    "big",
    "cite",
    "code",
    "em",
    "font",
    "i",
    "ins",
    "kbd",
    "label",
    "mark",
    "q",
    "s",
    "small",
    "span",
    "strong",
    "sub",
    "sup",
    "tt",
    "u",
    "var",
}
_CHARSET = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?\s*([\w-]{1,40})", re.IGNORECASE)

_NO_ENCODINGS = ("unicode_escape", "raw_unicode_escape", "idna", "punycode", "undefined")
"""Python's own, which would read something else than the page's text."""


def parse(file: Path, opened: Opener) -> list[Part]:
    """The page's text."""
    return [Part(text_of(opened(file)))]


def text_of(page: bytes) -> str:
    """The text of a page: one line for each block, cells of a row apart by a space.

    The page is UTF-8, or in the encoding that its `meta` states. Raises `BadDocumentError`.
    """
    target = _Lines()
    parser = etree.HTMLParser(target=target, recover=True)
    parser.feed(refuse_nul(_decode(page)))  # before the parser, which ends at the first
    try:
        lines: list[str] = parser.close()
    except etree.XMLSyntaxError:  # nothing at all was there
        lines = []
    if not lines:
        raise BadDocumentError("no text", "holds no text; is it an HTML page?")
    return "\n".join(lines)


def _decode(page: bytes) -> str:
    try:
        return page.removeprefix(BOM).decode()
    except UnicodeDecodeError as error:
        stated = _CHARSET.search(page[:4096])
        name = stated[1].decode().lower() if stated else "utf-8"
        # A browser reads a page that states the one as the other.
        name = {"iso-8859-1": "windows-1252", "latin1": "windows-1252", "us-ascii": "windows-1252"}.get(name, name)
        try:
            text = page.decode("none" if name.replace("-", "_") in _NO_ENCODINGS else name)
            text.encode()  # a few encodings give half a surrogate pair
            return text
        except (LookupError, ValueError):
            reason = f"is not UTF-8 (byte {error.start}), nor what it states; convert the file to UTF-8"
            raise BadDocumentError("not UTF-8", reason) from None


class _Lines:
    """Receives the parser's events."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._pieces: list[str] = []
        self._skipped: list[str] = []

    def start(self, tag: str, _attributes: object) -> None:
        """An element opens."""
        if tag in _SKIPPED:
            self._skipped.append(tag)
        self._break(tag)

    def end(self, tag: str) -> None:
        """An element closes."""
        if self._skipped and tag == self._skipped[-1]:
            self._skipped.pop()
        self._break(tag)

    def data(self, text: str) -> None:
        """Text between tags."""
        if not self._skipped:
            self._pieces.append(text)

    def close(self) -> list[str]:
        """The lines."""
        self._break("html")
        return self._lines

    def _break(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._pieces.append(" ")
        elif tag not in _INLINE:
            if line := " ".join("".join(self._pieces).split()):
                self._lines.append(line)
            self._pieces.clear()
