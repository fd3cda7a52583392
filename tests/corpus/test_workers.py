"""Who works: what launchers say of their ranks, in the variables that they set."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from camembert_bio.corpus.workers import world_size
from camembert_bio.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("environment", "size"),
    [
        ({}, 1),
        ({"OMPI_COMM_WORLD_SIZE": "3", "PMIX_RANK": "1"}, 3),
        ({"PMI_SIZE": "4", "PMI_RANK": "0"}, 4),
        # srun --mpi=pmix, and srun --mpi=pmi2.
        ({"PMIX_RANK": "2", "SLURM_STEP_NUM_TASKS": "64"}, 64),
        ({"PMI_SIZE": "64", "PMI_RANK": "2", "SLURM_STEP_NUM_TASKS": "64"}, 64),
        # mpirun in a shell from `srun --pty`, whatever MPI the shell itself was given.
        ({"OMPI_COMM_WORLD_SIZE": "3", "PMIX_RANK": "1", "SLURM_STEP_NUM_TASKS": "1"}, 3),
        ({"OMPI_COMM_WORLD_SIZE": "3", "PMIX_RANK": "1", "PMI_SIZE": "1", "SLURM_STEP_NUM_TASKS": "1"}, 3),
        ({"PMI_SIZE": "3", "PMIX_RANK": "0", "SLURM_STEP_NUM_TASKS": "1"}, 3),
        # Open MPI's mpirun over 2 nodes of a job: its daemons are the step's tasks, its ranks their children.
        ({"OMPI_COMM_WORLD_SIZE": "9", "PMIX_RANK": "8", "SLURM_STEP_NUM_TASKS": "2", "SLURM_NTASKS": "64"}, 9),
        # No launcher, in that shell and in a batch script of 64 tasks.
        ({"SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS": "1", "PMIX_RANK": "0"}, 1),
        ({"SLURM_STEP_NUM_TASKS": "1", "SLURM_STEP_ID": "0"}, 1),
        ({"SLURM_NTASKS": "64", "SLURM_PROCID": "0"}, 1),
    ],
)
def test_the_ranks_that_a_launcher_started(monkeypatch, environment, size):
    monkeypatch.setattr(os, "environ", dict(environment))
    assert world_size() == size


def test_tasks_of_srun_that_know_nothing_of_each_other_are_refused(monkeypatch):
    monkeypatch.setattr(os, "environ", {"SLURM_STEP_NUM_TASKS": "8", "SLURM_NTASKS": "8", "SLURM_PROCID": "3"})
    with pytest.raises(UserError, match=r"srun started 8 tasks without MPI.*use srun --mpi=pmix .* or mpirun"):
        world_size()


def test_one_of_those_tasks_tells_it_and_none_builds(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"id": "1", "text": "Le patient est venu hier."}\n')
    (tmp_path / "recipe.yaml").write_text(
        "prepare: {output: out, sources: [{name: a, path: a.jsonl, licence: MIT}], tokenizer: {train: {}}}"
    )
    told = []
    for task in ("0", "1"):
        slurm = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": task}
        done = subprocess.run(
            [sys.executable, "-m", "camembert_bio", "prepare", "recipe.yaml"],
            env={**os.environ, "PYTHONPATH": str(ROOT), **slurm},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert (done.returncode, done.stdout) == (2, "")
        told.append(done.stderr)
    assert told[0].startswith("camembert-bio: srun started 2 tasks without MPI") and not told[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "recipe.yaml"]
