"""One node's series: the field's values, whatever files they come from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from deepcams.core.field import as_field
from deepcams.core.grid import Grid
from deepcams.readers.frames import stored_values
from deepcams.readers.open import open_field
from deepcams.simulation.write_cams import write_cams
from deepcams.view.chunk_cache import Blocks
from deepcams.view.start import open_shown


@pytest.mark.parametrize("layout", ["new_layout", "old_layout"])
def test_real_files_in_either_layout(cams_dir: Path, layout: str) -> None:
    path = cams_dir / f"cams_eac4_20191231_{layout}.nc"
    field = open_field(path)
    read = Blocks(field).series
    values = np.maximum(field.values, 0)
    for row, column in ((0, 0), (240, 479), (97, 240), (160, 200)):
        np.testing.assert_array_equal(read(0, 4, row, column), values[:, row, column])
        np.testing.assert_array_equal(read(1, 3, row, column), values[1:3, row, column])
    assert read(2, 2, 0, 0).size == 0


def _written(folder: Path) -> tuple[list[Path], xr.DataArray]:
    """Three files of 40 frames each, in another order than time's."""
    grid = Grid.globe(0.75).select((70, 5, 80, 12))[0]
    hours = np.datetime64("2019-03-01", "ns") + np.arange(120) * np.timedelta64(3, "h")
    values = (
        np.random.default_rng(0)
        .lognormal(3, 0.5, (120, *grid.shape))
        .astype(np.float32)
    )
    coords = {"time": hours, "latitude": grid.latitudes, "longitude": grid.longitudes}
    field = as_field(
        xr.DataArray(
            values,
            coords,
            ("time", "latitude", "longitude"),
            "pm2p5",
            {"units": "ug m-3"},
        )
    )
    paths = [folder / f"{name}.nc" for name in "cab"]
    for k, path in enumerate(paths):
        write_cams(field.isel(time=slice(40 * k, 40 * k + 40)), path)
    return paths, field


def test_several_files_are_one_series(tmp_path: Path) -> None:
    paths, _ = _written(tmp_path)
    field = open_field(paths)
    read = Blocks(field).series
    for first, last in ((0, 120), (35, 85), (40, 80), (119, 120)):
        np.testing.assert_array_equal(
            read(first, last, 3, 4), field.values[first:last, 3, 4]
        )
    shown = open_shown(paths)
    minutes = shown.minutes["ours"]
    found = shown.series(
        float(field.longitude[4]),
        float(field.latitude[3]),
        int(minutes[0]),
        int(minutes[-1]),
    )
    np.testing.assert_allclose(
        found["fields"]["ours"]["values"], field.values[:, 3, 4], atol=1e-4
    )
    shown.close()


def test_a_field_that_was_changed_is_read_as_it_is(tmp_path: Path) -> None:
    paths, _ = _written(tmp_path)
    field = open_field(paths)
    assert stored_values(field) is not field.data
    for changed in (field * 2, field[::-1], field[:, ::-1], field[:, :3], field[40:]):
        np.testing.assert_array_equal(
            np.asarray(stored_values(changed)[1:3, 1, 2]), changed.values[1:3, 1, 2]
        )
