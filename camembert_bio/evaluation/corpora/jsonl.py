"""JSONL: a document a line, as `corpora.records` describes it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from camembert_bio.errors import UserError
from camembert_bio.evaluation.corpora.annotation import ANY, Labels, found_files, read_text
from camembert_bio.evaluation.corpora.records import document_id, document_of
from camembert_bio.evaluation.documents import Document

SUFFIXES = (".jsonl",)


def read_jsonl(path: Path, labels: Labels = ANY, wanted: Collection[str] | None = None) -> list[Document]:
    """The documents of a file, or of every `.jsonl` file below a folder; or the wanted ones of them.

    Raises `UserError` naming file and line on what is malformed.
    """
    documents = []
    for _, file in found_files(path, SUFFIXES):
        for where, record in records(file):
            if wanted is None or document_id(record, where) in wanted:
                documents.append(document_of(record, labels, where))
    return documents


def records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where each record of a file stands, and the record; empty lines are skipped."""
    # Not splitlines: JSON may hold U+2028 as it is.
    for number, line in enumerate(read_text(path).removeprefix("\ufeff").split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            place = f" at column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
            raise UserError(f"{where} is not valid JSON{place}; mend or remove the line") from error
        if not isinstance(record, dict):
            raise UserError(f"{where} is not a JSON object; write one object a line")
        yield where, record
