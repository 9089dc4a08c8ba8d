"""Frames next to the two of an interval: known wherever the record has them, and wherever an item begins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import deepcams
from deepcams.core.field import as_field, field_like, grid_of
from deepcams.core.grid import Grid
from deepcams.downscaling.extend import plan_extension
from deepcams.downscaling.job import downscale_to
from deepcams.downscaling.plan import plan_work
from deepcams.downscaling.verify import verify
from deepcams.files.records import Records
from deepcams.methods import Chain, build
from deepcams.methods.interval import Interval
from deepcams.methods.result_cache import ResultCache
from deepcams.methods.temporal.four_frames import Cubic

MakeField = Callable[..., xr.DataArray]
METHODS = {"spatial": "bicubic", "conserve": False}


def test_items_read_one_more_frame_on_either_side(make_field: MakeField) -> None:
    plan = plan_work(make_field(17), build("cubic", "none"))
    assert [plan.frames(item).tolist() for item in plan.items] == [
        list(range(10)),
        list(range(7, 17)),
        [16],
    ]
    assert plan.is_own(plan.items[1]).tolist() == [False, *[True] * 8, False]


@pytest.mark.parametrize("temporal", ["cubic", "self-checked"])
def test_the_result_does_not_depend_on_where_items_begin(
    make_field: MakeField, temporal: str
) -> None:
    # a region at the step that motion is sought at: a coarse globe would be enlarged to it
    globe = make_field(20, start="2019-12-31T15")
    times = globe.time.values
    field = field_like(
        globe, globe.values[:, :16, :20], Grid(0.75, 60, 5, 16, 20), times
    )
    methods = {**METHODS, "temporal": temporal}
    whole = build(**methods).downscale(field)
    items = deepcams.downscale(field, **methods)
    np.testing.assert_array_equal(items.values, whole.values)
    period = "2020-01-01T04..2020-01-01T08"
    part = deepcams.downscale(field, **methods, period=period)
    np.testing.assert_array_equal(part, whole.sel(time=part.time))
    later = plan_work(field.isel(time=slice(3, None)), build(**methods))
    assert later.items[0].hours == 24
    moved = deepcams.downscale(as_field(field.isel(time=slice(3, None))), **methods)
    # the first interval of a record has no frame before it, all others have the same as before
    np.testing.assert_array_equal(
        moved.values[3:], whole.sel(time=moved.time).values[3:]
    )
    assert not np.array_equal(moved.values[1:3], whole.sel(time=moved.time)[1:3])


def test_frames_that_another_thread_drops_are_not_missed(
    make_field: MakeField, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dask computes items in threads that share the method and what it keeps."""
    field, chain = make_field(4), build("cubic", **METHODS)
    whole = build("cubic", **METHODS).downscale(field)
    get = ResultCache.get

    def dropping(recent: ResultCache, key: str) -> Any:
        found = get(recent, key)
        recent._results = {}
        return found

    chain.downscale(field)
    monkeypatch.setattr(ResultCache, "get", dropping)
    np.testing.assert_array_equal(chain.downscale(field), whole)


class Seen(Cubic):
    """Keeps what it was given."""

    def __init__(self) -> None:
        self.given: dict[str, Interval] = {}

    def between(self, interval, fractions) -> np.ndarray:
        self.given[str(interval.start)[11:13]] = interval
        return super().between(interval, fractions)


def test_what_is_known_around_an_interval(make_field: MakeField) -> None:
    """Not across gaps, and not frames at another distance; missing cells of a neighbour go on straight."""
    field = make_field(8, start="2019-12-31T00", step=15)
    values = field.values.copy()
    values[3, 2, 4] = np.nan
    values[6] = np.nan
    holed = field_like(field, values, grid_of(field))
    gappy = holed.isel(time=[0, 1, 2, 3, 4, 6, 7])
    method = Seen()
    hourly = method.downscale(gappy)
    given = method.given
    assert sorted(given) == ["00", "03", "06", "09"]
    assert given["00"].earlier is None
    np.testing.assert_array_equal(given["03"].earlier, values[0])
    assert given["09"].later is None
    assert given["03"].step == np.timedelta64(3, "h")
    assert given["03"].variable == "pm2p5"
    line = max(2 * values[2, 2, 4] - values[1, 2, 4], 0)
    assert given["03"].later[2, 4] == pytest.approx(line)
    assert np.isfinite(hourly.values[4:6, 2, 4]).all()
    assert np.isnan(hourly.values[7:9, 2, 4]).all()
    closer = Seen()
    times = field.time.values[:4] - np.array([1, 0, 0, 0]) * np.timedelta64(1, "h")
    closer.downscale(field.isel(time=slice(0, 4)).assign_coords(time=times[:4]))
    assert closer.given["03"].earlier is None


def test_a_chain_refines_shared_frames_once(make_field: MakeField) -> None:
    field = make_field(17, step=15)
    chain = build("cubic", **METHODS)
    in_space, refined = chain.parts[0], []
    downscale = in_space.downscale

    def counted(field: xr.DataArray, hours: object = None) -> xr.DataArray:
        refined.append(field.sizes["time"])
        return downscale(field, hours)

    in_space.downscale = counted
    plan = plan_work(field, chain)
    for item in plan.items:
        piece = plan.field.isel(time=plan.frames(item))
        chain.downscale(piece, plan.hours(item))
    assert refined == [10, 7]
    assert Chain([in_space]).reach == 0


def test_a_record_says_which_neighbours_were_known_and_an_extension_adds_them(
    make_field: MakeField, tmp_path: Path
) -> None:
    """A store that ended with a whole day: its last hours had no frame after them; now they have."""
    field, methods = make_field(26, step=15), {**METHODS, "temporal": "cubic"}
    whole, out = tmp_path / "whole.zarr", tmp_path / "out.zarr"
    downscale_to(field, whole, **methods)
    first = as_field(field.isel(time=slice(0, 17)))
    downscale_to(first, out, **methods)
    records = Records(out / ".deepcams")
    assert records.get("item-000001").neighbours == (
        "2019-12-31 21:00",
        "2020-01-02 00:00",
    )
    plan_extension(as_field(field.isel(time=slice(7, 26))), out, **methods).run()
    assert records.get("item-000001").neighbours == (
        "2019-12-31 21:00",
        "2020-01-02 00:00",
        "2020-01-02 03:00",
    )
    np.testing.assert_array_equal(*(xr.open_zarr(each).pm2p5 for each in (out, whole)))
    assert not verify(out).damages


def test_two_frames_alone_are_those_of_flow(make_field: MakeField) -> None:
    field = make_field(2, step=15)
    found, flow = (
        build(name, "none").downscale(field) for name in ("self-checked", "flow")
    )
    np.testing.assert_array_equal(found.values, flow.values)
