"""The output folder of `finetune`, read and checked: what was asked, and what each run says of itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, FiniteFloat, NonNegativeInt

from camembert_bio import config, files
from camembert_bio.errors import Mistakes, UserError
from camembert_bio.evaluation import measures
from camembert_bio.evaluation.measures import Scale
from camembert_bio.evaluation.metrics import are_same
from camembert_bio.evaluation.predictions import RECIPE, RESULT, Saved, read_saved
from camembert_bio.evaluation.recipe import UNTRAINED, TaskType

_ENTITY_FIGURES = ("f1", "precision", "recall", "iob2_f1", "ceiling")


def figures_of(task_type: TaskType) -> tuple[str, ...]:
    """The scores that are shown of a type of task."""
    return _ENTITY_FIGURES if task_type == "ner" else tuple(measures.FIGURES[task_type])


def seeds_of(task_type: TaskType, seeds: tuple[int, ...]) -> tuple[int, ...]:
    """The seeds of a task's runs: the first alone where nothing is random, since nothing is trained."""
    return seeds[:1] if task_type in UNTRAINED else seeds


@dataclass(frozen=True)
class Grid:
    """The part of `finetune.json` that says which runs were asked for."""

    models: dict[str, str]
    """In the report's order."""
    tasks: tuple[dict[str, Any], ...]
    seeds: tuple[int, ...]

    @property
    def num_runs(self) -> int:
        """Of all models and tasks."""
        each = [len(seeds_of(task.get("type", "ner"), self.seeds)) for task in self.tasks]
        return len(self.models) * sum(each)


@dataclass(frozen=True)
class Ledger:
    """Annotated entities, and those of them that a perfect tagger loses, by reason (`ceiling.perfect_spans`)."""

    gold: NonNegativeInt
    nested: NonNegativeInt
    discontinuous: NonNegativeInt
    boundary: NonNegativeInt
    unknown_label: NonNegativeInt
    window: NonNegativeInt


NOTHING_LOST = Ledger(0, 0, 0, 0, 0, 0)


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
    num_documents: NumDocuments
    data_sha256: str
    weights_sha256: str
    tokenizer_sha256: str
    version: str
    type: TaskType = "ner"
    ledger: Ledger = NOTHING_LOST
    """Of entities; of another type of task nothing is lost."""
    history: tuple[dict[str, FiniteFloat], ...] = ()
    """For each evaluation in training: `step`, `train_loss`, `validation_f1`."""
    best_step: int | None = None
    search_trials: int = 0
    """Of the search that chose the hyperparameters; 0 without one. Not part of what the run is known by."""
    train_s: Annotated[FiniteFloat, Field(ge=0)] = 0.0
    device: str = "cpu"

    def __post_init__(self) -> None:
        if missing := [name for name in figures_of(self.type) if not _is_number(self.scores.get(name))]:
            raise ValueError(f"scores hold no number for {', '.join(missing)}")
        if any(point.get("step", 1) < 1 for point in self.history):
            raise ValueError("history holds an evaluation before the first step")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def read_output(output: Path, broken: Mistakes) -> tuple[Grid, dict[Path, Result]]:
    """What was asked, and the result of each run below `output` by its folder; unreadable ones are noted in `broken`.

    Raises `UserError` when `output` is not an output folder of finetune, or holds no run.
    """
    if not (output / RECIPE).is_file():
        raise UserError(f"{output} has no {RECIPE}; give the output folder of finetune")
    grid = config.build(Grid, config.read_json(output / RECIPE), str(output / RECIPE))
    folders = find_runs(output)
    if not folders:
        raise UserError(f"{output} holds no finished run; run finetune")
    found = {}
    for folder in folders:
        with broken.noted():
            found[folder] = read_result(folder)
    return grid, found


def find_runs(output: Path) -> list[Path]:
    """The folders of the runs below `output` that are done."""
    return sorted(path.parent for path in output.glob(f"*/*/seed-*/{RESULT}"))


def read_result(folder: Path) -> Result:
    """The result of a run's folder. Raises `UserError` naming the file and all that is wrong in it."""
    path = folder / RESULT
    return config.build(Result, config.read_json(path), str(path))


