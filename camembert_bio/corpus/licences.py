"""The licence that results for a corpus, from the names of its documents' licences: a rule of thumb and no advice.

One document's licence binds the corpus that holds it. NC is non-commercial, SA share-alike, ND no derivatives.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import combinations, product

Terms = dict[str, list[str]]

_CONDITIONS: dict[str, tuple[str, tuple[set[str], ...]]] = {
    "non_commercial": (
        "non-commercial",
        (
            *({"nc"}, {"noncommercial"}),
            *map(set, product(("no", "non", "not", "pas"), ("commercial", "commerciale"))),
        ),
    ),
    "share_alike": (
        "share-alike",
        ({"sa"}, {"sharealike"}, {"share", "alike"}, {"partage", "conditions"}, {"odbl"}, {"gfdl"}),
    ),
    "no_derivatives": (
        "no derivatives",
        ({"nd"}, {"noderivatives"}, {"noderivs"}, {"no", "derivatives"}, {"pas", "modification"}),
    ),
}
"""By condition: how it is told, and the words that say it in a licence's name."""
_FAMILIES: tuple[set[str], ...] = (
    *({"cc", "by"}, {"creativecommons", "by"}, {"creative", "commons", "attribution"}, {"cc", "0"}),
    *({"publicdomain"}, {"public", "domain"}, {"domaine", "public"}, {"licence", "ouverte"}, {"etalab"}),
    *({"odbl"}, {"odc", "by"}, {"pddl"}, {"gfdl"}, {"apache"}, {"mit"}),
)
_OWN_TERMS = ("gfdl", "odbl")
"""Share-alike licences that are not Creative Commons'."""
_SAY_NOTHING = """a and d dans de deed du en et for http https international l la le les license licenses licences mêmes
    of open or org ou paternité the universal unported use utilisation v version www zero"""


def terms(licences: Iterable[str]) -> Terms:
    """The licences that set each condition on the whole, those that are `unknown` here, and the `conflicts`."""
    found: Terms = {name: [] for name in (*_CONDITIONS, "unknown")}
    for licence in sorted({_printable(licence) for licence in licences}):
        words = _words(licence)
        of_a_family = any(family <= words for family in _FAMILIES)
        for name, (_, signs) in _CONDITIONS.items():
            if any(sign <= words for sign in signs) and (of_a_family or name == "non_commercial"):
                found[name].append(licence)
        if not of_a_family or any(word not in _UNDERSTOOD and not word.isdecimal() for word in words):
            found["unknown"].append(licence)
    return found | {"conflicts": list(_conflicts(found))}


def conditions(found: Terms) -> str:
    """The licence that results for the whole, in words: each condition, and the licences that set it."""
    met = [f"{label} ({', '.join(found[name])})" for name, (label, _) in _CONDITIONS.items() if found[name]]
    if found["unknown"]:
        met.append(f"and what these ask, which are not known here: {', '.join(found['unknown'])}")
    return "; ".join(met) or "attribution at most"


def _conflicts(found: Terms) -> Iterator[str]:
    """What keeps a corpus from being passed on under any licence."""
    alike, restricted = found["share_alike"], found["non_commercial"]
    if any(not _own_terms(one) & _own_terms(other) for one, other in combinations(alike, 2)):
        yield f"each of these asks that the whole be under itself: {', '.join(alike)}"
    free = [licence for licence in alike if licence not in restricted]
    if free and restricted:
        closed_by, opened_by = ", ".join(restricted), ", ".join(free)
        yield f"commercial use of the whole is forbidden by {closed_by}, and to forbid it by {opened_by}"
    if closed := found["no_derivatives"]:
        yield f"a changed text may not be passed on under {', '.join(closed)}, and a corpus holds cleaned texts"


def _own_terms(licence: str) -> set[str]:
    """Which share-alike licences a name names."""
    words = _words(licence)
    own = {name for name in _OWN_TERMS if name in words}
    if any(sign <= words for sign in _CONDITIONS["share_alike"][1] if not sign & set(_OWN_TERMS)):
        own.add("by-nc-sa" if any(sign <= words for sign in _CONDITIONS["non_commercial"][1]) else "by-sa")
    return own


def _printable(licence: str) -> str:
    """A record's own licence, without what would steer the terminal that shows it."""
    return "".join(character if character.isprintable() else "\ufffd" for character in licence)


def _words(licence: str) -> set[str]:
    return set(re.findall(r"[^\W\d_]+|\d+", licence.lower()))


_UNDERSTOOD = _words(_SAY_NOTHING).union(*_FAMILIES, *(sign for _, signs in _CONDITIONS.values() for sign in signs))
"""What a name may hold and ask nothing more: with any other word, its licence is not known here."""
