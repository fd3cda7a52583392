"""A task's documents: read from its corpus, split by document, checked for what makes a score worthless."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camembert_bio.errors import Mistakes, UserError
from camembert_bio.evaluation.corpora.annotation import Labels, shown
from camembert_bio.evaluation.corpora.layouts import part_file
from camembert_bio.evaluation.corpora.reading import read_part
from camembert_bio.evaluation.documents import Document, documents_sha256
from camembert_bio.evaluation.items import Item
from camembert_bio.evaluation.leaks import has_text, same_text
from camembert_bio.evaluation.recipe import READY, UNTRAINED, Task, TaskType
from camembert_bio.evaluation.splits import PARTS, AnyText, divide, find_split

logger = logging.getLogger(__name__)

_UNITS: dict[TaskType, str] = {
    "ner": "entity",
    "pos": "tags",
    "classification": "classes",
    "multi-label": "label",
    "similarity": "similarities",
}
"""What each type learns, in messages."""

_FEW, _UNIQUE = 5, 0.9
"""From so many labels on a share of different ones that no class to be learnt can have, and texts have."""

Parts = dict[str, list[Any]]
"""The documents of `train`, `validation` and `test`: `Document` or `Item`, as `reading.read_part` gives them."""


@dataclass(frozen=True)
class TaskData:
    """The documents of one task and the labels that its training documents use."""

    task: Task
    train: list[Any]
    """`Document` where the task's type is about spans, words or texts alone, else `Item`; of an untrained type, and
    those of validation too, only for the check of leaks."""
    validation: list[Any]
    test: list[Any]
    labels: tuple[str, ...]
    """Sorted; what has another label in the test part cannot be found, and counts as missed."""

    @property
    def name(self) -> str:
        """Of the task."""
        return self.task.name

    @property
    def sha256(self) -> str:
        """A hash of every document of the three parts."""
        parts = (self.train, self.validation, self.test)
        return hashlib.sha256("".join(documents_sha256(part) for part in parts).encode()).hexdigest()


def load_task(task: Task) -> TaskData:
    """Read a task. Raises `UserError` on a corpus that cannot be read, and on parts that no score can be trusted of."""
    parts = with_validation(task, read_parts(task))
    with _named(task):
        labels = tuple(sorted({label for document in parts["train"] for label in labels_of(document)}))
        mistakes = Mistakes()
        for check in (_check_learnable, _check_testable, _check_leaks):
            with mistakes.noted():
                check(task, parts)
        mistakes.raise_any("its parts do not do:")
    _warn_of_unknown(task, parts["test"], labels)
    _warn_of_empty(task, parts)
    return TaskData(task, parts["train"], parts["validation"], parts["test"], labels)


def labels_of(document: Document | Item) -> set[str]:
    """The labels of a document's spans or words, or of an item; none of a question, whose choices are its own."""
    if isinstance(document, Document):
        return {span.label for span in document.spans}
    return set() if document.choices else set(document.labels)


def _check_labels(task: Task, parts: Parts) -> None:
    """Raise `UserError` where what was read as labels must be text, since the recipe names the wrong column.

    Labels that the task declares are taken as they are.
    """
    if task.type not in ("classification", "multi-label", "pos") or task.labels:
        return
    pairs = [pair for document in parts["train"] for pair in _labelled(document)]
    labels, texts = ({pair[place] for pair in pairs} for place in (0, 1))
    if task.type == "pos" and len(labels) > len(texts):
        raise UserError(
            f"{len(labels)} different tags of {len(texts)} different words; are the columns tokens and tags exchanged?"
        )
    if task.type != "pos" and len(pairs) >= _FEW and len(labels) >= _UNIQUE * len(pairs):
        column = task.columns.label if task.type == "classification" else task.columns.labels
        raise UserError(
            f"{len(labels)} different labels among the {len(pairs)} of the training documents; is column {column!r} "
            "that of the text? Name another under columns, or declare them under labels"
        )


def _labelled(document: Document | Item) -> list[tuple[str, str]]:
    """Label and text of each word, or of an item."""
    if isinstance(document, Document):
        return [(span.label, document.text[span.start : span.end]) for span in document.spans]
    return [(label, document.text) for label in document.labels]


def _check_learnable(task: Task, parts: Parts) -> None:
    """Raise `UserError` where nothing can be learnt of the training documents."""
    train = parts["train"]
    if task.type in UNTRAINED:
        return
    if task.type == "similarity":
        answers: set[Any] = {item.gold for item in train}
    else:
        answers = {label for document in train for label in labels_of(document)}
    if task.type in ("ner", "multi-label") and not answers:
        raise UserError(f"{len(train)} training documents and no {_UNITS[task.type]} to learn")
    if task.type in ("classification", "pos", "similarity") and len(answers) < 2:
        raise UserError(f"{len(train)} training documents and fewer than two different {_UNITS[task.type]} to learn")
    if not train:
        raise UserError("0 training documents; give some")
    if not any(map(has_text, train)):
        raise UserError(f"{len(train)} training documents and no text in any; give documents with text")


def _check_testable(task: Task, parts: Parts) -> None:
    """Raise `UserError` where the test documents give no score."""
    test = parts["test"]
    if not test:
        raise UserError("0 test documents; give some")
    if task.type in ("ner", "multi-label") and not any(map(labels_of, test)):
        raise UserError(f"{len(test)} test documents and no {_UNITS[task.type]} to find")
    if task.type in UNTRAINED and not any(document.text.split() for document in test):
        raise UserError(f"{len(test)} test documents and no word to score")
    if task.type == "similarity" and len({item.gold for item in test}) < 2:
        raise UserError(
            f"{len(test)} test documents of one similarity, which no correlation can be told of; add others"
        )


