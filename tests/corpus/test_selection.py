"""Every stage of deduplication prefers the source that the recipe names first, and counts what went across sources."""

import json

import pytest

from camembert_bio.corpus.build import prepare
from tests.pages import Page

from .conftest import recipe, sentences, write_jsonl
from .test_build import ids_by_split, with_tokenizer

OWN, OTHER = sentences(60, seed=1), sentences(60, seed=2)
LONG = [" ".join(OWN[place : place + 15]) for place in (0, 15, 30)]
SHARED = "Ce traitement doit être pris le soir avant le repas."


@pytest.fixture(params=["a first", "b first"])
def build(request, tmp_path, tokenizer_folder):
    """Build a corpus of two sources in either order; the ids that stay, the report's sources by given name, the page.

    Whatever the order, the source that the recipe names first is `a`.
    """

    def make(one, other, **deduplicate):
        order = (one, other) if request.param == "a first" else (other, one)
        paths = [write_jsonl(tmp_path / f"{place}.jsonl", texts) for place, texts in enumerate(order)]
        made = recipe(tmp_path / "out", *paths, deduplicate=deduplicate, **with_tokenizer(tokenizer_folder))
        prepare(made)
        sources = json.loads((tmp_path / "out" / "report.json").read_text())["sources"]
        shown = " ".join(Page((tmp_path / "out" / "report.html").read_text()).shown)
        return set.union(*ids_by_split(tmp_path / "out").values()), sources, shown

    return make


def test_copies_go_to_the_earlier_source_and_are_counted(build):
    """Five texts stand in both sources; one more stands twice in each by itself."""
    one = {**{f"x{i}": text for i, text in enumerate(OWN[:30])}, "x-again": OWN[20].upper()}
    other = {
        **{f"y{i}": text for i, text in enumerate(OWN[:5])},
        **{f"z{i}": text for i, text in enumerate(OTHER[:20])},
        "z-again": OTHER[3],
    }
    kept, sources, shown = build(one, other)
    assert not {"b:x0", "b:x4", "b:y0", "b:y4", "a:x-again", "b:x-again", "a:z-again", "b:z-again"} & kept
    counts = {name: (of["duplicates"], of["duplicates_of_earlier_sources"]) for name, of in sources.items()}
    assert counts == {"a": (1, 0), "b": (6, 5)}
    assert all(of["near_duplicates_of_earlier_sources"] == 0 for of in sources.values())
    assert "for 5 of the 6 duplicates and for 0 of the 0 near-duplicates" in shown


def test_of_similar_documents_that_of_the_earlier_source_stays(build):
    """Three long texts stand in both with other last words; one more is similar to another of its own source."""
    one = {f"x{i}": f"{text} Fin." for i, text in enumerate(LONG)} | {f"p{i}": text for i, text in enumerate(OTHER[:9])}
    other = {f"y{i}": f"{text} Suite." for i, text in enumerate(LONG)} | {"y-again": f"{LONG[1]} Encore."}
    other |= {f"q{i}": text for i, text in enumerate(OTHER[20:29])}
    kept, sources, _ = build(one, other, near=0.8)
    first = "x" if "a:p0" in kept else "y"
    assert {name for name in kept if name[2] in "xy"} == {f"a:{first}{i}" for i in range(3)}
    counts = {name: (of["near_duplicates"], of["near_duplicates_of_earlier_sources"]) for name, of in sources.items()}
    assert counts == ({"a": (0, 0), "b": (4, 4)} if first == "x" else {"a": (1, 0), "b": (3, 3)})
    assert all(of["duplicates_of_earlier_sources"] == 0 for of in sources.values())


def test_a_sentence_stays_in_the_earlier_source(build):
    one = [f"{text} {SHARED}" for text in OWN[:10]]
    other = [f"{text} {SHARED}" for text in OTHER[:10]]
    _, sources, _ = build(one, other, sentences=1)
    words = len(SHARED.split())
    assert [of["sentences_left_out"] for of in sources.values()] == [9, 10]
    assert sources["b"]["words_left_out"] == 10 * words and sources["a"]["words_left_out"] == 9 * words


def test_of_linked_documents_the_one_that_stays_is_the_earliest_of_all(build):
    """The copy of a copy: what a source's document is similar to stands in the other, and went itself."""
    text = " ".join(OWN)
    chain = [f"{text} Fin.", f"{text} Fin. Fin de la lettre.", f"{text} Fin. Fin de la lettre. Encore une fin."]
    one = {"x": chain[0], **{f"p{i}": given for i, given in enumerate(OTHER[:5])}}
    other = {"y": chain[1], "z": chain[2], **{f"q{i}": given for i, given in enumerate(OTHER[20:25])}}
    kept, sources, _ = build(one, other, near=0.9)
    (stays,) = {name for name in kept if name[2] in "xyz"}
    assert stays == ("a:x" if "a:p0" in kept else "a:y")
    across = [of["near_duplicates_of_earlier_sources"] for of in sources.values()]
    assert across == ([0, 2] if stays == "a:x" else [0, 1])
