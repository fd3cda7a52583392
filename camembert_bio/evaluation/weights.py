"""The weights of a model folder, looked at before anything is computed with them."""

from __future__ import annotations

import torch
from safetensors import safe_open

from camembert_bio.errors import UserError
from camembert_bio.evaluation.models import ModelFolder


def check_finite(model: ModelFolder) -> None:
    """Raise `UserError` for a folder with weights that are NaN or infinite: no score of it would mean anything.

    They are read for it once more: 440 MB in two seconds of one core.
    """
    broken = []
    for path in sorted(model.path.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            broken += [name for name in names if not torch.isfinite(file.get_tensor(name).float()).all()]
    if broken:
        shown = ", ".join(broken[:3]) + (", ..." if len(broken) > 3 else "")
        raise UserError(
            f"model {model.name}: {len(broken)} of the weights of {model.path} hold NaN or infinity ({shown}); give a "
            "folder from before its training diverged"
        )
