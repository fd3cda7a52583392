"""Where a CSV record ends: followed quote by quote, for the records that csv does not read to their end."""

from __future__ import annotations

import re

_QUOTE = b'"'
_LINE_ENDS = b"\r\n"


class Quotes:
    """One record, over any cut of its bytes; fields end as they do for csv."""

    def __init__(self, delimiter: str) -> None:
        self._ends = delimiter.encode() + _LINE_ENDS
        self._end = re.compile(b"[" + re.escape(self._ends) + b"]")
        self._at_start = True  # of a field
        self._after_quote = False  # in an open field: the next byte tells its end from a doubled quote
        self.is_open = False
        """Whether a quoted field has begun that has not ended."""
        self.is_broken = False
        """Whether text follows the quote that ends a field."""
        self.opened = 0
        """The line of the quote that opened last, or of the first field that is broken; 0 without any."""
        self.num_fields = 1
        self.num_quotes = 0

    def feed(self, piece: bytes, line: int) -> None:
        """Follow the next bytes, all of one line."""
        self.num_quotes += piece.count(_QUOTE)
        place = 0
        while place < len(piece):
            if self.is_open and not self._after_quote:
                found = piece.find(_QUOTE, place)
                self._after_quote = found >= 0
                place = found + 1 if found >= 0 else len(piece)
                continue
            self._take(piece[place : place + 1], line)
            place += 1
            if not self.is_open and not self._at_start:
                end = self._end.search(piece, place)
                place = end.start() if end else len(piece)

    def end(self) -> None:
        """The file ends: a quote before it ends its field."""
        if self._after_quote:
            self.is_open = self._after_quote = False

    def _take(self, byte: bytes, line: int) -> None:
        """A byte at the start of a field, after a quote in an open one, or that ends a field."""
        if self._after_quote:
            self._after_quote = False
            if byte == _QUOTE:
                return
            self.is_open = False
            self.is_broken = self.is_broken or byte not in self._ends
        if byte in self._ends:
            self.num_fields += byte not in _LINE_ENDS
            self._at_start = True
        elif byte == _QUOTE and self._at_start:
            self.is_open, self._at_start = True, False
            self.opened = self.opened if self.is_broken else line
        else:
            self._at_start = False
