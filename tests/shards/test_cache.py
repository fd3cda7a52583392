"""The cache of a node under several processes and threads, kills and damage."""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest
from processes import ROOT
from serving import FileServer, serve

from camembert_bio.errors import RunError, UserError
from camembert_bio.shards import cache as caching
from camembert_bio.shards import remote
from camembert_bio.shards.ahead import Ahead
from camembert_bio.shards.cache import ShardCache
from camembert_bio.shards.manifest import ShardEntry
from camembert_bio.shards.remote import Remote

SIZE = 10_000
HOLDER = Path(__file__).with_name("holder.py")


@pytest.fixture(scope="module")
def entries(tmp_path_factory) -> list[ShardEntry]:
    """Six shards of `SIZE` bytes."""
    folder = tmp_path_factory.mktemp("shards")
    made = []
    for name in "abcdef":
        content = random.Random(name).randbytes(SIZE)
        (folder / name).write_bytes(content)
        made.append(ShardEntry(name, 1, 1, SIZE, hashlib.sha256(content).hexdigest()))
    made[0].__dict__["folder"] = folder
    return made


@pytest.fixture
def server(entries) -> Iterator[FileServer]:
    with serve(entries[0].__dict__["folder"]) as server:
        yield server


@pytest.fixture
def cache_of(server, tmp_path) -> Callable[..., ShardCache]:
    """A cache that has room for so many shards."""

    def make(num_shards: float) -> ShardCache:
        return ShardCache(Remote(server.url, retries=0), tmp_path / "cache", int(num_shards * SIZE))

    return make


def stored(cache: ShardCache) -> int:
    return sum(path.stat().st_size for path in (cache.folder / "shards").iterdir())


def names(cache: ShardCache, entries: list[ShardEntry]) -> str:
    """The shards that are whole in a cache."""
    return "".join(entry.path for entry in entries if cache.path(entry).exists())


def read(cache: ShardCache, entry: ShardEntry) -> None:
    with cache.hold(entry) as file:
        assert hashlib.sha256(file.read()).hexdigest() == entry.sha256


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert condition()


