"""Corpora at addresses, read by real clients: s3fs from moto, fsspec's http from a server that fails, the Hub's from a
small Hub. Every server is on this machine."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest
from serving import FileServer, Hub, serve

from camembert_bio import files
from camembert_bio.errors import DoNotRequeueError, RunError, UserError
from camembert_bio.shards import remote
from camembert_bio.shards.manifest import Corpus, ShardEntry, open_corpus, verify
from camembert_bio.shards.opening import UnreachableError
from camembert_bio.shards.recipe import Storage
from camembert_bio.shards.remote import Remote

SHARD = "leaflets/train-00000.arrow"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between tries of a hundredth, and several requests a shard."""
    monkeypatch.setattr(remote, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(remote, "BLOCK_BYTES", 4096)


@pytest.fixture
def server(corpus: Corpus) -> Iterator[FileServer]:
    with serve(corpus.folder) as server:
        yield server


@pytest.fixture
def storage(tmp_path: Path) -> Callable[..., Storage]:
    def make(**changes: object) -> Storage:
        return Storage(**{"cache": tmp_path / "cache", "cache_bytes": 10**9, "retries": 2, **changes})

    return make


@pytest.fixture
def opened(server: FileServer, storage: Callable[..., Storage]) -> Corpus:
    """The corpus from the server."""
    return open_corpus(server.url, storage())


def entry_of(corpus: Corpus, path: str = SHARD) -> ShardEntry:
    return next(
        entry for split in ("train", "validation") for _, entry in corpus.manifest.shards(split) if entry.path == path
    )


def assert_equal(one: Corpus, two: Corpus) -> None:
    """Both have the same manifest, vocabulary, tokenizer and tokens."""
    assert one.manifest == two.manifest and one.vocabulary == two.vocabulary
    for path in (two.folder / "tokenizer").iterdir():
        assert (one.folder / "tokenizer" / path.name).read_bytes() == path.read_bytes()
    for split in ("train", "validation"):
        for _, entry in two.manifest.shards(split):
            mine, theirs = one.open(entry), two.open(entry)
            assert mine.doc_ids == theirs.doc_ids and mine.input_ids.tobytes() == theirs.input_ids.tobytes()


def test_over_http(corpus, opened, server):
    assert server.asked[0] == ("corpus.json", None)
    assert not any(path.endswith(".arrow") for path, _ in server.asked)
    assert_equal(opened, corpus)
    verify(opened)
    assert opened.place == server.url
    asked = len(server.asked)
    assert_equal(open_corpus(server.url, Storage(cache=opened.cache.folder)), corpus)
    assert server.asked[asked:] == [("corpus.json", None)]  # the rest was there


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("fault", ["dropped", "short", "refused", "busy"])
def test_a_try_that_fails_is_made_up_for(fault, ranges, corpus, opened, server):
    server.ranges = ranges
    server.asked.clear()
    if fault == "refused":
        server.statuses[SHARD] = [500, 503]
    elif fault == "busy":
        server.statuses[SHARD] = [429, 416]
    else:
        server.breaks[SHARD] = [0, 1500]
        server.tells_length = fault == "dropped"
    shard = opened.open(entry_of(corpus))
    assert shard.input_ids.tobytes() == corpus.open(entry_of(corpus)).input_ids.tobytes()
    assert len(server.asked) >= 3


def test_the_tries_of_a_file_are_bounded(corpus, opened, server):
    server.breaks[SHARD] = [10] * 9
    with pytest.raises(RunError, match=rf"/{SHARD} cannot be read: ClientPayloadError, after 3 tries"):
        opened.open(entry_of(corpus))
    assert server.count(SHARD) == 3
    server.breaks[SHARD].clear()
    opened.open(entry_of(corpus))


def test_the_waits_double(server, monkeypatch):
    waits: list[float] = []
    monkeypatch.setattr(remote, "FIRST_WAIT_S", 1.0)
    monkeypatch.setattr(remote.time, "sleep", waits.append)
    server.statuses["corpus.json"] = [500] * 20
    with pytest.raises(RunError, match="the server answers 500, after 8 tries"):
        Remote(server.url, retries=7).read("corpus.json")
    for wait_s, most in zip(waits, [1, 2, 4, 8, 16, 30, 30], strict=True):
        assert most / 2 <= wait_s <= most


def test_a_shard_that_is_damaged_once_heals(corpus, opened, server, caplog):
    server.ranges, server.corrupts[SHARD] = False, 1
    assert opened.open(entry_of(corpus)).doc_ids == corpus.open(entry_of(corpus)).doc_ids
    assert f"{SHARD} has sha256 " in caplog.text


def test_a_shard_that_is_damaged_twice_stops_the_run_by_name(corpus, opened, server, tmp_path):
    entry = entry_of(corpus)
    damaged = bytearray((corpus.folder / SHARD).read_bytes())
    damaged[len(damaged) // 2] ^= 4
    (tmp_path / "damaged").write_bytes(damaged)
    digest = files.sha256_file(tmp_path / "damaged")
    server.ranges, server.corrupts[SHARD] = False, 9
    message = (
        rf"shard {server.url}/{SHARD} has sha256 {digest} instead of {entry.sha256}, fetched 2 times; .*restore it"
    )
    with pytest.raises(DoNotRequeueError, match=message):
        opened.open(entry)
    assert server.corrupts[SHARD] == 7
    assert list((opened.cache.folder / "shards").iterdir()) == []


def test_a_shard_that_is_longer_or_shorter_or_gone(corpus, server, storage, tmp_path):
    folder = shutil.copytree(corpus.folder, tmp_path / "copy")
    path, entry = folder / SHARD, entry_of(corpus)
    whole = path.read_bytes()
    with serve(folder) as copy:
        opened = open_corpus(copy.url, storage())
        path.write_bytes(whole[:-5000])
        with pytest.raises(
            RunError, match=rf"{SHARD} cannot be read: (the answer ends at byte|the server answers 416)"
        ):
            opened.open(entry)
        path.write_bytes(whole + b"more")
        copy.ranges = False
        with pytest.raises(DoNotRequeueError, match=rf"{SHARD} has sha256"):
            opened.open(entry)
        path.unlink()
        with pytest.raises(UserError, match=rf"{copy.url} has no {SHARD}, which its corpus.json names; restore it"):
            opened.open(entry)


def test_of_an_address_that_is_refused_the_user_is_told(server, storage):
    server.statuses["corpus.json"] = [403, 400]
    with pytest.raises(UserError, match=r"corpus.json: access is refused; give credentials where the client of http"):
        open_corpus(server.url, storage())
    with pytest.raises(UserError, match=r"corpus.json: the server answers 400; check the address"):
        open_corpus(server.url, storage())
    assert len(server.asked) == 2


@pytest.mark.parametrize("address", ["{}", "s3://corpora/one", "hf://datasets/lab/corpus"])
def test_an_address_that_nobody_answers(address, storage, monkeypatch):
    with serve(Path("nowhere")) as server:
        url = server.url
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "s3cret", "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in {**keys, "AWS_ENDPOINT_URL": url, "AWS_MAX_ATTEMPTS": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(fsspec.config.conf, "hf", {"endpoint": url, "token": False})
    place = address.format(url)
    message = rf"{place}/corpus.json cannot be read: \w+, after 3 tries; check the address, the network and the cred"
    with pytest.raises(UnreachableError, match=message):
        open_corpus(place, storage())
    fsspec.filesystem("s3").clear_instance_cache()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"is not a corpus: it has no corpus\.json; upload what prepare built"),
        (b"{", r"corpus\.json is not readable JSON; upload what prepare built again"),
        (b"[]", r"corpus\.json holds list, not a mapping"),
        (b'{"format": 99}', r"corpus\.json has format 99, this version reads 2"),
        (b'{"format": 2}', r"corpus\.json\.sources: this option is required"),
    ],
)
def test_what_is_no_corpus(content, message, storage, tmp_path):
    (tmp_path / "web").mkdir()
    if content is not None:
        (tmp_path / "web/corpus.json").write_bytes(content)
    with serve(tmp_path / "web") as server, pytest.raises(UserError, match=message):
        open_corpus(server.url, storage())


