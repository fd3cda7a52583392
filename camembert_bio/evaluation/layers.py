"""Between spans and layers of IOB2 tags: which spans a policy can hold, and how tags are read again.

A layer is one row of tags over a document's sub-words. The flat policies have one layer for all labels, in which
no two spans overlap. `per-label` has layers of one label each, so that spans of different labels never meet, and
as many for a label as its spans overlap at one place.

Shape letters: T tokens of a document, M layers.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from camembert_bio.evaluation.align import Tokens
from camembert_bio.evaluation.documents import Document, Span
from camembert_bio.evaluation.metrics import IntArray, iob2_spans
from camembert_bio.evaluation.recipe import Policy

Layers = tuple[tuple[str, ...], ...]
"""The labels of each layer. Every layer has the same number of them, so that one head serves all."""

IGNORED = -100
"""The tag of a token that is neither learnt nor read."""


def tag_layers(policy: Policy, labels: Sequence[str], documents: Iterable[Document]) -> Layers:
    """The layers that hold the spans of these labels: those of every part of a task, so that none is too deep."""
    if policy != "per-label":
        return (tuple(labels),)
    depths = Counter(dict.fromkeys(labels, 1))
    for document in documents:
        depths |= Counter({label: len(_by_depth(document.spans, label)) for label in labels})
    return tuple((label,) for label in labels for _ in range(depths[label]))


def tag_names(layers: Layers) -> list[str]:
    """A name for each tag of each layer, in the order of the head's outputs: O, B-first, I-first, B-second, ..."""
    if len(layers) == 1:
        return ["O", *(f"{prefix}-{label}" for label in layers[0] for prefix in "BI")]
    return [f"{prefix}-{label}-{number}" for number, (label,) in enumerate(layers) for prefix in "OBI"]


def spread(spans: Iterable[Span], policy: Policy, layers: Layers) -> list[list[Span]]:
    """The spans that each layer holds, none overlapping another of its layer, in text order.

    Left out are spans of other labels, discontinuous ones, and those that overlap too many others.
    """
    if policy != "per-label":
        return [flatten([span for span in spans if span.label in layers[0]], policy)]
    spans = list(spans)
    found = {label: iter(_by_depth(spans, label)) for (label,) in layers}
    return [next(found[label], []) for (label,) in layers]


def _by_depth(spans: Iterable[Span], label: str) -> list[list[Span]]:
    """The continuous spans of a label in as few rows without overlap as they need; outer ones in earlier rows."""
    rows: list[list[Span]] = []
    continuous = [span for span in spans if span.label == label and span.is_continuous]
    for span in sorted(continuous, key=lambda span: (span.start, -span.end)):
        free = next((row for row in rows if row[-1].end <= span.start), None)
        if free is None:
            rows.append([span])
        else:
            free.append(span)
    return rows


def flatten(spans: Iterable[Span], policy: Policy) -> list[Span]:
    """The spans, none overlapping another, that one layer of tags can hold; in text order.

    Discontinuous spans are left out. `flat-outermost` leaves out each span that another contains,
    then, of two that cross, the later one. `flat-longest` keeps the longest first. Of two spans with
    the same extent the label first in the alphabet stays.
    """
    continuous = [span for span in spans if span.is_continuous]
    if policy == "flat-longest":
        return sorted(_without_overlap(sorted(continuous, key=lambda span: (span.start - span.end, span))))
    return _without_overlap(outermost(continuous))


def outermost(spans: Iterable[Span]) -> list[Span]:
    """The spans that no other contains, in text order."""
    found: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.end, span.label)):
        if not found or found[-1].end < span.end:  # those before begin no later, and the last of them ends last
            found.append(span)
    return found


def _without_overlap(spans: Iterable[Span]) -> list[Span]:
    """The spans that overlap none kept before them, in the given order."""
    kept: list[Span] = []
    in_order: list[tuple[int, int]] = []
    for span in spans:
        place = bisect.bisect(in_order, (span.start, span.end))
        is_after = place == 0 or in_order[place - 1][1] <= span.start
        if is_after and (place == len(in_order) or span.end <= in_order[place][0]):
            in_order.insert(place, (span.start, span.end))
            kept.append(span)
    return kept


def encode(tokens: Tokens, spans: Sequence[Sequence[Span]], layers: Layers) -> IntArray:
    """IOB2 tags [T, M] of the spans of each layer: a token that overlaps a span belongs to it, the first is B.

    A token that two spans of a layer share belongs to the first of them. Tags are those of
    `metrics.iob2_spans`, with the label's index in its layer; `IGNORED` where nothing is visible.
    """
    tags = np.where(tokens.is_visible[:, None], np.zeros((1, len(layers)), np.int64), IGNORED)
    for column, (found, labels) in enumerate(zip(spans, layers, strict=True)):
        for span in found:
            # Tokens are in the order of the text, so that those which overlap a span follow one another.
            first = np.searchsorted(tokens.ends, span.start, side="right")
            last = np.searchsorted(tokens.starts, span.end)
            positions = first + np.flatnonzero(tags[first:last, column] == 0)
            if len(positions):
                label = labels.index(span.label)
                tags[positions, column] = 2 + 2 * label
                tags[positions[0], column] = 1 + 2 * label
    return tags


def decode(tokens: Tokens, tags: IntArray, layers: Layers) -> list[Span]:
    """The spans of IOB2 tags [T, M], read strictly, sorted; the tags of invisible tokens are passed over.

    A span that several layers of a label hold is one.
    """
    visible = np.flatnonzero(tokens.is_visible)
    starts, ends, tags = tokens.starts[visible], tokens.ends[visible], tags[visible]
    found = {
        Span(((int(starts[first]), int(ends[end - 1])),), layers[column][label])
        for column in np.flatnonzero((tags > 0).any(0))  # of many layers most are empty in a document
        for first, end, label in iob2_spans(tags[:, column])
    }
    return sorted(found)