def _warn_of_unknown(task: Task, test: list[Any], labels: tuple[str, ...]) -> None:
    if task.type in ("ner", *UNTRAINED):  # the ledger of entities says it
        return
    if unknown := Counter(label for document in test for label in labels_of(document) - set(labels)):
        logger.warning(
            "task %s: %d of %d test documents have a label that no training document has (%s)",
            task.name,
            sum(bool(labels_of(document) - set(labels)) for document in test),
            len(test),
            ", ".join(map(shown, sorted(unknown)[:5])),
        )


def _warn_of_empty(task: Task, parts: Parts) -> None:
    for part, documents in parts.items():
        if empty := [document.id for document in documents if not has_text(document)]:
            shown_ids = ", ".join(empty[:5])
            logger.warning(
                "task %s: %d of %d %s documents have no text (%s)",
                task.name,
                len(empty),
                len(documents),
                part,
                shown_ids,
            )


def read_parts(task: Task) -> Parts:
    """The documents of each part as the task gives them; `validation` is empty where it is still to be taken.

    Raises `UserError` naming the task, the file and the line on what cannot be read, and where texts stand as labels.
    """
    with _named(task):
        parts = _given_parts(task)
        _check_labels(task, parts)
        return parts


def _given_parts(task: Task) -> Parts:
    if task.split is not None and task.path is not None:
        return _split_parts(task, task.split, task.path)
    parts: Parts = {part: [] for part in PARTS}
    mistakes = Mistakes()
    for part in PARTS:
        with mistakes.noted():
            if (place := _part_path(task, part)) is not None:
                parts[part] = list(read_part(task, place, _labels(task)))
    mistakes.raise_any("its documents cannot be read:")
    return parts


def with_validation(task: Task, parts: Parts) -> Parts:
    """The parts, with validation taken out of the training documents where the task gives none and needs it."""
    if parts["validation"] or task.type in UNTRAINED:
        return parts
    with _named(task):
        train, validation = split_validation(parts["train"], task.validation_fraction)
    return {"train": train, "validation": validation, "test": parts["test"]}


@contextmanager
def _named(task: Task) -> Iterator[None]:
    """The task's name before the message of a mistake."""
    try:
        yield
    except UserError as error:
        raise UserError(f"task {task.name}: {error}") from error


def _split_parts(task: Task, name: str, corpus: Path) -> Parts:
    split = find_split(name, task.format, corpus)
    for leak in split.leaks:
        logger.warning("task %s: split %s leaks: %s", task.name, name, leak)
    documents: list[Any] = list(read_part(task, corpus, _labels(task, split.labels), split.ids))
    return divide(split, name, documents, corpus)


def _part_path(task: Task, part: str) -> Path | None:
    """Where the documents of a part lie; None for a part that is not given."""
    given: Path | None = getattr(task, part)
    if task.format in READY and task.path is not None and task.train is task.validation is task.test is None:
        return part_file(task.format, part, task.path)
    if given is None or task.path is None:
        return given
    return Path(f"{task.path}@{given}") if task.format == "datasets" else task.path / given


def _labels(task: Task, declared: tuple[str, ...] = ()) -> Labels | None:
    """What the task says of labels, else what its split declares; None: what the format says."""
    names = task.labels or declared
    if not names and not task.dropped_labels:
        return None
    return Labels(frozenset(names) - set(task.dropped_labels) if names else None, frozenset(task.dropped_labels))


def split_validation(documents: list[AnyText], fraction: float) -> tuple[list[AnyText], list[AnyText]]:
    """(training, validation) documents; validation holds those whose text's sha256 is smallest.

    Its size is `fraction` of the documents, rounded, at least one. Raises `UserError` when nothing
    is left to train on.
    """
    size = max(1, round(fraction * len(documents)))
    if size >= len(documents):
        raise UserError(
            f"{len(documents)} training documents leave none to train on after {size} for validation; "
            "give validation documents"
        )
    by_hash = sorted(documents, key=lambda document: (document.text_sha256, document.id))
    chosen = {document.id for document in by_hash[:size]}
    return [d for d in documents if d.id not in chosen], [d for d in documents if d.id in chosen]


def _check_leaks(task: Task, parts: Parts) -> None:
    """Raise `UserError` for test documents that were seen in training, but for those that the task allows."""
    if unknown := sorted(set(task.allowed_leaks) - {document.id for document in parts["test"]}):
        raise UserError(f"allowed_leaks names {', '.join(unknown[:5])}, which is no test document; remove it")
    leaked = same_text(parts["test"], [*parts["train"], *parts["validation"]])
    refused = [pair for pair in leaked if pair[0] not in task.allowed_leaks]
    if refused:
        shown = ", ".join(f"{test} (as {seen})" for test, seen in refused[:5])
        raise UserError(
            f"{len(refused)} of {len(parts['test'])} test documents have the text of a training or validation "
            f"document: {shown}; take them out, or name them in allowed_leaks"
        )
    if leaked:
        logger.warning("task %s: %d test documents seen in training, as allowed", task.name, len(leaked))
    if learnt := same_text(parts["validation"], parts["train"]):
        logger.warning(
            "task %s: %d of %d validation documents have the text of a training document (%s)",
            task.name,
            len(learnt),
            len(parts["validation"]),
            ", ".join(name for name, _ in learnt[:5]),
        )
