"""Files appear whole or not at all."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from camembert_bio import files


def test_a_failed_write_leaves_the_old_content_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "a"
    files.write_atomic(target, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write_atomic(target, "new")
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_folder_takes_its_name_only_when_the_block_ends_well(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), files.atomic_folder(tmp_path / "out") as aside:
        (aside / "part").write_text("x")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with files.atomic_folder(tmp_path / "out") as aside:
        (aside / "part").write_text("x")
        assert not (tmp_path / "out").exists()
    assert (tmp_path / "out" / "part").read_text() == "x"


def test_a_folder_that_holds_something_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    with pytest.raises(OSError), files.atomic_folder(tmp_path / "out") as aside:
        (aside / "other").write_text("y")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


def test_two_writers_of_one_folder_do_not_touch_each_others_work(tmp_path: Path) -> None:
    # Two containers on two nodes may count their processes alike: the process id alone is no name.
    with files.atomic_folder(tmp_path / "out") as one:
        (one / "part").write_text("one")
        with pytest.raises(RuntimeError), files.atomic_folder(tmp_path / "out") as two:
            assert two != one
            raise RuntimeError
        assert (one / "part").read_text() == "one"
    assert (tmp_path / "out" / "part").read_text() == "one"


def test_what_a_dead_process_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    here = socket.gethostname()
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    pid = int(dead.stdout)
    stale = {f".tmp-{here}-{dead_or_own}-0123abcd-out" for dead_or_own in (pid, os.getpid())}
    others = {
        f".tmp-{here}-{os.getppid()}-0123abcd-out",  # a process that lives
        f".tmp-other{here}-{pid}-0123abcd-out",  # of another host
        f".tmp-{here}-{pid}-0123abcd-more-out",  # of another folder
        "out-notes",
    }
    for name in {*stale, *others}:
        (tmp_path / name).mkdir()
        (tmp_path / name / "part").write_text("x")
    with files.atomic_folder(tmp_path / "out"):
        assert not any((tmp_path / name).exists() for name in stale)
    assert {path.name for path in tmp_path.iterdir()} == {*others, "out"}


def test_hashes_are_those_of_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert files.sha256_file(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert files.sha256_json({"b": 1, "a": 2}) == files.sha256_json({"a": 2, "b": 1})
