"""Cleaning: the same characters for the same text, and no literal that a tokenizer takes for a special token.

In order: control and invisible characters removed, odd spaces and line ends folded, Unicode NFC, runs
of white space shortened, special-token literals opened up. Cleaning a clean text changes nothing.
A text comes out with single spaces, at most one empty line in a row, and none at its ends.
"""

from __future__ import annotations

import re
import unicodedata

_SPACES = "\t\v\f\u00a0\u1680\u202f\u205f\u3000\ufffc\ufffd" + "".join(map(chr, range(0x2000, 0x200B)))
_SENTENCEPIECE_SPACE = "▁"  # in a text it would be read as a space
_LINE_ENDS = "\r\x85\u2028\u2029"
_INVISIBLE = ("Cc", "Cf", "Cs")
_NONCHARACTERS = (*range(0xFDD0, 0xFDF0), 0xFFFE, 0xFFFF)

# `<` and its compatibility forms: the tokenizer's own NFKC turns `＜s＞` into `<s>`.
_OPEN, _CLOSE = "<＜﹤", ">＞﹥"
_LITERAL = re.compile(rf"[{_OPEN}]([^\s{_OPEN}{_CLOSE}]{{1,8}})[{_CLOSE}]")
_NAMES = frozenset({"s", "/s", "pad", "unk", "mask"})


def _replacements() -> dict[str, str]:
    """Every character that a clean text does not hold, with what stands in its place.

    None beyond U+FFFF: `re` would test each of those by itself, 40 times slower.
    """
    invisible = [code for code in range(0x10000) if unicodedata.category(chr(code)) in _INVISIBLE]
    table = {chr(code): "" for code in (*invisible, *_NONCHARACTERS)}
    table |= dict.fromkeys(_SPACES + _SENTENCEPIECE_SPACE, " ") | dict.fromkeys(_LINE_ENDS, "\n")
    del table["\n"]
    return table


_REPLACED = _replacements()
_ODD = re.compile(f"[{''.join(map(re.escape, _REPLACED))}]")
_ODD_PRINTABLE = tuple(character for character in _REPLACED if character.isprintable())
_RUN = re.compile(r"[ \n]{2,}")
_LINE_RUNS = (" \n", "\n ", "\n\n\n")


def clean(text: str) -> str:
    """The cleaned text; it may be empty. About 75 MB per CPU-second."""
    text = text.replace("\r\n", "\n")
    return neutralise(fold_characters(text, is_plain(text)))


def is_plain(text: str) -> bool:
    """Whether a text holds no character that cleaning replaces: six times cheaper than replacing."""
    return text.replace("\n", "").isprintable() and not any(character in text for character in _ODD_PRINTABLE)


def fold_characters(text: str, plain: bool) -> str:
    """The text in NFC without odd characters, its white space shortened; its line ends are no `\\r\\n`.

    `plain` is what `is_plain` says of it; False is never wrong. The regular expressions run where a cheap test asks
    for them: most texts need none.
    """
    if not plain:
        text = _ODD.sub(lambda match: _REPLACED[match[0]], text)
    if not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
    if "  " in text or ("\n" in text and any(run in text for run in _LINE_RUNS)):
        text = _RUN.sub(_shorten, text)
    return text.strip(" \n")


def neutralise(text: str) -> str:
    """Open up the literals of special tokens: `<s>` becomes `< s >`, whatever the width and case of its letters.

    Without this transformers reads `<mask>` in a text as the special id, even with
    `split_special_tokens=True`, and `＜s＞` too, through its normaliser.
    """
    if any(sign in text for sign in _OPEN):
        # NFC again: `＞` and an overlay stand apart, `>` and an overlay are one character.
        return unicodedata.normalize("NFC", _LITERAL.sub(_open_up, text))
    return text


def num_words(text: str) -> int:
    """Words of a clean text: what stands between white space."""
    return 1 + text.count(" ") + text.count("\n") - text.count("\n\n") if text else 0


def _shorten(run: re.Match[str]) -> str:
    lines = run[0].count("\n")
    return "\n" * min(lines, 2) if lines else " "


def _open_up(literal: re.Match[str]) -> str:
    name = unicodedata.normalize("NFKC", literal[1]).casefold()
    return f"< {name} >" if name in _NAMES else literal[0]
