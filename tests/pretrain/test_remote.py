"""Whole runs from an address against those from the folder, and what stops them, by its exit code."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import FileServer, serve

from camembert_bio import cli, config, files
from camembert_bio.errors import (
    EXIT_DO_NOT_REQUEUE,
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_USER_MISTAKE,
    DoNotRequeueError,
    RunError,
    UserError,
)
from camembert_bio.pretrain import checkpoint, metrics
from camembert_bio.pretrain.loop import pretrain
from camembert_bio.pretrain.recipe import Pretrain
from camembert_bio.shards import remote
from camembert_bio.shards.manifest import Corpus

pytestmark = pytest.mark.usefixtures("world_of_one")


@pytest.fixture
def server(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setattr(remote, "FIRST_WAIT_S", 0.01)
    with serve(corpus.folder) as server:
        yield server


def learnt(run: Path) -> tuple[list[dict], str]:
    """The curves that no clock is in, and the hash of the last weights."""
    points = [
        {name: value for name, value in point.items() if name.split("/")[0] in ("train", "heldout", "step")}
        for point in metrics.read(run)
    ]
    return points, files.sha256_file(checkpoint.complete(run)[-1] / "model.safetensors")


def needed(corpus: Corpus, shuffle_shards: int) -> int:
    """Bytes of a cache that just suffices."""
    sizes = sorted((entry.bytes for _, entry in corpus.manifest.shards("train")), reverse=True)
    return sum(entry.bytes for _, entry in corpus.manifest.shards("validation")) + 2 * sum(sizes[:shuffle_shards])


def assert_same(remote_run: Path, local_run: Path, steps: int) -> None:
    """The runs have learnt the same, bit for bit, and no secret of the address is in a file of the run."""
    points, weights = learnt(remote_run)
    assert (points, weights) == learnt(local_run)
    assert len([point for point in points if "train/loss" in point]) == steps
    assert any("heldout/loss" in point for point in points)
    for path in remote_run.rglob("*"):
        assert not path.is_file() or b"s3cret" not in path.read_bytes(), path
    assert json.loads((remote_run / "run.json").read_text())["recipe"]["corpus"].endswith("?***")


def test_two_ranks_read_groups_from_a_cache_that_holds_two_shards(corpus, server, tiny, run_all, tmp_path):
    server.query = "sig=s3cret"
    server.statuses["cases/train-00000.arrow"] = [500]
    changes = {"schedule": {"max_steps": 10}, "shuffle_shards": 1, "global_batch_size": 32, "micro_batch_size": 16}
    storage = {"cache": str(tmp_path / "cache"), "cache_bytes": needed(corpus, 1)}
    here = tiny(tmp_path / "local", **changes)
    there = tiny(tmp_path / "remote", **changes, storage=storage, corpus=f"{server.url}?sig=s3cret")
    run_all([here, there], num_ranks=2)
    assert_same(tmp_path / "remote", tmp_path / "local", steps=10)
    # Once for the table and, as not all have stayed, once for the part of an epoch; the failed try is one more.
    assert sum(server.count(f"{path}/train-00000.arrow") for path in ("abstracts", "cases", "leaflets")) <= 2 * 3 + 1


def check(values: dict, folder: Path) -> int:
    """What `check` exits with, in this process."""
    recipe = folder / "recipe.json"
    recipe.write_text(json.dumps({"pretrain": values}))
    return cli._run(cli._parse(["check", str(recipe)]))


def test_an_address_that_is_no_use_is_the_users_mistake(corpus, server, tiny, tmp_path, capsys):
    storage = {"cache": str(tmp_path / "cache"), "retries": 0}
    values = tiny(tmp_path / "run", corpus=server.url, storage=storage)
    for changes, message in (
        ({"corpus": "http://user:p4ss@127.0.0.1:9/corpus"}, "http://***@127.0.0.1:9/corpus/corpus.json cannot be read"),
        ({"corpus": server.url + "/nowhere"}, "/nowhere is not a corpus: it has no corpus.json"),
        ({"storage": {**storage, "cache_bytes": 5000}}, "storage.cache_bytes 5,000 is below the largest shard of http"),
        ({"storage": {**storage, "cache_bytes": needed(corpus, 1)}}, f"holds neither {server.url} "),
    ):
        assert check({**values, **changes}, tmp_path) == EXIT_USER_MISTAKE
        told = capsys.readouterr().err
        assert message in told and "Traceback" not in told and "p4ss" not in told
        with pytest.raises(UserError, match=re.escape(message)):
            pretrain(config.build(Pretrain, {**values, **changes}))
    assert not (tmp_path / "run").exists()


def test_a_damaged_shard_is_not_to_be_queued_again_and_a_bad_network_may_be(server, tiny, tmp_path, capsys):
    path = "cases/train-00000.arrow"
    values = tiny(tmp_path / "run", corpus=server.url, storage={"cache": str(tmp_path / "cache"), "retries": 1})
    server.statuses[path] = [500] * 9
    assert check(values, tmp_path) == EXIT_FAILED
    assert f"{server.url}/{path} cannot be read: the server answers 500, after 2 tries" in capsys.readouterr().err
    server.statuses[path].clear()
    server.corrupts[path] = 99
    assert check(values, tmp_path) == EXIT_DO_NOT_REQUEUE
    assert f"shard {server.url}/{path} has sha256 " in capsys.readouterr().err
    with pytest.raises(DoNotRequeueError, match=f"{path} has sha256"):
        pretrain(config.build(Pretrain, values))
    assert not (tmp_path / "run").exists()


def test_a_run_from_an_address_is_that_from_the_folder_and_refuses_another_corpus(corpus, tiny, tmp_path):
    folder = shutil.copytree(corpus.folder, tmp_path / "copy")
    assert pretrain(config.build(Pretrain, tiny(tmp_path / "local", schedule={"max_steps": 2}))) == EXIT_DONE
    with serve(folder) as server:
        server.query = "sig=s3cret"
        storage = {"cache": str(tmp_path / "cache"), "retries": 0}
        values = tiny(tmp_path / "run", storage=storage, schedule={"max_steps": 2})
        values["corpus"] = f"{server.url}?sig=s3cret"
        assert pretrain(config.build(Pretrain, values)) == EXIT_DONE
        assert_same(tmp_path / "run", tmp_path / "local", steps=2)
        assert server.count("leaflets/train-00000.arrow") == 1
        manifest = json.loads((folder / "corpus.json").read_text())
        manifest["build"]["changed"] = True
        (folder / "corpus.json").write_text(json.dumps(manifest))
        with pytest.raises(UserError, match=rf"the corpus {server.url}\?\*\*\* changed under the run"):
            pretrain(config.build(Pretrain, values))
    with pytest.raises(RunError, match="check the address, the network and the credentials"):  # to be queued again
        pretrain(config.build(Pretrain, values))
    assert check(values, tmp_path) == EXIT_USER_MISTAKE
