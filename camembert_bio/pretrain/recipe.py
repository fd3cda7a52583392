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
MaskRate = Annotated[float, Field(gt=0, lt=1)]
PositiveFloat = Annotated[float, Field(gt=0)]
SeqLength = Annotated[int, Field(gt=2, le=1 << 17)]
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
    attention_dropout: Share | None = None
    """Dropout of attention weights in place of the folder's; with 0, CUDA uses variable-length attention."""

    def __post_init__(self) -> None:
        if self.path and self.config:
            raise ValueError("model.path and model.config exclude each other; keep one")
        if self.attention_dropout is not None and not self.path:
            raise ValueError("model.attention_dropout needs model.path; new weights have attention_probs_dropout_prob")


@strict_fields
@dataclass(frozen=True)
class Branch:
    """A checkpoint of another run, of which weights and optimizer's state go on in this one."""

    run: Path
    """Its run folder."""
    step: Annotated[int, Field(ge=0)] | None = None
    """Its step; none takes the newest checkpoint that verifies."""


@strict_fields
@dataclass(frozen=True)
class Objective:
    """What is learnt: masked tokens, or at each position the token that follows."""

    kind: Literal["masked", "causal"] = "masked"
    """`causal` sees to the left alone, and has no use for the options below."""
    mlm_probability: MaskRate = 0.15
    """Share of words chosen. Assumed: the paper gives none; CamemBERT used 0.15."""
    final_mlm_probability: MaskRate | None = None
    """Share at the last step of the phase, reached linearly in tokens; none keeps mlm_probability."""
    whole_word: bool = True
    """Choose whole words (stated in the paper), not single pieces."""

    def __post_init__(self) -> None:
        if self.kind == "causal" and self.final_mlm_probability is not None:
            raise ValueError("a causal objective masks nothing; remove final_mlm_probability")


@strict_fields
@dataclass(frozen=True)
class Optimizer:
    """AdamW or its kin; no decay on biases and norms."""

    kind: Literal["adamw", "stableadamw", "muon"] = "adamw"
    """`stableadamw` bounds the update of a parameter whose gradient outruns its second moment. `muon` makes the
    momentum of the hidden matrices orthogonal (DeepSpeed's), and leaves all else to AdamW."""
    learning_rate: PositiveFloat = 5e-5
    """Peak learning rate (stated)."""
    betas: tuple[Share, Share] = (0.9, 0.98)
    """Decay rates of the moments (stated)."""
    epsilon: PositiveFloat = 1e-6
    """Added to the root of the second moment. Assumed: RoBERTa's."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Decoupled weight decay. Assumed: RoBERTa's."""
    gradient_clipping: Annotated[float, Field(ge=0)] = 1.0
    """Largest L2 norm of the gradient; 0 clips nothing. Assumed."""
    muon_learning_rate: PositiveFloat | None = None
    """Of `muon`: peak rate of the hidden matrices, on another scale than AdamW's; 0.02 is usual."""
    muon_momentum: Share = 0.95
    """Of `muon`: decay rate of its momentum."""

    def __post_init__(self) -> None:
        if (self.kind == "muon") != (self.muon_learning_rate is not None):
            raise ValueError("kind muon and muon_learning_rate need each other; give both or neither")
        if self.kind == "muon" and self.gradient_clipping:
            raise ValueError(
                "gradient_clipping must be 0 with muon: DeepSpeed clips its orthogonal updates, whose norm does not "
                "depend on the gradient's, and with them all of the step"
            )


@strict_fields
@dataclass(frozen=True)
class Curve:
    """The learning rate as a function of tokens: it rises to its peak, may stay there, and falls."""

    kind: Literal["linear", "cosine", "1-sqrt", "constant", "wsd"] = "linear"
    """Shape of the decay after the warm-up; `1-sqrt` falls as 1 - sqrt(progress), `constant` does not fall, `wsd`
    (warm-up, stable, decay) stays at the peak until its decay. Assumed: linear."""
    warmup_ratio: Ratio = 0.0
    """Share of the tokens over which the rate rises."""
    warmup_tokens: Annotated[int, Field(ge=0)] | None = None
    """The same in tokens; instead of warmup_ratio."""
    decay_ratio: Ratio | None = None
    """Of `wsd`: share of the tokens, at the end, over which the rate falls; 0.1 where it is left out."""
    decay_shape: Literal["linear", "cosine", "1-sqrt"] | None = None
    """Of `wsd`: 1-sqrt where it is left out."""
    final_ratio: Ratio = 0.0
    """Learning rate at the end, as a share of the peak."""

    def __post_init__(self) -> None:
        if self.kind != "wsd" and not (self.decay_ratio is None and self.decay_shape is None):
            raise ValueError(f"decay_ratio and decay_shape are wsd's; remove them, or replace kind {self.kind} by wsd")
        if self.kind == "wsd" and self.warmup_tokens is None and self.warmup_ratio + self.decay_share > 1:
            raise ValueError(f"warmup_ratio {self.warmup_ratio} and decay_ratio {self.decay_share} exceed 1 together")

    @property
    def decay_share(self) -> float:
        """Of `wsd`: the share of the tokens over which the rate falls."""
        return 0.1 if self.decay_ratio is None else self.decay_ratio


