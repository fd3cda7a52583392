"""What scoring costs, beside what it is measured against. One JSON line a bar.

    python benchmarks/evaluation.py

CPU-seconds of this process; the two sides take turns, since a machine's pace drifts, and the median counts.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from seqeval.metrics import f1_score
from seqeval.scheme import IOB2

from camembert_bio.evaluation.metrics import iob2_scores

RESULTS = Path(__file__).resolve().parent / "results" / "evaluation.jsonl"
MACHINE = {"python": platform.python_version(), "cores": os.cpu_count()}

LABELS = ("ANAT", "CHEM", "DEVI", "DISO", "GEOG", "LIVB", "OBJC", "PHEN", "PHYS", "PROC")
"""As many as QUAERO has."""
NUM_TOKENS = 200_000
TURNS = 5


def report(name: str, value: float, target: str, met: bool, **detail: Any) -> None:
    """Print one bar and keep it, in the place of its last measurement."""
    line = json.dumps({"name": name, "value": round(value, 3), "target": target, "met": met, "detail": detail})
    print(line, flush=True)
    kept = RESULTS.read_text().splitlines() if RESULTS.is_file() else []
    kept = [other for other in kept if json.loads(other)["name"] != name]
    RESULTS.write_text("\n".join([*kept, line]) + "\n")


def cpu_seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    """CPU-seconds of a call, and what it returns."""
    began = time.process_time()
    value = call()
    return time.process_time() - began, value


def tagged_sentences(rng: np.random.Generator) -> tuple[list[list[str]], list[list[str]]]:
    """Gold and predicted tags of sentences of 20 tokens, an entity in about every seventh place, one in six wrong."""
    gold: list[list[str]] = []
    pred: list[list[str]] = []
    for _ in range(NUM_TOKENS // 20):
        sentence: list[list[str]] = [[], []]
        while len(sentence[0]) < 20:
            length = int(rng.integers(1, 4))
            label = str(rng.choice(LABELS))
            entity = [f"B-{label}", *[f"I-{label}"] * (length - 1)] if rng.random() < 0.25 else ["O"] * length
            other = f"B-{rng.choice(LABELS)}"
            sentence[0] += entity
            sentence[1] += [other, *entity[1:]] if rng.random() < 1 / 6 else entity
        for side, tags in zip((gold, pred), sentence, strict=True):
            side.append(tags[:20])
    return gold, pred


def score_over_seqeval() -> None:
    """Strict micro F1 of the same lists of tags."""
    gold, pred = tagged_sentences(np.random.default_rng(0))
    ours, theirs = [], []
    for _ in range(TURNS):
        seconds, found = cpu_seconds(lambda: iob2_scores(gold, pred).micro.f1)
        ours.append(seconds)
        seconds, expected = cpu_seconds(lambda: f1_score(gold, pred, mode="strict", scheme=IOB2, zero_division=0))
        theirs.append(seconds)
    ratio = statistics.median(theirs) / statistics.median(ours)
    equal = bool(abs(found - expected) < 1e-12)
    report(
        "score.over_seqeval",
        ratio,
        ">= 20",
        ratio >= 20 and equal,
        f1=found,
        seqeval_f1=float(expected),
        equal=equal,
        tokens=NUM_TOKENS,
        ours_cpu_s=statistics.median(ours),
        seqeval_cpu_s=statistics.median(theirs),
        **MACHINE,
    )


def main() -> None:
    """Measure every bar."""
    RESULTS.parent.mkdir(exist_ok=True)
    score_over_seqeval()


if __name__ == "__main__":
    main()
