"""The `finetune` section of a recipe: which models, on which tasks, under which protocol.

The defaults are the published protocol (facts: Touchent et al., arXiv 2306.15550v3, section on
evaluation). What the paper does not state is marked *assumed*.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from camembert_bio import config

Policy = Literal["flat-outermost", "flat-longest", "per-label"]
TaskType = Literal[
    "ner",
    "pos",
    "classification",
    "multi-label",
    "similarity",
    "multiple-choice",
    "perplexity",
    "pseudo-perplexity",
]
Format = Literal[
    "brat",
    "cas1",
    "cas2",
    "conll",
    "csv",
    "datasets",
    "e3c",
    "frenchmedmcqa",
    "json",
    "jsonl",
    "morfitt",
    "parquet",
    "tsv",
]

_SPANS: tuple[Format, ...] = ("brat", "cas1", "cas2", "conll", "datasets", "e3c", "jsonl")
_LISTS: tuple[Format, ...] = ("datasets", "json", "jsonl", "parquet")
TABLES: tuple[Format, ...] = ("csv", "tsv", *_LISTS)
"""Formats whose rows have named columns."""
READY: tuple[Format, ...] = ("frenchmedmcqa", "morfitt")
"""Published corpora whose files and columns are known: `path` is all that they need."""
FORMATS: dict[TaskType, tuple[Format, ...]] = {
    "ner": _SPANS,
    "pos": ("conll", *_LISTS),
    "classification": TABLES,
    "multi-label": (*TABLES, "morfitt"),
    "similarity": TABLES,
    "multiple-choice": (*TABLES, "frenchmedmcqa"),
    "perplexity": (*_SPANS, "csv", "json", "parquet", "tsv"),
    "pseudo-perplexity": (*_SPANS, "csv", "json", "parquet", "tsv"),
}
"""What each type of task is read from."""
UNTRAINED: tuple[TaskType, ...] = ("perplexity", "pseudo-perplexity")
"""Types without fine-tuning: the model's own head is scored, so test documents suffice."""

_Seed = Annotated[int, Field(ge=0, lt=1 << 32)]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_TAKEN = re.compile(r"finetune\.json|report(_with_text)?\.(html|md|tex|csv)", re.IGNORECASE)
"""Files of an output folder, which no task's folder may be called like."""


@config.strict_fields
@dataclass(frozen=True)
class Columns:
    """Which column, or key, of a row holds what. In `conll` a column is its number, from 1."""

    id: str | int | None = None
    """A document's id (default: `id` where there is one, else the row's number)."""
    text: str = "text"
    """The text, or a list of its words; of multiple choice the question."""
    text_pair: str | None = None
    """The second text of a pair (default: none, and `text_pair` for similarity)."""
    label: str = "label"
    """The class; for similarity the number."""
    labels: str = "labels"
    """Any number of labels: a list, or one cell in which `separator` stands between them."""
    choices: str | tuple[str, ...] | dict[str, str] = "choices"
    """The answers to choose from: a column that holds all, a column for each (they are then called a, b, c, ...), or
    their names and columns."""
    answers: str = "answers"
    """Names of the right answers, as `labels` gives labels; a number that is no name counts answers from 0."""
    tokens: str | int | None = None
    """Words (default: `tokens`; in `conll` the first column)."""
    tags: str | int | None = None
    """Their tags (default: `tags`; in `conll` the last column)."""
    separator: Annotated[str, Field(min_length=1)] = "|"
    """Between several labels or answers of one cell."""


