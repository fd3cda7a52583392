"""Which reader reads which format."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from camembert_bio.errors import UserError
from camembert_bio.evaluation.corpora.annotation import ANY, Labels
from camembert_bio.evaluation.corpora.brat import read_brat
from camembert_bio.evaluation.corpora.cas import CAS1, CAS2
from camembert_bio.evaluation.corpora.conll import read_conll
from camembert_bio.evaluation.corpora.e3c import read_e3c
from camembert_bio.evaluation.corpora.jsonl import read_jsonl
from camembert_bio.evaluation.corpora.saved_datasets import read_dataset
from camembert_bio.evaluation.documents import Document
from camembert_bio.evaluation.recipe import Format

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
    if kind not in _FOLDERS and kind != "datasets" and not path.exists():
        raise UserError(f"{path} does not exist; give a file or folder of {kind} documents")
    documents = _READERS[kind](path, labels or _LABELS.get(kind, ANY), wanted)
    first: dict[str, Document] = {}
    for document in documents:
        other = first.setdefault(document.id, document)
        if other is not document:
            raise UserError(
                f"{document.where}: id {document.id!r} is that of {other.where} too; give each document its own"
            )
    return documents
