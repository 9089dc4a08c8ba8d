"""Gases become ug m-3 with the temperature and pressure that the files hold, and are refused without them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from deepcams.cli import main
from deepcams.core.errors import InputError
from deepcams.readers.cams import open_cams, open_cams_files
from deepcams.readers.formats.archive import unpack
from deepcams.readers.formats.detect import find_files
from deepcams.readers.frames import read_block
from services.cams_files import answer

REQUEST = {
    "variable": ["ozone", "temperature", "surface_pressure"],
    "model_level": ["60"],
    "date": ["2019-12-01/2019-12-01"],
    "time": ["00:00", "03:00", "06:00"],
    "area": [36, 100, 30, 106],
}
FORECAST: dict[str, Any] = {
    **REQUEST,
    "time": ["00:00", "12:00"],
    "leadtime_hour": ["0", "3", "6", "9"],
    "type": ["forecast"],
    "model_level": ["137"],
}


def members(path: Path) -> list[xr.Dataset]:
    """The surface's and the level's dataset of a zip."""
    files = unpack(path, lambda head: True)
    found = [xr.open_dataset(file) for _, file in files]
    return sorted(found, key=lambda dataset: "t" in dataset)


def expected(path: Path) -> np.ndarray:
    surface, level = members(path)
    t, ratio = (level[name].squeeze("model_level") for name in ("t", "go3"))
    return np.asarray(ratio * 1e9 * surface.sp / (287.056 * t))


def test_a_zip_holds_all_that_is_needed(tmp_path: Path) -> None:
    path = answer(REQUEST, tmp_path / "o3.zip")
    field = open_cams(path, variable="o3")
    assert field.attrs["units"] == "ug m-3"
    assert field.attrs["source"].endswith(
        "mixing ratios in air of the temperature and surface pressure beside them"
    )
    np.testing.assert_allclose(field.values, expected(path), rtol=1e-4)
    part = read_block(field, slice(1, 3), slice(2, 4), np.array([5, 1]))
    np.testing.assert_array_equal(part, field.values[1:3, 2:4][:, :, [5, 1]])
    plain = open_cams_files(find_files(path), "o3", with_dask=False)
    np.testing.assert_array_equal(plain[1:].values, field[1:].values)
    assert field[1, 2].data.name != field.data.name  # a part is not taken for the whole


def test_runs_are_chained_by_lead_in_both(tmp_path: Path) -> None:
    path = answer(FORECAST, tmp_path / "o3.zip")
    field = open_cams(path, variable="o3")
    hours = np.arange("2019-12-01", "2019-12-02", np.timedelta64(3, "h"), "M8[ns]")
    np.testing.assert_array_equal(field.time, hours)
    by_run = expected(path)  # (lead, run, ..)
    np.testing.assert_allclose(
        field.values, np.concatenate([by_run[:, 0], by_run[:, 1]]), rtol=1e-4
    )


def test_the_weather_may_be_a_second_file(tmp_path: Path) -> None:
    """From the command line; alone, the ratio is refused in one line that says what is needed."""
    path = answer(REQUEST, tmp_path / "o3.zip")
    surface, level = members(path)
    level[["go3"]].to_netcdf(tmp_path / "gas.nc")
    other = xr.merge([level[["t"]].squeeze("model_level", drop=True), surface])
    other.attrs = surface.attrs
    other.to_netcdf(tmp_path / "weather.nc")
    gas, weather, out = (
        str(tmp_path / f"{name}.nc") for name in ("gas", "weather", "out")
    )
    options = ["--variable", "o3", "--temporal", "linear", "--spatial", "none"]
    assert main(["downscale", gas, weather, *options, "-o", out]) == 0
    with xr.open_dataset(out) as made:
        np.testing.assert_allclose(made.o3[::3], expected(path), rtol=2e-3)
        assert "weather.nc" in str(made.attrs)
    assert main(["verify", out]) == 0
    with pytest.raises(InputError, match=r"--density .* temperature and surface press"):
        open_cams(gas, variable="o3")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda weather: weather.isel(valid_time=[0, 2]), "a value at each time of"),
        (lambda weather: weather.isel(latitude=slice(1, None)), "the grid of"),
        (lambda weather: weather.assign(sp=weather.sp.assign_attrs(units="hPa")), "Pa"),
    ],
)
def test_weather_that_does_not_fit_is_refused(
    change: Any, words: str, tmp_path: Path
) -> None:
    surface, level = members(answer(REQUEST, tmp_path / "o3.zip"))
    level.to_netcdf(tmp_path / "gas.nc")
    change(surface).to_netcdf(tmp_path / "weather.nc")
    with pytest.raises(InputError, match=words):
        open_cams([tmp_path / "gas.nc", tmp_path / "weather.nc"], variable="o3")