@config.strict_fields
@dataclass(frozen=True)
class Task:
    """One task: a corpus and its split, or a corpus for each part."""

    name: str
    """Name in the report and of the task's folder: at most 100 letters, digits, `.`, `_`, `-`."""
    format: Format
    """`brat`: `.txt` with `.ann`; `e3c`: the XMI of the E3C corpus; `cas1`, `cas2`: the two label sets of the DEFT
    release of CAS; `conll`: tokens and tags; `jsonl`: texts and character spans, or rows; `json`: a list of rows;
    `csv`, `tsv`, `parquet`: rows; `datasets`: a folder or name; `morfitt`, `frenchmedmcqa`: folders as published."""
    type: TaskType = "ner"
    """`ner`: entities; `pos`: a tag for each word; `classification`: one class for a text or a pair of texts;
    `multi-label`: any number of labels; `similarity`: a number for a pair of texts; `multiple-choice`: the right ones
    of several answers; `perplexity`, `pseudo-perplexity`: of held-out texts under the model's own head."""
    columns: Columns = Columns()
    """Names of the columns, where the format has rows."""
    scale: tuple[float, float] = (0.0, 5.0)
    """Smallest and largest similarity (0 and 5: DEFT 2020 and CLISTER)."""
    path: Path | None = None
    """The corpus that `split` divides, or the folder in which `train`, `validation` and `test` lie (`datasets`: of
    which they are splits)."""
    split: str | None = None
    """Manifest, or name of a split: quaero-emea, quaero-medline, quaero-medline-audited, e3c-official, e3c-paper,
    e3c-audited; for `cas1` and `cas2` also deft-2020 and deft-2021."""
    train: Path | None = None
    """Without `split`: the training documents."""
    test: Path | None = None
    """Without `split`: the test documents."""
    validation: Path | None = None
    """Without `split`: the validation documents; without them they are taken out of the training documents."""
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Without `validation`: the share of training documents taken, by a hash of their text (10 % on E3C: stated)."""
    labels: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """The labels that the corpus may have; another is an error (default: those of the format or split, or any)."""
    dropped_labels: tuple[str, ...] = ()
    """Labels whose entities are left out."""
    allowed_leaks: tuple[str, ...] = ()
    """Ids of test documents that may have the text of a training or validation document."""

    def __post_init__(self) -> None:
        _check_name("task", self.name)
        parts = [name for name in ("train", "validation", "test") if getattr(self, name) is not None]
        if self.split is not None and (self.path is None or parts):
            raise ValueError(f"split {self.split} needs path, and neither train, validation nor test")
        if self.format not in FORMATS[self.type]:
            types = [name for name, formats in FORMATS.items() if self.format in formats]
            raise ValueError(f"format {self.format} is not read for type {self.type}, but for {', '.join(types)}")
        if self.scale[0] >= self.scale[1]:
            raise ValueError(f"scale {list(self.scale)} is empty; give the smallest similarity, then the largest")
        needed = {"test"} if self.type in UNTRAINED else {"train", "test"}
        is_ready = self.format in READY and self.path is not None and not parts
        if self.split is None and not is_ready and not needed <= set(parts):
            raise ValueError(f"give {' and '.join(sorted(needed, reverse=True))}, or path and split")
        if both := set(self.labels or ()) & set(self.dropped_labels):
            raise ValueError(f"labels and dropped_labels both hold {', '.join(sorted(both))}; give each label once")


@config.strict_fields
@dataclass(frozen=True)
class FixedSeeds:
    """What all runs share of what is random: a seed in the place of the run's own."""

    initialisation: _Seed | None = None
    """Of the new head's weights."""
    order: _Seed | None = None
    """Of the batches."""
    dropout: _Seed | None = None
    """Of dropout, from the first step on."""


