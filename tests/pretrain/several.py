"""Runs several recipes one after the other in one job, for tests: the imports are most of a start.

An item `{"copy": A, "to": B, "step": N}` makes B the run A as it was after N steps.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from camembert_bio import config, log, ranks
from camembert_bio.pretrain import checkpoint
from camembert_bio.pretrain.engine import leave_distributed
from camembert_bio.pretrain.loop import pretrain
from camembert_bio.pretrain.recipe import Pretrain


def do(item: dict[str, Any]) -> int:
    if "copy" not in item:
        return pretrain(config.build(Pretrain, item))
    if ranks.is_main():
        rewind(shutil.copytree(item["copy"], item["to"]), item["step"])
    ranks.barrier()
    return 0


def rewind(run: Path, step: int) -> None:
    """Leave a run as a kill after `step` steps would: without the checkpoints of later ones."""
    for path in checkpoint.complete(Path(run)):
        if checkpoint.read_state(path)["step"] > step:
            shutil.rmtree(path)


if __name__ == "__main__":
    log.configure()
    codes = [do(item) for item in json.loads(Path(sys.argv[1]).read_text())]
    leave_distributed()
    sys.exit(max(codes))
