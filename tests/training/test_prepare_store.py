"""Preparing a training store: what is in it, and what is left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from geos_files import BOX, V1, V2, hours, values, write, write_hours
from stored import DAY, frames, left_out, memory, snapshot

from deepcams.core.errors import DeepcamsNotice, InputError, OutputError
from deepcams.core.field import grid_of
from deepcams.core.grid import Grid
from deepcams.methods.spatial.coarsen import METHODS, area_mean, coarsen
from deepcams.readers.geos_cf import open_geos_cf
from deepcams.readers.open import open_field
from deepcams.simulation.world import SimulatedWorld
from deepcams.simulation.write_fields import write_days
from deepcams.simulation.write_geos_cf import write_geos_cf
from deepcams.simulation.write_world import simulate
from deepcams.training.store.open import Prepared
from deepcams.training.store.prepare import Preparation, prepare


@pytest.mark.parametrize("degradation", METHODS)
def test_real_hours(geos_cf_west: Path, tmp_path: Path, degradation: str) -> None:
    field = open_geos_cf(geos_cf_west)
    store = prepare(geos_cf_west, tmp_path / "a.zarr", degradation=degradation)
    assert (store.variable, store.degradation, store.mean) == (
        "pm2p5",
        degradation,
        True,
    )
    assert store.coarse == grid_of(coarsen(field, degradation))
    assert store.sources["family"] == "geos-cf v1"
    assert store.sources["inputs"]["files"] == 1
    np.testing.assert_array_equal(store.times, field.time.values)
    np.testing.assert_array_equal(frames(store), field.values)
    np.testing.assert_array_equal(
        frames(store, "coarse"), coarsen(field, degradation).values
    )
    assert left_out(store) == ()


def test_anyone_can_open_it(tmp_path: Path) -> None:
    write_hours(tmp_path / "in", DAY, 3)
    store = prepare(tmp_path / "in", tmp_path / "a.zarr")
    for name, grid in (("fine", store.fine), ("coarse", store.coarse)):
        with xr.open_zarr(tmp_path / "a.zarr", group=name) as found:
            assert grid_of(found.pm2p5.assign_attrs(units="ug m-3")) == grid
            assert found.pm2p5.attrs["cell_methods"] == "time: mean"
            np.testing.assert_array_equal(found.time.values, store.times)
            np.testing.assert_array_equal(found.pm2p5.values, frames(store, name))


@pytest.mark.parametrize("name", [V1, V2, V2.lower()])
def test_versions_and_hours_a_file(tmp_path: Path, name: str) -> None:
    write_hours(tmp_path / "in", DAY, 30, 12, name=name)
    times = hours(DAY, 30)
    store = prepare(tmp_path / "in", tmp_path / "a.zarr")
    assert store.sources["family"] == f"geos-cf v{1 if name == V1 else 2}"
    np.testing.assert_array_equal(store.times, times)
    np.testing.assert_array_equal(frames(store), values(times))


def test_versions_are_never_mixed(tmp_path: Path) -> None:
    write_hours(tmp_path / "in", DAY, 2)
    write_hours(tmp_path / "in", "2019-03-08T02:30", 2, name=V2)
    with pytest.raises(
        InputError, match=r"geos-cf v1 in .* and geos-cf v2 in .*must not be mixed"
    ):
        prepare(tmp_path / "in", tmp_path / "a.zarr")
    assert [p.name for p in tmp_path.iterdir()] == ["in"]
    store = prepare(sorted((tmp_path / "in").glob("GEOS-CF*")), tmp_path / "a.zarr")
    before = snapshot(store.path)
    with pytest.raises(OutputError, match="family was geos-cf v1, now geos-cf v2"):
        prepare(sorted((tmp_path / "in").glob("GEOS.cf*")), tmp_path / "a.zarr")
    assert snapshot(store.path) == before


def simulated(seed: int, mean: bool, first: str) -> xr.DataArray:
    """A field that says it is a simulated world; its values are quicker to come by."""
    times = hours(first, 2)
    words = SimulatedWorld(seed).field(BOX, times, mean).attrs
    return memory(times).assign_attrs(words)


def test_simulated_worlds_from_python_and_from_files_are_the_same(
    tmp_path: Path,
) -> None:
    field = simulated(7, True, "2019-12-01T23:30")
    write_geos_cf(field, tmp_path / "geos")
    write_days(simulated(7, False, "2019-12-01T22:00"), tmp_path / "field")
    python = prepare(field, tmp_path / "python.zarr")
    files = prepare(tmp_path / "geos", tmp_path / "files.zarr")
    instants = prepare(tmp_path / "field", tmp_path / "instants.zarr")
    assert (
        python.sources["family"]
        == files.sources["family"]
        == instants.sources["family"]
    )
    assert "simulated world" in files.sources["family"]
    assert files.sources["family"].endswith("seed 7")
    np.testing.assert_array_equal(frames(python), frames(files))
    assert (python.mean, instants.mean) == (True, False)
    assert str(instants.times[0]) == "2019-12-01T22:00:00.000000000"
    with pytest.raises(InputError, match="must not be mixed"):
        prepare([tmp_path / "geos", tmp_path / "field"], tmp_path / "mixed.zarr")
    write_geos_cf(simulated(8, True, "2019-12-02T01:30"), tmp_path / "geos")
    with pytest.raises(InputError, match=r"seed 7 in .* and .*seed 8"):
        prepare(tmp_path / "geos", tmp_path / "mixed.zarr")


@pytest.mark.slow
def test_the_simulated_world_itself(tmp_path: Path) -> None:
    box = (0.0, 46.0, 6.0, 50.0)
    simulate(tmp_path / "geos", "geos-cf", "2019-12-01T23", bbox=box, seed=7)
    world = SimulatedWorld(7).field(
        Grid.globe(0.25).select(box)[0], hours("2019-12-01T23:30", 1), mean=True
    )
    found = prepare(tmp_path / "geos", tmp_path / "files.zarr")
    np.testing.assert_array_equal(
        frames(found), frames(prepare(world, tmp_path / "python.zarr"))
    )


def plant_dirt(folder: Path) -> np.ndarray:
    """Thirty hours, of which only some are fit."""
    times = hours(DAY, 30)
    data = values(times)
    data[1, 3, 4] = 1e15
    data[2, 3, 4] = np.nan
    data[3] = 7
    data[4, :, 5:] = 0.25
    data[5, 2, 2] = -1.5
    data[6, 2, 2] = -0.5
    data[7, 9, 9] = 2e5
    data[8] *= 1e-9
    data[9, 1, 1] = np.inf
    missing = [12, 13]
    for k in range(30):
        if k not in (*missing, 20, 21):
            write(folder, times[k : k + 1], data[k : k + 1])
    other = Grid(0.25, 179, -10, 24, 36)
    write(folder, times[20:21], values(times[20:21], other), other)
    late = times[21:22] + np.timedelta64(15, "m")
    dirty = write(folder, times[21:22], values(times[21:22]))
    with xr.open_dataset(dirty) as whole:
        moved = whole.load().assign_coords(time=late)
    moved.to_netcdf(dirty)
    cut = folder / "GEOS-CF.v01.rpl.aqc_tavg_1hr_g1440x721_v1.20190309_0030z.nc4"
    cut.write_bytes(cut.read_bytes()[:3000])
    write(folder, times[15:16], data[15:16], label="-again")
    write(folder, times[16:17], data[16:17] * 2, label="-again")
    write(folder, times[5:6], values(times[5:6]), label="-mended")
    return data


def test_missing_repeated_and_implausible_hours_are_left_out_and_listed(
    tmp_path: Path,
) -> None:
    data = plant_dirt(tmp_path / "in")
    store = prepare(tmp_path / "in", tmp_path / "a.zarr")
    bad = {1, 2, 3, 4, 7, 8, 9, 12, 13, 16, 20, 21, 24}
    good = [k for k in range(30) if k not in bad]
    np.testing.assert_array_equal(store.times, hours(DAY, 30)[good])
    data[5] = values(hours(DAY, 30)[5:6])[0]
    data[6, 2, 2] = 0
    np.testing.assert_array_equal(frames(store), data[good])
    assert store.sources["negatives set to 0"] == 1
    found: dict[str, list[str]] = {}
    for fault in left_out(store):
        found.setdefault(fault.kind, []).append(fault.time[8:13])
    assert found == {
        "missing": ["08 12", "08 20", "09 00"],
        "unreadable": ["", ""],
        "grid": ["08 20"],
        "undefined": ["08 01", "08 02", "08 09"],
        "constant": ["08 03", "08 04"],
        "negative": ["08 05"],
        "too large": ["08 07"],
        "too small": ["08 08"],
        "contradictory": ["08 16"],
        "duplicated": ["08 15"],
    }
    gaps = {
        fault.time[8:13]: fault.hours
        for fault in left_out(store)
        if fault.kind == "missing"
    }
    assert gaps == {"08 12": 2, "08 20": 2, "09 00": 1}
    # The same again reads nothing; a mended file is read.
    again = Preparation(tmp_path / "in", tmp_path / "a.zarr").run()
    assert again.computed == 0
    assert again.report.faults == left_out(store)
    times = hours(DAY, 30)
    write(tmp_path / "in", times[24:25], values(times[24:25]))
    write(tmp_path / "in", times[1:2], values(times[1:2]))
    mended = Preparation(tmp_path / "in", tmp_path / "a.zarr").run()
    assert mended.computed == 2
    assert len(mended.store) == len(store) + 2
    assert "2019-03-09 00:30" not in [fault.time for fault in mended.report.faults]


def test_stamps_beside_the_others_in_any_field(tmp_path: Path) -> None:
    times = hours(DAY, 4)
    field = memory(times)
    odd = field.assign_coords(
        time=times + np.array([0, 0, 10, 0]) * np.timedelta64(1, "m")
    )
    store = prepare(odd, tmp_path / "a.zarr")
    assert len(store) == 3
    assert [(f.kind, f.time[-5:]) for f in left_out(store)] == [
        ("missing", "02:30"),
        ("stamp", "02:40"),
    ]


def test_period_and_box(tmp_path: Path) -> None:
    times = hours(DAY, 4)
    grid = Grid(0.25, 0, 0, 92, 1440)
    field = memory(times, grid)
    store = prepare(
        field,
        tmp_path / "s.zarr",
        period="2019-03-08T01..2019-03-08T06",
        bbox=(-3.1, 80, 5, 85),
        degradation="imresize",
    )
    np.testing.assert_array_equal(store.times, times[1:])
    assert [(f.kind, f.hours) for f in left_out(store)] == [("missing", 3)]
    assert store.coarse == Grid(0.75, 7, -4, 7, 12)
    whole = coarsen(field, "imresize")
    rows, columns = store.coarse.latitudes, store.coarse.longitudes % 360
    np.testing.assert_array_equal(
        frames(store, "coarse"), whole.sel(latitude=rows, longitude=columns).values[1:]
    )
    rows, columns = store.fine.latitudes, store.fine.longitudes % 360
    np.testing.assert_array_equal(
        frames(store), field.sel(latitude=rows, longitude=columns).values[1:]
    )
    with pytest.raises(InputError, match="--bbox"):
        prepare(field, tmp_path / "t.zarr", bbox=(0, -50, 10, -40))
    with pytest.raises(
        InputError,
        match=r"hours in the period .*found 2019-03-08 00:30 to 2019-03-08 03:30",
    ):
        prepare(field, tmp_path / "t.zarr", period="2018")
    assert [p.name for p in tmp_path.iterdir()] == ["s.zarr"]


def test_other_variables(tmp_path: Path) -> None:
    times = hours(DAY, 3)
    pm10 = write(tmp_path / "in", times, values(times), name="PM10_RH35")
    with xr.open_dataset(pm10) as found:
        both = found.load()
    both[V2] = (both["PM10_RH35"] / 2).assign_attrs(units="ug m-3")
    both.to_netcdf(pm10)
    coarse = prepare(tmp_path / "in", tmp_path / "pm10.zarr", variable="PM10_RH35")
    fine = prepare(tmp_path / "in", tmp_path / "pm25.zarr")
    assert (coarse.variable, fine.variable) == ("PM10_RH35", "pm2p5")
    np.testing.assert_array_equal(frames(coarse), values(times))
    np.testing.assert_array_equal(frames(fine), values(times) / 2)
    with pytest.raises(
        InputError, match=r"a training store of pm2p5, found one of PM10_RH35"
    ):
        Prepared.open(tmp_path / "pm10.zarr", "pm2p5")
    with pytest.raises(OutputError, match="variable was PM10_RH35, now pm2p5"):
        prepare(tmp_path / "in", tmp_path / "pm10.zarr")


def test_coarse_fields_are_refused_with_a_sentence(
    cams_dir: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        InputError,
        match=r"fields at 0.25 degrees, found 0.75 degrees.*deepcams downscale",
    ):
        prepare(cams_dir / "cams_eac4_20191231_new_layout.nc", tmp_path / "s.zarr")
    assert list(tmp_path.iterdir()) == []


def test_any_field_shows_what_fields_are_like(cams_dir: Path, tmp_path: Path) -> None:
    """CAMS at 0.75 degrees as fine, with its means over 2.25 degrees as coarse."""
    frames_of = cams_dir / "cams_eac4_20191231_new_layout.nc"
    store = prepare(frames_of, tmp_path / "s.zarr", step=0.75)
    assert (store.fine, store.coarse) == (Grid.globe(0.75), Grid.globe(2.25))
    field = open_field(frames_of)
    fine = np.maximum(field.values, 0)
    np.testing.assert_array_equal(frames(store), fine)
    np.testing.assert_allclose(
        frames(store, "coarse"), area_mean(fine, store.coarse), rtol=1e-6
    )
    with pytest.raises(InputError, match=r"--step: expected degrees above 0, found 0"):
        prepare(frames_of, tmp_path / "t.zarr", step=0)
    with pytest.raises(InputError, match=r"fields at 1 degrees, found 0\.75 degrees"):
        prepare(frames_of, tmp_path / "t.zarr", step=1)


def test_notes_of_files_are_told_once_and_counted(tmp_path: Path) -> None:
    for day in range(1, 6):  # five files of a day with one corrupt stamp each
        times = hours(f"2019-12-{day:02}T00:30", 24)
        path = write(tmp_path / "in", times, values(times))
        with xr.open_dataset(path) as found:
            changed = found.load()
        times[5] = times[3]
        changed.assign_coords(time=times).to_netcdf(path)
    with pytest.warns(DeepcamsNotice) as told:
        prepare(tmp_path / "in", tmp_path / "s.zarr")
    assert len(told) == 4
    assert "2 more such notes" in str(told[-1].message)
