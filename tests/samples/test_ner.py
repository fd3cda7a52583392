"""The annotated sample: offsets are exact, every awkward phenomenon occurs, nothing is left unmarked."""

import os
import re
import subprocess
import sys
import unicodedata

import pytest

from camembert_bio.errors import UserError
from camembert_bio.samples.corpus import write_corpus
from camembert_bio.samples.ner import write_ner
from camembert_bio.samples.world import LABELS, the_world

from .test_corpus import leaflets, records, tree

SPLITS = {"train": 60, "validation": 20, "test": 60}


def read(folder, split):
    """Documents of a split: text as it stands in the file, and (label, fragments, surface) of each T line."""
    documents = []
    for path in sorted((folder / split).glob("*.txt")):
        with open(path, encoding="utf-8", newline="") as file:
            text = file.read()
        entities = []
        for line in path.with_suffix(".ann").read_text(encoding="utf-8").splitlines():
            if line.startswith("T"):
                _, place, surface = line.split("\t")
                label, offsets = place.split(" ", 1)
                fragments = [tuple(map(int, pair.split())) for pair in offsets.split(";")]
                entities.append((label, fragments, surface))
        documents.append((text, entities))
    return documents


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("sample") / "ner"
    write_ner(path)
    return path


def surfaces(documents):
    return [
        (label, unicodedata.normalize("NFC", surface).replace("’", "'").lower())
        for _, entities in documents
        for label, _, surface in entities
    ]


@pytest.mark.parametrize("split", SPLITS)
def test_every_offset_gives_its_text(folder, split):
    documents = read(folder, split)
    assert len(documents) == SPLITS[split]
    for text, entities in documents:
        for _, fragments, surface in entities:
            assert " ".join(text[start:end] for start, end in fragments) == surface
            assert surface == surface.strip() and "\n" not in surface


@pytest.mark.parametrize("split", SPLITS)
def test_every_phenomenon_is_in_every_split(folder, split):
    documents = read(folder, split)
    entities = [entity for _, found in documents for entity in found]
    assert {label for label, _, _ in entities} == set(LABELS)
    assert any(len(fragments) > 1 for _, fragments, _ in entities)
    assert any(nested(found) for _, found in documents)
    assert any("\r\n" in text and found for text, found in documents)
    assert any(unicodedata.normalize("NFC", text) != text for text, _ in documents)
    assert any(max(map(ord, text)) > 0xFFFF and found for text, found in documents)
    assert any(not found for _, found in documents)
    # A word is at least one sub-word.
    assert any(len(text.split()) > 512 for text, _ in documents)
    for apostrophe in "'’":
        assert any(text[fragments[0][0] - 1] == apostrophe for text, found in documents for _, fragments, _ in found)
    notes = [path for path in (folder / split).glob("*.ann") if "\n#" in path.read_text(encoding="utf-8")]
    assert notes


def nested(entities):
    spans = [(fragments[0][0], fragments[-1][1]) for _, fragments, _ in entities if len(fragments) == 1]
    return any(a != b and a[0] <= b[0] and b[1] <= a[1] for a in spans for b in spans)


def test_most_documents_are_short(folder):
    sizes = sorted(len(text.split()) for text, _ in read(folder, "train"))
    assert sizes[len(sizes) // 2] < 120
    assert sum(size > 512 for size in sizes) <= 3


def test_no_mention_is_left_unmarked(folder):
    nouns = [noun.text.lower() for pool in the_world().by_label().values() for noun in pool]
    pattern = re.compile(r"\b(?:" + "|".join(map(re.escape, sorted(nouns, key=len, reverse=True))) + r")\b")
    missed = set()
    for split in SPLITS:
        for text, entities in read(folder, split):
            covered = [fragment for _, fragments, _ in entities for fragment in fragments]
            for match in pattern.finditer(text.replace("’", "'").lower()):
                if not any(start <= match.start() < end for start, end in covered):
                    missed.add(match.group())
    assert not missed


def test_words_have_one_label_in_the_whole_world():
    owner = {}
    for label, nouns in the_world().by_label().items():
        for noun in nouns:
            assert owner.setdefault(noun.text.lower(), label) == label


def test_a_part_of_the_test_is_unseen_in_train_but_stands_in_the_raw_corpus(folder, tmp_path):
    write_corpus(tmp_path / "corpus", num_documents=600)
    raw = "\n".join(leaflets(tmp_path / "corpus") + [record["text"] for record in records(tmp_path / "corpus")]).lower()
    seen, mentions = set(surfaces(read(folder, "train"))), surfaces(read(folder, "test"))
    unseen = [surface for label, surface in mentions if (label, surface) not in seen]
    assert 0.25 < len(unseen) / len(mentions) < 0.65
    assert sum(surface in raw for surface in unseen) / len(unseen) > 0.7
    held_out = {noun.text.lower() for pool in the_world().by_label().values() for noun in pool if noun.held_out}
    assert sum(surface in held_out for surface in unseen) / len(mentions) > 0.1


def test_train_shows_no_held_out_noun_of_its_own(folder):
    held_out = {noun.text.lower() for pool in the_world().by_label().values() for noun in pool if noun.held_out}
    shown = {surface for _, entities in read(folder, "train") for _, _, surface in outermost(entities)}
    assert {surface.lower() for surface in shown} & held_out == set()


def outermost(entities):
    return [
        entity
        for entity in entities
        if not any(
            other is not entity and other[1][0][0] <= entity[1][0][0] and entity[1][-1][1] <= other[1][-1][1]
            for other in entities
        )
    ]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_texts(folder, tmp_path):
    write_ner(tmp_path / "again")
    assert tree(folder) == tree(tmp_path / "again")
    write_ner(tmp_path / "other", seed=1)
    same = {text for text, found in read(folder, "test") if found} & {
        text for text, _ in read(tmp_path / "other", "test")
    }
    assert not same


def test_bad_requests_are_refused(tmp_path):
    with pytest.raises(UserError, match="num_documents 6 leaves a split empty; use 7 or more"):
        write_ner(tmp_path / "ner", num_documents=6)
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="is not an empty folder; name a new one"):
        write_ner(tmp_path / "file")


def test_the_text_does_not_depend_on_the_process_hash_seed(tmp_path):
    program = "import sys, pathlib; from camembert_bio.samples.ner import write_ner; "
    program += "write_ner(pathlib.Path(sys.argv[1]), num_documents=14)"
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        subprocess.run([sys.executable, "-c", program, tmp_path / seed], check=True, env=environment)
    assert tree(tmp_path / "1") == tree(tmp_path / "2")
