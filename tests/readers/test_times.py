"""Times by one rule: precision, reference times and steps, bounds of means, monthly means."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from deepcams import open_cams, open_field, open_geos_cf
from deepcams.core.errors import DeepcamsNotice, InputError
from deepcams.core.times import MEAN_STAMP
from deepcams.readers.inspect import inspect

World = Callable[..., xr.DataArray]
Save = Callable[..., Path]
HOUR = np.timedelta64(1, "h")
MINUTE = np.timedelta64(1, "m")


def stored(record: xr.DataArray, units: str, dtype: str, **attrs: Any) -> xr.Dataset:
    """The record with times as plain numbers of this type."""
    unit, _, epoch = units.partition(" since ")
    size = np.timedelta64(
        1, {"days": "D", "hours": "h", "minutes": "m", "seconds": "s"}[unit]
    )
    numbers = (
        record.time.values.astype("datetime64[s]") - np.datetime64(epoch, "s")
    ) / size
    data = record.assign_coords(
        time=("time", numbers.astype(dtype), {"units": units, **attrs})
    )
    return data.to_dataset()


@pytest.mark.parametrize(
    ("units", "dtype", "hours", "noticed"),
    [
        ("seconds since 1970-01-01", "f4", 3, True),
        ("seconds since 1970-01-01", "f8", 3, False),
        ("days since 1600-01-01", "f8", 1, False),
        ("hours since 1900-01-01", "f4", 3, False),
        ("days since 1900-01-01", "f4", 1, False),
        ("minutes since 1970-01-01", "i8", 1, False),
    ],
)
def test_inexact_times_snap(
    save: Save, world: World, units: str, dtype: str, hours: int, noticed: bool
) -> None:
    record = world("2019-12-31T15:00", 6, hours=hours)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        times = open_field(save("a.nc", stored(record, units, dtype))).time.values
    far = units.startswith("days") and dtype == "f4"
    np.testing.assert_array_equal(times, record.time.values)
    assert any("full minutes" in str(one.message) for one in caught) == (noticed or far)


def test_half_hours_in_days_snap_to_the_half_hour(save: Save, world: World) -> None:
    record = (
        world("2019-12-31T15:30", 6, hours=1)
        .rename("pm25_rh35_gcc")
        .assign_attrs(units="1")
    )
    times = open_geos_cf(
        save("a.nc", stored(record, "days since 1800-01-01", "f8"))
    ).time.values
    np.testing.assert_array_equal(times, record.time.values)


def test_times_too_inexact_for_their_cadence_are_refused(
    save: Save, world: World
) -> None:
    path = save(
        "a.nc",
        stored(world("2019-12-31T15:20", 5, hours=1), "days since 0001-01-01", "f4"),
    )
    with pytest.raises(InputError, match=r"stored in a precision of"):
        open_field(path)
    assert "precision" in inspect(path, values=False).problem


def test_exact_times_beside_their_cadence_are_refused(save: Save, world: World) -> None:
    record = world("2019-12-31T15:00", 5)
    times = record.time.values.copy()
    times[1] -= np.timedelta64(1, "m")
    with pytest.raises(
        InputError, match=r"even cadence \(3 h\), found 2019-12-31 17:59, 1 min off"
    ):
        open_field(save("a.nc", record.assign_coords(time=times)))
    np.testing.assert_array_equal(
        open_field(save("gap.nc", record[[0, 1, 4]])).time.values,
        record.time.values[[0, 1, 4]],
    )


def forecasts(record: xr.DataArray) -> dict[str, xr.DataArray]:
    """The record's four frames as forecasts of one run, or of runs three hours before, in layouts people have."""
    at, values = record.time.values, record.values
    grid = {"latitude": record.latitude, "longitude": record.longitude}
    steps = ("step", np.arange(4) * 3.0, {"units": "hours"})
    run = {"standard_name": "forecast_reference_time"}

    def of(
        dims: tuple[str, ...], coords: dict[str, Any], data: np.ndarray = values
    ) -> xr.DataArray:
        return xr.DataArray(
            data,
            dims=(*dims, "latitude", "longitude"),
            coords=coords | grid,
            name="pm2p5",
            attrs=record.attrs,
        )

    period = (
        "forecast_period",
        np.arange(4) * 3.0,
        {"units": "hours", "standard_name": "forecast_period"},
    )
    return {
        "scalar run": of(("step",), {"step": steps, "time": at[0]}),
        "scalar step": of(("time",), {"time": ("time", at - 3 * HOUR, run), "step": ((), 3, {"units": "hours"})}),
        "zero step": of(("time",), {"time": ("time", at, run), "step": ((), 0, {"units": "hours"})}),
        "valid along": of(("valid_time",), {"valid_time": at, "time": ("valid_time", np.repeat(at[:1], 4))}),
        "valid, scalar run": of(("valid_time",), {"valid_time": at, "time": at[0]}),
        "run and period": of(
            ("forecast_period", "forecast_reference_time"),
            {"forecast_period": period, "forecast_reference_time": at[:1]}, values[:, None],
        ),
        "time is valid": of(
            ("time",),
            {"time": ("time", at, {"standard_name": "time"}), "forecast_period": ((), 3, {"units": "hours"}),
             "forecast_reference_time": at[0]},
        ),
    }  # fmt: skip


