"""A run's `predictions.jsonl`, and every score, recomputed from it alone.

The first line is {"id", "num_documents"}; each further line is a test document: its id and its
`gold`, `pred` and `perfect` spans as [[[start, end], ...], label]. It holds no text.

Of a task that is not of entities the first line has its `type` and `scale` too, and a document its id with `gold` and
`pred` labels (a list: the class, the set, the right choices, or one for each word) or numbers, or with `nll`,
`num_tokens`, `num_words` and `num_unscored_words`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

from camembert_bio import files
from camembert_bio.errors import UserError
from camembert_bio.evaluation.documents import Span
from camembert_bio.evaluation.matching import error_counts, pair_spans, relaxed_scores
from camembert_bio.evaluation.measures import MEASURES, AnyRow, Labelled, Likelihood, Rated, Scale, scores_of
from camembert_bio.evaluation.metrics import Mention, Scores, strict_scores
from camembert_bio.evaluation.recipe import UNTRAINED, TaskType

Value = TypeVar("Value")

RECIPE = "finetune.json"
"""In the output folder: the resolved recipe of the latest `finetune`."""
RESULT = "result.json"
PREDICTIONS = "predictions.jsonl"


@dataclass(frozen=True)
class Row:
    """One test document."""

    document: str
    """Its id."""
    gold: Sequence[Span]
    """Every annotated span, nested and discontinuous ones too."""
    pred: Sequence[Span]
    """What the tagger found."""
    perfect: Sequence[Span]
    """What a perfect tagger under the run's policy would find (`ceiling.perfect_spans`)."""


@dataclass(frozen=True)
class Saved:
    """A run's predictions as they were saved."""

    id: str
    """Of the run."""
    type: TaskType
    scale: Scale
    """Smallest and largest similarity."""
    rows: Sequence[Any]
    """`Row` for entities, else `measures.AnyRow`."""

    @property
    def scores(self) -> dict[str, Any]:
        """Every score of the run, as JSON values."""
        return scores(self.rows) if self.type == "ner" else scores_of(self.type, self.rows, self.scale)


def write_predictions(folder: Path, run_id: str, rows: Sequence[Row]) -> None:
    """Write `folder`/predictions.jsonl of a run on entities."""
    _write(
        folder,
        {"id": run_id, "num_documents": len(rows)},
        [
            {"id": row.document, "gold": _plain(row.gold), "pred": _plain(row.pred), "perfect": _plain(row.perfect)}
            for row in rows
        ],
    )


def write_answers(folder: Path, run_id: str, task_type: TaskType, scale: Scale, rows: Sequence[AnyRow]) -> None:
    """Write `folder`/predictions.jsonl of a run on a task of another type."""
    header = {"id": run_id, "num_documents": len(rows), "type": task_type, "scale": scale}
    records = [asdict(row) for row in rows]
    _write(folder, header, [{"id": record.pop("document"), **record} for record in records])


def _write(folder: Path, header: dict[str, Any], records: list[dict[str, Any]]) -> None:
    lines = [files.canonical_json(each) for each in (header, *records)]
    files.write_atomic(folder / PREDICTIONS, "\n".join(lines) + "\n")


def read_saved(folder: Path) -> Saved:
    """A run's predictions. Raises `UserError` naming file and line when one is cut or missing."""
    path = folder / PREDICTIONS
    try:
        # Not splitlines: an id may hold U+2028, which JSON writes as it is.
        lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({type(error).__name__}); run finetune again") from error
    records = [_parse(path, number, line) for number, line in enumerate(lines, start=1)]
    run_id, num_documents = records[0].get("id"), records[0].get("num_documents")
    task_type, scale = records[0].get("type", "ner"), records[0].get("scale", [0.0, 1.0])
    is_type = isinstance(task_type, str) and task_type in MEASURES
    is_scale = (
        isinstance(scale, list) and [type(edge) for edge in scale] == [float, float] and all(map(isfinite, scale))
    )
    if not isinstance(run_id, str) or type(num_documents) is not int or not is_type or not is_scale:
        raise UserError(f"{path}, line 1 does not say id and num_documents; run finetune again")
    if len(records) != num_documents + 1:
        raise UserError(
            f"{path} ends at line {len(records)}, its first line promises {num_documents} documents after it; "
            "run finetune again"
        )
    rows = [_row(path, number, record, task_type) for number, record in enumerate(records[1:], start=2)]
    if len({row.document for row in rows}) < len(rows):
        raise UserError(f"{path} holds a document twice; run finetune again")
    if task_type in UNTRAINED and not any(row.num_tokens for row in rows if isinstance(row, Likelihood)):
        raise UserError(f"{path} holds no text of which a sub-word was scored; run finetune again")
    return Saved(run_id, task_type, (scale[0], scale[1]), rows)


