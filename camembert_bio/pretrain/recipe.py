"""The `pretrain:` section of a recipe.

Batch, precision, optimizer and schedule are here; ZeRO, communication and offload are in the
ds_config. Defaults are the published run's (Touchent et al. 2024) where the paper states a value;
the docstring of an option says when it is assumed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PlainSerializer

from camembert_bio.config import strict_fields
from camembert_bio.shards.address import redact
from camembert_bio.shards.recipe import Storage

Positive = Annotated[int, Field(gt=0)]
Ratio = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Batch = Annotated[int, Field(gt=0, le=1 << 20)]


@strict_fields
@dataclass(frozen=True)
class Shape:
    """A CamemBERT with new weights; names and meaning are CamembertConfig's, the defaults camembert-base's."""

    hidden_size: Positive = 768
    """Width; a multiple of num_attention_heads."""
    num_hidden_layers: Positive = 12
    """Layers."""
    num_attention_heads: Positive = 12
    """Heads of each layer."""
    intermediate_size: Positive = 3072
    """Width of the feed-forward part."""
    max_position_embeddings: Annotated[int, Field(gt=2)] = 514
    """Positions and the two before the first."""
    hidden_act: Literal["gelu", "gelu_new", "relu", "silu"] = "gelu"
    """Activation of the feed-forward part."""
    hidden_dropout_prob: Share = 0.1
    """Dropout after embeddings, attention and feed-forward."""
    attention_probs_dropout_prob: Share = 0.1
    """Dropout of attention weights."""
    initializer_range: Annotated[float, Field(gt=0)] = 0.02
    """Standard deviation of new weights."""
    layer_norm_eps: Annotated[float, Field(gt=0)] = 1e-5
    """Added to the variance by LayerNorm."""

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is no multiple of num_attention_heads {self.num_attention_heads}"
            )


@strict_fields
@dataclass(frozen=True)
class Model:
    """Where the weights come from: a folder, or a configuration."""

    path: Path | None = None
    """Transformers folder of a masked LM (camembert-base to reproduce the paper)."""
    config: Shape | None = None
    """Without a path: what differs from camembert-base's shape, for new weights."""

    def __post_init__(self) -> None:
        if self.path and self.config:
            raise ValueError("model.path and model.config exclude each other; keep one")


@strict_fields
@dataclass(frozen=True)
class Objective:
    """Masked language modelling."""

    mlm_probability: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """Share of words chosen. Assumed: the paper gives none; CamemBERT used 0.15."""
    whole_word: bool = True
    """Choose whole words (stated in the paper), not single pieces."""


@strict_fields
@dataclass(frozen=True)
class Optimizer:
    """AdamW; no decay on biases and LayerNorm."""

    learning_rate: Annotated[float, Field(gt=0)] = 5e-5
    """Peak learning rate (stated)."""
    betas: tuple[Share, Share] = (0.9, 0.98)
    """Decay rates of the moments (stated)."""
    epsilon: Annotated[float, Field(gt=0)] = 1e-6
    """Added to the root of the second moment. Assumed: RoBERTa's."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Decoupled weight decay. Assumed: RoBERTa's."""
    gradient_clipping: Annotated[float, Field(ge=0)] = 1.0
    """Largest L2 norm of the gradient; 0 clips nothing. Assumed."""


@strict_fields
@dataclass(frozen=True)
class Schedule:
    """The learning rate as a function of tokens seen; the length of the run."""

    max_steps: Positive | None = None
    """Optimizer steps of the run. Give this or max_tokens."""
    max_tokens: Positive | None = None
    """Positions to train on, padding included; the run takes the steps that reach it."""
    kind: Literal["linear", "cosine", "constant"] = "linear"
    """Shape of the decay after the warm-up. Assumed: linear."""
    warmup_ratio: Ratio = 0.02
    """Share of the run's tokens over which the rate rises. Assumed."""
    final_ratio: Ratio = 0.0
    """Learning rate at the end, as a share of the peak."""

    def __post_init__(self) -> None:
        if (self.max_steps is None) == (self.max_tokens is None):
            raise ValueError("give exactly one of schedule.max_steps and schedule.max_tokens")


@strict_fields
@dataclass(frozen=True)
class Evaluation:
    """Loss on held-out text, always at 15 % masking with masks that never change."""

    every_steps: Positive = 1000
    """Steps between two evaluations; the last step is evaluated too."""
    max_windows: Positive = 1000
    """Windows of the held-out split that are evaluated, the same ones each time."""


@strict_fields
@dataclass(frozen=True)
class Checkpoint:
    """When to save, and how many checkpoints stay."""

    every_steps: Positive = 1000
    """Steps between two checkpoints; the last step and an early stop are saved too."""
    keep: Positive = 3
    """Newest complete checkpoints that stay in the run folder."""


@strict_fields
@dataclass(frozen=True)
class Pretrain:
    """One run of continual pretraining."""

    corpus: Annotated[str, PlainSerializer(redact)]
    """Corpus folder that `prepare` built, or the address of a copy (`s3://`, `https://`, `hf://`, ...)."""
    output: Path
    """Run folder; a run that has begun there is resumed."""
    schedule: Schedule
    """Length of the run and shape of the learning rate."""
    model: Model = field(default_factory=Model)
    """The encoder to train."""
    seq_length: Annotated[int, Field(gt=2, le=1 << 17)] = 512
    """Positions of a window. Assumed: CamemBERT's."""
    global_batch_size: Batch = 256
    """Windows of one step, over all ranks (stated: 8 x 16 accumulation x 2 GPUs)."""
    micro_batch_size: Batch = 8
    """Windows of one forward pass on one device (stated); changes speed and memory, not the result."""
    objective: Objective = field(default_factory=Objective)
    """What is learnt."""
    optimizer: Optimizer = field(default_factory=Optimizer)
    """How it is learnt."""
    source_repeats: dict[str, Annotated[float, Field(gt=0)]] = field(default_factory=dict)
    """Times that each window of a source is seen in an epoch; for sources that are not named, the corpus' weight."""
    shuffle_shards: Positive | None = None
    """Read an epoch by groups of so many shards, for a corpus above `storage.cache_bytes`; by default all at once."""
    storage: Storage = field(default_factory=Storage)
    """How a corpus at an address is read."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Arithmetic of forward and backward; masters and moments are fp32."""
    ds_config: str = "zero1"
    """Name of a shipped DeepSpeed configuration (zero0 ... zero3, zero3_offload, cpu), or a path."""
    evaluation: Evaluation = field(default_factory=Evaluation)
    """Held-out evaluation."""
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    """Saving."""
    log_every_steps: Positive = 10
    """Steps between two points of the curves and two console lines."""
    seed: Annotated[int, Field(ge=0, lt=1 << 63)] = 0
    """Of new weights, the order of windows, masks and dropout."""


OPERATIONAL = frozenset(
    {"output", "corpus", "storage", "micro_batch_size", "ds_config", "evaluation", "checkpoint", "log_every_steps"}
)
"""Options that may change between a run and its resumption: they do not change what is learnt.
`corpus` is a path here; the corpus itself is held to its hash."""
