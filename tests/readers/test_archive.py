"""Zips: unpacked once, completely, into the cache, and never anywhere else."""

from __future__ import annotations

import os
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from deepcams.core.errors import InputError, OutputError
from deepcams.files.cache import cache_dir, writable
from deepcams.readers.cams import open_cams
from deepcams.readers.formats import archive
from deepcams.readers.formats.archive import unpack

Save = Callable[..., Path]
World = Callable[..., xr.DataArray]


@pytest.fixture
def zipped(save: Save, world: World, tmp_path: Path) -> Path:
    path = tmp_path / "download.nc"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.write(save("data_sfc.nc", world("2019-01-01", 2)), "data_sfc.nc")
    return path


def entries() -> list[Path]:
    folder = cache_dir() / "unpacked"
    return sorted(folder.iterdir()) if folder.exists() else []


def test_unpacked_once_whatever_its_place(zipped: Path, tmp_path: Path) -> None:
    first = open_cams(zipped)
    (entry,) = entries()
    (member,) = entry.iterdir()
    stamp = member.stat().st_mtime_ns
    moved = zipped.rename(tmp_path / "moved.zip")
    xr.testing.assert_equal(open_cams(moved), first)
    assert entries() == [entry]
    assert member.stat().st_mtime_ns == stamp


def test_other_content_is_not_mistaken(zipped: Path, save: Save, world: World) -> None:
    before = open_cams(zipped).compute()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as file:
        file.write(save("b.nc", world("2019-01-01", 2, seed=1)), "data_sfc.nc")
    after = open_cams(zipped).compute()
    assert not np.array_equal(before.values, after.values)
    assert len(entries()) == 2


def test_damaged_cache_is_made_again(zipped: Path) -> None:
    first = open_cams(zipped).compute()
    (entry,) = entries()
    (member,) = entry.iterdir()
    member.write_bytes(member.read_bytes()[:100])
    xr.testing.assert_equal(open_cams(zipped), first)


def test_a_broken_off_unpacking_leaves_nothing(
    zipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", stop)
        with pytest.raises(KeyboardInterrupt):
            open_cams(zipped)
    assert entries() == []
    open_cams(zipped)
    assert len(entries()) == 1


def test_old_entries_are_forgotten(zipped: Path) -> None:
    root = cache_dir() / "unpacked"
    ages = {
        "old": archive.KEEP_DAYS + 1,
        "recent": 1,
        "new.1.partial": 0.1,
        "killed.2.partial": 1.5,
    }
    for name, days in ages.items():
        (root / name).mkdir(parents=True)
        os.utime(root / name, (time.time() - days * 86400,) * 2)
    open_cams(zipped)
    names = {entry.name for entry in entries()}
    assert {"recent", "new.1.partial"} <= names
    assert not {"old", "killed.2.partial"} & names


def test_no_room_to_unpack(
    zipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    monkeypatch.setenv("DEEPCAMS_CACHE", str(blocked))
    with pytest.raises(OutputError, match="DEEPCAMS_CACHE"):
        open_cams(zipped)
    assert not writable(blocked)
    assert writable(tmp_path / "made" / "here")


def test_full_disk(zipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=0))
    with pytest.raises(OutputError, match=r"unpacking needs .* only 0 B are free"):
        open_cams(zipped)
    assert all(not any(entry.iterdir()) for entry in entries())


def test_a_member_longer_than_promised_is_not_written(zipped: Path) -> None:
    data = bytearray(zipped.read_bytes())
    with zipfile.ZipFile(zipped) as file:
        size = file.infolist()[0].file_size
    at = data.rindex(b"PK\x01\x02") + 24  # uncompressed size in the central directory
    assert int.from_bytes(data[at : at + 4], "little") == size
    data[at : at + 4] = (size // 2).to_bytes(4, "little")
    zipped.write_bytes(data)
    with pytest.raises(InputError, match="damaged"):
        open_cams(zipped)
    assert entries() == []


def test_names_and_order_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name in ("z/data.nc", "a/data.nc", "ä b?.nc", "no.txt"):
            file.writestr(
                name, b"CDF\x01" + name.encode() if name.endswith("nc") else b"text"
            )
    found = unpack(path, lambda head: head.startswith(b"CDF"))
    assert [name for name, _ in found] == ["z/data.nc", "a/data.nc", "ä b?.nc"]
    assert [target.read_bytes()[4:].decode() for _, target in found] == [
        "z/data.nc",
        "a/data.nc",
        "ä b?.nc",
    ]
    assert all(target.parent.parent == cache_dir() / "unpacked" for _, target in found)


def test_a_damaged_copy_is_found_though_the_cache_has_the_members(
    zipped: Path, tmp_path: Path
) -> None:
    """A fetched zip is checked itself, whatever was unpacked from another copy of it."""
    unpack(zipped, _anything)
    content = bytearray(zipped.read_bytes())
    with zipfile.ZipFile(zipped) as archive:
        last = archive.infolist()[-1]
    content[last.header_offset + last.compress_size - 200] ^= 0xFF
    copy = tmp_path / "copy.zip"
    copy.write_bytes(content)
    assert unpack(copy, _anything) == unpack(zipped, _anything)
    with pytest.raises(InputError, match="a whole zip, found a damaged one"):
        unpack(copy, _anything, check=True)


def _anything(head: bytes) -> bool:
    return True
