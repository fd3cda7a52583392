"""A run's checkpoint to a plain transformers folder that loads offline, in old and new versions."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from camembert_bio import files
from camembert_bio.errors import UserError
from camembert_bio.model import encoder as encoders
from camembert_bio.pretrain import checkpoint, run_folder
from camembert_bio.shards.manifest import TOKENIZER

logger = logging.getLogger(__name__)


def export(run: Path, output: Path, step: int | None = None) -> Path:
    """Write the model of a run's newest valid checkpoint, or of `step`, to a new folder.

    The folder holds `config.json`, `model.safetensors` and the tokenizer's files as transformers 4
    and 5 both read them. The head is tied. Raises `UserError` when the run, the step or the
    output is not fit.
    """
    if not run_folder.has_begun(run):
        raise UserError(f"{run} is not a run folder: it has no {run_folder.RUN}")
    if output.exists():
        raise UserError(f"output {output} exists; give a folder that does not, or remove it")
    found = checkpoint.newest_valid(run) if step is None else _of_step(run, step)
    encoders.quiet_transformers()
    encoder = encoders.rebuild_encoder(run / run_folder.MODEL_CONFIG)
    checkpoint.load_into(encoder, checkpoint.read_model(found))
    encoder.set_attn_implementation("sdpa")
    encoders.assert_tied(encoder)
    with files.atomic_folder(output) as aside:
        encoder.save_pretrained(aside)
        for file in (run / TOKENIZER).iterdir():
            if file.name != "config.json":  # the tokenizer's side alone
                shutil.copyfile(file, aside / file.name)
        encoders.assert_tied(encoders.load_encoder(aside))
    logger.info("exported step %d of %s to %s", checkpoint.read_state(found)["step"], run, output)
    return output


def _of_step(run: Path, step: int) -> Path:
    """The checkpoint of one step, its hashes checked."""
    found = checkpoint.path_of(run, step)
    if not found.is_dir():
        kept = ", ".join(path.name.split("-")[-1].lstrip("0") or "0" for path in checkpoint.complete(run)) or "none"
        raise UserError(f"{run} has no checkpoint of step {step}; kept steps: {kept}")
    if problem := checkpoint.problem_of(found):
        raise UserError(f"checkpoint of step {step} is damaged: {problem}; choose another step")
    return found
