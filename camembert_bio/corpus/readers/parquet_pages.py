"""How large the pages of a Parquet column become, read from their headers alone.

A page is decompressed as a whole, whatever number of rows is asked for, and the footer tells no page's size: 25 KB can
hold one of 800 MB. A header is a Thrift struct in the compact protocol that begins with type, size and compressed size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

import pyarrow as pa

_NO_VALUE = (1, 2)  # booleans, whose value is their type
_BYTE, _INTEGERS, _DOUBLE, _BINARY, _LISTS, _STRUCT = 3, (4, 5, 6), 7, 8, (9, 10), 12
_SIZE, _COMPRESSED_SIZE = 2, 3
_MAX_DEPTH = 8


def largest_page(file: IO[bytes], chunk: Any) -> int:
    """The decompressed bytes of the largest page of a column chunk (its metadata in the footer).

    Raises `pa.ArrowInvalid` where no header stands.
    """
    starts = [chunk.data_page_offset, chunk.dictionary_page_offset if chunk.has_dictionary_page else None]
    position = min(start for start in starts if start)
    end = position + chunk.total_compressed_size
    largest = 0
    while position < end:
        file.seek(position)
        sizes = dict(_integers(file))
        if min(sizes.get(_SIZE, -1), sizes.get(_COMPRESSED_SIZE, -1)) < 0:
            raise pa.ArrowInvalid("a page without size")
        largest = max(largest, sizes[_SIZE])
        position = file.tell() + sizes[_COMPRESSED_SIZE]
    return largest


def _integers(file: IO[bytes]) -> Iterator[tuple[int, int]]:
    """Number and value of the integer fields of the struct that begins here, which is read to its end."""
    for number, kind in _fields(file):
        if kind in _INTEGERS:
            value = _varint(file)
            yield number, value >> 1 ^ -(value & 1)
        else:
            _skip(file, kind, 0)


def _fields(file: IO[bytes]) -> Iterator[tuple[int, int]]:
    """Number and type of each field of a struct; the caller reads the value before it goes on."""
    number = 0
    while head := _byte(file):
        number = number + (head >> 4) if head >> 4 else _varint(file) >> 1
        yield number, head & 15


def _skip(file: IO[bytes], kind: int, depth: int) -> None:
    """Read over one value."""
    if depth > _MAX_DEPTH:
        raise pa.ArrowInvalid("a page header that nests too deep")
    if kind in _INTEGERS:
        _varint(file)
    elif kind == _BYTE:
        _byte(file)
    elif kind == _DOUBLE:
        file.seek(8, 1)
    elif kind == _BINARY:
        file.seek(_varint(file), 1)
    elif kind in _LISTS:
        head = _byte(file)
        for _ in range(head >> 4 if head >> 4 < 15 else _varint(file)):
            _skip(file, _BYTE if head & 15 in _NO_VALUE else head & 15, depth + 1)
    elif kind == _STRUCT:
        for _, inner in _fields(file):
            _skip(file, inner, depth + 1)
    elif kind not in _NO_VALUE:
        raise pa.ArrowInvalid("no page header")


def _varint(file: IO[bytes]) -> int:
    value = shift = 0
    while shift < 64:
        byte = _byte(file)
        value |= (byte & 127) << shift
        if byte < 128:
            return value
        shift += 7
    raise pa.ArrowInvalid("a number without end")


def _byte(file: IO[bytes]) -> int:
    data = file.read(1)
    if not data:
        raise pa.ArrowInvalid("a page header cut short")
    return data[0]
