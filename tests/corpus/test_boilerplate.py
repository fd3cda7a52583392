import json
from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camembert_bio.corpus import layout
from camembert_bio.corpus.boilerplate import MIN_DOCUMENTS, count, frequent, marked, total
from camembert_bio.corpus.build import prepare
from camembert_bio.corpus.readers import blocks
from camembert_bio.corpus.sentences import all_hashes, hashes
from camembert_bio.corpus.tokenize import load_tokenizer
from camembert_bio.errors import UserError
from camembert_bio.shards.manifest import TRAIN, VALIDATION, open_corpus
from tests.pages import Page

from .conftest import recipe, sentences, write_jsonl
from .test_build import content, with_tokenizer

HEADER = "CHU de Lille\nService de cardiologie, bâtiment B, deuxième étage\n"
TITLE = "Antécédents :\n"
NOTICE = "Ce document est couvert par le secret médical et réservé à son destinataire."
HEADER_WORDS, NOTICE_WORDS = 10, 13


def letters(number, seed=0, begin=HEADER, end=f"\n{NOTICE}"):
    """Letters whose own lines all differ, with one title in the middle of each."""
    return [f"{begin}{text}\n{TITLE}{days} jours.{end}" for days, text in enumerate(sentences(number, seed))]


def texts_of(folder):
    """The texts of a corpus by `source:id`."""
    corpus = open_corpus(folder)
    decode = load_tokenizer(folder / "tokenizer").decode
    found = {}
    for split in (TRAIN, VALIDATION):
        for source, entry in corpus.manifest.shards(split):
            shard = corpus.open(entry)
            found |= {f"{source}:{doc}": decode(shard.document(row)) for row, doc in enumerate(shard.doc_ids)}
    return found


def sources_of(folder):
    return json.loads((folder / "report.json").read_text())["sources"]


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory):
    """A tokenizer that knows every character of these texts, so that they decode to themselves."""
    folder = tmp_path_factory.mktemp("tokenizer")
    once = "Clinique du Parc. Cette phrase est dite une fois, ce paragraphe revient un peu moins. Fin."
    source = write_jsonl(folder / "a.jsonl", [f"{text} {once}" for text in letters(60)])
    prepare(recipe(folder / "out", source, tokenizer={"train": {"vocab_size": 110}}))
    return folder / "out" / "tokenizer"


@pytest.fixture
def build(tmp_path, tokenizer_folder):
    """Build a corpus of sources a, b, ... with boilerplate from one half on; its texts and the report's sources."""

    def make(*sources, name="out", boilerplate=0.5, **changes):
        paths = [write_jsonl(tmp_path / f"{place}.jsonl", texts) for place, texts in enumerate(sources)]
        values = {"clean": {"boilerplate": boilerplate}, "num_workers": 1, **with_tokenizer(tokenizer_folder)}
        prepare(recipe(tmp_path / name, *paths, **{**values, **changes}))
        return texts_of(tmp_path / name), sources_of(tmp_path / name)

    return make


def test_a_header_of_most_documents_goes_and_stays_in_another_source(build, tmp_path):
    a = letters(90, seed=1) + sentences(10, seed=2)
    b = [f"{HEADER}{sentences(1, seed=3)[0]}", *sentences(30, seed=4)]
    texts, sources = build(a, b)
    of_a = [text for name, text in texts.items() if name.startswith("a:")]
    assert len(of_a) == 100 and not any("CHU de Lille" in text or "secret" in text for text in of_a)
    assert sum("CHU de Lille" in text and "bâtiment B" in text for text in texts.values()) == 1
    words = 90 * (HEADER_WORDS + NOTICE_WORDS)
    assert sources["a"]["boilerplate"] == {"learnt": 4, "documents": 90, "sentences": 270, "words": words}
    assert sources["b"]["boilerplate"] == {"learnt": 0, "documents": 0, "sentences": 0, "words": 0}
    assert sources["a"]["words"] + words == sum(len(text.split()) for text in a)
    shown = " ".join(Page((tmp_path / "out" / "report.html").read_text()).shown)
    assert f"Boilerplate of this source: 4 sentences or lines; 270 left out of 90 documents, with {words:,} of" in shown
    row = next(line for line in (tmp_path / "out" / "report.md").read_text().splitlines() if line.startswith("| a"))
    assert row.split(" | ")[7:9] == [f"{words:,}", "0"]


