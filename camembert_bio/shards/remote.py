"""The files below an address, read through fsspec: bounded tries, one message for what failed, no secret in it."""

from __future__ import annotations

import importlib
import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from camembert_bio.errors import RunError, UserError
from camembert_bio.log import logger
from camembert_bio.shards.address import is_address, join, protocol, redact

BLOCK_BYTES = 1 << 24
"""Bytes of a request; what has arrived of a shard is kept in whole requests."""
FIRST_WAIT_S = 1.0
"""Before the second try; doubles before each later one."""
_MAX_WAIT_S = 30.0
_TIMEOUT_S = 60.0
"""Of a web server: without a byte, after which a try has failed."""
_REFUSED = (401, 402, 403, 407)
_PASSING = (408, 416, 425, 429)  # 416: the file is shorter than it should be, as while it is uploaded

_hub = threading.Lock()


class _CutShortError(Exception):
    """An answer that is not what was asked for."""


class Remote:
    """The files below an address. Opening it makes no request.

    Raises `UserError` for a protocol that fsspec does not know, or whose client is not installed.
    """

    def __init__(self, address: str, retries: int) -> None:
        assert is_address(address), "a folder needs no client"
        self.name = redact(address)
        self._address = address
        self._retries = retries
        if "::" in address:
            raise UserError(f"corpus {self.name} is a chain of addresses; give one address")
        from fsspec.core import url_to_fs

        try:
            self._files, _ = url_to_fs(address, **_options(address))
        except (ImportError, ValueError) as error:
            raise UserError(
                f"corpus {self.name}: {_redacted(error, address)}; `pip install 'camembert-bio[remote]'` brings the "
                "clients of s3:// and https://"
            ) from None

    def read(self, name: str) -> bytes:
        """The content of a small file.

        Raises `FileNotFoundError` when there is none, `UserError` when access is refused, `RunError` when every
        try failed.
        """
        failures: list[str] = []
        while True:
            try:
                return self._ask(name)
            except _CutShortError as error:
                self._failed(name, str(error), failures)

    def fetch(self, name: str, file: IO[bytes], num_bytes: int) -> None:
        """Append to `file` what it lacks of a file of `num_bytes`: from its end on where the server answers ranges.

        Raises what `read` raises; `file` keeps what has arrived.
        """
        failures: list[str] = []
        while (start := file.seek(0, os.SEEK_END)) < num_bytes:
            end = min(start + BLOCK_BYTES, num_bytes)
            try:
                data = self._ask(name, start, end)
                if len(data) > end - start:  # no ranges here: the whole file
                    start, end = 0, num_bytes
                    file.truncate(0)
                if len(data) < end - start:
                    raise _CutShortError(f"the answer ends at byte {start + len(data):,} of {num_bytes:,}")
            except _CutShortError as error:
                self._failed(name, str(error), failures)
            else:
                file.write(data)

    def _ask(self, name: str, start: int | None = None, end: int | None = None) -> bytes:
        """One request; `_CutShortError` when another may do better."""
        try:
            with _online(self._address):
                path = self._files._strip_protocol(join(self._address, name))
                return bytes(self._files.cat_file(path, start=start, end=end))
        except Exception as error:  # noqa: BLE001 (each client has errors of its own, and their texts hold the address)
            status = getattr(error, "status", None) or getattr(getattr(error, "response", None), "status_code", None)
            if isinstance(error, FileNotFoundError) or status == 404:
                raise FileNotFoundError(f"{self.name} has no {name}") from None
            if isinstance(error, PermissionError) or status in _REFUSED:
                raise UserError(
                    f"{self.name}/{name}: access is refused; give credentials where the client of "
                    f"{protocol(self._address)}:// looks for them (environment or its own files)"
                ) from None
            if isinstance(status, int) and 400 <= status < 500 and status not in _PASSING:
                raise UserError(f"{self.name}/{name}: the server answers {status}; check the address") from None
            reason = f"the server answers {status}" if isinstance(status, int) else type(error).__name__
            raise _CutShortError(reason) from None

    def _failed(self, name: str, reason: str, failures: list[str]) -> None:
        """Note a failed try and wait for the next; `RunError` after the last."""
        failures.append(reason)
        if len(failures) > self._retries:
            raise RunError(f"{self.name}/{name} cannot be read: {reason}, after {len(failures)} tries")
        wait_s = min(_MAX_WAIT_S, FIRST_WAIT_S * 2 ** (len(failures) - 1)) * random.uniform(0.5, 1)  # noqa: S311
        logger.info("%s/%s: %s; next try in %.1f s", self.name, name, reason, wait_s)
        time.sleep(wait_s)


def _options(address: str) -> dict[str, Any]:
    """What the client of an address is told beyond what the user's fsspec configuration says."""
    if protocol(address) not in ("http", "https"):
        return {}
    aiohttp = importlib.import_module("aiohttp")
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_TIMEOUT_S, sock_read=_TIMEOUT_S)
    return {
        "client_kwargs": {"timeout": timeout, "trust_env": True},  # proxies as other programs find them
        "headers": {"Accept-Encoding": "identity"},  # ranges are of the file, not of what a server makes of it
        "encoded": "%" in address or "?" in address,  # a signature is of the address as it was written
    }


def _redacted(error: Exception, address: str) -> str:
    return str(error).replace(address, redact(address))


@contextmanager
def _online(address: str) -> Iterator[None]:
    """Lets requests to `hf://` out, which the command line forbids to whatever else asks for the Hub."""
    if protocol(address) != "hf":
        yield
        return
    from huggingface_hub import constants

    with _hub:
        before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, False
        try:
            yield
        finally:
            constants.HF_HUB_OFFLINE = before
