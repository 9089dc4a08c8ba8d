"""Promises of SECURITY.md that no other test proves; each input is one that somebody may have made to harm."""

from __future__ import annotations

import ast
import gzip
import json
import os
import re
import socket
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import torch
import xarray as xr

from deepcams.core.errors import LONGEST, InputError, OutputError
from deepcams.core.text import from_json
from deepcams.downscaling.job import downscale_to
from deepcams.fetch.base import COMPLETE, STATE
from deepcams.fetch.status import status
from deepcams.files.records import FOLDER, Record, Records, inside
from deepcams.files.yaml_file import parse_yaml
from deepcams.networks import build
from deepcams.readers.open import open_field
from deepcams.stations import open_openaq
from deepcams.stations.archive import station_files
from deepcams.writers.target import FILES

ROOT = Path(__file__).parents[2]
ROW = "1,1,a,2019-01-01T01:00:00+00:00,52,21,pm25,ug/m3,5\n"
HEAD = "location_id,sensors_id,location,datetime,lat,lon,parameter,units,value\n"


def _world(count: int = 9) -> xr.DataArray:
    times = np.datetime64("2019-01-01", "ns") + np.arange(count) * np.timedelta64(
        3, "h"
    )
    values = np.random.default_rng(0).lognormal(2, 1, (count, 5, 8)).astype(np.float32)
    places = {"latitude": np.arange(60, 55, -1.0), "longitude": np.arange(0, 8.0)}
    attributes = {"units": "ug m-3"}
    dims = ("time", "latitude", "longitude")
    return xr.DataArray(values, {"time": times, **places}, dims, "pm2p5", attributes)


# Experiments and other YAML


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['touch escaped']",
        "a: !!python/name:os.system",
        "a: !!python/module:os",
    ],
)
def test_yaml_makes_no_objects(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="expected YAML"):
        parse_yaml(text, "a.yaml")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [*a]",
        "a: &a {b: *a}",
        "a0: &a0 1\n"
        + "\n".join(
            f"a{k + 1}: &a{k + 1} [{', '.join([f'*a{k}'] * 9)}]" for k in range(9)
        ),
        "a0: &a0 {x: 1}\n"
        + "\n".join(f"a{k + 1}: &a{k + 1} {{<<: [*a{k}, *a{k}]}}" for k in range(40)),
        "a: " + "[" * 100_000,
    ],
    ids=["itself", "itself in a mapping", "nine to the ninth", "merged", "deep"],
)
def test_yaml_that_stands_for_more_than_it_says(text: str) -> None:
    with pytest.raises(InputError, match=r"aliases that stand for|nested too deeply"):
        parse_yaml(text, "a.yaml")


def test_aliases_are_allowed() -> None:
    found = parse_yaml("a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2}", "a.yaml")
    assert found == {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 1, "y": 2}}


def test_json_that_is_nested_too_deeply_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        from_json("[" * 100_000)


# Messages


def test_a_message_moves_no_cursor_and_fills_no_screen() -> None:
    error = InputError("a.nc", "units", "\x1b[2J\x07\n" + "x" * 100_000)
    assert str(error).isprintable()
    assert len(str(error)) <= LONGEST + 10
    assert str(error).startswith("a.nc: expected units")


# Names that lead out of a folder


@pytest.mark.parametrize(
    "name", ["../a", "/etc/passwd", "a/b", "..", ".", "", "a\\..\\..\\b", 5, None]
)
def test_records_name_files_of_their_folder(name: object, tmp_path: Path) -> None:
    if name == "a\\..\\..\\b" and os.sep == "/":
        assert inside(tmp_path, name).parent == tmp_path  # one name there
        return
    with pytest.raises(OutputError, match="no file in it"):
        inside(tmp_path, name)


