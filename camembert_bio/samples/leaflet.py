# ruff: noqa: E501 (a template stands on one line)
"""Package leaflets: sentences about one medicine among standard sentences that every leaflet repeats."""

from __future__ import annotations

from camembert_bio.samples import lexicon
from camembert_bio.samples.case import Case
from camembert_bio.samples.dice import Dice
from camembert_bio.samples.grammar import Draft, Noun
from camembert_bio.samples.templates import lines

_INTRODUCTION = lines("""
Lisez cette notice en entier avant de commencer le traitement : elle contient des renseignements qui vous concernent.
Gardez ce document, il se peut que vous ayez à le relire.
Toute question trouve sa réponse auprès de votre médecin, de votre pharmacien ou de votre infirmier.
Ce produit vous a été prescrit à titre personnel. Ne le confiez à personne, même si les troubles vous semblent identiques : il pourrait nuire.
Un effet gênant, même absent de cette liste, doit être signalé à votre médecin ou à votre pharmacien.
""")
_SURVEY = lines("""
1. Ce qu'est {brand} et ce qu'il soigne
2. Ce qu'il faut savoir avant la première prise
3. La bonne façon de prendre {brand}
4. Les effets indésirables possibles
5. La conservation du produit
6. Le contenu de la boîte
""")
_USE = lines("""
{brand} contient {du:drug}, qui appartient à la famille des {fam}.
Ce médicament {mech}.
{brand} {dose} mg est [indiqué|utilisé|prescrit] [chez l'adulte|chez l'adulte et l'adolescent] pour traiter {le:dis}.
{le:drug} soulage aussi {le:sym} et {le:sym2} [liés à cette maladie|au cours de cette affection].
Il peut être associé {au:drug2} lorsque {le:dis} s'accompagne {de:dis2}.
Après {months} mois sans amélioration {du:sym}, parlez-en à votre médecin.
""")
_NEVER = lines("""
si vous avez déjà fait une allergie {au:drug} ou à un autre produit de la famille des {fam} ;
si vous avez [déjà eu|eu récemment] {un:dis2} ;
si vous présentez {un:other_dis} ou {un:sym} ;
si vous prenez déjà {du:drug3} ;
si vous devez passer {un:proc} dans les {n} jours ;
pendant {le:life}, sauf avis de votre médecin.
""")
_CAUTION = lines("""
Prévenez votre médecin si vous souffrez {de:other_dis}, {de:dis2} ou {dun:coord}.
Un contrôle {du:lab} est nécessaire [tous les {n} mois|avant le traitement|au {n}e jour], car {le:drug} peut modifier {le:phys}.
L'apparition {dun:sym} ou {dun:sym2} doit faire arrêter {brand} et consulter.
Si {un:proc} est prévu{e:proc}, signalez que vous prenez {brand}.
Les personnes qui portent {un:dev} doivent en parler à leur médecin.
Une infection par {germ} doit être traitée avant la première prise.
""")
_STANDARD_CAUTION = lines("""
Adressez-vous à votre médecin ou à votre pharmacien avant de prendre ce médicament.
Dites toujours quels autres produits vous prenez, y compris ceux obtenus sans ordonnance.
Les femmes enceintes, ou qui pensent l'être, demandent conseil avant toute prise.
La conduite de véhicules demande de la prudence tant que vous ne connaissez pas vos réactions au produit.
""")
_INTERACTION = lines("""
{drug3} ou {common} : [le risque {de:sym} est augmenté|l'effet {du:drug} peut diminuer].
{brand3} ({drug3}) : {le:lab} peut être plus {up}{e:lab}.
{le:exp} : à éviter pendant le traitement.
Les médicaments contre {le:dis2} : un délai de {n} heures est à respecter.
""")
_DOSE = lines("""
La dose habituelle est de {dose} mg [par jour|matin et soir|toutes les {n} heures], [avant|pendant|après] un repas.
Chez {le:pat} qui souffre {de:dis2}, la dose est réduite de moitié.
La durée habituelle du traitement {du:dis} est de {days} jours.
Avalez le comprimé de {drug} avec un verre d'eau, sans le croquer.
""")
_STANDARD_DOSE = lines("""
Suivez toujours à la lettre les indications de votre médecin et demandez-lui une confirmation en cas de doute.
En cas de prise trop importante, appelez sans attendre votre médecin ou le service d'urgences le plus proche.
En cas d'oubli, prenez la dose suivante à l'heure prévue ; ne doublez jamais une dose pour rattraper celle qui manque.
N'arrêtez pas le traitement de vous-même, même si vous vous sentez mieux.
""")
_STANDARD_EFFECTS = lines("""
Comme tout médicament, celui-ci peut provoquer des effets indésirables, mais chacun n'y est pas sujet.
La déclaration des effets indésirables aide à mieux connaître la sécurité des médicaments.
""")
_FREQUENCIES = lines("""
Très fréquent (plus d'une personne sur 10)
Fréquent (une personne sur 10 au plus)
Peu fréquent (une personne sur 100 au plus)
Rare (une personne sur 1 000 au plus)
""")
_STORAGE = lines("""
Rangez ce médicament dans un endroit que les enfants ne peuvent ni voir ni atteindre.
N'utilisez plus ce produit au-delà de la date imprimée sur la boîte ; elle désigne le dernier jour du mois.
Ne jetez rien à l'évier ni à la poubelle : rapportez au pharmacien ce que vous n'utilisez plus, pour protéger l'environnement.
""")