@config.strict_fields
@dataclass(frozen=True)
class Finetune:
    """Every model on every task with every seed, and the report that compares them."""

    output: Path
    """Folder of the results: `TASK/MODEL/seed-N/` and `report.md`."""
    models: Annotated[dict[str, str], Field(min_length=1)]
    """Name in the report -> transformers model folder with its tokenizer; the report keeps their order."""
    tasks: Annotated[tuple[Task, ...], Field(min_length=1)]
    """The tasks."""
    seeds: Annotated[tuple[_Seed, ...], Field(min_length=1)] = tuple(range(10))
    """One run a seed, for the new head, the order of the batches and dropout. Ten: stated; which ones: assumed."""
    protocol: Literal["paper", "audited"] = "paper"
    """Which score chooses the best weights and compares models: `paper`: strict IOB2 against what the tags can hold,
    as published; `audited`: against all gold, with policy `per-label` and without leaks."""
    policy: Policy = "flat-outermost"
    """Which of nested entities the tagger learns: the outermost (stated); the longest of any that overlap; or, with
    tags for each label of its own, all of them."""
    learning_rate: Annotated[float, Field(gt=0)] = 5e-5
    """AdamW's peak learning rate (stated)."""
    warmup_ratio: Annotated[float, Field(ge=0, le=1)] = 0.224
    """Share of the steps over which the learning rate rises from 0 (stated); it then falls linearly to 0 (assumed)."""
    batch_size: Annotated[int, Field(gt=0)] = 16
    """Windows per step (stated), or sub-words: `batch_unit`. Of texts with one answer: texts, whatever their length."""
    batch_unit: Literal["windows", "sub-words"] = "windows"
    """`sub-words`: a step holds as many windows of like length as fit into `batch_size` sub-words with padding."""
    micro_batch_tokens: Annotated[int, Field(gt=0)] | None = None
    """Sub-words with padding that go through the model at once; a step's gradients are summed over such parts. It
    saves padding and memory (default: the whole step at once)."""
    max_steps: Annotated[int, Field(gt=0)] = 2000
    """Optimizer updates (stated)."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """`bf16`: matrix products under autocast, weights in fp32: faster on GPUs since Ampere and on CPUs with AMX."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """On all but biases and LayerNorm (assumed, from the author's later configuration)."""
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    """The gradient's norm is clipped to this (assumed)."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Learning rate of a layer over that of the layer above it; the head has the whole one."""
    class_balance: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Weight of a class in the loss: its number of targets to the power of minus this; 1: every class as much. Of
    entities, words and classes."""
    evaluate_every: Annotated[int, Field(gt=0)] | Literal["epoch"] = 100
    """Steps between two evaluations on validation (assumed), or `epoch`; the weights of the best one are tested
    (stated)."""
    patience: Annotated[int, Field(gt=0)] | None = None
    """Evaluations in a row without a better score after which training ends (default: it never ends early)."""
    fixed_seeds: FixedSeeds = FixedSeeds()
    """Seeds that all runs share, to tell the sources of their spread apart."""
    search_trials: Annotated[int, Field(ge=0)] = 0
    """Trials of the search that chose these values; `search` writes it, nothing reads it but readers."""
    seq_length: Annotated[int, Field(ge=8)] = 512
    """Sub-words per window, the two special ones included (assumed)."""
    window_overlap: Annotated[int, Field(ge=0)] = 128
    """Sub-words that two consecutive windows of a long document share (assumed; the paper's cut is not stated)."""

    def __post_init__(self) -> None:
        for name in self.models:
            _check_name("model", name)
        names = [task.name for task in self.tasks]
        if len(set(names)) < len(names):
            raise ValueError(f"tasks: a name is given twice in {', '.join(names)}; give each task its own")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds: one is given twice in {list(self.seeds)}; each seed is one run")
        if self.window_overlap >= self.seq_length - 2:
            raise ValueError(
                f"window_overlap {self.window_overlap} leaves no step between windows of "
                f"seq_length {self.seq_length} - 2; use at most {self.seq_length - 3}"
            )
        sizes = {"micro_batch_tokens": self.micro_batch_tokens}
        if self.batch_unit == "sub-words":
            sizes["batch_size"] = self.batch_size
        for name, size in sizes.items():
            if size is not None and size < self.seq_length:
                raise ValueError(f"{name} {size} sub-words hold no window of seq_length {self.seq_length}; raise it")
        if self.protocol == "audited":
            self._check_audited()

    def _check_audited(self) -> None:
        if self.policy != "per-label":
            raise ValueError(f"protocol audited scores all gold, and policy {self.policy} cannot; use per-label")
        if leaky := [task.name for task in self.tasks if task.allowed_leaks]:
            raise ValueError(f"protocol audited allows no leak, and {', '.join(leaky)} gives allowed_leaks; remove it")


@config.strict_fields
@dataclass(frozen=True)
class Space:
    """The values of an option that a search may try: a range, or choices."""

    low: float | None = None
    """Smallest value."""
    high: float | None = None
    """Largest value."""
    log: bool = False
    """Whether values are drawn evenly by their logarithm."""
    choices: Annotated[tuple[int | float | str | None, ...], Field(min_length=1)] | None = None
    """The values, in the place of a range."""

    def __post_init__(self) -> None:
        if self.choices is not None:
            if self.low is not None or self.high is not None or self.log:
                raise ValueError("choices stand in the place of low, high and log; give one of the two")
        elif self.low is None or self.high is None or self.low >= self.high:
            raise ValueError(f"give low and high, low below high, or choices; found low {self.low}, high {self.high}")
        elif self.log and self.low <= 0:
            raise ValueError(f"log needs low above 0, found {self.low}")


@config.strict_fields
@dataclass(frozen=True)
class Search:
    """Which values of the section `finetune` suit its models and tasks, by their score on validation."""

    output: Path
    """Folder of the search: `search.json`, `recipe.yaml` with the best values, `search.journal` of all trials."""
    space: Annotated[dict[str, Space], Field(min_length=1)]
    """Option of `finetune` -> the values to try."""
    trials: Annotated[int, Field(gt=0)] = 40
    """Settings that are tried. A search of fewer goes on where it ended."""
    seeds: Annotated[tuple[_Seed, ...], Field(min_length=1)] = (0,)
    """Fine-tuning runs of a trial, for each model and task; its score is the mean over all of them."""
    seed: _Seed = 0
    """Of the sampler, which is a tree-structured Parzen estimator."""

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.space) - set(SEARCHABLE)):
            raise ValueError(f"space: {', '.join(unknown)} cannot be searched; options are {', '.join(SEARCHABLE)}")


