"""Fetches a public source by its address: the only code of the package that opens a connection of its own.

FOLDER/NAME          the source, unpacked: whole, or not there
FOLDER/NAME.sha256   of each file as it was downloaded, as sha256sum writes them; later downloads must match
FOLDER/NAME.partial  what has arrived so far; the next try goes on from there
"""

from __future__ import annotations

import fcntl
import http.client
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from camembert_bio import files
from camembert_bio.corpus import archives, catalogue
from camembert_bio.corpus.catalogue import Address, PublicSource
from camembert_bio.errors import RunError, UserError
from camembert_bio.log import logger

WAITS_S = (1.0, 2.0, 4.0)
"""Between tries, of which there is one more."""
TIMEOUT_S = 60.0
"""Without a byte, after which a try has failed."""
_BLOCK = 1 << 18
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NETWORK = (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError)


class _CutShortError(Exception):
    """A try that failed; what has arrived stays."""


@dataclass(frozen=True)
class Downloaded:
    """What a download left."""

    folder: Path
    sha256: dict[str, str]
    """Of each file as it was downloaded."""
    pinned: bool
    """Whether each hash was known before; else this download recorded it."""


def download(source: PublicSource, folder: Path, sha256: str | None = None) -> Downloaded:
    """Fetch a source with a direct address into FOLDER/NAME and unpack it; `sha256` pins its only file.

    Without `sha256` a file's hash is that of FOLDER/NAME.sha256, or of the catalogue, or not known: then it is
    recorded. A broken transfer is tried four times in all, each going on where the last one ended where the server
    shows (ETag, Last-Modified), or the hash will, that the file is the same. Raises `UserError` for a source
    without an address, one that is there, a file that is gone, too large or of another hash, and an archive that
    is refused; `RunError` where the network fails: run it again.
    """
    _check_request(source, folder, sha256)
    target, record = folder / source.name, folder / f"{source.name}.sha256"
    expected = _expected(source, record, sha256)
    with _partial(folder / f"{source.name}.partial") as partial:
        hashes = {
            address.file: _fetch_file(address, partial, expected.get(address.file), source)
            for address in source.addresses
        }
        with files.atomic_folder(target) as made:
            for address in source.addresses:
                if archives.is_archive(address.file):
                    archives.extract(partial / address.file, made, source.max_unpacked_bytes)
                else:
                    shutil.copyfile(partial / address.file, made / address.file)
            files.write_atomic(record, "".join(f"{digest}  {name}\n" for name, digest in hashes.items()))
        shutil.rmtree(partial)
    return Downloaded(target, hashes, hashes.keys() <= expected.keys())


def _check_request(source: PublicSource, folder: Path, sha256: str | None) -> None:
    if not source.addresses:
        raise UserError(
            f"{source.name} has no direct address ({source.access}); see {source.page}, and `camembert-bio sources "
            f"{source.name}` for the reader"
        )
    if sha256 is not None and not _SHA256.fullmatch(sha256):
        raise UserError(f"--sha256 {sha256!r} is not 64 hexadecimal digits in lower case; take sha256sum's output")
    if sha256 is not None and len(source.addresses) != 1:
        raise UserError(f"--sha256 pins one file, and {source.name} has {len(source.addresses)}; leave it out")
    if (folder / source.name).exists():
        raise UserError(f"{folder / source.name} exists; remove it to download {source.name} again")


def _expected(source: PublicSource, record: Path, sha256: str | None) -> dict[str, str]:
    """The hash that each file must have, as far as it is known."""
    known = {address.file: address.sha256 for address in source.addresses if address.sha256}
    if record.exists():
        for line in record.read_text(encoding="utf-8", errors="replace").splitlines():
            digest, _, name = line.partition("  ")
            if not _SHA256.fullmatch(digest):
                raise UserError(f"{record} is not what a download recorded; remove it, or restore it")
            known[name] = digest
    if sha256:
        known[source.addresses[0].file] = sha256
    return known


