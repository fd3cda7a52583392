"""What a build read, dropped and wrote: `report.json`, `report.md`, `report.html`. Counts only, no text.

The one kind of ids in them: in `report.json`, those of evaluation documents that stand in the corpus.
"""

from __future__ import annotations

import logging
import resource
import time
from collections import Counter
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from camembert_bio import files
from camembert_bio.corpus import licences, report_html
from camembert_bio.corpus.memory import peak_memory_mb
from camembert_bio.corpus.sample import LANGUAGE_SAMPLE
from camembert_bio.corpus.workers import Workers
from camembert_bio.shards.manifest import TRAIN, VALIDATION
from camembert_bio.shards.packing import REFERENCE_LENGTH

logger = logging.getLogger(__name__)

_PACKAGES = ("camembert-bio", "sentencepiece", "transformers", "pyarrow")


@dataclass
class Tally:
    """Counts of one source, added up over its blocks."""

    languages: tuple[str, ...] | None = None
    """Those that were kept; None: all."""
    by_language: Counter[str] = field(default_factory=Counter)
    """Documents after cleaning, of those that were looked at."""
    num_read: int = 0
    unreadable: Counter[str] = field(default_factory=Counter)
    """Documents that could not be read, by kind."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Documents that the cleaning dropped, by reason."""
    num_duplicates: int = 0
    """Documents equal to an earlier one."""
    num_near: int = 0
    """Documents similar to an earlier one."""
    num_duplicates_across: int = 0
    """Of the duplicates, those whose text stays in an earlier source."""
    num_near_across: int = 0
    """Of those similar to an earlier one, those for which a document of an earlier source stays."""
    num_contaminated: int = 0
    """Documents that hold one of an evaluation set."""
    num_learnt: int | None = None
    """Sentences that are the source's boilerplate; None: not looked for."""
    gone: Counter[str] = field(default_factory=Counter)
    """Of the documents that reach the stages of sentences, also those of which nothing stays: `sentences` and `words`
    left out as seen before; `boilerplate_documents` that had some, its `boilerplate_sentences` and
    `boilerplate_words`; documents that are `nothing new` or `only boilerplate`."""
    changed: Counter[str] = field(default_factory=Counter)
    """Documents that a step of the cleaning changed, by step."""
    documents: Counter[str] = field(default_factory=Counter)
    """Documents kept, by split."""
    licences: Counter[str] = field(default_factory=Counter)
    """Documents kept, by licence."""
    lengths: Counter[str] = field(default_factory=Counter)
    """Documents kept, by tokens: `length_counts`."""
    num_words: int = 0
    num_characters: int = 0
    num_tokens: int = 0
    num_unknown: int = 0
    num_single: int = 0
    """Tokens of one character, `▁` aside."""
    num_windows: int = 0
    num_positions: int = 0
    """Of those windows, that hold a token."""

    def removed(self) -> list[tuple[str, int]]:
        """Documents that went, by stage and in the stages' order; with those kept they are those read."""
        return [
            ("unreadable", self.unreadable.total()),
            *sorted(self.dropped.items(), key=lambda item: (-item[1], item[0])),
            ("duplicates", self.num_duplicates),
            ("near-duplicates", self.num_near),
            ("contaminated", self.num_contaminated),
            ("only boilerplate", self.gone["only boilerplate"]),
            ("nothing new", self.gone["nothing new"]),
        ]

    def dropped_documents(self) -> dict[str, int]:
        """Those of them that are no document's copy, by reason."""
        return {name: n for name, n in sorted(self.removed()) if n and name not in ("duplicates", "near-duplicates")}

    def fill(self, num_windows: int, num_positions: int) -> None:
        """Add a shard's windows of `REFERENCE_LENGTH` and the positions of them that hold a token."""
        self.num_windows += num_windows
        self.num_positions += num_positions

    def summary(self) -> dict[str, Any]:
        """The source's entry of the report."""
        return {
            "documents_read": self.num_read,
            "removed": self.removed(),
            "dropped": self.dropped_documents(),
            "unreadable": dict(sorted(self.unreadable.items())),
            "duplicates": self.num_duplicates,
            "near_duplicates": self.num_near,
            "duplicates_of_earlier_sources": self.num_duplicates_across,
            "near_duplicates_of_earlier_sources": self.num_near_across,
            "boilerplate": self._boilerplate(),
            "sentences_left_out": self.gone["sentences"],
            "words_left_out": self.gone["words"],
            "languages_kept": self.languages,
            "documents_by_language": dict(sorted(self.by_language.items())),
            "language_looked_at_in_one_of": 1 if self.languages else LANGUAGE_SAMPLE,
            "changed_by_cleaning": dict(sorted(self.changed.items())),
            "documents": {split: self.documents[split] for split in (TRAIN, VALIDATION)},
            "documents_by_tokens": dict(sorted(self.lengths.items(), key=lambda item: int(item[0]))),
            "licences": dict(sorted(self.licences.items())),
            "words": self.num_words,
            "characters": self.num_characters,
            "tokens": self.num_tokens,
            "tokens_per_word": round(self.num_tokens / self.num_words, 4),
            "window_fill": round(self.num_positions / (REFERENCE_LENGTH * max(1, self.num_windows)), 4),
            "unknown_share": self.num_unknown / self.num_tokens,
            "single_character_share": self.num_single / self.num_tokens,
        }

    def _boilerplate(self) -> dict[str, int] | None:
        if self.num_learnt is None:
            return None
        counts = {name: self.gone[f"boilerplate_{name}"] for name in ("documents", "sentences", "words")}
        return {"learnt": self.num_learnt, **counts}


