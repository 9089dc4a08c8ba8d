"""Months, seasons and years are those of brute force over the days that count."""

from __future__ import annotations

import calendar
from collections.abc import Callable
from datetime import date, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from deepcams.core.errors import InputError
from deepcams.core.grid import Grid
from deepcams.means import means_to

GRID = Grid(30, 1, 0, 2, 2)
LEVELS = ["WHO AQG", 20]


@pytest.fixture(scope="module")
def hours(tmp_path_factory: pytest.TempPathFactory) -> xr.DataArray:
    """Six-hourly values of 14 months, of which a fifth is missing and December 2018 ends early."""
    from deepcams.core.field import field_like

    times = np.arange(
        np.datetime64("2018-12-01", "ns"),
        np.datetime64("2020-02-10", "ns"),
        np.timedelta64(6, "h"),
    )
    rng = np.random.default_rng(3)
    day = rng.lognormal(2.6, 0.5, (times.size // 4 + 1, *GRID.shape)).repeat(4, axis=0)
    values = day[: times.size] * rng.uniform(0.7, 1.3, (times.size, *GRID.shape))
    values[rng.random(values.shape) < 0.1] = np.nan
    values[40:80] = np.nan
    field = xr.DataArray(name="pm2p5", attrs={"cell_methods": "time: point"})
    return field_like(field, values.astype(np.float32), GRID, times)


@pytest.fixture(scope="module")
def daily(hours: xr.DataArray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("daily") / "days.zarr"
    means_to(hours, path, rounding=0, levels=LEVELS)
    return path


def _brute(hours: xr.DataArray, row: int, column: int) -> dict[date, list[float]]:
    """The values of each day of a cell that has three of its four."""
    found: dict[date, list[float]] = {}
    for moment, value in zip(
        hours.time.values.astype("datetime64[D]").astype(object),
        hours.values[:, row, column].tolist(),
        strict=True,
    ):
        if not np.isnan(value):
            found.setdefault(moment, []).append(value)
    return {day: values for day, values in found.items() if len(values) >= 3}


def _start(over: str, day: date) -> date:
    if over == "year":
        return date(day.year, 1, 1)
    if over == "month":
        return day.replace(day=1)
    month = day.month // 3 * 3 or 12
    return date(day.year - (day.month in (1, 2)), month, 1)


def _length(over: str, start: date) -> int:
    months = {"month": 1, "season": 3, "year": 12}[over]
    places = [(start.month - 1 + i) for i in range(months)]
    return sum(calendar.monthrange(start.year + m // 12, m % 12 + 1)[1] for m in places)


def _longest(above: dict[date, bool], start: date, days: int) -> int:
    line = [above.get(start + timedelta(i), False) for i in range(days)]
    return max((len(list(run)) for high, run in groupby(line) if high), default=0)


@pytest.mark.parametrize("over", ["month", "season", "year"])
def test_periods_are_those_of_brute_force(
    over: Any, hours: xr.DataArray, daily: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.nc"
    means_to(daily, out, over=over, rounding=0, levels=LEVELS, percentiles=(50, 98))
    found = xr.open_dataset(out, decode_timedelta=False).load()
    assert ("WHO AQG 5 (since" in found.pm2p5_mean.attrs["comment"]) == (over == "year")
    starts = found.time_bounds.values[:, 0].astype("datetime64[D]").astype(object)
    wanted: set[date] = set()
    for row, column in np.ndindex(GRID.shape):
        cell = _brute(hours, row, column)
        for start in sorted({_start(over, day) for day in cell}):
            length = _length(over, start)
            days = {d: v for d, v in cell.items() if _start(over, d) == start}
            if start in starts:
                at = {
                    "time": list(starts).index(start),
                    "latitude": row,
                    "longitude": column,
                }
                one = found.isel(at)
                assert one.pm2p5_days == len(days)
            if len(days) < 0.75 * length:
                assert start not in starts or np.isnan(one.pm2p5_mean)
                continue
            wanted.add(start)
            means = {d: float(np.mean(v)) for d, v in days.items()}
            falling = sorted(means.values(), reverse=True)
            above = {d: value > 15 for d, value in means.items()}
            checks = {
                "mean": np.mean(list(means.values())),
                "max": max(max(v) for v in days.values()),
                "max_day": falling[0],
                "p50": falling[int(np.ceil(0.5 * len(days))) - 1],
                "p98": falling[max(int(np.ceil(0.02 * len(days) - 1e-9)), 1) - 1],
                "days_above_15": sum(above.values()),
                "longest_run_above_15": _longest(above, start, length),
                "days_above_20": sum(value > 20 for value in means.values()),
                "hours_above_15": sum(v > 15 for vs in days.values() for v in vs),
            }
            for name, value in checks.items():
                np.testing.assert_allclose(
                    one[f"pm2p5_{name}"], value, rtol=1e-6, err_msg=name
                )
    assert wanted
    assert starts[0] <= min(wanted)
    assert max(wanted) <= starts[-1]


def test_months_of_hours_are_those_of_their_days(
    hours: xr.DataArray, daily: Path, tmp_path: Path
) -> None:
    """From hours the daily means are made on the way, and used again."""
    part = hours.sel(time="2019-03")
    found = means_to(part, tmp_path / "m.zarr", over="month", rounding=0, levels=[15])
    assert found.daily == tmp_path / "m_days.zarr"
    again = means_to(
        found.daily, tmp_path / "n.zarr", over="month", rounding=0, levels=[15]
    )
    assert again.daily is None
    one, other = (
        xr.open_zarr(tmp_path / name, decode_timedelta=False).load()
        for name in ("m.zarr", "n.zarr")
    )
    xr.testing.assert_equal(one, other)
    march = (
        xr.open_zarr(daily, decode_timedelta=False)
        .pm2p5_mean.sel(time="2019-03")
        .load()
    )
    np.testing.assert_allclose(one.pm2p5_mean[0], march.mean("time"), rtol=1e-6)


def test_months_of_local_days_have_dates_and_no_bounds(
    hours: xr.DataArray, tmp_path: Path
) -> None:
    part = hours.sel(time="2019-03")
    means_to(part, tmp_path / "m.nc", over="month", days="nautical")
    found = xr.open_dataset(tmp_path / "m.nc", decode_timedelta=False)
    assert "time_bounds" not in found
    assert "bounds" not in found.time.attrs
    assert str(found.time.values[0])[:10] == "2019-03-01"
    assert found.utc_offset.dims == ("latitude", "longitude")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"over": "day"}, "expected hourly fields for --over day, found daily means"),
        ({"over": "year", "days": "zones"}, "--days: expected utc, as in the daily"),
        (
            {"over": "month", "percentiles": [100]},
            "--percentile: expected numbers above",
        ),
        ({"over": "month", "bbox": (0, 0, 1, 1)}, "--bbox: expected hourly fields"),
    ],
)
def test_what_daily_means_cannot_give_is_one_line(
    settings: dict[str, Any], words: str, daily: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=words):
        means_to(daily, tmp_path / "out.zarr", **settings)
    assert not list(tmp_path.iterdir())


def test_too_few_days_are_one_line(
    field_of: Callable[..., xr.DataArray], tmp_path: Path
) -> None:
    means_to(field_of(GRID, hours=48), tmp_path / "d.zarr", levels=["none"])
    with pytest.raises(InputError, match="expected a month with 75 % of its days"):
        means_to(tmp_path / "d.zarr", tmp_path / "m.zarr", over="month")
