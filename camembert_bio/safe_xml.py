"""XML as a stream of events, by expat: no document type, hence no entity to expand and no outside file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from xml.parsers import expat

MAX_DEPTH = 1000
"""Of elements in one another; articles and annotations stay below 50. 3 million took 500 MB."""


class XmlError(ValueError):
    """Why bytes are no XML that is read here. Never holds text of the document."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line
        """From 1; None where the whole document is meant."""

    def at(self, where: str) -> str:
        """The whole message about the document `where`."""
        return f"{where}{'' if self.line is None else f', line {self.line}'} {self.reason}"


def parse(
    data: bytes,
    start: Callable[[str, dict[str, str], int], None],
    end: Callable[[str], None] | None = None,
    characters: Callable[[str], None] | None = None,
) -> None:
    """Call `start(name, attributes, line)`, `end(name)` and `characters(text)` in document order.

    A name is `NAMESPACE local`, or `local` alone. Raises `XmlError`, for over `MAX_DEPTH` nested elements too.
    """
    depth = 0
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True

    def refuse_dtd(*_: Any) -> None:
        raise XmlError("declares a document type (DTD), whose entities are not expanded here; remove it")

    def start_element(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > MAX_DEPTH:
            raise XmlError(f"nests over {MAX_DEPTH} elements in one another; check the file", parser.CurrentLineNumber)
        start(name, attributes, parser.CurrentLineNumber)

    def end_element(name: str) -> None:
        nonlocal depth
        depth -= 1
        if end:
            end(name)

    parser.StartDoctypeDeclHandler = refuse_dtd
    parser.StartElementHandler = start_element
    parser.EndElementHandler = end_element
    if characters:
        parser.CharacterDataHandler = characters
    try:
        parser.Parse(data, True)
    except XmlError:
        raise
    except expat.ExpatError as error:
        raise XmlError(f"is not valid XML: {expat.ErrorString(error.code)}", error.lineno) from None
    except (LookupError, ValueError):  # of Python's codecs, by the encoding that the document declares
        raise XmlError("declares an encoding that cannot be read; convert it to UTF-8") from None
