"""Outputs in an object store: the same as on this machine, resumed after kills, refused in one line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from deepcams import open_field
from deepcams.cli import main
from deepcams.core.errors import DeepcamsNotice, InputError, OutputError
from deepcams.downscaling.job import downscale_to, plan_job
from deepcams.files.records import Record, Records
from deepcams.workers import Part
from deepcams.writers import zarr_store
from downscaling.conftest import _make_field as make_field
from objects.conftest import SECRET, Bucket
from readers.conftest import _world
from services.files import FileTree

LINEAR = {"temporal": "linear", "spatial": "bicubic", "conserve": False}
OPTIONS = ["--temporal", "linear", "--spatial", "bicubic", "--no-conserve"]
DATED = ("date_created", "date_issued", "date_modified", "date_metadata_modified")


def stored(bucket: Bucket, key: str) -> xr.Dataset:
    """What any reader sees, without the dates."""
    return _undated(xr.open_zarr(bucket.storage(key).zarr(read_only=True)).load())


def _undated(dataset: xr.Dataset) -> xr.Dataset:
    for name in (*DATED, "history"):
        dataset.attrs.pop(name, None)
    return dataset


def objects(bucket: Bucket, key: str) -> dict[str, bytes | None]:
    """All objects of a store but the root, which has the dates, and the record of its digest."""
    storage, dated = bucket.storage(key), ("zarr.json", ".deepcams/layout.record.json")
    return {name: storage.get(name) for name in storage.list() if name not in dated}


def test_an_output_equals_the_local_one(bucket: Bucket, tmp_path: Path) -> None:
    field = make_field()
    here = downscale_to(field, tmp_path / "out.zarr", **LINEAR)
    there = downscale_to(field, bucket.url("years/out.zarr"), **LINEAR)
    assert there.total == here.total
    local = _undated(xr.open_zarr(tmp_path / "out.zarr").load())
    xr.testing.assert_identical(stored(bucket, "years/out.zarr"), local)
    for name, data in objects(bucket, "years/out.zarr").items():
        assert data == (tmp_path / "out.zarr" / name).read_bytes(), name
    assert downscale_to(field, bucket.url("years/out.zarr"), **LINEAR).computed == 0
    assert not [key for key in bucket.storage().list() if key.endswith(".lock")]


def test_hours_that_are_missing_have_no_shard_there_either(bucket: Bucket) -> None:
    field = make_field(17).isel(time=[0, 1, 16])  # a gap of 42 hours
    downscale_to(field, bucket.url("out.zarr"), **LINEAR)
    assert "pm2p5/c/0/0/0" in list(bucket.storage("out.zarr").list())
    assert downscale_to(field, bucket.url("out.zarr"), **LINEAR).computed == 0


def test_another_output_is_refused_and_replaced_on_request(bucket: Bucket) -> None:
    field, out = make_field(9), bucket.url("out.zarr")
    downscale_to(field, out, **LINEAR)
    with pytest.raises(OutputError, match=r"rounding was 0\.001, now 0"):
        downscale_to(field, out, rounding=0, **LINEAR)
    bucket.storage("out.zarr").put("left/over", b"from before")
    downscale_to(field, out, rounding=0, overwrite=True, **LINEAR)
    assert "left/over" not in bucket.storage("out.zarr").list()
    downscale_to(field, bucket.url("two.zarr"), rounding=0, **LINEAR)
    assert stored(bucket, "out.zarr").identical(stored(bucket, "two.zarr"))


def test_what_is_no_output_is_left_alone(bucket: Bucket) -> None:
    bucket.storage().put("out.zarr/notes.txt", b"mine")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match=r"choose another name"):
            downscale_to(
                make_field(3), bucket.url("out.zarr"), overwrite=overwrite, **LINEAR
            )
    assert list(bucket.storage().list()) == ["out.zarr/notes.txt"]


def test_a_store_that_was_half_laid_out_is_begun_again(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    field, plain, puts = make_field(9), zarr_store.ZarrTarget._create_objects, []

    def killed(self, layout, attributes):
        put = self.storage.put

        def some(key: str, data: bytes) -> None:
            if len(puts) == 5:
                raise KeyboardInterrupt
            puts.append(key)
            put(key, data)

        monkeypatch.setattr(self.storage, "put", some)
        plain(self, layout, attributes)

    monkeypatch.setattr(zarr_store.ZarrTarget, "_create_objects", killed)
    with pytest.raises(KeyboardInterrupt):
        downscale_to(field, bucket.url("out.zarr"), **LINEAR)
    monkeypatch.undo()
    for name, value in _environment(bucket).items():
        monkeypatch.setenv(name, value)
    assert len(list(bucket.storage("out.zarr").list())) >= 4
    assert not bucket.storage("out.zarr").exists("zarr.json")
    assert downscale_to(field, bucket.url("out.zarr"), **LINEAR).computed


def test_an_unfinished_store_says_so(bucket: Bucket) -> None:
    downscale_to(make_field(), bucket.url("out.zarr"), **LINEAR)
    Records(bucket.storage("out.zarr/.deepcams")).forget("item-000001")
    bucket.storage("out.zarr").delete("pm2p5/c/1/0/0")
    with pytest.warns(DeepcamsNotice, match=r"out\.zarr is not finished: 2 of 3 parts"):
        field = open_field(bucket.url("out.zarr"))
    assert field.time.size == 25
    assert not np.isnan(field.values).any()


def test_an_unfinished_store_on_the_web_says_so(bucket: Bucket, tmp_path: Path) -> None:
    downscale_to(make_field(), tmp_path / "out.zarr", **LINEAR)
    with FileTree(lambda path: tmp_path / path) as server:
        assert open_field(f"{server.root}/out.zarr").time.size == 49
        (tmp_path / "out.zarr/.deepcams/item-000001.record.json").unlink()
        with pytest.warns(DeepcamsNotice, match="is not finished: 2 of 3 parts"):
            assert open_field(f"{server.root}/out.zarr").time.size == 25
        shutil.rmtree(tmp_path / "out.zarr/.deepcams")
        assert open_field(f"{server.root}/out.zarr").time.size == 49
        (tmp_path / "out.zarr/pm2p5/c/2/0/0").unlink()
        with pytest.warns(DeepcamsNotice, match="is not finished: 2 of 3 parts"):
            open_field(f"{server.root}/out.zarr")


def test_a_record_is_written_once(bucket: Bucket) -> None:
    records = Records(bucket.storage("records"))
    records.create(Record("a", digest="1"))
    records.create(Record("a", digest="1"))
    with pytest.raises(OutputError, match="another process has finished this piece"):
        records.create(Record("a", digest="2"))
    assert records.get("a") == Record("a", digest="1")


@pytest.mark.parametrize(
    ("out", "expected"),
    [
        ("s3://bucket/a.nc", "a name ending in .zarr in an object store, found"),
        ("s3://bucket/folder", "a name ending in .zarr in an object store, found"),
        ("https://host/a.zarr", r"a path within a bucket .*, found a web server's"),
        ("s3://a.zarr", "a path within a bucket .*, found a bucket alone"),
        ("ftp://host/a.zarr", "a URL of s3, gs, az or https, found a URL of ftp"),
        (Path("s3://bucket/a.zarr"), "a URL as text, found one as a Path"),
    ],
)
def test_places_that_cannot_be_written_to(out: str | Path, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        plan_job(make_field(3), out, **LINEAR)


def test_an_output_does_not_replace_its_input(bucket: Bucket) -> None:
    downscale_to(make_field(3), bucket.url("a.zarr"), **LINEAR)
    with pytest.raises(OutputError, match=r"found the input a\.zarr"):
        plan_job(
            make_field(3), bucket.url("a.zarr"), inputs=[bucket.url("a.zarr")], **LINEAR
        )


def test_parts_write_one_output(bucket: Bucket) -> None:
    field = make_field(33)
    downscale_to(field, bucket.url("one.zarr"), **LINEAR)
    first = plan_job(field, bucket.url("out.zarr"), **LINEAR).run(part=Part(1, 2))
    assert first.left
    last = plan_job(field, bucket.url("out.zarr"), **LINEAR).run(part=Part(2, 2))
    assert not last.left
    assert objects(bucket, "out.zarr") == objects(bucket, "one.zarr")
    assert not [key for key in bucket.storage().list() if "lock" in key]


@pytest.mark.slow
def test_an_output_is_verified_repaired_and_extended(
    bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, names = bucket.url("out.zarr"), ("2019-12-30", "2019-12-31", "2020-01-01")
    for name in names:
        _world(f"{name}T00", 8).to_netcdf(tmp_path / f"{name}.nc")
        bucket.upload(tmp_path / f"{name}.nc", f"in/{name}.nc")
    first, *others = [bucket.url(f"in/{name}.nc") for name in names]
    assert main(["downscale", first, others[0], "-o", out, *OPTIONS]) == 0
    assert main(["verify", out]) == 0
    whole = objects(bucket, "out.zarr")
    shard = bytearray(whole["pm2p5/c/0/0/0"] or b"")
    shard[5000] ^= 1
    bucket.storage("out.zarr").put("pm2p5/c/0/0/0", bytes(shard))
    assert main(["verify", out]) == 1
    capsys.readouterr()
    assert main(["verify", out, "--repair"]) == 0
    assert objects(bucket, "out.zarr")["pm2p5/c/0/0/0"] == whole["pm2p5/c/0/0/0"]
    assert main(["downscale", others[1], "-o", out, "--extend", *OPTIONS]) == 0
    one = ["downscale", str(tmp_path / "*.nc"), "-o", str(tmp_path / "one.zarr")]
    assert main([*one, *OPTIONS]) == 0
    local = xr.open_zarr(tmp_path / "one.zarr").load()
    ours = stored(bucket, "out.zarr")
    xr.testing.assert_equal(ours.pm2p5, local.pm2p5)
    xr.testing.assert_equal(ours.status, local.status)


def test_without_obstore_it_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    assert main(["info", "s3://bucket/in.zarr"]) == 2
    assert capsys.readouterr().err == (
        "deepcams: error: s3://bucket/in.zarr: an object store needs the extra [cloud]: "
        "pip install 'deepcams[cloud]'\n"
    )


def _environment(bucket: Bucket) -> dict[str, str]:
    return {
        **os.environ,
        "AWS_ENDPOINT_URL": bucket.root,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "tester",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
    }


@pytest.mark.slow
def test_a_killed_run_goes_on(
    bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGKILL once the first record is there; the same command finishes what was begun."""
    _world("2019-12-30T00", 65).to_netcdf(tmp_path / "cams.nc")
    source = bucket.upload(tmp_path / "cams.nc", "in/cams.nc")
    command = ["downscale", source, "-o", bucket.url("out.zarr"), *OPTIONS]
    start = "import sys; from deepcams.cli import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", start, *command],
        env=_environment(bucket),
        stderr=subprocess.PIPE,
    )
    records = Records(bucket.storage("out.zarr/.deepcams"))

    def done() -> list[str]:
        return [name for name in records.names() if name.startswith("item-")]

    while process.poll() is None and not done():
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert 0 < len(done()) < 9
    assert bucket.storage().exists(".out.zarr.lock")
    assert main(command) == 0
    told = capsys.readouterr()
    assert "taken over, which is gone" in told.err
    assert "were there already" in told.out
    assert main(["downscale", source, "-o", str(tmp_path / "one.zarr"), *OPTIONS]) == 0
    local = _undated(xr.open_zarr(tmp_path / "one.zarr").load())
    xr.testing.assert_identical(stored(bucket, "out.zarr"), local)
    assert not bucket.storage().exists(".out.zarr.lock")


def test_the_history_has_no_credentials(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _world("2019-12-30T00", 9).to_netcdf(tmp_path / "cams.nc")
    out = bucket.url("out.zarr")
    arguments = ["downscale", str(tmp_path / "cams.nc"), "-o", out, *OPTIONS]
    typed = ["deepcams", "downscale", "https://u:pass@host/a.nc?key=abc", "-o", out]
    monkeypatch.setattr(sys, "argv", typed)
    assert main(arguments) == 0
    root = json.loads(bucket.storage("out.zarr").get("zarr.json") or b"")
    assert "https://host/a.nc -o" in root["attributes"]["history"]
    assert not any(word in json.dumps(root) for word in ("pass@", "abc", SECRET))
