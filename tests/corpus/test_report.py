import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from camembert_bio.corpus.build import prepare
from camembert_bio.corpus.clean import num_words
from camembert_bio.corpus.report import length_counts
from camembert_bio.corpus.report_html import page
from camembert_bio.data.windows import load_windows
from camembert_bio.shards.manifest import Corpus, open_corpus
from tests.pages import Page, needs_nothing_else

from .conftest import recipe, sentences, write_jsonl

REPEATED = "Ce médicament ne doit pas être laissé à la portée des enfants."
ENGLISH = "The patient was treated with antibiotics for a week and the fever did not come back after the end of it."


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """A corpus in which every stage removes something of the source a, in blocks read by two workers."""
    folder = tmp_path_factory.mktemp("report")
    texts = [f"{text} {REPEATED}" for text in sentences(80, seed=1)]
    long = " ".join(sentences(30, seed=4))
    texts += [texts[0], texts[1].upper(), long, f"{long} Fin.", "court", ENGLISH, f"{REPEATED} {REPEATED}"]
    first = write_jsonl(folder / "first.jsonl", texts)
    with first.open("a") as file:
        file.write("no JSON\n")
    second = write_jsonl(folder / "second.jsonl", sentences(40, seed=2))
    task = write_jsonl(folder / "task.jsonl", [sentences(40, seed=2)[7], *sentences(3, seed=99)])
    prepare(
        recipe(
            folder / "built",
            first,
            second,
            sources=[
                {"name": "a", "path": str(first), "licence": "<by>CC BY-NC 4.0</by>"},
                {"name": "b", "path": str(second), "licence": "Hôpital & co"},
            ],
            clean={"languages": ["fr"]},
            deduplicate={"near": 0.8, "sentences": 1},
            decontaminate={"tasks": {"task": str(task)}, "remove": True, "threshold": 0.9},
            max_rejected=0.05,
        )
    )
    return open_corpus(folder / "built")


@pytest.fixture(scope="module")
def report(built: Corpus) -> dict:
    return json.loads((built.folder / "report.json").read_text())


def test_what_was_read_is_what_was_kept_and_every_removal(report):
    for source in report["sources"].values():
        removed = sum(count for _, count in source["removed"])
        assert source["documents_read"] == removed + sum(source["documents"].values())
        assert removed == sum(source["dropped"].values()) + source["duplicates"] + source["near_duplicates"]
        assert sum(source["licences"].values()) == sum(source["documents"].values())
    assert report["sources"]["a"]["removed"] == [
        ["unreadable", 1],
        ["language en", 1],
        ["too short", 1],
        ["duplicates", 2],
        ["near-duplicates", 1],
        ["contaminated", 0],
        ["only boilerplate", 0],
        ["nothing new", 1],
    ]
    assert dict(report["sources"]["b"]["removed"]) == {
        **dict.fromkeys(("unreadable", "duplicates", "near-duplicates", "only boilerplate", "nothing new"), 0),
        "contaminated": 1,
    }


def test_words_left_out_and_kept_are_those_of_the_documents_that_reach_the_sentences(report):
    texts = [f"{text} {REPEATED}" for text in sentences(80, seed=1)]
    texts += [" ".join(sentences(30, seed=4)), f"{REPEATED} {REPEATED}"]
    a = report["sources"]["a"]
    assert a["words"] + a["words_left_out"] == sum(map(num_words, texts))
    assert a["words_left_out"] >= 81 * num_words(REPEATED)
    assert report["distinct_sentences_by_occurrences"]["82"] == 1


def test_documents_by_how_often_they_occur(report):
    """One text stands twice, one twice in capitals; a document that is not read or too short never counts."""
    counted = report["distinct_documents_by_occurrences"]
    assert counted == {"1": 121, "2": 2}
    read = sum(source["documents_read"] for source in report["sources"].values())
    assert sum(int(times) * number for times, number in counted.items()) == read - 3


