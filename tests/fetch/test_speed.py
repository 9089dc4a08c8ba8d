"""The bench of fetching compares like with like, and what it checks quickly is what the readers would find."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from deepcams.bench import fetching as speed
from deepcams.fetch.geos_cf_hours import read_hour
from deepcams.fetch.retry import RetryableError
from deepcams.readers.geos_cf import open_geos_cf
from fetch.conftest import DAY

TIME = np.datetime64(f"{DAY}T00:30", "ns")


@pytest.mark.slow
def test_both_sides_are_measured_by_turns(tmp_path: Path) -> None:
    files = speed.files(2, tmp_path, repeats=2)
    assert (files.objects, len(files.plain), len(files.fetch)) == (2, 2, 2)
    assert files.bytes > 2 * 10e6
    objects = speed.objects(3650, tmp_path)
    assert objects.objects == 3650
    assert 5 < len(objects.held) <= 10  # two tenths may be told at once
    assert not list(tmp_path.iterdir())


def test_the_ratio_is_of_rates() -> None:
    found = speed.Speed(1, 1, (1.0, 2.0, 3.0), (2.0, 2.0, 4.0))
    assert found.ratios == [0.5, 1.0, 0.75]
    assert found.ratio == 0.75


@pytest.fixture
def hour(world: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(sorted((world / "geos_cf").glob("*.nc4"))[0], tmp_path))


def rewrite(path: Path, values: np.ndarray, **how: object) -> None:
    with h5py.File(path, "a") as file:
        about = dict(file["PM25_RH35_GCC"].attrs)
        scales = [file["PM25_RH35_GCC"].dims[k][0].name for k in range(4)]
        del file["PM25_RH35_GCC"]
        new = file.create_dataset("PM25_RH35_GCC", data=values, **how)
        for k, name in enumerate(scales):
            new.dims[k].attach_scale(file[name])
        new.attrs.update(
            {key: about[key] for key in ("units", "missing_value", "long_name")}
        )


def values_of(path: Path) -> np.ndarray:
    with h5py.File(path) as file:
        found: np.ndarray = file["PM25_RH35_GCC"][:]
    return found


@pytest.mark.parametrize("shuffle", [True, False])
def test_an_hour_without_values_is_none(hour: Path, shuffle: bool) -> None:
    nothing = np.full_like(values_of(hour), 1e15)
    rewrite(hour, nothing, chunks=nothing.shape, compression="gzip", shuffle=shuffle)
    with pytest.raises(RetryableError, match="holds no values"):
        read_hour(hour, TIME, 1)
    nothing[0, 0, -1, -1] = -3.5  # one value at the very end
    rewrite(hour, nothing, chunks=nothing.shape, compression="gzip", shuffle=shuffle)
    assert read_hour(hour, TIME, 1).values.shape == nothing.shape[2:]


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"compression": "gzip", "chunks": (1, 1, 4, 4)},
        {"fletcher32": True},
    ],
)
def test_other_layouts_are_read_too(hour: Path, how: dict[str, object]) -> None:
    rewrite(hour, values_of(hour), **how)
    assert read_hour(hour, TIME, 1).values.shape == open_geos_cf(hour).shape[1:]


def test_every_damaged_byte_of_a_chunk_is_noticed(hour: Path) -> None:
    with h5py.File(hour) as file:
        place = file["PM25_RH35_GCC"].id.get_chunk_info(0)
    whole = hour.read_bytes()
    offsets = np.random.default_rng(0).integers(
        place.byte_offset, place.byte_offset + place.size, 4
    )
    for at in offsets.tolist():
        broken = bytearray(whole)
        broken[at] ^= 0x10
        hour.write_bytes(broken)
        with pytest.raises(RetryableError):
            read_hour(hour, TIME, 1)
