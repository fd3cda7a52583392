"""Addresses of corpora, as fsspec reads them: told apart from folders, joined with a name, shown without secrets."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit, urlunsplit

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(://|::)")
# Up to an @ before the first slash, or after a colon that opens no port: a password may hold a slash.
_USER = re.compile(r"^([^/]*@|[^/@:]*:(?!\d+(/|$))[^@]*@)")
_WEB = ("http", "https")
HIDDEN = "***"
"""What stands for a secret in an address that is shown."""


def is_address(place: str) -> bool:
    """Whether a place is an address (`s3://bucket/corpus`, `memory://corpus`) and not a folder."""
    return _ADDRESS.match(place) is not None


def protocol(address: str) -> str:
    """The protocol that answers: `s3` of `s3://bucket/corpus`."""
    return re.split("://|::", address, maxsplit=1)[0].lower()


def join(address: str, name: str) -> str:
    """The address of a file below an address; the query of a web address (a signature) stays at its end."""
    if protocol(address) not in _WEB:
        return f"{address.rstrip('/')}/{name}"
    parts = urlsplit(address)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{quote(name)}", fragment=""))


def redact(place: str) -> str:
    """A place as messages, logs and saved recipes show it: without user, password, query and fragment."""
    return "::".join(map(_redact, place.split("::"))) if is_address(place) else place


def _redact(link: str) -> str:
    """One link of a chain of addresses."""
    head, colon, rest = link.partition("://")
    rest, mark, _ = re.sub(r"[?#]", "\0", rest, count=1).partition("\0")
    return f"{head}{colon}{_USER.sub(f'{HIDDEN}@', rest)}{f'?{HIDDEN}' if mark else ''}"
