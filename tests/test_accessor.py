"""array.deepcams: the same as the functions, on any array that is a field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import deepcams
import deepcams.accessor
from deepcams.core.errors import DeepcamsNotice, InputError


@pytest.fixture(scope="module")
def array() -> xr.DataArray:
    """Nobody's canonical field: from the south, from -180, in kg m-3, named otherwise."""
    latitude, longitude = np.arange(-90, 90.1, 7.5), np.arange(-180, 180, 7.5)
    shape = (2, latitude.size, longitude.size)
    values = np.random.default_rng(0).lognormal(1, 1, shape) * 1e-9
    times = np.array(["2019-12-31T15", "2019-12-31T18"], "datetime64[ns]")
    coordinates = {"time": times, "lat": latitude, "lon": longitude}
    about = {"units": "kg m**-3", "source": "CAMS"}
    return xr.DataArray(values, coordinates, tuple(coordinates), "pm2p5", about)


SETTINGS = {"temporal": "linear", "spatial": "bicubic"}


def test_downscaling_is_the_same(array: xr.DataArray, tmp_path: Path) -> None:
    found = array.deepcams.downscale(**SETTINGS)
    expected = deepcams.downscale(deepcams.as_field(array), **SETTINGS)
    xr.testing.assert_identical(found.load(), expected.load())
    assert found.sizes == {"time": 4, "latitude": 73, "longitude": 144}
    again = found.deepcams.coarsen()
    np.testing.assert_allclose(
        again[[0, 3]], array.deepcams.field.sel(time=array.time), rtol=1e-5
    )
    written = array.deepcams.downscale_to(tmp_path / "a.nc", rounding=0, **SETTINGS)
    assert written.hours == 4
    np.testing.assert_array_equal(deepcams.open_field(written.path), found)


def test_a_field_in_memory_is_exported(array: xr.DataArray, tmp_path: Path) -> None:
    found = array.deepcams.export(
        tmp_path / "a.nc", "netcdf", bbox=(-10, 30, 20, 60), period="2019-12-31T18"
    )
    assert (found.files, found.hours) == (1, 1)
    with xr.open_dataset(tmp_path / "a.nc") as written:
        expected = array.sel(lat=slice(30, 60))
        expected = expected.sel(lon=slice(-10, 20), time=written.time)
        np.testing.assert_allclose(
            written.pm2p5, expected.sortby("lat", ascending=False) * 1e9, rtol=1e-6
        )
        assert written.attrs["source"] == "CAMS"


@pytest.mark.slow
def test_means_and_maps(array: xr.DataArray, tmp_path: Path) -> None:
    days = array.deepcams.means(tmp_path / "days.nc", complete=5)
    assert days.path == tmp_path / "days.nc"
    figure: Any = array.deepcams.plot("2019-12-31T18", box=(-10, 30, 20, 60))
    assert "2019-12-31 18:00" in " ".join(
        text.get_text()
        for text in figure.findobj(lambda each: hasattr(each, "get_text"))
    )


@pytest.mark.slow
def test_zones_and_places(array: xr.DataArray) -> None:
    places = pd.DataFrame({"latitude": [7.5, -30], "longitude": [-82.5, 15]})
    table = array.deepcams.points(places, over="hour")
    nearest = [float(array.sel(lat=lat, lon=lon)[0]) for lat, lon in places.to_numpy()]
    first = table[table.start == table.start.min()]
    np.testing.assert_allclose(first.value, np.multiply(nearest, 1e9), rtol=1e-6)
    part = array.sel(lat=slice(-40, -20), lon=slice(10, 40))
    with pytest.warns(DeepcamsNotice):  # of the countries elsewhere
        found = part.deepcams.zones(over="hour")
    mean = dict(zip(found.zones.ids, found.mean[0], strict=True))
    assert part[0].min() * 1e9 < mean["ZAF"] < part[0].max() * 1e9


def test_what_is_no_field_is_told() -> None:
    with pytest.raises(InputError, match="a coordinate time"):
        xr.DataArray(np.zeros((2, 2)), dims=("a", "b")).deepcams  # noqa: B018