@contextmanager
def _partial(folder: Path) -> Iterator[Path]:
    """The folder of what has arrived, held by one process at a time; what is refused goes with it."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another process downloads into {folder}; wait for it") from None
        try:
            yield folder
        except UserError:
            shutil.rmtree(folder)
            raise


def _fetch_file(address: Address, partial: Path, expected: str | None, source: PublicSource) -> str:
    """One whole file with the expected hash in `partial`; its hash."""
    done, part = partial / address.file, partial / f"{address.file}.part"
    if not done.exists():
        for wait_s in (*WAITS_S, None):
            try:
                _fetch(address.url, part, expected is not None, source.max_bytes)
                break
            except _CutShortError as error:
                if wait_s is None:
                    raise RunError(
                        f"{address.url}: {error}, after {len(WAITS_S) + 1} tries; run the command again to go on from "
                        f"byte {_size(part):,}"
                    ) from None
                logger.info("%s: %s; next try in %g s", address.file, error, wait_s)
                time.sleep(wait_s)
        files.fsync_path(part)
        part.rename(done)
        _validator(part).unlink(missing_ok=True)
    digest = files.sha256_file(done)
    if expected is not None and digest != expected:
        raise UserError(
            f"{address.url}: sha256 {digest} instead of {expected}; the file was damaged or replaced. Try again; where "
            f"its publisher tells of a new version, pass --sha256"
        )
    return digest


def _fetch(url: str, part: Path, hash_known: bool, max_bytes: int) -> None:
    """One try: bytes appended to `part` until the file is whole; `_CutShortError` when it is not.

    What is there is kept where the server says that the file is still the same, or the hash will tell.
    """
    validator = _read(_validator(part))
    start = _size(part) if validator or hash_known else 0
    headers = {"User-Agent": "camembert-bio", "Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-"} | ({"If-Range": validator} if validator else {})
    with _open(url, headers, part) as response:
        _check_answer(url, response, part, hash_known)
        if not (response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {start}-")):
            start = 0  # the whole file anew
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if length.isdecimal() else None
        _check_size(url, total or 0, max_bytes)
        if not start:
            part.unlink(missing_ok=True)
            files.write_atomic(_validator(part), _strong(response.headers))
        with open(part, "ab") as file:
            file.truncate(start)
            try:
                _copy(response, file, url, max_bytes)
            except _NETWORK as error:
                raise _CutShortError(f"broken off at byte {file.tell():,} ({type(error).__name__})") from None
            if total is not None and file.tell() < total:
                raise _CutShortError(f"broken off at byte {file.tell():,} of {total:,}")


def _check_answer(url: str, response: http.client.HTTPResponse, part: Path, hash_known: bool) -> None:
    """Refuse what is not the file: an answer without one, a page (of a login, say) where no hash would tell it."""
    if response.status not in (200, 206):
        raise UserError(f"{url}: the server answers {response.status}, without the file; see the source's page")
    kind = response.headers.get_content_type() if "Content-Type" in response.headers else ""
    name = part.name.removesuffix(".part")
    if hash_known or archives.is_archive(name):  # which tell by themselves
        return
    if kind in ("text/html", "application/xhtml+xml") and not name.lower().endswith((".html", ".htm")):
        raise UserError(
            f"{url}: the server sends a page ({kind}) instead of {name}; see the source's page, and give what the file "
            "must be with --sha256"
        )
    chunked = response.headers.get("Transfer-Encoding", "").lower() == "chunked"
    if "Content-Length" not in response.headers and not chunked:
        logger.warning(
            "%s: the server does not say how long %s is: one cut short is not noticed; look at it", url, name
        )


def _copy(response: http.client.HTTPResponse, file: IO[bytes], url: str, max_bytes: int) -> None:
    while block := response.read(_BLOCK):
        file.write(block)
        _check_size(url, file.tell(), max_bytes)


def _check_size(url: str, num_bytes: int, max_bytes: int) -> None:
    if num_bytes > max_bytes:
        raise UserError(f"{url}: has over {max_bytes:,} bytes, more than this source should; see its page")


@contextmanager
def _open(url: str, headers: dict[str, str], part: Path) -> Iterator[http.client.HTTPResponse]:
    """The answer to a request; proxies are taken from the environment (`https_proxy`)."""
    opener = urllib.request.build_opener(_HttpsStays)
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 (addresses are the catalogue's, all https)
    try:
        response = opener.open(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # nothing follows what is there: it is of another file
            part.unlink(missing_ok=True)
        elif error.code < 500 and error.code not in (408, 429):
            raise UserError(
                f"{url}: the server answers {error.code}; see the source's page for its new place"
            ) from None
        raise _CutShortError(f"the server answers {error.code}") from None
    except ValueError:
        raise UserError(f"{url}: sends to an address that is none; see the source's page") from None
    except _NETWORK as error:
        raise _CutShortError(str(getattr(error, "reason", "") or type(error).__name__)) from None
    with response:
        yield response


class _HttpsStays(urllib.request.HTTPRedirectHandler):
    """Refuses to be sent from https to anything else, or to no web address at all."""

    def redirect_request(self, req: urllib.request.Request, *rest: Any) -> urllib.request.Request | None:
        new = rest[-1]
        if urlsplit(new).scheme != "https" and urlsplit(new).scheme != urlsplit(req.full_url).scheme:
            raise UserError(f"{req.full_url}: sends to an address that is not https; see the source's page")
        return super().redirect_request(req, *rest)


def _strong(headers: http.client.HTTPMessage) -> str:
    """What proves in a later request that the file is the same; empty when nothing does."""
    etag = headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else headers.get("Last-Modified", "")


def _validator(part: Path) -> Path:
    return part.with_name(f"{part.name}.same")


def _read(path: Path) -> str:
    with suppress(FileNotFoundError):
        return path.read_text(encoding="utf-8")
    return ""


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def summary(source: PublicSource, done: Downloaded) -> str:
    """What was downloaded and how a recipe reads it."""
    hashes = [f"  {digest}  {name}" for name, digest in done.sha256.items()]
    told = "as it was known" if done.pinned else "recorded; later downloads must match"
    lines = [f"{done.folder}: {source.licence}", f"sha256, {told}:", *hashes]
    return "\n".join([*lines, "in a recipe:", catalogue.recipe_lines(source, str(done.folder))])
