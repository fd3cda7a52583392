"""Mojibake, running lines, cut words and leaflets, each by its own function."""

import time

import pytest

from camembert_bio.corpus.hyphens import join_soft_hyphens, join_words
from camembert_bio.corpus.leaflets import split_sections
from camembert_bio.corpus.mojibake import repair
from camembert_bio.corpus.pages import remove_running_lines


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("Å’dÃ¨me opÃ©rÃ© Ã\xa0 lâ€™hÃ´pital", "Œdème opéré à l’hôpital"),
        ("opÃ©rÃ© Ã droite", "opéré à droite"),
        ("l\x92h\u00f4pital \x85", "l’hôpital …"),
        ("38Â°C, 5 Âµg", "38°C, 5 µg"),
        ("≥ 5 : opÃ©rÃ©", "≥ 5 : opéré"),
        ("une ligne intacte ≥\nopÃ©rÃ©", "une ligne intacte ≥\nopéré"),
        ("SÃO PAULO, Â Vérifier la poche, HÂTE", "SÃO PAULO, Â Vérifier la poche, HÂTE"),
        ("déjà opéré à l’hôpital « œdème » €", "déjà opéré à l’hôpital « œdème » €"),
    ],
)
def test_mojibake_is_repaired(raw, expected):
    assert repair(raw) == expected
    assert repair(expected) == expected


def test_a_long_line_is_repaired_in_parts():
    assert repair("un œdème Ã droite " * 2000) == "un œdème à droite " * 2000
    assert repair("Ã©" * 9000) == "é" * 9000


def test_a_plain_text_without_signs_is_not_searched():
    assert repair("l\x92h", plain=True) == "l\x92h"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("une mala-\ndie rare", "une maladie rare"),
        ("une œsopha‐\ngite", "une œsophagite"),
        ("il est peut-\nêtre venu, dit-\nelle", "il est peut-être venu, dit-elle"),
        ("rendez-\nvous", "rendez-vous"),
        ("Montpezat-\nde-Quercy", "Montpezat-de-Quercy"),
        ("un scanner abdomino-\npelvien, puis abdomino-pelvien", "un scanner abdomino-pelvien, puis abdomino-pelvien"),
        ("anti-\nbiotique ; anti-biotique ; antibiotique", "antibiotique ; anti-biotique ; antibiotique"),
        ("Aigues-\nMortes", "Aigues-\nMortes"),
        ("2010-\n2012", "2010-\n2012"),
        ("- un\n- deux", "- un\n- deux"),
        ("il vient -\npuis part", "il vient -\npuis part"),
    ],
)
def test_words_cut_at_line_ends(raw, expected):
    assert join_words(raw) == expected
    assert join_words(expected) == expected


def test_soft_hyphens_at_line_ends():
    assert join_soft_hyphens("mala\u00ad \ndie") == "maladie"
    assert join_soft_hyphens("ma\u00adla\u00addie") == "ma\u00adla\u00addie"


def test_many_cut_words_take_no_long_search():
    text = "texte " * 20_000 + "mala-\ndie " * 3000
    assert join_words(text).count("maladie") == 3000


def page(number, lines, total=4):
    return ["CHU de Nulle-Part - Service de médecine", "", *lines, "", f"Imprimé le 3/4/2020 - Page {number}/{total}"]


def paragraph(number, length=30):
    return [f"Phrase {'i' * number} {chr(97 + line)} du compte rendu." for line in range(length)]


def test_headers_and_footers_at_form_feeds():
    text = "\f".join("\n".join(page(number, paragraph(number))) for number in range(1, 5))
    left = remove_running_lines(text).split("\n")
    assert [line for line in left if line] == [line for number in range(1, 5) for line in paragraph(number)]


def test_headers_and_footers_at_page_numbers():
    text = "\n".join(line for number in range(1, 5) for line in page(number, paragraph(number)))
    left = remove_running_lines(text).split("\n")
    assert [line for line in left if line] == [line for number in range(1, 5) for line in paragraph(number)]


@pytest.mark.parametrize("shape", ["{}", "- {} -", "Page {} sur 9", "{}/9", "p. {}"])
def test_page_numbers_alone_on_a_line(shape):
    text = "\n".join(line for number in range(3, 8) for line in [*paragraph(number), shape.format(number)])
    left = remove_running_lines(text).split("\n")
    assert [line for line in left if line] == [line for number in range(3, 8) for line in paragraph(number)]


