"""The world that the sample speaks of: medical fields, their diseases and what goes with each.

It is the same for every seed, so that any NER set speaks of what any corpus tells. One noun in three
of every pool is held out: the training part of a NER set never shows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from camembert_bio.samples import lexicon
from camembert_bio.samples.dice import Dice
from camembert_bio.samples.grammar import Mark, Noun, coordinate, parse_noun, render
from camembert_bio.samples.names import Namer

LABELS = ("ANAT", "CHEM", "DEVI", "DISO", "LIVB", "PHYS", "PROC", "SUBST")
"""Anatomy, medicine, device, disorder or sign, living being, physiology, procedure, bodily or natural substance."""

_POOL_LABELS = {"ANAT": "ANAT", "SIGN": "DISO", "PROC": "PROC", "DEVI": "DEVI", "PHYS": "PHYS", "GERM": "LIVB"}
Pools = Mapping[str, tuple[Noun, ...]]


@dataclass(frozen=True)
class Lab:
    """A substance that is measured, its normal range in `unit`, and the side to which disease moves it."""

    noun: Noun
    rises: bool
    unit: str
    low: float
    high: float


@dataclass(frozen=True)
class Drug:
    """A medicine: international name, brand, family, what the family does, usual dose in mg."""

    noun: Noun
    brand: Noun
    family: Noun
    mechanism: str
    dose_mg: str


@dataclass(frozen=True)
class Disease:
    """A disease and what a text about it mentions: `pools` has the keys ANAT, SIGN, PROC, DEVI, PHYS and GERM."""

    noun: Noun
    pools: Pools
    labs: tuple[Lab, ...]
    drugs: tuple[Drug, ...]


@dataclass(frozen=True)
class Field:
    """A medical field: nouns that occur together, by the same keys."""

    name: Noun
    adjective: Noun
    pools: Pools
    labs: tuple[Lab, ...]
    drugs: tuple[Drug, ...]
    diseases: tuple[Disease, ...]


@dataclass(frozen=True)
class World:
    """All fields, and the nouns that belong to none (adults, kin, fluids, coordinations, ...)."""

    fields: tuple[Field, ...]
    shared: Pools

    def by_label(self) -> dict[str, list[Noun]]:
        """Every noun of the world once, under its label."""
        nouns: dict[str, dict[str, Noun]] = {label: {} for label in LABELS}
        everything = [noun for pool in self.shared.values() for noun in pool]
        for one in self.fields:
            everything += [noun for pool in one.pools.values() for noun in pool]
            everything += [disease.noun for disease in one.diseases]
            everything += [lab.noun for lab in one.labs]
            everything += [noun for drug in one.drugs for noun in (drug.noun, drug.brand, drug.family)]
        for noun in everything:
            nouns[noun.marks[0].label][noun.text] = noun
        return {label: list(pool.values()) for label, pool in nouns.items()}


@cache
def the_world() -> World:
    """The one world, built in about 0.1 s and kept."""
    namer = Namer(Dice("world", "names"), _written_words())
    blocks = lexicon.FIELDS.strip().split("\n\n")
    fields = tuple(_field(block, namer, Dice("world", place)) for place, block in enumerate(blocks))
    shared = {
        "adults": _nouns(lexicon.ADULTS, "LIVB"),
        "children": _nouns(lexicon.CHILDREN, "LIVB"),
        "kin": _held_out(_nouns(lexicon.KIN, "LIVB")),
        "animals": _held_out(_nouns(lexicon.ANIMALS, "LIVB")),
        "fluids": _held_out(_nouns(lexicon.FLUIDS, "SUBST")),
        "intakes": _held_out(_nouns(lexicon.INTAKES, "SUBST")),
        "drugs": _held_out(_nouns(lexicon.COMMON_DRUGS, "CHEM")),
        "physiology": _held_out(_nouns(lexicon.PHYSIOLOGY, "PHYS")),
        "maternity": _held_out(_nouns(lexicon.MATERNITY, "PHYS")),
        "coordinations": _coordinations(),
    }
    return World(fields, shared)


def compose(head: str, form: str, noun: Noun, label: str) -> Noun:
    """A noun around another, `cancer du poumon`: one entity as a whole, and those that `noun` brings."""
    gender, _, word = head.partition(" ")
    text, marks = render(f"{word} {{{form}:x}}" if form else f"{word} {{x}}", {"x": noun})
    return Noun(text, gender[0], False, (Mark(label, ((0, len(text)),)), *marks))


def _written_words() -> set[str]:
    text = " ".join(value for value in vars(lexicon).values() if isinstance(value, str))
    return set(text.replace(";", " ").replace(",", " ").split())


def _nouns(entries: str, label: str) -> tuple[Noun, ...]:
    return tuple(parse_noun(entry, label) for entry in entries.split(";"))


def _held_out(nouns: Sequence[Noun]) -> tuple[Noun, ...]:
    """The same nouns with every third one held out."""
    return tuple(replace(noun, held_out=place % 3 == 1) for place, noun in enumerate(nouns))


def _coordinations() -> tuple[Noun, ...]:
    """Coordinations of two adjectives in both orders, and of three."""
    nouns = []
    for label, head, adjectives in lexicon.COORDINATIONS:
        words = adjectives.split()
        pairs = [[first, second] for first in words for second in words if first != second]
        triples = [words[place : place + 3] for place in range(len(words) - 2)]
        nouns += [coordinate(parse_noun(head, None), chosen, label) for chosen in pairs + triples]
    return tuple(nouns)


def _field(block: str, namer: Namer, dice: Dice) -> Field:
    """One field from its block of the lexicon, with invented nouns added and every pool partly held out."""
    lines: dict[str, list[str]] = {}
    for line in block.splitlines():
        key, _, rest = line.partition(" ")
        lines.setdefault(key, []).append(rest)
    name, adjective = lines["FIELD"][0].split("; ")
    written = {
        key: [noun for rest in lines[key] for noun in _nouns(rest, label)] for key, label in _POOL_LABELS.items()
    }
    labs = [_lab(entry) for entry in lines["LABS"][0].split("; ")] + [_invented_lab(namer, dice) for _ in range(2)]
    organs = written["ANAT"] + [_eponym("ANAT", namer, dice) for _ in range(2)]
    germs = written["GERM"] + [Noun(text, "m", marks=_whole(text, "LIVB")) for text in namer.pathogens(3)]
    roots = dice.sample(lines["ROOTS"][0].split(), 9)
    pools = {
        "ANAT": organs,
        "GERM": germs,
        "SIGN": written["SIGN"],
        "PHYS": written["PHYS"] + [_eponym("PHYS", namer, dice)],
        "DEVI": written["DEVI"] + _invented_devices(namer, dice),
        "PROC": written["PROC"] + _invented_procedures(roots, organs, labs, namer, dice),
    }
    diseases = [noun for rest in lines["DISO"] for noun in _nouns(rest, "DISO")]
    diseases += _invented_diseases(roots, organs, germs, namer, dice)
    kept = {key: _held_out(pool) for key, pool in pools.items()}
    kept_labs = tuple(replace(lab, noun=replace(lab.noun, held_out=place % 3 == 1)) for place, lab in enumerate(labs))
    drugs = tuple(drug for place, rest in enumerate(lines["DRUG"]) for drug in _family(rest, place == 1, namer, dice))
    related = tuple(_related(noun, kept, kept_labs, drugs, dice) for noun in _held_out(diseases))
    return Field(Noun(name, "f"), Noun(adjective), kept, kept_labs, drugs, related)


def _whole(text: str, label: str) -> tuple[Mark, ...]:
    return (Mark(label, ((0, len(text)),)),)


def _eponym(label: str, namer: Namer, dice: Dice) -> Noun:
    """`maladie de Corlier`, whose head says what it is."""
    return compose(dice.choice(lexicon.EPONYM_HEADS[label]), "de", Noun(namer.eponyms(1)[0]), label)


def _invented(names: Sequence[str], label: str, dice: Dice) -> list[Noun]:
    return [Noun(name, dice.choice("mf"), marks=_whole(name, label)) for name in names]


def _invented_lab(namer: Namer, dice: Dice) -> Lab:
    head = dice.choice(lexicon.EPONYM_HEADS["SUBST"])
    noun = compose(head, "", Noun(namer.acronyms(1)[0]), "SUBST")
    low = dice.between(2, 30)
    return Lab(noun, dice.chance(0.7), dice.choice(["UI/mL", "µg/L", "ng/mL"]), low, low * dice.between(2, 5))


def _invented_devices(namer: Namer, dice: Dice) -> list[Noun]:
    return [*_invented(namer.capitalised(3), "DEVI", dice), *(_eponym("DEVI", namer, dice) for _ in range(2))]


def _invented_procedures(roots: list[str], organs: list[Noun], labs: list[Lab], namer: Namer, dice: Dice) -> list[Noun]:
    words = [_joined(root, suffix) for root, suffix in zip(roots, dice.sample(lexicon.SUFFIXES_PROC, 4), strict=False)]
    nouns = [Noun(word, "f", marks=_whole(word, "PROC")) for word in namer.fresh(words)]
    heads = dice.sample(lexicon.ORGAN_PROC, 4)
    nouns += [compose(head, "du", organ, "PROC") for head, organ in zip(heads, dice.sample(organs, 4), strict=True)]
    nouns += [compose("m dosage", "du", lab.noun, "PROC") for lab in dice.sample(labs, 2)]
    nouns += [_eponym("PROC", namer, dice) for _ in range(2)]
    return nouns + _invented(namer.acronyms(3) + namer.opaque(2), "PROC", dice)


def _invented_diseases(roots: list[str], organs: list[Noun], germs: list[Noun], namer: Namer, dice: Dice) -> list[Noun]:
    words = []
    for place, root in enumerate(roots + roots[:3]):
        word = _joined(root, dice.choice(lexicon.SUFFIXES_DISO))
        words.append(f"{word} {dice.choice(lexicon.COURSES)}" if place % 3 == 2 else word)
    nouns = [Noun(word, "f", marks=_whole(word, "DISO")) for word in namer.fresh(words)]
    heads = dice.sample(lexicon.ORGAN_DISO, 5)
    nouns += [compose(head, "du", organ, "DISO") for head, organ in zip(heads, dice.sample(organs, 5), strict=True)]
    nouns += [compose("f infection", "à", germ, "DISO") for germ in dice.sample(germs, 2)]
    nouns += [_eponym("DISO", namer, dice) for _ in range(3)]
    return nouns + _invented(namer.opaque(5) + namer.acronyms(2), "DISO", dice)


def _joined(root: str, suffix: str) -> str:
    """`cardi` + `ite` is `cardite`, `méning` + `opathie` is `méningopathie`."""
    return (root[:-1] if root[-1] in "io" and suffix[0] in "io" else root) + suffix


def _lab(entry: str) -> Lab:
    """A lab from `f créatinine + µmol/L 60 110`."""
    *words, sign, unit, low, high = entry.split()
    numbers = [float(number.replace(",", ".")) for number in (low, high)]
    return Lab(parse_noun(" ".join(words), "SUBST"), sign == "+", unit, *numbers)


def _family(entry: str, held_out: bool, namer: Namer, dice: Dice) -> list[Drug]:
    """The medicines of one family, the written ones and as many invented ones."""
    family, stem, mechanism, written = entry.split("; ")
    family_noun = replace(parse_noun(family, "CHEM"), held_out=held_out)
    names = written.split(", ")
    names += namer.international(stem, len(names))
    genders = ["f" if name.endswith(("ine", "one")) else "m" for name in names]
    nouns = _held_out(
        [Noun(name, gender, marks=_whole(name, "CHEM")) for name, gender in zip(names, genders, strict=True)]
    )
    brands = _held_out(_invented(namer.capitalised(len(names)), "CHEM", dice))
    doses = ["2,5", "5", "10", "20", "40", "50", "80", "100", "150", "200", "250", "500"]
    return [
        Drug(noun, replace(brand, gender="m"), family_noun, mechanism, dice.choice(doses))
        for noun, brand in zip(nouns, brands, strict=True)
    ]


def _related(noun: Noun, pools: Pools, labs: tuple[Lab, ...], drugs: tuple[Drug, ...], dice: Dice) -> Disease:
    """What goes with a disease: few of its field's nouns, and one or two families of medicines."""
    counts = {"ANAT": 2, "SIGN": 4, "PROC": 4, "DEVI": 2, "PHYS": 2, "GERM": 2}
    near = {key: tuple(dice.sample(pools[key], count)) for key, count in counts.items()}
    families = dice.sample(list(dict.fromkeys(drug.family for drug in drugs)), dice.between(1, 2))
    chosen = tuple(drug for drug in drugs if drug.family in families)
    return Disease(noun, near, tuple(dice.sample(labs, 2)), chosen)