def test_lengths_and_pieces_are_those_of_the_shards(built, report):
    vocabulary = built.vocabulary
    for name, source in report["sources"].items():
        shards = [
            built.open(entry)
            for split in ("train", "validation")
            for of, entry in built.manifest.shards(split)
            if of == name
        ]
        lengths = [len(shard.document(row)) for shard in shards for row in range(len(shard))]
        expected: dict[str, int] = {}
        for length in lengths:
            lower = str(2 ** (length.bit_length() - 1))
            expected[lower] = expected.get(lower, 0) + 1
        assert source["documents_by_tokens"] == expected
        assert sum(expected.values()) == sum(source["documents"].values())
        pieces = [vocabulary.pieces[id_] for shard in shards for id_ in shard.input_ids.tolist()]
        assert source["tokens"] == len(pieces)
        single = sum(len(piece.removeprefix("▁")) == 1 for piece in pieces)
        assert 0 < single == round(source["single_character_share"] * len(pieces))


def test_the_fill_is_that_of_the_windows_that_training_reads(built, report, tmp_path):
    copy = open_corpus(Path(shutil.copytree(built.folder, tmp_path / "corpus")))
    table = load_windows(copy, "train", 512)
    for name, source in report["sources"].items():
        mine = np.flatnonzero(table.source_of(np.arange(len(table))) == table.sources.index(name))
        segments = np.concatenate([np.arange(table.offsets[w], table.offsets[w + 1]) for w in mine])
        windows, positions = len(mine), int(table.length[segments].sum()) + 2 * len(segments)
        assert source["window_fill"] == round(positions / (512 * windows), 4) > 0.5


def test_length_counts():
    assert length_counts(np.array([0, 1, 2, 3, 4, 511, 512, 513])) == {
        "0": 1,
        "1": 1,
        "2": 2,
        "4": 1,
        "256": 1,
        "512": 2,
    }
    assert length_counts(np.array([], np.int64)) == {}


def test_the_page_shows_the_counts(built, report):
    html = (built.folder / "report.html").read_text()
    shown = " ".join(Page(html).shown)
    a = report["sources"]["a"]
    for number in (a["words"], a["tokens"], a["words_left_out"], report["sources"]["b"]["words"]):
        assert f"{number:,}" in shown
    looked_at = report["sources"]["a"]["documents_by_language"]
    assert looked_at["en"] == 1 and set(looked_at) <= {"fr", "en", "cannot be told"}
    # All but the one that is too short and the one that is no JSON.
    assert sum(looked_at.values()) == report["sources"]["a"]["documents_read"] - 2
    assert re.search(
        rf"Language of {sum(looked_at.values())} documents after cleaning: all.*\sen\s+1\s+1\.2%", shown, re.DOTALL
    )
    assert "documents surely in another: en 1" in shown and "Languages kept: fr" in shown
    assert re.search(r"10–99\s+1\s+82\s", shown)
    assert re.search(r"Distinct documents\s.*?\s1\s+121\s+121\s+96\.8%\s+2\s+2\s+4\s+3\.2%\s", shown, re.DOTALL)
    assert re.search(r"task\s+4\s+0\s+\d\d\.\d\d%\s+\d\s", shown)
    assert (
        "non-commercial (<by>CC BY-NC 4.0</by>); and what these ask, which are not known here: Hôpital & co." in shown
    )
    peaks = report["peak_memory_mb_by_the_end_of"]
    assert {"reading", "gathering", "duplicates", "keeping", "tokenising", "writing", "train tokenizer"} <= report[
        "peak_memory_mb_by_the_end_of"
    ].keys()
    assert all(f"{megabytes:,}" in shown for megabytes in peaks.values())
    # What report.json holds is enough to make the page (its keys are sorted, so the rows may stand otherwise).
    assert sorted(page(report)) == sorted(html)


def test_the_page_needs_nothing_else_and_holds_no_text(built):
    html = (built.folder / "report.html").read_text()
    assert needs_nothing_else(html)
    assert not Page(html).tags & {"by"}
    for name in ("report.html", "report.md", "report.json"):
        content = (built.folder / name).read_text()
        for word in ("médicament", "Observation", "nourrisson", "antibiotics"):
            assert word not in content
        assert name == "report.json" or "doc-" not in content


