"""Factors 3 and 5 in space, frames 2 to 6 hours apart in time, by every method that needs no training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from deepcams.core.errors import InputError
from deepcams.core.field import as_field, grid_of
from deepcams.downscaling.job import downscale_to
from deepcams.downscaling.verify import verify
from deepcams.methods import build
from deepcams.methods.chains import SPATIAL, TEMPORAL
from deepcams.methods.spatial.coarsen import coarsen

HOUR = np.timedelta64(1, "h")
IN_SPACE = ["bilinear", "bicubic", "log-bicubic"]
QUICK = sorted(set(TEMPORAL.names()) - {"linear-eq9", "sun", "flow", "self-checked"})
MOTION = [
    pytest.param(name, apart, marks=pytest.mark.slow)
    for name in ("flow", "self-checked")
    for apart in (2, 4, 5, 6)
]


def _globe(frames: int = 1, apart: int = 3) -> xr.DataArray:
    latitude, longitude = np.arange(90, -91, -15.0), np.arange(0, 360, 15.0)
    shape = (frames, latitude.size, longitude.size)
    values = np.random.default_rng(2).lognormal(1, 1, shape).astype(np.float32)
    values[:, [0, -1]] = values[:, [0, -1], :1]  # a pole has one value
    times = np.datetime64("2019-12-31", "ns") + np.arange(frames) * apart * HOUR
    coordinates = {"time": times, "latitude": latitude, "longitude": longitude}
    units = {"units": "ug m-3"}
    return as_field(
        xr.DataArray(values, coordinates, tuple(coordinates), "pm2p5", units)
    )


def test_the_list_of_methods_is_complete() -> None:
    assert set(IN_SPACE) == set(SPATIAL.names())
    assert {"linear", "cubic", "pchip"} <= set(QUICK)


@pytest.mark.parametrize("factor", [3, 5])
@pytest.mark.parametrize("name", IN_SPACE)
def test_a_factor_in_space(name: str, factor: int) -> None:
    field = _globe()
    plain = build("none", name, conserve=False, factor=factor)
    fine = plain.downscale(field)
    assert plain.factor == factor
    assert grid_of(fine) == grid_of(field).refine(factor)
    assert fine.shape == (1, 12 * factor + 1, 24 * factor)
    # Fine nodes on coarse ones, and on the poles, have their values.
    np.testing.assert_allclose(fine[:, ::factor, ::factor], field, rtol=2e-5)
    np.testing.assert_allclose(fine[0, 0], float(field[0, 0, 0]), rtol=2e-5)
    # No seam: a turned globe gives the turned result.
    turned = field.copy(data=np.roll(field, 7, axis=2))
    again = plain.downscale(turned)
    np.testing.assert_allclose(again, np.roll(fine, 7 * factor, axis=2), rtol=2e-5)
    kept = build("none", name, factor=factor)
    means = coarsen(kept.downscale(field), factor=factor)
    np.testing.assert_allclose(means, field, rtol=1e-4)
    assert (kept.settings() != build("none", name).settings()) == (factor == 5)


def test_other_factors_are_refused() -> None:
    for factor in (2, 4):
        with pytest.raises(InputError, match="an even one puts no fine node on a"):
            build("none", "bicubic", factor=factor)
    with pytest.raises(InputError, match="--factor: expected 3 or 5, found 7"):
        build("none", "bicubic", factor=7)
    with pytest.raises(
        InputError, match=r"a method in space that supports it .*found cellnet"
    ):
        build("none", "cellnet", factor=5)
    assert build("none", "best", factor=5).name.startswith("log-bicubic")


@pytest.mark.parametrize(
    ("name", "apart"),
    [*((name, apart) for name in QUICK for apart in (2, 4, 5, 6)), *MOTION],
)
def test_frames_so_far_apart(name: str, apart: int) -> None:
    """Frames stay to the bit; what changes evenly everywhere is met exactly between them."""
    field = _globe(4, apart)
    for i in range(4):
        field[i] = field[0] * (1 + 0.1 * i)
    chain = build(name, "none", gap=6)
    hourly = chain.downscale(field)
    assert hourly.sizes["time"] == 3 * apart + 1
    np.testing.assert_array_equal(hourly[::apart], field)
    hours = np.arange(3 * apart + 1) / apart
    even = field.values[0] * (1 + 0.1 * hours[:, None, None])
    np.testing.assert_allclose(hourly, even, rtol=0.02)


def test_longer_gaps_are_refused() -> None:
    field = _globe(3, 6)
    assert np.isnan(build("linear", "none").downscale(field)[1]).all()
    assert np.isnan(build("linear", "none", gap=5).downscale(field)[1]).all()
    for gap in (1, 7):
        with pytest.raises(InputError, match="--gap: expected 2 to 6 hours"):
            build("linear", "none", gap=gap)


def test_both_end_to_end(tmp_path: Path) -> None:
    """Six-hourly frames to hours at a fifth of the step; the output says so, and is verified by its own settings."""
    field, given, out = _globe(3, 6), tmp_path / "given.nc", tmp_path / "out.nc"
    field.to_netcdf(given)
    with pytest.raises(InputError, match="allow more with --gap 6"):
        downscale_to(field, out)
    settings = {"factor": 5, "gap": 6, "temporal": "cubic", "inputs": [given]}
    done = downscale_to(field, out, **settings)
    assert done.total.hours == (0, 3, 10)
    with xr.open_dataset(out) as found:
        assert found.pm2p5.shape == (13, 61, 120)
        assert "at most 6 hours apart" in found.status.attrs["comment"]
        assert "at most 6 hours apart" in found.attrs["summary"]
    assert not verify(out).damages
    with pytest.raises(Exception, match="exists with other settings"):
        downscale_to(field, out, **{**settings, "factor": 3})
