import os
import random
import subprocess
import sys
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from camembert_bio.corpus.near import (
    NUM_VALUES,
    SHINGLE_WORDS,
    bands,
    candidates,
    drop,
    merged,
    rows_per_band,
    signatures,
    similar,
)
from camembert_bio.corpus.ngrams import Grams, ngrams, words
from camembert_bio.corpus.partitions import partition


def pairs_with_similarity(similarity, num_pairs, seed):
    """2 x num_pairs documents of n-gram hashes; 2i and 2i+1 have this Jaccard index over 400 n-grams."""
    generator = np.random.default_rng(seed)
    common = round(400 * similarity)
    rows = []
    for _ in range(num_pairs):
        values = generator.integers(1, 2**64, 400, dtype=np.uint64)
        middle = (400 + common) // 2
        rows += [values[:middle], np.concatenate((values[:common], values[middle:]))]
    return Grams(np.concatenate(rows), np.cumsum([0, *map(len, rows)]))


def found(grams, threshold, num_buckets=1, shuffle=None):
    """The similar pairs of some documents, through buckets."""
    signed = signatures(grams)
    flat = bands(signed, grams, rows_per_band(threshold)).ravel()
    documents = np.repeat(np.arange(len(signed)), len(flat) // len(signed))
    order, bounds = partition(flat, num_buckets)
    buckets = [order[begin:end] for begin, end in pairwise(bounds)]
    if shuffle:
        shuffle.shuffle(buckets)
        buckets = [np.array(shuffle.sample(bucket.tolist(), len(bucket)), np.int64) for bucket in buckets]
    pairs = merged(candidates(flat[bucket], documents[bucket]) for bucket in buckets)
    return similar(pairs, signed, threshold)


@pytest.mark.parametrize(("similarity", "least", "most"), [(0.9, 0.99, 1), (0.7, 0, 0.02), (0.5, 0, 0)])
def test_pairs_are_found_at_the_expected_rate(similarity, least, most):
    """± 0.035 at 0.8: nearly all at 0.9, nearly none at 0.7."""
    pairs = found(pairs_with_similarity(similarity, 1000, seed=1), 0.8)
    assert all(other == one + 1 and one % 2 == 0 for one, other in pairs.tolist())
    assert least <= len(pairs) / 1000 <= most


@pytest.mark.parametrize("similarity", [0.5, 0.8, 0.95])
def test_signatures_estimate_the_similarity(similarity):
    signed = signatures(pairs_with_similarity(similarity, 500, seed=2))
    agreement = (signed[::2] == signed[1::2]).mean(axis=1)
    error = (similarity * (1 - similarity) / NUM_VALUES) ** 0.5
    assert agreement.mean() == pytest.approx(similarity, abs=0.01)
    assert agreement.std() < 1.2 * error


@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.9, 1])
def test_bands_recall_pairs_at_the_threshold(threshold):
    rows = rows_per_band(threshold)
    signed = signatures(grams := pairs_with_similarity(threshold, 1000, seed=3))
    hashed = bands(signed, grams, rows)
    assert hashed.shape == (2000, NUM_VALUES // rows)
    assert np.any(hashed[::2] == hashed[1::2], axis=1).mean() > 0.98


def test_the_bands_of_a_document_differ():
    """The same values in two bands make two hashes: bands are compared place by place."""
    same = np.ones((1, NUM_VALUES), np.uint32)
    assert len(np.unique(bands(same, Grams(np.ones(1, np.uint64), np.array([0, 1])), 6))) == 21


def test_real_texts():
    def leaflet(drug, doses):
        return " ".join(
            f"Prenez {drug} à la dose de {dose} mg par jour pendant {dose + 3} semaines au plus tard le soir."
            for dose in doses
        )

    texts = [
        leaflet("alpha", range(60)),
        leaflet("alpha", range(60)).upper().replace(" ", "  "),
        leaflet("beta", range(100, 160)),
        leaflet("alpha", range(2, 60)),
        "",
        "Voie orale.",
        "",
        "Voie cutanée.",
    ]
    pairs = found(ngrams(words(texts), SHINGLE_WORDS), 0.8)
    assert [0, 1] in pairs.tolist()
    assert [found.tolist() for found in drop(pairs)] == [[1, 3], [0, 0]]


@settings(max_examples=20)
@given(st.integers(1, 40), st.randoms())
def test_buckets_do_not_change_the_pairs(num_buckets, shuffle):
    grams = pairs_with_similarity(0.85, 20, seed=4)
    assert found(grams, 0.8, num_buckets, shuffle).tolist() == found(grams, 0.8).tolist()


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 30))))
def test_candidates_pair_with_the_first_and_the_last_before(rows):
    hashes = np.array([value for value, _ in rows], np.uint64)
    pairs = candidates(hashes, np.array([document for _, document in rows], np.int64)).tolist()
    expected = set()
    for value in set(hashes.tolist()):
        documents = sorted({document for other, document in rows if other == value})
        expected |= {(documents[0], document) for document in documents[1:]}
        expected |= set(pairwise(documents))
    # A document given twice in one bucket makes no further pair.
    assert {tuple(pair) for pair in pairs} == expected
    assert len(pairs) == len(expected)


