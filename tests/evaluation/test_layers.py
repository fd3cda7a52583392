import numpy as np
import pytest

from camembert_bio.evaluation.align import Tokens
from camembert_bio.evaluation.documents import Document, Span
from camembert_bio.evaluation.layers import IGNORED, decode, encode, flatten, spread, tag_layers, tag_names

CHEM = (("CHEM",),)


def span(start, end, label="CHEM"):
    return Span(((start, end),), label)


def characters(count):
    """Tokens of one character each."""
    return Tokens(np.arange(count), np.arange(count), np.arange(count) + 1)


def test_outermost_and_longest():
    outer, inner, crossing = span(0, 10), span(2, 5), span(8, 20)
    split = Span(((0, 2), (4, 6)), "CHEM")
    spans = [inner, crossing, outer, split]
    assert flatten(spans, "flat-outermost") == [outer]
    assert flatten(spans, "flat-longest") == [inner, crossing]
    assert flatten([span(0, 4, "B"), span(0, 4, "A")], "flat-outermost") == [span(0, 4, "A")]
    # What is nested in a span that a crossing one displaces is not brought back: it is no outermost one.
    assert flatten([outer, crossing, span(12, 15)], "flat-outermost") == [outer]


def test_a_label_has_a_layer_for_each_of_its_spans_at_one_place():
    spans = (span(0, 9, "B"), span(0, 4), span(2, 3), span(3, 8), span(5, 6), Span(((0, 1), (7, 9)), "CHEM"))
    documents = [Document("a", "x" * 9, (span(0, 1),)), Document("b", "x" * 9, spans)]
    layers = tag_layers("per-label", ["B", "CHEM"], documents)
    assert layers == (("B",), ("CHEM",), ("CHEM",))
    assert spread(spans, "per-label", layers) == [[span(0, 9, "B")], [span(0, 4), span(5, 6)], [span(2, 3), span(3, 8)]]
    assert spread([span(0, 4)], "per-label", layers) == [[], [span(0, 4)], []]
    assert tag_layers("per-label", ["B"], []) == (("B",),)
    assert tag_layers("flat-longest", ["B", "CHEM"], documents) == (("B", "CHEM"),)


@pytest.mark.parametrize("policy", ["flat-outermost", "flat-longest", "per-label"])
def test_spans_that_a_policy_holds_come_back(policy):
    spans = [span(0, 9, "B"), span(0, 4), span(2, 3), span(9, 12), span(10, 11, "B"), span(11, 14, "B")]
    layers = tag_layers(policy, ["B", "CHEM"], [Document("a", "x" * 20, tuple(spans))])
    held = spread(spans, policy, layers)
    tags = encode(characters(20), held, layers)
    assert tags.shape == (20, len(layers))
    assert tags.max() < len(tag_names(layers)) / len(layers)
    assert decode(characters(20), tags, layers) == sorted(span for row in held for span in row)
    if policy == "per-label":
        assert sorted(span for row in held for span in row) == sorted(spans)


def test_every_output_of_the_head_has_a_name():
    assert tag_names((("A", "B"),)) == ["O", "B-A", "I-A", "B-B", "I-B"]
    assert tag_names((("A",), ("A",))) == ["O-A-0", "B-A-0", "I-A-0", "O-A-1", "B-A-1", "I-A-1"]


def test_a_shared_token_belongs_to_the_first_span():
    tokens = Tokens(np.array([7, 8, 9]), np.array([0, 4, 8]), np.array([4, 8, 12]))
    assert encode(tokens, [[span(0, 5), span(6, 12)]], CHEM)[:, 0].tolist() == [1, 2, 1]
    assert encode(tokens, [[span(0, 7), span(7, 8)]], CHEM)[:, 0].tolist() == [1, 2, 0]


def test_invisible_tokens_neither_carry_nor_break_an_entity():
    tokens = Tokens(np.array([7, 4, 9]), np.array([0, 3, 3]), np.array([2, 3, 5]))
    assert encode(tokens, [[span(0, 5)]], CHEM)[:, 0].tolist() == [1, IGNORED, 2]
    for middle in (0, 1, 2, IGNORED):
        assert decode(tokens, np.array([[1], [middle], [2]]), CHEM) == [span(0, 5)]


def test_one_span_in_two_layers_is_one():
    layers = (("CHEM",), ("CHEM",))
    assert decode(characters(3), np.array([[1, 1], [2, 2], [0, 0]]), layers) == [span(0, 2)]
