"""A row as an item: its text or texts, its choices, and the answer that the task's type asks for."""

from __future__ import annotations

import math
import string
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from camembert_bio.errors import UserError
from camembert_bio.evaluation.corpora.annotation import ANY, Labels, check_text, column_hint, shown
from camembert_bio.evaluation.corpora.records import checked_id
from camembert_bio.evaluation.corpora.tables import read_rows
from camembert_bio.evaluation.documents import Document
from camembert_bio.evaluation.items import Gold, Item
from camembert_bio.evaluation.recipe import Columns, Format, TaskType

Scale = tuple[float, float]


def read_items(
    kind: Format,
    path: Path,
    task_type: TaskType,
    columns: Columns,
    scale: Scale,
    labels: Labels = ANY,
    wanted: Collection[str] | None = None,
) -> list[Item]:
    """The items of a file, folder or dataset, or the wanted ones of them; those of a class that is dropped are not.

    Raises `UserError` naming file and row on what is malformed.
    """
    items = []
    for where, number, row in read_rows(kind, path):
        name = row_id(row, columns, number, where)
        if wanted is None or name in wanted:
            item = item_of(row, name, task_type, columns, scale, labels, where)
            items += [item] if item else []
    return items


def read_texts(kind: Format, path: Path, columns: Columns, wanted: Collection[str] | None = None) -> list[Document]:
    """The texts alone of a file, folder or dataset, or the wanted ones of them.

    Raises `UserError` naming file and row on what is malformed.
    """
    found = ((row_id(row, columns, number, where), where, row) for where, number, row in read_rows(kind, path))
    return [
        Document(name, _text(row, columns.text, where), (), where)
        for name, where, row in found
        if wanted is None or name in wanted
    ]


def item_of(
    row: Mapping[str, Any],
    name: str,
    task_type: TaskType,
    columns: Columns,
    scale: Scale,
    labels: Labels,
    where: str,
) -> Item | None:
    """The item of a row; None for one whose class the task drops. Raises `UserError` that starts with `where`."""
    pair = columns.text_pair or ("text_pair" if task_type == "similarity" else None)
    texts = tuple(_text(row, column, where) for column in (columns.text, pair) if column is not None)
    choices: tuple[tuple[str, str], ...] = ()
    gold: Gold
    if task_type == "similarity":
        gold = _number(value_of(row, columns.label, where), scale, where)
    elif task_type == "multiple-choice":
        choices = _choices(row, columns.choices, where)
        gold = _answers(value_of(row, columns.answers, where), [key for key, _ in choices], columns.separator, where)
    elif task_type == "multi-label":
        found = _names(value_of(row, columns.labels, where), columns.separator, f"{where}: {columns.labels}")
        gold = tuple(sorted({label for label in found if labels.keeps(label, where)}))
    else:
        label = _name(value_of(row, columns.label, where), f"{where}: {columns.label}")
        if not labels.keeps(label, where):
            return None
        gold = (label,)
    return Item(name, texts, gold, choices, where)


def value_of(row: Mapping[str, Any], column: str | int, where: str) -> Any:
    """A row's value of a column. Raises `UserError` that tells of the columns that there are."""
    if column not in row:
        raise UserError(f"{where} has no column {column!r} ({column_hint(column, row.keys())}); name it under columns")
    return row[str(column)]


def row_id(row: Mapping[str, Any], columns: Columns, number: str, where: str) -> str:
    """A row's id, or its number where it has none and `columns` names none.

    Raises `UserError` where that is the column of a text, since ids are written into results.
    """
    if columns.id is not None and columns.id in (columns.text, columns.text_pair):
        raise UserError(
            f"columns.id is {columns.id!r}, the column of a text; name another, or leave it out for numbers"
        )
    if columns.id is None:
        return checked_id(row["id"], where) if "id" in row else number
    return checked_id(value_of(row, columns.id, where), where)


def _text(row: Mapping[str, Any], column: str, where: str) -> str:
    return _checked(value_of(row, column, where), f"{where}: {column}")


def _checked(value: Any, where: str) -> str:
    """A text; a list of words is one, with spaces between them."""
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        value = " ".join(value)
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{where} is no text; write a string that is not empty, or take the row out")
    check_text(value, where)
    return value


def _name(value: Any, where: str) -> str:
    """A class or label as a string; a whole number is one too."""
    if isinstance(value, bool) or not isinstance(value, (str, int)) or not str(value).strip():
        raise UserError(f"{where} is no label; write a string or a whole number, or take the row out")
    return str(value).strip()


def _names(value: Any, separator: str, where: str) -> list[str]:
    """The labels of a list, or of one cell; none of an empty one."""
    if isinstance(value, str):
        value = value.split(separator) if value.strip() else []
    elif not isinstance(value, list):
        value = [value]
    return [_name(each, where) for each in value]


def _number(value: Any, scale: Scale, where: str) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not scale[0] <= number <= scale[1]:
        raise UserError(f"{where} has no similarity from {scale[0]:g} to {scale[1]:g}; set scale, or mend the row")
    return number


def _choices(
    row: Mapping[str, Any], columns: str | tuple[str, ...] | dict[str, str], where: str
) -> tuple[tuple[str, str], ...]:
    """Name and text of each choice."""
    found: Any
    if isinstance(columns, str):
        found = value_of(row, columns, where)
    elif isinstance(columns, tuple):
        found = [value_of(row, column, where) for column in columns]
    else:
        found = {name: value_of(row, column, where) for name, column in columns.items()}
    if isinstance(found, list):
        found = dict(zip(string.ascii_lowercase, found, strict=False)) if len(found) <= 26 else None
    if not isinstance(found, dict) or len(found) < 2:
        raise UserError(f"{where} has no choices; write a list or an object of 2 to 26 texts")
    for name in found:
        check_text(name, where, "name of a choice")
    return tuple((name, _checked(text, f"{where}: choice {shown(name)}")) for name, text in found.items())


def _answers(value: Any, names: list[str], separator: str, where: str) -> tuple[str, ...]:
    """The names of the right choices, in the order of the choices."""
    found = {_answer(name, names) for name in _names(value, separator, f"{where}: an answer")}
    if strange := sorted(found - set(names)):
        raise UserError(
            f"{where}: answer {shown(strange[0])} is the name of no choice ({', '.join(map(shown, names))}); mend it, "
            "or name its column under columns"
        )
    if not found:
        raise UserError(f"{where} names no right answer; mend the row, or take it out")
    return tuple(name for name in names if name in found)


def _answer(name: str, names: list[str]) -> str:
    is_index = name not in names and name.isdecimal() and int(name) < len(names)
    return names[int(name)] if is_index else name
