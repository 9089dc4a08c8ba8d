"""Fields that need no Dask: read when their values are asked for, and never more than was asked for."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from deepcams.core.field import as_field
from deepcams.readers.cams import open_cams, open_cams_files
from deepcams.readers.formats.detect import find_files
from deepcams.readers.frames import Frames
from deepcams.readers.stored import Indexed, Stored

Save = Callable[..., Path]
World = Callable[..., xr.DataArray]


@pytest.fixture
def paths(save: Save, world: World) -> list[Path]:
    return [
        save("a.nc", world("2019-03-01T00", 9)),
        save("b.nc", world("2019-03-02T00", 8)),  # the first is in the other, too
    ]


def opened(paths: list[Path]) -> xr.DataArray:
    return open_cams_files(find_files(paths), "pm2p5", with_dask=False)


@pytest.mark.filterwarnings("ignore::deepcams.core.errors.DeepcamsNotice")
@pytest.mark.parametrize(
    "index",
    [
        {},
        {"time": slice(3, 12)},
        {"time": [2, 7, 8]},
        {"time": slice(0, 0)},
        {"latitude": slice(4, 9), "longitude": slice(10, 20)},
        {"latitude": slice(0, 3), "longitude": np.r_[46:48, 0:5]},
        {"time": slice(1, None, 2), "latitude": slice(None, None, -1)},
        {"time": 3},
        {"time": [1, 3], "longitude": [5, 2]},
    ],
)
def test_parts_have_the_values_that_dask_gives(
    paths: list[Path], index: dict[str, Any]
) -> None:
    expected, field = open_cams(paths), opened(paths)
    assert isinstance(field.data, Indexed)
    part = field.isel(index)
    np.testing.assert_array_equal(part.values, expected.isel(index).values)
    assert part.coords.equals(expected.isel(index).coords)
    # A part of a part, in a period.
    part, other = (each.isel(time=slice(2, 11)) for each in (field, expected))
    assert part.nbytes == other.nbytes
    for each in index.values():
        if isinstance(each, slice):
            np.testing.assert_array_equal(part.isel(time=each), other.isel(time=each))


@pytest.mark.filterwarnings("ignore::deepcams.core.errors.DeepcamsNotice")
def test_nothing_is_read_before_it_is_asked_for(
    paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[int, int, int]] = []
    plain = Stored.read

    def counted(self: Stored, times: Any, rows: Any, columns: Any) -> np.ndarray:
        values = plain(self, times, rows, columns)
        read.append(values.shape)
        return values

    field = opened(paths)
    monkeypatch.setattr(Stored, "read", counted)
    part = as_field(field).isel(time=slice(2, 12), latitude=slice(4, 9))
    part = part.isel(longitude=slice(0, 6))
    assert not read
    assert Frames(part).read(np.array([1, 2])).shape == (2, 5, 6)
    assert all(shape[1:] == (5, 6) for shape in read)
    with pytest.raises(TypeError):
        field + field


def test_dask_is_imported_when_others_do_and_works_then() -> None:
    code = """
import sys
from deepcams.core.late_dask import import_dask_late
import_dask_late()
import_dask_late()
import numpy as np, xarray as xr
field = xr.DataArray(np.arange(6.0), dims="x")
assert float((field + 1).sum()) == 21 and field.chunks is None
assert "dask" not in sys.modules
chunked = field.chunk(x=2)
assert "dask.array" in sys.modules and chunked.chunks == ((2, 2, 2),)
assert float((chunked + 1).sum().compute()) == 21
assert float(xr.DataArray(chunked.data, dims="x").mean()) == 2.5
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
