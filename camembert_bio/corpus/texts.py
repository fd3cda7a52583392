"""One pass over the sources of a recipe: the documents that stay, cleaned, and the counts of those that do not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType

from tqdm import tqdm

from camembert_bio import log
from camembert_bio.corpus.clean import clean, num_words
from camembert_bio.corpus.dedup import Seen, digest, split_of
from camembert_bio.corpus.documents import Progress, input_bytes, read
from camembert_bio.corpus.recipe import Prepare, Source
from camembert_bio.corpus.report import Clock, Tally
from camembert_bio.errors import UserError, raise_all
from camembert_bio.shards.manifest import TRAIN, VALIDATION

TOO_SHORT = "too short"


@dataclass(frozen=True)
class Text:
    """A document that stays, cleaned."""

    id: str
    text: str
    num_words: int
    key: bytes
    """`dedup.digest` of the text."""
    split: str


class Pass:
    """Reads each source once, in the recipe's order; a context that shows a progress bar on a terminal."""

    def __init__(self, recipe: Prepare, clock: Clock, title: str) -> None:
        self.clock = clock
        self.tallies = {source.name: Tally() for source in recipe.sources}
        self._recipe = recipe
        self._seen = Seen()
        self._progress = Progress(sum(map(input_bytes, recipe.sources)))
        self._bar = tqdm(
            total=self._progress.total_bytes, desc=title, unit="B", unit_scale=True, disable=not log.terminal()
        )

    def __enter__(self) -> Pass:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def texts(self, source: Source) -> Iterator[Text]:
        """The cleaned documents of a source that are long enough and not seen before."""
        tally, clock, recipe = self.tallies[source.name], self.clock, self._recipe
        clock.lap(None)
        for document in read(source, self._progress):
            clock.lap("read")
            self._bar.update(self._progress.read_bytes - self._bar.n)
            tally.num_read += 1
            text = clean(document.text)
            clock.lap("clean")
            if len(text) < recipe.clean.min_characters:
                tally.dropped[TOO_SHORT] += 1
                continue
            key = digest(text)
            is_copy = recipe.deduplicate and not self._seen.is_new(key)
            clock.lap("deduplicate")
            if is_copy:
                tally.num_duplicates += 1
                continue
            kept = Text(document.id, text, num_words(text), key, split_of(key, recipe.validation_fraction))
            tally.documents[kept.split] += 1
            tally.licences[document.licence] += 1
            tally.num_words += kept.num_words
            tally.num_characters += len(text)
            yield kept
            clock.lap(None)
        clock.lap("read")

    def check(self) -> None:
        """Raise `UserError` when a source gave no document, or a side of the held-out split is empty."""
        mistakes = [
            f"source {name!r}: none of its {tally.num_read} documents stays ({sum(tally.dropped.values())} too short, "
            f"{tally.num_duplicates} duplicates); lower clean.min_characters or remove the source"
            for name, tally in self.tallies.items()
            if not tally.documents.total()
        ]
        raise_all("sources are empty:", mistakes)
        fraction = self._recipe.validation_fraction
        num_documents = {
            split: sum(tally.documents[split] for tally in self.tallies.values()) for split in (TRAIN, VALIDATION)
        }
        if fraction and not num_documents[VALIDATION]:
            raise UserError(
                f"validation_fraction {fraction} of {num_documents[TRAIN]} documents holds none out; "
                f"raise it to {min(0.5, 3 / num_documents[TRAIN]):.2g} or more, or set it to 0"
            )
        if not num_documents[TRAIN]:
            raise UserError(
                f"validation_fraction {fraction} holds out all {num_documents[VALIDATION]} documents; lower it"
            )
