"""The raw sample corpus: reproducible, of the announced size, with the announced defects."""

import gzip
import json
import re
import unicodedata
from collections import Counter

import pytest
import zstandard

from camembert_bio.errors import UserError
from camembert_bio.samples.corpus import write_corpus


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def records(folder):
    lines = gzip.decompress((folder / "clinical_cases.jsonl.gz").read_bytes()).decode()
    lines += zstandard.ZstdDecompressor().decompress((folder / "abstracts.jsonl.zst").read_bytes()).decode()
    return [json.loads(line) for line in lines.split("\n") if line]


def leaflets(folder):
    return [path.read_bytes().decode() for path in sorted((folder / "leaflets").glob("*.txt"))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("sample") / "corpus"
    write_corpus(path)
    return path


def test_the_default_corpus_has_its_size_and_sources(folder):
    texts = leaflets(folder) + [record["text"] for record in records(folder)]
    assert len(texts) == 2100
    assert 3_500_000 < sum(len(text.encode()) for text in texts) < 5_000_000
    assert "Synthetic" in (folder / "README.txt").read_text(encoding="utf-8")


def test_records_have_unique_ids_and_a_licence(folder):
    found = records(folder)
    assert len({record["id"] for record in found}) == len(found)
    assert {record["licence"] for record in found} == {"MIT"}
    assert all(record["synthetic"] for record in found)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_texts(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_corpus(tmp_path / name, seed=seed, num_documents=60)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    same = {record["text"] for record in records(tmp_path / "a")} & {
        record["text"] for record in records(tmp_path / "c")
    }
    assert not same


def test_a_larger_corpus_begins_with_the_smaller_one(folder, tmp_path):
    write_corpus(tmp_path / "small", num_documents=60)
    small, large = leaflets(tmp_path / "small"), leaflets(folder)
    assert small == large[: len(small)]


def test_sources_have_exact_copies_to_remove(folder):
    texts = [record["text"] for record in records(folder)]
    copies = len(texts) - len(set(texts))
    assert 0.02 < copies / len(texts) < 0.08


def test_the_defects_of_real_sources_occur(folder):
    texts = leaflets(folder) + [record["text"] for record in records(folder)]
    whole = "".join(texts)
    for defect in ("\u00a0", "\u202f", "\u00ad", "\u200b", "\x00", "\x07", "\r\n", "<mask>", "<s>", "</s>"):
        assert defect in whole, ascii(defect)
    decomposed = sum(unicodedata.is_normalized("NFD", text) and not text.isascii() for text in texts)
    assert 20 < decomposed < 200
    assert sum("\n" not in text for text in leaflets(folder)) > 50


def test_standard_sentences_repeat_across_leaflets_and_others_do_not(folder):
    lines = Counter(line for text in leaflets(folder) for line in text.replace("\r", "").split("\n") if "\n" in text)
    words = {line: count * len(line.split()) for line, count in lines.items()}
    repeated = sum(share for line, share in words.items() if lines[line] >= 10) / sum(words.values())
    assert 0.3 < repeated < 0.7
    assert sum(count == 1 for count in lines.values()) > 5_000


def test_context_tells_the_masked_word(folder):
    """The family of a medicine follows from its name: a share of it that chance would not give."""
    after_family = Counter()
    for text in leaflets(folder):
        sentence = r"contient (?:du |de la |de l')(\w+), qui appartient à la famille des ([^.]+)\."
        for drug, family in re.findall(sentence, unicodedata.normalize("NFC", text)):
            after_family[drug[-4:], family] += 1
    by_ending = Counter()
    for (ending, _), count in after_family.items():
        by_ending[ending] = max(by_ending[ending], count)
    assert sum(after_family.values()) > 150
    assert sum(by_ending.values()) / sum(after_family.values()) > 0.75


def test_a_folder_in_use_is_refused_and_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(UserError, match="not an empty folder; name a new one"):
        write_corpus(tmp_path, num_documents=5)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_too_few_documents_are_refused(tmp_path):
    with pytest.raises(UserError, match="num_documents 4 leaves a source empty; use 5 or more"):
        write_corpus(tmp_path / "corpus", num_documents=4)
    assert not list(tmp_path.iterdir())