def write_leaflet(dice: Dice) -> Draft:
    """One leaflet of about 5 kB: sections with headings, one paragraph a line; in one of four, all in one line."""
    leaflet = _Leaflet(dice)
    _opening(leaflet)
    _precautions(leaflet)
    leaflet.put("3. LA BONNE FAÇON DE PRENDRE {brand}", _STANDARD_DOSE[0])
    leaflet.put_some(_DOSE, 2)
    leaflet.put(*_STANDARD_DOSE[1:])
    _effects(leaflet.case, leaflet.draft, dice)
    leaflet.put("5. LA CONSERVATION DU PRODUIT", *_STORAGE)
    leaflet.put("6. LE CONTENU DE LA BOÎTE")
    _content(leaflet.case, leaflet.draft, dice)
    draft = leaflet.draft
    draft.finish()
    if dice.chance(0.25):
        draft.text = draft.text.replace("\n", " ")
    return draft


class _Leaflet:
    """A leaflet while it is written: one case, and what stands so far."""

    def __init__(self, dice: Dice) -> None:
        self.case = Case(dice)
        self.draft = Draft()
        self._dice = dice

    def put(self, *templates: str) -> None:
        """Add each template as a line."""
        for template in templates:
            self.draft.sentence(template, self.case.context(), self._dice, "\n")

    def put_some(self, templates: tuple[str, ...], least: int, bullet: str = "") -> None:
        """Add at least so many of the templates, drawn."""
        for template in self._dice.sample(templates, self._dice.between(least, len(templates))):
            self.put(bullet + template)


def _opening(leaflet: _Leaflet) -> None:
    """The title, the standard sentences with the table of contents, and what the medicine is for."""
    leaflet.put("NOTICE : {brand} {dose} mg, [comprimé|comprimé pelliculé|gélule|solution buvable]", "{drug}")
    leaflet.put(*_INTRODUCTION, "Contenu de cette notice", *_SURVEY)
    leaflet.put("1. CE QU'EST {brand} ET CE QU'IL SOIGNE", "Classe : {fam}, médicament {de:field}.")
    leaflet.put_some(_USE, 3)


def _precautions(leaflet: _Leaflet) -> None:
    """When not to take it, warnings, and other medicines."""
    leaflet.put("2. CE QU'IL FAUT SAVOIR AVANT LA PREMIÈRE PRISE", "Ne prenez jamais {brand} :")
    leaflet.put_some(_NEVER, 3, "· ")
    leaflet.put("Avertissements et précautions", _STANDARD_CAUTION[0])
    leaflet.put_some(_CAUTION, 3)
    leaflet.put("Autres médicaments et {brand}", _STANDARD_CAUTION[1])
    leaflet.put_some(_INTERACTION, 2, "· ")
    leaflet.put(*_STANDARD_CAUTION[2:])


def _effects(case: Case, draft: Draft, dice: Dice) -> None:
    """Adverse effects by frequency: mostly signs, of the field and of any other."""
    context = case.context()
    draft.sentence("4. LES EFFETS INDÉSIRABLES POSSIBLES", context, dice, "\n")
    draft.sentence(_STANDARD_EFFECTS[0], context, dice, "\n")
    for frequency in _FREQUENCIES:
        context = case.context()
        effects = "{sym}, {sym2}, {coord}" if dice.chance(0.5) else "{sym}, {dis2}, {lab} {up}{e:lab}"
        draft.sentence(f"· {frequency} : {effects}.", context, dice, "\n")
    draft.sentence(_STANDARD_EFFECTS[1], context, dice, "\n")


def _content(case: Case, draft: Draft, dice: Dice) -> None:
    """Composition: the active substance, some excipients, the pack."""
    excipients = dice.sample(lexicon.EXCIPIENTS.split("; "), dice.between(3, 7))
    context = case.context()
    context["excipients"] = Noun(", ".join(excipients))
    draft.sentence("La substance active est {drug} {dose} mg.", context, dice, "\n")
    draft.sentence("Les autres composants sont : {excipients}.", context, dice, "\n")
    draft.sentence(
        "Boîte de {days}, {cent} ou {many} unités ; tous les formats ne sont pas vendus.", context, dice, "\n"
    )
    draft.sentence("Dernière révision de cette notice : {year}.", context, dice, "\n")
