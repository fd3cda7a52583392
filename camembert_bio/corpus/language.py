"""The language of a text: French by its commonest words, any other by py3langid.

py3langid works offline, needs numpy alone and takes 5 MB on the disk (lingua: 96 MB).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from camembert_bio.errors import UserError, nearest

FRENCH = "fr"
_LOOKED_AT = 1000
_MIN_WORDS = 10
_FRENCH_SHARE = 0.2
_SURE = 0.9
# Words of French that the other languages written in Latin letters lack, or rarely use.
_FRENCH = (
    "à au aux avec ce ces cette chez dans des du elle est et était été être il ils la le les leur lors mais ne nous ou "
    "où par pas pour qui sans ses son sont sous sur une vos votre vous"
)
_OTHER = "the of and with el los las y con il della di und der die o os em het een"
_FRENCH_WORDS, _OTHER_WORDS = frozenset(_FRENCH.split()), frozenset(_OTHER.split())


class Languages:
    """Which language a text is in, where it is none of those that are wanted."""

    def __init__(self, wanted: Sequence[str]) -> None:
        """Raises `UserError` for a code that the library does not know."""
        self._wanted = frozenset(wanted)
        for code in self._wanted - {FRENCH}:  # so that French alone may do without the library
            known = set(self._identifier.nb_classes)
            if code not in known:
                raise UserError(f"clean.languages: {code!r} is no language that can be told ({nearest(code, known)})")

    @functools.cached_property
    def _identifier(self) -> Any:
        """py3langid with its model: 0.6 CPU-seconds and 40 MB."""
        from py3langid.langid import MODEL_FILE, LanguageIdentifier

        return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)

    def other(self, text: str) -> str | None:
        """The code of another language that the text surely is in, at its beginning and in its middle.

        None too for a text of less than ten words, or one whose parts are in different languages.
        """
        middle = len(text) // 2
        beginning = self._other(text[:_LOOKED_AT])
        if beginning is None or len(text) < 2 * _LOOKED_AT:
            return beginning
        return beginning if self._other(text[middle : middle + _LOOKED_AT]) == beginning else None

    def _other(self, part: str) -> str | None:
        words = part.lower().split()
        if len(words) < _MIN_WORDS or (FRENCH in self._wanted and _is_french(words)):
            return None
        code, probability = self._identifier.classify(part)
        return None if code in self._wanted or probability < _SURE else str(code)


def _is_french(words: Sequence[str]) -> bool:
    """Whether a fifth of the words are French and few are another language's. About 15 microseconds."""
    french = sum(word in _FRENCH_WORDS for word in words)
    return french >= _FRENCH_SHARE * len(words) and 4 * sum(word in _OTHER_WORDS for word in words) < french
