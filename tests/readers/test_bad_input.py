"""What cannot be opened says so in one line: what was expected, found, where, and what to do."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import cftime
import numpy as np
import pytest
import xarray as xr

from deepcams.cli import main
from deepcams.core.errors import InputError
from deepcams.files.cache import cache_dir
from deepcams.readers.cams import open_cams
from deepcams.readers.open import open_field
from deepcams.writers.layout import RUN

Given = str | Path | list[Path]
Make = Callable[[Path, xr.DataArray], Given]


def nothing(folder: Path, record: xr.DataArray) -> Given:
    return folder / "absent.nc"


def empty_folder(folder: Path, record: xr.DataArray) -> Given:
    (folder / "empty" / "inner").mkdir(parents=True)
    return folder / "empty"


def empty_glob(folder: Path, record: xr.DataArray) -> Given:
    return str(folder / "2019*.nc")


def folder_without_data(folder: Path, record: xr.DataArray) -> Given:
    (folder / "texts").mkdir()
    (folder / "texts" / "a.txt").write_text("hello")
    return folder / "texts"


def _bytes(content: bytes) -> Make:
    def make(folder: Path, record: xr.DataArray) -> Given:
        (folder / "a.nc").write_bytes(content)
        return folder / "a.nc"

    return make


def _cut(format_: str, keep: float, name: str = "a.nc") -> Make:
    def make(folder: Path, record: xr.DataArray) -> Given:
        path = folder / name
        record.to_netcdf(
            path, format=format_, unlimited_dims=["time"] if "UNLIMITED" in name else []
        )
        content = path.read_bytes()
        path.write_bytes(content[: round(len(content) * keep)])
        return path

    return make


def broken_chunk(folder: Path, record: xr.DataArray) -> Given:
    path = folder / "a.nc"
    record.to_netcdf(path, encoding={"pm2p5": {"zlib": True}})
    content = bytearray(path.read_bytes())
    middle = len(content) * 2 // 3
    content[middle : middle + 500] = bytes(500)
    path.write_bytes(content)
    return path


def cut_grib(folder: Path, record: xr.DataArray) -> Given:
    message = b"GRIB" + (5000).to_bytes(3, "big") + b"\x01"
    (folder / "a.grib").write_bytes(
        message + bytes(5000 - 12) + b"7777" + message + bytes(100)
    )
    return folder / "a.grib"


def no_grib_after_all(folder: Path, record: xr.DataArray) -> Given:
    pytest.importorskip("eccodes")
    (folder / "a.grib").write_bytes(
        b"GRIB" + (1000).to_bytes(3, "big") + b"\x01" + bytes(1000)
    )
    return folder / "a.grib"


def _zip(*members: tuple[str, bytes], after: Callable[[bytes], bytes] = bytes) -> Make:
    def make(folder: Path, record: xr.DataArray) -> Given:
        path = folder / "a.nc"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members:
                archive.writestr(name, content)
        path.write_bytes(after(path.read_bytes()))
        return path

    return make


def _encrypted(content: bytes) -> bytes:
    out = bytearray(content)
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        out[out.index(signature) + at] |= 1
    return bytes(out)


def linked_zip(folder: Path, record: xr.DataArray) -> Given:
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        info = zipfile.ZipInfo("data.nc")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    return folder / "a.zip"


def zip_with_cut_member(folder: Path, record: xr.DataArray) -> Given:
    record.to_netcdf(folder / "inner")
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr("data_sfc.nc", (folder / "inner").read_bytes()[:-1000])
    return folder / "a.zip"


def _changed(change: Callable[[xr.DataArray], xr.DataArray | xr.Dataset]) -> Make:
    def make(folder: Path, record: xr.DataArray) -> Given:
        changed = change(record)
        changed.to_netcdf(folder / "a.nc")
        return folder / "a.nc"

    return make


def _calendar(calendar: str) -> Make:
    dates = [
        cftime.datetime(2019, 1, 1, hour, calendar=calendar) for hour in (0, 3, 6, 9)
    ]
    return _changed(lambda record: record.assign_coords(time=dates))


def two_dimensional(record: xr.DataArray) -> xr.Dataset:
    latitude, longitude = np.meshgrid(record.latitude, record.longitude, indexing="ij")
    plain = record.drop_vars(["latitude", "longitude"]).rename(
        latitude="y", longitude="x"
    )
    return plain.assign_coords(
        lat=(("y", "x"), latitude), lon=(("y", "x"), longitude)
    ).to_dataset()


def irregular(record: xr.DataArray) -> xr.DataArray:
    return record.assign_coords(latitude=record.latitude.values**3 / 8100)


def shifted(record: xr.DataArray) -> xr.DataArray:
    return record[:, 1:-1].assign_coords(latitude=record.latitude.values[1:-1] + 2)


def different_values(folder: Path, record: xr.DataArray) -> Given:
    record.to_netcdf(folder / "one.nc")
    (record * 2).assign_attrs(record.attrs).to_netcdf(folder / "two.nc")
    return [folder / "two.nc", folder / "one.nc"]


def different_grids(folder: Path, record: xr.DataArray) -> Given:
    record[:2].to_netcdf(folder / "one.nc")
    record[2:, 5:15, 3:9].to_netcdf(folder / "two.nc")
    return [folder / "two.nc", folder / "one.nc"]


def one_without(folder: Path, record: xr.DataArray) -> Given:
    record[:2].to_netcdf(folder / "one.nc")
    record[2:].rename("pm10").drop_attrs().assign_attrs(units="kg m-3").to_netcdf(
        folder / "two.nc"
    )
    return [folder / "one.nc", folder / "two.nc"]


CASES: dict[str, tuple[Make, str]] = {
    "missing file": (
        nothing,
        r"absent\.nc: expected a file, folder or glob, found nothing of this name",
    ),
    "empty folder": (
        empty_folder,
        r"empty: expected a folder with data files, found an empty one",
    ),
    "empty glob": (empty_glob, r"2019\*\.nc: expected files that match, found none"),
    "folder without data": (
        folder_without_data,
        r"texts: expected a folder with netCDF or GRIB files, found 1 other",
    ),
    "empty file": (_bytes(b""), r"found an empty file; download it again"),
    "html": (
        _bytes(
            b"\n<!DOCTYPE html><html><head><title>502 Bad\nGateway</title></head></html>"
        ),
        r"a\.nc: expected netCDF, GRIB, Zarr or a zip of them, found an HTML page \('502 Bad Gateway'\)",
    ),
    "json": (
        _bytes(b'{"detail": "licence not accepted"}'),
        r"JSON text \('.*licence not accepted",
    ),
    "text": (_bytes(b"time,value\n1,2\n"), r"found text \('time,value'\)"),
    "binary": (
        _bytes(b"\x00\x01\x02\xff" * 99),
        r"unknown content \(it begins with 00 01 02 ff",
    ),
    "gzip": (_bytes(b"\x1f\x8b\x08" + bytes(99)), r"a gzip file \(unpack it first\)"),
    "zeros": (_bytes(bytes(5000)), r"only zero bytes"),
    "cut netCDF-4": (
        _cut("NETCDF4", 0.7),
        r"a\.nc: expected a whole file, found a truncated one \([\d,]+ of [\d,]+ bytes",
    ),
    "cut netCDF-3": (
        _cut("NETCDF3_CLASSIC", 0.7),
        r"a truncated one \([\d,]+ of [\d,]+ bytes\); download it again",
    ),
    "cut netCDF-3 by a little": (_cut("NETCDF3_64BIT", 0.9999), r"a truncated one"),
    "cut netCDF-3 of records": (
        _cut("NETCDF3_64BIT", 0.6, "UNLIMITED.nc"),
        r"a truncated one",
    ),
    "cut header": (
        _cut("NETCDF3_CLASSIC", 0.005),
        r"a truncated one \(it ends within its header\)",
    ),
    "broken chunk": (
        broken_chunk,
        r"a\.nc: expected readable values, found .*download it again",
    ),
    "cut GRIB": (
        cut_grib,
        r"a\.grib: expected a whole file, found a truncated one \(5,108 of 10,000 bytes\)",
    ),
    "no GRIB after all": (
        no_grib_after_all,
        r"a\.grib: expected a readable GRIB file, found",
    ),
    "cut zip": (
        _zip(("a.nc", b"CDF\x01" * 999), after=lambda b: b[:-30]),
        r"expected a whole zip, found a truncated one",
    ),
    "corrupt zip": (
        _zip(
            ("a.nc", b"CDF\x01" + np.random.default_rng(0).bytes(5000)),
            after=lambda b: b[:900] + bytes(900) + b[1800:],
        ),
        r"a\.nc: expected a whole zip, found a damaged one",
    ),
    "empty zip": (
        _zip(),
        r"expected a zip with netCDF or GRIB data, found one that holds nothing",
    ),
    "zip without data": (
        _zip(("README.txt", b"hello"), ("b.zip", b"PK\x03\x04")),
        r"one that holds README\.txt, b\.zip",
    ),
    "zip climbing out": (
        _zip(("../../evil.nc", b"CDF\x01")),
        r"expected member names inside .*found '\.\./\.\./evil\.nc'",
    ),
    "zip with absolute name": (
        _zip(("/tmp/evil.nc", b"CDF\x01")),
        r"found '/tmp/evil\.nc'",
    ),
    "zip climbing out of Windows": (
        _zip(("..\\evil.nc", b"CDF\x01")),
        r"expected member names inside",
    ),
    "zip with a drive": (
        _zip(("C:\\evil.nc", b"CDF\x01")),
        r"expected member names inside",
    ),
    "zip with a link": (
        linked_zip,
        r"expected plain files in the zip, found a link 'data\.nc'",
    ),
    "encrypted zip": (
        _zip(("a.nc", b"CDF\x01"), after=_encrypted),
        r"a zip without a password, found 'a\.nc' encrypted",
    ),
    "zip bomb": (
        _zip(("a.nc", bytes(400 << 20))),
        r"expected a zip of fields, found 1 members growing from .* to 419 MB",
    ),
    "zip with a cut member": (
        zip_with_cut_member,
        r"a\.zip \(data_sfc\.nc\): expected a whole file, found a truncated",
    ),
    "no PM2.5": (
        _changed(
            lambda r: xr.merge(
                [
                    r.rename("pm1").drop_attrs(),
                    r.rename("so2").drop_attrs().assign_attrs(units="kg kg**-1"),
                ]
            )
        ),
        r"a\.nc: expected a variable with PM2\.5 \(pm2p5\), found only pm1 \(no units\), so2 \(kg kg\*\*-1\); "
        r"choose one with --variable NAME",
    ),
    "no field at all": (
        _changed(lambda r: r.mean(["latitude", "longitude"]).to_dataset()),
        r"found no fields",
    ),
    "one file without PM2.5": (
        one_without,
        r"two\.nc: expected a variable with PM2\.5 .* found only pm10",
    ),
    "unknown units": (
        _changed(lambda r: r.assign_attrs(units="ppb")),
        r"units: expected a mass concentration .* 'ppb'",
    ),
    "no units": (
        _changed(lambda r: r.drop_attrs()),
        r"units: expected a mass concentration .* found no units",
    ),
    "2-D coordinates": (
        _changed(two_dimensional),
        r"a\.nc: lat: expected one-dimensional coordinates, found 2-dim",
    ),
    "irregular": (_changed(irregular), r"a\.nc: latitude: expected regular spacing"),
    "no multiple": (
        _changed(shifted),
        r"a\.nc: expected nodes that are multiples of the step \(7\.5 degrees\)",
    ),
    "different values": (
        different_values,
        r"expected one set of values a time, found .*one\.nc and .*two\.nc at 2019-01-01 00:00",
    ),
    "different grids": (
        different_grids,
        r"two\.nc: expected the grid of .*one\.nc \(7\.5 degrees, 25 x 48, global\)",
    ),
    "360_day": (
        _calendar("360_day"),
        r"a\.nc: time: expected dates of the standard calendar, found calendar '360_day'",
    ),
    "noleap": (_calendar("noleap"), r"found calendar 'noleap'"),
    "no time": (
        _changed(lambda r: r[0].drop_vars("time")),
        r"a\.nc: expected a coordinate time",
    ),
    "missing time": (
        _changed(
            lambda r: r.assign_coords(time=[*r.time.values[:3], np.datetime64("NaT")])
        ),
        r"time: expected at least one valid time",
    ),
    "time without units": (
        _changed(lambda r: r.assign_coords(time=[0.0, 3, 6, 9])),
        r"found 0\.0; write the times as CF has it",
    ),
    "senseless time": (
        _changed(
            lambda r: r.assign_coords(
                time=("time", [0, 1, 2, 3], {"units": "hours since yesterday"})
            )
        ),
        r"a\.nc: ",
    ),
    "two levels": (
        _changed(lambda r: xr.concat([r, r], "level").transpose("time", "level", ...)),
        r"found also level of 2",
    ),
}


@pytest.mark.parametrize("opener", [open_cams, open_field])
@pytest.mark.parametrize("case", CASES)
def test_one_line(
    tmp_path: Path,
    world: Callable[..., xr.DataArray],
    case: str,
    opener: Callable[..., xr.DataArray],
    capfd: pytest.CaptureFixture[str],
) -> None:
    make, message = CASES[case]
    given = make(tmp_path, world("2019-01-01", 4))
    before = sorted(path for path in tmp_path.rglob("*"))
    with pytest.raises(InputError, match=message) as caught:
        opener(given).compute()
    assert "\n" not in str(caught.value)
    assert sorted(path for path in tmp_path.rglob("*")) == before
    left = [
        path
        for path in cache_dir().rglob("*")
        if "part" in path.name or "evil" in path.name
    ]
    assert left == []
    assert capfd.readouterr().err == ""  # no library's own complaint beside the line


@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_nobody_can_download_what_deepcams_has_made(
    tmp_path: Path, world: Callable[..., xr.DataArray], share: float, ours: bool
) -> None:
    path = tmp_path / "a.nc"
    world("2019-01-01", 4).to_dataset().assign_attrs(
        {RUN if ours else "run": "{}"}
    ).to_netcdf(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(
        InputError, match="; make it again" if ours else "; download it again"
    ):
        open_field(path)


def test_empty_list() -> None:
    with pytest.raises(InputError, match="at least one file"):
        open_cams([])


@pytest.mark.parametrize(
    "case", ["missing file", "html", "cut zip", "zip climbing out"]
)
def test_the_command_prints_the_line_and_exits_2(
    tmp_path: Path,
    world: Callable[..., xr.DataArray],
    case: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make, _ = CASES[case]
    assert main(["info", str(make(tmp_path, world("2019-01-01", 4)))]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("deepcams: error: ")
    assert printed.err.count("\n") == 1