def length_counts(lengths: npt.NDArray[np.int64]) -> dict[str, int]:
    """How many lengths are in 1, 2-3, 4-7, 8-15, ..., by the range's lower bound; 0 by itself; no empty range."""
    bits, counts = np.unique(np.frexp(lengths)[1], return_counts=True)
    return {str(1 << bit >> 1): count for bit, count in zip(bits.tolist(), counts.tolist(), strict=True)}


class Clock:
    """CPU-seconds of each stage over all workers, and the coordinator's wall time."""

    def __init__(self, crew: Workers) -> None:
        self._crew = crew
        self._stages: dict[str, float] = {}
        self.peaks: dict[str, int] = {}
        """MB of this process' memory by the end of a stage."""
        self._start = (time.perf_counter(), self._cpu())
        self._began = self._last = self._own()

    @property
    def crew_peaks(self) -> dict[str, int]:
        """MB of a worker's memory by the end of a phase."""
        return self._crew.peaks_mb

    def lap(self, stage: str | None) -> None:
        """Give this process' CPU-seconds since the last lap to a stage; to none with None."""
        now = self._own()
        if stage is not None:
            self.add(stage, now - self._last)
            self.peaks[stage] = peak_memory_mb()
        self._last = now

    def add(self, stage: str, seconds: float) -> None:
        """Give a stage CPU-seconds that a worker measured."""
        self._stages[stage] = self._stages.get(stage, 0.0) + seconds

    def summary(self) -> dict[str, Any]:
        """CPU-seconds by stage; since the start wall time, CPU-seconds of all and of the coordinator; its peak memory.

        Stages that an earlier try had finished count; workers that still live do not in `cpu_s`.
        """
        return {
            "seconds": {stage: round(seconds, 2) for stage, seconds in self._stages.items()},
            "wall_s": round(time.perf_counter() - self._start[0], 2),
            "cpu_s": round(self._cpu() - self._start[1], 2),
            "coordinator_cpu_s": round(self._own() - self._began, 2),
            "peak_memory_mb": peak_memory_mb(),
        }

    def _own(self) -> float:
        """CPU-seconds of this process that no worker's task took."""
        return time.process_time() - self._crew.inline_cpu_s

    @staticmethod
    def _cpu() -> float:
        return time.process_time() + sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


def write(folder: Path, tallies: dict[str, Tally], clock: Clock, found: dict[str, Any]) -> None:
    """Write the three reports into a corpus folder; `found` holds what concerns all sources, `tokenizer` among it."""
    peaks = clock.crew_peaks | clock.peaks
    report = {
        "sources": {name: tally.summary() for name, tally in tallies.items()},
        **found,
        "licence": licences.terms(licence for tally in tallies.values() for licence in tally.licences),
        "versions": {name: _version(name) for name in _PACKAGES},
        **clock.summary(),
        "peak_memory_mb_by_the_end_of": peaks,
    }
    for conflict in report["licence"]["conflicts"]:
        logger.warning("licences: %s", conflict)
    report["peak_memory_mb"] = max(report["peak_memory_mb"], *peaks.values())
    files.write_json(folder / "report.json", report)
    files.write_atomic(folder / "report.md", _markdown(report))
    files.write_atomic(folder / "report.html", report_html.page(report))


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _markdown(report: dict[str, Any]) -> str:
    lines = [
        "# Corpus",
        "",
        "| source | read | dropped | duplicates | near | kept | held out | boilerplate words | repeated words | words "
        "| tokens | tokens/word | fill | unknown |",
        f"|---|{'--:|' * 13}",
    ]
    for name, source in report["sources"].items():
        kept = sum(source["documents"].values())
        lines.append(
            f"| {name} | {source['documents_read']:,} | {sum(source['dropped'].values()):,} "
            f"| {source['duplicates']:,} | {source['near_duplicates']:,} | {kept:,} "
            f"| {source['documents'][VALIDATION]:,} | {(source['boilerplate'] or {'words': 0})['words']:,} "
            f"| {source['words_left_out']:,} | {source['words']:,} | {source['tokens']:,} "
            f"| {source['tokens_per_word']:.3f} | {source['window_fill']:.1%} | {source['unknown_share']:.4%} |"
        )
    tokenizer = report["tokenizer"]
    stages = ", ".join(f"{stage} {seconds} s" for stage, seconds in report["seconds"].items())
    lines += [
        "",
        f"Tokenizer: {tokenizer['vocab_size']:,} ids ({tokenizer['kind']}, {tokenizer['origin']}); "
        f"{tokenizer['equal']} of {tokenizer['passages']} passages have the same ids in transformers.",
        "",
        f"Licence: {licences.conditions(report['licence'])}.",
        "",
        *(f"**Licences in conflict:** {conflict}.\n" for conflict in report["licence"]["conflicts"]),
        f"Time: {report['wall_s']} s; CPU-seconds by stage: {stages}. Peak memory: {report['peak_memory_mb']} MB.",
    ]
    return "\n".join(lines) + "\n"
