"""Text that was written as UTF-8 and read as another encoding (`Ã©` for `é`), read again as it was meant."""

from __future__ import annotations

import re

_SIGNS = ("Ã", "Â", "â€")
# Bytes 80 to BF as Windows-1252 or Latin-1 shows them; `Ã` and a space is `à`.
_CONTINUATION = "\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
_MOJIBAKE = re.compile(f"[ÃÂ][{_CONTINUATION}]|Ã |â€[{_CONTINUATION}]")
_C1 = re.compile("[\x80-\x84\x86-\x9f]")
# A line, or a part of a long one that ends with a space: ftfy takes 0.3 s a megabyte.
_PIECE = re.compile(r"[^\n]{1,5000}[^\n ]* ?|\n")


def repair(text: str, plain: bool = False) -> str:
    """The text with its mojibake repaired by ftfy, line by line; a line without a sign of it is left alone.

    `plain` says that no character of the text is invisible, so none of Windows-1252's `\\x80` to `\\x9f` either.
    ftfy changes a line where the result is likelier text by its own measure: `SÃO PAULO` stays.
    """
    if not _is_suspect(text, plain):
        return text
    import ftfy

    pieces = _PIECE.findall(text)
    return "".join(ftfy.fix_encoding(piece) if _is_suspect(piece, plain) else piece for piece in pieces)


def _is_suspect(text: str, plain: bool) -> bool:
    has_sign = any(sign in text for sign in _SIGNS)
    return (has_sign and _MOJIBAKE.search(text) is not None) or (not plain and _C1.search(text) is not None)
