import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from camembert_bio.errors import DoNotRequeueError
from camembert_bio.pretrain import checkpoint
from camembert_bio.pretrain.checkpoint import Snapshot


def write(run: Path, *steps: int, keep: int = 3) -> None:
    for step in steps:
        tensors = {"weight": torch.full((50, 3), float(step))}
        moments = {f"{key}.weight": torch.ones(50, 3) for key in ("exp_avg", "exp_avg_sq")}
        checkpoint.write(run, Snapshot(step, tensors, moments, {"step": step}), keep)


def flip_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2])


def drop_files(manifest: Path) -> None:
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "files": {}}))


def names(run: Path) -> list[str]:
    return sorted(path.name for path in checkpoint.folder_of(run).iterdir())


def test_what_was_written_is_read(tmp_path):
    write(tmp_path, 7)
    (folder,) = checkpoint.complete(tmp_path)
    assert checkpoint.problem_of(folder) is None
    assert checkpoint.read_state(folder) == {"step": 7}
    assert torch.equal(checkpoint.read_model(folder)["weight"], torch.full((50, 3), 7.0))
    assert sorted(checkpoint.read_optimizer(folder)) == ["exp_avg.weight", "exp_avg_sq.weight"]
    assert (tmp_path / "latest").read_text() == "step-00000007\n"


def test_the_newest_stay(tmp_path):
    write(tmp_path, 2, 9, 10, 100, keep=2)
    assert names(tmp_path) == ["step-00000010", "step-00000100"]


@pytest.mark.parametrize("name", [checkpoint.MODEL, checkpoint.OPTIMIZER, checkpoint.STATE])
@pytest.mark.parametrize(
    ("spoil", "problem"), [(flip_bit, "differs from its hash"), (truncate, "differs"), (Path.unlink, "is missing")]
)
def test_a_damaged_checkpoint_is_set_aside_for_the_one_before(tmp_path, name, spoil, problem, caplog):
    write(tmp_path, 1, 2)
    newest = checkpoint.complete(tmp_path)[-1]
    spoil(newest / name)
    assert problem in str(checkpoint.problem_of(newest))
    assert checkpoint.newest_valid(tmp_path).name == "step-00000001"
    assert newest.exists(), "looking changes nothing"
    assert checkpoint.choose(tmp_path).name == "step-00000001"
    assert names(tmp_path) == [".corrupt-step-00000002", "step-00000001"]


@pytest.mark.parametrize("spoil", [truncate, Path.unlink, drop_files])
def test_a_spoilt_manifest_counts_as_damage(tmp_path, spoil):
    write(tmp_path, 1, 2)
    spoil(checkpoint.complete(tmp_path)[-1] / checkpoint.MANIFEST)
    assert checkpoint.choose(tmp_path).name == "step-00000001"


def test_none_left_is_no_reason_to_start_again(tmp_path):
    write(tmp_path, 1, 2)
    for folder in checkpoint.complete(tmp_path):
        flip_bit(folder / checkpoint.MODEL)
    with pytest.raises(DoNotRequeueError, match=r"has no usable checkpoint.*step-00000002.*start a new run"):
        checkpoint.newest_valid(tmp_path)
    with pytest.raises(DoNotRequeueError, match="holds no usable checkpoint; restore one"):
        checkpoint.choose(tmp_path)


def test_leftovers_of_a_kill_are_removed_and_never_chosen(tmp_path):
    write(tmp_path, 1)
    leftover = checkpoint.folder_of(tmp_path) / ".tmp-123-step-00000002"
    shutil.copytree(checkpoint.complete(tmp_path)[0], leftover)
    assert checkpoint.newest_valid(tmp_path).name == "step-00000001"
    checkpoint.remove_unfinished(tmp_path)
    assert names(tmp_path) == ["step-00000001"]


def test_weights_of_another_model_are_refused():
    model = torch.nn.Linear(3, 2)
    with pytest.raises(DoNotRequeueError, match="differ in 1 names, first 'bias'"):
        checkpoint.load_into(model, {"weight": torch.zeros(2, 3)})
    with pytest.raises(DoNotRequeueError, match="shape of 'weight'"):
        checkpoint.load_into(model, {"weight": torch.zeros(3, 3), "bias": torch.zeros(2)})


FULL = """
import resource, sys, torch
from pathlib import Path
from camembert_bio.errors import RunError
from camembert_bio.pretrain import checkpoint
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
tensors = {"weight": torch.ones(50_000)}
try:
    checkpoint.write(Path(sys.argv[1]), checkpoint.Snapshot(7, tensors, tensors, {"step": 7}), 3)
except RunError as error:
    print(error)
"""


@pytest.mark.parametrize("limit_bytes", [20, 4096, 100_000])
def test_a_disk_that_takes_no_more_leaves_nothing_half_written(tmp_path, limit_bytes):
    told = subprocess.run([sys.executable, "-c", FULL, tmp_path, str(limit_bytes)], capture_output=True, text=True)
    assert "the checkpoint of step 7 could not be written" in told.stdout, told.stderr
    assert "free space under" in told.stdout
    assert names(tmp_path) == []