@pytest.mark.parametrize("layout", ["scalar run", "scalar step", "zero step", "valid along", "valid, scalar run",
                                    "run and period", "time is valid"])  # fmt: skip
def test_the_valid_time_follows_from_reference_and_step(
    save: Save, world: World, layout: str
) -> None:
    record = world("2019-12-31T15:00", 4)
    field = open_cams(save("a.nc", forecasts(record)[layout].to_dataset()))
    np.testing.assert_array_equal(field.time.values, record.time.values)
    np.testing.assert_array_equal(field.values, open_cams(save("b.nc", record)).values)


def test_steps_without_units_are_refused_and_a_lone_reference_is_noticed(
    save: Save, world: World
) -> None:
    record = world("2019-12-31T15:00", 4)
    array = forecasts(record)["scalar run"]
    del array.step.attrs["units"]
    with pytest.raises(
        InputError, match=r"a lead time in hours, minutes or days, found .no units"
    ):
        open_cams(save("a.nc", array))
    record.time.attrs["standard_name"] = "forecast_reference_time"
    with pytest.warns(DeepcamsNotice, match="taken for the valid time"):
        open_cams(save("b.nc", record))


def means(
    record: xr.DataArray,
    stamp: float,
    width: float | None = 1.0,
    methods: str = "time: mean",
) -> xr.Dataset:
    """Means over hours that begin at the record's times, stamped so many hours after, with bounds so long."""
    begin = np.arange(record.sizes["time"], dtype=float)
    units = f"hours since {str(record.time.values[0])[:19]}"
    attrs = {"units": units} | ({} if width is None else {"bounds": "time_bnds"})
    data = (
        record.assign_coords(time=("time", begin + stamp, attrs))
        .assign_attrs(cell_methods=methods)
        .to_dataset()
    )
    return (
        data
        if width is None
        else data.assign(
            time_bnds=(("time", "nv"), np.stack([begin, begin + width], 1))
        )
    )


@pytest.mark.parametrize("stamp", [0.0, 0.5, 1.0])
def test_bounds_place_means(save: Save, world: World, stamp: float) -> None:
    record = world("2019-12-31T15:00", 5, hours=1)
    field = open_field(save("a.nc", means(record, stamp)))
    np.testing.assert_array_equal(
        field.time.values, record.time.values + np.timedelta64(30, "m")
    )
    assert field.attrs["cell_methods"] == "time: mean"


