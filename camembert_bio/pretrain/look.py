"""What a step of a run saw, or will see: its windows, the documents in them, and how much is predicted of each.

Steps are counted as the curves count them: step 1 is the first.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from camembert_bio import config
from camembert_bio.corpus.tokenize import Tokenizer, load_tokenizer
from camembert_bio.data.batch import Batch
from camembert_bio.data.loader import Loader
from camembert_bio.data.order import Draws, accumulation_steps
from camembert_bio.data.windows import split_entries
from camembert_bio.errors import UserError
from camembert_bio.pretrain import checkpoint, run_folder
from camembert_bio.pretrain.branch import Before
from camembert_bio.pretrain.loaders import training_loader
from camembert_bio.pretrain.recipe import Pretrain
from camembert_bio.pretrain.schedule import num_steps, phase_of
from camembert_bio.shards.address import HIDDEN
from camembert_bio.shards.format import Ids, Shard
from camembert_bio.shards.manifest import TOKENIZER, open_corpus


def describe(run: Path, step: int, text: bool = False, place: str | None = None) -> dict[str, Any]:
    """The micro-batches of a step, rank by rank, with their windows and the documents in these; no text unless asked.

    `place` is where the corpus stands now, if not where the run read it or at an address with a secret. Ranks and
    micro-batches are those of the run's last start before the step, of its last one for a step to come.
    Raises `UserError` when the run has no such step, or when its corpus is not there or is another one.
    """
    run_folder.check_begun(run)
    recipe, world_size = _last_start(run, step)
    if not 1 <= step <= num_steps(recipe):
        raise UserError(f"the run {run} has no step {step}; give one from 1 to {num_steps(recipe)}")
    corpus = open_corpus(_place(run, recipe) if place is None else place, recipe.storage)
    run_folder.check_corpus(run, corpus)
    phase = phase_of(recipe, step - 1)
    loader = training_loader(recipe, corpus, phase, _before(run), rank=0, world_size=1)
    size = loader.micro_batch_size
    accumulation = accumulation_steps(loader.global_batch_size, size, world_size)
    batches, draws = loader.batch(step - 1), loader.order.windows(step - 1)
    documents = _Documents(loader, load_tokenizer(run / TOKENIZER) if text else None)
    return {
        "kind": "step",
        "step": step,
        "phase": phase.number,
        "objective": loader.objective,
        "mask_rate": loader.mask_rate(step - 1) if loader.objective == "masked" else None,
        "seq_length": loader.seq_length,
        "ranks": world_size,
        **_counts(batches),
        "micro_batches": [
            {
                "rank": number // accumulation,
                "micro_batch": number % accumulation,
                **_counts([batch]),
                "windows": _windows(batch, draws.part(number * size, size), documents),
            }
            for number, batch in enumerate(batches)
        ],
    }


def as_text(step: dict[str, Any]) -> str:
    """What `describe` found, as lines to read."""
    rate = "" if step["mask_rate"] is None else f" {step['mask_rate']:.1%}"
    lines = [
        f"step {step['step']}: phase {step['phase']}, {step['objective']}{rate}, windows of {step['seq_length']} on"
        f" {step['ranks']} rank(s), {step['num_targets']} targets, fill {step['fill']:.1%}"
    ]
    for batch in step["micro_batches"]:
        place = f"rank {batch['rank']}, micro-batch {batch['micro_batch']}"
        lines.append(f"{place}: {batch['num_targets']} targets, fill {batch['fill']:.1%}")
        for window in batch["windows"]:
            lines.append(
                f"  window {window['window']} (epoch {window['epoch']}, draw {window['draw']}) of {window['source']}:"
                f" {window['num_targets']} targets, fill {window['fill']:.1%}"
            )
            for part in window["documents"]:
                end = part["first_token"] + part["num_tokens"]
                lines.append(f"    {part['document']} [{part['first_token']}:{end}]")
                lines += [f"      {name}: {part[name]}" for name in ("text", "masked") if name in part]
    return "\n".join(lines)


def _last_start(run: Path, step: int) -> tuple[Pretrain, int]:
    """The recipe and the number of ranks with which the run began, or was resumed, last before a step."""
    starts = [
        event
        for event in map(_event, (run / run_folder.EVENTS).read_text(encoding="utf-8").splitlines())
        if event.get("event") in ("started", "resumed") and event["step"] < max(step, 1)
    ]
    if not starts:
        raise UserError(f"{run / run_folder.EVENTS} tells of no start before step {step}; restore the file")
    values: dict[str, Any] = run_folder.read(run).recipe
    for option, (_, now) in starts[-1].get("changed", {}).items():
        *sections, name = option.split(".")
        section: Any = values
        for part in sections:
            key = int(part) if isinstance(section, list) else part
            section[key] = {} if section[key] is None else section[key]
            section = section[key]
        section[name] = now
    return config.build(Pretrain, values), starts[-1]["world_size"]


def _place(run: Path, recipe: Pretrain) -> str:
    """Where the run read its corpus."""
    if HIDDEN in recipe.corpus:
        raise UserError(f"{run} does not keep the secret in {recipe.corpus}; give the whole address with --corpus")
    return recipe.corpus


def _event(line: str) -> dict[str, Any]:
    """A line of the events; nothing of one that a kill cut short."""
    try:
        event: dict[str, Any] = json.loads(line)
    except ValueError:
        return {}
    return event


def _before(run: Path) -> Before:
    """What lies before the run's first step, which each of its checkpoints says."""
    found = checkpoint.complete(run)
    if not found:
        raise UserError(f"{run} has no checkpoint left, which says what its first step reads; restore one")
    return config.build(Before, checkpoint.read_state(found[-1])["before"])


