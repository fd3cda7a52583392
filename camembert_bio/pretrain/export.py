"""A run's checkpoint to a plain transformers folder that loads offline, in old and new versions."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

from camembert_bio import files
from camembert_bio.errors import DoNotRequeueError, UserError
from camembert_bio.model import encoder as encoders
from camembert_bio.pretrain import checkpoint, run_folder
from camembert_bio.shards.manifest import TOKENIZER

logger = logging.getLogger(__name__)


def export(run: Path, output: Path, step: int | None = None, average: int = 1) -> Path:
    """Write the model of a run's newest valid checkpoint, or of `step`, to a new folder.

    With `average`, its weights are the mean of those of so many checkpoints, that one the last.
    The folder holds `config.json`, `model.safetensors` and the tokenizer's files as transformers 4
    and 5 both read them. The head is tied. Raises `UserError` when the run, the steps or the
    output are not fit.
    """
    run_folder.check_begun(run)
    if output.exists():
        raise UserError(f"output {output} exists; give a folder that does not, or remove it")
    found, mean = _read(run, step, average)
    encoders.quiet_transformers()
    encoder = encoders.rebuild_encoder(run / run_folder.MODEL_CONFIG)
    checkpoint.load_into(encoder, mean)
    encoder.set_attn_implementation("sdpa")
    encoders.assert_tied(encoder)
    with files.atomic_folder(output) as aside:
        encoder.save_pretrained(aside)
        for file in (run / TOKENIZER).iterdir():
            if file.name != "config.json":  # the tokenizer's side alone
                shutil.copyfile(file, aside / file.name)
        encoders.assert_tied(encoders.load_encoder(aside))
    logger.info("exported %s of %s to %s", ", ".join(path.name for path in found), run, output)
    return output


def _read(run: Path, step: int | None, average: int) -> tuple[list[Path], checkpoint.Tensors]:
    """The checkpoints to export and their mean. Raises `UserError` when the run removes one while it is read."""
    there = checkpoint.complete(run)
    try:
        found = checkpoint.find_last(run, step, average)
        return found, _mean(found)
    except (UserError, DoNotRequeueError, OSError):
        gone = [path.name for path in there if not path.is_dir()]
        if not gone:
            raise
        raise UserError(
            f"{', '.join(gone)} of {run} was removed by the run meanwhile; raise checkpoint.keep or try again"
        ) from None


def _mean(found: Sequence[Path]) -> checkpoint.Tensors:
    """The masters of checkpoints by name, averaged."""
    mean = checkpoint.read_model(found[0])
    for number, path in enumerate(found[1:], start=2):
        for name, value in checkpoint.read_model(path).items():
            mean[name].add_(value - mean[name], alpha=1 / number)
    return mean
