"""A patient, a disease and what goes with them: the nouns that the templates of one document share."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from camembert_bio.samples.dice import Dice
from camembert_bio.samples.grammar import Noun
from camembert_bio.samples.world import LABELS, Disease, Drug, Field, Lab, the_world

_OF_DISEASE = {"org": "ANAT", "proc": "PROC", "dev": "DEVI", "phys": "PHYS", "germ": "GERM"}
_OF_ALL = {
    "kin": "kin",
    "animal": "animals",
    "sub": "fluids",
    "exp": "intakes",
    "common": "drugs",
    "coord": "DISO coordinations",
    "pcoord": "PROC coordinations",
    "acoord": "ANAT coordinations",
}
_GROUP_OF = dict.fromkeys(("sym", "sym2", "sym3"), "sym") | {f"any{place}": "any" for place in range(1, 5)}
_GROUP_OF |= {f"{part}{place}": "lab" for part in ("lab", "unit", "good", "bad", "norm", "up") for place in ("", "2")}
_GROUP_OF |= {"drug3": "drug3", "brand3": "drug3"}
"""Names that are drawn together."""
_DECIMALS = {"temp": (360, 409, 1), "ratio": (50, 399, 2)}
"""Decimal numbers: lowest and highest without the comma, digits after it."""
_RANGES = {
    "n": (2, 9),
    "days": (2, 21),
    "months": (2, 18),
    "years": (2, 30),
    "hours": (12, 72),
    "percent": (3, 94),
    "cent": (11, 99),
    "hundredth": (10, 49),
    "many": (24, 980),
    "size": (8, 90),
    "sys": (95, 190),
    "dia": (50, 94),
    "pulse": (55, 135),
    "kg": (48, 104),
    "year": (1998, 2023),
}
"""Integers of the templates, lowest and highest."""


@cache
def _pools(held_out: bool) -> dict[str, list[Noun]]:
    """What every case may draw: all nouns by label, coordinations by label, the shared nouns by name."""
    world = the_world()
    pools = world.by_label() | {name: list(nouns) for name, nouns in world.shared.items()}
    for label in LABELS:
        coordinations = [noun for noun in world.shared["coordinations"] if noun.marks[0].label == label]
        pools[f"{label} coordinations"] = coordinations
    return {name: [noun for noun in pool if held_out or not noun.held_out] for name, pool in pools.items()}


class Context(dict[str, Noun]):
    """The nouns of one sentence, drawn when a template asks for them; a name keeps its noun."""

    def __init__(self, case: Case, fixed: dict[str, Noun]) -> None:
        super().__init__(fixed)
        self._case = case

    def __missing__(self, name: str) -> Noun:
        self.update(self._case.draw(name))
        return self[name]


class Case:
    """Draws contexts about one disease; without `held_out`, never a noun that is held out.

    The disease, its medicine and the patient stay the same in every context of a case, and the signs,
    procedures and labs are those of the disease, so that a masked word can be told from what surrounds it.
    """

    def __init__(self, dice: Dice, held_out: bool = True) -> None:
        self.dice = dice
        self._held_out = held_out
        self._pools = _pools(held_out)
        self.field, self._second_field = dice.sample(the_world().fields, 2)
        self._disease = self._draw_disease(self.field)
        self._second = self._draw_disease(self._second_field)
        self._medicine = self._draw_drug(self._disease, self.field)
        self._fixed = self._patient() | self._drug_nouns(self._medicine, "")
        self._fixed |= {
            "field": self.field.name,
            "adj": self.field.adjective,
            "dis": self._disease.noun,
            "dis2": self._second.noun,
            "mech": Noun(self._medicine.mechanism),
        }

    def context(self) -> Context:
        """Nouns for one sentence: those of the case, others drawn as they are asked for."""
        return Context(self, self._fixed)

    def draw(self, name: str) -> dict[str, Noun]:
        """A noun for `name`, and with it those that must fit it (`sym` with `sym2`, `lab` with its values)."""
        if name in _RANGES:
            return {name: Noun(str(self.dice.between(*_RANGES[name])))}
        if name in _DECIMALS:
            low, high, digits = _DECIMALS[name]
            number = str(self.dice.between(low, high)).zfill(digits + 1)
            return {name: Noun(f"{number[:-digits]},{number[-digits:]}")}
        groups = {"sym": self._signs, "any": self._anything, "lab": self._labs, "drug3": self._second_drug}
        group = _GROUP_OF.get(name)
        return groups[group]() if group else {name: self.dice.choice(self._pool(name))}

    def _pool(self, name: str) -> Sequence[Noun]:
        """What a single noun is drawn from."""
        if name in _OF_DISEASE:
            key = _OF_DISEASE[name]
            return self._allowed(self._disease.pools[key]) or self._allowed(self.field.pools[key])
        if name == "proc2":
            return self._allowed(self.field.pools["PROC"])
        if name == "other_dis":
            return self._allowed([disease.noun for disease in self.field.diseases])
        if name == "drug2":
            return self._allowed([drug.noun for drug in self.field.drugs if drug != self._medicine])
        return self._life() if name == "life" else self._pools[_OF_ALL[name]]

    def _signs(self) -> dict[str, Noun]:
        signs = self._allowed(self._disease.pools["SIGN"]) or self._allowed(self.field.pools["SIGN"])
        drawn = self.dice.sample(signs, 3)
        return dict(zip(("sym", "sym2", "sym3"), (drawn * 3)[:3], strict=True))

    def _anything(self) -> dict[str, Noun]:
        """Four nouns with different labels, all labels equally likely."""
        nouns = [self.dice.choice(self._pools[label]) for label in self.dice.sample(LABELS, 4)]
        return {f"any{place}": noun for place, noun in enumerate(nouns, 1)}

    def _labs(self) -> dict[str, Noun]:
        usable = [lab for lab in self.field.labs if self._usable(lab.noun)]
        first = self.dice.choice([lab for lab in self._disease.labs if lab in usable] or usable)
        second = self.dice.choice([lab for lab in usable if lab != first])
        return self._lab_nouns(first, "") | self._lab_nouns(second, "2")

    def _second_drug(self) -> dict[str, Noun]:
        return self._drug_nouns(self._draw_drug(self._second, self._second_field), "3")

    def _patient(self) -> dict[str, Noun]:
        dice = self.dice
        young = dice.chance(0.2)
        women_only = "gynécologie" in (self.field.name.text, self._second_field.name.text)
        patients = the_world().shared["children" if young else "adults"]
        patient = dice.choice([noun for noun in patients if noun.gender == "f" or not women_only])
        age = dice.between(3, 17) if young else dice.between(19, 92)
        return {"pat": patient, "age": Noun("2" if patient.text == "nourrisson" else str(age))}

    def _life(self) -> Sequence[Noun]:
        """Times of life and states of the body; those of maternity for grown women."""
        shared = the_world().shared
        woman = self._fixed["pat"].gender == "f" and self._fixed["pat"] in shared["adults"]
        return self._allowed(shared["physiology"] + (shared["maternity"] if woman else ()))

    def _drug_nouns(self, drug: Drug, suffix: str) -> dict[str, Noun]:
        families = [other.family for other in (drug, *self.field.drugs) if self._usable(other.family)]
        return {
            f"drug{suffix}": drug.noun,
            f"brand{suffix}": drug.brand if self._usable(drug.brand) else drug.noun,
            f"dose{suffix}": Noun(drug.dose_mg),
            f"fam{suffix}": families[0],
        }

    def _lab_nouns(self, lab: Lab, suffix: str) -> dict[str, Noun]:
        dice = self.dice
        normal = lab.low + (lab.high - lab.low) * dice.between(10, 90) / 100
        abnormal = lab.high * dice.between(130, 450) / 100 if lab.rises else lab.low * dice.between(30, 85) / 100
        return {
            f"lab{suffix}": lab.noun,
            f"unit{suffix}": Noun(lab.unit),
            f"good{suffix}": Noun(_number(normal)),
            f"bad{suffix}": Noun(_number(abnormal)),
            f"norm{suffix}": Noun(f"{_number(lab.low)} à {_number(lab.high)}"),
            f"up{suffix}": Noun("élevé" if lab.rises else "abaissé"),
        }

    def _usable(self, noun: Noun) -> bool:
        return self._held_out or not noun.held_out

    def _allowed(self, nouns: Sequence[Noun]) -> Sequence[Noun]:
        return [noun for noun in nouns if self._usable(noun)]

    def _draw_disease(self, one: Field) -> Disease:
        return self.dice.choice([disease for disease in one.diseases if self._usable(disease.noun)])

    def _draw_drug(self, disease: Disease, one: Field) -> Drug:
        usable = [drug for drug in disease.drugs if self._usable(drug.noun)]
        return self.dice.choice(usable or [drug for drug in one.drugs if self._usable(drug.noun)])


def _number(value: float) -> str:
    """A number as French lab reports print it: `182`, `3,4`."""
    return str(round(value)) if value >= 20 else f"{value:.1f}".removesuffix(".0").replace(".", ",")
