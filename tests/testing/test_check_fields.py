"""Our methods and fields pass the shipped checks; what is broken is named."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import xarray as xr

from deepcams.core.field import as_field
from deepcams.core.grid import Grid, place
from deepcams.methods import SpatialDownscaler, TemporalDownscaler, build
from deepcams.methods.chains import SPATIAL
from deepcams.methods.interval import Interval
from deepcams.methods.spatial.bicubic import LogBicubic
from deepcams.methods.temporal.four_frames import Cubic
from deepcams.testing import check_downscaler, check_field


@pytest.mark.parametrize("name", sorted(SPATIAL.names()))
def test_our_methods_in_space_pass(name: str) -> None:
    check_downscaler(SPATIAL.get(name)())


def test_our_methods_in_time_and_chains_pass() -> None:
    check_downscaler(Cubic())
    check_downscaler(build("linear", "log-bicubic"))


class Sound(SpatialDownscaler):
    name = "sound"
    halo = 0

    def refine(self, values: np.ndarray, grid: Grid) -> np.ndarray:
        return place(values, grid)


class Narrow(Sound):
    def refine(self, values: np.ndarray, grid: Grid) -> np.ndarray:
        return place(values, grid)[..., :-1]


class Negative(Sound):
    def refine(self, values: np.ndarray, grid: Grid) -> np.ndarray:
        return place(values, grid) - 5


class InPlace(Sound):
    def refine(self, values: np.ndarray, grid: Grid) -> np.ndarray:
        values *= 2
        return place(values, grid)


class Whole(Sound):
    def refine(self, values: np.ndarray, grid: Grid) -> np.ndarray:
        return place(values / values.mean(), grid)


class FarSighted(LogBicubic):
    halo = 0


class Forgetful(TemporalDownscaler):
    name = "forgetful"

    def between(self, interval: Interval, fractions: Sequence[float]) -> np.ndarray:
        return np.stack([np.full_like(interval.before, np.nan) for _ in fractions])

    def settings(self) -> dict[str, object]:
        return {"name": self}


@pytest.mark.parametrize(
    ("method", "said"),
    [
        (Narrow, "answers_with_a_finer_field: raised"),
        (Negative, "answers_with_a_finer_field: nothing is negative"),
        (InPlace, "answers_with_a_finer_field: the input is left as it was"),
        (Whole, "treats_frames_apart: a frame's answer depends on the other frames"),
        (FarSighted, "sees_no_further_than_its_halo: values more than halo = 0 nodes"),
        (Forgetful, "declares_itself: raised TypeError"),
        (Forgetful, "answers_with_a_finer_field: nothing is missing where"),
    ],
)
def test_names_what_is_broken(method: type, said: str) -> None:
    check_downscaler(Sound())
    with pytest.raises(AssertionError) as told:
        check_downscaler(method())
    assert f"{method.__name__} breaks the contract:\n" in str(told.value)
    assert said in str(told.value)


def test_refuses_what_is_no_downscaler() -> None:
    with pytest.raises(AssertionError, match="a downscaler derives from"):
        check_downscaler(np.ones(3))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def field() -> xr.DataArray:
    grid = Grid(0.75, 60, 130, 6, 8)
    coordinates = {
        "time": np.array(["2019-12-01T00", "2019-12-01T03"], "M8[ns]"),
        "latitude": grid.latitudes,
        "longitude": grid.longitudes,
    }
    values = np.random.default_rng(0).lognormal(2, 1, (2, *grid.shape))
    return as_field(xr.DataArray(values, coordinates, attrs={"units": "ug m-3"}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.astype("f8"), "is_in_order: values are float32, not float64"),
        (lambda f: f[:, ::-1], "is_in_order: latitudes go from north to south"),
        (lambda f: f[::-1], "is_in_order: times increase"),
        (lambda f: f.transpose(), "is_in_order: dimensions are time, latitude, long"),
        (lambda f: f.assign_attrs(units="kg m-3"), "is_in_order: units are ug m-3"),
        (lambda f: f.assign_attrs(cell_methods=""), "cell_methods says 'time: point'"),
        (lambda f: f * np.float32(np.nan), "not all values are missing"),
    ],
)
def test_names_what_is_wrong_with_a_field(
    change: Callable[[xr.DataArray], xr.DataArray], said: str, field: xr.DataArray
) -> None:
    check_field(field)
    check_field(as_field(field.astype("f8")[:, ::-1]))
    with pytest.raises(AssertionError) as told:
        check_field(change(field))
    assert said in str(told.value)