def test_a_cache_below_one_shard(corpus, server, storage):
    largest = max(entry.bytes for split in ("train", "validation") for _, entry in corpus.manifest.shards(split))
    open_corpus(server.url, storage(cache_bytes=largest))
    message = (
        rf"storage.cache_bytes {largest - 1:,} is below the largest shard of {server.url}, \S+ with {largest:,} bytes"
    )
    with pytest.raises(UserError, match=message):
        open_corpus(server.url, storage(cache_bytes=largest - 1))


def test_a_cache_that_cannot_be_written(server, storage, tmp_path):
    (tmp_path / "file").write_text("no folder")
    message = r"storage\.cache .*/file/cache cannot be used \(Not a directory\); give a folder on a disk of this node"
    with pytest.raises(UserError, match=message):
        open_corpus(server.url, storage(cache=tmp_path / "file/cache"))


@pytest.mark.parametrize("name", ["vocabulary.json", "tokenizer/sentencepiece.bpe.model"])
def test_small_files_are_hashed_too(name, server, storage):
    server.corrupts[name] = 1
    opened = open_corpus(server.url, storage())
    assert server.count(name) == 2
    (opened.folder / name).write_bytes(b"damaged on the disk")
    server.corrupts[name] = 2
    with pytest.raises(DoNotRequeueError, match=rf"{name} has sha256 \w+ instead of \w+, read twice; restore it at"):
        open_corpus(server.url, storage())
    open_corpus(server.url, storage())


def test_a_corpus_without_its_tokenizer(corpus, storage, tmp_path):
    folder = shutil.copytree(corpus.folder, tmp_path / "copy")
    shutil.rmtree(folder / "tokenizer")
    with serve(folder) as server, pytest.raises(UserError, match=r"has no tokenizer/\S+, which a corpus has; upload"):
        open_corpus(server.url, storage())


