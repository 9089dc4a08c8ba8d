"""Zip archives from the data stores (under any name), unpacked safely and only once.

Members are unpacked to the cache, into a folder named by a hash of the zip directory (names, lengths, checksums), so
that the same zip is unpacked once wherever it is stored. The folder appears under its name only when complete.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import shutil
import stat
import struct
import uuid
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath, PureWindowsPath

from deepcams.core.errors import InputError, OutputError
from deepcams.core.text import size
from deepcams.files.atomic import UNFINISHED
from deepcams.files.cache import cache_dir, forget_old

MAX_RATIO = 250
"""Largest accepted ratio of unpacked to packed size (beyond the first 256 MiB); that of real fields is 1 to 20."""
MAX_MEMBERS = 10_000
KEEP_DAYS = 14
"""Days after which an unused unpacked zip is removed, when another is unpacked."""
_FREE_GROWTH = 256 << 20
_PIECE = 1 << 20
BAD_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    ValueError,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
)
"""Exceptions that reading a damaged zip may raise."""


def unpack(
    path: Path,
    is_data: Callable[[bytes], bool],
    check: bool = False,
    shown: object = None,
) -> list[tuple[str, Path]]:
    """Unpack a zip's data members into the cache.

    Args:
        path: the zip, under any name.
        is_data: returns whether a member is data, given its first 1,024 bytes; other members stay packed.
        check: verify the checksums of all members, even if the cache has them from another copy of the zip.
        shown: name of the zip in messages (default: its path).

    Returns:
        name and unpacked file of each data member, in the zip's order.

    Raises:
        InputError: the zip is damaged, encrypted or without data, a member's name leads out of the folder, or the
            unpacked size is implausible.
        OutputError: the disk has too little space.
    """
    shown = path if shown is None else shown
    try:
        with zipfile.ZipFile(path) as archive:
            # is_dir fails for a member without a name
            members = [m for m in archive.infolist() if not m.filename.endswith("/")]
            _check_members(path, members, shown)
            bad = archive.testzip() if check else None
            if bad is not None:
                raise zipfile.BadZipFile(f"wrong check sum of {bad}")
            data = [member for member in members if is_data(_head(archive, member))]
            if not data:
                names = (
                    ", ".join(member.filename for member in members[:5]) or "nothing"
                )
                raise InputError(
                    shown,
                    "a zip with netCDF or GRIB data",
                    f"one that holds {names}",
                    "download it again",
                )
            folder = _folder(data)
            targets = [
                (member.filename, folder / _safe_name(i, member))
                for i, member in enumerate(data)
            ]
            if _complete(folder, data):
                os.utime(folder)
                return targets
            forget_old(folder.parent, KEEP_DAYS)
            _extract(archive, data, folder, shown)
            return targets
    except InputError:
        raise
    except BAD_ZIP as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise OutputError(
                f"{shown} cannot be unpacked into {cache_dir()}: {error.strerror}; set DEEPCAMS_CACHE"
            ) from error
        cut = "not a zip" in str(error)  # the directory at the end is missing
        found = "a truncated one" if cut else f"a damaged one ({error})"
        raise InputError(shown, "a whole zip", found, "download it again") from error


def _check_members(path: Path, members: list[zipfile.ZipInfo], shown: object) -> None:
    for member in members:
        name = member.orig_filename
        posix, windows = PurePosixPath(name), PureWindowsPath(name)
        if (
            posix.is_absolute()
            or windows.drive
            or windows.root
            or ".." in posix.parts
            or ".." in windows.parts
        ):
            raise InputError(
                shown,
                "member names inside the zip's own folder",
                repr(name),
                "do not trust this file",
            )
        if stat.S_ISLNK(member.external_attr >> 16):
            raise InputError(
                shown,
                "plain files in the zip",
                f"a link {name!r}",
                "do not trust this file",
            )
        if member.flag_bits & 0x1:
            raise InputError(
                shown,
                "a zip without a password",
                f"{name!r} encrypted",
                "unpack it yourself first",
            )
    grown, packed = (
        sum(m.file_size for m in members),
        sum(m.compress_size for m in members),
    )
    if (
        len(members) > MAX_MEMBERS
        or grown > _FREE_GROWTH + MAX_RATIO * packed
        or packed > path.stat().st_size
    ):
        found = f"{len(members)} members growing from {packed / 1e6:.3g} to {grown / 1e6:.3g} MB"
        raise InputError(
            shown, "a zip of fields", found, "unpack it yourself if you trust it"
        )


def _head(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    with archive.open(member) as stream:
        return stream.read(1024)


def _safe_name(index: int, member: zipfile.ZipInfo) -> str:
    kept = "".join(
        c if c.isalnum() or c in "._-" else "_"
        for c in PurePosixPath(member.filename).name
    )
    return f"{index:04d}-{kept[-80:]}"


def _folder(members: list[zipfile.ZipInfo]) -> Path:
    directory = "\n".join(
        f"{m.filename}\0{m.file_size}\0{m.compress_size}\0{m.CRC:08x}" for m in members
    )
    return (
        cache_dir()
        / "unpacked"
        / hashlib.sha256(directory.encode("utf-8", "surrogateescape")).hexdigest()[:32]
    )


def _extract(
    archive: zipfile.ZipFile,
    members: list[zipfile.ZipInfo],
    folder: Path,
    shown: object,
) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    needed, free = (
        sum(member.file_size for member in members),
        shutil.disk_usage(folder.parent).free,
    )
    if needed > free:
        raise OutputError(
            f"{shown}: unpacking needs {size(needed)} in {folder.parent}, only {size(free)} are free; "
            "set DEEPCAMS_CACHE to a larger disk"
        )
    part = folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:8]}{UNFINISHED}")
    part.mkdir()
    try:
        for index, member in enumerate(members):
            with (
                archive.open(member) as stream,
                (part / _safe_name(index, member)).open("xb") as target,
            ):
                shutil.copyfileobj(
                    stream, target, _PIECE
                )  # bounded by the declared size; verifies the checksum
        try:
            part.rename(folder)
        except OSError:
            if folder.is_dir() and _complete(folder, members):
                return  # another process finished first
            shutil.rmtree(folder, ignore_errors=True)
            part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _complete(folder: Path, members: list[zipfile.ZipInfo]) -> bool:
    files = [folder / _safe_name(index, member) for index, member in enumerate(members)]
    return all(
        f.is_file() and f.stat().st_size == m.file_size
        for f, m in zip(files, members, strict=True)
    )
