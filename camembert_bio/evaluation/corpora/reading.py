"""Which reader reads which format."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from camembert_bio.errors import UserError
from camembert_bio.evaluation.corpora.annotation import ANY, Labels, check_text, shown
from camembert_bio.evaluation.corpora.answers import read_items, read_texts
from camembert_bio.evaluation.corpora.brat import read_brat
from camembert_bio.evaluation.corpora.cas import CAS1, CAS2
from camembert_bio.evaluation.corpora.conll import read_conll
from camembert_bio.evaluation.corpora.e3c import read_e3c
from camembert_bio.evaluation.corpora.jsonl import read_jsonl
from camembert_bio.evaluation.corpora.layouts import LAYOUTS, Layout
from camembert_bio.evaluation.corpora.pos import read_pos
from camembert_bio.evaluation.corpora.saved_datasets import read_dataset
from camembert_bio.evaluation.documents import Document, Text
from camembert_bio.evaluation.items import Item
from camembert_bio.evaluation.recipe import TABLES, UNTRAINED, Format, Task

_READERS: dict[Format, Callable[[Path, Labels, Collection[str] | None], list[Document]]] = {
    "brat": read_brat,
    "cas1": read_brat,
    "cas2": read_brat,
    "conll": read_conll,
    "datasets": read_dataset,
    "e3c": read_e3c,
    "jsonl": read_jsonl,
}
_LABELS: dict[Format, Labels] = {"cas1": CAS1, "cas2": CAS2}
_FOLDERS: tuple[Format, ...] = ("brat", "cas1", "cas2", "e3c")


def read_documents(
    kind: Format, path: Path, labels: Labels | None = None, wanted: Collection[str] | None = None
) -> list[Document]:
    """The documents that `path` holds in a format, or the wanted ones of them; no two have the same id.

    `labels` are by default those of the format. Raises `UserError` naming file and line on what cannot be read.
    """
    if kind in _FOLDERS and not path.is_dir():
        raise UserError(f"{path} is not a folder; give a folder of {kind} documents")
    _check_exists(kind, path)
    documents = _READERS[kind](path, labels or _LABELS.get(kind, ANY), wanted)
    _check_ids(documents)
    return documents


def read_part(
    task: Task, path: Path, labels: Labels | None = None, wanted: Collection[str] | None = None
) -> list[Document] | list[Item]:
    """The documents of a task that `path` holds, as its type has them: with spans, with a tag a word, or as items.

    `labels` are by default those of the format. Raises as `read_documents` does.
    """
    is_table = task.format in TABLES and task.type in UNTRAINED
    if task.type == "ner" or (task.type in UNTRAINED and not is_table):
        return read_documents(task.format, path, labels, wanted)
    _check_exists(task.format, path)
    if is_table:
        texts = read_texts(task.format, path, task.columns, wanted)
        _check_ids(texts)
        return texts
    if task.type == "pos":
        words = read_pos(task.format, path, task.columns, labels or ANY, wanted)
        _check_ids(words)
        return words
    layout = LAYOUTS.get(task.format) or Layout(task.format, task.columns, {})
    items = read_items(layout.kind, path, task.type, layout.columns, task.scale, labels or layout.labels, wanted)
    if layout.repeated:
        items = _without_repeats(items, layout.repeated)
    _check_ids(items)
    return items


def _check_exists(kind: Format, path: Path) -> None:
    if kind != "datasets" and not path.exists():
        raise UserError(f"{path} does not exist; give a file or folder of {kind} documents")


def _without_repeats(items: list[Item], repeated: Collection[str]) -> list[Item]:
    """The items without those that are known to be given again and are equal to the first."""
    first: dict[str, Item] = {}
    return [
        item
        for item in items
        if first.setdefault(item.id, item) is item or item.id not in repeated or item != first[item.id]
    ]


def _check_ids(documents: Sequence[Text]) -> None:
    """Raise `UserError` for an id that is given twice, or that no file of results can hold."""
    first: dict[str, Text] = {}
    for document in documents:
        check_text(document.id, document.where, "id, or its file's name,")  # of a name that is not UTF-8
        other = first.setdefault(document.id, document)
        if other is not document:
            raise UserError(
                f"{document.where}: id {shown(document.id)} is that of {other.where} too; give each document its own"
            )
