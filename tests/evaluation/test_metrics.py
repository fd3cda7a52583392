import numpy as np
import pytest
from seqeval.metrics import f1_score
from seqeval.metrics.v1 import precision_recall_fscore_support
from seqeval.scheme import IOB2, Entities

from camembert_bio.evaluation.layers import tag_names
from camembert_bio.evaluation.metrics import Counts, iob2_scores, iob2_spans, strict_scores

LABELS = ("ANAT", "CHEM", "DISO")
TAGS = tag_names((tuple(LABELS),))


def random_sequences(count, seed):
    """Tags drawn at random: about half of the I are malformed. Few labels and little O make them meet."""
    rng = np.random.default_rng(seed)
    return [
        rng.choice(len(TAGS), size=rng.integers(0, 15), p=[0.3, 0.1, 0.2, 0.1, 0.1, 0.1, 0.1]) for _ in range(count)
    ]


def as_mentions(sequences):
    return [
        (str(number), ((first, end),), LABELS[label])
        for number, tags in enumerate(sequences)
        for first, end, label in iob2_spans(tags)
    ]


def test_spans_equal_seqeval_strict_on_random_sequences():
    sequences = random_sequences(10_000, seed=1)
    expected = Entities([[TAGS[tag] for tag in tags] for tags in sequences], IOB2).entities
    for tags, entities in zip(sequences, expected, strict=True):
        found = [(first, end, LABELS[label]) for first, end, label in iob2_spans(tags)]
        assert found == [(entity.start, entity.end, entity.tag) for entity in entities]


def gold_and_pred(count, seed):
    """Two lists of sequences of equal lengths that agree on most tags, as numbers and as names."""
    gold, other = random_sequences(count, seed), random_sequences(count, seed + 1)
    rng = np.random.default_rng(seed + 2)
    pairs = zip(gold, other, strict=True)
    pred = [np.where(rng.random(len(g)) < 0.8, g, np.resize(o, len(g)) if len(o) else g) for g, o in pairs]
    return (gold, pred), tuple([[TAGS[tag] for tag in tags] for tags in part] for part in (gold, pred))


def test_scores_equal_seqeval_strict_on_random_sequences():
    numbers, names = gold_and_pred(10_000, seed=2)
    assert iob2_scores(*names) == strict_scores(*map(as_mentions, numbers))
    names = tuple(part[:1500] for part in names)
    scores = iob2_scores(*names)
    micro = precision_recall_fscore_support(*names, average="micro", scheme=IOB2, zero_division=0)
    assert 0.1 < scores.micro.f1 < 0.9
    assert list(scores.micro.figures.values()) == pytest.approx(list(micro[:3]), abs=1e-12)
    *figures, support = precision_recall_fscore_support(*names, average=None, scheme=IOB2, zero_division=0)
    for name, values in zip(("precision", "recall", "f1"), figures, strict=True):
        found = [scores.per_label[label].figures[name] for label in LABELS]
        assert found == pytest.approx(list(values), abs=1e-12)
        assert scores.macro[name] == pytest.approx(np.mean(values), abs=1e-12)
    assert [scores.per_label[label].gold for label in LABELS] == list(support)
    few = [part[:200] for part in names]
    assert iob2_scores(*few).micro.f1 == pytest.approx(
        f1_score(*few, mode="strict", scheme=IOB2, zero_division=0), abs=1e-12
    )


def test_a_label_that_nobody_opens_has_no_score():
    scores = iob2_scores([["B-A", "I-C"], []], [["I-B", "B-A"], []])
    assert scores == strict_scores([("0", ((0, 1),), "A")], [("0", ((1, 2),), "A")])


def test_nothing_goes_on_into_the_next_sequence():
    assert iob2_scores([["B-A"], ["I-A"]], [["B-A"], ["O"]]).micro == Counts(1, 1, 1)


@pytest.mark.parametrize(
    ("gold", "pred", "message"),
    [
        ([["O"]], [["O"], ["O"]], "differ in their number of sequences"),
        ([["O"]], [["O", "O"]], "or in a sequence's length"),
        ([["O"]], [["E-A"]], "tag 'E-A' is not IOB2; use O, B-LABEL and I-LABEL"),
        ([["B-"]], [["O"]], "tag 'B-' is not IOB2"),
        ([["A"]], [["O"]], "tag 'A' is not IOB2"),
    ],
)
def test_tags_that_cannot_be_compared(gold, pred, message):
    with pytest.raises(ValueError, match=message):
        iob2_scores(gold, pred)


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
    assert scores.macro == {"precision": 0.0, "recall": 0.0, "f1": 0.0}
    assert iob2_scores([], []) == scores
    assert (scores.micro.precision, scores.micro.recall, scores.micro.f1) == (0.0, 0.0, 0.0)
    assert strict_scores([("a", ((0, 1),), "X")], []).per_label["X"].f1 == 0.0
