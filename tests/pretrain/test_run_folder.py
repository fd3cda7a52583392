import fcntl
import os

import pytest

from camembert_bio.errors import UserError
from camembert_bio.pretrain import run_folder


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


@pytest.mark.parametrize(
    ("entry", "named"), [("thesis.tex", r"'thesis\.tex'"), ("checkpoints/step-00000007", "'checkpoints/step-00000007'")]
)
def test_an_output_that_is_something_else_is_refused_and_kept(entry, named, tmp_path):
    (tmp_path / entry).parent.mkdir(exist_ok=True)
    (tmp_path / entry).touch()
    before = names(tmp_path)
    with pytest.raises(UserError, match=f"is not a run folder: it holds {named}"):
        run_folder.take(tmp_path, begun=False)
    assert names(tmp_path) == before


def test_an_output_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "run").touch()
    with pytest.raises(UserError, match="run is a file; give a new or empty folder"):
        run_folder.take(tmp_path / "run", begun=False)


def test_requests_and_leftovers_of_a_kill_make_no_folder_foreign(tmp_path):
    for name in ("STOP", "SAVE", ".tmp-host-12-0a-run.json"):
        (tmp_path / name).touch()
    (tmp_path / ".tmp-12-tokenizer").mkdir()
    (tmp_path / "checkpoints" / "step-00000000").mkdir(parents=True)
    run_folder.take(tmp_path, begun=False).close()
    assert names(tmp_path) == ["SAVE", "STOP", "lock"]


def test_a_run_that_began_meanwhile_is_not_started_again(tmp_path):
    (tmp_path / run_folder.RUN).touch()
    with pytest.raises(UserError, match="was changed by another process just now; give the command again"):
        run_folder.take(tmp_path, begun=False)


def test_a_file_system_without_locks_is_not_another_process(tmp_path):
    # A descriptor of a path alone takes no lock either: the system's own refusal.
    (tmp_path / run_folder.LOCK).touch()
    refusal = pytest.raises(UserError, match=r"does not lock files \(Bad file descriptor\).*with flock")
    with open(os.open(tmp_path / run_folder.LOCK, os.O_PATH)) as handle, refusal:
        run_folder.lock(handle, fcntl.LOCK_EX, tmp_path)