def test_a_title_that_every_document_has_stays_between_its_own_lines(build):
    texts, _ = build(letters(60))
    assert all("Antécédents :" in text for text in texts.values())


def test_a_share_is_reached_exactly_and_counts_documents_not_occurrences(build):
    own = sentences(40)
    repeated = "Ce paragraphe revient deux fois dans la moitié des lettres de ce service."
    rare = "Ce paragraphe revient trois fois dans un peu moins de la moitié des lettres."
    a = [f"{text} {repeated} {repeated}" if place < 20 else text for place, text in enumerate(own)]
    a = [f"{text} {rare} {rare} {rare}" if place < 19 else text for place, text in enumerate(a)]
    texts, sources = build(a)
    assert not any("deux fois" in text for text in texts.values())
    assert sum(text.count("trois fois") for text in texts.values()) == 57
    assert sources["a"]["boilerplate"] | {"words": 0} == {"learnt": 1, "documents": 20, "sentences": 40, "words": 0}


def test_copies_that_were_dropped_do_not_count(build):
    letter = letters(1, seed=5)[0]
    texts, sources = build([letter] * 30 + sentences(40, seed=6))
    assert sources["a"]["duplicates"] == 29 and sources["a"]["boilerplate"]["learnt"] == 0
    assert sum(NOTICE in text for text in texts.values()) == 1


def test_a_source_of_few_documents_is_left_alone(build):
    for number, learnt in ((MIN_DOCUMENTS - 1, 0), (MIN_DOCUMENTS, 4)):
        texts, sources = build(letters(number), name=f"of-{number}", validation_fraction=0)
        assert sources["a"]["boilerplate"]["learnt"] == learnt
        assert sum("CHU de Lille" in text for text in texts.values()) == (0 if learnt else number)


def test_a_document_of_boilerplate_alone_is_dropped_and_counted(build):
    texts, sources = build([*letters(60), f"{HEADER}{NOTICE}"])
    assert len(texts) == 60
    assert dict(sources["a"]["removed"])["only boilerplate"] == 1
    assert sources["a"]["dropped"] == {"only boilerplate": 1}


def test_off_by_default_nothing_goes(build):
    texts, sources = build(letters(60), clean={})
    assert all("CHU de Lille" in text for text in texts.values())
    assert sources["a"]["boilerplate"] is None


def test_together_with_repeated_sentences_and_near_duplicates(build):
    """A later source keeps what an earlier one has as boilerplate, once; the two stages count apart."""
    once = "Cette phrase est dite une fois dans chaque source de ce corpus."
    a = [*letters(60, seed=1), f"{letters(1, seed=7)[0]} {once}"]
    b = [f"{text} {NOTICE}" for text in sentences(3, seed=2)] + [f"{text} {once}" for text in sentences(1, seed=8)]
    b += [*sentences(30, seed=3), f"{a[0]} Fin."]
    texts, sources = build(a, b, deduplicate={"near": 0.8, "sentences": 1})
    kept = {name: text for name, text in texts.items() if NOTICE in text}
    assert list(kept) == ["b:doc-0"]
    assert sum(once in text for text in texts.values()) == 1 and once in texts["a:doc-60"]
    assert sources["b"]["near_duplicates"] == 1
    assert sources["a"]["boilerplate"]["documents"] == 61
    for name, read in (("a", a), ("b", b[:-1])):
        entry = sources[name]
        gone = entry["boilerplate"]["words"] + entry["words_left_out"]
        assert entry["words"] + gone == sum(len(text.split()) for text in read)
    assert sources["b"]["words_left_out"] >= 2 * NOTICE_WORDS


