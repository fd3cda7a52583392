"""Downloads from a server on this machine: whole, broken off, changed, wrong. No test leaves 127.0.0.1."""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from camembert_bio.corpus import download as downloading
from camembert_bio.corpus.catalogue import Address, PublicSource
from camembert_bio.corpus.download import download
from camembert_bio.errors import RunError, UserError


def zipped(seed: int = 0) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("corpus/1.txt", random.Random(seed).randbytes(600_000))
    return file.getvalue()


CONTENT = zipped()
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves `content` at any path; the fields say what goes wrong."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.etag = CONTENT, '"one"'
        self.statuses: list[int] = []  # of the next requests
        self.breaks: list[int] = []  # bytes after which the next answers end
        self.ranges = True
        self.says_length = True
        self.sends_to = ""
        self.kind = ""
        self.asked: list[str | None] = []  # the Range of each request

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/corpus.zip"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server, wanted = self.server, self.headers.get("Range")
        server.asked.append(wanted)
        status = server.statuses.pop(0) if server.statuses else 200
        if status != 200:
            self.send_response(status)
            if server.sends_to:
                self.send_header("Location", server.sends_to)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body, start = server.content, 0
        same = self.headers.get("If-Range", server.etag) == server.etag
        if wanted and server.ranges and same:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if server.etag:
            self.send_header("ETag", server.etag)
        if server.kind:
            self.send_header("Content-Type", server.kind)
        if server.says_length:
            self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        stop = start + server.breaks.pop(0) if server.breaks else len(body)
        self.wfile.write(body[start:stop])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(downloading, "WAITS_S", (0.0, 0.0, 0.0))
    with Server() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def source(server: Server, sha256: str | None = None) -> PublicSource:
    return PublicSource(
        "corpus", "", 1, 1, "CC0", "https://x", "direct", "text", addresses=(Address(server.url, "c.zip", sha256),)
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_source_is_unpacked_and_its_hash_recorded(server: Server, tmp_path: Path) -> None:
    done = download(source(server), tmp_path)
    assert names(tmp_path) == ["corpus", "corpus.sha256"]
    assert (tmp_path / "corpus/corpus/1.txt").stat().st_size == 600_000
    assert (tmp_path / "corpus.sha256").read_text() == f"{SHA256}  c.zip\n"
    assert (done.sha256, done.pinned) == ({"c.zip": SHA256}, False)
    assert "recorded; later downloads must match" in downloading.summary(source(server), done)


def test_a_later_download_must_match_the_recorded_hash(server: Server, tmp_path: Path) -> None:
    download(source(server), tmp_path)
    (tmp_path / "corpus").rename(tmp_path / "old")
    server.content = zipped(1)
    with pytest.raises(UserError, match=f"instead of {SHA256}; the file was damaged or replaced"):
        download(source(server), tmp_path)
    assert names(tmp_path) == ["corpus.sha256", "old"]
    new = hashlib.sha256(server.content).hexdigest()
    assert download(source(server), tmp_path, new).pinned  # the user says that this is it
    assert new in (tmp_path / "corpus.sha256").read_text()


@pytest.mark.parametrize("by_the_user", [True, False])
def test_another_hash_than_pinned_leaves_nothing(by_the_user: bool, server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"sha256 {SHA256} instead of {'0' * 64}"):
        download(source(server, None if by_the_user else "0" * 64), tmp_path, "0" * 64 if by_the_user else None)
    assert names(tmp_path) == []


def test_a_transfer_that_breaks_off_goes_on(server: Server, tmp_path: Path) -> None:
    server.breaks = [100_000, 200_000]
    download(source(server), tmp_path, SHA256)
    assert server.asked == [None, "bytes=100000-", "bytes=300000-"]


def test_the_next_command_goes_on_where_the_last_one_gave_up(server: Server, tmp_path: Path) -> None:
    server.breaks = [100_000, 0, 0, 0]
    with pytest.raises(RunError, match=r"broken off at byte 100,000 of .*, after 4 tries; .* go on from byte 100,000"):
        download(source(server), tmp_path)
    assert names(tmp_path) == ["corpus.partial"]
    download(source(server), tmp_path)
    assert server.asked[-1] == "bytes=100000-"
    assert (tmp_path / "corpus.sha256").read_text() == f"{SHA256}  c.zip\n"


def test_a_file_that_changed_meanwhile_is_fetched_anew(server: Server, tmp_path: Path) -> None:
    server.breaks = [100_000, 0, 0, 0]
    with pytest.raises(RunError):
        download(source(server), tmp_path)
    server.content, server.etag = zipped(1), '"two"'
    assert download(source(server), tmp_path).sha256 == {"c.zip": hashlib.sha256(server.content).hexdigest()}


@pytest.mark.parametrize("etag", ["", 'W/"weak"'])
def test_without_proof_that_it_is_the_same_file_nothing_is_kept(etag: str, server: Server, tmp_path: Path) -> None:
    server.etag, server.breaks = etag, [100_000]
    download(source(server), tmp_path)
    assert server.asked == [None, None]


def test_a_known_hash_is_proof_enough(server: Server, tmp_path: Path) -> None:
    server.etag, server.breaks = "", [100_000]
    download(source(server, SHA256), tmp_path)
    assert server.asked == [None, "bytes=100000-"]


def test_a_server_without_ranges_starts_over(server: Server, tmp_path: Path) -> None:
    server.ranges, server.breaks = False, [100_000]
    download(source(server, SHA256), tmp_path)
    assert server.asked == [None, "bytes=100000-"]


def test_a_part_that_is_whole_already_is_fetched_anew(server: Server, tmp_path: Path) -> None:
    (tmp_path / "corpus.partial").mkdir()
    (tmp_path / "corpus.partial/c.zip.part").write_bytes(CONTENT)
    download(source(server, SHA256), tmp_path)
    assert server.asked == [f"bytes={len(CONTENT)}-", None]


def test_a_busy_server_is_asked_again_four_times(server: Server, tmp_path: Path) -> None:
    server.statuses = [503, 429]
    download(source(server), tmp_path / "first")
    server.statuses, server.asked = [503] * 10, []
    with pytest.raises(RunError, match="the server answers 503, after 4 tries"):
        download(source(server), tmp_path / "second")
    assert len(server.asked) == 4


def test_a_file_that_is_gone_is_not_asked_for_again(server: Server, tmp_path: Path) -> None:
    server.statuses = [404]
    with pytest.raises(UserError, match="the server answers 404; see the source's page"):
        download(source(server), tmp_path)
    assert len(server.asked) == 1 and names(tmp_path) == []


def test_no_server_at_all_is_told(server: Server, tmp_path: Path) -> None:
    told = replace(source(server), addresses=(Address("http://127.0.0.1:9/x.zip", "c.zip"),))
    with pytest.raises(RunError, match="refused, after 4 tries"):
        download(told, tmp_path)


@pytest.mark.parametrize("says_length", [True, False])
def test_a_file_that_is_too_large_is_refused(says_length: bool, server: Server, tmp_path: Path) -> None:
    server.says_length = says_length
    with pytest.raises(UserError, match="over 500,000 bytes, more than this source should"):
        download(replace(source(server), max_bytes=500_000), tmp_path)
    assert names(tmp_path) == []


@pytest.mark.parametrize("place", ["ftp://127.0.0.1/x", "file:///etc/passwd"])
def test_it_is_not_sent_elsewhere(place: str, server: Server, tmp_path: Path) -> None:
    server.statuses, server.sends_to = [302], place
    with pytest.raises(UserError, match=r"sends to an address that is not https|answers 302"):
        download(source(server), tmp_path)


@pytest.mark.parametrize("place", ["http://[::1", "http://[nothing]/x"])
def test_an_address_that_is_none_is_told(place: str, server: Server, tmp_path: Path) -> None:
    server.statuses, server.sends_to = [302], place
    with pytest.raises(UserError, match=r"sends to an address that is none|not https"):
        download(source(server), tmp_path)
    assert names(tmp_path) == []


def plain(server: Server, sha256: str | None = None) -> PublicSource:
    return replace(source(server), addresses=(Address(server.url, "c.tsv", sha256),))


def test_an_answer_without_a_file_is_refused(server: Server, tmp_path: Path) -> None:
    for status in (204, 205, 203):
        server.statuses = [status]
        with pytest.raises(UserError, match=f"the server answers {status}, without the file"):
            download(plain(server), tmp_path)
    assert names(tmp_path) == []


def test_a_page_in_place_of_a_file_is_refused_where_no_hash_tells(server: Server, tmp_path: Path) -> None:
    server.kind = "text/html; charset=utf-8"
    with pytest.raises(UserError, match=r"sends a page \(text/html\) instead of c.tsv"):
        download(plain(server), tmp_path)
    assert names(tmp_path) == []
    assert download(plain(server, SHA256), tmp_path / "known").pinned
    assert download(source(server), tmp_path / "archive").sha256
    page = replace(source(server), addresses=(Address(server.url, "c.html"),))
    assert download(page, tmp_path / "page").sha256


def test_a_length_that_is_not_said_is_told(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloading.logger, "propagate", True)
    download(plain(server), tmp_path / "said")
    assert "how long" not in caplog.text
    server.says_length = False
    download(plain(server), tmp_path / "unsaid")
    assert "does not say how long c.tsv is" in caplog.text


def test_it_is_not_sent_from_https_to_http() -> None:
    request = downloading.urllib.request.Request("https://127.0.0.1/x")
    with pytest.raises(UserError, match="not https"):
        downloading._HttpsStays().redirect_request(request, None, 302, "", {}, "http://127.0.0.1/x")


def test_a_redirect_is_followed(server: Server, tmp_path: Path) -> None:
    server.statuses, server.sends_to = [302], server.url
    assert download(source(server), tmp_path, SHA256).pinned


def test_an_archive_that_is_refused_leaves_nothing(server: Server, tmp_path: Path) -> None:
    """A page in place of the archive is not recorded as what later downloads must match."""
    server.content = b"<html>please log in</html>"
    with pytest.raises(UserError, match=r"c\.zip is damaged, or no archive"):
        download(source(server), tmp_path)
    assert names(tmp_path) == []


def test_several_files_that_are_no_archives_stand_side_by_side(server: Server, tmp_path: Path) -> None:
    addresses = (Address(server.url, "a.tsv", SHA256), Address(server.url, "b.tsv", SHA256))
    several = replace(source(server), addresses=addresses)
    assert download(several, tmp_path).pinned
    assert names(tmp_path / "corpus") == ["a.tsv", "b.tsv"]
    with pytest.raises(UserError, match="pins one file, and corpus has 2"):
        download(several, tmp_path / "again", SHA256)


def test_what_is_there_is_not_downloaded_again(server: Server, tmp_path: Path) -> None:
    download(source(server), tmp_path)
    with pytest.raises(UserError, match="corpus exists; remove it"):
        download(source(server), tmp_path)
    assert len(server.asked) == 1


def test_two_downloads_into_one_folder_do_not_mix(server: Server, tmp_path: Path) -> None:
    (tmp_path / "corpus.partial").mkdir()
    with open(tmp_path / "corpus.partial/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another process downloads"):
            download(source(server), tmp_path)
    download(source(server), tmp_path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: {"sha256": "abc"}, "'abc' is not 64 hexadecimal digits"),
        (lambda folder: (folder / "corpus.sha256").write_text("what?\n") and {}, "is not what a download recorded"),
    ],
)
def test_a_hash_that_is_none_is_refused(
    spoil: Callable[[Path], dict[str, str]], message: str, server: Server, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        download(source(server), tmp_path, **spoil(tmp_path))
    assert not server.asked


def test_the_verb_tells_of_a_network_that_fails(server: Server, tmp_path: Path) -> None:
    """By a proxy on this machine that refuses: the command goes no further than 127.0.0.1."""
    proxy = server.url.removesuffix("/corpus.zip")
    environment = {**os.environ, "https_proxy": proxy, "HTTPS_PROXY": proxy, "no_proxy": "", "NO_PROXY": ""}
    command = [sys.executable, "-m", "camembert_bio", "sources", "quaero", "--download", str(tmp_path / "public")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "quaerofrenchmed.limsi.fr" in done.stderr and "after 4 tries; run the command again" in done.stderr
    assert "Traceback" not in done.stderr