@given(st.lists(st.tuples(st.integers(0, 25), st.integers(0, 25))), st.randoms())
def test_of_linked_documents_the_earliest_stays(links, shuffle):
    pairs = np.array(sorted({tuple(sorted(link)) for link in links if link[0] != link[1]}), np.int64).reshape(-1, 2)
    groups = [{number} for number in range(26)]
    for one, other in pairs.tolist():
        first = next(group for group in groups if one in group)
        second = next(group for group in groups if other in group)
        if first is not second:
            groups.remove(second)
            first |= second
    expected = {number: min(group) for group in groups for number in group if number != min(group)}
    for some in (pairs, np.array(shuffle.sample(pairs.tolist(), len(pairs)), np.int64).reshape(-1, 2)):
        dropped, kept = drop(some)
        assert dropped.tolist() == sorted(expected)
        assert dict(zip(dropped.tolist(), kept.tolist(), strict=True)) == expected


def test_pairs_are_verified_in_portions():
    signed = np.random.default_rng(0).integers(0, 2, (300, NUM_VALUES), dtype=np.uint32)
    pairs = np.array(list(combinations(range(300), 2)), np.int64)
    assert len(pairs) > 1 << 14
    agreement = (signed[pairs[:, 0]] == signed[pairs[:, 1]]).mean(axis=1)
    assert similar(pairs, signed, 0.55).tolist() == pairs[agreement >= 0.55].tolist()


def test_signatures_do_not_depend_on_order_repetition_or_block():
    shuffle = random.Random(5)
    grams = ngrams(words([" ".join(f"mot{i}" for i in range(500)), "un deux trois quatre cinq six"]), SHINGLE_WORDS)
    values = grams.hashes[: grams.offsets[1]].tolist()
    other = np.array(shuffle.sample(values + values[:50], len(values) + 50), np.uint64)
    assert np.array_equal(signatures(Grams(other, np.array([0, len(other)])))[0], signatures(grams)[0])


@pytest.mark.parametrize("kernel", ["", "scalar", "avx2"])
def test_the_same_signatures_in_every_process_and_with_every_kernel(kernel):
    code = (
        "import numpy as np; from camembert_bio.corpus import near, ngrams\n"
        "values = ngrams.mix(np.arange(1, 1001, dtype=np.uint64))\n"
        "grams = ngrams.Grams(values, np.array([0, 0, 3, 100, 1000]))\n"
        "signed = near.signatures(grams)\n"
        "print(hex(ngrams.mix(signed.astype(np.uint64).sum(axis=1) + signed[:, 0])[1:].sum()))\n"
        "print(near.bands(signed, grams, 6)[0].any())"
    )
    output = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "1", **({"RENSA_FORCE_KERNEL": kernel} if kernel else {})},
        capture_output=True,
        check=True,
        text=True,
        cwd=Path(__file__).parents[2],
    ).stdout
    assert output.split() == ["0x69c51407dd216103", "False"], (
        "signatures changed: what was computed before cannot be compared"
    )


def test_a_process_forked_after_the_first_signatures():
    code = (
        "import multiprocessing, numpy as np; from camembert_bio.corpus import near, ngrams\n"
        "grams = ngrams.Grams(np.arange(1, 500_001, dtype=np.uint64), np.arange(0, 500_001, 500))\n"
        "def total(_): return int(near.signatures(grams).sum())\n"
        "here = total(0)\n"
        "with multiprocessing.get_context('fork').Pool(2) as pool:\n"
        "    print(pool.map_async(total, [1, 2]).get(30) == [here, here])"
    )
    environment = {key: value for key, value in os.environ.items() if key != "RAYON_NUM_THREADS"}
    output = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        check=True,
        text=True,
        cwd=Path(__file__).parents[2],
        timeout=60,
    ).stdout
    assert output.strip() == "True"