@pytest.mark.parametrize("deduplicate", [{}, {"near": 0.8, "sentences": 1}])
def test_any_number_of_workers_and_any_layout_give_the_same_bytes(build, tmp_path, monkeypatch, deduplicate):
    texts = letters(200, seed=1), letters(150, seed=2, begin="Clinique du Parc\n"), sentences(15, seed=3)
    build(*texts, name="one", deduplicate=deduplicate)
    build(*texts, name="three", deduplicate=deduplicate, num_workers=3)
    assert content(tmp_path / "one") == content(tmp_path / "three")
    found = []
    lay_out = layout.lay_out
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 3_000)
    monkeypatch.setattr(layout, "_GROUPS", 5)
    monkeypatch.setattr(layout, "_ROWS_A_BUCKET", 100)
    monkeypatch.setattr("camembert_bio.corpus.build.lay_out", lambda job: found.append(lay_out(job)) or found[-1])
    build(*texts, name="many", deduplicate=deduplicate)
    (made,) = found
    assert made.group_size > 1 and made.num_groups >= 3 and made.num_buckets >= 5
    assert content(tmp_path / "many") == content(tmp_path / "one")
    assert sources_of(tmp_path / "many") == sources_of(tmp_path / "one")


def test_a_share_out_of_range_is_refused(build):
    for share in (0.1, 1.5):
        with pytest.raises(UserError, match=r"clean\.boilerplate: input should be (greater|less) than or equal to"):
            build(sentences(30), boilerplate=share)


occurrences = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12), st.integers(0, 5)), max_size=200)


@given(occurrences, st.sampled_from([0.2, 0.3, 0.5, 1]), st.integers(1, 6), st.randoms())
def test_what_is_learnt_is_what_a_dictionary_of_sets_finds(found, share, num_blocks, shuffle):
    """Sources of 60, 20 and 13 documents; blocks of a few documents each, in any order."""
    sizes = np.array([60, MIN_DOCUMENTS, 13])
    spread = 5  # documents 0, 5, 10, ... of a source
    holders = defaultdict(set)
    for source, document, sentence in found:
        holders[sentence + 1, source].add(document * spread % sizes[source])
    expected = sorted(
        pair
        for pair, owners in holders.items()
        if sizes[pair[1]] >= MIN_DOCUMENTS and len(owners) / sizes[pair[1]] >= share
    )
    rows = []
    for source in range(3):
        mine = sorted(
            (document * spread % sizes[source], sentence + 1) for of, document, sentence in found if of == source
        )
        for part in range(num_blocks):
            some = [pair for pair in mine if pair[0] % num_blocks == part]
            distinct, counts = count(
                np.array([sentence for _, sentence in some], np.uint64), np.array([doc for doc, _ in some], np.int64)
            )
            rows += [(int(hash_), source, int(times)) for hash_, times in zip(distinct, counts, strict=True)]
    shuffle.shuffle(rows)
    gathered = total(np.array(rows, np.uint64).reshape(-1, 3))
    assert sorted(map(tuple, frequent(gathered, sizes, share).tolist())) == expected


@given(st.lists(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=8), max_size=5))
def test_short_lines_go_where_boilerplate_reaches_the_edge(documents):
    """Each sentence is (learnt, short); compared with a walk from both ends."""
    flat = [pair for document in documents for pair in document]
    hashed = np.array([1 if is_learnt else 2 for is_learnt, _ in flat], np.uint64)
    is_short = np.array([short for _, short in flat], bool)
    offsets = np.cumsum([0, *map(len, documents)])
    found = marked(hashed, is_short, offsets, np.array([1], np.uint64)).tolist()
    for document, (begin, end) in zip(documents, pairwise(offsets), strict=True):
        expected = [is_learnt and not short for is_learnt, short in document]
        for order in (range(len(document)), reversed(range(len(document)))):
            for place in order:
                if not document[place][0]:
                    break
                expected[place] = True
        assert found[begin:end] == expected


def test_all_sentences_are_hashed_beside_those_that_are_long():
    texts = ["CHU de Lille\nLe patient va très bien. Oui.", "", "Oui."]
    every, long, offsets = all_hashes(texts, 5)
    expected, bounds = hashes(texts, 5)
    assert (long.tolist(), offsets.tolist()) == (expected.tolist(), bounds.tolist())
    assert every.tolist() == hashes(texts, 1)[0].tolist() and all(every)
