"""E3C clinical entities: a folder of UIMA CAS XMI files (hltfbk/E3C-Corpus).

The entity `CLINENTITY` has `begin` and `end` in code points, end exclusive. One marked
`discontinuous` has no record of its gap: it is kept as the span that covers it.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from camembert_bio import files, xmi
from camembert_bio.errors import UserError
from camembert_bio.evaluation.corpora.annotation import ANY, Labels, stem_id, with_suffix
from camembert_bio.evaluation.documents import Document, Span
from camembert_bio.safe_xml import XmlError

LABEL = "CLINENTITY"
_ENTITY = f"http:///webanno/custom.ecore {LABEL}"


def read_e3c(folder: Path, labels: Labels = ANY, wanted: Collection[str] | None = None) -> list[Document]:
    """Every `.xml` file below `folder`, or the wanted ones, sorted by id (its path from `folder`, without suffix).

    Raises `UserError` naming file and line on what cannot be read exactly.
    """
    paths = sorted(with_suffix(files.below(folder), (".xml",)))
    if wanted is not None:
        paths = [path for path in paths if stem_id(path, folder) in wanted]
    elif not paths:
        raise UserError(f"{folder} holds no .xml file; give a folder of E3C annotations such as French/layer1")
    return [_read_document(path, stem_id(path, folder), labels) for path in paths]


def _read_document(path: Path, name: str, labels: Labels) -> Document:
    try:
        cas = xmi.read(path.read_bytes(), _ENTITY)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from error
    except XmlError as error:
        raise UserError(error.at(str(path))) from error
    spans = set()
    for line, attributes in cas.elements:
        where = f"{path}, line {line}"
        if attributes.get("sofa", cas.id) != cas.id:
            raise UserError(f"{where}: {LABEL} is of another text (sofa) than the file's; restore the file")
        span = _read_entity(cas.text, attributes, where)
        if labels.keeps(LABEL, where):
            spans.add(span)
    return Document(name, cas.text, tuple(sorted(spans)), str(path))


def _read_entity(text: str, attributes: dict[str, str], where: str) -> Span:
    # int() refuses thousands of digits; 18 are beyond any text.
    begin, end = (attributes.get(name, "")[:19] for name in ("begin", "end"))
    if not (begin.isdecimal() and end.isdecimal() and int(begin) < int(end) <= len(text)):
        raise UserError(
            f"{where}: {LABEL} begin={begin!r} end={end!r} is not inside the text of {len(text)} characters; "
            "count code points, from 0, end exclusive"
        )
    return Span(((int(begin), int(end)),), LABEL)
