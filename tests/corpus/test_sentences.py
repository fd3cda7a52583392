import json
import os
import random
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from camembert_bio.corpus.clean import clean
from camembert_bio.corpus.partitions import NEVER, partition
from camembert_bio.corpus.sentences import Occurrences, hashes, split, without

RAW = Path(__file__).parents[3] / "shared/data/biomed-raw-fr.jsonl.zst"

PARTS = ["Le", "patient", "va", "bien", "É", "été", "M", "CHC", "2", "4.2", "12", "2012", "rubrique", "<s>"]
ENDS = [" ", " ", " ", ". ", "? ", " ! ", "… ", ".\n", "\n", "\n\n", " · ", " • ", ". » ", ".) ", ", "]
prose = st.lists(st.tuples(st.sampled_from(PARTS), st.sampled_from(ENDS)), max_size=40).map(
    lambda pairs: "".join(word + end for word, end in pairs)
)


@given(st.one_of(st.text(), prose))
def test_joined_sentences_are_the_text(text):
    sentences = split(text)
    assert "".join(sentences) == text
    assert all(sentences)


@given(prose)
def test_no_word_is_cut(text):
    assert [word for sentence in split(text) for word in sentence.split()] == text.split()


@pytest.mark.parametrize(
    "sentences",
    [
        ["Il va bien. ", "Elle aussi."],
        ["Va-t-il bien ? ", "Oui ! ", "Enfin… ", "3 jours."],
        ["(Il va bien.) ", "Il dit : « Je vais bien. » ", "Puis il part."],
        ["Prendre 2.5 mg p. ex. le soir. ", "Arrêter."],
        ["Points importants : ", "· Gardez cette notice. ", "· Lisez la"],
        ["Une ligne\n", "une autre\n\n", "un paragraphe"],
        ["Ce qui suit ? ", "1. Qu'est-ce que c'est ? ", "2. Comment le prendre ? ", "Avec de l'eau."],
        ["ce que contient l'emballage ", "4.2. POSOLOGIE et mode d'administration. ", "Voie orale."],
        ["Voir rubrique 4. ", "Que contient cette notice ?"],
        ["En 2012. ", "Le patient."],
        ["ligne\n", "· item ", "· autre"],
        [],
    ],
)
def test_where_sentences_end(sentences):
    assert split("".join(sentences)) == sentences


def test_hash_of_a_sentence():
    text = "Le patient va très bien. LE PATIENT VA TRÈS BIEN.\nle patient va très bien.  \n\nLe patient va tres bien."
    one, two, three, four = hashes([text], min_words=5)[0]
    assert one == two == three != four
    assert one == 0x8C26E40470A21858, "the hash of a sentence changed: corpora built before would differ"


def test_digits_count():
    assert len(set(hashes(["Prendre 2,5 mg le soir. Prendre 25 mg le soir."], 3)[0])) == 2


def test_short_sentences_never_count():
    flat, offsets = hashes(["Voie orale. Le patient va très bien.", "", "Voie orale."], min_words=3)
    assert (flat == NEVER).tolist() == [True, False, True]
    assert offsets.tolist() == [0, 2, 2, 3]
    assert partition(flat, 4)[0].tolist() == [1]


@given(st.lists(st.integers(0, 2**64 - 1)), st.integers(1, 300))
def test_buckets_are_ranges_in_order(values, num_buckets):
    flat = np.array(values, np.uint64)
    order, bounds = partition(flat, num_buckets)
    assert sorted(order.tolist()) == [index for index, value in enumerate(values) if value != NEVER]
    assert len(bounds) == num_buckets + 1 and bounds[0] == 0 and bounds[-1] == len(order)
    buckets = [order[begin:end] for begin, end in pairwise(bounds)]
    assert all(np.all(np.diff(bucket) > 0) for bucket in buckets)
    ranges = [(flat[bucket].min(), flat[bucket].max()) for bucket in buckets if len(bucket)]
    assert all(last < first for (_, last), (first, _) in pairwise(ranges))


