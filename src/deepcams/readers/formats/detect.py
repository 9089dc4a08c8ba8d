"""Find the files that paths stand for, and recognise each by its content, regardless of its name."""

from __future__ import annotations

import glob
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import xarray as xr

from deepcams.core.errors import InputError, notice
from deepcams.core.text import counted
from deepcams.core.url import Place, Url, place_of
from deepcams.readers.formats.archive import BAD_ZIP, unpack
from deepcams.readers.protocols import Paths, listed, listed_places

if TYPE_CHECKING:
    from deepcams.files.object_storage import About

Kind = Literal["netcdf3", "hdf5", "grib", "zarr", "zip", "other"]

KINDS = {
    "netcdf3": "classic netCDF",
    "hdf5": "netCDF-4",
    "grib": "GRIB",
    "zarr": "Zarr",
    "zip": "zip",
    "other": "other",
}
"""Display names of the kinds of content."""
_HDF5 = b"\x89HDF\r\n\x1a\n"
_HEAD = 1024


@dataclass(frozen=True)
class DataFile:
    """One file (or Zarr store) with data.

    Attributes:
        path: absolute path of the data, valid in other processes: in the cache for a member of a zip and for a file
            at a URL; the URL of a Zarr store, which is read in place.
        kind: kind of content.
        given: the path or URL as the user gave it.
        member: name of the member if ``given`` is a zip.
        folder: folder in which it was found; ``None`` if it was named itself.
        source: name of the source that opens it, if chosen (:data:`deepcams.readers.SOURCE`).
        datasets: result of :func:`~deepcams.readers.formats.datasets.open_datasets`, once it is opened.
    """

    path: Place
    kind: Kind
    given: Place
    member: str = ""
    folder: Place | None = None
    source: str = ""
    datasets: tuple[xr.Dataset, ...] = field(default=(), compare=False, repr=False)

    @property
    def local(self) -> Path:
        """The local file; not available for a Zarr store at a URL."""
        assert isinstance(self.path, Path)
        return self.path

    @property
    def request(self) -> Place:
        """The user's argument that this file comes from: its zip or folder, else the file itself."""
        return self.given if self.member or self.folder is None else self.folder

    def __str__(self) -> str:
        return f"{self.given} ({self.member})" if self.member else str(self.given)


def kind_of(head: bytes) -> Kind | None:
    """Return the kind of data that begins with these bytes; ``None`` if it is not data."""
    if head[:3] == b"CDF" and head[3:4] in (b"\x01", b"\x02", b"\x05"):
        return "netcdf3"
    if head[:8] == _HDF5 or head[512:520] == _HDF5:
        return "hdf5"
    if b"GRIB" in head[:64]:
        return "grib"
    return "zip" if head[:4] in (b"PK\x03\x04", b"PK\x05\x06") else None


def looks_like(head: bytes) -> str:
    """Describe content that is not data."""
    if not head:
        return "an empty file"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    lower = text[:512].lower()
    if lower.startswith((b"<!doctype html", b"<html")) or b"<html" in lower:
        title = re.search(rb"<title[^>]*>(.*?)</title>", head, re.I | re.S)
        name = (
            " ".join(title[1].decode("utf-8", "replace").split())[:60] if title else ""
        )
        return (
            "an HTML page"
            + (f" ({name!r})" if name else "")
            + ", perhaps an error message of the server"
        )
    for start, words in (
        (b"\x1f\x8b", "a gzip file (unpack it first)"),
        (b"BZh", "a bzip2 file (unpack it first)"),
        (b"%PDF", "a PDF"),
        (b"\x89PNG", "a PNG picture"),
        (b"<?xml", "an XML document"),
        (b"\x0e\x03\x13\x01", "an HDF4 file"),
    ):
        if text.startswith(start):
            return words
    if head[257:262] == b"ustar":
        return "a tar archive (unpack it first)"
    if not head.strip(b"\0"):
        return "only zero bytes"
    try:
        line = head.decode("utf-8").strip().splitlines()[0][:60]
    except (UnicodeDecodeError, IndexError):
        return f"unknown content (it begins with {head[:8].hex(' ')})"
    return f"{'JSON text' if text.startswith(b'{') else 'text'} ({line!r})"


def _head(path: Path) -> bytes:
    """Return a file's first bytes.

    Raises:
        InputError: a dangling link, or not a regular file: reading a pipe would block.
    """
    if not path.exists():
        raise InputError(
            path,
            "a file",
            f"a link to {path.readlink()}, which is not there",
            "mend or remove the link",
        )
    if not path.is_file():
        raise InputError(
            path,
            "a file, folder or store",
            "a pipe, socket or device",
            "save it to a file first",
        )
    with path.open("rb") as file:
        return file.read(_HEAD)


def _is_zarr(path: Path) -> bool:
    return any(
        (path / name).is_file() for name in ("zarr.json", ".zgroup", ".zmetadata")
    )


def _holds_zarr(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.rpartition("/")[2] for name in archive.namelist()}
    except BAD_ZIP:
        return False  # unpacking reports the error
    return bool(names & {"zarr.json", ".zgroup", ".zarray", ".zmetadata"})


