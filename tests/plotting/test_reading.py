"""What figures read of a field, and what is said where that is not there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from deepcams.cli import main
from deepcams.core.errors import InputError
from deepcams.core.field import field_like
from deepcams.core.grid import Grid
from deepcams.core.period import Period
from deepcams.plotting import (
    annual_figure,
    map_figure,
    save,
    sequence_figure,
    series_figure,
)
from plotting.test_pictures import START, hourly


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (
            lambda: map_figure(hourly(), START - np.timedelta64(9, "h")),
            "the nearest is 2019-12-31 15:00",
        ),
        (
            lambda: map_figure(hourly(), START + np.timedelta64(12, "h")),
            "the nearest is 2019-12-31 21:00",
        ),
        (
            lambda: map_figure(hourly(), period=Period.parse("2018")),
            "the nearest is 2019-12-31 15:00",
        ),
        (lambda: map_figure(hourly(), box=(10.1, 10.1, 10.9, 10.4)), "holds nodes"),
        (
            lambda: map_figure(hourly(), projection="mercator"),
            "--projection: expected one of",
        ),
        (
            lambda: map_figure(
                hourly(), box=(0, -80, 30, -60), projection="north-polar"
            ),
            "on the pole's side",
        ),
        (
            lambda: map_figure(hourly(), box=(0, 60, 30, 80), projection="south-polar"),
            "on the pole's side",
        ),
        (lambda: map_figure(hourly(), scale="linear"), "--scale: expected one of"),
        (lambda: map_figure(hourly(), size="poster"), "--size: expected one of"),
        (
            lambda: map_figure(hourly().rename("no2"), scale="guideline"),
            "expected PM2.5 or PM10",
        ),
        (lambda: series_figure({"a": hourly()}, (400.0, 0.0)), "--at: expected"),
        (
            lambda: series_figure(
                {"a": hourly().isel(longitude=slice(0, 20))}, (90.0, 0.0)
            ),
            "a place in the data",
        ),
        (lambda: sequence_figure({"a": hourly()}, hours=30), "2 to 12 frames"),
        (
            lambda: sequence_figure({"a": hourly()}, hours=9),
            "the nearest is 2019-12-31 21:00",
        ),
        (
            lambda: annual_figure(hourly(), hourly()[:, ::2, ::2]),
            "an odd number of times as coarse",
        ),
        (lambda: save(map_figure(hourly()), "map.bmp"), "ends in .png, .pdf or .svg"),
    ],
)
def test_what_is_not_there_is_said(draw: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        draw()


def test_means_and_series_are_the_numbers_of_the_field() -> None:
    from deepcams.plotting.reading import mean
    from deepcams.plotting.series import series_at

    lazy = hourly().chunk({"time": 2})
    np.testing.assert_allclose(
        mean(lazy, slice(1, 6)), hourly().values[1:6].mean(axis=0), rtol=1e-6
    )
    times, values = series_at(
        lazy, (181.4, -35.2), Period.parse("2019-12-31T16..2019-12-31T18")
    )
    assert times.size == 3
    np.testing.assert_allclose(
        values, hourly().sel(latitude=-34.5, longitude=181.5).values[1:4], rtol=1e-6
    )
    _, box = series_at(lazy, (170.0, -40.0, -170.0, -30.0))
    inside = hourly().sel(latitude=slice(-30, -40)).sel(longitude=slice(170, 190))
    weights = np.cos(np.deg2rad(inside.latitude))
    np.testing.assert_allclose(
        box, inside.weighted(weights).mean(("latitude", "longitude")).values, rtol=1e-5
    )


def test_only_what_is_drawn_is_read() -> None:
    import dask.array as da

    grid, seen = Grid.globe(1.5), []

    def block(block_info: dict | None = None) -> np.ndarray:
        if block_info:
            seen.append(block_info[None]["chunk-location"])
        return np.full((1, 121, 60), 5, np.float32)

    data = da.map_blocks(
        block,
        chunks=((1,) * 7, (121,), (60,) * 4),
        dtype=np.float32,
        meta=np.zeros((0, 0, 0), "f4"),
    )
    field = field_like(hourly(), data, grid)
    map_figure(field, START, box=(95.0, -20.0, 170.0, 20.0))
    assert set(seen) == {(0, 0, 1)}
    seen.clear()
    series_figure({"ours": field}, (95.0, 0.0))
    assert {each[2] for each in seen} == {1}


def test_values_are_cleaned_as_in_all_of_deepcams() -> None:
    field = hourly().copy()
    field.values[0, :20] = -0.5  # noise of packing: 0
    field.values[0, 20:40] = -5  # missing
    image = map_figure(field, size="column").axes[0].images[0].get_array()
    assert np.ma.is_masked(image[25])
    assert 0 < float(image[:15].max()) < 1e-30  # 0 as a logarithmic scale takes it
    assert field.values[0, 0, 0] == -0.5  # the field itself is untouched


def test_an_hour_that_is_not_in_the_file_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hourly().to_netcdf(tmp_path / "field.nc")
    arguments = [
        "plot",
        "map",
        str(tmp_path / "field.nc"),
        "-o",
        str(tmp_path / "none.png"),
    ]
    assert main([*arguments, "--time", "2020-06-01"]) == 2
    assert "the nearest is 2019-12-31 21:00" in capsys.readouterr().err
    assert not (tmp_path / "none.png").exists()