SEARCHABLE = (
    *("learning_rate", "warmup_ratio", "batch_size", "max_steps", "weight_decay", "max_grad_norm"),
    *("layer_decay", "class_balance", "precision", "micro_batch_tokens"),
)
"""Options that change how a model is fine-tuned, and not what is asked of it."""

_NOT_PROTOCOL = ("output", "models", "tasks", "seeds", "search_trials")
_BEYOND_PAPER = (
    *("protocol", "batch_unit", "micro_batch_tokens", "precision", "layer_decay", "class_balance", "patience"),
    "fixed_seeds",
)

STATED = ("policy", "learning_rate", "warmup_ratio", "batch_size", "max_steps")
"""Options of the protocol whose default the paper states; the others' defaults are assumed."""


def protocol(recipe: Finetune) -> dict[str, Any]:
    """What decides how a model is fine-tuned and read, as JSON values: equal protocols share a table.

    Of what the paper has no idea of only what is used: an option that is off changes nothing.
    """
    values: dict[str, Any] = config.to_dict(recipe)
    is_off = {name for name in _BEYOND_PAPER if getattr(recipe, name) == _defaults()[name]}
    return {name: value for name, value in values.items() if name not in {*_NOT_PROTOCOL, *is_off}}


def paper_protocol() -> dict[str, Any]:
    """The published protocol, assumed where it says nothing: `protocol` of a recipe that changes nothing."""
    return {name: value for name, value in _defaults().items() if name not in {*_NOT_PROTOCOL, *_BEYOND_PAPER}}


def _defaults() -> dict[str, Any]:
    return {field.name: field.default for field in dataclasses.fields(Finetune)}


def _check_name(kind: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        shown = name if len(name) <= 100 else f"{name[:20]}... of {len(name)} characters"
        raise ValueError(
            f"{kind} name {shown!r} does not do for a folder; use at most 100 letters, digits, '.', '_' and '-', the "
            "first of them a letter or digit"
        )
    if kind == "task" and _TAKEN.fullmatch(name):
        raise ValueError(f"task name {name!r} is that of a file beside the tasks' folders; give another")
