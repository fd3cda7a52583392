"""CoNLL columns: a token a line, its tag in the last column (IOB2 for entities), an empty line after each sentence.

    # newdoc id = cas-12
    L'          O
    aspirine    B-CHEM

Columns are parted by tabs, or by white space where the line has no tab; every line of a file has as many. The token
is the first. A document begins at `-DOCSTART-` or `# newdoc`, with its id where `id = ...` follows; a file without
them is one document. Another line that starts with `#` is a comment, unless a tab follows or it has as many columns
as the others and a tag in the last.

Lines end with a line feed, or a carriage return and one; another line separator is an error wherever it stands.

The file does not say how the text was spaced: it is rebuilt with one space between tokens and a line feed between
sentences.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from camembert_bio.errors import UserError
from camembert_bio.evaluation.corpora.annotation import ANY, Labels, found_files, read_text, text_lines
from camembert_bio.evaluation.documents import Document, Span

SUFFIXES = (".conll", ".iob2", ".iob", ".bio", ".tsv", ".txt")

_BOUNDARY = re.compile(r"-DOCSTART-(\s|$)|# ?newdoc(?: id = (?P<id>.+))?$")
_TAG = re.compile(r"O|(?P<prefix>[BI])-(?P<label>\S+)")

_NO_WORD = re.compile(r"\d+[-.]\d+")
"""Number of a line of CoNLL-U that is no word: what several words are written as, or an empty node."""

Sentence = list[tuple[str, str, str]]
"""(token, tag, file and line) of each token."""


@dataclass(frozen=True)
class Places:
    """Which columns are read, from 0; -1 is the last."""

    token: int = 0
    tag: int = -1
    document: int | None = None
    """Of the document's id, where each line has it: another id begins another document."""
    is_iob2: bool = True
    """Whether tags are O, B-LABEL and I-LABEL, by which a token `#` is told from a comment."""
    is_conllu: bool = False


def read_conll(path: Path, labels: Labels = ANY, wanted: Collection[str] | None = None) -> list[Document]:
    """The documents of a file, or of each file below a folder; or the wanted ones of them.

    An id that the file does not give is the file's path from the folder without suffix, with `-1`, `-2`, ... where
    it holds several documents. Raises `UserError` naming file and line on what is malformed.
    """
    documents = []
    for name, file in found_files(path, SUFFIXES):
        read = list(documents_in(file, Places()))
        if not read:
            raise UserError(f"{file} holds no token; remove the file")
        for number, (given, sentences) in enumerate(read, start=1):
            document_id = given or (name if len(read) == 1 else f"{name}-{number}")
            if wanted is None or document_id in wanted:
                documents.append(tagged_document(document_id, sentences, labels, sentences[0][0][2]))
    return documents


def tagged_document(name: str, sentences: Sequence[Sentence], labels: Labels, where: str) -> Document:
    """A document of tagged sentences, with the text rebuilt. Raises `UserError` on tags that are not IOB2."""
    text, places = lay_out(sentences)
    spans: list[Span] = []
    for sentence, found in zip(sentences, places, strict=True):
        label, is_kept = None, False
        for (_, tag, place), (start, end) in zip(sentence, found, strict=True):
            label = _label(tag, label, place)
            if label is not None and tag.startswith("B"):
                is_kept = labels.keeps(label, place)
                spans += [Span(((start, end),), label)] * is_kept
            elif label is not None and is_kept:
                spans[-1] = Span(((spans[-1].start, end),), label)
    return Document(name, text, tuple(spans), where)


def lay_out(sentences: Sequence[Sentence]) -> tuple[str, list[list[tuple[int, int]]]]:
    """The text with a space between tokens and a line feed between sentences, and where each token stands in it."""
    places: list[list[tuple[int, int]]] = []
    start = 0
    for sentence in sentences:
        places.append([])
        for token, _, _ in sentence:
            places[-1].append((start, start + len(token)))
            start += len(token) + 1
    return "\n".join(" ".join(token for token, _, _ in sentence) for sentence in sentences), places


def _label(tag: str, label: str | None, where: str) -> str | None:
    """The label of a token's entity, after one of label `label`; None outside."""
    match = _TAG.fullmatch(tag)
    if not match:
        raise UserError(f"{where}: the tag in the last column is none of IOB2; write O, B-LABEL or I-LABEL")
    if match["prefix"] == "I" and match["label"] != label:
        raise UserError(f"{where}: I- follows no token of its label; in IOB2 the first token of an entity has B-")
    return match["label"]


def documents_in(path: Path, places: Places) -> Iterator[tuple[str | None, list[Sentence]]]:
    """The id that the file gives, and the sentences, of each document that has any."""
    given: str | None = None
    sentences: list[Sentence] = [[]]
    num_columns = 0
    for where, line in text_lines(read_text(path).removeprefix("\ufeff"), str(path)):
        line = line.rstrip()  # noqa: PLW2901
        name = given
        columns: list[str] = []
        if boundary := _BOUNDARY.match(line):
            name, is_next = boundary["id"], True
        elif line and not _is_comment(line, num_columns, places):
            columns = line.split("\t") if "\t" in line else line.split()
            num_columns = num_columns or len(columns)
            _check_columns(columns, num_columns, places, where)
            name = given if places.document is None else columns[places.document]
            is_next = name != given
        else:
            is_next = False
        if is_next:
            if any(sentences):
                yield given, [sentence for sentence in sentences if sentence]
            given, sentences = name, [[]]
        if columns and not (places.is_conllu and _NO_WORD.fullmatch(columns[0])):
            sentences[-1].append(_token(columns, places, where))
        elif not line:
            sentences.append([])
    if any(sentences):
        yield given, [sentence for sentence in sentences if sentence]


def _is_comment(line: str, num_columns: int, places: Places) -> bool:
    columns = line.split()
    if not line.startswith("#") or line.startswith("#\t"):
        return False
    if not places.is_iob2:
        return len(columns) != num_columns
    return len(columns) != (num_columns or len(columns)) or not _TAG.fullmatch(columns[-1])


def _check_columns(columns: list[str], num_columns: int, places: Places, where: str) -> None:
    if len(columns) < 2 or len(columns) != num_columns:
        raise UserError(
            f"{where} has {len(columns)} columns, the lines before it {num_columns}; "
            "write a token, its tag last, in as many columns everywhere (two at least)"
        )
    if (last := max(places.token, places.tag, places.document or 0)) >= num_columns:
        raise UserError(f"{where} has {num_columns} columns, and column {last + 1} is asked for; mend columns")


def _token(columns: list[str], places: Places, where: str) -> tuple[str, str, str]:
    token, tag = columns[places.token].strip(), columns[places.tag].strip()
    if not token or not tag:
        raise UserError(f"{where} has an empty {'tag' if token else 'token'}; remove the line")
    return token, tag, where
