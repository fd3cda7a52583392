"""Archives: what is unpacked, and each attack that is refused."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from camembert_bio.corpus import archives
from camembert_bio.corpus.archives import extract
from camembert_bio.errors import UserError

LIMIT = 200_000_000


def tar_of(path: Path, *members: tarfile.TarInfo, content: bytes = b"") -> Path:
    with tarfile.open(path, "w:gz" if path.suffix != ".tar" else "w") as made:
        for member in members:
            member.size = len(content) if member.isreg() else 0
            made.addfile(member, io.BytesIO(content))
    return path


def zip_of(path: Path, members: dict[str, bytes], kind: int = 0, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as made:
        for name, content in members.items():
            member = zipfile.ZipInfo(name)
            member.compress_type = method
            member.external_attr = kind << 16
            made.writestr(member, content)
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, target, 0o6777
    return made


def refused(archive: Path, tmp_path: Path, message: str, limit: int = LIMIT) -> None:
    folder = tmp_path / "out"
    folder.mkdir(exist_ok=True)
    with pytest.raises(UserError, match=message):
        extract(archive, folder, limit)
    assert not [path for path in tmp_path.iterdir() if path not in (archive, folder)]


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tgz"])
def test_files_and_folders_are_unpacked(name: str, tmp_path: Path) -> None:
    archive, text = tmp_path / name, "fièvre".encode()
    if name == "a.zip":
        zip_of(archive, {"corpus/": b"", "corpus/été/1.txt": text})
    else:
        tar_of(archive, member("./corpus", tarfile.DIRTYPE), member("corpus/été/1.txt"), content=text)
    (tmp_path / "out").mkdir()
    assert extract(archive, tmp_path / "out", LIMIT) == 1
    file = tmp_path / "out/corpus/été/1.txt"
    assert file.read_bytes() == text and not file.stat().st_mode & 0o6111  # rights are not taken over


@pytest.mark.parametrize("name", ["", "../x", "a/../../x", "/tmp/x", "a\\..\\x", "C:x", "a\x1b[2Jb"])
def test_paths_out_of_the_folder_are_refused(name: str, tmp_path: Path) -> None:
    refused(zip_of(tmp_path / "a.zip", {name: b"x"}), tmp_path, "member 1 has a path that is empty, absolute, leaves")
    (tmp_path / "a.zip").unlink()
    refused(
        tar_of(tmp_path / "a.tar", member(name), content=b"x"), tmp_path, "member 1 has a path that is empty, absolute"
    )


def test_a_path_that_is_too_long_is_refused(tmp_path: Path) -> None:
    refused(zip_of(tmp_path / "a.zip", {"x" * 300: b"x"}), tmp_path, "a path that is too long")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(kind: bytes, tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "a.tar.gz", member("x", kind, "/etc/passwd"), member("x/y"), content=b"x")
    refused(archive, tmp_path, "member 1 is a link, a device or a sparse file")


@pytest.mark.parametrize("kind", [0o120777, 0o020666, 0o010666])
def test_links_and_devices_in_a_zip_are_refused(kind: int, tmp_path: Path) -> None:
    refused(zip_of(tmp_path / "a.zip", {"x": b"/etc/passwd"}, kind), tmp_path, "member 1 is a link or a device")


def test_more_than_the_bound_is_refused_and_little_of_it_written(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "a.zip", {"a": bytes(600_000), "b": bytes(600_000)})
    refused(archive, tmp_path, "member 2 brings the content to over 1,000,000 bytes", 1_000_000)
    assert sum(file.stat().st_size for file in (tmp_path / "out").iterdir()) <= 1_000_000


@pytest.mark.parametrize("name", ["a.zip", "a.tgz"])
def test_a_bomb_is_refused_by_its_ratio(name: str, tmp_path: Path) -> None:
    archive, content = tmp_path / name, bytes(70 << 20)
    if name == "a.zip":
        zip_of(archive, {"x": content})
    else:
        tar_of(archive, member("x"), content=content)
    refused(archive, tmp_path, "brings the content to over 67,108,864 bytes", 1 << 40)


def test_a_size_that_lies_does_not_help_a_bomb(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "a.zip", {"x": bytes(3_000_000)})
    data = archive.read_bytes()
    archive.write_bytes(data.replace((3_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match="damaged"):
        extract(archive, tmp_path / "out", 1_000_000)
    assert (tmp_path / "out/x").stat().st_size <= 1_000_000


def test_a_header_of_a_tar_that_is_a_bomb_is_refused(tmp_path: Path) -> None:
    long = tarfile.TarInfo("x")
    long.pax_headers = {"comment": "x" * 5_000_000}
    with tarfile.open(tmp_path / "a.tgz", "w:gz", format=tarfile.PAX_FORMAT) as made:
        made.addfile(long)
    refused(tmp_path / "a.tgz", tmp_path, "is followed by over 1 MB that is no file")


def test_a_folder_that_claims_a_size_does_not_hide_a_header(tmp_path: Path) -> None:
    folder, long = member("d", tarfile.DIRTYPE), tarfile.TarInfo("x")
    folder.size, long.pax_headers = 1 << 32, {"comment": "x" * 5_000_000}
    with tarfile.open(tmp_path / "a.tgz", "w:gz", format=tarfile.PAX_FORMAT) as made:
        made.addfile(folder)
        made.addfile(long)
    refused(tmp_path / "a.tgz", tmp_path, "is followed by over 1 MB that is no file")


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBERS", 3)
    refused(zip_of(tmp_path / "a.zip", {f"{n}": b"" for n in range(4)}), tmp_path, "member 4 is one too many")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_one_path_twice_is_refused(tmp_path: Path) -> None:
    refused(
        tar_of(tmp_path / "a.tar", member("x"), member("./x"), content=b"x"), tmp_path, "member 2 has the path of a mem"
    )
    (tmp_path / "a.tar").unlink()
    refused(zip_of(tmp_path / "a.zip", {"y": b"", "y/z": b""}), tmp_path, "member 2 has the path of a file before it")


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "a.zip", {"x": b"x"})
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(data)
    refused(archive, tmp_path, "is encrypted")


def test_other_ways_to_compress_are_refused(tmp_path: Path) -> None:
    refused(zip_of(tmp_path / "a.zip", {"x": b"x"}, method=zipfile.ZIP_LZMA), tmp_path, "neither stored nor deflated")


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _flip(data: bytes) -> bytes:
    return data[:60] + bytes([data[60] ^ 255]) + data[61:]


@pytest.mark.parametrize("damage", [_cut, _flip, lambda data: b"", lambda data: b"<html>not found</html>"])
@pytest.mark.parametrize("name", ["a.zip", "a.tgz"])
def test_a_damaged_archive_is_refused(name: str, damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    archive, content = tmp_path / name, random.Random(0).randbytes(5000)
    if name == "a.zip":
        zip_of(archive, {"x": content})
    else:
        tar_of(archive, member("x"), content=content)
    archive.write_bytes(damage(archive.read_bytes()))
    refused(archive, tmp_path, "damaged, or no archive|member")


def test_damage_at_the_end_of_a_gzip_is_found(tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "a.tgz", member("x"), content=b"x")
    archive.write_bytes(archive.read_bytes()[:-8] + bytes(8))  # its sum
    refused(archive, tmp_path, "damaged")


@pytest.mark.parametrize("name", ["a.zip", "a.tar"])
def test_no_flipped_byte_leads_to_another_error(name: str, tmp_path: Path) -> None:
    """What is not refused was unpacked below the folder: 400 archives with one random byte changed."""
    archive, draw = tmp_path / name, random.Random(1)
    if name == "a.zip":
        zip_of(archive, {"d/x": b"fievre " * 50, "d/y": b"toux"})
    else:
        tar_of(archive, member("d", tarfile.DIRTYPE), member("d/x"), member("d/y"), content=b"toux")
    good = archive.read_bytes()[:6000]
    num_refused = 0
    for number in range(400):
        data = bytearray(good)
        data[draw.randrange(min(len(data), 3000))] = draw.randrange(256)
        archive.write_bytes(data)
        (tmp_path / f"out{number}").mkdir()
        try:
            extract(archive, tmp_path / f"out{number}", LIMIT)
        except UserError:
            num_refused += 1
    assert num_refused > 50
    assert all(path == archive or path.name.startswith("out") for path in tmp_path.iterdir())


def test_a_chain_of_headers_is_refused(tmp_path: Path) -> None:
    """Each header of type L is read by a call within the call for the one before."""
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 2
    link = header.tobuf(tarfile.GNU_FORMAT) + b"x".ljust(512, b"\0")
    with gzip.open(tmp_path / "a.tgz", "wb") as file:
        file.write(link * 1000 + tarfile.TarInfo("x").tobuf() + bytes(1024))
    refused(tmp_path / "a.tgz", tmp_path, "damaged|1 MB")
