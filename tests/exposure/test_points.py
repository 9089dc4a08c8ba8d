"""Exposure at places, against sums in NumPy; what is read; and that nobody's id or address leaves the table."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from deepcams.core.errors import DeepcamsNotice
from deepcams.core.grid import Grid
from deepcams.exposure.point_list import PointList, points_of
from deepcams.exposure.points import PointExposure, PointOptions, point_exposure
from exposure.worlds import COARSE, Command, field_on, write_field

RNG = np.random.default_rng(11)


def days(*texts: str) -> np.ndarray:
    return np.array(texts, "datetime64[D]")


def places(number: int = 40) -> PointList:
    ids = np.array([f"p{k}" for k in range(number)], object)
    latitude = np.r_[90, -90, 12.3, RNG.uniform(-90, 90, number - 3)]
    longitude = np.r_[0, 77, -180, RNG.uniform(-180, 360, number - 3)]
    return PointList(ids, latitude, longitude)


def brute(
    values: np.ndarray, grid: Grid, place: tuple[float, float], how: str
) -> np.ndarray:
    """Return the series at a place of a global grid, from the definition."""
    north, east = place
    row, column = (90 - north) / grid.step, (east % 360) / grid.step
    if how == "nearest":
        at = int(np.floor(row + 0.5)), int(np.floor(column + 0.5)) % grid.columns
        return values[:, at[0], at[1]].astype(float)
    top, left = min(int(row), grid.rows - 2), int(column)
    v, u = row - top, column - left
    right = (left + 1) % grid.columns
    return sum(
        weight * values[:, r, c].astype(float)
        for weight, r, c in (
            ((1 - v) * (1 - u), top, left),
            ((1 - v) * u, top, right),
            (v * (1 - u), top + 1, left),
            (v * u, top + 1, right),
        )
    )


@pytest.mark.parametrize("how", ["nearest", "bilinear"])
@pytest.mark.parametrize("over", ["hour", "day"])
def test_values_are_those_of_the_definition(how: str, over: str) -> None:
    field, points = field_on(COARSE, hours=72), places()
    table = point_exposure(field, points, over=over, how=how)
    wide = point_exposure(field, points, over=over, how=how, shape="wide")
    assert wide["id"].tolist() == points.ids.tolist()
    for number, place in enumerate(zip(points.latitude, points.longitude, strict=True)):
        expected = brute(field.values, COARSE, place, how)
        if over == "day":
            expected = expected.reshape(3, 24).mean(axis=1)
        own = table[table["id"] == points.ids[number]]
        assert own["value"].to_numpy() == pytest.approx(expected, rel=1e-6)
        assert wide.iloc[number, 1:].to_numpy(float) == pytest.approx(
            expected, rel=1e-6
        )


def test_cohorts_have_their_own_days() -> None:
    """Somebody who moved, an open window, one beyond the field, and a window's mean by three quarters of its days."""
    field = field_on(COARSE, hours=24 * 8, start="2019-12-25")
    ids = np.array(["a", "a", "b", "c"], object)
    latitude, longitude = np.array([50, 40, 10, 0.0]), np.array([10, 20, 30, 40.0])
    start = days("2019-12-26", "2019-12-28", "NaT", "2020-01-01")
    end = days("2019-12-27", "2019-12-28", "2019-12-25", "2020-01-02")
    points = PointList(ids, latitude, longitude, start, end)
    with pytest.warns(DeepcamsNotice, match="1 window of 4 partly outside"):
        table = point_exposure(field, points)
    means = field.values.reshape(8, 24, *COARSE.shape).mean(axis=1, dtype=float)
    rows = [
        ("a", 1, 4, 1),
        ("a", 2, 4, 1),
        ("a", 3, 5, 2),
        ("b", 0, 8, 3),
        ("c", 7, 9, 4),
    ]
    assert table["id"].tolist() == [row[0] for row in rows]
    first = np.datetime64("2019-12-25")
    assert table["start"].tolist() == [pd.Timestamp(first + row[1]) for row in rows]
    expected = [means[row[1:]] for row in rows]
    assert table["value"].to_numpy() == pytest.approx(expected, rel=1e-6)
    with pytest.warns(DeepcamsNotice, match="partly outside"):
        whole = point_exposure(field, points, over="window")
    assert whole["days"].tolist() == [2, 1, 1, 1]
    expected = [means[1:3, 4, 1].mean(), means[3, 5, 2], means[0, 8, 3], np.nan]
    assert whole["value"].to_numpy() == pytest.approx(expected, rel=1e-6, nan_ok=True)


