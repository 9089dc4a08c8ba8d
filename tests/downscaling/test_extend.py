"""A store grows: it becomes what one run over all its input would have made, and readers see the old one until then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from deepcams.core.errors import InputError, OutputError
from deepcams.core.field import as_field
from deepcams.downscaling.extend import Extension, plan_extension
from deepcams.downscaling.job import downscale_to
from deepcams.downscaling.verify import verify
from deepcams.files.records import Records
from deepcams.readers.cams import open_cams
from downscaling.test_job import LINEAR, opened

MakeField = Callable[..., xr.DataArray]


def cut(field: xr.DataArray, start: int, stop: int) -> xr.DataArray:
    return as_field(field.isel(time=slice(start, stop)))


def contents(store: Path) -> dict[str, bytes]:
    """All that is stored of values, status and coordinates."""
    found = sorted(p for p in store.rglob("*") if p.is_file() and p.name != "zarr.json")
    return {
        str(p.relative_to(store)): p.read_bytes()
        for p in found
        if ".deepcams" not in p.parts
    }


@pytest.mark.parametrize("frames", [9, 12, 16, 17, 24])
def test_extended_it_is_what_one_run_makes(
    make_field: MakeField, tmp_path: Path, frames: int
) -> None:
    """Wherever the store ended: within a work item, at its end, one hour into the next."""
    field = make_field(40)
    whole, out = tmp_path / "whole.zarr", tmp_path / "out.zarr"
    downscale_to(field, whole, **LINEAR)
    downscale_to(cut(field, 0, frames), out, **LINEAR)
    shard = out / "pm2p5/c/0/0/0"
    before = shard.stat().st_mtime_ns
    summary = plan_extension(field, out, **LINEAR).run()
    xr.testing.assert_identical(
        opened(out).drop_attrs(deep=False), opened(whole).drop_attrs(deep=False)
    )
    assert contents(out) == contents(whole)
    hours = 3 * (frames - 1) + 1
    assert summary.hours == 118
    assert summary.computed == 118 - (hours if hours % 24 == 0 else hours // 24 * 24)
    assert shard.stat().st_mtime_ns == before
    assert plan_extension(field, out, **LINEAR).run().computed == 0
    assert downscale_to(field, out, **LINEAR).computed == 0


def test_the_record_says_why_an_item_was_computed_again(
    make_field: MakeField, tmp_path: Path
) -> None:
    field, out = make_field(40), tmp_path / "out.zarr"
    downscale_to(cut(field, 0, 12), out, **LINEAR)
    plan_extension(field, out, **LINEAR).run()
    records = Records(out / ".deepcams")
    reasons = {
        r.item: r.facts["computed again"]
        for r in records
        if "computed again" in r.facts
    }
    assert reasons == {
        "item-000001": "the store ended at 2020-01-01 09:00; frames came later"
    }


def test_two_months_one_after_the_other(make_field: MakeField, tmp_path: Path) -> None:
    """Only the new frames are needed, with those from the last work item on."""
    field, whole, out = make_field(60), tmp_path / "whole.zarr", tmp_path / "out.zarr"
    downscale_to(field, whole, **LINEAR)
    downscale_to(cut(field, 0, 20), out, **LINEAR)
    plan_extension(cut(field, 16, 40), out, **LINEAR).run()
    plan_extension(cut(field, 32, 60), out, **LINEAR).run()
    assert contents(out) == contents(whole)
    history = xr.open_zarr(out).attrs["history"]
    assert len(history.splitlines()) == 3


def test_readers_see_the_old_store_until_the_new_one_is_whole(
    make_field: MakeField, tmp_path: Path
) -> None:
    field, out = make_field(40), tmp_path / "out.zarr"
    downscale_to(cut(field, 0, 12), out, **LINEAR)
    old, seen = opened(out), list[int]()
    lazy = xr.open_zarr(out)

    def look(phase: str, done: int, total: int) -> None:
        xr.testing.assert_identical(opened(out), old)
        seen.append(done)

    plan_extension(field, out, **LINEAR).run(look)
    assert len(seen) > 3
    # whoever opened the old store goes on reading it
    xr.testing.assert_identical(lazy.load(), old)
    assert opened(out).sizes["time"] == 118


class Killed(BaseException):
    pass


@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_cut_off_anywhere_the_same_command_goes_on(
    make_field: MakeField, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    field, whole, out = make_field(40), tmp_path / "whole.zarr", tmp_path / "out.zarr"
    downscale_to(field, whole, **LINEAR)
    downscale_to(cut(field, 0, 12), out, **LINEAR)
    old, calls = opened(out), list[int]()

    def kill(phase: str, done: int, total: int) -> None:
        calls.append(done)
        if len(calls) > at:
            raise Killed

    with pytest.raises(Killed):
        plan_extension(field, out, **LINEAR).run(kill)
    xr.testing.assert_identical(opened(out), old)
    plan_extension(field, out, **LINEAR).run()
    assert contents(out) == contents(whole)


def test_cut_off_while_the_metadata_are_written(
    make_field: MakeField, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    field, whole, out = make_field(40), tmp_path / "whole.zarr", tmp_path / "out.zarr"
    downscale_to(field, whole, **LINEAR)
    downscale_to(cut(field, 0, 12), out, **LINEAR)
    old = opened(out)
    keys = 0
    for stop in range(1, 40):
        extension = plan_extension(field, out, **LINEAR)
        keys = 0
        put = extension.job.target.storage.put  # type: ignore[attr-defined]

        def counted(key: str, data: bytes, stop: int = stop, put: Any = put) -> None:
            nonlocal keys
            if "/c/" not in key or key.startswith(("time", "lat", "lon", "crs")):
                keys += 1
                if keys == stop:
                    raise Killed
            put(key, data)

        monkeypatch.setattr(extension.job.target.storage, "put", counted)  # type: ignore[attr-defined]
        try:
            extension.run()
            break
        except Killed:
            xr.testing.assert_identical(opened(out), old)
    assert keys > 10
    assert contents(out) == contents(whole)


def refused(extension: Callable[[], Extension]) -> str:
    with pytest.raises((InputError, OutputError)) as caught:
        extension().run()
    return str(caught.value)


def test_what_does_not_fit_is_one_line(make_field: MakeField, tmp_path: Path) -> None:
    field, out = make_field(60), tmp_path / "out.zarr"
    downscale_to(cut(field, 0, 20), out, **LINEAR)
    before = contents(out)
    line = refused(lambda: plan_extension(cut(field, 21, 60), out, **LINEAR))
    assert "expected frames from 2020-01-02 00:00 on" in line
    assert line.endswith("give the files of before too")
    line = refused(lambda: plan_extension(cut(field, 2, 15), out, **LINEAR))
    assert "expected the store's hours" in line
    line = refused(
        lambda: plan_extension(field, out, temporal="linear", spatial="bicubic")
    )
    assert "exists with other settings" in line
    assert contents(out) == before
    downscale_to(field, tmp_path / "out.nc", **LINEAR)
    line = refused(lambda: plan_extension(field, tmp_path / "out.nc", **LINEAR))
    assert "expected a Zarr store, found netCDF" in line
    line = refused(lambda: plan_extension(field, tmp_path / "absent.zarr", **LINEAR))
    assert "expected a store of deepcams downscale" in line


def test_from_files_and_verified(make_field: MakeField, tmp_path: Path) -> None:
    field, out = make_field(40), tmp_path / "out.zarr"
    first, second = tmp_path / "january.nc", tmp_path / "february.nc"
    cut(field, 0, 16).to_netcdf(first)
    cut(field, 16, 40).to_netcdf(second)
    settings = {"temporal": "linear", "spatial": "bicubic"}
    downscale_to(open_cams(first), out, inputs=[first], **settings)
    both = [first, second]
    plan_extension(open_cams(both), out, inputs=both, **settings).run()
    found = verify(out)
    assert found.damages == ()
    assert found.hours == 118
    assert found.conservation == "checked against the input"
    np.testing.assert_array_equal(
        xr.open_zarr(out).time.values[[0, -1]],
        field.time.values[[0, -1]],
    )
