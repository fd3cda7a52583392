"""A file of ids for `forget`: one a line as it stands, or one a line as a JSON string."""

from __future__ import annotations

import json
from pathlib import Path

from camembert_bio.errors import UserError

_BOM = "\ufeff"


def read_ids(path: Path) -> list[str]:
    """The ids of a UTF-8 file, one a line; empty lines and a BOM at the file's start do not count.

    A line ends at `\\n` or `\\r\\n` and at no other character; white space is part of an id. In a file named `.jsonl`
    each line is a JSON string, or the integer that a source gave: so an id may hold line ends.
    Raises `UserError` for a file that cannot be read so; no message shows a line.
    """
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8; write one id a line in UTF-8") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); give --from a file with one id a line") from None
    lines = [line.removesuffix("\r") for line in text.removeprefix(_BOM).split("\n")]
    if path.suffix != ".jsonl":
        return [line for line in lines if line]
    return [_from_json(path, number, line) for number, line in enumerate(lines, 1) if line]


def _from_json(path: Path, number: int, line: str) -> str:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise UserError(
            f"{path}:{number} is no JSON string; write one a line as `jq -c .id` does, or give a .txt file of plain ids"
        )
    return str(value)
