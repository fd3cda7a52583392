"""The DeepSpeed engine: it owns accumulation, precision, ZeRO and clipping; we own loss scale and rate."""

from __future__ import annotations

import hashlib
import json
import math
import os
import warnings
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import torch

from camembert_bio import config, ranks
from camembert_bio.data.batch import Batch
from camembert_bio.data.order import accumulation_steps
from camembert_bio.errors import Mistakes, UserError, nearest
from camembert_bio.model.objective import PackedLM
from camembert_bio.model.parameters import decay_groups
from camembert_bio.pretrain import optimizer_state
from camembert_bio.pretrain.recipe import Pretrain

# What the recipe owns; a ds_config that sets one of these would give a value two homes.
RECIPE_OWNS = {
    "train_batch_size": "global_batch_size",
    "train_micro_batch_size_per_gpu": "micro_batch_size",
    "gradient_accumulation_steps": "global_batch_size and micro_batch_size",
    "optimizer": "optimizer",
    "scheduler": "schedule",
    "gradient_clipping": "optimizer.gradient_clipping",
    "bf16": "precision",
    "fp16": "precision",
    "torch_autocast": "precision",
    "data_types": "precision",
}


def read_ds_config(name: str) -> dict[str, Any]:
    """A DeepSpeed configuration by path, or by the name of one that the package ships.

    Raises `UserError` when it is not found, or with all that it sets of what the recipe owns.
    """
    path = Path(name)
    if not path.is_file():
        shipped = Path(str(resources.files("camembert_bio"))) / "ds_configs"
        known = sorted(file.stem for file in shipped.glob("*.json"))
        if name not in known:
            raise UserError(f"ds_config {name!r} is neither a file nor shipped ({nearest(name, known)})")
        path = shipped / f"{name}.json"
    values = config.read_json(path)
    mistakes = Mistakes()
    for key in sorted(values.keys() & RECIPE_OWNS.keys()):
        mistakes.messages.append(f"{path} sets {key!r}, which belongs to the recipe's {RECIPE_OWNS[key]}; remove it")
    mistakes.raise_any("the ds_config sets what the recipe owns:")
    return values


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


class Engine:
    """A DeepSpeed engine around the objective. Every method is collective."""

    def __init__(self, recipe: Pretrain, encoder: Any) -> None:
        import deepspeed

        self.accumulation = accumulation_steps(recipe.global_batch_size, recipe.micro_batch_size, ranks.world_size())
        self._seed = recipe.seed
        settings = engine_settings(recipe, self.accumulation)
        objective = PackedLM(encoder)
        optimizer = torch.optim.AdamW(
            decay_groups(objective, recipe.optimizer.weight_decay),
            lr=recipe.optimizer.learning_rate,
            betas=recipe.optimizer.betas,
            eps=recipe.optimizer.epsilon,
            # 4.3 times cheaper than the foreach variant on CPU.
            fused=True,
        )
        self.deepspeed, *_ = deepspeed.initialize(model=objective, optimizer=optimizer, config=settings)
        self.device = self.deepspeed.device
        optimizer_state.create(self.deepspeed)

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
        DeepSpeed divides by accumulation and averages over ranks; the scale undoes both, so that the
        gradient is that of the mean over the step's predicted tokens.
        """
        self.deepspeed.train()
        _seed_dropout(self._seed, step)
        for group in self.deepspeed.optimizer.param_groups:
            group["lr"] = learning_rate
        scale = self.accumulation * ranks.world_size() / max(1.0, num_targets)
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        norm = math.nan
        for batch in micro_batches:
            loss = self._forward(batch)
            self.deepspeed.backward(loss * scale)
            total += loss.detach()
            if self.deepspeed.zero_optimization_stage() == 0 and self.deepspeed.is_gradient_accumulation_boundary():
                norm = self._plain_gradient_norm()
            self.deepspeed.step()
        if self.deepspeed.zero_optimization_stage() > 0:
            norm = float(self.deepspeed.get_global_grad_norm())
        return float(total), norm

    def evaluate(self, batch: Batch) -> float:
        """This rank's summed loss (nats) of one micro-batch, without dropout or gradient."""
        self.deepspeed.eval()
        with torch.no_grad():
            return float(self._forward(batch))

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


def engine_settings(recipe: Pretrain, accumulation: int) -> dict[str, Any]:
    """The ds_config with what the recipe owns filled in.

    Raises `UserError` on a ds_config that is missing, sets what the recipe owns, or does not go
    with the precision.
    """
    settings = read_ds_config(recipe.ds_config)
    if recipe.precision == "bf16":
        if settings.get("zero_optimization", {}).get("stage", 0) == 0:
            raise UserError("precision bf16 needs fp32 masters, which ZeRO stage 0 has not; use ds_config zero1")
        settings |= {"bf16": {"enabled": True}, "data_types": {"grad_accum_dtype": "fp32"}}
    return settings | {
        "train_batch_size": recipe.global_batch_size,
        "train_micro_batch_size_per_gpu": recipe.micro_batch_size,
        "gradient_accumulation_steps": accumulation,
        "gradient_clipping": recipe.optimizer.gradient_clipping,
        "steps_per_print": 1 << 62,
        # torch's fused AdamW serves offloaded states too; DeepSpeed's own needs a compiler.
        "zero_force_ds_cpu_optimizer": False,
        "zero_allow_untested_optimizer": True,
    }


def _seed_dropout(seed: int, step: int) -> None:
    """Seed torch by (seed, step, rank), so that dropout too resumes exactly, with no state to save."""
    digest = hashlib.sha256(json.dumps([seed, step, ranks.rank()]).encode()).digest()
    torch.manual_seed(int.from_bytes(digest[:8], "little") >> 1)
