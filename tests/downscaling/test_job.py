"""Runs: written, gone on with, refused, replaced."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import deepcams
from deepcams.core.errors import InputError, OutputError
from deepcams.downscaling import inputs as inputs_module
from deepcams.downscaling.job import downscale_to, plan_job
from deepcams.files.records import Records, file_digest
from deepcams.writers.zarr_store import ZarrTarget

MakeField = Callable[..., xr.DataArray]
LINEAR = {"temporal": "linear", "spatial": "bicubic", "conserve": False}


def tree(path: Path) -> list[str]:
    return sorted(str(p.relative_to(path)) for p in path.rglob("*"))


def opened(path: Path) -> xr.Dataset:
    """What any reader sees."""
    if path.suffix == ".zarr":
        return xr.open_zarr(path).load()
    files = sorted(path.glob("*.nc")) if path.is_dir() else [path]
    parts = [xr.open_dataset(file).load() for file in files]
    for part in parts:
        part.close()
    return (
        xr.concat(
            parts,
            "time",
            data_vars="minimal",
            coords="minimal",
            compat="override",
            join="exact",
        )
        if len(parts) > 1
        else parts[0]
    )


FORMS = [("out.zarr", None), ("out.nc", None), ("out", "day"), ("out", "month")]


@pytest.mark.parametrize(("name", "split"), FORMS)
def test_every_format_holds_the_lazy_functions_values(
    make_field: MakeField, tmp_path: Path, name: str, split: str | None
) -> None:
    field = make_field(15, start="2019-12-30T15")
    summary = downscale_to(field, tmp_path / name, split=split, rounding=0, **LINEAR)
    expected = deepcams.downscale(field, **LINEAR)
    found = opened(tmp_path / name)
    np.testing.assert_array_equal(found.pm2p5.values, expected.values)
    np.testing.assert_array_equal(found.time.values, expected.time.values)
    np.testing.assert_array_equal(found.latitude.values, expected.latitude.values)
    np.testing.assert_array_equal(found.longitude.values, expected.longitude.values)
    assert found.status.values.tolist() == [1, *[2, 2, 1] * 14]
    assert summary.total.hours == (0, 15, 28)
    assert summary.total.counts.total == field.size
    assert summary.total.largest == expected.values.max()
    assert summary.computed == summary.hours == 43
    visible = [
        p
        for p in tree(tmp_path)
        if ".deepcams" not in p and not p.startswith("out.zarr/")
    ]
    files = {
        None: [],
        "day": ["20191230", "20191231", "20200101"],
        "month": ["201912", "202001"],
    }[split]
    assert visible == [name, *(f"out/pm2p5_{part}.nc" for part in files)]


@pytest.mark.parametrize(("name", "split"), FORMS)
def test_stored_values_are_within_the_stated_bound(
    make_field: MakeField, tmp_path: Path, name: str, split: str | None
) -> None:
    field = make_field(5)
    downscale_to(field, tmp_path / name, split=split, **LINEAR)
    exact = deepcams.downscale(field, **LINEAR).values
    found = opened(tmp_path / name)
    bound = found.pm2p5.attrs["quantization_maximum_relative_error"]
    assert bound == 0.001
    assert np.abs(found.pm2p5.values - exact).max() > 0
    assert np.all(np.abs(found.pm2p5.values - exact) <= bound * exact)


@pytest.mark.parametrize(("name", "split"), FORMS)
def test_an_interrupted_run_is_gone_on_with(
    make_field: MakeField, tmp_path: Path, name: str, split: str | None
) -> None:
    field = make_field(41)
    seen: list[int] = []

    def stop(_: str, done: int, __: int) -> None:
        seen.append(done)
        if done >= 72:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        downscale_to(field, tmp_path / name, split=split, progress=stop, **LINEAR)
    seen.clear()
    summary = downscale_to(
        field,
        tmp_path / name,
        split=split,
        progress=lambda _, d, __: seen.append(d),
        **LINEAR,
    )
    assert seen[0] == 96  # the item that was computed meanwhile is kept
    assert summary.computed == 121 - 96
    assert summary.total.hours == (0, 41, 80)
    downscale_to(field, tmp_path / f"whole{Path(name).suffix}", split=split, **LINEAR)
    xr.testing.assert_equal(
        opened(tmp_path / name), opened(tmp_path / f"whole{Path(name).suffix}")
    )
    again = downscale_to(field, tmp_path / name, split=split, **LINEAR)
    assert again.computed == 0
    assert again.total == summary.total


@pytest.mark.parametrize(("name", "split"), FORMS)
def test_other_settings_inputs_or_values_are_refused(
    make_field: MakeField, tmp_path: Path, name: str, split: str | None
) -> None:
    field = make_field(9)
    out, source = tmp_path / name, tmp_path / "a.nc"
    source.write_bytes(b"12345")
    downscale_to(field, out, split=split, inputs=[source], **LINEAR)
    before = (
        {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
        if out.is_dir()
        else out.read_bytes()
    )
    with pytest.raises(
        OutputError, match=r"chain was .*linear.*, now .*flow.*--overwrite"
    ):
        downscale_to(
            field, out, split=split, inputs=[source], **{**LINEAR, "temporal": "flow"}
        )
    with pytest.raises(OutputError, match=r"rounding was 0.001, now 0.01"):
        downscale_to(field, out, split=split, inputs=[source], rounding=0.01, **LINEAR)
    with pytest.raises(OutputError, match=r"hours was"):
        downscale_to(
            field, out, split=split, inputs=[source], period="2019-12-31", **LINEAR
        )
    source.write_bytes(b"123456")
    with pytest.raises(OutputError, match=r"bytes was 5, now 6"):
        downscale_to(field, out, split=split, inputs=[source], **LINEAR)
    source.write_bytes(b"12345")
    changed = field.copy(data=field.values.copy())
    changed.values[4, 3, 2] += 1
    with pytest.raises(OutputError, match="other input values"):
        downscale_to(changed, out, split=split, inputs=[source], **LINEAR)
    after = (
        {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
        if out.is_dir()
        else out.read_bytes()
    )
    assert after == before
    summary = downscale_to(
        changed, out, split=split, inputs=[source], overwrite=True, **LINEAR
    )
    assert summary.computed == summary.hours
    np.testing.assert_allclose(
        opened(out).pm2p5[12], deepcams.downscale(changed, **LINEAR)[12], rtol=1e-3
    )


def test_what_is_not_ours_is_not_touched(make_field: MakeField, tmp_path: Path) -> None:
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / "thesis.tex").write_text("years of work")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").write_text("years of work")
    (tmp_path / "a.nc").write_text("no netCDF")
    before = tree(tmp_path)
    for name in ("a.zarr", "folder", "a.nc"):
        with pytest.raises(OutputError, match="--overwrite"):
            downscale_to(make_field(3), tmp_path / name, **LINEAR)
    for name in ("a.zarr", "folder"):
        with pytest.raises(OutputError, match="will not be replaced"):
            downscale_to(make_field(3), tmp_path / name, overwrite=True, **LINEAR)
    assert tree(tmp_path) == before


def test_overwriting_a_folder_removes_only_our_files(
    make_field: MakeField, tmp_path: Path
) -> None:
    downscale_to(make_field(17), tmp_path / "out", split="day", **LINEAR)
    (tmp_path / "out" / "notes.txt").write_text("mine")
    downscale_to(make_field(3), tmp_path / "out", split="day", overwrite=True, **LINEAR)
    assert tree(tmp_path / "out") == [
        ".deepcams",
        ".deepcams/files.record.json",
        ".deepcams/identity.json",
        ".deepcams/item-000000.record.json",
        ".deepcams/request-copy.record.json",
        ".deepcams/request.record.json",
        "notes.txt",
        "pm2p5_20191231.nc",
    ]


def test_a_lost_shard_is_written_again(make_field: MakeField, tmp_path: Path) -> None:
    field = make_field(17)
    downscale_to(field, tmp_path / "a.zarr", **LINEAR)
    shard = tmp_path / "a.zarr" / "pm2p5" / "c" / "1" / "0" / "0"
    content = shard.read_bytes()
    shard.unlink()
    assert downscale_to(field, tmp_path / "a.zarr", **LINEAR).computed == 24
    assert shard.read_bytes() == content


def test_a_record_says_what_an_item_was_made_from_and_what_was_written(
    make_field: MakeField, tmp_path: Path
) -> None:
    field = make_field(17)
    field.values[0, 5, 7] = np.nan
    downscale_to(field, tmp_path / "a.zarr", **LINEAR)
    records = Records(tmp_path / "a.zarr" / ".deepcams")
    first, second, last = (one for one in records if one.item.startswith("item-"))
    assert first.item == "item-000000"
    assert first.facts["hours"] == [0, 8, 16]
    assert first.facts["counts"]["missing"] == 1
    assert first.facts["missing_cells"] == 3 * 9
    assert first.neighbours == (
        "2020-01-01 00:00",
    )  # of the hours after its last own frame
    assert (second.neighbours, last.neighbours) == (("2020-01-02 00:00",), ())
    shard = tmp_path / "a.zarr" / "pm2p5" / "c" / "1" / "0" / "0"
    assert second.digest == file_digest(
        shard, tmp_path / "a.zarr" / "status" / "c" / "1"
    )
    assert len({first.inputs, second.inputs, last.inputs}) == 3


def test_each_item_is_one_whole_shard(make_field: MakeField, tmp_path: Path) -> None:
    downscale_to(make_field(17), tmp_path / "a.zarr", **LINEAR)
    shards = [
        p
        for p in tree(tmp_path / "a.zarr" / "pm2p5")
        if (tmp_path / "a.zarr" / "pm2p5" / p).is_file()
    ]
    assert shards == ["c/0/0/0", "c/1/0/0", "c/2/0/0", "zarr.json"]


def test_hours_of_a_gap_are_missing_counted_and_take_no_space(
    make_field: MakeField, tmp_path: Path
) -> None:
    field = make_field(60)
    gappy = field.isel(time=[i for i in range(60) if not 10 <= i < 45])
    summary = downscale_to(gappy, tmp_path / "a.zarr", **LINEAR)
    assert summary.total.hours == (107, 25, 46)
    found = opened(tmp_path / "a.zarr")
    assert (found.status.values == 0).sum() == 107
    assert (
        found.pm2p5.isnull().all(("latitude", "longitude")).values.tolist()
        == (found.status == 0).values.tolist()
    )
    assert not (tmp_path / "a.zarr" / "pm2p5" / "c" / "2").exists()
    assert downscale_to(gappy, tmp_path / "a.zarr", **LINEAR).computed == 0


def test_scattered_missing_cells_and_small_negatives_are_kept_apart(
    make_field: MakeField, tmp_path: Path
) -> None:
    field = make_field(3)
    field.values[:, 5, 7] = np.nan
    field.values[1, 10, 10] = -1e-3
    summary = downscale_to(field, tmp_path / "a.nc", **LINEAR)
    found = opened(tmp_path / "a.nc").pm2p5
    assert (summary.total.counts.missing, summary.total.counts.negative) == (3, 1)
    assert summary.total.missing_cells == int(found.isnull().sum()) == 7 * 9
    assert found.min() == 0
    assert found.sel(latitude=52.5, longitude=52.5).isnull().all()


@pytest.mark.parametrize("name", ["a.zarr", "a.nc", "folder"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_bad_values_leave_nothing_behind(
    make_field: MakeField, tmp_path: Path, name: str, bad: float
) -> None:
    field = make_field(3)
    field.values[:] = bad
    with pytest.raises(InputError):
        downscale_to(field, tmp_path / name, **LINEAR)
    assert tree(tmp_path) == []


@pytest.mark.parametrize("name", ["a.zarr", "a.nc", "folder"])
def test_long_records_are_checked_as_they_go(
    make_field: MakeField, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs_module, "SCAN_BYTES", 0)
    field = make_field(17)
    field.values[12, 0, 0] = np.inf
    with pytest.raises(InputError, match="infinite"):
        downscale_to(field, tmp_path / name, **LINEAR)
    field.values[12, 0, 0] = 1
    assert downscale_to(field, tmp_path / name, **LINEAR).computed == 25
    assert downscale_to(field, tmp_path / name, **LINEAR).computed == 0
    field.values[0, 0, 0] += 1
    with pytest.raises(OutputError, match="other input values"):
        downscale_to(field, tmp_path / name, **LINEAR)
    field.values[:] = np.nan
    with pytest.raises(InputError, match="missing ones and no other"):
        downscale_to(field, tmp_path / f"other-{name}", **LINEAR)
    assert not [p for p in tree(tmp_path) if "other" in p]


def test_disk_space_is_checked_before_the_start(
    make_field: MakeField, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 10_000})()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OutputError, match="of free space"):
        downscale_to(make_field(9), tmp_path / "a.zarr", **LINEAR)
    assert tree(tmp_path) == []


def test_a_disk_that_fills_up_keeps_what_is_finished(
    make_field: MakeField, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    field, write = make_field(25), ZarrTarget.write

    def until_full(self, item, *rest) -> None:
        if item.index == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, item, *rest)

    monkeypatch.setattr(ZarrTarget, "write", until_full)
    with pytest.raises(
        OutputError,
        match=r"No space left on device; free some space and run the same command again",
    ):
        downscale_to(field, tmp_path / "a.zarr", **LINEAR)
    monkeypatch.setattr(ZarrTarget, "write", write)
    assert downscale_to(field, tmp_path / "a.zarr", **LINEAR).computed == 25


def test_the_estimate_is_near_what_comes(make_field: MakeField, tmp_path: Path) -> None:
    for name in ("a.zarr", "a.nc"):
        job = plan_job(make_field(25), tmp_path / name, **LINEAR)
        estimate = job.estimate()
        assert tree(tmp_path) == (
            []
            if name == "a.zarr"
            else [p for p in tree(tmp_path) if p.startswith("a.zarr")]
        )
        summary = job.run()
        assert (estimate.hours, estimate.missing) == (73, 0)
        assert estimate.raw == 73 * 73 * 144 * 4
        assert 0.8 < summary.bytes / estimate.bytes < 1.25


@pytest.mark.parametrize(("name", "split"), FORMS)
def test_what_a_killed_worker_left_is_gone_in_the_end(
    make_field: MakeField, tmp_path: Path, name: str, split: str | None
) -> None:
    """Its item is done again under another temporary name, by a run that goes on."""
    left: list[Path] = []

    def leave(_: str, done: int, __: int) -> None:
        if done and not left:
            folder = next(tmp_path.rglob("*.record.json")).parent
            left.append(folder / ".a.0123.partial")
            left[0].write_bytes(b"half")

    downscale_to(make_field(9), tmp_path / name, split=split, progress=leave, **LINEAR)
    assert left
    assert not list(tmp_path.rglob("*.partial"))


def test_means_say_so(make_field: MakeField, tmp_path: Path) -> None:
    field = make_field(3, start="2019-03-08T00:30").assign_attrs(
        cell_methods="time: mean"
    )
    downscale_to(field, tmp_path / "a.nc", **LINEAR)
    found = opened(tmp_path / "a.nc")
    assert found.pm2p5.attrs["cell_methods"] == "time: mean"
    assert found.time_bounds.values[0].tolist() == [
        np.datetime64(f"2019-03-08T0{h}:00", "ns").astype(int).item() for h in (0, 1)
    ]


def test_one_file_is_written_in_the_end_and_progress_says_how_far(
    make_field: MakeField, tmp_path: Path
) -> None:
    told: list[tuple[str, int, int]] = []
    downscale_to(
        make_field(17),
        tmp_path / "a.nc",
        progress=lambda *one: told.append(one),
        **LINEAR,
    )
    assert told == [
        *(("downscale", done, 49) for done in (0, 24, 48, 49)),
        *(("write", done, 49) for done in (24, 48, 49)),
    ]


def test_a_folder_with_damaged_records_may_be_overwritten(
    make_field: MakeField, tmp_path: Path
) -> None:
    field, out = make_field(17), tmp_path / "out"
    downscale_to(field, out, split="day", **LINEAR)
    for record in (out / ".deepcams").glob("*.record.json"):
        record.write_text("{")
    with pytest.raises(OutputError, match="cannot be read; use --overwrite"):
        downscale_to(field, out, split="day", **LINEAR)
    assert (
        downscale_to(field, out, split="day", overwrite=True, **LINEAR).computed == 49
    )
