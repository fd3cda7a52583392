"""What a forward and backward pass holds, counted without a device.

The real objective runs on tensors without data, and each storage counts from its birth to its death: what
autograd keeps and what is only in passing, whatever the model.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AttentionInterface, AutoModelForMaskedLM
from transformers.masking_utils import AttentionMaskInterface

from camembert_bio.devices import Device
from camembert_bio.model.objective import PackedLM
from camembert_bio.model.packed_attention import Segments, fits_varlen, packed_attention

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_TRACED = "traced"


@dataclass(frozen=True)
class Pass:
    """Bytes that forward and backward of one micro-batch hold beside the weights."""

    activations: int
    """What the encoder's forward pass leaves for the backward pass."""
    first: int
    """The most at any moment, with the gradients that the pass makes, when there were none before."""
    next: int
    """The most at any moment beside whole gradients, which are there from the second micro-batch of a step on."""


class _LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of every storage that operators make while it is active."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = 0
        self._seen = weakref.WeakSet(tensor.untyped_storage() for tensor in [*model.parameters(), *model.buffers()])

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, torch.Tensor):
                self._count(value.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage not in self._seen:  # a view has the storage of what it views
            self._seen.add(storage)
            self.live += storage.nbytes()
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self._drop, storage.nbytes())

    def _drop(self, num_bytes: int) -> None:
        self.live -= num_bytes


Attention = Literal["fused", "masked", "by segment"]
"""What attention keeps for the backward pass: its inputs, its result and a number a row; a mask too; or what it keeps
on CPU, where each segment is a call of its own."""


def attention_on(device: Device, precision: str, config: Any) -> Attention:
    """What attention keeps on a device; `packed_attention.method` says it where there is one."""
    if device.is_cpu:
        return "by segment"
    dropout = getattr(config, "attention_probs_dropout_prob", getattr(config, "attention_dropout", 0.0))
    fits = fits_varlen(_DTYPES[precision], config.hidden_size // config.num_attention_heads, dropout)
    return "fused" if device.has_flash and fits else "masked"


@dataclass(frozen=True)
class Work:
    """One micro-batch, as far as memory depends on it."""

    rows: int
    seq_length: int
    num_targets: int
    """Positions whose loss is taken, in all rows."""
    precision: str
    attention: Attention
    lengths: tuple[int, ...] = ()
    """Of the segments and paddings that fill all rows; only attention by segment asks."""
    causal: bool = False
    checkpointed: bool = False
    """Whether activations are computed again in the backward pass."""


def trace(config: Any, work: Work) -> Pass:
    """What a pass of this work holds in a model of a transformers configuration. No data, no arithmetic; seconds."""
    AttentionInterface.register(_TRACED, _attention(work))
    AttentionMaskInterface.register(_TRACED, lambda *_, **__: None)
    with torch.device("meta"):
        encoder = AutoModelForMaskedLM.from_config(config, attn_implementation=_TRACED).to(_DTYPES[work.precision])
    with FakeTensorMode(allow_non_fake_inputs=True):
        encoder.to_empty(device="cpu")
        encoder.tie_weights()
        if work.checkpointed:
            encoder.gradient_checkpointing_enable({"use_reentrant": False})
        objective = PackedLM(encoder).train()
        live, saved = _LiveBytes(objective), list[int]()
        encoder.base_model.register_forward_hook(lambda *_: saved.append(live.live))
        ids = torch.zeros(work.rows, work.seq_length, dtype=torch.long)
        bounds, targets = torch.zeros(2, dtype=torch.int32), torch.zeros(work.num_targets, dtype=torch.long)
        peaks = []
        with live:
            for _ in range(2):
                before, live.peak = live.live, live.live
                objective(ids, bounds, ids, targets, targets, work.causal).backward()
                peaks.append(live.peak - before)
    return Pass(saved[0], *peaks)


@dataclass(frozen=True)
class _Known(Segments):
    """Segments whose lengths are known without their bounds, which hold no data in a trace."""

    known: tuple[int, ...] = ()

    def lengths(self) -> list[int]:
        return list(self.known)


def _attention(work: Work) -> Callable[..., tuple[torch.Tensor, None]]:
    """An attention function that keeps as much as the one that will run."""

    def by_segment(*given: Any, segments: Segments, **options: Any) -> tuple[torch.Tensor, None]:
        options["segments"] = _Known(segments.cu_seqlens, segments.causal, work.lengths)
        return packed_attention(*given, **options)

    def fused(
        module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, None]:
        size = (work.rows, 1, work.seq_length, work.seq_length)
        mask = torch.zeros(size, dtype=query.dtype) if work.attention == "masked" else None
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask).transpose(1, 2).contiguous(), None

    return by_segment if work.attention == "by segment" else fused
