import re
from itertools import chain

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from camembert_bio.corpus import ngrams as module
from camembert_bio.corpus.ngrams import ngrams, words

texts = st.lists(st.text("aàbœ1é-’ \n.𝒜", max_size=40), max_size=8)


def spelled(text):
    """The words by another road: runs of letters and digits (𝒜 is a letter beyond U+FFFF)."""
    return re.findall(r"[^\W_]+", text.lower())


@given(texts)
def test_equal_words_have_equal_hashes_and_others_not(texts):
    grams = words(texts)
    expected = [spelled(text) for text in texts]
    assert np.diff(grams.offsets).tolist() == [len(found) for found in expected]
    names = dict(zip(grams.hashes.tolist(), chain(*expected), strict=True))
    assert [names[value] for value in grams.hashes.tolist()] == list(chain(*expected))
    assert len(names) == len(set(chain(*expected)))


@given(texts, st.integers(2, 6))
def test_ngrams_are_the_runs_of_n_words(texts, n):
    grams = ngrams(words(texts), n)
    expected = []
    for text in texts:
        found = spelled(text)
        runs = [tuple(found[i : i + n]) for i in range(len(found) - n + 1)]
        expected.append(runs or ([tuple(found)] if found else []))
    assert np.diff(grams.offsets).tolist() == list(map(len, expected))
    names = dict(zip(grams.hashes.tolist(), chain(*expected), strict=True))
    assert [names[value] for value in grams.hashes.tolist()] == list(chain(*expected))
    assert len(names) == len(set(chain(*expected)))


@given(texts, st.integers(0, 8))
def test_a_text_has_the_same_hashes_in_every_block(texts, cut):
    both = ngrams(words(texts), 3)
    parts = [ngrams(words(texts[:cut]), 3), ngrams(words(texts[cut:]), 3)]
    assert both.hashes.tolist() == [value for part in parts for value in part.hashes.tolist()]


def test_chunks_do_not_show(monkeypatch):
    """Texts around and beyond a chunk, and a word longer than one."""
    alone = [" ".join(f"mot{i}" for i in range(n)) for n in (20, 30_000, 3)]
    giant = "a" * 200_000 + " fin"
    whole = [words([text]).hashes.tolist() for text in alone]
    expected = [words([word]).hashes[0] for word in alone[1].split()]
    assert whole[1] == expected
    together = words([*alone, giant, *alone])
    assert together.hashes[: together.offsets[3]].tolist() == list(chain(*whole))
    assert together.hashes[together.offsets[4] :].tolist() == list(chain(*whole))
    assert words([giant]).hashes.tolist() == together.hashes[together.offsets[3] : together.offsets[4]].tolist()


def test_case_and_punctuation_do_not_count_but_accents_and_digits_do():
    assert words(["L’ÉTÉ, µg"]).hashes.tolist() == words(["l'été (µG)"]).hashes.tolist()
    assert words(["été"]).hashes[0] != words(["ete"]).hashes[0]
    assert len(words(["2,5 mg"]).hashes) == 3


def test_the_hashes_stay_what_they_are():
    grams = words(["Le patient"])
    assert [hex(value) for value in grams.hashes.tolist()] == ["0x5d2ed797faa96ea1", "0x88ac904144741b08"]
    assert hex(ngrams(grams, 2).hashes[0]) == "0xb72a1f107de33756"


def test_no_collision_among_many_words():
    many = [
        f"{a}{b}{c}" for a in "abcdefghij0123456789éèêàù" for b in map(str, range(100)) for c in map(str, range(100))
    ]
    grams = words([" ".join(many)])
    assert len(np.unique(grams.hashes)) == len(set(many))
    low = np.unique(grams.hashes).astype(np.uint16)
    counts = np.bincount(low, minlength=1 << 16)
    assert abs(counts.var() / counts.mean() - 1) < 0.05, "the low bits are not spread evenly"


def test_mix_is_one_to_one_on_what_was_tried():
    values = np.arange(100_000, dtype=np.uint64)
    assert len(np.unique(module.mix(values.copy()))) == len(values)
