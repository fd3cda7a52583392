"""Agreement, elision and the spans of what a template is filled with."""

import pytest

from camembert_bio.samples.dice import Dice
from camembert_bio.samples.grammar import Draft, Mark, Noun, choose, coordinate, parse_noun, render


@pytest.mark.parametrize(
    ("template", "entry", "expected"),
    [
        ("{le:x}", "f aspirine", "l'aspirine"),
        ("{le:x}", "f hernie", "la hernie"),
        ("{le:x}", "m hématome", "l'hématome"),
        ("{du:x}", "m foie", "du foie"),
        ("{du:x}", "f plèvre", "de la plèvre"),
        ("{du:x}", "mp œdèmes", "des œdèmes"),
        ("{de:x}", "mp œdèmes", "d'œdèmes"),
        ("{dun:x}", "fp nausées", "de nausées"),
        ("{dun:x}", "f toux", "d'une toux"),
        ("{au:x}", "m rein", "au rein"),
        ("{au:x}", "fp bronches", "aux bronches"),
        ("{son:x}", "f épaule", "son épaule"),
        ("{ce:x}", "m homme", "cet homme"),
        ("{il:x} est suivi{e:x}", "f femme", "elle est suivie"),
        ("{x} {est:x} retiré{e:x}{s:x}", "fp bandes", "bandes sont retirées"),
    ],
)
def test_a_noun_takes_its_article_and_agreement(template, entry, expected):
    assert render(template, {"x": parse_noun(entry, "DISO")})[0] == expected


def test_an_article_stays_outside_the_span():
    text, marks = render("selon {le:x}.", {"x": parse_noun("f aspirine", "CHEM")})
    ((start, end),) = marks[0].fragments
    assert (text, text[start:end], marks[0].label) == ("selon l'aspirine.", "aspirine", "CHEM")


def test_spans_nest_inside_a_noun_and_inside_a_marked_phrase():
    lung = parse_noun("m cancer du <ANAT poumon>", "DISO")
    text, marks = render("<PROC dépistage {du:x}>", {"x": lung})
    found = {mark.label: text[slice(*mark.fragments[0])] for mark in marks}
    assert found == {"PROC": "dépistage du cancer du poumon", "DISO": "cancer du poumon", "ANAT": "poumon"}


def test_a_coordination_marks_the_shared_head_in_each_entity():
    noun = coordinate(Noun("douleurs", "f", True), ["thoraciques", "abdominales", "lombaires"], "DISO")
    assert noun.text == "douleurs thoraciques, abdominales et lombaires"
    surfaces = [" ".join(noun.text[start:end] for start, end in mark.fragments) for mark in noun.marks]
    assert surfaces == ["douleurs thoraciques", "douleurs abdominales", "douleurs lombaires"]


def test_alternatives_nest_and_are_all_drawn():
    drawn = {choose("[un|deux [fois|]]", Dice(index)) for index in range(60)}
    assert drawn == {"un", "deux fois", "deux "}


def test_a_draft_moves_marks_and_makes_the_capital():
    draft = Draft()
    draft.add("Note. ")
    draft.sentence("{x} présent.", {"x": parse_noun("f fièvre", "DISO")}, Dice(0))
    assert draft.text == "Note. Fièvre présent. "
    assert draft.marks == [Mark("DISO", ((6, 12),))]


def test_a_stream_depends_on_its_whole_key_and_on_no_library_version():
    assert [Dice(0, "case", 12).below(1000) for _ in range(2)] == [552] * 2
    assert len({Dice(0, "case", index).below(10**9) for index in range(100)}) == 100


def test_a_sample_has_distinct_places_and_at_most_all():
    assert sorted(Dice(1).sample(range(5), 9)) == [0, 1, 2, 3, 4]
    assert len(set(Dice(2).sample(range(50), 20))) == 20
