"""Words that a hyphen cuts at a line end, in one piece."""

from __future__ import annotations

import re

_LETTER = "[a-zß-öø-ÿœ]"
_CUT = re.compile(rf"(?<={_LETTER})[-‐]\n(?={_LETTER})")
_SOFT_CUT = re.compile("\u00ad[ \\t\u00a0]*\n[ \\t\u00a0]*")
_WORD_BEFORE = re.compile(r"[\w'’-]*\Z")
_WORD_AFTER = re.compile(r"\w*-?")
_WORD_CHARACTERS = 40
_SEARCHED_CHARACTERS = 100_000
_MAX_SEARCHES = 1000

# What stands before, or after, the hyphen of a compound, and begins or ends no longer word in French typesetting.
_LEFT = (
    "après arrière avant aux ceci cela celle celles celui ceux chef ci demi elle elles eux grand haut là lui même moi "
    "non nous peut peux quant quasi rendez soi soit sous toi vice vis vous dix vingt trente quarante cinquante "
    "soixante quatre"
)
_RIGHT = "ce ci delà dessous dessus dire elle elles il ils je là leur lui même mêmes moi nous on toi tu vous être"
_COMPOUND_LEFT, _COMPOUND_RIGHT = frozenset(_LEFT.split()), frozenset(_RIGHT.split())


def join_soft_hyphens(text: str) -> str:
    """A raw text with the words in one piece that a soft hyphen cuts at a line end."""
    return _SOFT_CUT.sub("", text) if "\u00ad" in text else text


def join_words(text: str) -> str:
    """`mala-` `die` at a line end becomes `maladie`, where lower-case letters stand on both sides. For clean texts.

    A compound keeps its hyphen: one of a short list (`peut-être`, `dit-elle`), one with a second hyphen, or one that
    the beginning of the document spells so on one line and nowhere without.
    """
    if "-\n" not in text and "‐\n" not in text:
        return text
    searches = 0

    def hyphen(cut: re.Match[str]) -> str:
        nonlocal searches
        before = _WORD_BEFORE.search(text[max(0, cut.start() - _WORD_CHARACTERS) : cut.start()])
        after = _WORD_AFTER.match(text[cut.end() : cut.end() + _WORD_CHARACTERS])
        assert before is not None and after is not None, "both patterns match the empty string"
        left, right = before[0].lower(), after[0].lower()
        if "-" in left + right or left in _COMPOUND_LEFT or right in _COMPOUND_RIGHT:
            return "-"
        searches += 1
        return "-" if searches <= _MAX_SEARCHES and _is_compound(left, right, text) else ""

    return _CUT.sub(hyphen, text)


def _is_compound(left: str, right: str, text: str) -> bool:
    """Whether the beginning of a text has `left-right` on one line, and not `leftright`."""
    compound = text.find(f"{left}-{right}", 0, _SEARCHED_CHARACTERS) >= 0
    return compound and text.find(f"{left}{right}", 0, _SEARCHED_CHARACTERS) < 0