def _counts(batches: list[Batch]) -> dict[str, Any]:
    positions = sum(batch.input_ids.numel() for batch in batches)
    return {
        "num_windows": sum(len(batch.input_ids) for batch in batches),
        "num_targets": sum(batch.num_targets for batch in batches),
        "fill": round(sum(batch.num_tokens for batch in batches) / positions, 4),
    }


def _windows(batch: Batch, draws: Draws, documents: _Documents) -> list[dict[str, Any]]:
    num_rows, seq_length = batch.input_ids.shape
    targets = np.bincount(batch.target_positions.numpy() // seq_length, minlength=num_rows)
    filled = (batch.segment_ids > 0).sum(1).tolist()
    names = documents.table.sources
    return [
        {
            "window": window,
            "epoch": epoch,
            "draw": draw,
            "source": names[source],
            "num_targets": int(targets[row]),
            "fill": round(filled[row] / seq_length, 4),
            "documents": documents.of(window, batch.input_ids[row].numpy().astype(np.uint32)),
        }
        for row, (epoch, draw, window, source) in enumerate(
            zip(*(values.tolist() for values in draws), batch.sources.tolist(), strict=True)
        )
    ]


class _Documents:
    """Finds the documents that stand in windows, and their text if there is a tokenizer to decode it."""

    def __init__(self, loader: Loader, tokenizer: Tokenizer | None) -> None:
        self.table = loader.table
        self._corpus = loader.corpus
        self._entries = split_entries(loader.corpus, loader.split)
        self._open: dict[int, tuple[Shard, list[str]]] = {}
        self._tokenizer = tokenizer
        self._masked = loader.objective == "masked"

    def of(self, window: int, inputs_L: Ids) -> list[dict[str, Any]]:
        """The segments of a window, which a model reads as `inputs_L`: document, first token in it, number of tokens.

        If there is a tokenizer, also the text, and as `masked` the same as the model reads it.
        """
        number = int(self.table.shard[window])
        if number not in self._open:
            opened = self._corpus.open(self._entries[number][1])
            self._open[number] = opened, opened.doc_ids
        shard, names = self._open[number]
        found: list[dict[str, Any]] = []
        place = 1  # after `<s>`
        for segment in range(*self.table.offsets[window : window + 2].tolist()):
            start, length = int(self.table.start[segment]), int(self.table.length[segment])
            index = int(np.searchsorted(shard.offsets, start, side="right")) - 1
            first = start - int(shard.offsets[index])
            found.append({"document": names[index], "first_token": first, "num_tokens": length})
            if self._tokenizer is not None:
                found[-1]["text"] = self._tokenizer.decode(shard.input_ids[start : start + length])
                if self._masked:
                    found[-1]["masked"] = _with_gaps(self._tokenizer, inputs_L[place : place + length])
            place += length + 2  # `</s>`, and the next one's `<s>`
        return found


def _with_gaps(tokenizer: Tokenizer, ids: Ids) -> str:
    """The text of what masking left of ids, the mask's name where it stands."""
    vocabulary = tokenizer.vocabulary
    runs = np.split(ids, np.flatnonzero(np.diff(ids == vocabulary.mask_id)) + 1)
    mask = vocabulary.pieces[vocabulary.mask_id]
    return " ".join(
        " ".join([mask] * len(run)) if run[0] == vocabulary.mask_id else tokenizer.decode(run) for run in runs
    )
