"""Daily statistics are those of brute force, whoever's days they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from deepcams.core.errors import InputError
from deepcams.core.grid import Grid
from deepcams.core.times import MINUTE
from deepcams.means import means_to
from deepcams.means.cells import local_dates, offsets

GLOBE = Grid.globe(36)
NEPAL = Grid(0.5, 124, 174, 4, 4)  # 28..26.5 N, 87..88.5 E: Nepal, India, China
DATELINE = Grid(0.5, 200, 352, 4, 18)  # 176 E to 175.5 W
INSTANTS, MEANS = "time: point", "time: mean"
CASES = [
    ("utc", GLOBE, MEANS),
    ("nautical", DATELINE, INSTANTS),
    ("zones", GLOBE, INSTANTS),
    ("zones", NEPAL, INSTANTS),
    ("zones", NEPAL, MEANS),
    ("zones", DATELINE, MEANS),
]


def _open(path: Path) -> xr.Dataset:
    engine: Any = "zarr" if path.suffix == ".zarr" else "netcdf4"
    return xr.open_dataset(path, engine=engine, decode_timedelta=False).load()


@pytest.mark.parametrize(("days", "grid", "cell_methods"), CASES)
def test_days_are_those_of_brute_force(
    days: Any,
    grid: Grid,
    cell_methods: str,
    field_of: Callable[..., xr.DataArray],
    brute: Callable[..., dict[Any, list[float]]],
    tmp_path: Path,
) -> None:
    start = "2019-12-30T00:30" if cell_methods == MEANS else "2019-12-30T00"
    field = field_of(grid, start=start, missing=0.15, cell_methods=cell_methods)
    ending = "days.nc" if days == "nautical" else "days.zarr"
    means_to(field, tmp_path / ending, days=days, rounding=0, levels=["WHO AQG", 40])
    found = _open(tmp_path / ending)
    minutes = offsets(grid, days, 2019)
    if days != "utc":
        np.testing.assert_array_equal(60 * found.utc_offset.values, minutes)
    expected = brute(field, minutes)
    dates = found.time.values.astype("datetime64[D]").astype(object)
    incomplete = 0
    for day, row, column in np.ndindex(found.pm2p5_mean.shape):
        values = expected.get((dates[day], row, column), [])
        assert found.pm2p5_count.values[day, row, column] == len(values)
        names = ("mean", "max", "hours_above_15", "hours_above_40")
        own = [found[f"pm2p5_{name}"].values[day, row, column] for name in names]
        if len(values) < 18:
            incomplete += 1
            assert np.isnan(own).all()
            continue
        above = [sum(value > level for value in values) for level in (15, 40)]
        wanted = [np.mean(values), np.max(values), *above]
        np.testing.assert_allclose(own, wanted, rtol=1e-6)
    assert incomplete
    # No day is left out that is complete anywhere.
    whole = {key[0] for key, values in expected.items() if len(values) >= 18}
    assert dates[0] <= min(whole)
    assert max(whole) <= dates[-1]


def test_neighbours_across_the_dateline_are_a_day_apart(
    field_of: Callable[..., xr.DataArray], tmp_path: Path
) -> None:
    """The same hours belong to two dates on its two sides."""
    field = field_of(DATELINE)
    means_to(
        field, tmp_path / "days.zarr", days="nautical", rounding=0, levels=["none"]
    )
    found = _open(tmp_path / "days.zarr")
    west, east = found.sel(longitude=179.5), found.sel(longitude=180.5)
    assert float(west.utc_offset[0]) - float(east.utc_offset[0]) == 24
    hours = field.sel(longitude=[179.5, 180.5])
    # 31 December begins at noon UTC of the 30th in the west, of the 31st in the east.
    for side, start in ((west, "2019-12-30T12"), (east, "2019-12-31T12")):
        begin = np.datetime64(start)
        inside = hours.sel(longitude=side.longitude)
        own = inside.sel(time=slice(begin, begin + np.timedelta64(23, "h")))
        value = side.pm2p5_mean.sel(time="2019-12-31").values.squeeze()
        np.testing.assert_allclose(value, own.mean("time").values, rtol=1e-6)


def test_a_clock_of_45_minutes_takes_instants_as_5_h_does_and_means_as_6_h() -> None:
    """At 5:45 an instant at 18 UTC is 23:45; the mean of 18 to 19 UTC has 45 of its minutes in the new day."""
    for start, hours, same_as in (
        ("2019-12-31T00", 24, 300),
        ("2019-12-31T00:30", 24, 360),
    ):
        times = np.datetime64(start, "ns") + np.arange(hours) * np.timedelta64(1, "h")
        nepal, other = (local_dates(times, each * MINUTE) for each in (345, same_as))
        np.testing.assert_array_equal(nepal, other)


def test_real_zones_are_those_that_people_keep() -> None:
    pytest.importorskip("tzfpy")
    from deepcams.files.time_zones import offset_minutes, standard_minutes

    places = {
        (27.75, 85.25): 345,  # Kathmandu
        (51.5, 0.0): 0,  # London, in summer, too
        (53.25, -6.25): 0,  # Dublin, whose law turns summer and winter round
        (33.5, -7.5): 60,  # Casablanca
        (-43.95, -176.55): 765,  # Chatham Islands
        (1.75, -157.25): 840,  # Kiritimati
        (0.0, -150.0): -600,  # at sea
        (90.0, 0.0): 0,
    }
    for (north, east), minutes in places.items():
        found = offset_minutes(np.array([north]), np.array([east % 360]), 2019)
        assert found.item() == minutes, (north, east)
    with pytest.raises(InputError, match="tzdata"):
        standard_minutes("Mars/Olympus", 2019)


def test_days_on_both_ends_are_left_out_and_gaps_within_are_shown(
    field_of: Callable[..., xr.DataArray], tmp_path: Path
) -> None:
    """A day without files is a missing day with a count of 0; one with 12 hours shows them."""
    field = field_of(GLOBE, hours=24 * 6, start="2019-03-01T10")
    keep = np.ones(24 * 6, bool)
    keep[14 + 24 : 14 + 48] = False  # 3 March
    keep[14 + 48 : 14 + 60] = False  # half of 4 March
    found = means_to(field[keep], tmp_path / "days.zarr", rounding=0)
    days = _open(tmp_path / "days.zarr")
    dates = days.time.values.astype("datetime64[D]").astype(str).tolist()
    assert dates == [f"2019-03-0{day}" for day in range(2, 7)]
    assert days.pm2p5_count.values[:, 0, 0].tolist() == [24, 0, 12, 24, 24]
    assert days.status.values.tolist() == [1, 0, 0, 1, 1]
    assert np.isnan(days.pm2p5_mean.values[1:3]).all()
    assert found.status == (2, 3, 0)
    lenient = means_to(field[keep], tmp_path / "half.zarr", complete=50, rounding=0)
    assert lenient.status == (1, 3, 2)  # 1 March has 14 hours, 4 March 12


def test_three_hourly_frames_have_eight_values_a_day(
    field_of: Callable[..., xr.DataArray], tmp_path: Path
) -> None:
    field = field_of(GLOBE, hours=16, step=180)
    field = field[:13]
    with pytest.raises(InputError, match="found times 48 h apart"):
        means_to(field_of(GLOBE, hours=3, step=2880), tmp_path / "no.zarr")
    means_to(field, tmp_path / "days.zarr", rounding=0)
    days = _open(tmp_path / "days.zarr")
    assert days.sizes["time"] == 1
    np.testing.assert_allclose(
        days.pm2p5_mean.values[0], field[:8].values.mean(axis=0), rtol=1e-6
    )
    assert days.pm2p5_count.max() == 8
