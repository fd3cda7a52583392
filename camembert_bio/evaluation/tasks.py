"""A task's documents: read from its folders, split by document."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

from camembert_bio.errors import UserError
from camembert_bio.evaluation.corpora.brat import read_brat
from camembert_bio.evaluation.corpora.e3c import read_e3c
from camembert_bio.evaluation.documents import Document, documents_sha256
from camembert_bio.evaluation.recipe import Task

logger = logging.getLogger(__name__)

_READERS = {"brat": read_brat, "e3c": read_e3c}


@dataclass(frozen=True)
class TaskData:
    """The documents of one task and the labels that its training documents use."""

    name: str
    train: list[Document]
    validation: list[Document]
    test: list[Document]
    labels: tuple[str, ...]
    """Sorted; a test entity with another label cannot be found, and counts as missed."""

    @property
    def sha256(self) -> str:
        """A hash of every document of the three parts."""
        parts = (self.train, self.validation, self.test)
        return hashlib.sha256("".join(documents_sha256(part) for part in parts).encode()).hexdigest()


def load_task(task: Task) -> TaskData:
    """Read a task's folders. Raises `UserError` on a folder that cannot be read or has nothing to learn."""
    train = _read(task, task.train)
    if task.validation is not None:
        validation = _read(task, task.validation)
    else:
        train, validation = split_validation(train, task.validation_fraction)
    test = _read(task, task.test)
    labels = tuple(sorted({span.label for document in train for span in document.spans}))
    if not labels:
        raise UserError(f"task {task.name}: {task.train} has {len(train)} training documents and no entity to learn")
    _warn_of_leaks(task.name, train + validation, test)
    return TaskData(task.name, train, validation, test, labels)


def split_validation(documents: list[Document], fraction: float) -> tuple[list[Document], list[Document]]:
    """(training, validation) documents; validation holds those whose text's sha256 is smallest.

    Its size is `fraction` of the documents, rounded, at least one. Raises `UserError` when nothing
    is left to train on.
    """
    size = max(1, round(fraction * len(documents)))
    if size >= len(documents):
        raise UserError(
            f"{len(documents)} training documents leave none to train on after {size} for validation; "
            "give a validation folder"
        )
    by_hash = sorted(documents, key=lambda document: (_text_sha256(document), document.id))
    chosen = {document.id for document in by_hash[:size]}
    return [d for d in documents if d.id not in chosen], [d for d in documents if d.id in chosen]


def _read(task: Task, folder: Path) -> list[Document]:
    if not folder.is_dir():
        raise UserError(f"task {task.name}: {folder} is not a folder")
    return _READERS[task.format](folder)


def _warn_of_leaks(name: str, seen: list[Document], test: list[Document]) -> None:
    texts = {_text_sha256(document) for document in seen}
    leaked = [document.id for document in test if _text_sha256(document) in texts]
    if leaked:
        logger.warning(
            "task %s: %d of %d test documents have the text of a training or validation document (%s)",
            name,
            len(leaked),
            len(test),
            ", ".join(leaked[:5]),
        )


def _text_sha256(document: Document) -> str:
    return hashlib.sha256(document.text.encode()).hexdigest()