def dropped(flat, keep, num_buckets, shuffle):
    """All positions that `Occurrences` drops, through buckets in a random order and with rows in a random order."""
    order, bounds = partition(flat, num_buckets)
    buckets = [order[begin:end] for begin, end in pairwise(bounds)]
    shuffle.shuffle(buckets)
    occurrences = Occurrences(keep)
    found = []
    for bucket in buckets:
        rows = np.array(shuffle.sample(bucket.tolist(), len(bucket)), np.int64)
        found += occurrences.beyond(flat[rows], rows.astype(np.uint64)).tolist()
    return sorted(found), occurrences.frequencies


@given(
    st.lists(st.integers(0, 6).map(lambda value: value * 2**61)), st.integers(1, 3), st.integers(1, 20), st.randoms()
)
def test_the_first_occurrences_stay_whatever_the_buckets(values, keep, num_buckets, shuffle):
    seen = Counter()
    expected = []
    for position, value in enumerate(values):
        seen[value] += 1
        if value != NEVER and seen[value] > keep:
            expected.append(position)
    del seen[NEVER]
    positions, frequencies = dropped(np.array(values, np.uint64), keep, num_buckets, shuffle)
    assert positions == expected
    assert frequencies == Counter(seen.values())


def test_positions_beyond_32_bits():
    flat = np.array([7, 7, 7], np.uint64)
    positions = np.array([2**40 + 1, 3, 2**63], np.uint64)
    assert Occurrences(1).beyond(flat, positions).tolist() == [2**40 + 1, 2**63]


@given(prose, st.data())
def test_what_stays_is_clean_and_in_order(text, data):
    text = clean(text)
    sentences = split(text)
    gone = data.draw(st.sets(st.integers(0, max(0, len(sentences) - 1))))
    rebuilt = without(sentences, gone)
    assert clean(rebuilt) == rebuilt
    assert rebuilt.split() == [word for i, s in enumerate(sentences) if i not in gone for word in s.split()]


@pytest.mark.parametrize(
    ("text", "gone", "rebuilt"),
    [
        ("A b. C d. E f.", [1], "A b. E f."),
        ("A b. C d.\nE f.", [1], "A b.\nE f."),
        ("A b\nC d\nE f", [1], "A b\nE f"),
        ("A b.\n\nC d. E f.\nG h.", [1, 2], "A b.\n\nG h."),
        ("A b :\n· c d\n· e f\n· g h", [0, 2], "· c d\n· g h"),
        ("A b. C d.", [1], "A b."),
        ("A b. C d.", [0, 1], ""),
        ("A b. C d.", [], "A b. C d."),
    ],
)
def test_gaps_where_sentences_went(text, gone, rebuilt):
    assert without(split(text), gone) == rebuilt


def test_the_same_hashes_in_every_process():
    code = (
        "from camembert_bio.corpus import sentences, ngrams\n"
        "text = 'Le patient · été. Il va bien 𝒜 ẞ İ.\\nIl va bien.'\n"
        "words = ngrams.words([text, text])\n"
        "print([*sentences.hashes([text], 1)[0], *words.hashes, *ngrams.ngrams(words, 3).hashes])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
            cwd=Path(__file__).parents[2],
        ).stdout
        for seed in ("0", "1")
    }
    assert len(outputs) == 1


@pytest.mark.skipif(not RAW.is_file(), reason="../shared/data/biomed-raw-fr.jsonl.zst is absent")
def test_leaflets_lose_their_template():
    """The first 400 leaflets: 53 % of their words stay (43 % of all 12,063's), and no sentence stays twice."""
    texts = []
    with zstandard.open(RAW, "rt", encoding="utf-8", dctx=zstandard.ZstdDecompressor(max_window_size=1 << 27)) as lines:
        for line in lines:
            record = json.loads(line)
            if record["corpus"] == "e3c_l3_leaflets":
                texts.append(clean(record["text"]))
            if len(texts) == 400:
                break
    flat, offsets = hashes(texts, 5)
    positions, _ = dropped(flat, 1, 8, random.Random(0))
    gone = set(positions)
    kept = [
        without(split(text), {i - begin for i in range(begin, end) if i in gone})
        for text, begin, end in zip(texts, offsets, offsets[1:], strict=False)
    ]
    left = sum(len(text.split()) for text in kept) / sum(len(text.split()) for text in texts)
    assert 0.45 < left < 0.6
    again, _ = hashes(kept, 5)
    counted = again[again != NEVER]
    assert len(np.unique(counted)) >= 0.999 * len(counted)
