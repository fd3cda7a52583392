"""The harness's strict IOB2 F1, counted on characters, against seqeval and `iob2_scores` on the tags themselves."""

import numpy as np
import pytest
from seqeval.metrics import f1_score
from seqeval.metrics.v1 import precision_recall_fscore_support
from seqeval.scheme import IOB2

from camembert_bio.evaluation.corpora.reading import read_documents
from camembert_bio.evaluation.counting import count_documents
from camembert_bio.evaluation.examples import document_tags, encode_documents, window_labels
from camembert_bio.evaluation.layers import decode, tag_layers, tag_names
from camembert_bio.evaluation.metrics import iob2_scores
from camembert_bio.evaluation.predictions import Row, scores
from camembert_bio.samples.ner import write_ner


@pytest.fixture(scope="module")
def encoded(tmp_path_factory, tokenizer):
    """The project's sample corpus, in windows."""
    folder = tmp_path_factory.mktemp("sample") / "ner"
    write_ner(folder, num_documents=40)
    return encode_documents(read_documents("brat", folder), tokenizer, 64, 16)


def perturbed(tags, num_tags, share, rng):
    """Tags [T, M], of which a share is drawn anew: many an I then continues nothing."""
    return np.where(rng.random(tags.shape) < share, rng.integers(num_tags, size=tags.shape), tags)


def rows_and_names(encoded, policy, share, seed):
    """What the harness saves of perturbed tags, and the names of gold and predicted tags by document, of one layer."""
    rng = np.random.default_rng(seed)
    labels = sorted({span.label for document in encoded.documents for span in document.spans})
    layers = tag_layers(policy, labels, encoded.documents)
    names = tag_names(layers)
    gold = document_tags(encoded, window_labels(encoded, policy, layers), len(layers))
    rows, named = [], ([], [])
    for document, tokens, tags in zip(encoded.documents, encoded.tokens, gold, strict=True):
        pred = perturbed(tags, len(names) // len(layers), share, rng)
        perfect, found = (decode(tokens, each, layers) for each in (tags, pred))
        rows.append(Row(document.id, document.spans, found, perfect))
        for side, each in zip(named, (tags, pred), strict=True):
            side.append([names[tag] for tag in each[tokens.is_visible, 0]])
    return rows, named


@pytest.mark.parametrize("policy", ["flat-outermost", "flat-longest"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_the_harness_counts_what_seqeval_counts(encoded, policy, share):
    rows, (gold, pred) = rows_and_names(encoded, policy, share, seed=1)
    found = scores(rows)["iob2_f1"]
    assert found == pytest.approx(f1_score(gold, pred, mode="strict", scheme=IOB2, zero_division=0), abs=1e-12)
    assert found == iob2_scores(gold, pred).micro.f1
    assert found == count_documents([rows]).ratios("iob2_f1").per_seed[0]
    assert (found == 1.0) == (share == 0)
    counted = count_documents([rows])
    *_, f1, _ = precision_recall_fscore_support(gold, pred, average=None, scheme=IOB2, zero_division=0)
    assert [counted.ratios("iob2_f1", label).per_seed[0] for label in counted.labels] == pytest.approx(list(f1))
