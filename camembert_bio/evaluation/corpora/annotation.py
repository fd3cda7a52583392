"""What every format has in common: labels that are declared, offsets that lie in the text, files to look for."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from camembert_bio import files
from camembert_bio.errors import UserError, nearest
from camembert_bio.evaluation.documents import Fragments

_SHOWN = 64
"""Characters of the longest value that a message shows: where a wrong column or file was given, it may be text."""
_LONGEST_LABEL = 100
"""Characters of the longest label that need not be declared."""
_NAME = re.compile(r"[^\W\d][\w.-]{0,29}")
_SEPARATORS = re.compile(r"[\r\v\f\x1c-\x1e\x85\u2028\u2029]")
"""What ends a line beside the line feed: by itself, in some editors, in `str.splitlines`."""


@dataclass(frozen=True)
class Labels:
    """The labels that a corpus may have, and those of them that a task leaves out."""

    declared: frozenset[str] | None = None
    """None: any label is the task's."""
    dropped: frozenset[str] = frozenset()

    def keeps(self, label: str, where: str) -> bool:
        """Whether an entity, or a text, of a label is the task's.

        Raises `UserError` for a label that is neither declared nor dropped: where labels are declared any, else one
        that is as long as a text, or of several lines.
        """
        if label in self.dropped:
            return False
        check_text(label, where, "label")
        if self.declared is None:
            if len(label) > _LONGEST_LABEL or len(label.splitlines()) > 1:
                raise UserError(
                    f"{where}: label {shown(label)} is longer than one line of {_LONGEST_LABEL} characters; is it "
                    "text? Name the column of the labels under columns, or declare it under labels"
                )
        elif label not in self.declared:
            raise UserError(
                f"{where}: label {shown(label)} is not declared ({nearest(label, self.declared)}); "
                "add it to labels, or to dropped_labels"
            )
        return True


def check_text(text: str, where: str, what: str = "text") -> None:
    """Raise `UserError` for a string that UTF-8 cannot hold."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        place = where.encode(errors="backslashreplace").decode()  # a file's name may not do either
        raise UserError(f"{place}: {what} holds half a surrogate pair at {error.start}; mend it") from error


def shown(value: str) -> str:
    """What a message says of a label, an id or a name: itself, if it is one short word; else its size."""
    return repr(value) if len(value) <= _SHOWN and value.split() == [value] else f"<{len(value)} characters>"


def column_hint(column: object, names: Collection[str]) -> str:
    """What a message says of the columns that there are: the closest name, or all of them.

    A table without header has its first row in their place, so that they are told only where each looks like a name.
    """
    if all(map(_NAME.fullmatch, names)):
        return nearest(column, names)
    return f"its {len(names)} columns are not shown, since not each has a name of one word: is line 1 the header?"


ANY = Labels()


def checked_fragments(pairs: Iterable[tuple[int, int]], text: str, where: str) -> Fragments:
    """The fragments in the order of the text. Raises `UserError` when one is not inside it, or two overlap."""
    fragments: Fragments = tuple(sorted(pairs))
    for start, end in fragments:
        if not 0 <= start < end <= len(text):
            raise UserError(
                f"{where}: offsets {start} {end} are not inside the text of {len(text)} characters; "
                "count code points, from 0, end exclusive"
            )
    if any(left[1] > right[0] for left, right in itertools.pairwise(fragments)):
        shown = ";".join(f"{start} {end}" for start, end in fragments)
        raise UserError(f"{where}: fragments {shown} overlap; make each begin after the one before")
    return fragments


def read_text(path: Path) -> str:
    """A file's text as it is: no newline is converted, since that would shift every later offset."""
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 (byte {error.start}); convert it to UTF-8") from error


def text_lines(text: str, where: str) -> Iterator[tuple[str, str]]:
    """Where each line of a file stands, and the line without its line feed or carriage return and line feed.

    Raises `UserError` for a character inside a line that ends one elsewhere: what stands behind it would be no line
    of its own, and go unread.
    """
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.rstrip("\r")  # noqa: PLW2901
        place = f"{where}, line {number}"
        if found := _SEPARATORS.search(line):
            raise UserError(
                f"{place} holds the line separator U+{ord(found[0]):04X} at character {found.start()}; end each line "
                "with a line feed, and take the character out of the others"
            )
        yield place, line


def stem_id(path: Path, folder: Path) -> str:
    """A document's id: its file's path from the corpus folder, without suffix."""
    return path.relative_to(folder).with_suffix("").as_posix()


def found_files(path: Path, suffixes: Collection[str]) -> list[tuple[str, Path]]:
    """Id and path of each file with one of these suffixes below a folder, or of the one file that `path` is; sorted.

    Raises `UserError` when there is none.
    """
    if path.is_file():
        return [(path.stem, path)]
    found = [(stem_id(file, path), file) for file in with_suffix(files.below(path), suffixes)]
    if not found:
        listed = " or ".join(sorted(suffixes))
        raise UserError(f"{path} holds no {listed} file; give another folder, or the right format")
    return sorted(found)


def with_suffix(paths: Iterable[Path], suffixes: Collection[str]) -> list[Path]:
    """The paths with one of the suffixes. Raises `UserError` for one in capitals, which would be left out unseen."""
    found = [path for path in paths if path.suffix.lower() in suffixes]
    for path in found:
        if path.suffix not in suffixes and path.stem.upper() != "README":
            raise UserError(f"{path} ends in {path.suffix}; rename it to {path.suffix.lower()}, or move it away")
    return [path for path in found if path.suffix in suffixes]
