"""The clauses of a canonical field, and of what makes a finer one of it."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import xarray as xr

from deepcams.core.field import as_field, grid_of
from deepcams.core.grid import Grid
from deepcams.core.times import HOUR
from deepcams.methods.base import Downscaler, SpatialDownscaler, hours_between
from deepcams.testing.clauses import check_all

_SAME = 1e-4
"""Largest difference, relative to the largest value, of results that must be the same but for rounding."""


def check_field(field: xr.DataArray) -> None:
    """Check every clause; see :func:`deepcams.testing.check_field`."""
    assert isinstance(field, xr.DataArray), f"a field is a DataArray, not {field!r:.80}"
    check_all(_FIELD, field, f"field {field.name!r}")


def check_downscaler(method: Downscaler, seed: int = 0) -> None:
    """Check every clause; see :func:`deepcams.testing.check_downscaler`."""
    assert isinstance(method, Downscaler), (
        "a downscaler derives from SpatialDownscaler or TemporalDownscaler, or has "
        f"downscale, settings, name, halo, factor, hourly, reach and clip_above; {type(method).__name__} does not"
    )
    clauses = []
    for clause in _DOWNSCALER:
        clauses.append(partial(clause, field=_random_field(seed)))
        clauses[-1].__name__ = clause.__name__  # type: ignore[attr-defined]
    check_all(clauses, method, type(method).__name__)


def _is_in_order(field: xr.DataArray) -> None:
    assert field.dims == ("time", "latitude", "longitude"), (
        f"dimensions are time, latitude, longitude, not {field.dims}"
    )
    assert field.dtype == np.float32, f"values are float32, not {field.dtype}"
    assert field.attrs.get("units") == "ug m-3", (
        f"units are ug m-3, not {field.attrs.get('units')!r}; deepcams.as_field converts"
    )
    assert (np.diff(field.latitude) < 0).all(), "latitudes go from north to south"
    assert (np.diff(field.longitude) > 0).all(), "longitudes go eastward"
    assert (np.diff(field.time) > np.timedelta64(0)).all(), "times increase"


def _is_what_as_field_makes_of_it(field: xr.DataArray) -> None:
    again = as_field(field)
    for name in ("time", "latitude", "longitude"):
        assert np.array_equal(again[name], field[name]), (
            f"{name} is as deepcams.as_field makes it"
        )
    methods = ("time: point", "time: mean")
    assert field.attrs.get("cell_methods") in methods, (
        "cell_methods says 'time: point' (instants) or 'time: mean'"
    )


def _has_plausible_values(field: xr.DataArray) -> None:
    values = np.asarray(field[:2].data)
    assert not np.isinf(values).any(), "values are finite or NaN"
    assert np.isfinite(values).any(), "not all values are missing"


_FIELD = (_is_in_order, _is_what_as_field_makes_of_it, _has_plausible_values)


def _declares_itself(method: Downscaler, field: xr.DataArray) -> None:
    assert isinstance(method.name, str), "name is a string"
    assert method.name, "name is not empty"
    assert method.halo >= 0, "halo is a number of input nodes"
    assert method.factor >= 1, "factor is at least 1"
    settings = method.settings()
    assert json.loads(json.dumps(settings)) == settings, "settings are JSON"
    if isinstance(method, SpatialDownscaler):
        assert method.factor in method.factors, "factor is one of factors"


def _answers_with_a_finer_field(method: Downscaler, field: xr.DataArray) -> None:
    before = field.values.copy()
    fine = method.downscale(field)
    assert np.array_equal(field.values, before), "the input is left as it was"
    check_field(fine)
    grid = grid_of(field).refine(method.factor) if method.factor > 1 else grid_of(field)
    assert grid_of(fine) == grid, f"the grid is {grid}, not {grid_of(fine)}"
    times = hours_between(field.time.values) if method.hourly else field.time.values
    assert np.array_equal(fine.time, times), (
        "every hour is there" if method.hourly else "times stay"
    )
    assert fine.notnull().all(), "nothing is missing where the input misses nothing"
    assert (fine >= 0).all(), "nothing is negative"


def _repeats_itself(method: Downscaler, field: xr.DataArray) -> None:
    same = np.array_equal(method.downscale(field), method.downscale(field))
    assert same, "the same input gives the same answer"


def _keeps_what_it_knows(method: Downscaler, field: xr.DataArray) -> None:
    """Whatever stays on its grid keeps its frames."""
    if method.factor == 1:
        kept = method.downscale(field).sel(time=field.time)
        assert np.array_equal(kept, field), "frames of the input stay, to the bit"


def _treats_frames_apart(method: Downscaler, field: xr.DataArray) -> None:
    if not method.hourly:
        together, alone = method.downscale(field)[1:2], method.downscale(field[1:2])
        _same(together, alone, "a frame's answer depends on the other frames")


def _leaves_out_what_is_missing(method: Downscaler, field: xr.DataArray) -> None:
    holed = field.copy()
    holed[:, 5, 6] = np.nan
    fine = method.downscale(holed)
    assert _cell(fine, 5, 6, method).isnull().all(), (
        "where the input is missing, the answer is"
    )
    far = fine.isel(latitude=slice(0, 2), longitude=slice(0, 2))
    assert far.notnull().all(), "a missing cell leaves cells far away as they are"


def _sees_no_further_than_its_halo(method: Downscaler, field: xr.DataArray) -> None:
    """Tiles and boxes rest on it."""
    row, column, halo = 12, 14, method.halo
    if halo > 10:
        return  # the field is too small to tell
    other = field.copy(data=field.values[:, ::-1, ::-1].copy())
    near = np.s_[:, row - halo : row + halo + 1, column - halo : column + halo + 1]
    other[near] = field[near]
    here, there = (
        _cell(method.downscale(each), row, column, method) for each in (field, other)
    )
    _same(here, there, f"values more than halo = {halo} nodes away change the answer")


_DOWNSCALER = (
    _declares_itself,
    _answers_with_a_finer_field,
    _repeats_itself,
    _keeps_what_it_knows,
    _treats_frames_apart,
    _leaves_out_what_is_missing,
    _sees_no_further_than_its_halo,
)


def _random_field(seed: int) -> xr.DataArray:
    grid = Grid(0.75, north=60, west=20, rows=25, columns=30)
    coordinates = {
        "time": np.datetime64("2019-03-08T00", "ns") + 3 * HOUR * np.arange(4),
        "latitude": grid.latitudes,
        "longitude": grid.longitudes,
    }
    values = np.random.default_rng(seed).lognormal(2, 1, (4, *grid.shape))
    return as_field(
        xr.DataArray(values, coordinates, name="pm2p5", attrs={"units": "ug m-3"})
    )


def _cell(
    fine: xr.DataArray, row: int, column: int, method: Downscaler
) -> xr.DataArray:
    """Return the fine nodes that a coarse one stands for."""
    rows, columns = (
        slice(method.factor * n, method.factor * (n + 1)) for n in (row, column)
    )
    return fine[:, rows, columns]


def _same(a: xr.DataArray, b: xr.DataArray, otherwise: str) -> None:
    difference = float(abs(a.values - b.values).max() / abs(b.values).max())
    assert difference <= _SAME, (
        f"{otherwise} (by {difference:.1e} of the largest value)"
    )
