"""Drug leaflets that stand on one line: their titles and bullets on lines of their own."""

from __future__ import annotations

import re

_LEAFLET = ("EFFETS INDESIRABLES", "EFFETS INDÉSIRABLES")
_BULLET = " · "

# Of the European template, in the summary (small letters) and over the sections (capitals).
_QUESTIONS = (
    r"[1-6]\. ?(?:Q(?:U[’']EST-CE QUE|u[’']est-ce que|UELLES SONT LES INFORMATIONS|uelles sont les informations"
    r"|UELS SONT LES EFFETS|uels sont les effets)"
    r"|C(?:OMMENT|omment) (?:PRENDRE|UTILISER|CONSERVER|prendre|utiliser|conserver)) [^?\n]{1,250}\?"
)
_FIXED = (
    r"[1-6]\. ?C(?:ONTENU DE L[’']EMBALLAGE ET AUTRES INFORMATIONS|ontenu de l[’']emballage et autres informations)\.?",
    r"Que contient cette notice ?\?",
)
_BEFORE_A_CAPITAL = (
    "Avertissements et précautions",
    "Conduite de véhicules et utilisation de machines",
    "Déclaration des effets secondaires",
    "Durée d[eu] traitement",
    "Enfants et adolescents",
    "Exploitant de l[’']autorisation de mise sur le marché",
    "Fréquence d[’']administration",
    "Grossesse et allaitement",
    "Mode(?: et voie)? d[’']administration",
    "Noms du médicament dans les Etats membres de l[’']Espace Economique Européen",
    "Titulaire de l[’']autorisation de mise sur le marché",
)
_BEFORE_A_COLON = ("Classe pharmacothérapeutique", "La dernière date à laquelle cette notice a été révisée est")
# The space in front and the look ahead make the search three times as quick, groups would undo that.
_TITLE = re.compile(
    rf" (?=[1-6A-GL-NQTo])(?:{_QUESTIONS}|{'|'.join(_FIXED)}|(?:{'|'.join(_BEFORE_A_CAPITAL)})(?= [A-ZÀÂÇÉÈÊÎÔ])"
    rf"|(?:{'|'.join(_BEFORE_A_COLON)})(?= ?:)|o (?=[a-zà-öø-ÿœ]))"
)
_CLAUSE_ENDS = (",", ";", ":", ".")
_REFERENCE = re.compile(r"(?:rubriques?|paragraphes?|sections?|chapitres?|[«“\"(])\Z")


def split_sections(text: str) -> str:
    """A clean text, in which a leaflet's titles and bullets begin lines, and nothing follows such a title on its line.

    Only where the pattern is certain: ` · `; a numbered title of the European template with its question mark, unless
    a sentence refers to it; a title without number that runs into a capital. A text that does not speak of
    EFFETS INDESIRABLES is given back as it is.
    """
    if not any(sign in text for sign in _LEAFLET):
        return text
    text = text.replace(_BULLET, "\n· ")
    parts, done = [], 0
    for match in _TITLE.finditer(text):
        start, end = match.span()
        title = text[start + 1 : end]
        before, after = text[max(0, start - 12) : start], text[end : end + 1]
        if not before.endswith(_CLAUSE_ENDS) if title == "o " else _REFERENCE.search(before) or after not in " \n:":
            continue
        if start >= done:  # else the line end of the title before stands there already
            parts += [text[done:start], "\n"]
        parts.append(title)
        done = end
        if after == " " and title != "o " and not title.startswith(_BEFORE_A_COLON):
            parts.append("\n")
            done += 1
    return "".join([*parts, text[done:]])