@pytest.mark.parametrize("shape", ["long", "wide"])
def test_lags_are_the_days_before(shape: str) -> None:
    field = field_on(COARSE, hours=24 * 6, start="2019-12-25")
    field = field.isel(time=np.r_[0:48, 72:144])  # without 27 December
    table = pd.DataFrame(
        {
            "pid": ["x", "y"],
            "lat": [50, 40],
            "lng": [10, 20],
            "date": ["2019-12-29", "2019-12-26"],
        }
    )
    found = point_exposure(field, points_of(table), lags=3, shape=shape)
    means = field.values.reshape(5, 24, *COARSE.shape).mean(axis=1, dtype=float)
    expected = [[means[3, 4, 1], means[2, 4, 1], np.nan, means[1, 4, 1]]]
    expected.append([means[1, 5, 2], means[0, 5, 2], np.nan, np.nan])
    if shape == "wide":
        assert list(found) == ["id", "start", "lag_0", "lag_1", "lag_2", "lag_3"]
        values = found[[f"lag_{lag}" for lag in range(4)]].to_numpy(float)
    else:
        assert found["lag"].tolist() == [0, 1, 2, 3] * 2
        values = found["value"].to_numpy().reshape(2, 4)
    assert values == pytest.approx(np.array(expected), rel=1e-6, nan_ok=True)


def test_only_chunks_with_places_and_days_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    field = field_on(COARSE, hours=24 * 5)
    field.encoding["tile"] = (5, 6)
    seen = []
    from deepcams.stations import extract

    def watched(field: xr.DataArray, times: slice, *rest: slice) -> np.ndarray:
        seen.append(
            (times.start, times.stop, *((part.start, part.stop) for part in rest))
        )
        return read(field, times, *rest)

    read = extract.read_block
    monkeypatch.setattr(extract, "read_block", watched)
    ids, latitude = np.array(["u", "v"], object), np.array([50.0, 52.0])
    start = days("2020-01-01", "2018-01-01")  # the second one is before the field
    points = PointList(ids, latitude, latitude / 5, start, start + 1)
    with pytest.warns(DeepcamsNotice, match="1 window of 2 outside"):
        table = point_exposure(field, points, lags=1)
    assert table["id"].tolist() == ["u"] * 4
    assert seen == [(24, 96, (0, 5), (0, 6))]


def test_places_at_sea_may_be_swapped() -> None:
    """Towns in Europe with their coordinates exchanged lie in the Indian Ocean, which a global field covers, too."""
    towns = pd.DataFrame({"lat": [2.35, 4.9, 12.6], "lon": [48.86, 52.4, 55.7]})
    with pytest.warns(DeepcamsNotice, match="3 places of 3 at sea.* swapped"):
        point_exposure(field_on(COARSE, hours=2), points_of(towns), over="hour")
    right = towns.rename(columns={"lat": "lon", "lon": "lat"})
    point_exposure(field_on(COARSE, hours=2), points_of(right), over="hour")


def test_parts_make_the_same_table(monkeypatch: pytest.MonkeyPatch) -> None:
    field, points = field_on(COARSE, hours=48), places()
    whole = PointExposure(field, points, PointOptions(over="hour", coordinates=True))
    expected = whole.table()
    assert list(expected) == ["id", "latitude", "longitude", "start", "value"]
    monkeypatch.setattr("deepcams.exposure.points._TOGETHER", 500)
    monkeypatch.setattr("deepcams.exposure.points._ROWS", 100)
    parts = PointExposure(field, points, PointOptions(over="hour", coordinates=True))
    assert len(list(parts.tables())) == 20
    pd.testing.assert_frame_equal(parts.table(), expected)