def test_means_without_bounds_or_methods_get_a_notice(save: Save, world: World) -> None:
    record = world("2019-12-31T15:00", 5, hours=1)
    with pytest.warns(
        DeepcamsNotice, match="means stamped on the full hour without time bounds"
    ):
        open_field(save("a.nc", means(record, 1.0, None)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_field(save("b.nc", means(record, 0.5, None)))


@pytest.mark.parametrize(
    ("stamp", "width", "found"),
    [
        (2.0, 1.0, "outside of its own"),
        (0.5, 24.0, "means over 24 h"),
        (0.0, 744.0, "monthly means"),
    ],
)
def test_bounds_of_other_things_are_refused(
    save: Save, world: World, stamp: float, width: float, found: str
) -> None:
    path = save("a.nc", means(world("2019-12-31T15:00", 5, hours=1), stamp, width))
    with pytest.raises(InputError, match=found):
        open_field(path)


@pytest.mark.parametrize(
    ("attrs", "found"),
    [
        ({"GRIB_stream": "moda"}, "monthly means .stream moda"),
        ({"GRIB_stepType": "avgid"}, "monthly means .step type avgid"),
        ({"GRIB_stepType": "max"}, "extremes over a time"),
        ({"cell_methods": "time: maximum"}, "cell_methods 'time: maximum'"),
        ({"cell_methods": "time: mean (interval: 1 month)"}, "monthly means"),
        (
            {"cell_methods": "time: mean within years time: mean over years"},
            "climatology",
        ),
    ],
)
def test_other_statistics_are_no_instants(
    save: Save, world: World, attrs: dict[str, str], found: str
) -> None:
    path = save("a.nc", world("2019-12-31T15:00", 4).assign_attrs(attrs))
    with pytest.raises(InputError, match=found):
        open_cams(path)


def test_months_are_known_by_their_times(save: Save, world: World) -> None:
    record = world("2019-01-01", 4)
    months = np.array(
        ["2019-01-01", "2019-02-01", "2019-03-01", "2019-04-01"], "datetime64[ns]"
    )
    paths = [
        save(f"{k}.nc", record[[k]].assign_coords(time=months[[k]])) for k in range(4)
    ]
    with pytest.raises(InputError, match="one a month from 2019-01-01 on"):
        open_cams(paths)
    assert open_cams(paths[0]).sizes["time"] == 1


def test_means_and_instants_are_not_joined(save: Save, world: World) -> None:
    record = world("2019-01-01T00:30", 4)
    paths = [
        save("a.nc", record[:2]),
        save("b.nc", record[2:].assign_attrs(cell_methods="time: mean")),
    ]
    with pytest.raises(InputError, match="instants and means together"):
        open_cams(paths)


@pytest.mark.parametrize(
    ("stamp", "shift"), [("start", 30), ("middle", 0), ("end", -30)]
)
def test_the_user_says_what_stamps_of_means_are(
    save: Save, world: World, stamp: Any, shift: int
) -> None:
    record = world("2019-12-31T15:00", 5, hours=1)
    path = save("a.nc", means(record, 0.0, None))
    expected = record.time.values + np.timedelta64(shift, "m")
    np.testing.assert_array_equal(open_field(path, stamp=stamp).time.values, expected)
    token = MEAN_STAMP.set(stamp)
    np.testing.assert_array_equal(open_field(path).time.values, expected)
    MEAN_STAMP.reset(token)


def test_geos_cf_stamped_at_the_beginning_of_the_hour(save: Save, world: World) -> None:
    record = (
        world("2019-12-31T15:00", 5, hours=1)
        .rename("PM25_RH35_GCC")
        .assign_attrs(units="1")
    )
    path = save("a.nc", record)
    with pytest.raises(
        InputError, match=r"stamped in the middle .* --mean-stamp start"
    ):
        open_geos_cf(path)
    times = open_field(path, stamp="start").time.values
    np.testing.assert_array_equal(times, record.time.values + np.timedelta64(30, "m"))


def test_times_are_the_middles_of_means_and_the_instants_of_analyses(
    save: Save, world: World
) -> None:
    """What the sun is asked at: a mean of 06:00 to 07:00 is of 06:30, an analysis of 06:00 of 06:00."""
    hourly = world("2021-07-01T06:00", 3, hours=1)
    as_geos = means(hourly.rename("PM25_RH35_GCC").assign_attrs(units="1"), 0.5)
    mean = open_geos_cf(save("mean.nc4", as_geos))
    instant = open_cams(save("instant.nc", world("2021-07-01T06:00", 2)))
    minutes = [
        (field.time.values - np.datetime64("2021-07-01T06:00")) / MINUTE
        for field in (mean, instant)
    ]
    np.testing.assert_array_equal(minutes[0], [30, 90, 150])
    np.testing.assert_array_equal(minutes[1], [0, 180])
    assert mean.attrs["cell_methods"] == "time: mean"
    assert instant.attrs["cell_methods"] == "time: point"


def test_times_of_the_real_files_are_middles_and_instants(
    geos_cf_west: Path, cams_dir: Path
) -> None:
    mean = open_geos_cf(geos_cf_west)
    instant = open_cams(cams_dir / "cams_eac4_20191231_new_layout.nc")
    for field, offset in ((mean, 30), (instant, 0)):
        since = field.time.values - field.time.values.astype("datetime64[h]")
        np.testing.assert_array_equal(since / MINUTE, offset)
