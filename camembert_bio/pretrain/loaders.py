"""The training batches of a run, phase by phase: what its recipe says, as loaders."""

from __future__ import annotations

from camembert_bio.data.loader import Loader
from camembert_bio.pretrain.branch import Before
from camembert_bio.pretrain.recipe import Pretrain
from camembert_bio.pretrain.schedule import PlacedPhase
from camembert_bio.shards.manifest import Corpus


def training_loader(
    recipe: Pretrain,
    corpus: Corpus,
    phase: PlacedPhase,
    before: Before,
    rank: int,
    world_size: int,
    pin_memory: bool = False,
) -> Loader:
    """A rank's share of the training windows of a phase."""
    return Loader(
        corpus,
        seq_length=phase.seq_length,
        seed=recipe.seed,
        global_batch_size=phase.global_batch_size,
        micro_batch_size=phase.micro_batch_size,
        rank=rank,
        world_size=world_size,
        mlm_probability=phase.mlm_probability,
        whole_word=phase.objective.whole_word,
        objective=phase.objective.kind,
        first_step=phase.first_step,
        first_sample=before.samples.get(phase.seq_length, 0) + phase.first_sample,
        repeats=corpus.manifest.repeats(recipe.source_repeats),
        shuffle_shards=recipe.shuffle_shards,
        pin_memory=pin_memory,
    )
