"""A dataset of the library `datasets`: a folder that `save_to_disk` wrote, or a name on the hub.

Its rows are records with character spans (`corpora.records`), or sentences of tagged tokens: a column `tokens` and a
column of IOB2 tags, `ClassLabel` or strings, that is called `ner_tags` or is the only one. Rows with the same
`document_id` that follow one another are the sentences of one document; without that column each row is one. The
text of tokens is rebuilt as `corpora.conll` does.

A hub name is `OWNER/NAME` or `OWNER/NAME:CONFIGURATION`. `@SPLIT` after a name or a folder takes one split; of all
splits together, ids begin with the split's name. A row without id is known by its number.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from camembert_bio import config
from camembert_bio.errors import UserError
from camembert_bio.evaluation.corpora.annotation import ANY, Labels, column_hint
from camembert_bio.evaluation.corpora.conll import Sentence, tagged_document
from camembert_bio.evaluation.corpora.records import checked_id, document_of
from camembert_bio.evaluation.documents import Document

_HUB_NAME = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(?::(?P<configuration>[\w.-]+))?")
_TAGS = "ner_tags"


def read_dataset(path: Path, labels: Labels = ANY, wanted: Collection[str] | None = None) -> list[Document]:
    """The documents of every split, or of the one after `@`; or the wanted ones of them.

    Raises `UserError` naming split and row on what is malformed.
    """
    documents: list[Document] = []
    for where, prefix, rows in splits(path):
        numbered = [(f"{where}, row {number}", {"id": str(number), **row}) for number, row in enumerate(rows, start=1)]
        if {"text", "spans"} <= set(rows.column_names):
            names = _label_names(rows.features["spans"])
            found = [document_of(_with_list(row, names), labels, place) for place, row in numbered]
        else:
            found = list(_tagged(numbered, *_tag_column(rows, where), labels))
        documents += [replace(document, id=f"{prefix}{document.id}") for document in found]
    return [document for document in documents if wanted is None or document.id in wanted]


def _label_names(feature: Any) -> Sequence[str] | None:
    """The names of the spans' labels where they are numbers; spans are a list of records, or a record of lists."""
    import datasets

    fields = getattr(feature, "feature", feature)
    label = fields.get("label") if isinstance(fields, dict) else None
    label = getattr(label, "feature", label)
    return label.names if isinstance(label, datasets.ClassLabel) else None


def _with_list(row: dict[str, Any], names: Sequence[str] | None) -> dict[str, Any]:
    """The row with its spans as a list, their labels as names.

    `datasets` gives some lists of records as a record of lists. What is neither is left to `document_of`.
    """
    spans = row["spans"]
    are_lists = isinstance(spans, dict) and all(isinstance(values, list) for values in spans.values())
    if are_lists and len(set(map(len, spans.values()))) <= 1:
        spans = [dict(zip(spans, values, strict=True)) for values in zip(*spans.values(), strict=True)]
    if names is not None and isinstance(spans, list) and all(isinstance(span, dict) for span in spans):
        spans = [{**span, "label": _name(span["label"], names)} for span in spans]
    return {**row, "spans": spans}


def _name(number: Any, names: Sequence[str]) -> str | None:
    """The class of a number; None of null and of -1, which means no class."""
    return names[number] if isinstance(number, int) and 0 <= number < len(names) else None


def _tagged(
    rows: Iterable[tuple[str, dict[str, Any]]], column: str, names: Sequence[str] | None, labels: Labels
) -> Iterator[Document]:
    """The documents of rows that are sentences."""
    for name, group in itertools.groupby(rows, key=lambda row: _document_id(*row)):
        sentences = list(group)
        found = [_sentence(row, column, names, place) for place, row in sentences]
        yield tagged_document(name, [sentence for sentence in found if sentence], labels, sentences[0][0])


def _document_id(where: str, row: dict[str, Any]) -> str:
    return checked_id(row.get("document_id", row["id"]), where)


def _tag_column(rows: Any, where: str) -> tuple[str, Sequence[str] | None]:
    """The column of tags, and their names where they are numbers."""
    import datasets

    found: dict[str, Sequence[str] | None] = {}
    for name, feature in rows.features.items():
        inner = getattr(feature, "feature", None)
        if isinstance(inner, datasets.ClassLabel) and "O" in inner.names:
            found[name] = inner.names
        elif name == _TAGS and getattr(inner, "dtype", "") == "string":
            found[name] = None
    if "tokens" in rows.column_names and (_TAGS in found or len(found) == 1):
        column = _TAGS if _TAGS in found else next(iter(found))
        return column, found[column]
    raise UserError(
        f"{where} has neither text and spans, nor tokens and one column of IOB2 tags (strings, or classes with O), "
        f"called {_TAGS} if there are several ({column_hint('', rows.column_names)}); rename its columns"
    )


def _sentence(row: dict[str, Any], column: str, names: Sequence[str] | None, where: str) -> Sentence:
    tokens, tags = row["tokens"], row[column]
    if not isinstance(tokens, list) or not isinstance(tags, list):
        raise UserError(f"{where} has no list of tokens, or none of tags; write two lists, or take the row out")
    if len(tokens) != len(tags):
        raise UserError(f"{where} has {len(tokens)} tokens and {len(tags)} tags; give each token one")
    if not all(isinstance(token, str) and token.strip() for token in tokens):
        raise UserError(f"{where} has a token that is empty or no string; remove it")
    tags = tags if names is None else [_name(tag, names) for tag in tags]
    if not all(isinstance(tag, str) for tag in tags):
        raise UserError(f"{where} has a token without tag (null, or a number outside its classes); tag it")
    return [(token.strip(), tag, where) for token, tag in zip(tokens, tags, strict=True)]


def splits(path: Path) -> Iterator[tuple[str, str, Any]]:
    """Where a split stands, what its ids begin with, and its rows."""
    import datasets  # takes a second

    place, _, wanted = (str(path), "", "") if path.exists() else str(path).partition("@")
    hub = _HUB_NAME.fullmatch(place)
    try:
        if Path(place).is_dir():
            loaded = datasets.load_from_disk(place)
        elif hub:
            loaded = datasets.load_dataset(hub["name"], hub["configuration"])
        else:
            raise UserError(f"{place} is neither a folder nor a name on the hub (OWNER/NAME); check the path")
    except UserError:
        raise
    except Exception as error:  # noqa: BLE001 (of many libraries; their messages may quote a record)
        _check_rows(Path(place))
        raise UserError(
            f"datasets cannot load {place} ({type(error).__name__}); give a folder written by save_to_disk, or a name "
            "on the hub that is in the local cache (HF_HUB_OFFLINE=0 lets it be downloaded)"
        ) from None
    if isinstance(loaded, datasets.Dataset):
        loaded = {"": loaded}
    if wanted and wanted not in loaded:
        raise UserError(f"{place} has no split {wanted!r}; it has {', '.join(filter(None, loaded)) or 'one alone'}")
    for name, rows in loaded.items():
        if not wanted or name == wanted:
            yield (f"{place} split {name}" if name else place), ("" if wanted or not name else f"{name}/"), rows


def _check_rows(folder: Path) -> None:
    """Raise `UserError` for a dataset without rows, which `datasets` saves and cannot load."""
    for state in sorted(folder.glob("**/state.json")):
        if config.read_json(state).get("_data_files") == []:
            raise UserError(f"{state.parent} is a dataset of 0 rows; give one with rows, or take the split out")
