"""What `forget` finds beside the shards: tests call it as a user does."""

import fcntl
import os
import shutil
import socket

import pytest

from camembert_bio.corpus import build
from camembert_bio.corpus.forget import forget
from camembert_bio.corpus.leftovers import _OURS
from camembert_bio.errors import UserError
from camembert_bio.shards.manifest import open_corpus

SECRET = "Madame Lefort"


@pytest.fixture
def folder(corpus, tmp_path):
    return shutil.copytree(corpus.folder, tmp_path / "corpus")


def left(path):
    """A folder of texts, as a kill leaves one."""
    (path / "kept").mkdir(parents=True)
    (path / "kept" / "0-00000-000000.arrow").write_text(SECRET)
    return path


def aside(folder, host, pid):
    return left(folder.with_name(f".tmp-{host}-{pid}-0123abcd-{folder.name}"))


def test_the_work_folder_that_a_kill_left_goes_too(folder, tmp_path):
    work, other = left(tmp_path / ".work-corpus"), left(tmp_path / ".work-corpus-2")
    (work / "lock").touch()
    with pytest.raises(UserError, match="in no document"):
        forget(folder, ["doc-99"])
    assert work.exists()
    forget(folder, ["doc-55"])
    assert not work.exists() and other.exists()
    left(tmp_path / ".work-corpus")
    forget(folder, ["doc-55"], ignore_missing=True)
    assert not work.exists()


def test_it_is_found_behind_a_link_and_from_within(folder, tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "link").symlink_to(folder)
    left(tmp_path / ".work-corpus")
    forget(tmp_path / "other" / "link", ["doc-55"])
    assert not (tmp_path / ".work-corpus").exists()
    left(tmp_path / ".work-corpus")
    monkeypatch.chdir(folder)
    forget(folder.relative_to(folder), ["doc-54"])
    assert not (tmp_path / ".work-corpus").exists()


def test_a_work_folder_in_use_is_refused(folder, tmp_path):
    work = left(tmp_path / ".work-corpus")
    with open(work / "lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UserError, match=r"prepare works in .*\.work-corpus; wait for its end; nothing was changed"):
            forget(folder, ["doc-55"])
    assert work.exists()


def test_what_a_dead_process_was_writing_goes_and_that_of_others_is_named(folder):
    dead = aside(folder, socket.gethostname(), 2**22 + 1)
    forget(folder, ["doc-55"])
    assert not dead.exists()
    for host, pid in (("elsewhere", 17), (socket.gethostname(), os.getppid())):
        written = aside(folder, host, pid)
        hash_ = open_corpus(folder).manifest.hash
        with pytest.raises(UserError, match=rf"{written.name} is a copy of .* that a process writes, or .*; wait for"):
            forget(folder, ["doc-54"])
        assert written.exists() and open_corpus(folder).manifest.hash == hash_
        shutil.rmtree(written)


def test_files_of_others_are_counted_and_kept(corpus, folder):
    assert forget(folder, ["doc-55"]).unknown_files == 0
    others = [
        "a/train-00000.arrow.bak",
        "corpus.json.old",
        "export/a/train-00000.parquet",
        "windows/notes",
        "tokenizer/notes.txt",
    ]
    for name in others:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(SECRET)
    (folder / "windows" / "train-64-0.npz").write_text("x")
    assert forget(folder, ["doc-54"]).unknown_files == len(others)
    assert forget(folder, ["doc-54"], ignore_missing=True).unknown_files == len(others)
    assert all((folder / name).exists() for name in others)


def test_the_files_of_a_corpus_are_known():
    assert build.QUARANTINE in _OURS
