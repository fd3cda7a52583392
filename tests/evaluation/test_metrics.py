import numpy as np
import pytest
from seqeval.metrics import f1_score, precision_score, recall_score
from seqeval.metrics.v1 import precision_recall_fscore_support
from seqeval.scheme import IOB2, Entities

from camembert_bio.evaluation.finetune import tag_names
from camembert_bio.evaluation.metrics import Counts, iob2_spans, strict_scores

LABELS = ("ANAT", "CHEM", "DISO")
TAGS = tag_names(LABELS)


def random_sequences(count, seed):
    """Tags drawn at random: about half of the I are malformed. Few labels and little O make them meet."""
    rng = np.random.default_rng(seed)
    return [
        rng.choice(len(TAGS), size=rng.integers(0, 25), p=[0.3, 0.1, 0.2, 0.1, 0.1, 0.1, 0.1]) for _ in range(count)
    ]


def as_mentions(sequences):
    return [
        (str(number), ((first, end),), LABELS[label])
        for number, tags in enumerate(sequences)
        for first, end, label in iob2_spans(tags)
    ]


def test_spans_equal_seqeval_strict_on_random_sequences():
    sequences = random_sequences(3000, seed=1)
    expected = Entities([[TAGS[tag] for tag in tags] for tags in sequences], IOB2).entities
    for tags, entities in zip(sequences, expected, strict=True):
        found = [(first, end, LABELS[label]) for first, end, label in iob2_spans(tags)]
        assert found == [(entity.start, entity.end, entity.tag) for entity in entities]


def test_scores_equal_seqeval_strict():
    gold, pred = random_sequences(2000, seed=2), random_sequences(2000, seed=3)
    # seqeval needs equal lengths: keep most of gold's tags so that there is something to find.
    rng = np.random.default_rng(4)
    pairs = zip(gold, pred, strict=True)
    pred = [np.where(rng.random(len(g)) < 0.8, g, np.resize(p, len(g)) if len(p) else g) for g, p in pairs]
    names = [[[TAGS[tag] for tag in tags] for tags in part] for part in (gold, pred)]
    strict = {"mode": "strict", "scheme": IOB2, "zero_division": 0}
    scores = strict_scores(as_mentions(gold), as_mentions(pred))
    assert 0.1 < scores.micro.f1 < 0.9
    assert scores.micro.f1 == pytest.approx(f1_score(*names, **strict), abs=1e-12)
    assert scores.micro.precision == pytest.approx(precision_score(*names, **strict), abs=1e-12)
    assert scores.micro.recall == pytest.approx(recall_score(*names, **strict), abs=1e-12)
    per_label = precision_recall_fscore_support(*names, average=None, scheme=IOB2, zero_division=0)
    assert [scores.per_label[label].f1 for label in LABELS] == pytest.approx(list(per_label[2]), abs=1e-12)
    assert [scores.per_label[label].gold for label in LABELS] == list(per_label[3])


def test_a_tagger_of_i_alone_finds_nothing():
    assert iob2_spans(np.array([2, 2, 4, 4])) == []


def test_every_part_of_a_mention_counts():
    gold = [("a", ((0, 3), (5, 6)), "X")]
    assert strict_scores(gold, gold).micro.f1 == 1.0
    for other in (("b", ((0, 3), (5, 6)), "X"), ("a", ((0, 3),), "X"), ("a", ((0, 3), (5, 6)), "Y")):
        assert strict_scores(gold, [other]).micro.f1 == 0.0


def test_duplicates_count_once():
    mention = ("a", ((0, 3),), "X")
    assert strict_scores([mention], [mention, mention]).micro == Counts(1, 1, 1)


def test_nothing_over_nothing_is_zero():
    scores = strict_scores([], [])
    assert scores.per_label == {}
    assert (scores.micro.precision, scores.micro.recall, scores.micro.f1) == (0.0, 0.0, 0.0)
    assert strict_scores([("a", ((0, 1),), "X")], []).per_label["X"].f1 == 0.0
