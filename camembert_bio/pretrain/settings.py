"""DeepSpeed's settings: a ds_config with what the recipe owns filled in."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

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

# A loss scale that follows the gradients, for which DeepSpeed's word is 0; `loss_scale` says when it doubles.
FP16 = {"loss_scale": 0, "initial_scale_power": 16, "hysteresis": 1, "min_loss_scale": 1}


def read_ds_config(name: str) -> dict[str, Any]:
    """A DeepSpeed configuration by path, or by the name of one that the package ships.

    Raises `UserError` when it is not found, with all that it sets of what the recipe owns, or with all that DeepSpeed
    does not take of its `zero_optimization`.
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
    return values | {"zero_optimization": _zero_optimization(path, values.get("zero_optimization", {}))}


def _zero_optimization(path: Path, values: object) -> dict[str, Any]:
    """That section of a ds_config as DeepSpeed reads it; without one there is no ZeRO, which is stage 0.

    Raises `UserError` with all that DeepSpeed does not take.
    """
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig

    if not isinstance(values, dict):
        shown = json.dumps(values)
        raise UserError(f'{path}: zero_optimization is {shown}, not a mapping; write {{"stage": 1}}, for example')
    stage = values.get("stage", 0)
    mistakes = Mistakes()
    if type(stage) is not int or not 0 <= stage <= 3:  # DeepSpeed takes true for 1
        mistakes.messages.append(f"{path}: zero_optimization.stage is {json.dumps(stage)}; use 0, 1, 2 or 3")
    try:
        found = DeepSpeedZeroConfig(**{"stage": 0, **values})
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            name = ".".join(map(str, ("zero_optimization", *problem["loc"])))
            unknown = problem["type"] == "extra_forbidden"
            fact = "no option of DeepSpeed's; correct or remove it" if unknown else problem["msg"]
            if name != "zero_optimization.stage":
                mistakes.messages.append(f"{path}: {name}: {fact[:1].lower()}{fact[1:]}")
    mistakes.raise_any("the ds_config cannot be used:")
    read: dict[str, Any] = found.model_dump(by_alias=True, exclude_unset=True, exclude_none=True, mode="json")
    return read


def engine_settings(recipe: Pretrain) -> dict[str, Any]:
    """The ds_config with what the recipe owns filled in.

    DeepSpeed fixes its accumulation when it starts, and phases differ in theirs, so it is told of none: `train_step`
    says which micro-batch is a step's last.

    Raises `UserError` on a ds_config that is missing, sets what the recipe owns, or does not go
    with the precision.
    """
    settings = read_ds_config(recipe.ds_config)
    if recipe.precision != "fp32":
        if settings["zero_optimization"]["stage"] == 0:
            raise UserError(
                f"precision {recipe.precision} needs fp32 masters, which ZeRO stage 0 has not; use ds_config zero1"
            )
        options = FP16 if recipe.precision == "fp16" else {}
        settings |= {recipe.precision: {"enabled": True, **options}, "data_types": {"grad_accum_dtype": "fp32"}}
        # DeepSpeed's default is the precision: it would round the fp32 sum of the micro-batches before it is sent, at
        # stage 1 on one rank too, and add over ranks in 16 bits.
        settings.setdefault("communication_data_type", "fp32")
    if recipe.optimizer.kind == "muon":
        zero = settings["zero_optimization"]
        if "offload_optimizer" in zero or "offload_param" in zero:
            raise UserError(
                f"optimizer muon is not proven with offload; use a ds_config without, not {recipe.ds_config}"
            )
        # DeepSpeed's Muon needs whole gradients at stage 3.
        settings["zero_optimization"] = {**zero, "reduce_scatter": zero["stage"] != 3}
    return settings | {
        "train_micro_batch_size_per_gpu": recipe.micro_batch_size,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": recipe.optimizer.gradient_clipping,
        "steps_per_print": 1 << 62,
        # torch's fused AdamW serves offloaded states too; DeepSpeed's own needs a compiler.
        "zero_force_ds_cpu_optimizer": False,
        "zero_allow_untested_optimizer": True,
    }
