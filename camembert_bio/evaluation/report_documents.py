"""Documents of the report's page with what was annotated and what was predicted, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise

from camembert_bio.evaluation.comparison import TaskTable
from camembert_bio.evaluation.documents import Span
from camembert_bio.evaluation.matching import Pair, pair_spans
from camembert_bio.evaluation.predictions import Row
from camembert_bio.page import visible

_HUES = (210, 25, 140, 280, 50, 345, 175, 95, 245, 320)
"""Of the labels' colours, in the order of the labels' names; the eleventh has the first again."""

STYLE = (
    """
.sides { display: grid; grid-template-columns: repeat(auto-fit, minmax(14rem, 1fr)); gap: 1.2rem; }
.sides > div { white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.9; font-size: .9rem; }
.sides h4 { margin: 0; white-space: normal; }
mark { color: inherit; border-radius: 3px; padding: 1px 1px 2px; border-bottom: 2px solid; }
mark mark { padding-bottom: 0; border-bottom-width: 1px; }
mark i { font: 600 .62rem system-ui, sans-serif; margin-left: .3em; vertical-align: super; }
.missed, .spurious { outline: 2px solid var(--c5); } .missed { outline-style: dotted; }
.type, .boundary, .both { outline: 2px dashed var(--c4); }
"""
    + "\n".join(
        f".h{place} {{ background: hsl({hue} 70% 50% / .2); border-color: hsl({hue} 60% 50%); }}"
        for place, hue in enumerate(_HUES)
    )
    + "\n"
)

GONE = '<p class="muted">The recipe&#x27;s documents are not those that were tested here: none is shown.</p>'
"""In the place of the documents of a table whose data are no task's of the recipe any more."""

_CLASSES = {"boundary and type": "both"}


def documents(task: TaskTable, texts: Mapping[str, str]) -> str:
    """Every test document, those with the most errors first: gold, and each model's predictions with its first seed."""
    found = {model: entry.entities.rows[0] for model, entry in task.entries.items() if entry.entities}
    rows = {model: {row.document: row for row in each} for model, each in found.items()}
    gold = next(iter(rows.values()))
    labels = sorted({label for entry in task.entries.values() for label in entry.labels})
    pairs = {
        document: {model: pair_spans(row[document].gold, row[document].pred) for model, row in rows.items()}
        for document in gold
    }
    ordered = sorted(pairs, key=lambda name: (-_num_errors(pairs[name]), name))
    seeds = ", ".join(f"{model} seed {entry.seeds[0]}" for model, entry in task.entries.items())
    shown = "".join(_document(gold[name], texts[name], pairs[name], labels) for name in ordered)
    return (
        f"<details><summary>Documents ({len(gold):,}), annotated and predicted side by side</summary>"
        f'<p class="muted">Most errors first ({escape(seeds)}). Dotted: missed by all; solid: predicted and not '
        f"annotated; dashed: another boundary or label.</p>{shown}</details>"
    )


def _document(gold: Row, text: str, pairs: Mapping[str, Sequence[Pair]], labels: Sequence[str]) -> str:
    columns = [_column("annotated", text, _gold_kinds(gold, pairs), labels)]
    columns += [_column(model, text, _pred_kinds(found), labels) for model, found in pairs.items()]
    head = f"{escape(gold.document)}: {_num_errors(pairs)} errors"
    return f'<details><summary>{head}</summary><div class="sides">{"".join(columns)}</div></details>'


def _num_errors(pairs: Mapping[str, Sequence[Pair]]) -> int:
    return sum(pair.kind != "correct" for found in pairs.values() for pair in found)


def _gold_kinds(row: Row, pairs: Mapping[str, Sequence[Pair]]) -> dict[Span, str]:
    """Gold; `missed` where no model predicts anything there."""
    met = {pair.gold for found in pairs.values() for pair in found if pair.gold and pair.pred}
    return {span: "" if span in met else "missed" for span in row.gold}


def _pred_kinds(pairs: Sequence[Pair]) -> dict[Span, str]:
    return {pair.pred: "" if pair.kind == "correct" else pair.kind for pair in pairs if pair.pred}


def _column(title: str, text: str, kinds: Mapping[Span, str], labels: Sequence[str]) -> str:
    return f"<div><h4>{escape(title)}</h4>{highlighted(text, kinds, labels)}</div>"


def highlighted(text: str, kinds: Mapping[Span, str], labels: Sequence[str]) -> str:
    """The text as HTML, each span marked with its label and its kind; nested and crossing ones too."""
    edges = {0, len(text)}
    for span in kinds:
        edges |= {min(edge, len(text)) for fragment in span.fragments for edge in fragment}
    places = sorted(edges)
    pieces = []
    for start, end in pairwise(places):
        inside = [span for span in kinds if any(a <= start and end <= b for a, b in span.fragments)]
        inside.sort(key=lambda span: (span.start, -span.end, span))
        opened = "".join(_open(span, kinds[span], labels) for span in inside)
        closed = "".join(f"{_name(span, end)}</mark>" for span in reversed(inside))
        pieces.append(f"{opened}{escape(text[start:end])}{closed}")
    return "".join(pieces)


def _open(span: Span, kind: str, labels: Sequence[str]) -> str:
    label = visible(span.label)
    words = f"{label}, {kind}" if kind else label
    return f'<mark class="h{labels.index(span.label) % len(_HUES)} {_CLASSES.get(kind, kind)}" title="{escape(words)}">'


def _name(span: Span, end: int) -> str:
    """The label, where the span ends."""
    return f"<i>{escape(visible(span.label))}</i>" if end == span.end else ""
