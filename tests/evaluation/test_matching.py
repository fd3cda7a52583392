import nervaluate
import numpy as np
import pytest

from camembert_bio.evaluation.documents import Span
from camembert_bio.evaluation.matching import ERRORS, Pair, confusion, error_counts, pair_spans, relaxed_scores
from camembert_bio.evaluation.metrics import Counts, strict_scores

LABELS = ["ANAT", "CHEM", "DISO"]


def span(start, end, label="DISO"):
    return Span(((start, end),), label)


def random_spans(rng, count):
    """Entities anywhere in 40 characters: nested, crossing, equal ones of two labels, a third discontinuous."""
    spans = []
    for _ in range(count):
        edges = sorted(rng.choice(40, size=4, replace=False).tolist())
        fragments = ((edges[0], edges[1]), (edges[2], edges[3])) if rng.random() < 0.3 else ((edges[0], edges[1]),)
        spans.append(Span(fragments, str(rng.choice(LABELS))))
    return spans


def characters(one):
    return {place for start, end in one.fragments for place in range(start, end)}


def pairs_by_definition(gold, pred):
    """The rules of the module, read one by one: take the best pair that is left until none shares a character."""
    gold, pred, found = set(gold), set(pred), []

    def rank(pair):
        one, two = pair
        shared = len(characters(one) & characters(two))
        if one == two:
            rule = 1
        elif one.fragments == two.fragments:
            rule = 2
        else:
            rule = 3 if one.label == two.label else 4
        return rule, -shared, one, two

    while True:
        meeting = [(one, two) for one in gold for two in pred if characters(one) & characters(two)]
        if not meeting:
            break
        one, two = min(meeting, key=rank)
        kind = {1: "correct", 2: "type", 3: "boundary", 4: "boundary and type"}[rank((one, two))[0]]
        found.append((one, two, kind))
        gold.remove(one)
        pred.remove(two)
    return {*found, *((one, None, "missed") for one in gold), *((None, two, "spurious") for two in pred)}


def test_pairs_are_those_of_the_definition_whatever_the_order():
    rng = np.random.default_rng(1)
    kinds = set()
    for _ in range(300):
        gold, pred = random_spans(rng, rng.integers(0, 8)), random_spans(rng, rng.integers(0, 8))
        pred += [one for one in gold if rng.random() < 0.3]
        pred += [Span(one.fragments, str(rng.choice(LABELS))) for one in gold if rng.random() < 0.3]
        found = {(pair.gold, pair.pred, pair.kind) for pair in pair_spans(gold, pred)}
        assert found == pairs_by_definition(gold, pred)
        assert pair_spans(reversed(gold), reversed(pred)) == pair_spans(gold, pred)
        kinds |= {kind for *_, kind in found}
    assert kinds == {"correct", *ERRORS}


def apart(rng, count):
    """Gold and predicted entities, of which none overlaps two others."""
    gold, pred = [], []
    for slot in range(count):
        start, end = sorted(rng.choice(np.arange(10 * slot, 10 * slot + 9), size=2, replace=False).tolist())
        label = str(rng.choice(LABELS))
        if rng.random() < 0.8:
            gold.append(span(start, end + 1, label))
        if rng.random() < 0.8:
            moved = start if rng.random() < 0.6 else int(rng.integers(start, end + 1))
            pred.append(span(moved, end + 1, label if rng.random() < 0.7 else str(rng.choice(LABELS))))
    return gold, pred


def as_dicts(documents):
    # nervaluate's ends are inclusive.
    return [[{"label": s.label, "start": s.start, "end": s.end - 1} for s in spans] for spans in documents]


def test_scores_are_nervaluates_where_none_overlaps_two_others():
    rng = np.random.default_rng(2)
    documents = [apart(rng, 12) for _ in range(60)]
    pairs = [pair for gold, pred in documents for pair in pair_spans(gold, pred)]
    gold, pred = (as_dicts(part) for part in zip(*documents, strict=True))
    expected = nervaluate.Evaluator(gold, pred, tags=LABELS, loader="dict").evaluate()["overall"]
    found = relaxed_scores(pairs)
    for name, theirs in (("exact", "exact"), ("partial", "partial"), ("type", "ent_type")):
        result = expected[theirs]
        assert 0.3 < result.f1 < 0.95
        assert tuple(found[name].micro.figures.values()) == pytest.approx((result.precision, result.recall, result.f1))
    strict, counts = expected["strict"], error_counts(pairs)
    assert counts["correct"] == strict.correct
    assert counts["boundary"] + counts["type"] + counts["boundary and type"] == strict.incorrect
    assert (counts["missed"], counts["spurious"]) == (strict.missed, strict.spurious)


