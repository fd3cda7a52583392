"""brat stand-off annotations: a folder of `.txt` and `.ann` files.

Format: https://brat.nlplab.org/standoff.html. Only text-bound annotations (`T`) are read; relations,
events, attributes, normalisations and notes say nothing of where an entity stands.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from camembert_bio import files
from camembert_bio.errors import UserError
from camembert_bio.evaluation.corpora.annotation import ANY, Labels, checked_fragments, read_text, stem_id, with_suffix
from camembert_bio.evaluation.documents import Document, Span

_ENTITY = re.compile(
    r"^(?P<id>T\d+)\t(?P<label>\S+) (?P<offsets>\d{1,18} \d{1,18}(?:;\d{1,18} \d{1,18})*)\t(?P<text>.*)$", re.DOTALL
)
# Relations, events, attributes, modifications, normalisations; notes; equivalences.
_OTHER = re.compile(r"[REAMN]\d+\S*\t[^\r]*|[#*][^\r]*")
# brat writes a span's line breaks and tabs as spaces, since both delimit its own fields: one each, or one for a run.
_BREAKS = re.compile(r" *[\r\n\t][\r\n\t ]*")
_AS_WRITTEN = "[\r\t ]+"
_SUFFIXES = (".ann", ".txt")


def read_brat(folder: Path, labels: Labels = ANY, wanted: Collection[str] | None = None) -> list[Document]:
    """Every document below `folder`, or the wanted ones, sorted by id (its path from `folder`, without suffix).

    A `README.txt` without annotations is no document. Raises `UserError` naming file and line on what cannot be
    read exactly.
    """
    paths = with_suffix(files.below(folder), _SUFFIXES)
    if wanted is not None:
        paths = [path for path in paths if stem_id(path, folder) in wanted]
    elif not paths:
        raise UserError(f"{folder} holds no .txt and .ann files; give a folder of brat documents")
    annotations = {path.with_suffix("") for path in paths if path.suffix == ".ann"}
    texts = {path.with_suffix("") for path in paths if path.suffix == ".txt"}
    texts -= {stem for stem in texts - annotations if stem.name == "README"}
    for stem in sorted(texts ^ annotations):
        has, lacks = (".txt", ".ann") if stem in texts else (".ann", ".txt")
        raise UserError(f"{stem}{has} has no {lacks} beside it; add {stem.name}{lacks}, or remove the file")
    return [_read_document(folder, stem, labels) for stem in sorted(texts)]


def _read_document(folder: Path, stem: Path, labels: Labels) -> Document:
    path, annotations = Path(f"{stem}.txt"), Path(f"{stem}.ann")
    text = read_text(path)
    spans: dict[str, Span] = {}
    for number, line in enumerate(read_text(annotations).removeprefix("\ufeff").split("\n"), start=1):
        line = line.removesuffix("\r")  # noqa: PLW2901
        if line and not _OTHER.fullmatch(line):
            where = f"{annotations}, line {number}"
            name, span = _read_entity(text, line, where)
            if spans.setdefault(name, span) != span:
                raise UserError(f"{where}: {name} is given to another entity above; give each its own number")
            if not labels.keeps(span.label, where):
                del spans[name]
    return Document(stem.relative_to(folder).as_posix(), text, tuple(sorted(set(spans.values()))), str(path))


def _read_entity(text: str, line: str, where: str) -> tuple[str, Span]:
    """The annotation's id (`T1`) and its span."""
    match = _ENTITY.match(line)
    if not match:
        raise UserError(
            f"{where} is not a brat annotation; write an entity as T1<tab>LABEL START END<tab>TEXT, begin another "
            "annotation with R, E, A, M or N, a number and a tab, or with # or *, and end lines with a line feed"
        )
    pairs = [pair.split() for pair in match["offsets"].split(";")]
    written = [(int(start), int(end)) for start, end in pairs]
    fragments = checked_fragments(written, text, where)
    expected = " ".join(text[start:end] for start, end in written)
    if not _is_written(expected, match["text"]):
        mark = "does its byte order mark, which counts, shift the offsets, " if text.startswith("\ufeff") else ""
        raise UserError(
            f"{where}: the text at offsets {match['offsets']} is not the annotation's; {mark}"
            "was the .txt changed, or its line ends converted, after it was annotated?"
        )
    return match["id"], Span(fragments, match["label"])


def _is_written(text: str, written: str) -> bool:
    """Whether an annotation writes an entity's text so: every character but line breaks and tabs as it is."""
    return text == written or bool(re.fullmatch(_AS_WRITTEN.join(map(re.escape, _BREAKS.split(text))), written))
