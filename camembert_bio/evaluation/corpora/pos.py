"""Words with one tag each, as documents: a span a word, whose label is its tag.

From CoNLL columns (the word first and its tag last, unless `columns` gives their numbers; in CoNLL-U 2 and 4, where
lines of no word are passed over), or from rows that hold a list of words and a list of tags. Rows with the same id
that follow one another are the sentences of one document where `columns` names the id. The text is rebuilt as
`corpora.conll` does.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from camembert_bio.errors import UserError
from camembert_bio.evaluation.corpora.annotation import ANY, Labels, check_text, found_files
from camembert_bio.evaluation.corpora.answers import row_id, value_of
from camembert_bio.evaluation.corpora.conll import SUFFIXES, Places, Sentence, documents_in, lay_out
from camembert_bio.evaluation.corpora.tables import read_rows
from camembert_bio.evaluation.documents import Document, Span
from camembert_bio.evaluation.recipe import Columns, Format

_CONLLU = ".conllu"


def read_pos(
    kind: Format, path: Path, columns: Columns, labels: Labels = ANY, wanted: Collection[str] | None = None
) -> list[Document]:
    """The documents of a file, folder or dataset, or the wanted ones of them.

    Raises `UserError` naming file and line, or row, on what is malformed.
    """
    found = _of_conll(path, columns) if kind == "conll" else _of_rows(kind, path, columns)
    return [
        _document(name, sentences, labels, where)
        for name, sentences, where in found
        if wanted is None or name in wanted
    ]


def _document(name: str, sentences: Sequence[Sentence], labels: Labels, where: str) -> Document:
    text, places = lay_out(sentences)
    spans = [
        Span((place,), tag)
        for sentence, found in zip(sentences, places, strict=True)
        for (_, tag, line), place in zip(sentence, found, strict=True)
        if labels.keeps(tag, line)
    ]
    return Document(name, text, tuple(spans), where)


def _of_conll(path: Path, columns: Columns) -> list[tuple[str, list[Sentence], str]]:
    found = []
    for name, file in found_files(path, (*SUFFIXES, _CONLLU)):
        documents = list(documents_in(file, _places(columns, file.suffix == _CONLLU)))
        if not documents:
            raise UserError(f"{file} holds no token; remove the file")
        for number, (given, sentences) in enumerate(documents, start=1):
            place = sentences[0][0][2]
            found.append((given or (name if len(documents) == 1 else f"{name}-{number}"), sentences, place))
    return found


def _places(columns: Columns, is_conllu: bool) -> Places:
    """The numbers of the columns. Raises `UserError` for a name in place of a number."""
    given = {name: getattr(columns, name) for name in ("id", "tokens", "tags")}
    for name, value in given.items():
        if value is not None and not (str(value).isdecimal() and int(value) > 0):
            raise UserError(f"columns.{name} is {value!r}; in conll give the column's number, from 1")
    numbers = {name: int(value) - 1 for name, value in given.items() if value is not None}
    default = (1, 3) if is_conllu else (0, -1)
    token, tag = numbers.get("tokens", default[0]), numbers.get("tags", default[1])
    return Places(token, tag, numbers.get("id"), is_iob2=False, is_conllu=is_conllu)


def _of_rows(kind: Format, path: Path, columns: Columns) -> list[tuple[str, list[Sentence], str]]:
    rows = [(row_id(row, columns, number, where), where, row) for where, number, row in read_rows(kind, path)]
    if columns.id is None:
        return [(name, [_sentence(row, columns, where)], where) for name, where, row in rows]
    found = []
    for name, group in itertools.groupby(rows, key=lambda row: row[0]):
        sentences = list(group)
        found.append((name, [_sentence(row, columns, where) for _, where, row in sentences], sentences[0][1]))
    return found


def _sentence(row: Mapping[str, Any], columns: Columns, where: str) -> Sentence:
    tokens, tags = (value_of(row, name, where) for name in (columns.tokens or "tokens", columns.tags or "tags"))
    if not isinstance(tokens, list) or not isinstance(tags, list) or not tokens or len(tokens) != len(tags):
        raise UserError(f"{where} has no list of words, or not a tag for each; write two lists of equal length")
    for values, kind in ((tokens, "word"), (tags, "tag")):
        if not all(isinstance(value, str) and value.strip() for value in values):
            raise UserError(f"{where} has an empty {kind}; write strings, or take the row out")
    sentence = [(token.strip(), tag.strip(), where) for token, tag in zip(tokens, tags, strict=True)]
    check_text(" ".join(tokens), where)
    return sentence