def test_a_corpus_without_the_optional_stages_has_a_page_without_them(corpus):
    shown = " ".join(Page((corpus.folder / "report.html").read_text()).shown)
    assert "Documents by how often" in shown  # exact deduplication is on by default
    for absent in ("Sentences by", "Evaluation sets", "Languages kept", "left out;"):
        assert absent not in shown
    assert "Licences" in shown and "attribution at most" in shown and "onflict" not in shown


def test_licences_in_conflict_stand_in_each_report_and_are_told(tmp_path, caplog):
    paths = [write_jsonl(tmp_path / f"{name}.jsonl", sentences(30, seed)) for seed, name in enumerate("ab")]
    licences = ("CC BY-SA <4.0>", "GFDL")
    sources = [
        {"name": path.stem, "path": str(path), "licence": licence}
        for path, licence in zip(paths, licences, strict=True)
    ]
    prepare(recipe(tmp_path / "out", *paths, sources=sources, num_workers=1))
    told = "each of these asks that the whole be under itself: CC BY-SA <4.0>, GFDL"
    assert json.loads((tmp_path / "out" / "report.json").read_text())["licence"]["conflicts"] == [told]
    assert told in (tmp_path / "out" / "report.md").read_text()
    assert told in " ".join(Page((tmp_path / "out" / "report.html").read_text()).shown)
    assert caplog.messages.count(f"licences: {told}") == 1


def test_another_tokenizer_in_the_same_process_is_used(tmp_path):
    source = write_jsonl(tmp_path / "a.jsonl", sentences(60))
    for size in (80, 60):
        done = prepare(recipe(tmp_path / "out", source, num_workers=1, tokenizer={"train": {"vocab_size": size}}))
        corpus = open_corpus(tmp_path / "out")
        assert max(int(corpus.open(entry).input_ids.max()) for _, entry in corpus.manifest.shards("train")) < size
        assert done.vocab_size == size
        (tmp_path / "out").rename(tmp_path / f"out-{size}")


def test_the_language_of_a_sample_is_told_where_none_is_asked_for(tmp_path, tokenizer_folder):
    words = ["patient", "treated", "antibiotics", "week", "fever", "pain", "ward", "chest", "doctor", "visit"]
    english = [f"The {words[i % 10]} and the {words[i // 10 % 10]} number {i}: {ENGLISH}" for i in range(400)]
    first = write_jsonl(tmp_path / "first.jsonl", [*sentences(1200), *english])
    found = []
    for num_workers in (1, 2):
        out = tmp_path / str(num_workers)
        made = {"tokenizer": {"path": str(tokenizer_folder)}, "deduplicate": {"exact": False}}
        prepare(recipe(out, first, first, num_workers=num_workers, **made))
        found.append(json.loads((out / "report.json").read_text())["sources"])
        shown = " ".join(Page((out / "report.html").read_text()).shown)
    a = found[0]["a"]["documents_by_language"]
    assert a == found[1]["a"]["documents_by_language"] == found[1]["b"]["documents_by_language"]
    # One in 20 of 1,600, a quarter of them English: 80 ± 9, 20 ± 4.
    assert 50 < sum(a.values()) < 110 and 6 < a["en"] < 35 and a["en"] + a["fr"] > 0.95 * sum(a.values())
    assert f"Language of {sum(a.values())} documents after cleaning: a sample of one in 20" in shown
    assert found[0]["a"]["dropped"] == {}


def test_a_source_of_which_no_document_was_drawn_says_so(tmp_path, tokenizer_folder):
    source = write_jsonl(tmp_path / "a.jsonl", sentences(3))
    prepare(recipe(tmp_path / "out", source, validation_fraction=0, tokenizer={"path": str(tokenizer_folder)}))
    report = json.loads((tmp_path / "out" / "report.json").read_text())["sources"]["a"]
    assert report["documents_by_language"] == {}
    shown = " ".join(Page((tmp_path / "out" / "report.html").read_text()).shown)
    assert "Language: not known; no document was looked at, of a sample of one in 20." in shown