def test_exact_scores_of_a_label_are_the_strict_ones():
    rng = np.random.default_rng(3)
    documents = [(random_spans(rng, 6), random_spans(rng, 6)) for _ in range(80)]
    mentions = [
        [(str(number), s.fragments, s.label) for number, document in enumerate(documents) for s in document[side]]
        for side in (0, 1)
    ]
    scores = relaxed_scores([pair for gold, pred in documents for pair in pair_spans(gold, pred)])
    assert scores["exact"].per_label == strict_scores(*mentions).per_label
    for label in LABELS:
        exact, half, kind = (scores[name].per_label[label] for name in ("exact", "partial", "type"))
        assert exact.true_positives < half.true_positives < kind.true_positives
        assert half.true_positives == (exact.true_positives + kind.true_positives) / 2


@pytest.mark.parametrize(
    ("gold", "pred", "kinds"),
    [
        ([span(0, 5)], [span(0, 5)], ["correct"]),
        ([span(0, 5)], [span(0, 5, "CHEM")], ["type"]),
        ([span(0, 5)], [span(3, 8)], ["boundary"]),
        ([span(0, 5)], [span(3, 8, "CHEM")], ["boundary and type"]),
        ([span(0, 5)], [span(5, 8)], ["missed", "spurious"]),
        ([span(0, 9)], [span(0, 4), span(5, 9)], ["boundary", "spurious"]),
        # Of two entities that contain it, a prediction answers the one with its own boundaries.
        ([span(0, 9), span(0, 4, "CHEM")], [span(0, 4)], ["type", "missed"]),
        # Same label first, though less is shared.
        ([span(0, 5), span(5, 20, "CHEM")], [span(4, 20)], ["boundary", "missed"]),
        # Only fragments count: the gap between them is not the entity's.
        ([Span(((0, 2), (8, 10)), "DISO")], [span(3, 7)], ["missed", "spurious"]),
        ([Span(((0, 2), (8, 10)), "DISO")], [span(0, 10)], ["boundary"]),
        ([span(3, 3)], [span(0, 9)], ["spurious", "missed"]),
        ([], [], []),
    ],
)
def test_kinds(gold, pred, kinds):
    assert [pair.kind for pair in pair_spans(gold, pred)] == kinds


def test_a_duplicate_counts_once():
    assert pair_spans([span(0, 5)] * 2, [span(0, 5)] * 3) == [Pair(span(0, 5), span(0, 5))]


def test_what_each_kind_is_worth():
    gold = [span(0, 5), span(10, 15), span(20, 25), span(30, 35), span(40, 45)]
    pred = [span(0, 5), span(10, 15, "CHEM"), span(20, 26), span(30, 36, "CHEM"), span(50, 55)]
    pairs = pair_spans(gold, pred)
    assert error_counts(pairs) == {"correct": 1, **dict.fromkeys(ERRORS, 1)}
    scores = relaxed_scores(pairs)
    assert scores["exact"].micro == Counts(2, 5, 5)
    assert scores["partial"].micro == Counts(3, 5, 5)
    assert scores["type"].micro == Counts(2, 5, 5)
    assert scores["type"].per_label == {"CHEM": Counts(0, 2, 0), "DISO": Counts(2, 3, 5)}
    assert scores["partial"].per_label["DISO"] == Counts(1.5, 3, 5)
    assert confusion(pairs) == {("DISO", "DISO"): 2, ("DISO", "CHEM"): 2, ("DISO", None): 1, (None, "DISO"): 1}


def test_nothing_over_nothing_is_zero():
    assert {name: scores.micro.f1 for name, scores in relaxed_scores([]).items()} == dict.fromkeys(
        ("exact", "partial", "type"), 0.0
    )
