"""The output folder of `finetune`, read and checked: what was asked, and what each run says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camembert_bio import config
from camembert_bio.errors import UserError
from camembert_bio.evaluation.predictions import RECIPE, RESULT, read_predictions, scores

FIGURES = ("f1", "precision", "recall", "iob2_f1", "ceiling")
"""The scores that are shown."""


@dataclass(frozen=True)
class Grid:
    """The part of `finetune.json` that says which runs were asked for."""

    models: dict[str, str]
    """In the report's order."""
    tasks: tuple[dict[str, Any], ...]
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Ledger:
    """Annotated entities, and those of them that a perfect tagger loses, by reason (`ceiling.perfect_spans`)."""

    gold: int
    nested: int
    discontinuous: int
    boundary: int
    unknown_label: int
    window: int


@dataclass(frozen=True)
class NumDocuments:
    """Documents of each part of a task."""

    train: int
    validation: int
    test: int


@dataclass(frozen=True)
class Result:
    """The part of a run's `result.json` that decides what is reported."""

    id: str
    task: str
    model: str
    seed: int
    protocol: dict[str, Any]
    scores: dict[str, Any]
    """As `predictions.scores` gives them."""
    ledger: Ledger
    num_documents: NumDocuments
    data_sha256: str
    weights_sha256: str
    tokenizer_sha256: str
    version: str

    def __post_init__(self) -> None:
        if missing := [name for name in FIGURES if not isinstance(self.scores.get(name), (int, float))]:
            raise ValueError(f"scores hold no number for {', '.join(missing)}")


def read_output(output: Path) -> tuple[Grid, dict[Path, Result]]:
    """What was asked, and the result of each run below `output` by its folder.

    Raises `UserError` when `output` is not an output folder of finetune, holds no run, or a file of it cannot be read.
    """
    if not (output / RECIPE).is_file():
        raise UserError(f"{output} has no {RECIPE}; give the output folder of finetune")
    grid = config.build(Grid, config.read_json(output / RECIPE), str(output / RECIPE))
    found = {folder: read_result(folder) for folder in find_runs(output)}
    if not found:
        raise UserError(f"{output} holds no finished run; run finetune")
    return grid, found


def find_runs(output: Path) -> list[Path]:
    """The folders of the runs below `output` that are done."""
    return sorted(path.parent for path in output.glob(f"*/*/seed-*/{RESULT}"))


def read_result(folder: Path) -> Result:
    """The result of a run's folder. Raises `UserError` naming the file and all that is wrong in it."""
    path = folder / RESULT
    return config.build(Result, config.read_json(path), str(path))


def problem_of(folder: Path, result: Result) -> str | None:
    """Why a run's result is not what its folder's name and its predictions say; None when it is."""
    name = f"{result.task}/{result.model}/seed-{result.seed}"
    if "/".join(folder.parts[-3:]) != name:
        return f"{folder}: its {RESULT} is of {name}"
    try:
        run_id, rows = read_predictions(folder)
    except UserError as error:
        return str(error)
    if run_id != result.id:
        return f"{folder}: its {RESULT} and its predictions are of two runs"
    if scores(rows) != result.scores:
        return f"{folder}: the scores in its {RESULT} are not those of its predictions"
    return None
