"""A document's way through the cleaning: every step of a recipe, what it changed, and why a document is dropped.

    hook → mojibake → running lines → characters → hyphens → special tokens → sections → length → language

Each step runs where a cheap test asks for it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from camembert_bio.corpus.clean import fold_characters, is_plain, neutralise, num_words
from camembert_bio.corpus.hook import load_hook
from camembert_bio.corpus.hyphens import join_soft_hyphens, join_words
from camembert_bio.corpus.language import CANNOT_TELL, Languages
from camembert_bio.corpus.leaflets import split_sections
from camembert_bio.corpus.mojibake import repair
from camembert_bio.corpus.pages import remove_running_lines
from camembert_bio.corpus.recipe import Clean
from camembert_bio.errors import Terminated

TOO_SHORT = "too short"
HOOK = "hook"
"""Begins the reason of a document on which the hook failed."""
LOST = "lost characters"
"""Documents with U+FFFD, which another program wrote in place of what it could not read."""


@dataclass(frozen=True)
class Cleaned:
    """What became of a document."""

    text: str
    """Cleaned; empty when it is dropped."""
    dropped: str | None
    """Why it is dropped: `too short`, `language en`, `hook raised KeyError`; None when it stays."""
    counts: Counter[str] = field(default_factory=Counter)
    """1 for each step that changed the document: sums over documents, and over workers, count documents."""
    language: str | None = None
    """Its code or `CANNOT_TELL`; None where the recipe names no languages, or the document is dropped before."""

    @property
    def hook_failed(self) -> bool:
        """Whether it is dropped because the hook raised, or gave no text."""
        return self.dropped is not None and self.dropped.startswith(HOOK)


class Cleaner:
    """The cleaning of a recipe, made once a worker."""

    def __init__(self, options: Clean) -> None:
        """Raises `UserError` when the hook cannot be loaded, or a language is unknown."""
        self._options = options
        self._hook = load_hook(options.hook) if options.hook else None
        self._languages = Languages(options.languages or ())

    def __call__(self, text: str) -> Cleaned:
        """The document's text, cleaned, or the reason why it is dropped; neither quotes it."""
        counts: Counter[str] = Counter()
        if self._hook is not None:
            try:
                replaced = self._hook(text)
            except Terminated:
                raise
            except (Exception, SystemExit) as error:  # noqa: BLE001 (its message may quote the document)
                return Cleaned("", f"{HOOK} raised {type(error).__name__}", counts)
            if not isinstance(replaced, str):
                return Cleaned("", f"{HOOK} returned {type(replaced).__name__}", counts)
            counts["hook"] = int(replaced != text)
            text = replaced
        text = _cleaned(text, counts)
        if len(text) < self._options.min_characters or num_words(text) < self._options.min_words:
            return Cleaned("", TOO_SHORT, +counts)
        if self._options.languages is None:
            return Cleaned(text, None, +counts)
        code = self.language(text)
        is_other = code not in (CANNOT_TELL, *self._options.languages)
        return Cleaned("" if is_other else text, f"language {code}" if is_other else None, +counts, code)

    def language(self, text: str) -> str:
        """The language of a clean text, as `Languages.of`."""
        return self._languages.of(text)


def _cleaned(text: str, counts: Counter[str]) -> str:
    """The steps of every recipe; counts 1 for each that changes the text."""
    text = text.replace("\r\n", "\n")
    plain = is_plain(text)
    if not plain and "\ufffd" in text:
        counts[LOST] = 1
    repaired = repair(text, plain)
    plain = plain and repaired is text
    text = _counted("mojibake", text, repaired, counts)
    has_lines = "\n" in text or not plain  # form feeds and soft hyphens are not plain
    if has_lines:
        text = _counted("running lines", text, remove_running_lines(text), counts)
    if not plain:
        text = _counted("hyphens", text, join_soft_hyphens(text), counts)
    text = _counted("characters", text, fold_characters(text, plain), counts)
    if has_lines:
        text = _counted("hyphens", text, join_words(text), counts)
    text = _counted("special tokens", text, neutralise(text), counts)  # a joined word may be one
    return _counted("sections", text, split_sections(text), counts)


def _counted(step: str, before: str, after: str, counts: Counter[str]) -> str:
    if after is not before and after != before:
        counts[step] = 1
    return after