def test_another_corpus_at_the_address_is_another_corpus(corpus, server, storage, tmp_path):
    opened = open_corpus(server.url, storage())
    folder = shutil.copytree(corpus.folder, tmp_path / "copy")
    values = json.loads((folder / "corpus.json").read_text())
    values["build"]["changed"] = True
    (folder / "corpus.json").write_text(json.dumps(values))
    server.folder = folder
    other = open_corpus(server.url, storage())
    assert other.manifest.hash != opened.manifest.hash and other.folder != opened.folder


def test_a_secret_is_used_and_never_shown(corpus, server, storage, caplog):
    caplog.set_level("DEBUG", logger="camembert_bio")
    server.query, server.authorization = "sig=a%2Fb%2Bs3cret", "Basic dXNlcjpwNHNz"
    url = server.url.replace("//", "//user:p4ss@") + "?sig=a%2Fb%2Bs3cret"
    opened = open_corpus(url, storage())
    server.statuses[SHARD] = [500]
    opened.open(entry_of(corpus))
    told = [opened.place]
    server.authorization = "other"
    for address in (url, url.replace("http", "unknown"), f"simplecache::{url}", url.replace("corpus", "no")):
        with pytest.raises(UserError) as raised:
            open_corpus(address, storage())
        told.append(str(raised.value))
    other = entry_of(corpus, "cases/train-00000.arrow")
    server.statuses[other.path], server.authorization = [500] * 9, "Basic dXNlcjpwNHNz"
    with pytest.raises(RunError) as failed:
        opened.open(other)
    told += [str(failed.value), caplog.text, repr(opened)]
    assert "the server answers 500; next try in" in caplog.text
    assert not any(secret in text for secret in ("p4ss", "s3cret", "user:") for text in told)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("nosuch://bucket/corpus", r"corpus nosuch://bucket/corpus: .*nosuch"),
        (
            "simplecache::memory://corpus",
            "corpus simplecache::memory://corpus is a chain of addresses; give one address",
        ),
        ("memory://nowhere", r"memory://nowhere is not a corpus: it has no corpus\.json"),
        ("file:///nowhere", r"file:///nowhere is not a corpus: it has no corpus\.json"),
    ],
)
def test_addresses_that_lead_nowhere(address, message, storage):
    with pytest.raises(UserError, match=message):
        open_corpus(address, storage())


def test_a_client_that_is_not_installed(storage, monkeypatch):
    for name in ("s3fs", "aiohttp"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    for address in ("s3://bucket/corpus", "https://host/corpus"):
        with pytest.raises(UserError, match=r"pip install 'camembert-bio\[remote\]'` brings the clients of s3://"):
            open_corpus(address, storage())


def test_from_memory_and_from_a_file_address(corpus, storage):
    memory = fsspec.filesystem("memory")
    memory.put(str(corpus.folder), "/corpora/one", recursive=True)
    assert_equal(open_corpus("memory://corpora/one", storage()), corpus)
    copied = open_corpus(f"file://{corpus.folder}", storage())
    assert_equal(copied, corpus)
    assert copied.folder != corpus.folder


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[fsspec.AbstractFileSystem]:
    """s3fs with the credentials and the endpoint of a moto server, all from the environment."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    system = fsspec.filesystem("s3")
    system.mkdir("corpora")
    yield system
    server.stop()
    s3fs.S3FileSystem.clear_instance_cache()


def test_from_s3(bucket, corpus, storage):
    bucket.put(str(corpus.folder), "corpora/one", recursive=True)
    opened = open_corpus("s3://corpora/one", storage())
    assert_equal(opened, corpus)
    assert opened.place == "s3://corpora/one"
    with pytest.raises(UserError, match=r"s3://corpora/two is not a corpus: it has no corpus\.json"):
        open_corpus("s3://corpora/two", storage())
    with pytest.raises(UserError, match=r"s3://no-such-bucket/one is not a corpus: it has no corpus\.json"):
        open_corpus("s3://no-such-bucket/one", storage())
    bucket.rm(f"corpora/one/{SHARD}")
    opened.cache.path(entry_of(corpus)).unlink()
    with pytest.raises(UserError, match=rf"s3://corpora/one has no {SHARD}, which its corpus\.json names"):
        opened.open(entry_of(corpus))


def test_from_the_hub_although_the_command_line_is_offline(corpus, storage, monkeypatch):
    from huggingface_hub import HfFileSystem, constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with serve(corpus.folder, Hub) as hub:
        monkeypatch.setitem(fsspec.config.conf, "hf", {"endpoint": hub.url, "token": False})
        opened = open_corpus("hf://datasets/lab/corpus", storage())
        assert_equal(opened, corpus)
        with pytest.raises(UserError, match=r"hf://datasets/lab/other is not a corpus: it has no corpus\.json"):
            open_corpus("hf://datasets/lab/other", storage())
        assert constants.HF_HUB_OFFLINE
        with pytest.raises(Exception, match="offline"):
            HfFileSystem(endpoint=hub.url, token=False, skip_instance_cache=True).cat_file(
                "datasets/lab/corpus/corpus.json"
            )
