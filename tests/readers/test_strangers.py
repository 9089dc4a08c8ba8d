"""Files as strangers write and keep them: names in capitals, texts, forecasts, links, pipes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr

from deepcams.core.errors import InputError
from deepcams.readers.formats.datasets import open_datasets
from deepcams.readers.formats.detect import find_files
from deepcams.readers.open import open_field

World = Callable[..., xr.DataArray]
Save = Callable[..., Path]
START = "2019-12-31T15"


def test_names_in_capitals(save: Save, world: World) -> None:
    record = world(START, 3)
    loud = record.rename(time="TIME", latitude="LAT", longitude="Longitude")
    np.testing.assert_array_equal(
        open_field(save("a.nc", loud)).values, open_field(save("b.nc", record)).values
    )


def test_a_forecast_as_the_data_store_lays_it_out(save: Save, world: World) -> None:
    """Two reference times with four steps each; the moment that values are valid at has two dimensions."""
    record = world(START, 8)
    moments = record.time.values.reshape(2, 4)
    array = xr.DataArray(
        record.values.reshape(2, 4, *record.shape[1:]).swapaxes(0, 1),
        dims=("forecast_period", "forecast_reference_time", "latitude", "longitude"),
        coords={
            "forecast_period": np.arange(4) * 3,
            "forecast_reference_time": moments[:, 0],
            "valid_time": (("forecast_reference_time", "forecast_period"), moments),
            "latitude": record.latitude,
            "longitude": record.longitude,
        },
        name="pm2p5",
        attrs=record.attrs,
    )
    field, wanted = open_field(save("a.nc", array)), open_field(save("b.nc", record))
    np.testing.assert_array_equal(field.time.values, wanted.time.values)
    np.testing.assert_array_equal(field.values, wanted.values)


def test_a_file_with_texts_is_opened_again_while_it_is_open(
    save: Save, world: World
) -> None:
    """HDF5 crashes on a second handle of such a file, which info needs: values first, then the verdict."""
    record = world(START, 3).rename(time="valid_time")
    words = record.assign_coords(
        valid_time=record.valid_time.dt.strftime("%Y-%m-%dT%H:%M:%S+00:00").values
    )
    path = save(
        "a.nc", words.to_dataset().assign(note=("valid_time", ["a", "bb", "ccc"]))
    )
    done = subprocess.run(
        [sys.executable, "-m", "deepcams", "info", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, (done.returncode, done.stderr)
    assert "2019-12-31T15:00:00+00:00; write the times as CF has it" in " ".join(
        done.stdout.split()
    )


def test_a_file_has_one_handle_and_what_is_written_anew_is_read_anew(
    save: Save, world: World
) -> None:
    path = save("a.nc", world(START, 2))
    first = open_field(path)
    before = first.values
    second = open_field(path)  # while the first one's handle is open
    np.testing.assert_array_equal(second.values, before)
    newer = world(START, 2, seed=1)
    newer.to_netcdf(path.with_name("new.nc"))
    path.with_name("new.nc").replace(path)
    assert not np.array_equal(open_field(path).values, before)


def test_times_in_units_that_are_none(save: Save, world: World) -> None:
    path = save("a.nc", world(START, 2))
    with netCDF4.Dataset(path, "a") as file:
        file["time"].units = "fortnights since yesterday"
    with pytest.raises(
        InputError,
        match=r"a\.nc: time: .* found 'fortnights since yesterday'; write the times as CF",
    ):
        open_datasets(find_files(path)[0])


def test_a_folder_with_a_pipe_and_a_link_to_itself(save: Save, world: World) -> None:
    path = save("in/a.nc", world(START, 2))
    (path.parent / "again").symlink_to(path.parent)
    os.mkfifo(path.parent / "pipe")
    assert [file.path for file in find_files(path.parent)] == [path]
    with pytest.raises(
        InputError, match=r"pipe: expected a file.*save it to a file first"
    ):
        find_files(path.parent / "pipe")


def test_a_link_to_nothing_is_named(save: Save, world: World) -> None:
    path = save("in/a.nc", world(START, 2))
    (path.parent / "b.nc").symlink_to("nowhere.nc")
    for given in (path.parent, path.parent / "b.nc"):
        with pytest.raises(
            InputError,
            match=r"b\.nc: expected a file, found a link to nowhere\.nc, which is not there",
        ):
            find_files(given)