def id_of(made: Mapping[str, Any], scale: Scale) -> str:
    """The id of a run, of the fields of its result: the sha256 of all that decides its predictions.

    Names and paths are not among it; `scale` is its task's, which similarities alone have.
    """
    return files.sha256_json(
        {
            "weights": made["weights_sha256"],
            "tokenizer": made["tokenizer_sha256"],
            "data": made["data_sha256"],
            "protocol": made["protocol"],
            "seed": made["seed"],
            "version": made["version"],
            **({} if made["type"] == "ner" else {"type": made["type"], "scale": scale}),
        }
    )


def verified(folder: Path, result: Result) -> Saved:
    """A run's predictions.

    Raises `UserError` when its result is not what its folder and its predictions say, or has not the id of what it says
    it was made of.
    """
    name = f"{result.task}/{result.model}/seed-{result.seed}"
    if "/".join(folder.parts[-3:]) != name:
        raise UserError(f"{folder}: its {RESULT} is of {name}")
    saved = read_saved(folder)
    if saved.id != result.id or saved.type != result.type:
        raise UserError(f"{folder}: its {RESULT} and its predictions are of two runs")
    if id_of(vars(result), saved.scale) != result.id:
        raise UserError(
            f"{folder}: the weights, tokenizer, data, protocol, seed or version in its {RESULT} is not that of its id"
        )
    if not are_same(saved.scores, result.scores):
        raise UserError(f"{folder}: the scores in its {RESULT} are not those of its predictions")
    if result.num_documents.test != len(saved.rows) or (result.type == "ner" and not _adds_up(result.ledger, saved)):
        raise UserError(f"{folder}: the counts in its {RESULT} are not those of its predictions")
    return saved


def _adds_up(ledger: Ledger, saved: Saved) -> bool:
    """Whether a ledger is of the predictions' gold, and loses as many of it as the perfect tagger does there.

    Predictions tell discontinuous entities, but neither what training documents knew nor where windows are cut: how the
    losses are divided among the other reasons is taken as it stands.
    """
    gold = sum(len(row.gold) for row in saved.rows)
    lost = [span for row in saved.rows for span in set(row.gold) - set(row.perfect)]
    losses = ledger.nested + ledger.discontinuous + ledger.boundary + ledger.unknown_label + ledger.window
    num_discontinuous = sum(not span.is_continuous for span in lost)
    told = ledger.discontinuous + ledger.unknown_label >= num_discontinuous >= ledger.discontinuous
    return ledger.gold == gold and losses == len(lost) and told


def problem_of(folder: Path, result: Result) -> str | None:
    """Why a run's result is not what its folder's name and its predictions say; None when it is."""
    try:
        verified(folder, result)
    except UserError as error:
        return str(error)
    return None


def tables(grid: Grid, results: Iterable[Result]) -> list[dict[str, list[Result]]]:
    """Results by model, one mapping for each protocol, task and data. Models stand in the grid's order."""
    order = {name: position for position, name in enumerate(grid.models)}
    tasks = {str(task.get("name")): position for position, task in enumerate(grid.tasks)}
    ordered = sorted(results, key=lambda r: (order.get(r.model, len(order)), r.model, r.seed))
    groups = _grouped(ordered, lambda r: (files.canonical_json(r.protocol), r.task, r.data_sha256))
    by_task = sorted(groups.items(), key=lambda item: (item[0][0], tasks.get(item[0][1], len(tasks)), item[0][1:]))
    return [_by_model(runs) for _, runs in by_task]


def _by_model(runs: Sequence[Result]) -> dict[str, list[Result]]:
    """The runs of each model; a name that stood for several is told apart by the hash of weights, then of tokenizer."""
    contents = _grouped(runs, lambda r: (r.model, r.weights_sha256, r.tokenizer_sha256, r.version))
    names = [name for name, *_ in contents]
    weighed = [(name, weights, version) for name, weights, _, version in contents]
    found = {}
    for (name, weights, tokenizer, version), its_runs in contents.items():
        hashes = weights[:8]
        if weighed.count((name, weights, version)) > 1:
            hashes = f"{hashes}, tokenizer {tokenizer[:8]}"
        found[name if names.count(name) == 1 else f"{name} ({hashes}, version {version})"] = its_runs
    return found


def _grouped(
    results: Sequence[Result], key: Callable[[Result], tuple[str, ...]]
) -> dict[tuple[str, ...], list[Result]]:
    groups: dict[tuple[str, ...], list[Result]] = {}
    for result in results:
        groups.setdefault(key(result), []).append(result)
    return groups
