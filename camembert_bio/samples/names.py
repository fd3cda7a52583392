"""Invented names composed of syllables: medicines, pathogens, eponyms, acronyms.

Brands, rare diseases, devices and genera share their syllables and endings on purpose: the form of
such a word does not tell what it is, only its use in the raw text does. That is what pretraining can
bring to a tagger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from camembert_bio.samples.dice import Dice


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_OPEN = _words("ba do fe ga li ma ne pi ra so te va zi lu ce mo ni ro ta ve")
_SYLLABLES = _words(
    "bal bri cal cor dal dor fen fla gal gri jor kel kor lam lor mar mir nar nel pel pra quin ral ros sal sel sol tal"
    " tar tri val vel ver vra zan zel zor clo bru"
)
_ENDINGS = _words("ane ard ance el ex il ine ise ol or oude ax uve aine este ique ombe ure iane oque")
_EPONYMS = _words("bert brun court dier gnon lain lier mond nec quet rand sart tier vert zac ley witz sen")
_SPECIES = _words("ans ensis ata ulum osa ica oides atum ei arum")
_ALPHABET = "ABCDFGKLMNPRSTVX"


class Namer:
    """Draws names in lower case unless said, never the same twice whatever the kind."""

    def __init__(self, dice: Dice, taken: Iterable[str]) -> None:
        self._dice = dice
        self._taken = {word.lower() for word in taken}

    def opaque(self, count: int) -> list[str]:
        """Words such as `corvelane`, whose form says nothing of their kind."""
        return self._new(lambda: self._join(_SYLLABLES, self._dice.between(1, 2)) + self._dice.choice(_ENDINGS), count)

    def capitalised(self, count: int) -> list[str]:
        """Opaque words with a capital, as brands and genera have."""
        return [name.capitalize() for name in self.opaque(count)]

    def international(self, stem: str, count: int) -> list[str]:
        """Medicine names on the stem of a family: `tafirolol` on `olol`."""
        link = "rltnvd" if stem[0] in "aeiou" else ("", "")
        return self._new(lambda: self._join(_OPEN, 2) + self._dice.choice(link) + stem, count)

    def eponyms(self, count: int) -> list[str]:
        """Surnames such as `Corlier`."""
        return [name.capitalize() for name in self._new(self._surname, count)]

    def pathogens(self, count: int) -> list[str]:
        """Binomials such as `Kelmarella corensis`."""
        return [
            f"{genus} {self._dice.choice(_SYLLABLES)}{self._dice.choice(_SPECIES)}" for genus in self.capitalised(count)
        ]

    def acronyms(self, count: int) -> list[str]:
        """Three or four consonants, the first never one whose spelt name begins with a vowel."""
        return self._new(lambda: self._dice.choice("BCDGKPTV") + self._join(_ALPHABET, self._dice.between(2, 3)), count)

    def fresh(self, words: Iterable[str]) -> list[str]:
        """Those of the words that were neither written nor drawn yet; they count as drawn from now on."""
        kept = [word for word in dict.fromkeys(words) if word.lower() not in self._taken]
        self._taken.update(word.lower() for word in kept)
        return kept

    def _surname(self) -> str:
        return self._dice.choice(_SYLLABLES) + self._dice.choice(_EPONYMS)

    def _join(self, items: Sequence[str], count: int) -> str:
        return "".join(self._dice.choice(items) for _ in range(count))

    def _new(self, make: Callable[[], str], count: int) -> list[str]:
        names: list[str] = []
        while len(names) < count:
            name = make()
            if name.lower() not in self._taken:
                self._taken.add(name.lower())
                names.append(name)
        return names
