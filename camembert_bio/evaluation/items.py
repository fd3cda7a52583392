"""What has an answer as a whole: a text, a pair of texts, or a question with choices; and the right answer."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

Gold = tuple[str, ...] | float
"""Labels (the class; the set, sorted; the names of the right choices), or the number of a similarity."""


@dataclass(frozen=True)
class Item:
    """One item of a task that is not about spans."""

    id: str
    texts: tuple[str, ...]
    """The text (of multiple choice the question), or the two texts of a pair."""
    gold: Gold
    choices: tuple[tuple[str, str], ...] = ()
    """Name and text of each answer to choose from."""
    where: str = field(default="", compare=False)
    """The file and row that it was read from: for messages alone."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The gold labels; none where gold is a number."""
        return self.gold if isinstance(self.gold, tuple) else ()

    @property
    def text(self) -> str:
        """Everything that is read: what makes two items the same to leaks and splits."""
        return "\n".join([*self.texts, *(text for _, text in self.choices)])

    @property
    def text_sha256(self) -> str:
        """Hexadecimal sha256 of `text` in UTF-8."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def content(self) -> list[Any]:
        """All but `where`, as JSON values: what a task's data is hashed by."""
        return [self.id, self.texts, self.gold, self.choices]
