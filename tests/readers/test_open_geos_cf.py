"""open_geos_cf: both versions, file by file or saved from OPeNDAP, hourly means stamped HH:30."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from deepcams.core.errors import InputError
from deepcams.core.field import grid_of, is_mean
from deepcams.core.grid import Grid
from deepcams.readers.geos_cf import mend_times, open_geos_cf
from deepcams.readers.open import open_field

Save = Callable[..., Path]
World = Callable[..., xr.DataArray]
V1, V2 = "PM25_RH35_GCC", "PM25_RH35"


def geos(
    world: World, start: str, count: int, name: str = V1, units: str | None = "ug m-3"
) -> xr.Dataset:
    """In GEOS-CF's layout: a level, south first, from the dateline, lat and lon."""
    record = world(start, count, hours=1) * np.float32(1e9)
    record = record.assign_coords(
        longitude=(record.longitude + 180) % 360 - 180
    ).sortby(["latitude", "longitude"])
    record = (
        record.rename(latitude="lat", longitude="lon")
        .expand_dims(lev=[72.0], axis=1)
        .rename(name)
    )
    record.attrs = {} if units is None else {"units": units}
    return record.to_dataset()


def test_real_hours(geos_cf_west: Path) -> None:
    field = open_geos_cf(geos_cf_west)
    assert is_mean(field)
    assert field.name == "pm2p5"
    assert field.attrs["source"] == "NASA GEOS-CF version 1"
    assert list(field.time.values.astype("datetime64[m]").astype(str)) == [
        f"2019-03-08T0{h}:30" for h in range(4)
    ]
    grid = grid_of(field)
    assert grid.shape == (721, 717)
    assert (grid.latitudes[0], grid.longitudes[0], grid.longitudes[-1]) == (
        90,
        180.5,
        359.5,
    )
    raw = xr.open_dataset(geos_cf_west).PM25_RH35_GCC
    np.testing.assert_array_equal(field.values, raw.values[:, 0, ::-1])


@pytest.mark.parametrize(
    ("name", "version"), [(V1, 1), (V2, 2), (V1.lower(), 1), (V2.lower(), 2)]
)
@pytest.mark.parametrize("units", ["ug m-3", None, "µg/m³ at 35% RH", "1"])
def test_versions_names_and_units(
    save: Save, world: World, name: str, version: int, units: str | None
) -> None:
    data = geos(world, "2019-03-08T00:30", 3, name, units)
    path = save("a.nc4", data)
    field = open_geos_cf(path)
    assert field.attrs["units"] == "ug m-3"
    assert field.attrs["source"].endswith(f"version {version}")
    assert grid_of(field) == Grid.globe(7.5)
    wanted = world("2019-03-08T00:30", 3, hours=1).values * np.float32(1e9)
    np.testing.assert_array_equal(field.values, wanted)


def test_units_in_the_file_are_believed(save: Save, world: World) -> None:
    milligrams = open_geos_cf(
        save("a.nc4", geos(world, "2019-03-08T00:30", 1, V1, "mg m-3"))
    )
    wanted = (
        world("2019-03-08T00:30", 1, hours=1).values * np.float32(1e9) * np.float32(1e3)
    )
    np.testing.assert_allclose(milligrams.values, wanted, rtol=1e-6)


@pytest.mark.parametrize("units", ["banana", "K", "mol mol-1"])
def test_other_units_are_refused(save: Save, world: World, units: str) -> None:
    with pytest.raises(
        InputError,
        match=f"{V1}: units: expected a mass concentration .* found '{units}'",
    ):
        open_geos_cf(save("a.nc4", geos(world, "2019-03-08T00:30", 1, V1, units)))


def test_hourly_files_in_any_order(save: Save, world: World) -> None:
    data = geos(world, "2019-03-08T00:30", 30)
    paths = [
        save(f"in/GEOS-CF.v01.rpl.{k:02d}.nc4", data.isel(time=[k]))
        for k in (*range(20, 30), *range(20))
    ]
    field = open_geos_cf(paths)
    np.testing.assert_array_equal(
        field.values, world("2019-03-08T00:30", 30, hours=1).values * np.float32(1e9)
    )
    assert open_field(paths[0].parent).identical(field.assign_attrs())


def test_versions_are_never_mixed(save: Save, world: World) -> None:
    paths = [
        save("a.nc4", geos(world, "2019-03-08T00:30", 2)),
        save("b.nc4", geos(world, "2019-03-08T02:30", 2, V2)),
    ]
    with pytest.raises(
        InputError, match=r"version 1 in .*a\.nc4 and version 2 in .*b\.nc4"
    ):
        open_geos_cf(paths)


def test_undefined_values_are_missing(save: Save, world: World) -> None:
    data = geos(world, "2019-03-08T00:30", 2, V1.lower())
    data[V1.lower()][0, 0, 3, 4] = 1e15
    field = open_geos_cf(save("a.nc", data))
    assert int(np.isnan(field).sum()) == 1
    assert np.isnan(field.values[0, -4, 28])


def test_other_variables_need_a_mass_concentration(save: Save, world: World) -> None:
    gas = geos(world, "2019-03-08T00:30", 2, "NO2", "mol mol-1")
    dust = geos(world, "2019-03-08T00:30", 2, "PM10_RH35")
    path = save("a.nc4", xr.merge([gas, dust]))
    assert open_geos_cf(path, variable="pm10_rh35").name == "PM10_RH35"
    with pytest.raises(InputError, match="mass concentration"):
        open_geos_cf(path, variable="NO2")
    with pytest.raises(
        InputError, match=r"only .*PM10_RH35 \(ug m-3\).*--variable NAME"
    ):
        open_geos_cf(path)


def test_stamps_at_full_hours_are_refused(save: Save, world: World) -> None:
    with pytest.raises(InputError, match=r"HH:30.*2019-03-08T02:00"):
        open_geos_cf(save("a.nc4", geos(world, "2019-03-08T02:00", 2)))


def test_corrupt_opendap_times_are_mended_and_gaps_are_not() -> None:
    good = np.datetime64("2018-01-01T00:30", "ns") + np.arange(400) * np.timedelta64(
        1, "h"
    )
    jitter = good + np.arange(400) % 7 * np.timedelta64(1, "s")
    assert np.array_equal(mend_times(jitter)[0], good)
    corrupt = good.copy()
    corrupt[5:37] = np.datetime64("1901-01-01T00:00", "ns")
    times, mended = mend_times(corrupt)
    assert mended == 32
    assert np.array_equal(times, good)
    gap = good.copy()
    gap[390:] += np.timedelta64(5, "h")
    times, mended = mend_times(gap)
    assert mended == 0
    assert np.array_equal(times, gap)
