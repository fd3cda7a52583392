"""The DeepSpeed engine: it owns precision, ZeRO and clipping; we own the loss's scale, accumulation and rate."""

from __future__ import annotations

import hashlib
import json
import math
import os
import warnings
from collections.abc import Sequence
from typing import Any

import torch

from camembert_bio import ranks
from camembert_bio.data.batch import Batch
from camembert_bio.errors import UserError
from camembert_bio.model.objective import PackedLM
from camembert_bio.pretrain import optimizer_state, optimizers, stopwatch
from camembert_bio.pretrain.loss_scale import LossScale
from camembert_bio.pretrain.recipe import Pretrain
from camembert_bio.pretrain.settings import engine_settings
from camembert_bio.pretrain.stable_adamw import StableAdamW, lay_out
from camembert_bio.pretrain.stopwatch import Stopwatch


def init_distributed() -> None:
    """Join the ranks of the launcher's environment, or be a world of one without a launcher. Collective."""
    warnings.filterwarnings("ignore", category=FutureWarning, module="torch.distributed")
    import deepspeed
    import deepspeed.ops
    from deepspeed.accelerator import get_accelerator

    if "RANK" not in os.environ:
        alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
        os.environ.update(alone, MASTER_PORT=str(ranks.free_port()))
    if get_accelerator().device_name() != "cpu":
        # Object collectives use the current device, which is the first one on each rank until it is set.
        get_accelerator().set_device(ranks.local_rank())
    else:
        # DeepSpeed would compile this operator at every first start on CPU (two minutes, g++ and
        # ninja needed, a kill leaves a lock that hangs the next run); weights are the same without.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.init_distributed(get_accelerator().communication_backend_name(), auto_mpi_discovery=False, verbose=False)


def leave_distributed() -> None:
    """End the process group. Without it gloo's threads can abort a rank whose work is done (seen: exit code -6)."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def on_accelerator() -> bool:
    """Whether this rank computes on a device with a memory of its own, and not on the CPU."""
    from deepspeed.accelerator import get_accelerator

    return str(get_accelerator().device_name()) != "cpu"


def check_device(precision: str) -> None:
    """Raise `UserError` when this rank's device does not compute in a precision."""
    from deepspeed.accelerator import get_accelerator

    device = get_accelerator()
    supported = {"fp16": device.is_fp16_supported, "bf16": device.is_bf16_supported}
    if precision in supported and not supported[precision]():
        others = [name for name in supported if supported[name]()]
        raise UserError(
            f"precision {precision} is not supported by this device ({device.device_name()}); "
            f"use {' or '.join([*others, 'fp32'])}"
        )


