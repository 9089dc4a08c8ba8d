"""Disks that are full or read-only, and inputs that change or vanish in the middle: one line, and nothing is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import xarray as xr

from cli.test_downscale import LINEAR, command, contents, write_record
from deepcams.core.errors import DeepcamsError, OutputError
from deepcams.downscaling.job import downscale_to
from deepcams.readers.cams import open_cams
from downscaling.test_job import opened

pytestmark = [pytest.mark.slow]
METHODS = {"temporal": "linear", "spatial": "bicubic", "conserve": False}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_record(tmp_path / "cams.nc", 65, step=3.0)
    (tmp_path / "whole").mkdir()
    subprocess.run(arguments("-o", "whole/a.zarr"), check=True, capture_output=True)
    return tmp_path


def arguments(*more: str) -> list[str]:
    return command("cams.nc", *more, *LINEAR)


@pytest.fixture
def small_disk(here: Path) -> Iterator[Callable[[int], Path]]:
    """A disk of so many kilobytes, which can be made larger; needs the right to mount one."""
    place = here / "disk"
    place.mkdir()
    mounted = []

    def mount(size: int) -> Path:
        option = f"remount,size={size}k" if mounted else f"size={size}k"
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", option, "tmpfs", place],
            capture_output=True,
            check=False,
        )
        if made.returncode:
            pytest.skip("no disk may be mounted here")
        mounted.append(size)
        return place

    if sys.platform != "linux" or shutil.which("mount") is None:
        pytest.skip("no disk of a chosen size here")
    yield mount
    subprocess.run(["umount", place], check=False, capture_output=True)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
def test_a_disk_that_fills_up(
    here: Path, small_disk: Callable[[int], Path], share: float
) -> None:
    """The estimate is made before the start; so the disk is filled by somebody else meanwhile."""
    needed = sum(p.stat().st_size for p in (here / "whole").rglob("*")) // 1024
    disk = small_disk(4 * needed)
    started = downscale_to_full(disk, needed, share)
    assert "No space left on device" in started
    assert started.endswith("free some space and run the same command again")
    assert "\n" not in started
    for name in disk.glob("filler"):
        name.unlink()
    rerun = arguments("-o", str(disk / "a.zarr"))
    subprocess.run(rerun, check=True, capture_output=True)
    found, expected = contents(disk / "a.zarr"), contents(here / "whole/a.zarr")
    for name in ("request", "request-copy"):  # settings as Python gave them
        for each in (found, expected):
            each.pop(f".deepcams/{name}.record.json")
    assert found == expected


def downscale_to_full(disk: Path, needed: int, share: float) -> str:
    """Downscale while somebody fills the disk, but for a share of what is needed; return the error."""

    def fill(stage: str, done: int, total: int) -> None:
        if done or (disk / "filler").exists():
            return
        free = shutil.disk_usage(disk).free
        with (disk / "filler").open("wb") as file:
            file.write(os.urandom(max(free - int(needed * 1024 * share), 0)))

    with pytest.raises(OutputError) as caught:
        downscale_to(
            open_cams("cams.nc"),
            disk / "a.zarr",
            progress=fill,
            inputs=["cams.nc"],
            **METHODS,
        )
    return str(caught.value)


@pytest.mark.skipif(sys.platform != "linux", reason="no such folder")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.zarr", "of free space, found 0 B"),
        ("a.nc", "of free space, found 0 B"),
        ("days", "of free space, found 0 B"),
        ("absent/a.zarr", "the folder /proc/absent does not exist; create it first"),
    ],
)
def test_a_target_that_may_not_be_written(here: Path, name: str, words: str) -> None:
    done = subprocess.run(
        arguments("-o", f"/proc/{name}"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert words in done.stderr


@pytest.mark.parametrize("removed", [True, False])
@pytest.mark.parametrize("scanned", [True, False])
def test_an_input_that_changes_in_the_middle(
    here: Path, monkeypatch: pytest.MonkeyPatch, removed: bool, scanned: bool
) -> None:
    """Either the run ends as it was begun, or it stops; its output never mixes two inputs without a word."""
    from deepcams.downscaling import inputs

    if not scanned:  # as inputs of many gigabytes are not
        monkeypatch.setattr(inputs, "SCAN_BYTES", 0)
    original = (here / "cams.nc").read_bytes()

    def disturb(stage: str, done: int, total: int) -> None:
        if done < 48:
            return
        if removed:
            (here / "cams.nc").unlink(missing_ok=True)
        elif (here / "cams.nc").read_bytes() == original:
            with xr.open_dataset("cams.nc") as dataset:
                changed = dataset.load()
            changed["pm2p5"] = changed.pm2p5 * 2
            changed.to_netcdf("new.nc")
            Path("new.nc").replace("cams.nc")

    field, said = open_cams("cams.nc"), list[str]()
    try:
        downscale_to(field, "a.zarr", progress=disturb, inputs=["cams.nc"], **METHODS)
    except DeepcamsError as error:  # whether it does depends on the library below
        said.append(str(error))
    assert not any("\n" in line for line in said)
    if not removed:
        with pytest.raises(DeepcamsError, match=r"input|inputs"):
            downscale_to(open_cams("cams.nc"), "a.zarr", inputs=["cams.nc"], **METHODS)
    (here / "cams.nc").write_bytes(original)
    downscale_to(open_cams("cams.nc"), "a.zarr", inputs=["cams.nc"], **METHODS)
    xr.testing.assert_equal(opened(here / "a.zarr"), opened(here / "whole/a.zarr"))
