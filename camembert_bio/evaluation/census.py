"""What an annotated corpus holds, counted: documents, words, sub-words, entities, and what stands in two parts."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, get_args

from camembert_bio import files
from camembert_bio.errors import Mistakes, UserError
from camembert_bio.evaluation import leaks
from camembert_bio.evaluation.corpora.reading import read_documents
from camembert_bio.evaluation.documents import Document, Span, Text
from camembert_bio.evaluation.items import Item
from camembert_bio.evaluation.layers import outermost
from camembert_bio.evaluation.recipe import FORMATS, READY, Finetune, Format, Policy, Task, TaskType
from camembert_bio.evaluation.tasks import Parts, read_parts, with_validation

_FORMAT_OF: dict[str, Format] = {".ann": "brat", ".xml": "e3c", ".jsonl": "jsonl", ".arrow": "datasets"}
_FORMAT_OF |= dict.fromkeys((".conll", ".iob", ".iob2", ".bio"), "conll")
_SEQ_LENGTH, _OVERLAP = 512, 128
_TOO_LONG = f"documents over {_SEQ_LENGTH - 2}"


def recipe_parts(recipe: Finetune) -> dict[str, Parts]:
    """The parts of each task as they will be used: validation taken out of training where it is not given."""
    found: dict[str, Parts] = {}
    mistakes = Mistakes()
    for task in recipe.tasks:
        with mistakes.noted():
            found[task.name] = with_validation(task, read_parts(task))
    mistakes.raise_any("the corpora cannot be counted:")
    return found


def corpus_parts(path: Path, kind: Format | None, split: str | None) -> tuple[TaskType, Parts]:
    """The documents of one corpus and what they teach: as a single part `all`, in those of a split, or as published.

    Raises `UserError` for rows, which do not say what their columns hold.
    """
    kind = kind or _format_of(path)
    task_type = next(name for name, formats in FORMATS.items() if kind in formats)
    if kind not in (*FORMATS["ner"], *READY):
        raise UserError(
            f"--format {kind} does not say which columns of {path} hold what; write a recipe with a task of this "
            "format, its type and its columns, and give it in place of the folder"
        )
    if split is not None or kind in READY:
        return task_type, read_parts(Task("corpus", kind, task_type, path=path, split=split))
    return task_type, {"all": read_documents(kind, path)}


def _format_of(path: Path) -> Format:
    """The format of a corpus by the names of its files. Raises `UserError` when they do not tell."""
    suffixes = {path.suffix} if path.is_file() else {file.suffix for file in files.below(path)}
    found = {_FORMAT_OF[suffix] for suffix in suffixes & _FORMAT_OF.keys()}
    if len(found) != 1:
        shown = " or ".join(sorted(found)) or "no known one"
        raise UserError(f"the files of {path} do not tell its format ({shown}); give --format")
    return found.pop()


def census(parts: Parts, tokenizer: Any = None, task_type: TaskType = "ner") -> dict[str, Any]:
    """The counts of each part that has documents, and the ids of documents that stand in two parts.

    With a tokenizer also lengths in sub-words, and, of entities, per policy what a perfect tagger reaches on the last
    part.
    """
    filled = {part: documents for part, documents in parts.items() if documents}
    counted: dict[str, Any] = {part: _counts(documents, tokenizer, task_type) for part, documents in filled.items()}
    for earlier, later in combinations(filled, 2):
        counted[later][f"same_text_in_{earlier}"] = leaks.same_text(filled[later], filled[earlier])
        counted[later][f"near_in_{earlier}"] = leaks.near(filled[later], filled[earlier])
    if tokenizer is not None and filled and task_type == "ner":
        from camembert_bio.evaluation.ceiling import ceilings
        from camembert_bio.evaluation.examples import encode_documents

        part, documents = list(filled.items())[-1]
        everything = [document for found in filled.values() for document in found]
        encoded = encode_documents(documents, tokenizer, _SEQ_LENGTH, _OVERLAP)
        counted[part]["ceiling"] = ceilings(encoded, everything)
    return counted


def _counts(documents: Sequence[Any], tokenizer: Any, task_type: TaskType) -> dict[str, Any]:
    counts: dict[str, Any] = {
        "documents": len(documents),
        "words": sum(len(document.text.split()) for document in documents),
        **(_entity_counts(documents) if task_type == "ner" else {}),
        "repeated_texts": len(documents) - len({document.text_sha256 for document in documents}),
        "labels": dict(sorted(Counter(label for found in map(_labels, documents) for label in found).items())),
    }
    if tokenizer is not None:
        counts["sub_words"] = _lengths(documents, tokenizer)
    return counts


def _labels(document: Document | Item) -> Sequence[str]:
    """The labels of the spans, words or item, as often as they occur."""
    return [span.label for span in document.spans] if isinstance(document, Document) else document.labels


def _entity_counts(documents: Sequence[Document]) -> dict[str, int]:
    spans = [span for document in documents for span in document.spans]
    return {
        "entities": len(spans),
        "nested": sum(len(_inner(document.spans)) for document in documents),
        "discontinuous": sum(not span.is_continuous for span in spans),
        "without_entity": sum(not document.spans for document in documents),
    }


def _inner(spans: Sequence[Span]) -> set[Span]:
    """The continuous spans that another continuous one contains."""
    continuous = {span for span in spans if span.is_continuous}
    return continuous - set(outermost(continuous))


def _lengths(documents: Sequence[Text], tokenizer: Any) -> dict[str, Any]:
    encoded = tokenizer([document.text for document in documents], add_special_tokens=False, verbose=False)
    lengths = [len(row) for row in encoded["input_ids"]]
    return {
        "total": sum(lengths),
        "median": statistics.median_high(lengths),
        "longest": max(lengths),
        _TOO_LONG: sum(length > _SEQ_LENGTH - 2 for length in lengths),
    }


def table(name: str, counted: dict[str, Any]) -> str:
    """The counts of a corpus as text: a column a part."""
    parts = list(counted.values())
    rows = [[name, *counted]]

    def add(title: str, values: Sequence[Any]) -> None:
        shown = ["" if value is None else f"{value:.2f}" if type(value) is float else f"{value:,}" for value in values]
        if any(shown):
            rows.append([title, *shown])

    for key in ("documents", "words", "entities", "nested", "discontinuous", "without_entity", "repeated_texts"):
        add(key.replace("_", " "), [part.get(key) for part in parts])
    for label in sorted({label for part in parts for label in part["labels"]}):
        add(f"  {label}", [part["labels"].get(label, 0) for part in parts])
    for key in ("total", "median", "longest", _TOO_LONG):
        add(f"sub-words, {key}", [part.get("sub_words", {}).get(key) for part in parts])
    for key in sorted({key for part in parts for key in part if "_in_" in key}):
        add(key.replace("_", " "), [len(part[key]) if key in part else None for part in parts])
    for policy in get_args(Policy):
        found = [part.get("ceiling", {}).get(policy) for part in parts]
        add(f"ceiling, {policy}", [100 * ceiling["f1"] if ceiling else None for ceiling in found])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    aligned = [[row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in rows]
    return "\n".join("  ".join(cells).rstrip() for cells in aligned)