def test_a_sentence_goes_on_over_the_page():
    texts = [
        [f"suite {'i' * n}, de la phrase.", *paragraph(n, 20), "", f"une phrase {'i' * n} qui va", ""]
        for n in range(1, 5)
    ]
    text = remove_running_lines("\f".join("\n".join(page(n, lines)) for n, lines in enumerate(texts, 1)))
    assert "une phrase i qui va\nsuite ii, de la phrase." in text
    assert "une phrase iii qui va\nsuite iiii, de la phrase." in text
    texts = [[f"Suite {'i' * n}.", *paragraph(n, 20), "", f"Une phrase {'i' * n} finie."] for n in range(1, 5)]
    text = remove_running_lines("\f".join("\n".join(page(n, lines)) for n, lines in enumerate(texts, 1)))
    assert "Une phrase i finie.\n\nSuite ii." in text


@pytest.mark.parametrize(
    "lines",
    [
        [line for number in range(1, 9) for line in ["Examen clinique", *paragraph(number)]],
        [line for number in range(1, 9) for line in [str(number), *paragraph(number, 4)]],
        [line for number in (1, 5, 3, 9, 2) for line in [f"EVA {number}/10", *paragraph(number)]],
        [line for number in range(1, 5) for line in [str(number), *paragraph(number, 12 + 10 * number)]],
        [line for number in range(1, 3) for line in page(number, paragraph(number))],
    ],
    ids=["titles", "a numbered list", "scores", "chapters of any length", "two pages"],
)
def test_lines_that_no_page_explains_stay(lines):
    assert remove_running_lines("\n".join(lines)) == "\n".join(lines)


LEAFLET = (
    "DOLOFIX 5 mg, gélule Encadré Gardez cette notice. Voir rubrique 4. Que contient cette notice ? "
    "1. Qu'est-ce que DOLOFIX 5 mg, gélule et dans quels cas est-il utilisé ? 4. Quels sont les effets indésirables "
    "éventuels ? 6. Contenu de l’emballage et autres informations. 1. QU’EST-CE QUE DOLOFIX 5 mg ET DANS QUELS CAS "
    "EST-IL UTILISE ? Classe pharmacothérapeutique : ANTALGIQUE Il soulage : · la douleur ; · la fièvre définie par : "
    "o 38 °C, o une fièvre ou o un frisson. Avertissements et précautions Adressez-vous au médecin (voir rubrique "
    "4. Quels sont les effets indésirables éventuels ?). Grossesse et allaitement sont possibles. 4. QUELS SONT LES "
    "EFFETS INDESIRABLES EVENTUELS ? Aucun."
)


def test_sections_of_a_leaflet_stand_on_lines_of_their_own():
    assert split_sections(LEAFLET).split("\n") == [
        "DOLOFIX 5 mg, gélule Encadré Gardez cette notice. Voir rubrique 4.",
        "Que contient cette notice ?",
        "1. Qu'est-ce que DOLOFIX 5 mg, gélule et dans quels cas est-il utilisé ?",
        "4. Quels sont les effets indésirables éventuels ?",
        "6. Contenu de l’emballage et autres informations.",
        "1. QU’EST-CE QUE DOLOFIX 5 mg ET DANS QUELS CAS EST-IL UTILISE ?",
        "Classe pharmacothérapeutique : ANTALGIQUE Il soulage :",
        "· la douleur ;",
        "· la fièvre définie par : o 38 °C,",
        "o une fièvre ou o un frisson.",
        "Avertissements et précautions",
        "Adressez-vous au médecin (voir rubrique 4. Quels sont les effets indésirables éventuels ?). "
        "Grossesse et allaitement sont possibles.",
        "4. QUELS SONT LES EFFETS INDESIRABLES EVENTUELS ?",
        "Aucun.",
    ]


def test_sections_are_split_once_and_in_leaflets_alone():
    done = split_sections(LEAFLET)
    assert split_sections(done) == done
    assert done.split() == LEAFLET.split()
    other = LEAFLET.replace("INDESIRABLES", "attendus")
    assert split_sections(other) == other
    lines = LEAFLET.replace(". ", ".\n")
    assert split_sections(lines).split() == lines.split()


@pytest.mark.parametrize(
    "shape", ["\f", "a\f", "a\n\f", "\n\f", "\n\n\n\n\n\n\n\n\n\n\f", "a b c d e\f", "\f" + "\n" * 5000, "\f1\n"]
)
def test_form_feeds_take_linear_time(shape):
    def seconds(num_characters):
        text = shape * (num_characters // len(shape))
        began = time.process_time()
        remove_running_lines(text)
        return time.process_time() - began

    assert seconds(200_000) < 4


def test_form_feeds_without_pages_become_line_ends():
    assert remove_running_lines("un\fdeux\ftrois") == "un\ndeux\ntrois"
