"""Page headers, page footers and page numbers that an extraction from PDF leaves between the lines of a text."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence

_MIN_PAGES = 3
_MIN_PAGE_CHARACTERS = 10
"""On average; with fewer, form feeds end no pages."""
_MIN_LINES = 40
_PAGE_LINES = (20, 120)
"""Lines between two page numbers, empty ones counted."""
_MAX_STRETCH = 1.5
"""The longest page over the shortest."""
_EDGE_LINES = 3
_MAX_CHARACTERS = 120
_DIGIT = re.compile(r"\d")
_DIGITS = re.compile(r"\d+")
_PAGE_NUMBER = re.compile(
    r"\b(?:page|p\.)\s*(\d{1,4})\b|^\W*(\d{1,4})\W*$|\b(\d{1,4})\s*(?:/|sur)\s*\d{1,4}\W*$", re.IGNORECASE
)
_OPEN_END = re.compile(r"[\w,;’'-]\Z")


def remove_running_lines(text: str) -> str:
    """A text without the lines that its pages repeat; digits in them may differ. Line ends are `\\n`.

    Where a page ends must be certain: at form feeds, or where at least three lines hold page numbers (`Page 3/12`,
    `- 3 -`) that count up by one, 20 to 120 lines apart, no page half as long again as another. Removed are these
    numbers, and from each page end outwards up to three lines, as long as half of the page ends, and three at least,
    have them.
    A sentence that goes on over the page goes on without an empty line. The form feeds of three pages become line ends,
    as do those that leave less than 10 characters for a page. Time: at most 10 microseconds a character.
    """
    num_feeds = text.count("\f")
    if num_feeds >= _MIN_PAGES - 1:
        if num_feeds * _MIN_PAGE_CHARACTERS > len(text):
            return text.replace("\f", "\n")
        pages = [page.split("\n") for page in text.split("\f")]
        lines = [line for page in pages for line in page]
        ends = [0, *itertools.accumulate(map(len, pages))]
        removed = _repeated(lines, ends)
    elif text.count("\n") >= _MIN_LINES:
        lines = text.split("\n")
        numbers = _page_numbers(lines)
        removed = {*numbers, *_repeated(lines, [0, *numbers])} if numbers else set()
        if not removed:
            return text
    else:
        return text
    return "\n".join(_without(lines, removed))


def _page_numbers(lines: Sequence[str]) -> list[int]:
    """Indices of the lines that count the pages; none when the pages differ in length."""
    shortest, longest = _PAGE_LINES
    runs: dict[int, list[int]] = {}  # by the number that they have come to
    best: list[int] = []
    for index, line in enumerate(lines):
        if not 0 < len(line) <= _MAX_CHARACTERS or not _DIGIT.search(line):
            continue
        match = _PAGE_NUMBER.search(line)
        if match is None:
            continue
        number = int(next(filter(None, match.groups())))
        before = runs.get(number - 1)
        if before is not None and shortest <= index - before[-1] <= longest:
            runs[number] = [*runs.pop(number - 1), index]
        elif number not in runs or index - runs[number][-1] > longest:
            runs[number] = [index]
        best = max(best, runs[number], key=len)
    gaps = [after - before for before, after in itertools.pairwise(best)]
    return best if len(best) >= _MIN_PAGES and max(gaps) <= _MAX_STRETCH * min(gaps) else []


def _repeated(lines: Sequence[str], ends: Sequence[int]) -> set[int]:
    """Indices of the lines at the ends of pages that many pages have near them; digits may differ."""
    most = _PAGE_LINES[1]
    edges = [
        edge
        for end in ends
        for edge in (range(end - 1, max(-1, end - 1 - most), -1), range(end, min(len(lines), end + most)))
    ]
    near = [_filled(lines, edge) for edge in edges]
    count = Counter(
        key
        for before, after in zip(near[::2], near[1::2], strict=True)
        for key in {_key(lines[index]) for index in (*before, *after)}
    )
    enough = max(_MIN_PAGES, len(ends) / 2)
    outer = [itertools.takewhile(lambda index: count[_key(lines[index])] >= enough, indices) for indices in near]
    return {index for indices in outer for index in indices}


def _filled(lines: Sequence[str], indices: range) -> list[int]:
    """The first three of the indices whose lines are not empty."""
    return list(itertools.islice((index for index in indices if lines[index].strip()), _EDGE_LINES))


def _key(line: str) -> str:
    return _DIGITS.sub("#", " ".join(line.split()))


def _without(lines: Sequence[str], removed: set[int]) -> list[str]:
    """The lines that stay; around removed ones no empty line inside a sentence, one elsewhere."""
    kept: list[str] = []
    is_gap = False
    for index, line in enumerate(lines):
        if index in removed:
            is_gap = True
        elif not is_gap:
            kept.append(line)
        elif line.strip():
            while kept and not kept[-1].strip():
                kept.pop()
            if kept and not (_OPEN_END.search(kept[-1].rstrip()) and line.lstrip()[:1].islower()):
                kept.append("")
            kept.append(line)
            is_gap = False
    return kept
