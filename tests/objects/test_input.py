"""Inputs at URLs: Zarr in place, anything else by a copy that is made once."""

from __future__ import annotations

import base64
import contextlib
import pickle
import warnings
import zipfile
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
import xarray as xr

from deepcams import open_cams, open_field
from deepcams.cli import main
from deepcams.core.errors import DeepcamsNotice, InputError, OutputError
from deepcams.files import copies
from deepcams.files.copies import copied
from deepcams.readers.formats.detect import find_files
from objects.conftest import SECRET, Bucket
from objects.test_output import OPTIONS, _undated
from readers.conftest import _world
from services.base import Answer, Seen
from services.files import FileTree

# Zarr itself says this of the stores that tests make.
pytestmark = pytest.mark.filterwarnings("ignore:Consolidated metadata")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("DEEPCAMS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def cams(tmp_path: Path) -> Path:
    """A file of CAMS."""
    path = tmp_path / "cams.nc"
    _world("2019-12-30T00", 17).to_netcdf(path)
    return path


def test_a_zarr_store_is_read_in_place(
    bucket: Bucket, tmp_path: Path, cache: Path
) -> None:
    world = _world("2019-12-30T00", 17)
    world.to_dataset().to_zarr(tmp_path / "in.zarr", zarr_format=3)
    url = bucket.upload(tmp_path / "in.zarr", "deep/in.zarr")
    field = open_cams(url)
    np.testing.assert_array_equal(field.values, open_cams(tmp_path / "in.zarr").values)
    assert field.encoding["source_files"] == [find_files(url)[0].given]
    assert not (cache / "copies").exists()


def test_another_process_opens_a_store_by_itself(
    bucket: Bucket, tmp_path: Path
) -> None:
    _world("2019-12-30T00", 9).to_dataset().to_zarr(tmp_path / "in.zarr", zarr_format=3)
    field = open_cams(bucket.upload(tmp_path / "in.zarr", "in.zarr"))
    pickled = cloudpickle.dumps(field)
    assert SECRET.encode() not in pickled
    np.testing.assert_array_equal(pickle.loads(pickled).values, field.values)


def test_a_store_of_version_2_is_read_in_place(bucket: Bucket, tmp_path: Path) -> None:
    world = _world("2019-12-30T00", 9)
    world.to_dataset().to_zarr(tmp_path / "in.zarr", zarr_format=2)
    url = bucket.upload(tmp_path / "in.zarr", "in.zarr")
    np.testing.assert_array_equal(
        open_cams(url).values, open_cams(tmp_path / "in.zarr").values
    )


def test_a_file_is_copied_once_and_said_so(
    bucket: Bucket, cams: Path, cache: Path
) -> None:
    url = bucket.upload(cams, "in/cams.nc")
    with pytest.warns(DeepcamsNotice, match=r"in/cams\.nc: .* copied once") as told:
        field = open_cams(url)
    assert len(told) == 1
    np.testing.assert_array_equal(field.values, open_cams(cams).values)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_cams(url)
    assert len(list(cache.rglob("cams.nc"))) == 1
    _world("2019-12-30T00", 9).to_netcdf(cams)
    bucket.upload(cams, "in/cams.nc")
    with pytest.warns(DeepcamsNotice, match="copied once"):
        assert open_cams(url).time.size == 9


def test_a_name_leads_out_of_no_folder(tmp_path: Path, cams: Path, cache: Path) -> None:
    with FileTree(lambda path: cams) as server:
        for name in ("..%2F..%2F..%2Fevil.nc", "%2e%2e", "a%00b.nc"):
            with contextlib.suppress(InputError), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                open_cams(f"{server.root}/{name}")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert all(path == cams or cache / "copies" in path.parents for path in files)


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket/a//b.nc",
        "s3://bucket/../b.nc",
        "s3://bucket/%zz.nc",
        "s3://bu cket/b.nc",
        "s3:///b.nc",
        "s3://",
        "gs://",
        "https://",
        "https://[::1",
        "https://127.0.0.1:99999/b.nc",
        "http://127.0.0.1:9/b.nc",
        "s3a://bucket/b.nc",
        "file:///b.nc",
    ],
)
def test_strange_urls_are_one_line(
    bucket: Bucket, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    assert main(["info", url]) == 2
    line = capsys.readouterr().err
    assert line.startswith("deepcams: error: ")
    assert line.count("\n") == 1


def test_folders_patterns_and_zips(bucket: Bucket, tmp_path: Path) -> None:
    for day in ("2019-12-30", "2019-12-31"):
        _world(f"{day}T00", 8).to_netcdf(tmp_path / f"{day}.nc")
    bucket.upload(tmp_path / "2019-12-30.nc", "year/first.nc")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.write(tmp_path / "2019-12-31.nc", "data.nc")
    bucket.upload(tmp_path / "b.zip", "year/second.zip")
    bucket.storage().put("year/readme.txt", b"words")
    bucket.storage().put("year/.hidden/c.nc", b"CDF\x01")
    expected = open_cams([tmp_path / "2019-12-30.nc", tmp_path / "2019-12-31.nc"])
    for url in (bucket.url("year"), bucket.url("year/")):
        with pytest.warns(DeepcamsNotice) as told:
            found = find_files(url)
        assert "1 file without data is left out" in str(told[-1].message)
        assert [str(file) for file in found] == [
            bucket.url("year/first.nc"),
            f"{bucket.url('year/second.zip')} (data.nc)",
        ]
    names = [bucket.url("*ear/*.nc"), bucket.url("year/second.zip")]
    np.testing.assert_array_equal(open_cams(names).values, expected.values)


def test_nothing_there_and_no_data(bucket: Bucket) -> None:
    bucket.storage().put("page.html", b"<html><title>Sorry</title></html>")
    for key, words in (
        ("absent.nc", "a folder with data files, found nothing of this name"),
        ("page.html", "netCDF, GRIB, Zarr or a zip of them, found an HTML page"),
        ("*.nc", "files that match, found none"),
    ):
        with pytest.raises(InputError) as caught:
            open_field(bucket.url(key))
        assert str(caught.value).startswith(bucket.url(key))
        assert words in str(caught.value)


def test_a_file_that_was_cut_off_is_named_by_its_url(
    bucket: Bucket, cams: Path
) -> None:
    bucket.storage().put("cut.nc", cams.read_bytes()[:-5000])
    with (
        pytest.warns(DeepcamsNotice),
        pytest.raises(InputError, match=r"/cut\.nc: expected a whole file"),
    ):
        open_cams(bucket.url("cut.nc"))


def test_a_web_server_with_a_password(
    tmp_path: Path, cams: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file by its address, and a store by its consolidated metadata; credentials go to the server alone."""
    world = _world("2019-12-30T00", 9)
    world.to_dataset().to_zarr(tmp_path / "in.zarr", zarr_format=3, consolidated=True)
    known = f"Basic {base64.b64encode(b'me:pass').decode()}"
    with FileTree(lambda path: tmp_path / path) as server:
        root = server.root.replace("//", "//me:pass@")
        with pytest.warns(DeepcamsNotice) as told:
            field = open_cams(f"{root}/cams.nc?token=abc")
        assert str(told[0].message).startswith(f"{server.root}/cams.nc: ")
        np.testing.assert_array_equal(field.values, open_cams(cams).values)
        store = open_cams(f"{root}/in.zarr")
        np.testing.assert_array_equal(
            store.values, open_cams(tmp_path / "in.zarr").values
        )
        assert all(seen.headers["authorization"] == known for seen in server.seen)
        assert {
            seen.query.get("token") for seen in server.seen if "cams" in seen.path
        } == {"abc"}
        assert main(["info", f"{root}/absent.nc?token=abc"]) == 2
    line = capsys.readouterr().err
    assert line.startswith(f"deepcams: error: {server.root}/absent.nc: expected a file")
    assert not any(word in line for word in ("pass", "abc"))


def test_an_address_signed_for_reading_alone(tmp_path: Path, cams: Path) -> None:
    class Signed(FileTree):
        def answer(self, seen: Seen, body: bytes) -> Answer:
            if seen.method == "HEAD" or seen.path != "/cams.nc":
                return Answer(b"no", 403)
            return super().answer(seen, body)

    with Signed(lambda path: tmp_path / path, ranges=False) as server:
        with pytest.warns(DeepcamsNotice):
            field = open_cams(f"{server.root}/cams.nc?signature=abc")
        np.testing.assert_array_equal(field.values, open_cams(cams).values)


def test_commands_take_urls(
    bucket: Bucket, tmp_path: Path, cams: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = bucket.upload(cams, "cams.nc"), bucket.url("out.zarr")
    assert main(["downscale", source, "-o", out, *OPTIONS, "--dry-run"]) == 0
    told = capsys.readouterr()
    assert "are copied once to the cache" in told.err
    assert "free:" not in told.out
    assert main(["downscale", source, "-o", out, *OPTIONS]) == 0
    assert capsys.readouterr().out.startswith(f"{out}: 49 hours")
    assert main(["downscale", str(cams), "-o", f"{tmp_path}/a.zarr", *OPTIONS]) == 0
    ours = xr.open_zarr(bucket.storage("out.zarr").zarr(read_only=True)).load()
    xr.testing.assert_identical(
        _undated(ours), _undated(xr.open_zarr(tmp_path / "a.zarr").load())
    )
    assert main(["info", out]) == 0
    assert "written by deepcams, Zarr" in capsys.readouterr().out
    picture = tmp_path / "map.png"
    assert main(["plot", "map", out, "-o", str(picture), "--size", "column"]) == 0
    assert picture.stat().st_size > 10_000


def test_a_copy_fails_where_the_cache_has_no_room(
    bucket: Bucket, cams: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        copies.shutil, "disk_usage", lambda path: type("U", (), {"free": 10})
    )
    url = bucket.upload(cams, "cams.nc")
    with pytest.raises(OutputError, match=r"a copy needs .* set DEEPCAMS_CACHE"):
        open_cams(url)
    assert copied([]) == []
