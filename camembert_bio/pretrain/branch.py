"""A run that branches from another: the checkpoint that it goes on from, and what lies before its first step."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from camembert_bio import config
from camembert_bio.errors import UserError
from camembert_bio.pretrain import checkpoint, run_folder
from camembert_bio.pretrain.recipe import Pretrain
from camembert_bio.pretrain.schedule import samples_before


@config.strict_fields
@dataclass(frozen=True)
class Before:
    """What lies before a run's first step: nothing, unless it branches from another run."""

    optimizer_steps: int = 0
    """Updates that the optimizer's state has seen."""
    samples: dict[int, int] = field(default_factory=dict)
    """Windows read by `seq_length`: the run reads on after them."""


def find(recipe: Pretrain) -> Path:
    """The checkpoint that `init_from` names, its hashes checked.

    Raises `UserError` when there is none, or when its optimizer keeps another state.
    """
    assert recipe.init_from is not None
    run_folder.check_begun(recipe.init_from.run)
    found = checkpoint.find(recipe.init_from.run, recipe.init_from.step)
    theirs, ours = checkpoint.read_state(found)["recipe"]["optimizer"]["kind"], recipe.optimizer.kind
    if theirs != ours and "muon" in (theirs, ours):
        raise UserError(f"init_from {found} has the state of {theirs}, which {ours} cannot go on with; keep {theirs}")
    return found


def before(found: Path, recipe: Pretrain, corpus_hash: str) -> Before:
    """What lies before the first step of a run that goes on from a checkpoint.

    It reads on where the checkpoint's run stood when corpus, seed and repeats are the same; what another
    order has read says nothing about this one, and then it begins with its first window.
    """
    state = checkpoint.read_state(found)
    parent, earlier = config.build(Pretrain, state["recipe"]), config.build(Before, state["before"])
    samples: dict[int, int] = {}
    same_order = all(
        getattr(parent, name) == getattr(recipe, name) for name in ("seed", "source_repeats", "shuffle_shards")
    )
    if same_order and state["corpus_hash"] == corpus_hash:
        samples = dict(earlier.samples)
        for seq_length, count in samples_before(parent, state["step"]).items():
            samples[seq_length] = samples.get(seq_length, 0) + count
    return Before(earlier.optimizer_steps + state["step"], samples)