def scores(rows: Sequence[Row]) -> dict[str, Any]:
    """Every score of a run on entities, as JSON values.

    `f1`, `precision`, `recall`, counts, `macro` and `per_label`: predictions against all gold spans, strict; those that
    are no macro figure are micro. `exact`, `partial`, `type` (`matching.relaxed_scores`) and `errors`
    (`matching.error_counts`) are of the same spans. `ceiling`: the F1 of the perfect spans. `iob2_f1`: predictions
    against the perfect spans only, which is seqeval's strict IOB2 on the sub-word tags of the uncut documents.
    """
    gold, pred, perfect = (_mentions(rows, part) for part in ("gold", "pred", "perfect"))
    strict = strict_scores(gold, pred)
    pairs = [pair for row in rows for pair in pair_spans(row.gold, row.pred)]
    return {
        **_as_json(strict),
        **{name: _as_json(found) for name, found in relaxed_scores(pairs).items()},
        "errors": error_counts(pairs),
        "ceiling": strict_scores(gold, perfect).micro.f1,
        "iob2_f1": strict_scores(perfect, pred).micro.f1,
    }


def _as_json(scores: Scores) -> dict[str, Any]:
    """Micro counts and figures, and the same of each label; macro figures."""
    per_label = {label: counts.as_dict() for label, counts in scores.per_label.items()}
    return {**scores.micro.as_dict(), "macro": scores.macro, "per_label": per_label}


def score(folder: Path) -> dict[str, Any]:
    """The scores of a run's folder, or of each run below a folder, by path, from predictions.jsonl alone.

    Raises `UserError` when there is no run, or on the first of which that file is missing or not whole.
    """
    if (folder / PREDICTIONS).is_file():
        return read_saved(folder).scores
    places = [path.parent for name in (PREDICTIONS, f"seed-*/{RESULT}") for path in folder.rglob(name)]
    found = sorted({place for place in places if not _is_unfinished(place.relative_to(folder))})
    if not found:
        raise UserError(f"{folder} holds no {PREDICTIONS}; give the output folder of finetune, or a run's folder")
    return {run.relative_to(folder).as_posix(): read_saved(run).scores for run in found}


def _is_unfinished(run: Path) -> bool:
    """Whether a run's folder, as seen from the one that is scored, is one that a killed run left aside."""
    return any(part.startswith(".tmp-") for part in run.parts)  # files.atomic_folder


def _mentions(rows: Sequence[Row], part: str) -> list[Mention]:
    return [(row.document, span.fragments, span.label) for row in rows for span in getattr(row, part)]


def _plain(spans: Sequence[Span]) -> list[Any]:
    return [[span.fragments, span.label] for span in sorted(spans)]


def _parse(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}, line {number} is not JSON, perhaps cut; run finetune again") from error
    if not isinstance(record, dict):
        raise UserError(f"{path}, line {number} is not a record; run finetune again")
    return record


def _row(path: Path, number: int, record: dict[str, Any], task_type: TaskType) -> Row | AnyRow:
    try:
        if task_type == "ner":
            spans = [[_span(*value) for value in record[part]] for part in ("gold", "pred", "perfect")]
            return Row(_of(str, record["id"]), *spans)
        return _answer(record, task_type)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}, line {number} is not a document's record; run finetune again") from error


def _answer(record: dict[str, Any], task_type: TaskType) -> AnyRow:
    name = _of(str, record["id"])
    if task_type == "similarity":
        return Rated(name, _of(float, record["gold"]), _of(float, record["pred"]))
    if task_type in UNTRAINED:
        counts = [_of(int, record[part]) for part in ("num_tokens", "num_words", "num_unscored_words")]
        if min(counts) < 0 or (task_type == "pseudo-perplexity" and bool(counts[0]) != bool(counts[1])):
            raise ValueError("words have sub-words")
        return Likelihood(name, _of(float, record["nll"]), *counts)
    gold, pred = (tuple(_of(str, label) for label in _of(list, record[part])) for part in ("gold", "pred"))
    if task_type in ("classification", "pos") and len(gold) != len(pred):
        raise ValueError("each class has a prediction")
    return Labelled(name, gold, pred)


def _span(fragments: Any, label: Any) -> Span:
    """A span of a record; `ValueError` or `TypeError` when it is none."""
    span = Span(tuple((_of(int, start), _of(int, end)) for start, end in _of(list, fragments)), _of(str, label))
    edges = [edge for fragment in span.fragments for edge in fragment]
    if not edges or edges != sorted(edges) or edges[0] < 0:
        raise ValueError("fragments follow one another")
    return span


def _of(kind: type[Value], value: Any) -> Value:
    if type(value) is not kind:  # isinstance would take True for a number
        raise TypeError(f"expected {kind.__name__}")
    if isinstance(value, float) and not isfinite(value):  # Python's json reads NaN, which JSON does not know
        raise ValueError("expected a finite number")
    return value
