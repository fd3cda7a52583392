"""Output folders of finetune with known scores: ten documents of ten entities each, unless rows are given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from camembert_bio import files
from camembert_bio.evaluation.documents import Span
from camembert_bio.evaluation.measures import scores_of
from camembert_bio.evaluation.predictions import Row, scores, write_answers, write_predictions
from camembert_bio.evaluation.recipe import paper_protocol
from camembert_bio.evaluation.results import id_of

NUM_DOCUMENTS = 10
LABELS = ("CHEM", "DISO")


def entity(place: int) -> Span:
    """The place-th of a document: two letters, every other one of the second label."""
    return Span(((10 * place, 10 * place + 2),), LABELS[place % 2])


GOLD = [entity(place) for place in range(10)]


def rows_of(f1: float) -> list[Row]:
    """A hundred entities, and a hundred predictions of which `f1` are right; tags hold nine of ten entities.

    Of the wrong ones a document's first is beside nothing, the second has another boundary, the third another label.
    """
    found = round(100 * f1)
    rows = []
    for document in range(NUM_DOCUMENTS):
        right = len(range(document, found, NUM_DOCUMENTS))
        wrong = [_wrong(place, count) for count, place in enumerate(range(right, 10))]
        rows.append(Row(f"doc{document}", gold=GOLD, pred=GOLD[:right] + wrong, perfect=GOLD[1:]))
    return rows


def _wrong(place: int, count: int) -> Span:
    span = entity(place)
    if count % 3 == 0:
        return Span(((10 * place + 5, 10 * place + 7),), span.label)
    if count % 3 == 1:
        return Span(((span.start, span.end + 1),), span.label)
    return Span(span.fragments, LABELS[(place + 1) % 2])


def iob2_of(f1: float) -> float:
    """The F1 of `rows_of(f1)` against the ninety entities that tags hold: the first of each document is found."""
    return 2 * (100 * f1 - 10) / 190


def write_run(output: Path, model: str, seed: int, f1: float, rows: list[Row] | None = None, **changes: Any) -> Path:
    """A finished run of `rows_of(f1)`, or of other rows; returns its folder."""
    task = changes.get("task", "EMEA")
    rows = rows_of(f1) if rows is None else rows
    gold, lost = sum(len(row.gold) for row in rows), sum(len({*row.gold} - {*row.perfect}) for row in rows)
    result: dict[str, Any] = {
        "task": task,
        "model": model,
        "seed": seed,
        "protocol": paper_protocol(),
        "scores": scores(rows),
        "ledger": {"gold": gold, "nested": min(lost, 7), "boundary": max(0, lost - 7)}
        | dict.fromkeys(("discontinuous", "window", "unknown_label"), 0),
        "num_documents": {"train": 11, "validation": 12, "test": len(rows)},
        "data_sha256": "d",
        "weights_sha256": f"weights-of-{model}",
        "tokenizer_sha256": "t",
        "version": "0",
        "history": [{"step": step, "train_loss": 1 / step, "validation_f1": f1 - 10 / step} for step in (100, 200)],
        "best_step": 200,
        "train_s": 1800.0,
        "device": "cpu",
        **changes,
    }
    folder = output / task / model / f"seed-{seed}"
    result["id"] = id_of({"type": "ner", **result}, (0.0, 1.0))
    files.write_json(folder / "result.json", result)
    write_predictions(folder, result["id"], rows)
    return folder


def write_grid(output: Path, models: tuple[str, ...] = ("general", "bio"), tasks: tuple[str, ...] = ("EMEA",)) -> Path:
    """What was asked for: ten seeds."""
    grid = {"models": dict.fromkeys(models, "x"), "tasks": [{"name": name} for name in tasks], "seeds": [*range(10)]}
    files.write_atomic(output / "finetune.json", json.dumps(grid))  # unsorted: the models keep their order
    return output


BEFORE = [0.70, 0.72, 0.71, 0.70, 0.69, 0.73, 0.70, 0.71, 0.72, 0.70]
AFTER = [0.73, 0.74, 0.71, 0.74, 0.72, 0.75, 0.72, 0.70, 0.75, 0.73]


def write_two_models(output: Path, task: str = "EMEA") -> None:
    """`general` and the better `bio`, ten seeds each."""
    for seed, (before, after) in enumerate(zip(BEFORE, AFTER, strict=True)):
        write_run(output, "general", seed, before, task=task)
        write_run(output, "bio", seed, after, task=task)


def write_answers_run(
    output: Path, task: str, task_type: Any, model: str, seed: int, rows: list[Any], **changes: Any
) -> Path:
    """A finished run of a task that is not of entities; returns its folder."""
    scale = (0.0, 5.0)
    result: dict[str, Any] = {
        "task": task,
        "type": task_type,
        "model": model,
        "seed": seed,
        "protocol": paper_protocol(),
        "scores": scores_of(task_type, rows, scale),
        "num_documents": {"train": 0 if task_type == "perplexity" else 30, "validation": 0, "test": len(rows)},
        "data_sha256": "d",
        "weights_sha256": f"weights-of-{model}",
        "tokenizer_sha256": "t",
        "version": "0",
        "history": [{"step": 100, "train_loss": 1.0, "validation_accuracy": 0.5}],
        **changes,
    }
    folder = output / task / model / f"seed-{seed}"
    result["id"] = id_of(result, scale)
    files.write_json(folder / "result.json", result)
    write_answers(folder, result["id"], task_type, scale, rows)
    return folder
