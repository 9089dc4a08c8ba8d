"""Preparing into a store that is there, or that could not be finished: what is kept, and what is refused."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from geos_files import BOX, hours, values, write, write_hours
from stored import DAY, frames, memory, snapshot

from deepcams.core.errors import DeepcamsError, InputError, OutputError
from deepcams.core.field import field_like
from deepcams.training.store.hour_array import HourArray
from deepcams.training.store.open import HOURS, Prepared
from deepcams.training.store.prepare import Preparation, prepare


def test_a_store_is_extended_by_later_hours_and_reads_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_hours(tmp_path / "a", DAY, 30, 10)
    write_hours(tmp_path / "b", "2019-03-09T06:30", 20, 10)
    write_hours(tmp_path / "c", "2019-03-07T06:30", 1)
    first = prepare(tmp_path / "a", tmp_path / "s.zarr")
    shutil.rmtree(tmp_path / "a")
    written: list[int] = []
    write_one = HourArray.write

    def noting(self: HourArray, slot: int, data: np.ndarray) -> None:
        written.append(slot)
        write_one(self, slot, data)

    monkeypatch.setattr(HourArray, "write", noting)
    longer = Preparation(tmp_path / "b", tmp_path / "s.zarr").run()
    assert longer.computed == 20
    assert sorted(set(written)) == list(range(30, 50))
    np.testing.assert_array_equal(longer.store.times, hours(DAY, 50))
    np.testing.assert_array_equal(frames(longer.store), values(hours(DAY, 50)))
    assert longer.store.sources["inputs"]["files"] == 5
    assert len(first) == 30  # what was opened before stays as it was
    np.testing.assert_array_equal(frames(first), values(hours(DAY, 30)))
    with pytest.raises(OutputError, match=r"begins on 2019-03-08.*found 2019-03-07"):
        prepare(tmp_path / "c", tmp_path / "s.zarr")
    with pytest.raises(OutputError, match="degradation was area, now decimate"):
        prepare(tmp_path / "b", tmp_path / "s.zarr", degradation="decimate")
    with xr.open_zarr(tmp_path / "s.zarr", group="coarse") as found:
        assert found.sizes["time"] == 50


def test_hours_prepared_from_other_values_are_not_passed_over(tmp_path: Path) -> None:
    paths = write_hours(tmp_path / "a", DAY, 5)
    store = prepare(tmp_path / "a", tmp_path / "s.zarr")
    before = snapshot(store.path)
    paths[2].touch()
    assert Preparation(tmp_path / "a", tmp_path / "s.zarr").run().computed == 0
    times = hours(DAY, 5)
    write(tmp_path / "a", times[2:3], values(times[2:3], seed=5))
    with pytest.raises(
        OutputError, match=r"the hour 2019-03-08 02:30 was prepared from other values"
    ):
        prepare(tmp_path / "a", tmp_path / "s.zarr")
    assert snapshot(store.path) == before
    field = memory(times)
    one = prepare(field, tmp_path / "f.zarr")
    assert Preparation(field, tmp_path / "f.zarr").run().computed == 0
    with pytest.raises(OutputError, match="other values"):
        prepare(field_like(field, field.values * 2, BOX), tmp_path / "f.zarr")
    assert np.array_equal(frames(one), field.values)


def test_overwrite(tmp_path: Path) -> None:
    write_hours(tmp_path / "a", DAY, 3)
    prepare(tmp_path / "a", tmp_path / "s.zarr")
    store = prepare(
        tmp_path / "a",
        tmp_path / "s.zarr",
        degradation="imresize",
        period="2019-03-08T01",
        overwrite=True,
    )
    assert (store.degradation, len(store)) == ("imresize", 1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "s.zarr"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="not a training store"):
            prepare(tmp_path / "a", tmp_path / "mine", overwrite=overwrite)
    assert (tmp_path / "mine" / "thesis.txt").exists()
    with pytest.raises(OutputError, match="name of its own"):
        prepare(tmp_path / "a", tmp_path / "a", overwrite=True)


def test_nothing_fit_leaves_nothing(tmp_path: Path) -> None:
    times = hours(DAY, 2)
    write(tmp_path / "in", times, np.full((2, *BOX.shape), np.nan, np.float32))
    with pytest.raises(
        InputError,
        match=r"an hour fit for training, found none in 2: undefined, 864 of 864 values",
    ):
        prepare(tmp_path / "in", tmp_path / "s.zarr")
    for path in (tmp_path / "in").iterdir():
        path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DeepcamsError, match="truncated"):
        prepare(tmp_path / "in", tmp_path / "s.zarr")
    shutil.rmtree(tmp_path / "in")
    (tmp_path / "in").mkdir()
    with pytest.raises(InputError, match="empty"):
        prepare(tmp_path / "in", tmp_path / "s.zarr")
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_a_disk_that_fills_up_keeps_finished_days(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_hours(tmp_path / "in", DAY, 30, 6)
    write_one = HourArray.write

    def until_full(self: HourArray, slot: int, data: np.ndarray) -> None:
        if slot >= 26:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_one(self, slot, data)

    monkeypatch.setattr(HourArray, "write", until_full)
    with pytest.raises(
        OutputError,
        match="No space left on device; free some space and run the same command again",
    ):
        prepare(tmp_path / "in", tmp_path / "s.zarr")
    with pytest.raises(InputError, match="unfinished"):
        Prepared.open(tmp_path / "s.zarr")
    monkeypatch.setattr(HourArray, "write", write_one)
    summary = Preparation(tmp_path / "in", tmp_path / "s.zarr").run()
    assert summary.computed == 6
    np.testing.assert_array_equal(frames(summary.store), values(hours(DAY, 30)))
    usage = type("Usage", (), {"free": 10_000})()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OutputError, match="of free space"):
        prepare(tmp_path / "in", tmp_path / "t.zarr")
    assert not (tmp_path / "t.zarr").exists()


def test_what_cannot_be_opened_says_so_in_one_line(tmp_path: Path) -> None:
    write_hours(tmp_path / "in", DAY, 1)
    for path, words in (
        (tmp_path / "none", "nothing of this name"),
        (tmp_path / "in", "no store"),
    ):
        with pytest.raises(InputError, match=words):
            Prepared.open(path)
    store = prepare(tmp_path / "in", tmp_path / "s.zarr")
    shard = tmp_path / "s.zarr" / "fine" / "pm2p5" / "c.0.0.0"
    whole = shard.read_bytes()
    for damage in (whole[:200], whole[:-40], b""):
        shard.write_bytes(damage)
        with pytest.raises(InputError, match="a whole hour"):
            store.read(0, 0, 0, 8, 12, "fine")
    shard.unlink()
    with pytest.raises(InputError, match="found none"):
        store.read(0, 0, 0, 8, 12, "fine")
    metadata = tmp_path / "s.zarr" / "zarr.json"
    metadata.write_text(metadata.read_text().replace('"format": 2', '"format": 99'))
    with pytest.raises(InputError, match="format 99"):
        Prepared.open(tmp_path / "s.zarr")
    (tmp_path / "s.zarr" / HOURS).unlink()