class Engine:
    """A DeepSpeed engine around the objective. Every method is collective."""

    def __init__(self, recipe: Pretrain, encoder: Any) -> None:
        import deepspeed
        from deepspeed.accelerator import get_accelerator

        self._seed = recipe.seed
        settings = engine_settings(recipe)
        if recipe.activation_checkpointing:
            encoder.gradient_checkpointing_enable({"use_reentrant": False})
        objective = PackedLM(encoder)
        optimizer = optimizers.build(recipe.optimizer, objective)
        if recipe.optimizer.kind == "muon" and not recipe.compile and not on_accelerator():
            torch.compiler.set_stance("force_eager")  # DeepSpeed would compile it: a minute, and g++ needed
        self.deepspeed, *_ = deepspeed.initialize(model=objective, optimizer=optimizer, config=settings)
        self.device = self.deepspeed.device
        self.stopwatch = Stopwatch(self.device)
        optimizer_state.create(self.deepspeed)
        if isinstance(optimizer, StableAdamW):
            lay_out(optimizer, self.deepspeed)
        if recipe.compile:
            # By phase and by mode there is a graph for fixed shapes and one for others; over the limit of 8
            # torch would go on uncompiled.
            torch._dynamo.config.recompile_limit = 64
            self.deepspeed.compile(backend=get_accelerator().get_compile_backend())
        fp16 = recipe.precision == "fp16"
        self.loss_scale = LossScale(self.deepspeed.optimizer.loss_scaler) if fp16 else None

    def sum_over_ranks(self, values: Sequence[float]) -> list[float]:
        """Each value summed over all ranks, in float64."""
        totals = torch.tensor(list(values), dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(totals)
        return [float(total) for total in totals.tolist()]

    def train_step(
        self, step: int, micro_batches: Sequence[Batch], num_targets: float, learning_rate: float
    ) -> tuple[float, float]:
        """One optimizer step. Returns (this rank's summed loss in nats, gradient norm before clipping).

        `num_targets` is the step's number of predicted tokens over all ranks and micro-batches.
        DeepSpeed averages gradients over ranks; the scale undoes it, so that the gradient is that of the
        mean over the step's predicted tokens. The number of micro-batches may change from step to step.
        In fp16 a step whose gradients overflow is tried again at half the loss scale, so that a step that
        was taken is an update, and no batch is passed over.

        Raises `DoNotRequeueError` on every rank when the loss scale can fall no further.
        """
        self.deepspeed.train()
        for group in self.deepspeed.optimizer.param_groups:
            group["lr"] = learning_rate * group["lr_ratio"]
        while True:
            scale = self.loss_scale.value if self.loss_scale is not None else 1.0
            loss, norm = self._try_step(step, micro_batches, num_targets)
            applied = self.loss_scale is None or self.deepspeed.was_step_applied()
            if self.loss_scale is not None:
                self.loss_scale.count(scale, applied)
            if applied:
                return loss, norm

    def _try_step(self, step: int, micro_batches: Sequence[Batch], num_targets: float) -> tuple[float, float]:
        """What `train_step` says, for one loss scale."""
        _seed_dropout(self._seed, step)
        scale = ranks.world_size() / max(1.0, num_targets)
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        for left, batch in zip(reversed(range(len(micro_batches))), micro_batches, strict=True):
            self.deepspeed.set_gradient_accumulation_boundary(left == 0)
            with self.stopwatch.timed(stopwatch.FORWARD):
                loss = self._forward(batch)
            with self.stopwatch.timed(stopwatch.BACKWARD):
                self.deepspeed.backward(loss * scale)
            total += loss.detach()
        norm = self._plain_gradient_norm() if self.deepspeed.zero_optimization_stage() == 0 else math.nan
        with self.stopwatch.timed(stopwatch.UPDATE):
            self.deepspeed.step()
        if self.deepspeed.zero_optimization_stage() > 0:
            norm = float(self.deepspeed.get_global_grad_norm())
        return float(total), norm

    def evaluate(self, batch: Batch) -> float:
        """This rank's summed loss (nats) of one micro-batch, without dropout or gradient."""
        self.deepspeed.eval()
        with torch.no_grad():
            return float(self._forward(batch))

    def predict(self, batch: Batch, num_guesses: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The likeliest ids at the targets of a micro-batch, and their probabilities: both [K, num_guesses], on CPU."""
        self.deepspeed.eval()
        batch = batch.to(self.device)
        with torch.no_grad():
            logits_KV = self.deepspeed.module.logits(
                batch.input_ids, batch.cu_seqlens, batch.position_ids, batch.target_positions
            )
        best = logits_KV.float().softmax(-1).topk(num_guesses)
        return best.indices.cpu(), best.values.cpu()

    def _forward(self, batch: Batch) -> torch.Tensor:
        batch = batch.to(self.device)
        loss: torch.Tensor = self.deepspeed(
            batch.input_ids,
            batch.cu_seqlens,
            batch.position_ids,
            batch.target_positions,
            batch.target_labels,
            batch.causal,
        )
        return loss

    def _plain_gradient_norm(self) -> float:
        """L2 norm over all gradients; stage 0 has them whole on every rank, averaged."""
        gradients = [p.grad for p in self.deepspeed.module.parameters() if p.grad is not None]
        return float(torch.nn.utils.get_total_norm(gradients))


def _seed_dropout(seed: int, step: int) -> None:
    """Seed torch by (seed, step, rank), so that dropout too resumes exactly, with no state to save."""
    digest = hashlib.sha256(json.dumps([seed, step, ranks.rank()]).encode()).digest()
    torch.manual_seed(int.from_bytes(digest[:8], "little") >> 1)
