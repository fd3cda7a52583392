"""The `probe` section of a recipe: on which tasks the checkpoints of a run are scored while it trains."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from camembert_bio import config
from camembert_bio.errors import UserError
from camembert_bio.evaluation.recipe import Finetune

_FROM_RUN = ("output", "models")


@config.strict_fields
@dataclass(frozen=True)
class Probe:
    """Checkpoints of the section `pretrain`'s run, fine-tuned and scored."""

    finetune: dict[str, Any] = field(default_factory=dict)
    """The section `finetune` without `output` and `models`, which are the run's; one seed unless it gives `seeds`."""
    every_steps: Annotated[int, Field(gt=0)] | None = None
    """Steps between two checkpoints that are scored, the last of the run always (default: every checkpoint). Give
    multiples of `checkpoint.every_steps`: other steps have no checkpoint."""

    def __post_init__(self) -> None:
        if given := [name for name in _FROM_RUN if name in self.finetune]:
            raise ValueError(f"probe.finetune gives {' and '.join(given)}, which are the run's; remove it")
        try:
            self.of(Path("run"), {"model": "model"})
        except UserError as error:
            raise ValueError(str(error)) from None

    def of(self, output: Path, models: dict[str, str]) -> Finetune:
        """What is fine-tuned for some models. Raises `UserError` with all that is wrong with `finetune`."""
        values = {"seeds": [0], **self.finetune, "output": str(output), "models": models}
        return config.build(Finetune, values, "probe.finetune")
