"""Forecasts as fields: of each hour the shortest lead, whatever files the runs are in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from deepcams.core.errors import DeepcamsNotice, InputError
from deepcams.core.times import HOUR
from deepcams.downscaling.job import downscale_to
from deepcams.downscaling.plan import plan_field
from deepcams.readers.cams import open_cams
from deepcams.readers.open import open_field

Save = Callable[..., Path]
STEP = 3.6
LATITUDE, LONGITUDE = np.arange(90, -90.1, -STEP), np.arange(0, 360, STEP)
RUNS = np.array(["2019-12-31T00", "2019-12-31T12"], "datetime64[ns]")


def _value(run: int, lead: int) -> float:
    """Every map is of one value that says which it is, ug m-3."""
    return 100 * (run + 1) + lead


def forecast(runs: list[int], leads: int, **attributes: Any) -> xr.Dataset:
    """Runs as the Atmosphere Data Store lays its forecasts out: hourly leads, 2-D valid times, kg m**-3."""
    values = np.array([[_value(run, lead) for run in runs] for lead in range(leads)])
    shape = (leads, len(runs), LATITUDE.size, LONGITUDE.size)
    maps = np.broadcast_to(values[:, :, None, None] * 1e-9, shape)
    periods = np.arange(leads, dtype=float)
    dims = ("forecast_period", "forecast_reference_time", "latitude", "longitude")
    array = xr.DataArray(
        maps.astype(np.float32),
        dims=dims,
        coords={
            "forecast_period": (
                "forecast_period",
                periods,
                {"standard_name": "forecast_period", "units": "hours"},
            ),
            "forecast_reference_time": (
                "forecast_reference_time",
                RUNS[runs],
                {"standard_name": "forecast_reference_time"},
            ),
            "valid_time": (
                dims[1::-1],
                RUNS[runs][:, None] + np.arange(leads) * HOUR,
                {"standard_name": "time"},
            ),
            "latitude": LATITUDE,
            "longitude": LONGITUDE,
        },
        attrs={"units": "kg m**-3", "GRIB_paramId": 210073, **attributes},
    )
    about = {"institution": "European Centre for Medium-Range Weather Forecasts"}
    return xr.Dataset({"pm2p5": array}, attrs=about)


EXPECTED = [_value(0, lead) for lead in range(12)] + [
    _value(1, lead) for lead in range(24)
]


@pytest.mark.parametrize("form", ["files", "reversed", "one file", "no valid_time"])
def test_of_each_hour_the_shortest_lead_is_taken(save: Save, form: str) -> None:
    if form == "one file":
        paths = [save("both.nc", forecast([0, 1], 24))]
    else:
        runs = [forecast([run], 24) for run in (0, 1)]
        if form == "no valid_time":
            runs = [run.drop_vars("valid_time") for run in runs]
        paths = [save(f"{number}.nc", run) for number, run in enumerate(runs)]
    if form == "reversed":
        paths.reverse()
    field = open_cams(paths)
    np.testing.assert_array_equal(field.time, RUNS[0] + np.arange(36) * HOUR)
    np.testing.assert_allclose(field[:, 10, 10], EXPECTED, rtol=1e-6)
    assert field.attrs["source"] == (
        "CAMS global atmospheric composition forecasts; forecasts chained by lead time, 0 to 23 h, "
        "2 analyses (lead 0), at 00, 12 UTC"
    )


def test_leads_without_the_analysis_say_so(save: Save) -> None:
    later = forecast([0], 6).isel(forecast_period=slice(3, None))
    source = open_cams(save("later.nc", later)).attrs["source"]
    assert source.endswith("3 to 5 h, no analysis (lead 0)")


def test_an_analysis_in_a_file_of_its_own_goes_before_a_forecast(save: Save) -> None:
    run = save("run.nc", forecast([0], 24))
    analysis = forecast([1], 1).isel(forecast_period=0, forecast_reference_time=0)
    plain = analysis.drop_vars(["forecast_period", "forecast_reference_time"])
    other = save("analysis.nc", plain.expand_dims("valid_time"))
    field = open_cams([run, other])
    assert float(field[11, 10, 10]) == pytest.approx(_value(0, 11))
    assert float(field[12, 10, 10]) == pytest.approx(_value(1, 0))


def test_two_values_of_one_lead_are_refused(save: Save) -> None:
    one, other = forecast([0], 3), forecast([0], 3)
    other["pm2p5"] = other.pm2p5 * 2
    with pytest.raises(InputError, match="one set of values a time"):
        open_cams([save("one.nc", one), save("other.nc", other)])


def test_the_output_says_what_it_is_of(save: Save, tmp_path: Path) -> None:
    field = open_field(save("run.nc", forecast([0, 1], 12)))
    assert field.sizes["time"] == 24
    downscale_to(field, tmp_path / "a.nc", temporal="linear", spatial="bicubic")
    with xr.open_dataset(tmp_path / "a.nc") as out:
        assert out.attrs["source"].startswith("CAMS global atmospheric composition")
        assert "forecasts chained by lead time, 0 to 11 h" in out.attrs["summary"]
        assert out.sizes == {
            "time": 24, "latitude": 151, "longitude": 300, "bounds": 2
        }  # fmt: skip


def test_a_grid_finer_than_what_networks_learned_is_told(
    save: Save, tmp_path: Path
) -> None:
    """At 0.4 degrees the default is a method that needs no training; a network that is asked for says so."""
    run = forecast([0], 2).isel(latitude=slice(10, 20), longitude=slice(10, 20))
    fine = run.assign_coords(latitude=run.latitude / 9, longitude=run.longitude / 9)
    field = open_cams(save("fine.nc", fine))
    assert float(field.latitude[0] - field.latitude[1]) == pytest.approx(0.4)
    learned = "networks learned fields of 0.75 degrees or coarser, and these are of 0.4"
    with pytest.warns(DeepcamsNotice, match=f"log-bicubic: {learned}"):
        default = plan_field(field)
    assert "log-bicubic" in default.chain.name
    assert not default.chain.weights
    with pytest.warns(DeepcamsNotice, match=f"cellnet.*: {learned}"):
        assert plan_field(field, spatial="cellnet").chain.weights
