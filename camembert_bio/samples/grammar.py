"""French phrases from templates: agreement, elision, contraction, and the spans of what was filled in.

A template is plain text with three constructions:

    [des|quelques|]           one of the alternatives, drawn; they nest
    {le:dis}                  the noun `dis` of the context in a form of `_ARTICLES`; `{dis}` is the bare noun
    <DISO allergie {au:drug}> a span with its label; it may hold nouns, which keep their own spans

Elided articles stay outside the span of their noun: in `l'aspirine` the span is `aspirine`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from camembert_bio.samples.dice import Dice

Fragments = tuple[tuple[int, int], ...]

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_TOKEN = re.compile(r"\{(?:(\w+):)?(\w+)\}|<([A-Z]+) |>")
_VOWELS = tuple("aàâäeéèêëiîïoôöuùûüœAÀÂEÉÈÊIÎOÔUŒhH")
_ASPIRATED = ("hernie", "hanche", "hoquet", "haut", "huit")


@dataclass(frozen=True)
class Mark:
    """An annotated entity: a label and `[start, end)` fragments in code points of the text it belongs to."""

    label: str
    fragments: Fragments

    def moved(self, by: int) -> Mark:
        """The same mark after `by` code points were put in front of the text."""
        return Mark(self.label, tuple((start + by, end + by) for start, end in self.fragments))


@dataclass(frozen=True)
class Noun:
    """A noun phrase without its article; `marks` holds the entities inside, itself included."""

    text: str
    gender: str = "m"
    plural: bool = False
    marks: tuple[Mark, ...] = ()
    held_out: bool = False

    @property
    def elides(self) -> bool:
        """Whether `le`, `la` and `de` lose their vowel before this noun."""
        return self.text.startswith(_VOWELS) and not self.text.startswith(_ASPIRATED)


def parse_noun(entry: str, label: str | None) -> Noun:
    """A noun from `m infarctus du <ANAT myocarde>`: gender (m, f, mp, fp), text, spans inside.

    The whole noun is an entity with `label`, unless that is None.
    """
    gender, _, marked = entry.strip().partition(" ")
    text, marks = render(marked, {})
    own = () if label is None else (Mark(label, ((0, len(text)),)),)
    return Noun(text, gender[0], gender.endswith("p"), own + marks)


def coordinate(head: Noun, adjectives: list[str], label: str) -> Noun:
    """`douleurs thoraciques, abdominales et lombaires`: one entity per adjective, all but the first discontinuous."""
    text, marks = f"{head.text} ", []
    for place, adjective in enumerate(adjectives):
        if place:
            text += " et " if place == len(adjectives) - 1 else ", "
        start = len(text)
        text += adjective
        joined = ((0, len(text)),) if place == 0 else ((0, len(head.text)), (start, len(text)))
        marks.append(Mark(label, joined))
    return Noun(text, head.gender, head.plural, tuple(marks))


_ARTICLES = {
    # masculine, feminine, both before a vowel, plural, plural before a vowel
    "le": ("le ", "la ", "l'", "l'", "les ", "les "),
    "un": ("un ", "une ", "un ", "une ", "des ", "des "),
    "du": ("du ", "de la ", "de l'", "de l'", "des ", "des "),
    "au": ("au ", "à la ", "à l'", "à l'", "aux ", "aux "),
    "de": ("de ", "de ", "d'", "d'", "de ", "d'"),
    "dun": ("d'un ", "d'une ", "d'un ", "d'une ", "de ", "d'"),
    "ce": ("ce ", "cette ", "cet ", "cette ", "ces ", "ces "),
    "son": ("son ", "sa ", "son ", "son ", "ses ", "ses "),
    "à": ("à ", "à ", "à ", "à ", "à ", "à "),
}
"""What stands before a noun in each form."""

_AGREEMENTS = {
    # masculine, feminine, plural masculine, plural feminine
    "e": ("", "e", "", "e"),
    "s": ("", "", "s", "s"),
    "il": ("il", "elle", "ils", "elles"),
    "est": ("est", "est", "sont", "sont"),
}
"""Forms that agree with a noun instead of naming it."""


def _article(form: str, noun: Noun) -> str:
    """What stands before a noun in a form, its space included."""
    place = 4 + noun.elides if noun.plural else 2 * noun.elides + (noun.gender == "f")
    return _ARTICLES[form][place]


def choose(template: str, dice: Dice) -> str:
    """The template with one alternative of each `[a|b]` left, the innermost chosen first."""
    while match := _CHOICE.search(template):
        chosen = dice.choice(match.group(1).split("|"))
        template = template[: match.start()] + chosen + template[match.end() :]
    return template


def render(template: str, context: Mapping[str, Noun]) -> tuple[str, tuple[Mark, ...]]:
    """A template without alternatives as text and marks; the nouns come from `context`."""
    pieces: list[str] = []
    length = position = 0
    marks: list[Mark] = []
    opened: list[tuple[str, int]] = []

    def put(piece: str) -> None:
        nonlocal length
        pieces.append(piece)
        length += len(piece)

    for match in _TOKEN.finditer(template):
        put(template[position : match.start()])
        position = match.end()
        form, name, label = match.groups()
        if label:
            opened.append((label, length))
        elif name is None:
            label, start = opened.pop()
            marks.append(Mark(label, ((start, length),)))
        elif form in _AGREEMENTS:
            noun = context[name]
            put(_AGREEMENTS[form][2 * noun.plural + (noun.gender == "f")])
        else:
            noun = context[name]
            put(_article(form, noun) if form else "")
            marks += [mark.moved(length) for mark in noun.marks]
            put(noun.text)
    put(template[position:])
    assert not opened, template
    return "".join(pieces), tuple(marks)


@dataclass
class Draft:
    """A document under construction: text and marks grow together."""

    text: str = ""
    marks: list[Mark] = field(default_factory=list)

    def add(self, text: str, marks: Iterable[Mark] = ()) -> None:
        """Append text whose marks count from its own beginning."""
        self.marks += [mark.moved(len(self.text)) for mark in marks]
        self.text += text

    def sentence(self, template: str, context: Mapping[str, Noun], dice: Dice, end: str = " ") -> None:
        """Append a drawn sentence, its first letter made a capital, and what follows it."""
        text, marks = render(choose(template, dice), context)
        self.add(text[:1].upper() + text[1:] + end, marks)

    def finish(self) -> None:
        """Remove the white space at the end."""
        self.text = self.text.rstrip()