def _expand(path: Path) -> Iterator[tuple[Path, bool]]:
    """Yield the files and stores that a path stands for, each with whether it was found in a folder."""
    if path.is_dir():
        if _is_zarr(path):
            yield path, False
            return
        found = sorted(_walk(path))
        if not found:
            raise InputError(
                path,
                "a folder with data files",
                "an empty one",
                "give files, a glob or another folder",
            )
        for inner in found:
            yield inner, True
    elif path.exists() or path.is_symlink():
        yield path, False
    elif glob.has_magic(str(path)):
        matches = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207 (patterns may be absolute)
        if not matches:
            raise InputError(path, "files that match", "none", "check the pattern")
        for match in matches:
            yield from _expand(Path(match))
    else:
        raise InputError(
            path, "a file, folder or glob", "nothing of this name", "check the path"
        )


def _walk(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    above = (*above, folder.resolve())
    for entry in folder.iterdir():
        if entry.name.startswith(".") or entry.suffix == ".idx":
            continue
        if (
            entry / ".deepcams"
        ).is_dir():  # deepcams' own output in the folder is not input unless named
            continue
        if (
            not entry.exists() or entry.is_file() or _is_zarr(entry)
        ):  # a dangling link is reported, not left out
            yield entry
        elif (
            entry.is_dir() and entry.resolve() not in above
        ):  # a link to a parent folder would recurse endlessly
            yield from _walk(entry, above)


@dataclass(frozen=True)
class _Found:
    """A file or store that was found, and its kind."""

    place: Place
    kind: Kind | None
    folder: Place | None
    about: About | None = None


def find_files(
    paths: Paths, *, urls: bool = True, others: bool = False
) -> list[DataFile]:
    """Find all data files that ``paths`` stand for; zips are unpacked (once, into the cache), folders walked.

    A file given by name or glob must hold data; in a folder other files are left out, with a notice. Files at URLs
    are copied to the cache once; Zarr stores at URLs are read in place.

    Args:
        paths: files, folders, globs and URLs.
        urls: whether URLs are allowed.
        others: whether a file given by name or glob may have another format (kind ``other``), for sources that open it.

    Raises:
        InputError: nothing is found, a file is not data, or a file is damaged; the message describes its content.
        MissingExtraError: a URL is given and obstore is not installed.
    """
    given = listed_places(paths) if urls else list[str | Place](listed(paths))
    if not given:
        raise InputError("input", "at least one file", "none")
    found: list[_Found] = []
    seen: set[Place] = set()
    for one in map(place_of, given):
        several = _found_there(one) if isinstance(one, Url) else _found_here(one)
        for each in several:
            place = each.place if isinstance(each.place, Url) else each.place.resolve()
            if place not in seen:
                seen.add(place)
                found.append(each)
    other = [each.place for each in found if each.kind is None and each.folder]
    found = [each for each in found if each.kind or not each.folder]
    if others:
        found = [replace(each, kind=each.kind or "other") for each in found]
    if not found:
        raise InputError(
            place_of(given[0]),
            "a folder with netCDF or GRIB files",
            counted(len(other), "other file"),
        )
    files = _all_recognised(found)
    if other:
        names = ", ".join(path.name for path in other[:3]) + (
            ", .." if len(other) > 3 else ""
        )
        left = f"{counted(len(other), 'file')} without data {'is' if len(other) == 1 else 'are'} left out"
        notice(f"{other[0].parent}: {left} ({names})")
    return files


def _found_here(path: Path) -> Iterator[_Found]:
    for one, in_folder in _expand(path.expanduser()):
        kind: Kind | None = "zarr" if one.is_dir() else kind_of(_head(one))
        yield _Found(one, kind, one.parent if in_folder else None)


def _found_there(url: Url) -> Iterator[_Found]:
    from deepcams.readers.formats.remote import find_remote

    for one in find_remote(url):
        kind: Kind | None = "zarr"
        if one.about is not None:
            kind = kind_of(one.head())
        yield _Found(one.url, kind, one.folder, one.about)


def _all_recognised(found: list[_Found]) -> list[DataFile]:
    """Return the data files for what was found; those at URLs are copied to the cache together."""
    remote = [
        (each.place, each.about)
        for each in found
        if isinstance(each.place, Url) and each.about is not None and each.kind
    ]
    copies: dict[Place, Path] = {}
    if remote:
        from deepcams.files.copies import copied

        urls = [url for url, _ in remote]
        copies = dict(zip(urls, copied(remote), strict=True))
    files: list[DataFile] = []
    for each in found:
        path = copies.get(each.place, each.place)
        files.extend(
            replace(file, folder=each.folder)
            for file in _recognised(path, each.kind, each.place)
        )
    return files


def _recognised(path: Place, kind: Kind | None, given: Place) -> list[DataFile]:
    """Return a file, or the data members of a zip."""
    if kind is None:
        raise InputError(
            given,
            "netCDF, GRIB, Zarr or a zip of them",
            looks_like(_head_of(path)),
            "download it again",
        )
    if kind != "zip":
        whole = path.absolute() if isinstance(path, Path) else path
        return [DataFile(whole, kind, given)]
    assert isinstance(path, Path)
    if _holds_zarr(path):
        found, do = "a zipped Zarr store", "unzip it into a folder and open that"
        raise InputError(
            given, "netCDF, GRIB, a Zarr store or a zip of netCDF or GRIB", found, do
        )
    inner = []
    for member, file in unpack(
        path, lambda head: kind_of(head) not in (None, "zip"), shown=given
    ):
        member_kind = kind_of(_head(file))
        assert member_kind is not None
        inner.append(DataFile(file.absolute(), member_kind, given, member))
    return inner


def _head_of(place: Place) -> bytes:
    if isinstance(place, Path):
        return _head(place)
    from deepcams.files.object_storage import ObjectStorage

    return ObjectStorage(place.parent).head(place.name, _HEAD)
