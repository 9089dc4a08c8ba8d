"""A Zarr output that was not finished, or has lost a part: every opening says so, and only what is there counts."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from deepcams.core.errors import DeepcamsNotice, InputError
from deepcams.core.field import as_field
from deepcams.core.grid import Grid
from deepcams.downscaling.job import downscale_to
from deepcams.files.records import FOLDER
from deepcams.readers.inspect import inspect
from deepcams.readers.open import open_field
from deepcams.report.discover import read_output

START = np.datetime64("2019-12-31T00", "ns")
HOUR = np.timedelta64(1, "h")
ITEMS = 3


@pytest.fixture
def store(tmp_path: Path) -> Path:
    grid = Grid(0.75, 40, 20, 4, 5)
    times = START + np.arange(0, 72, 3) * HOUR
    values = np.arange(times.size * 20, dtype=np.float32).reshape(times.size, 4, 5) + 1
    coords = {"time": times, "latitude": grid.latitudes, "longitude": grid.longitudes}
    attrs = {"units": "ug m-3"}
    field = as_field(
        xr.DataArray(
            values, coords, ("time", "latitude", "longitude"), name="pm2p5", attrs=attrs
        )
    )
    path = tmp_path / "s.zarr"
    downscale_to(field, path, temporal="linear", spatial="bilinear")
    return path


def _record(store: Path, item: int) -> Path:
    return store / FOLDER / f"item-{item:06d}.record.json"


def _shard(store: Path, item: int) -> Path:
    return store / "pm2p5" / "c" / str(item) / "0" / "0"


def test_a_whole_store_says_nothing(store: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeepcamsNotice)
        whole = open_field(store)
    assert whole.sizes["time"] == 70
    assert not inspect(store).notes


@pytest.mark.parametrize("lost", [_record, _shard])
@pytest.mark.parametrize("item", [0, 1, 2])
def test_only_what_is_there_counts(lost: object, item: int, store: Path) -> None:
    whole = open_field(store).load()
    lost(store, item).unlink()  # type: ignore[operator]
    inside = np.arange(70) // 24 == item
    with pytest.warns(
        DeepcamsNotice, match=r"s.zarr is not finished: 2 of 3 parts are written"
    ) as told:
        field = open_field(store)
    assert len(told) == 1
    np.testing.assert_array_equal(field.time.values, whole.time.values[~inside])
    np.testing.assert_array_equal(field.values, whole.values[~inside])
    np.testing.assert_array_equal(field[30].values, whole.values[~inside][30])
    seen = inspect(store)
    assert any("is not finished" in note for note in seen.notes)
    assert seen.times is not None
    assert seen.times.count == int((~inside).sum())


def test_an_output_of_the_first_version_is_told_by_its_shards(store: Path) -> None:
    for item in range(ITEMS):
        record = _record(store, item)
        record.rename(record.with_name(f"item-{item:06d}.json"))
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeepcamsNotice)
        assert open_field(store).sizes["time"] == 70


@pytest.mark.filterwarnings("ignore::deepcams.core.errors.DeepcamsNotice")
def test_a_report_lists_it_among_the_problems(store: Path) -> None:
    _record(store, 1).unlink()
    found = read_output(store)
    assert [
        problem
        for problem in found.problems
        if "s.zarr is not finished: 2 of 3 parts are written" in problem
    ]
    assert found.total is not None
    assert found.field.sizes["time"] == 46


def test_a_store_of_which_nothing_is_written_is_refused(store: Path) -> None:
    for item in range(ITEMS):
        _record(store, item).unlink()
    with pytest.raises(InputError, match="an unfinished one: 0 of 3 parts are written"):
        open_field(store)


def test_a_copy_without_its_records_is_told_by_its_shards(store: Path) -> None:
    shutil.rmtree(store / FOLDER)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeepcamsNotice)
        assert open_field(store).sizes["time"] == 70
    _shard(store, 1).unlink()
    with pytest.warns(DeepcamsNotice, match="2 of 3 parts"):
        assert open_field(store).sizes["time"] == 46


def test_a_folder_whose_files_are_not_all_written_says_so(
    store: Path, tmp_path: Path
) -> None:
    field, folder = open_field(store), tmp_path / "days"
    downscale_to(field, folder, temporal="linear", spatial="none", split="day")
    next(folder.glob("*_20200101.nc")).unlink()
    said = "days is not finished: 1 of 3 files are not written. Give the command that began it again"
    with pytest.warns(DeepcamsNotice, match=said):
        assert open_field(folder).sizes["time"] == 46
    files = sorted(folder.glob("*.nc"))
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeepcamsNotice)
        open_field(files)  # whoever names files means these
    (folder / FOLDER / "files.record.json").write_text("{}")
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeepcamsNotice)
        open_field(folder)
