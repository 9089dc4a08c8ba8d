"""The door of the package: whatever a provider writes becomes one canonical field, or one clear line."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from deepcams.core.errors import DeepcamsNotice, InputError
from deepcams.core.field import as_field, field_like, grid_of, is_mean
from deepcams.core.grid import Grid
from deepcams.core.units import UNITS, units_factor
from deepcams.core.values import ValueCounts, clean, load_values, tell_counts

GRID = Grid.globe(7.5)
TIMES = np.datetime64("2019-12-31T15", "ns") + np.arange(3) * np.timedelta64(3, "h")


@pytest.fixture
def field() -> xr.DataArray:
    values = (
        np.random.default_rng(0).lognormal(1, 1, (3, *GRID.shape)).astype(np.float32)
    )
    like = xr.DataArray(
        values, dims=("time", "y", "x"), coords={"time": TIMES}, name="pm2p5"
    )
    return field_like(like, values, GRID, TIMES)


@pytest.mark.parametrize(
    ("units", "factor"),
    [
        ("kg m**-3", 1e9),
        ("kg m-3", 1e9),
        ("kg/m3", 1e9),
        ("kg m^-3", 1e9),
        ("kg m⁻³", 1e9),
        ("g/m^3", 1e6),
        ("mg m-3", 1e3),
        ("ug m-3", 1),
        ("\u00b5g/m\u00b3".replace("\u00b3", "3"), 1),
        ("\u03bcg m**-3", 1),
        (" ug/m3 ", 1),
        ("ng m-3", 1e-3),
        ("\u00b5g/m\u00b3", 1),
        ("\u03bcg m\u207b\u00b3", 1),
        ("\u00b5g\u00b7m\u22123", 1),
        ("UG/M3", 1),
        ("micrograms per cubic meter", 1),
        ("Microgram/m^3", 1),
        ("mcg/m3", 1),
        ("1e-9 kg m**-3", 1),
        ("1E-9 kg/m3", 1),
        ("10^-9 kg m-3", 1),
        ("10**-6 g m-3", 1),
        ("0.001 mg m-3", 1),
        ("1 ug m-3", 1),
    ],
)
def test_units(units: str, factor: float) -> None:
    assert units_factor(units, "x") == pytest.approx(factor, rel=1e-15)


@pytest.mark.parametrize(
    "units",
    [
        "ppb",
        "kg kg**-1",
        "K",
        "",
        None,
        "m-3",
        "banana",
        "1",
        "kg m3",
        "kg m-2",
        "kg m**-3 s**-1",
        "Mg m-3",
        "0 kg m-3",
        "ug sm-3",
        "1e999 kg m-3",
    ],
)
def test_what_is_no_mass_concentration_is_refused(units: str | None) -> None:
    with pytest.raises(InputError, match="mass concentration"):
        units_factor(units, "x")


@given(
    st.integers(-1, 47),
    st.booleans(),
    st.booleans(),
    st.permutations(["time", "latitude", "longitude"]),
)
def test_any_layout_becomes_the_same_field(
    first: int, south_first: bool, signed: bool, order: list[str]
) -> None:
    values = np.arange(3 * 25 * 48, dtype=np.float32).reshape(3, 25, 48)
    like = xr.DataArray(values, dims=("time", "y", "x"), coords={"time": TIMES})
    field = field_like(like, values, GRID, TIMES)
    turned = field.isel(longitude=np.roll(np.arange(48), -first))
    if signed:
        turned = turned.assign_coords(longitude=(turned.longitude + 180) % 360 - 180)
    if south_first:
        turned = turned.isel(latitude=slice(None, None, -1))
    turned = turned.transpose(*order)
    turned.attrs["units"] = "kg m**-3"
    short = {"latitude": "lat", "longitude": "lon"}
    result = as_field(
        (turned * np.float32(1))
        .assign_attrs(turned.attrs)
        .rename(short)
        .rename(time="valid_time")
    )
    np.testing.assert_allclose(result.values, values * 1e9, rtol=1e-6)
    assert grid_of(result) == GRID
    assert result.dims == ("time", "latitude", "longitude")
    assert result.dtype == np.float32
    assert result.attrs["units"] == UNITS


def test_leftover_scalars_and_a_missing_time_dimension(field: xr.DataArray) -> None:
    frame = field.isel(time=1).assign_coords(number=0, expver="0001").expand_dims("lev")
    result = as_field(frame)
    assert result.shape == (1, *GRID.shape)
    assert set(result.coords) == {"time", "latitude", "longitude"}
    np.testing.assert_array_equal(result.values[0], field.values[1])


def test_times_are_sorted_and_never_twice(field: xr.DataArray) -> None:
    result = as_field(field.isel(time=[2, 0, 1]))
    xr.testing.assert_equal(result, field)
    with pytest.raises(InputError, match="2019-12-31T18:00 twice"):
        as_field(field.isel(time=[0, 1, 1]))


def test_what_has_no_place_is_refused(field: xr.DataArray) -> None:
    with pytest.raises(InputError, match="coordinate time"):
        as_field(field.isel(time=0, drop=True))
    with pytest.raises(InputError, match="also level of 2"):
        as_field(xr.concat([field, field], "level"))
    with pytest.raises(InputError, match="regular spacing"):
        as_field(field.isel(latitude=[0, 1, 3, 4]))
    two = field.rename(latitude="y", longitude="x").drop_vars(["y", "x"])
    two = two.assign_coords(
        lat=(("y", "x"), np.zeros(GRID.shape)), lon=(("y", "x"), np.zeros(GRID.shape))
    )
    with pytest.raises(InputError, match="one-dimensional coordinates"):
        as_field(two)
    with pytest.raises(InputError, match="standard calendar"):
        as_field(field.assign_coords(time=[0, 1, 2]))
    days = xr.date_range("2019-02-28", periods=3, calendar="noleap", use_cftime=True)
    with pytest.raises(InputError, match="noleap"):
        as_field(field.assign_coords(time=days))
    with pytest.raises(InputError, match="with missing ones"):
        as_field(field.assign_coords(time=[TIMES[0], np.datetime64("NaT"), TIMES[2]]))


def test_a_column_that_closes_the_circle_is_dropped(field: xr.DataArray) -> None:
    closed = xr.concat(
        [field, field.isel(longitude=[0]).assign_coords(longitude=[360.0])], "longitude"
    )
    xr.testing.assert_equal(as_field(closed), field)


def test_canonical_or_refused(field: xr.DataArray) -> None:
    assert grid_of(field) == GRID
    for wrong in (
        field.transpose("latitude", "time", "longitude"),
        field.assign_attrs(units="kg m-3"),
    ):
        with pytest.raises(InputError, match=r"pass it through deepcams\.as_field"):
            grid_of(wrong)


def test_instants_and_means(field: xr.DataArray) -> None:
    assert not is_mean(field)
    hourly = field.assign_attrs(cell_methods="time: mean (interval: 1 hour)")
    assert is_mean(hourly)
    assert is_mean(as_field(hourly))
    assert is_mean(field_like(hourly, hourly.values, GRID))


def test_values_are_checked_while_loading(field: xr.DataArray) -> None:
    field.values[0, 0, :5] = [np.nan, -1e-9, -0.5, -1.0, -7]
    values, counts = load_values(field)
    assert counts == ValueCounts(total=field.size, missing=1, negative=3, implausible=1)
    np.testing.assert_array_equal(values[0, 0, :5], [np.nan, 0, 0, 0, np.nan])
    np.testing.assert_array_equal(values[1:], field.values[1:])
    assert counts + counts == ValueCounts(2 * field.size, 2, 6, 2)
    assert field.values[0, 0, 4] == -7  # the input is left alone
    with pytest.warns(DeepcamsNotice, match="1 values below -1 ug m-3"):
        tell_counts(counts)
    tell_counts(ValueCounts(5, 1, 1, 0))
    field.values[2, 3, 4] = np.inf
    with pytest.raises(
        InputError, match=r"infinite one at 2019-12-31T21:00, 67\.5 N 30 E"
    ):
        load_values(field, "cams.nc")
    field.values[:] = np.nan
    assert load_values(field)[1].missing == field.size


def test_missing_units_are_told_apart_from_wrong_ones(field: xr.DataArray) -> None:
    with pytest.raises(
        InputError, match=r"a\.nc: pm2p5: units: .* found no units; .* never guessed"
    ):
        as_field(field.drop_attrs(), "a.nc")
    with pytest.raises(InputError, match="found 'K'; choose another variable"):
        as_field(field.assign_attrs(units="K"), "a.nc")


@pytest.mark.parametrize("kind", ["U8", "bool", "complex64"])
def test_what_is_no_number_is_refused(field: xr.DataArray, kind: str) -> None:
    with pytest.raises(InputError, match="pm2p5: expected numbers"):
        as_field(field.astype(kind).assign_attrs(units=UNITS), "a.nc")


def test_a_dimension_without_values_is_no_coordinate(field: xr.DataArray) -> None:
    with pytest.raises(InputError, match="a dimension latitude without values"):
        as_field(field.drop_vars("latitude"), "a.nc")


def test_times_that_are_no_dates_are_told(field: xr.DataArray) -> None:
    days = field.assign_coords(
        time=("time", [20190308, 20190309, 20190310], {"units": "day as %Y%m%d"})
    )
    with pytest.raises(
        InputError,
        match="found 20190308 in 'day as %Y%m%d'; write the times as CF has it",
    ):
        as_field(days, "a.nc")
    with pytest.raises(InputError, match="none missing, found none"):
        as_field(field.isel(time=slice(0)), "a.nc")


@pytest.mark.parametrize("beside", [1.0, np.nan])
def test_values_that_no_air_has_are_refused(field: xr.DataArray, beside: float) -> None:
    values = field.values.copy()
    values[0, 0, 0], values[1, 2, 3] = beside, 1e20
    with pytest.raises(
        InputError, match=r"below 1e\+07 ug m-3.*found 1e\+20 ug m-3 at .*_FillValue"
    ):
        load_values(field.copy(data=values), "a.nc")


def test_values_that_are_only_shown_are_never_refused() -> None:
    values = np.array([np.nan, -0.5, -7, np.inf, -np.inf, 1e7, 5], np.float32)
    assert clean(values) == ValueCounts(total=7, missing=1, negative=1, implausible=4)
    np.testing.assert_array_equal(values, [np.nan, 0, *[np.nan] * 4, 5])