VIENNA = Grid(2.0, 15, -4, 9, 15)
SECRETS = ("PATIENT-7431", "48.20817", "16.37382", "Stephansplatz")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_nothing_of_a_person_leaves_the_table(
    suffix: str, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids are in the table alone; the rest is nowhere: in no file, message, cache or temporary file."""
    write_field(Path("field.nc"), VIENNA)
    for name in ("cache", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("DEEPCAMS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    kept = {}
    clean_up = os.unlink

    def before(path: object, *rest: object, **more: object) -> None:
        file = Path(str(path))
        if more.get("dir_fd") is None and file.is_file():
            kept[str(path)] = file.read_bytes()
        clean_up(path, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "unlink", before)
    shown = [""]

    def echo(text: str) -> None:
        shown[0] += f"{text}\n"

    monkeypatch.setattr("typer.echo", echo)
    head = "id,latitude,longitude,address,start,end\n"
    row = ",".join((SECRETS[0], *SECRETS[1:3], SECRETS[3], "2019-12-30", "2019-12-31"))
    Path("list.csv").write_text(head + row + "\n")
    out = f"out.{suffix}"
    status, said = command(
        "points", "field.nc", "list.csv", "-o", out, "--how", "bilinear"
    )
    assert status == 0
    assert f"  {out}" in shown[0]
    assert not any(secret in said + shown[0] for secret in SECRETS)
    table = pd.read_csv(out) if suffix == "csv" else pd.read_parquet(out)
    assert table["id"].tolist() == [SECRETS[0]] * 2
    assert list(table) == ["id", "start", "value"]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    for path in files:
        kept[str(path.relative_to(tmp_path))] = path.read_bytes()
    del kept["list.csv"]
    assert len(kept) > 2  # the table, what it is from, and the field
    for name, content in kept.items():
        text = content.decode("latin-1")
        secrets = SECRETS[1:] if Path(name).name.endswith(out) else SECRETS
        assert not any(secret in text for secret in secrets), name
    numbers = np.array([float(secret) for secret in SECRETS[1:3]])
    for name, content in kept.items():
        assert not any(number.tobytes() in content for number in numbers), name
    facts = json.loads(Path(f"{out}.json").read_text())
    assert facts["places"] == 1


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("PATIENT-7431,148.20817,16.37382,,", "row 1"),
        ("PATIENT-7431,48.20817,16.37382 E,,", "row 1"),
        ("PATIENT-7431,48.20817,,,", "row 1"),
        ("PATIENT-7431,48.20817,416.37382,,", "row 1"),
        ("PATIENT-7431,48.20817,16.37382,48.20817,", "row 1"),
        ("PATIENT-7431,48.20817,16.37382,2019-12-31,2019-12-30", "row 1"),
        ("PATIENT-7431,48.20817,16.37382,2018-12-31,2018-12-31", "none of 1 rows"),
        ("PATIENT-7431,-48.20817,16.37382,,", "none of 1"),
        (
            "PATIENT-7431,48.20817,16.37382,,,Stephansplatz 1,a,b",
            "a table with a header",
        ),
    ],
)
def test_no_message_names_a_person(row: str, says: str, command: Command) -> None:
    write_field(Path("field.nc"), VIENNA)
    Path("list.csv").write_text(
        "id,latitude,longitude,start,end\n" + row + "\n,,,,\n"[:0]
    )
    status, said = command("points", "field.nc", "list.csv", "-o", "out.csv")
    assert status == 2
    assert len(said.splitlines()) == 1
    assert says in said
    assert not any(secret in said for secret in SECRETS)
    assert sorted(path.name for path in Path().iterdir()) == ["field.nc", "list.csv"]


def test_a_real_frame(cams_dir: Path) -> None:
    from deepcams.downscaling.plan import downscale
    from deepcams.readers.cams import open_cams

    coarse = open_cams(cams_dir / "cams_eac4_20191231_new_layout.nc").isel(time=[0, 1])
    box = (0, 40, 30, 60)
    fine = downscale(coarse, "linear", "bicubic", bbox=box)
    towns = points_of(pd.DataFrame({"lat": [52.23, 48.2082], "lon": [21.0, 16.3738]}))
    found = point_exposure(fine, towns, over="hour", shape="wide")
    values = fine.sel(latitude=[52.25, 48.25], longitude=[21, 16.25], method="nearest")
    expected = np.stack([values.values[:, k, k] for k in range(2)])
    assert found.iloc[:, 1:].to_numpy(float) == pytest.approx(expected, rel=1e-6)
    assert found["id"].tolist() == ["1", "2"]
