"""DeepSpeed's settings: a ds_config with what the recipe owns filled in."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from camembert_bio import config
from camembert_bio.errors import Mistakes, UserError, nearest
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

# A loss scale that follows the gradients, for which DeepSpeed's word is 0; see `loss_scale`.
FP16 = {"loss_scale": 0, "initial_scale_power": 16, "loss_scale_window": 1000, "hysteresis": 1, "min_loss_scale": 1}


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


def engine_settings(recipe: Pretrain) -> dict[str, Any]:
    """The ds_config with what the recipe owns filled in.

    DeepSpeed fixes its accumulation when it starts, and phases differ in theirs, so it is told of none: `train_step`
    says which micro-batch is a step's last.

    Raises `UserError` on a ds_config that is missing, sets what the recipe owns, or does not go
    with the precision.
    """
    settings = read_ds_config(recipe.ds_config)
    if recipe.precision != "fp32":
        if settings.get("zero_optimization", {}).get("stage", 0) == 0:
            raise UserError(
                f"precision {recipe.precision} needs fp32 masters, which ZeRO stage 0 has not; use ds_config zero1"
            )
        options = FP16 if recipe.precision == "fp16" else {}
        settings |= {recipe.precision: {"enabled": True, **options}, "data_types": {"grad_accum_dtype": "fp32"}}
    if recipe.optimizer.kind == "muon":
        zero = settings.get("zero_optimization", {})
        if "offload_optimizer" in zero or "offload_param" in zero:
            raise UserError(
                f"optimizer muon is not proven with offload; use a ds_config without, not {recipe.ds_config}"
            )
        # DeepSpeed's Muon needs whole gradients at stage 3.
        settings["zero_optimization"] = {**zero, "reduce_scatter": zero.get("stage", 0) != 3}
    return settings | {
        "train_micro_batch_size_per_gpu": recipe.micro_batch_size,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": recipe.optimizer.gradient_clipping,
        "steps_per_print": 1 << 62,
        # torch's fused AdamW serves offloaded states too; DeepSpeed's own needs a compiler.
        "zero_force_ds_cpu_optimizer": False,
        "zero_allow_untested_optimizer": True,
    }
