"""What one rank knows of the others: errors are shared, and a checkpoint is not judged by one node alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from camembert_bio.pretrain import checkpoint
from tests import processes

RAISE = """
import os, sys, torch.distributed as dist
from camembert_bio import ranks
from camembert_bio.errors import DoNotRequeueError, RunError, UserError
dist.init_process_group("gloo")
kinds = [{first}, {second}]
try:
    with ranks.shared_errors():
        if kinds[ranks.rank()]:
            raise kinds[ranks.rank()](f"seen on rank {{ranks.rank()}}")
except (UserError, RunError) as error:
    print(type(error).__name__, str(error).replace("\\n", " and "), *error.__notes__)
dist.destroy_process_group()
"""


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ("UserError", "UserError", "UserError seen on rank 0 and seen on rank 1"),
        (None, "UserError", "UserError seen on rank 1"),
        (None, "DoNotRequeueError", "DoNotRequeueError seen on rank 1"),
        (None, "OSError", "RunError seen on rank 1"),
        ("RunError", "UserError", "UserError seen on rank 1"),
    ],
)
def test_an_error_of_one_rank_is_one_of_every_rank(first: str | None, second: str, told: str) -> None:
    outputs = processes.run(["-c", RAISE.format(first=first, second=second)])
    assert all(f"{told} raised on every rank" in output for output in outputs), outputs


CHOOSE = """
import sys, torch.distributed as dist
from pathlib import Path
from camembert_bio import ranks
from camembert_bio.errors import RunError
from camembert_bio.pretrain import checkpoint
dist.init_process_group("gloo")
# Each rank stands for a node, with a path of its own to the run.
run = Path(sys.argv[1 + ranks.rank()])
import os; os.environ["LOCAL_RANK"] = "0"
try:
    print("chosen", checkpoint.choose(run).name)
except RunError as error:
    print(type(error).__name__, error)
dist.destroy_process_group()
"""


def test_a_node_that_cannot_read_discards_no_checkpoint(tmp_path: Path) -> None:
    tensors = {"weight": torch.ones(3)}
    for step in (1, 2):
        checkpoint.write(tmp_path / "run", checkpoint.Snapshot(step, tensors, tensors, {"step": step}), keep=3)
    outputs = processes.run(["-c", CHOOSE, tmp_path / "run", tmp_path / "not-mounted"])
    assert all("RunError" in text and "verifies on rank 0 but not on every node" in text for text in outputs), outputs
    assert [path.name for path in checkpoint.complete(tmp_path / "run")] == ["step-00000001", "step-00000002"]
    assert not list(checkpoint.folder_of(tmp_path / "run").glob(".corrupt-*"))
    outputs = processes.run(["-c", CHOOSE, tmp_path / "run", tmp_path / "run"])
    assert all("chosen step-00000002" in text for text in outputs), outputs
