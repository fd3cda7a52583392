"""What a perfect tagger would find, and the ledger of what it loses: its score is the ceiling of every other.

It goes the way of a real one: tags of the policy's layers, cut into windows, each token read where it is most
central, tags read as spans again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, get_args

from camembert_bio.evaluation.documents import Document, Span
from camembert_bio.evaluation.examples import Encoded, document_tags, window_labels
from camembert_bio.evaluation.layers import Layers, decode, encode, spread, tag_layers
from camembert_bio.evaluation.metrics import strict_scores
from camembert_bio.evaluation.recipe import Policy

LOSSES = ("unknown_label", "discontinuous", "nested", "boundary", "window")
"""Why a gold span is lost, the first that holds.

`unknown_label`: its label is not among those learnt. `discontinuous`: it has several fragments. `nested`: it
overlaps others and the policy leaves it out. `boundary`: one of its ends is inside a sub-word, or at white space.
`window`: it is lost by the windows alone.
"""


def perfect_spans(encoded: Encoded, policy: Policy, layers: Layers) -> tuple[list[list[Span]], Counter[str]]:
    """What a perfect tagger finds in each document, and the ledger: `gold` spans, and how many of them `LOSSES` take.

    Each span that it does not find is counted once, so that gold less all losses is its number of true positives.
    """
    ledger = Counter(dict.fromkeys(("gold", *LOSSES), 0))
    found = []
    read = document_tags(encoded, window_labels(encoded, policy, layers), len(layers))
    for document, tokens, tags in zip(encoded.documents, encoded.tokens, read, strict=True):
        held = spread(document.spans, policy, layers)
        uncut = set(decode(tokens, encode(tokens, held, layers), layers))
        perfect = decode(tokens, tags, layers)
        found.append(perfect)
        ledger["gold"] += len(document.spans)
        known = {label for labels in layers for label in labels}
        kept = {span for spans in held for span in spans}
        for span in set(document.spans) - set(perfect):
            ledger[_loss(span, known, kept, uncut)] += 1
    return found, ledger


def ceilings(encoded: Encoded, everything: Sequence[Document]) -> dict[Policy, dict[str, Any]]:
    """By policy the F1 of a perfect tagger that knows every label of these documents, and its ledger.

    `everything` holds the documents of every part of the task.
    """
    labels = sorted({span.label for document in encoded.documents for span in document.spans})
    gold = [(document.id, span.fragments, span.label) for document in encoded.documents for span in document.spans]
    scored: dict[Policy, dict[str, Any]] = {}
    for policy in get_args(Policy):
        found, ledger = perfect_spans(encoded, policy, tag_layers(policy, labels, everything))
        pairs = zip(encoded.documents, found, strict=True)
        pred = [(document.id, span.fragments, span.label) for document, spans in pairs for span in spans]
        scored[policy] = {"f1": strict_scores(gold, pred).micro.f1, **ledger}
    return scored


def _loss(span: Span, known: set[str], kept: set[Span], uncut: set[Span]) -> str:
    """The first of `LOSSES` that holds for a span that is not found."""
    if span.label not in known:
        return "unknown_label"
    if not span.is_continuous:
        return "discontinuous"
    if span not in kept:
        return "nested"
    return "window" if span in uncut else "boundary"
