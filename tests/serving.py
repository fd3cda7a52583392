"""A server on this machine whose files a test may spoil: real clients meet what a bad network does to them."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from urllib.parse import unquote, urlsplit


class FileServer(ThreadingHTTPServer):
    """Serves the files below a folder; the fields say what goes wrong with them."""

    daemon_threads = True

    def __init__(self, folder: Path, handler: type[BaseHTTPRequestHandler] | None = None) -> None:
        super().__init__(("127.0.0.1", 0), handler or _FileHandler)
        self.folder = folder
        self.ranges = True
        self.query = ""  # what every request must bring
        self.authorization: str | None = None  # of every request
        self.statuses: dict[str, list[int]] = defaultdict(list)  # of a path's next answers, instead of 200
        self.breaks: dict[str, list[int]] = defaultdict(list)  # bytes after which they end, their length told or not
        self.tells_length = True
        self.corrupts: Counter[str] = Counter()  # answers to come with a flipped bit
        self.gate = Event()  # answers wait for it, those of one path alone where `gated` names it
        self.gate.set()
        self.gated = ""
        self.gate_after: int | None = None  # requests after which the gate closes
        self.asked: list[tuple[str, str | None]] = []  # path and Range of each request

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def count(self, path: str) -> int:
        """Requests for a path."""
        return sum(name == path for name, _ in self.asked)


class _FileHandler(BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        server, parts = self.server, urlsplit(self.path)
        path = unquote(parts.path).lstrip("/")
        server.asked.append((path, self.headers.get("Range")))
        if server.gate_after is not None and len(server.asked) > server.gate_after:
            server.gate.clear()
        if server.gated in ("", path):
            server.gate.wait()
        status = server.statuses[path].pop(0) if server.statuses[path] else 0
        if parts.query != server.query or self.headers.get("Authorization") != server.authorization:
            status = 403
        file = server.folder / path
        status = status or (200 if file.is_file() else 404)
        if status != 200:
            self.send_error(status)
            return
        body = bytearray(file.read_bytes())
        total, span = len(body), self.headers.get("Range")
        if server.corrupts[path]:
            server.corrupts[path] -= 1
            body[total // 2] ^= 4
        if span and server.ranges:
            first, last = map(int, span.removeprefix("bytes=").split("-"))
            if first >= total:
                self.send_error(416)
                return
            body = body[first : last + 1]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{first + len(body) - 1}/{total}")
        else:
            self.send_response(200)
        if server.tells_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: server.breaks[path].pop(0)] if server.breaks[path] else body)

    def log_message(self, *_: object) -> None:
        pass


_TREE = "/api/datasets/lab/corpus/tree/main"


class Hub(FileServer):
    """A Hugging Face Hub that has one dataset, `lab/corpus`: the files below a folder, on `main`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, _HubHandler)


class _HubHandler(_FileHandler):
    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path.startswith("/datasets/lab/corpus/resolve/main/"):
            self.path = path.removeprefix("/datasets/lab/corpus/resolve/main")
            super().do_GET()
        elif path in ("/api/datasets/lab/corpus", "/api/datasets/lab/corpus/revision/main"):
            self._json({"id": "lab/corpus", "sha": "0" * 40, "private": False, "tags": [], "downloads": 0, "likes": 0})
        elif path.startswith(_TREE) and (folder := self.server.folder / path.removeprefix(_TREE).strip("/")).is_dir():
            self._json([self._describe(item) for item in folder.iterdir()])
        else:
            self.send_error(404)

    def _describe(self, item: Path) -> dict[str, object]:
        path = item.relative_to(self.server.folder).as_posix()
        kind = "directory" if item.is_dir() else "file"
        return {"type": kind, "oid": "0", "path": path, "size": item.stat().st_size}

    def _json(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serve(folder: Path, kind: type[FileServer] = FileServer) -> Iterator[FileServer]:
    """A server of a folder's files, ended with the block."""
    with kind(folder) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.gate.set()
            server.shutdown()
            thread.join()