@contextmanager
def holder(cache: ShardCache, server: FileServer, entry: ShardEntry) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds a shard; it has started when the block begins, and is gone when it ends."""
    command = [sys.executable, HOLDER, server.url, cache.folder, str(cache.num_bytes), json.dumps(asdict(entry))]
    search = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": search}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def test_a_shard_is_fetched_once(cache_of, server, entries):
    cache = cache_of(6)
    for _ in range(3):
        read(cache, entries[0])
        assert cache.fetch_ahead(entries[0], ())
    read(cache_of(6), entries[0])
    assert server.count("a") == 1


def test_two_processes_fetch_a_shard_once(cache_of, server, entries):
    cache = cache_of(6)
    server.gate.clear()
    with holder(cache, server, entries[0]) as one, holder(cache, server, entries[0]) as two:
        deadline = time.monotonic() + 20
        while not server.asked and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.2)  # for the other, which must wait for the first
        assert len(server.asked) == 1
        server.gate.set()
        assert one.stdout.readline() == two.stdout.readline() == "held\n"
    assert server.asked == [("a", f"bytes={first}-{first + 999}") for first in range(0, SIZE, 1000)]


def test_many_threads_fetch_a_shard_once(cache_of, server, entries):
    cache = cache_of(6)
    threads = [threading.Thread(target=read, args=(cache, entry)) for entry in entries[:2] * 6]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(server.asked) == [(name, f"bytes=0-{SIZE - 1}") for name in "ab"]


def test_the_least_recently_used_leaves(cache_of, entries):
    cache = cache_of(3)
    for place in (0, 1, 2, 0, 3):
        read(cache, entries[place])
        assert stored(cache) <= cache.num_bytes
    assert names(cache, entries) == "acd"
    read(cache, entries[4])
    assert names(cache, entries) == "ade"


def test_a_shard_that_arrives_counts_whole(cache_of, server, entries):
    cache = cache_of(2)
    server.gated = "a"
    server.gate.clear()
    arriving = threading.Thread(target=read, args=(cache, entries[0]))
    arriving.start()
    until(lambda: server.count("a") == 1)
    for entry in entries[1:3]:
        read(cache, entry)
    assert names(cache, entries) == "c"  # with a to come there is room for one
    server.gate.set()
    arriving.join()
    assert names(cache, entries) == "ac" and stored(cache) <= cache.num_bytes


def test_what_is_in_use_stays(cache_of, server, entries, monkeypatch):
    monkeypatch.setattr(caching, "ROOM_WAIT_S", 0.0)
    cache = cache_of(2)
    with cache.hold(entries[0]):
        for entry in entries[1:]:
            read(cache, entry)
        assert names(cache, entries) == "af"
        with cache.hold(entries[1]):
            message = r"has no room for c \(10,000 bytes\): what is in use takes its 20,000 bytes; raise storage"
            with pytest.raises(RunError, match=message):
                cache.hold(entries[2])
            assert not cache.fetch_ahead(entries[2], ())
            assert names(cache, entries) == "ab" and stored(cache) <= cache.num_bytes
    read(cache, entries[2])
    assert names(cache, entries) == "bc"


def test_room_is_waited_for(cache_of, entries):
    cache = cache_of(1)
    file = cache.hold(entries[0])
    closing = threading.Timer(0.3, file.close)
    closing.start()
    read(cache, entries[1])
    closing.join()
    assert names(cache, entries) == "b"


def test_what_another_process_uses_stays_until_it_is_killed(cache_of, server, entries):
    cache = cache_of(2)
    with holder(cache, server, entries[0]) as process:
        assert process.stdout.readline() == "held\n"
        for entry in entries[1:]:
            read(cache, entry)
        assert names(cache, entries) == "af"
    for entry in entries[1:3]:
        read(cache, entry)
    assert names(cache, entries) == "bc"


def test_a_killed_fetch_leaves_nothing_that_is_taken_for_whole(cache_of, server, entries):
    cache = cache_of(1)
    server.gate_after = 4
    with holder(cache, server, entries[0]) as process:
        deadline = time.monotonic() + 20
        while len(server.asked) < 5 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    (left,) = (cache.folder / "shards").iterdir()
    assert left.suffix == ".partial" and left.stat().st_size == 4000
    server.gate_after = None
    server.gate.set()
    server.asked.clear()
    read(cache, entries[0])
    assert server.asked == [("a", f"bytes=4000-{SIZE - 1}")]
    assert names(cache, entries) == "a" and not left.exists()


def test_what_a_kill_left_goes_when_room_is_needed(cache_of, server, entries):
    cache = cache_of(1)
    (cache.folder / "shards").mkdir(parents=True)
    left = cache.folder / "shards" / f"{entries[1].sha256}-{SIZE}.partial"
    left.write_bytes(b"begun")
    read(cache, entries[0])
    assert not left.exists() and names(cache, entries) == "a"


def test_what_a_power_cut_left_is_fetched_again(cache_of, server, entries):
    cache = cache_of(6)
    read(cache, entries[0])
    cache.path(entries[0]).write_bytes(b"short")
    read(cache, entries[0])
    partial = cache.folder / "shards" / f"{entries[1].sha256}-{SIZE}.partial"
    partial.write_bytes(bytes(4000))
    read(cache, entries[1])
    assert server.asked[-2:] == [("b", f"bytes=4000-{SIZE - 1}"), ("b", f"bytes=0-{SIZE - 1}")]


def test_a_flipped_bit_on_the_disk_is_found(cache_of, server, entries, caplog):
    cache = cache_of(6)
    for entry in entries[:2]:
        read(cache, entry)
        cache.verify(entry)
    assert names(cache, entries) == "ab" and not caplog.text
    damaged = bytearray(cache.path(entries[0]).read_bytes())
    damaged[77] ^= 1
    cache.path(entries[0]).write_bytes(damaged)
    for entry in entries[:3]:
        cache.verify(entry)
    assert names(cache, entries) == "b" and "a was damaged in" in caplog.text
    read(cache, entries[0])
    assert server.count("a") == 2


def test_what_is_fetched_ahead_removes_nothing_that_is_kept(cache_of, entries):
    cache = cache_of(2)
    for entry in entries[:2]:
        read(cache, entry)
    keep = {entry.sha256 for entry in entries[:2]}
    assert not cache.fetch_ahead(entries[2], keep)
    assert names(cache, entries) == "ab"
    assert cache.fetch_ahead(entries[2], keep - {entries[1].sha256})
    assert names(cache, entries) == "ac"


def test_a_thread_fetches_ahead_what_is_wanted_and_nothing_else(cache_of, server, entries):
    cache = cache_of(3)
    ahead = Ahead(cache)
    wanted = entries[:3]
    ahead.want(wanted)
    until(lambda: names(cache, entries) == "abc")
    with cache.hold(entries[0]):
        ahead.want(entries[1:5])  # a is in use: of b, c, d, e there is room for two
        time.sleep(0.2)
        assert names(cache, entries) == "abc"
        ahead.want(entries[2:4])
        until(lambda: names(cache, entries) == "acd")
    until(lambda: not ahead._is_running)
    asked = len(server.asked)
    cache.path(entries[2]).unlink()
    ahead.want(wanted)
    until(lambda: names(cache, entries) == "abc")
    until(lambda: not ahead._is_running)
    for _ in range(100):
        ahead.want(wanted)
    assert len(server.asked) == asked + 2 and not ahead._is_running


def test_what_cannot_be_fetched_ahead_is_told_once(cache_of, server, entries, caplog):
    cache = cache_of(3)
    server.statuses["a"] = [500]
    ahead = Ahead(cache)
    wanted = entries[:2]
    for _ in range(3):
        ahead.want(wanted)
        until(lambda: names(cache, entries) == "b" and not ahead._is_running)
    assert caplog.text.count("not fetched ahead") == 1
    read(cache, entries[0])


def test_a_disk_that_is_full_is_told(cache_of, entries):
    cache = cache_of(6)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE // 2, limits[1]))
    try:
        with pytest.raises(RunError, match=rf"cache {cache.folder}: File too large while a was written to it"):
            cache.hold(entries[0])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    read(cache, entries[0])


@pytest.mark.parametrize(("sha256", "size"), [("../../evil", SIZE), ("0" * 64, 0), ("A" * 64, SIZE)])
def test_a_manifest_names_no_file_outside_of_the_cache(cache_of, sha256, size):
    entry = ShardEntry("a", 1, 1, size, sha256)
    for call in (cache_of(1).hold, cache_of(1).verify, lambda one: cache_of(1).fetch_ahead(one, ())):
        with pytest.raises(UserError, match=r"shard a: its corpus.json gives no sha256 and size; run prepare again"):
            call(entry)


def test_a_block_is_kept_when_a_later_one_fails(cache_of, server, entries, monkeypatch):
    monkeypatch.setattr(remote, "BLOCK_BYTES", 4000)
    server.breaks["a"] = [4000, 100]
    with pytest.raises(RunError, match="a cannot be read"):
        read(cache_of(1), entries[0])
    server.asked.clear()
    read(cache_of(1), entries[0])
    assert server.asked == [("a", "bytes=4000-7999"), ("a", "bytes=8000-9999")]
