"""What a build read, dropped and wrote: `report.json` and `report.md`. Counts only, no text, no ids."""

from __future__ import annotations

import resource
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from camembert_bio import files
from camembert_bio.shards.manifest import TRAIN, VALIDATION

_PACKAGES = ("camembert-bio", "sentencepiece", "transformers", "pyarrow")


@dataclass
class Tally:
    """Counts of one source, added up over its blocks."""

    num_read: int = 0
    num_duplicates: int = 0
    """Documents equal to an earlier one."""
    num_near: int = 0
    """Documents similar to an earlier one."""
    num_sentences: int = 0
    """Sentences left out."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Documents by reason."""
    changed: Counter[str] = field(default_factory=Counter)
    """Documents that a step of the cleaning changed, by step."""
    documents: Counter[str] = field(default_factory=Counter)
    """Documents kept, by split."""
    licences: Counter[str] = field(default_factory=Counter)
    """Documents kept, by licence."""
    num_words: int = 0
    num_characters: int = 0
    num_tokens: int = 0
    num_unknown: int = 0

    def summary(self) -> dict[str, Any]:
        """The source's entry of the report."""
        return {
            "documents_read": self.num_read,
            "dropped": dict(sorted(self.dropped.items())),
            "duplicates": self.num_duplicates,
            "near_duplicates": self.num_near,
            "sentences_left_out": self.num_sentences,
            "changed_by_cleaning": dict(sorted(self.changed.items())),
            "documents": {split: self.documents[split] for split in (TRAIN, VALIDATION)},
            "licences": dict(sorted(self.licences.items())),
            "words": self.num_words,
            "characters": self.num_characters,
            "tokens": self.num_tokens,
            "tokens_per_word": round(self.num_tokens / self.num_words, 4),
            "unknown_share": self.num_unknown / self.num_tokens,
        }


class Clock:
    """CPU-seconds of each stage over all workers, and the coordinator's wall time."""

    def __init__(self) -> None:
        self._stages: dict[str, float] = {}
        self._start = (time.perf_counter(), self._cpu())
        self._last = time.process_time()

    def lap(self, stage: str | None) -> None:
        """Give this process' CPU-seconds since the last lap to a stage; to none with None."""
        now = time.process_time()
        if stage is not None:
            self.add(stage, now - self._last)
        self._last = now

    def add(self, stage: str, seconds: float) -> None:
        """Give a stage CPU-seconds that a worker measured."""
        self._stages[stage] = self._stages.get(stage, 0.0) + seconds

    def summary(self) -> dict[str, Any]:
        """CPU-seconds by stage, wall and CPU-seconds since the start, peak memory of any one process so far.

        Stages that an earlier try had finished count; workers that still live do not in `cpu_s`.
        """
        kilobyte = 1 if sys.platform == "darwin" else 1024
        peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return {
            "seconds": {stage: round(seconds, 2) for stage, seconds in self._stages.items()},
            "wall_s": round(time.perf_counter() - self._start[0], 2),
            "cpu_s": round(self._cpu() - self._start[1], 2),
            "peak_memory_mb": round(peak * kilobyte / 1e6),
        }

    @staticmethod
    def _cpu() -> float:
        return time.process_time() + sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


def write(
    folder: Path, tallies: dict[str, Tally], clock: Clock, tokenizer: dict[str, Any], found: dict[str, Any]
) -> None:
    """Write `report.json` and `report.md` into a corpus folder; `found` holds what concerns all sources."""
    report = {
        "sources": {name: tally.summary() for name, tally in tallies.items()},
        **found,
        "tokenizer": tokenizer,
        "versions": {name: _version(name) for name in _PACKAGES},
        **clock.summary(),
    }
    files.write_json(folder / "report.json", report)
    files.write_atomic(folder / "report.md", _markdown(report))


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _markdown(report: dict[str, Any]) -> str:
    lines = [
        "# Corpus",
        "",
        "| source | read | dropped | duplicates | near | kept | held out | words | tokens | tokens/word | unknown |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, source in report["sources"].items():
        kept = sum(source["documents"].values())
        lines.append(
            f"| {name} | {source['documents_read']:,} | {sum(source['dropped'].values()):,} "
            f"| {source['duplicates']:,} | {source['near_duplicates']:,} | {kept:,} "
            f"| {source['documents'][VALIDATION]:,} | {source['words']:,} | {source['tokens']:,} "
            f"| {source['tokens_per_word']:.3f} | {source['unknown_share']:.4%} |"
        )
    tokenizer = report["tokenizer"]
    stages = ", ".join(f"{stage} {seconds} s" for stage, seconds in report["seconds"].items())
    lines += [
        "",
        f"Tokenizer: {tokenizer['vocab_size']:,} ids ({tokenizer['origin']}); {tokenizer['equal']} of "
        f"{tokenizer['passages']} passages have the same ids in transformers.",
        "",
        f"Time: {report['wall_s']} s; CPU-seconds by stage: {stages}. Peak memory: {report['peak_memory_mb']} MB.",
    ]
    return "\n".join(lines) + "\n"