def test_overwriting_removes_nothing_that_a_record_names_elsewhere(
    tmp_path: Path,
) -> None:
    (tmp_path / "precious.nc").write_text("mine")
    settings = {"temporal": "linear", "spatial": "bicubic", "split": "day"}
    downscale_to(_world(), tmp_path / "out", **settings)
    records = Records(tmp_path / "out" / FOLDER)
    names = ["../precious.nc", str(tmp_path / "precious.nc")]
    records.put(Record(FILES, facts={"names": names}))
    downscale_to(_world(), tmp_path / "out", overwrite=True, **settings)
    assert (tmp_path / "precious.nc").read_text() == "mine"


def test_a_checked_status_removes_nothing_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "precious.nc").write_text("mine")
    folder = tmp_path / "fetched"
    facts = {"state": COMPLETE, "file": "../precious.nc", "bytes": 4}
    records = Records(folder / STATE)
    records.begin({"provider": "cams"}, folder, "")
    records.put(Record("2019", digest="other", facts=facts))
    seen = status(folder, check=True)
    assert seen.gone == ["2019"]
    assert (tmp_path / "precious.nc").read_text() == "mine"


# Tables


@pytest.mark.parametrize(
    "name",
    ["a'); DROP TABLE rows; --.csv", 'a"b.csv', "a;b.csv", "[a].csv", "$(touch b).csv"],
)
def test_a_files_name_is_no_statement(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPCAMS_CACHE", str(tmp_path / "cache"))
    (tmp_path / name).write_text(HEAD + ROW)
    assert open_openaq(tmp_path / name).rows == 1


@pytest.mark.parametrize(
    "cell", ["a'); DROP TABLE rows; --", 'a"b', "read_csv('/etc/passwd')", "{0}"]
)
def test_a_tables_text_is_no_statement(
    cell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPCAMS_CACHE", str(tmp_path / "cache"))
    quoted = '"' + cell.replace('"', '""') + '"'
    (tmp_path / "a.csv").write_text(HEAD + ROW.replace(",a,", f",{quoted},"))
    assert list(open_openaq(tmp_path / "a.csv").stations["name"]) == [cell]
    column = HEAD.replace("location,", f"location,{quoted},")
    (tmp_path / "b.csv").write_text(column + ROW.replace(",a,", ",a,b,"))
    assert open_openaq(tmp_path / "b.csv").rows == 1


# Sizes


def test_packed_tables_are_never_unpacked_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(station_files, "_DOCUMENT", 10_000)
    paths = [tmp_path / name for name in ("a.csv.gz", "b.csv.gz")]
    for path in paths:
        path.write_bytes(gzip.compress((HEAD + ROW * 1000).encode()))
    files = [station_files.describe(path, named=True) for path in paths]
    assert not station_files.join_tables(files, tmp_path / "joined")
    assert (tmp_path / "joined").stat().st_size < 20_000
    document = json.dumps({"results": [{"value": 1}] * 5000})
    (tmp_path / "c.json").write_text(document)
    file = station_files.describe(tmp_path / "c.json", named=True)
    with pytest.raises(InputError, match="expected JSON of at most"):
        station_files.as_lines(file, tmp_path)


def test_an_object_of_openaq_that_unpacks_without_end() -> None:
    from deepcams.fetch.openaq_rows import read_rows

    bomb = gzip.compress(bytes(100 << 20))
    with pytest.raises(OSError, match="unpacks to more than 67"):
        read_rows([bomb])


@pytest.mark.parametrize(
    ("sizes", "chunks", "said"),
    [
        ((2**31 - 1, 4, 4), (1, 4, 4), "coordinate time"),
        ((1, 2**20, 2**20), (1, 64, 64), "map of pm2p5"),
        ((1 << 14, 1 << 11, 1 << 11), (1 << 10, 1 << 9, 1 << 10), "chunk of pm2p5"),
    ],
    ids=["times", "places", "chunks"],
)
def test_a_file_that_promises_more_than_memory_holds(
    sizes: tuple[int, ...], chunks: tuple[int, ...], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.nc"
    with netCDF4.Dataset(path, "w") as file:
        for name, size in zip(("time", "lat", "lon"), sizes, strict=True):
            file.createDimension(name, size)
        if said == "coordinate time":
            file.createVariable("time", "f8", ("time",), chunksizes=(1024,))
        file.createVariable("pm2p5", "f4", ("time", "lat", "lon"), chunksizes=chunks)
    assert path.stat().st_size < 100_000
    with pytest.raises(InputError, match=f"expected a {said} of at most"):
        open_field(path)


@pytest.mark.parametrize("kind", [str, "S1"], ids=["strings", "characters"])
def test_a_file_that_promises_endless_texts(kind: object, tmp_path: Path) -> None:
    path, dims = tmp_path / "a.nc", ("time", "lat", "letters")
    with netCDF4.Dataset(path, "w") as file:
        for name, size in zip(dims, (12, 24, 2**31 - 1), strict=True):
            file.createDimension(name, size)
        file.createVariable("note", kind, dims, chunksizes=(1, 1, 1024))
    with pytest.raises(InputError, match="expected a coordinate note of at most"):
        open_field(path)


def test_a_grib_message_of_one_value_everywhere(tmp_path: Path) -> None:
    eccodes = pytest.importorskip("eccodes")
    handle = eccodes.codes_grib_new_from_samples("regular_ll_sfc_grib2")
    for key, value in {"paramId": 210073, "Ni": 60_000, "Nj": 60_000}.items():
        eccodes.codes_set(handle, key, value)
    (tmp_path / "a.grib").write_bytes(eccodes.codes_get_message(handle))
    eccodes.codes_release(handle)
    with pytest.raises(InputError, match=r"at most 67,108,864 values, found 3,6"):
        open_field(tmp_path / "a.grib")


@pytest.mark.parametrize("unit", [5, 9, 17, 100, 255])
@pytest.mark.parametrize("edition", [1, 2])
def test_units_of_steps_with_which_ecmwfs_library_never_ends_or_crashes(
    unit: int, edition: int, tmp_path: Path
) -> None:
    eccodes = pytest.importorskip("eccodes")
    handle = eccodes.codes_grib_new_from_samples(f"regular_ll_sfc_grib{edition}")
    eccodes.codes_set(handle, "indicatorOfUnitOfTimeRange", unit)
    (tmp_path / "a.grib").write_bytes(eccodes.codes_get_message(handle))
    eccodes.codes_release(handle)
    with pytest.raises(InputError, match=f"steps in unit {unit}"):
        open_field(tmp_path / "a.grib")


def test_a_parquet_file_of_more_rows_than_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pandas as pd

    monkeypatch.setenv("DEEPCAMS_CACHE", str(tmp_path / "cache"))
    names, cells = HEAD.strip().split(","), ROW.strip().split(",")
    table = pd.DataFrame([dict(zip(names, cells, strict=True))])
    path = tmp_path / "a.parquet"
    table.loc[np.zeros(100_000, int)].to_parquet(path, index=False)
    monkeypatch.setattr(station_files, "_ROWS_A_BYTE", 1)
    with pytest.raises(InputError, match=r"100,000 rows in"):
        open_openaq(path)


def test_options_of_a_network_that_no_memory_holds() -> None:
    before = torch.get_rng_state()
    with pytest.raises(InputError, match=r"weights of at most 1\.1 GB, found"):
        build("abpn", d=1024, stages=10)
    assert torch.equal(before, torch.get_rng_state())


# The network


def test_files_are_opened_without_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPCAMS_CACHE", str(tmp_path / "cache"))

    def refuse(*given: object, **named: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    _world().to_dataset().to_netcdf(tmp_path / "a.nc")
    (tmp_path / "a.csv").write_text(HEAD + ROW)
    assert open_field(tmp_path / "a.nc").load().size
    assert open_openaq(tmp_path / "a.csv").rows == 1
    assert parse_yaml("a: 1", "a.yaml")


# The page itself


def test_every_promise_names_tests_that_exist() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text)
    assert len(named) > 15
    for path, name in named:
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        functions = {one.name for one in ast.walk(tree) if hasattr(one, "name")}
        assert not name or name in functions, f"{path}::{name}"
