"""E3C clinical entities: a folder of UIMA CAS XMI files (hltfbk/E3C-Corpus).

The entity `CLINENTITY` has `begin` and `end` in code points, end exclusive. One marked
`discontinuous` has no record of its gap: it is kept as the span that covers it.
"""

from __future__ import annotations

from pathlib import Path

from camembert_bio import xmi
from camembert_bio.errors import UserError
from camembert_bio.evaluation.documents import Document, Span
from camembert_bio.safe_xml import XmlError

LABEL = "CLINENTITY"
_ENTITY = f"http:///webanno/custom.ecore {LABEL}"


def read_e3c(folder: Path) -> list[Document]:
    """Every `.xml` file of `folder` as a document, sorted by id (the file's name without suffix).

    Raises `UserError` naming file and line on what cannot be read exactly.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".xml")
    except OSError as error:  # Path.glob would find nothing
        raise UserError(f"folder {folder} cannot be read ({error.strerror}); make it readable") from error
    if not paths:
        raise UserError(f"{folder} holds no .xml file; give a folder of E3C annotations such as French/layer1")
    return [_read_document(path) for path in paths]


def _read_document(path: Path) -> Document:
    try:
        cas = xmi.read(path.read_bytes(), _ENTITY)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from error
    except XmlError as error:
        raise UserError(error.at(str(path))) from error
    spans = {_read_entity(cas.text, attributes, f"{path}, line {line}") for line, attributes in cas.elements}
    return Document(path.stem, cas.text, tuple(sorted(spans)))


def _read_entity(text: str, attributes: dict[str, str], where: str) -> Span:
    # int() refuses thousands of digits; 18 are beyond any text.
    begin, end = (attributes.get(name, "")[:19] for name in ("begin", "end"))
    if not (begin.isdecimal() and end.isdecimal() and int(begin) < int(end) <= len(text)):
        raise UserError(
            f"{where}: {LABEL} begin={begin!r} end={end!r} is not inside the text of {len(text)} characters; "
            "count code points, from 0, end exclusive"
        )
    return Span(((int(begin), int(end)),), LABEL)
