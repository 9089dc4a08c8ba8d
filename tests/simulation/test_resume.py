"""A simulation that was killed goes on within a file; two in one folder do not write over each other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from deepcams.core.errors import InputError, OutputError
from deepcams.core.field import as_field
from deepcams.core.grid import Grid
from deepcams.core.progress import Progress, no_progress
from deepcams.simulation.write_cams import write_cams
from deepcams.simulation.write_fields import write_days
from deepcams.simulation.write_geos_cf import write_geos_cf
from deepcams.simulation.write_world import simulate

GRID = Grid.globe(0.75).select((100.0, 30.0, 106.0, 36.0))[0]


class Stop(BaseException):
    """Not to be caught, as a kill."""


@pytest.fixture
def counted() -> tuple[xr.DataArray, list[int]]:
    """A lazy day of eight blocks of 3 hours, and the blocks that were computed."""
    times = np.datetime64("2019-12-01", "ns") + np.arange(24) * np.timedelta64(1, "h")
    computed = list[int]()

    def make(block_info: Any = None) -> np.ndarray:
        (first, last), *_ = block_info[None]["array-location"]
        computed.append(first)
        return (
            np.random.default_rng(first)
            .lognormal(1, 1, (last - first, *GRID.shape))
            .astype(np.float32)
        )

    chunks = ((3,) * 8, *((size,) for size in GRID.shape))
    data = da.map_blocks(
        make, chunks=chunks, dtype=np.float32, meta=np.empty((0, 0, 0), np.float32)
    )
    about = {
        "units": "ug m-3",
        "source": "noise",
        "cell_methods": "time: point",
        "long_name": "PM2.5",
        "standard_name": "mass_concentration_of_pm2p5_ambient_aerosol_particles_in_air",
    }
    coords = {"time": times, "latitude": GRID.latitudes, "longitude": GRID.longitudes}
    field = as_field(
        xr.DataArray(data, coords, ("time", "latitude", "longitude"), "pm2p5", about)
    )
    computed.clear()
    return field, computed


def new(field: xr.DataArray, folder: Path, world: str, progress: Progress) -> Path:
    path = folder / "a.nc"
    write_cams(field, path, progress=progress, world=world)
    return path


def zipped(field: xr.DataArray, folder: Path, world: str, progress: Progress) -> Path:
    path = folder / "a.zip"
    write_cams(field, path, "zip", progress=progress, world=world)
    return path


def day(field: xr.DataArray, folder: Path, world: str, progress: Progress) -> Path:
    return write_days(field, folder, progress=progress, world=world).paths[0]


def killed_at(hours: int) -> Progress:
    def progress(stage: str, done: int, total: int) -> None:
        if done >= hours:
            raise Stop

    return progress


@pytest.mark.parametrize("write", [new, zipped, day])
@pytest.mark.parametrize(
    "damage", ["none", "cut off", "other bytes", "damaged record", "another world"]
)
def test_a_killed_file_goes_on_where_it_was(
    write: Callable[..., Path],
    damage: str,
    counted: tuple[xr.DataArray, list[int]],
    tmp_path: Path,
) -> None:
    field, computed = counted
    truth = write(field, tmp_path / "whole", "w", no_progress).read_bytes()
    assert computed == list(range(0, 24, 3))
    computed.clear()
    with pytest.raises(Stop):
        write(field, tmp_path / "cut", "w", killed_at(15))
    assert [path.name for path in (tmp_path / "cut").iterdir()] == [
        ".deepcams-simulation"
    ]
    third = sorted(
        (tmp_path / "cut").rglob("*.npy"), key=lambda path: path.stat().st_mtime_ns
    )[2]
    data = bytearray(third.read_bytes())
    if damage == "cut off":
        third.write_bytes(data[:-10])
    elif damage == "other bytes":
        data[-10] ^= 1
        third.write_bytes(data)
    elif damage == "damaged record":
        for record in (tmp_path / "cut").rglob("*.record.json"):
            record.write_text("{")
    computed.clear()
    world = "other" if damage == "another world" else "w"
    path = write(field, tmp_path / "cut", world, no_progress)
    again = {"none": [], "cut off": [6], "other bytes": [6]}.get(
        damage, [0, 3, 6, 9, 12]
    )
    assert computed == [*again, 15, 18, 21]
    assert path.read_bytes() == truth
    assert list((tmp_path / "cut").rglob("*.npy")) == []


def test_only_blocks_with_missing_hours_are_computed(
    counted: tuple[xr.DataArray, list[int]], tmp_path: Path
) -> None:
    field, computed = counted
    half = np.timedelta64(30, "m")
    field = field.assign_coords(time=field.time + half).assign_attrs(
        cell_methods="time: mean"
    )
    paths = write_geos_cf(field, tmp_path).paths
    assert computed == list(range(0, 24, 3))
    before = [path.read_bytes() for path in paths]
    for k in (4, 5, 6):
        paths[k].unlink()
    computed.clear()
    again = write_geos_cf(field, tmp_path)
    assert (again.files, again.kept, computed) == (3, 21, [3, 6])
    assert [path.read_bytes() for path in paths] == before
    assert write_geos_cf(field, tmp_path).kept == 24
    assert computed == [3, 6]


def test_writers_are_told_which_world_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another world's blocks, of a folder that was taken over, must not be taken for this one's."""
    told = list[str]()

    def write(field: xr.DataArray, path: Path, *, world: str, **more: Any) -> bool:
        told.append(world)
        path.touch()
        return True

    monkeypatch.setattr("deepcams.simulation.write_world.write_cams", write)
    for k, (seed, box) in enumerate(
        [(0, (75, 20, 80, 24)), (1, (75, 20, 80, 24)), (1, (75, 20, 80, 25))]
    ):
        simulate(tmp_path / str(k), "cams", "2019-12-01T00", bbox=box, seed=seed)
    assert len(set(told)) == 3
    assert "" not in told


def test_two_simulations_in_one_folder_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, box = tmp_path / "a" / "b", (75.0, 20.0, 80.0, 24.0)

    def second(field: xr.DataArray, path: Path, **more: Any) -> bool:
        with pytest.raises(OutputError) as caught:
            simulate(folder, "field", "2019-12-01T00..2019-12-01T01", bbox=box)
        path.write_text(str(caught.value))
        return True

    monkeypatch.setattr("deepcams.simulation.write_world.write_cams", second)
    (path,) = simulate(folder, "cams", "2019-12-01T00", bbox=box).written.paths
    words = path.read_text()
    assert words.startswith(f"{folder}: another deepcams writes to it now")
    assert words.endswith("; wait for it, or choose another name")
    assert not list(folder.rglob("lock"))


def test_what_is_refused_leaves_no_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--bbox"):
        simulate(tmp_path / "a" / "b", "cams", "2019-12-01", bbox=(75, 24, 80, 20))
    assert list(tmp_path.iterdir()) == []