@strict_fields
@dataclass(frozen=True)
class Schedule(Curve):
    """The curve of the learning rate over the whole run, and without `phases` the run's length."""

    warmup_ratio: Ratio = 0.02
    """Share of the run's tokens over which the rate rises. Assumed."""
    max_steps: Positive | None = None
    """Optimizer steps of the run. Give this or max_tokens."""
    max_tokens: Positive | None = None
    """Positions to train on, padding included; the run takes the steps that reach it."""


@strict_fields
@dataclass(frozen=True)
class Phase:
    """A part of the run; what it leaves out is the run's. Weights and optimizer go on from phase to phase."""

    max_steps: Positive | None = None
    """Optimizer steps of the phase. Give this or max_tokens."""
    max_tokens: Positive | None = None
    """Positions to train on in the phase, padding included."""
    objective: Objective | None = None
    """What is learnt; it replaces the run's as a whole."""
    seq_length: SeqLength | None = None
    """Positions of a window."""
    global_batch_size: Batch | None = None
    """Windows of one step, over all ranks."""
    micro_batch_size: Batch | None = None
    """Windows of one forward pass on one device."""
    learning_rate: PositiveFloat | None = None
    """Peak learning rate."""
    schedule: Curve | None = None
    """A curve over the phase's own tokens, in place of the run's at these tokens."""

    def __post_init__(self) -> None:
        if (self.max_steps is None) == (self.max_tokens is None):
            raise ValueError("give a phase exactly one of max_steps and max_tokens")


@strict_fields
@dataclass(frozen=True)
class Evaluation:
    """Loss on held-out text, always at 15 % masking with masks that never change."""

    every_steps: Positive = 1000
    """Steps between two evaluations; the last step of a phase is evaluated too."""
    max_windows: Positive = 1000
    """Windows of the held-out split that are evaluated, the same ones each time, of each source in proportion."""
    prompts: tuple[str, ...] = ()
    """Sentences of your own with `<mask>` in them: TensorBoard shows what the model would write there. They are kept in
    the run folder, so take none from a patient's record."""

    def __post_init__(self) -> None:
        if without := [str(number) for number, prompt in enumerate(self.prompts, 1) if "<mask>" not in prompt]:
            raise ValueError(f"prompts number {', '.join(without)} have no <mask>; write it where a word is asked for")


@strict_fields
@dataclass(frozen=True)
class Checkpoint:
    """When to save, and how many checkpoints stay."""

    every_steps: Positive = 1000
    """Steps between two checkpoints; the last step of a phase and an early stop are saved too."""
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
    schedule: Schedule = field(default_factory=Schedule)
    """Shape of the learning rate, and without phases the length of the run."""
    phases: tuple[Phase, ...] = ()
    """Parts of the run, one after the other; without them it is one phase of `schedule`'s length."""
    model: Model = field(default_factory=Model)
    """The encoder to train."""
    init_from: Branch | None = None
    """In place of `model`: go on from a checkpoint of another run. Steps, tokens and learning rate begin anew."""
    seq_length: SeqLength = 512
    """Positions of a window, held-out ones always. Assumed: CamemBERT's."""
    global_batch_size: Batch = 256
    """Windows of one step, over all ranks (stated: 8 x 16 accumulation x 2 GPUs)."""
    micro_batch_size: Batch = 8
    """Windows of one forward pass on one device (stated); changes speed and memory, and without dropout
    not the result; with it the result is equal in distribution."""
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
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Arithmetic of forward and backward; masters, moments and accumulated gradients are fp32. fp16 has a loss scale,
    for GPUs without bf16 (V100)."""
    activation_checkpointing: bool = False
    """Compute activations again in the backward pass: a third more work, far less memory, the same result."""
    compile: bool = False
    """Compile model and loss with torch.compile: minutes at the start, once for each objective and length."""
    ds_config: str = "zero1"
    """Name of a shipped DeepSpeed configuration (zero0 ... zero3, zero3_offload, cpu), or a path."""
    evaluation: Evaluation = field(default_factory=Evaluation)
    """Held-out evaluation."""
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    """Saving."""
    log_every_steps: Positive = 10
    """Steps between two points of the curves and two console lines."""
    device_peak_tflops: PositiveFloat | None = None
    """Peak TFLOP/s of a device in the run's precision, for MFU; none takes that of a device known by its name."""
    seed: Annotated[int, Field(ge=0, lt=1 << 63)] = 0
    """Of new weights, the order of windows, masks and dropout."""

    def __post_init__(self) -> None:
        lengths = (self.schedule.max_steps, self.schedule.max_tokens)
        if not self.phases and lengths.count(None) != 1:
            raise ValueError("give exactly one of schedule.max_steps and schedule.max_tokens, or phases")
        if self.phases and lengths.count(None) != 2:
            raise ValueError("phases have their own lengths; remove schedule.max_steps and schedule.max_tokens")
        if self.init_from and self.model != Model():
            raise ValueError("the model is that of the run of init_from; remove model")


OPERATIONAL = frozenset(
    {
        *("output", "corpus", "storage", "micro_batch_size", "ds_config", "activation_checkpointing", "compile"),
        *("evaluation", "checkpoint", "log_every_steps", "device_peak_tflops"),
    }
)
"""Options that may change between a run and its resumption: they do not change what is learnt.
`corpus` is a path here; the corpus itself is held to its hash."""
