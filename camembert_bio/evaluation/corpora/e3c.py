"""E3C clinical entities: a folder of UIMA CAS XMI files (hltfbk/E3C-Corpus).

The entity `CLINENTITY` has `begin` and `end` in code points, end exclusive. One marked
`discontinuous` has no record of its gap: it is kept as the span that covers it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.parsers import expat

from camembert_bio.errors import UserError
from camembert_bio.evaluation.documents import Document, Span

LABEL = "CLINENTITY"
_SOFA = "http:///uima/cas.ecore Sofa"
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
    texts: list[str] = []
    entities: list[tuple[int, dict[str, str]]] = []
    parser = expat.ParserCreate(namespace_separator=" ")

    def start_element(name: str, attributes: dict[str, str]) -> None:
        if name == _SOFA:
            texts.append(attributes.get("sofaString", ""))
        elif name == _ENTITY:
            entities.append((parser.CurrentLineNumber, attributes))

    def refuse_dtd(*_: Any) -> None:
        raise UserError(f"{path} declares a document type, which no E3C file does; remove it")

    parser.StartElementHandler = start_element
    # Without a DTD there are no entities to expand, hence no expansion bomb and no outside file.
    parser.StartDoctypeDeclHandler = refuse_dtd
    try:
        parser.Parse(path.read_bytes(), True)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from error
    except (LookupError, ValueError) as error:  # of Python's codecs, by the encoding that the file declares
        raise UserError(f"{path} declares an encoding that cannot be read; convert it to UTF-8") from error
    except expat.ExpatError as error:
        raise UserError(f"{path}, line {error.lineno} is not valid XML: {expat.ErrorString(error.code)}") from error
    if len(texts) != 1:
        raise UserError(f"{path} holds {len(texts)} texts (cas:Sofa) instead of 1; is it an E3C annotation file?")
    spans = {_read_entity(texts[0], attributes, f"{path}, line {line}") for line, attributes in entities}
    return Document(path.stem, texts[0], tuple(sorted(spans)))


def _read_entity(text: str, attributes: dict[str, str], where: str) -> Span:
    # int() refuses thousands of digits; 18 are beyond any text.
    begin, end = (attributes.get(name, "")[:19] for name in ("begin", "end"))
    if not (begin.isdecimal() and end.isdecimal() and int(begin) < int(end) <= len(text)):
        raise UserError(
            f"{where}: {LABEL} begin={begin!r} end={end!r} is not inside the text of {len(text)} characters; "
            "count code points, from 0, end exclusive"
        )
    return Span(((int(begin), int(end)),), LABEL)
