"""UIMA CAS in XMI, as the E3C corpus publishes it: one text, and elements that point into it."""

from __future__ import annotations

from dataclasses import dataclass

from camembert_bio.safe_xml import XmlError, parse

_SOFA = "http:///uima/cas.ecore Sofa"
_ID = "http://www.omg.org/XMI id"


@dataclass(frozen=True)
class Cas:
    """What one file holds."""

    text: str
    id: str | None
    """Of the text: an element's `sofa` names the text that it points into."""
    elements: tuple[tuple[int, dict[str, str]], ...]
    """Line and attributes of each element that was asked for."""


def read(data: bytes, element: str | None = None) -> Cas:
    """The text (`sofaString`) of a CAS, and its elements of the name `NAMESPACE local`, in document order.

    Raises `XmlError` when the bytes are no XML, or hold another number of texts than one.
    """
    texts: list[tuple[str, str | None]] = []
    elements: list[tuple[int, dict[str, str]]] = []

    def start(name: str, attributes: dict[str, str], line: int) -> None:
        if name == _SOFA:
            texts.append((attributes.get("sofaString", ""), attributes.get(_ID)))
        elif name == element:
            elements.append((line, attributes))

    parse(data, start)
    if len(texts) != 1:
        raise XmlError(f"holds {len(texts)} texts (cas:Sofa) instead of 1; is it an E3C annotation file?")
    return Cas(*texts[0], tuple(elements))
