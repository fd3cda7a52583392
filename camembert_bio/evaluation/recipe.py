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
Format = Literal["brat", "cas1", "cas2", "conll", "datasets", "e3c", "jsonl"]

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*$")


@config.strict_fields
@dataclass(frozen=True)
class Task:
    """One entity task: an annotated corpus and its split, or a corpus for each part."""

    name: str
    """Name in the report and of the task's folder: letters, digits, `.`, `_`, `-`."""
    format: Format
    """`brat`: `.txt` with `.ann`; `e3c`: the XMI of the E3C corpus; `cas1`, `cas2`: the two label sets of the DEFT
    release of CAS; `conll`: tokens and IOB2 tags; `jsonl`: texts and character spans; `datasets`: a folder or name."""
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
        if self.split is None and not {"train", "test"} <= set(parts):
            raise ValueError("give train and test, or path and split")
        if both := set(self.labels or ()) & set(self.dropped_labels):
            raise ValueError(f"labels and dropped_labels both hold {', '.join(sorted(both))}; give each label once")


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
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, lt=1 << 32)], ...], Field(min_length=1)] = tuple(range(10))
    """One run a seed, for the new head, the order of the batches and dropout. Ten: stated; which ones: assumed."""
    policy: Policy = "flat-outermost"
    """Which of nested entities the tagger learns: the outermost (stated); the longest of any that overlap; or, with
    tags for each label of its own, all of them."""
    learning_rate: Annotated[float, Field(gt=0)] = 5e-5
    """AdamW's peak learning rate (stated)."""
    warmup_ratio: Annotated[float, Field(ge=0, le=1)] = 0.224
    """Share of the steps over which the learning rate rises from 0 (stated); it then falls linearly to 0 (assumed)."""
    batch_size: Annotated[int, Field(gt=0)] = 16
    """Windows per step (stated)."""
    max_steps: Annotated[int, Field(gt=0)] = 2000
    """Optimizer updates (stated)."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """On all but biases and LayerNorm (assumed, from the author's later configuration)."""
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    """The gradient's norm is clipped to this (assumed)."""
    evaluate_every: Annotated[int, Field(gt=0)] = 100
    """Steps between two evaluations on validation (assumed); the weights of the best one are tested (stated)."""
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


_NOT_PROTOCOL = ("output", "models", "tasks", "seeds")


STATED = ("policy", "learning_rate", "warmup_ratio", "batch_size", "max_steps")
"""Options of the protocol whose default the paper states; the others' defaults are assumed."""


def protocol(recipe: Finetune) -> dict[str, Any]:
    """What decides how a model is fine-tuned and read, as JSON values: equal protocols share a table."""
    values: dict[str, Any] = config.to_dict(recipe)
    return {name: value for name, value in values.items() if name not in _NOT_PROTOCOL}


def paper_protocol() -> dict[str, Any]:
    """The published protocol, assumed where it says nothing: `protocol` of a recipe that changes nothing."""
    return {field.name: field.default for field in dataclasses.fields(Finetune) if field.name not in _NOT_PROTOCOL}


def _check_name(kind: str, name: str) -> None:
    if not _NAME.match(name):
        raise ValueError(f"{kind} name {name!r} does not do for a folder; use letters, digits, '.', '_' and '-'")
