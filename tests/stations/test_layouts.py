"""Tables of observations in every layout that people have: the same rows come out."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from deepcams.core.errors import DeepcamsNotice, InputError
from deepcams.stations.archive.layouts import plain_parameter, unit_factor
from deepcams.stations.archive.openaq import open_openaq
from deepcams.stations.archive.sorted_copy import StationArchive

PLACES = {11: (52.5, 15.0), 22: (40.0, 116.0)}


@pytest.fixture
def table(table_of) -> pd.DataFrame:
    return table_of(PLACES, hours=12).round({"value": 1})


def content(archive: StationArchive) -> list[tuple[float, int, float]]:
    """Latitude, stamp and value of each row: what does not depend on names."""
    rows = archive.read()
    latitude = archive.stations["latitude"].to_numpy()[rows.station]
    return sorted(
        zip(latitude.tolist(), rows.end.tolist(), rows.value.tolist(), strict=True)
    )


def renamed(table: pd.DataFrame, **names: str) -> pd.DataFrame:
    return pd.DataFrame({new: table[old] for new, old in names.items()})


def explorer(table: pd.DataFrame) -> pd.DataFrame:
    names = {
        "locationId": "location_id",
        "utc": "datetime",
        "local": "datetime",
        "unit": "units",
    }
    same = {"location": "location", "parameter": "parameter", "value": "value"}
    return renamed(table, **names, **same, latitude="lat", longitude="lon")


def daily(table: pd.DataFrame) -> pd.DataFrame:
    return (
        explorer(table)
        .drop(columns="locationId")
        .assign(city="x", attribution='[{"name":"a"}]')
    )


def flattened(table: pd.DataFrame) -> pd.DataFrame:
    names = {
        "location_id": "location_id",
        "period.datetimeTo.utc": "datetime",
        "parameter.name": "parameter",
        "parameter.units": "units",
        "value": "value",
        "coordinates.latitude": "lat",
        "coordinates.longitude": "lon",
    }
    return renamed(table, **names)


@pytest.mark.parametrize("layout", [explorer, daily, flattened])
def test_tables(
    table: pd.DataFrame, save_table, layout: Callable[[pd.DataFrame], pd.DataFrame]
) -> None:
    expected = content(open_openaq(save_table(table)))
    found = open_openaq(save_table(layout(table), "other.csv"))
    assert content(found) == expected
    assert len(found.stations) == 2


def measurements(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            "date": {
                "utc": row.datetime.replace("+00:00", ".000Z"),
                "local": row.datetime,
            },
            "parameter": "pm25",
            "location": row.location,
            "value": row.value,
            "unit": "µg/m³",
            "coordinates": {"latitude": row.lat, "longitude": row.lon},
            "mobile": False,
        }
        for row in table.itertuples()
    ]


@pytest.mark.parametrize("name", ["a.ndjson", "a.ndjson.gz", "answer.json"])
def test_json(table: pd.DataFrame, save_table, tmp_path: Path, name: str) -> None:
    expected = content(open_openaq(save_table(table)))
    rows = measurements(table)
    rows += [{**row, "parameter": "o3", "unit": "ppm"} for row in rows[:5]]
    rows += [{**row, "mobile": True, "location": "bus"} for row in rows[:3]]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if name == "answer.json":
        text = json.dumps({"meta": {}, "results": rows})
    data = text.encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    archive = open_openaq(path)
    assert archive.other == 5
    assert archive.stations.set_index("name").is_mobile.to_dict()["bus"]
    kept = archive.stations.index[archive.stations.name != "bus"]
    rows_left = archive.read(kept.to_numpy())
    assert rows_left.size == len(expected)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-8-sig", "latin-1"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_encodings(
    table: pd.DataFrame, save_table, tmp_path: Path, encoding: str, separator: str
) -> None:
    expected = content(open_openaq(save_table(table)))
    text = table.to_csv(index=False, sep=separator)
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    path = tmp_path / "other.csv"
    path.write_bytes((mark + text).encode(encoding))
    assert content(open_openaq(path)) == expected


def test_decimal_commas(table: pd.DataFrame, save_table, tmp_path: Path) -> None:
    expected = content(open_openaq(save_table(table)))
    path = tmp_path / "other.csv"
    path.write_text(table.to_csv(index=False, sep=";", decimal=","))
    assert content(open_openaq(path)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "µg/m³",
        "\N{GREEK SMALL LETTER MU}g/m3",
        "Âµg/mÂ³",
        "UG/M3",
        "ug/m³ (LC)",
        "Micrograms/cubic meter (25 C)",
        "µg m⁻³",
        "mcg/m3",
    ],
)
def test_spellings_of_one_unit(text: str) -> None:
    assert unit_factor(text) == 1


@pytest.mark.parametrize("text", ["ppm", "ppb", "", "%", "µg/m2"])
def test_what_is_no_mass_concentration(text: str) -> None:
    assert unit_factor(text) != unit_factor(text)  # NaN


@pytest.mark.parametrize(
    "text", ["pm25", "PM2.5", "pm2p5", "PM2.5 - Local Conditions", "pm25 µg/m³"]
)
def test_spellings_of_the_species(text: str) -> None:
    assert plain_parameter(text) == "pm25"


@pytest.mark.parametrize("text", ["pm10", "pm1", "o3", "pm25aod"])
def test_other_species(text: str) -> None:
    assert plain_parameter(text) != "pm25"


def test_rows_that_cannot_be_read_are_counted(table_of, save_table) -> None:
    table = table_of(PLACES, hours=50).round({"value": 1}).astype({"value": str})
    table.loc[[3, 40], "value"] = "<5", "ND"
    table.loc[7, "datetime"] = "yesterday"
    path = save_table(table)
    with path.open("a") as file:
        file.write(",".join(table.columns) + "\n")  # a header repeated by cat
    with pytest.warns(
        DeepcamsNotice,
        match=r"3 rows cannot be read .*1 with no time .*2 with no number",
    ):
        archive = open_openaq(path)
    assert (archive.rows, archive.other) == (97, 0)


def test_a_file_with_too_many_of_them_is_refused(table_of, save_table) -> None:
    table = table_of(PLACES, hours=50).astype({"value": str})
    table.loc[:10, "value"] = "?"
    with pytest.raises(
        InputError,
        match=r"a\.csv: value: expected numbers, found '\?' \(and 10 more of 100 rows\)",
    ):
        open_openaq(save_table(table, "a.csv"))


def test_two_sensors_of_one_location_are_two_stations(
    table: pd.DataFrame, save_table
) -> None:
    table = table.assign(sensors_id=table.location_id)
    other = table[table.location_id == 11].assign(sensors_id=99, value=200.0)
    archive = open_openaq(save_table(pd.concat([table, other])))
    assert sorted(archive.stations["id"]) == ["11:11", "11:99", "22"]
    assert archive.stations.set_index("id").location_id["11:99"] == "11"
    assert (archive.stations["rows"] == 12).all()


def test_kinds_inside_the_table(table: pd.DataFrame, save_table) -> None:
    table["isMonitor"] = (table.location_id == 11).map({True: "true", False: "false"})
    stations = open_openaq(save_table(table)).stations.set_index("id")
    assert stations.is_monitor.to_dict() == {"11": True, "22": False}


@pytest.mark.parametrize(
    "trouble", ["none", "line break", "carriage returns", "damaged"]
)
def test_small_files_together_are_what_they_are_apart(
    table: pd.DataFrame, tmp_path: Path, trouble: str
) -> None:
    """Twelve files, gzipped, with a line that has too few columns; three have what forbids joining them."""
    folder = tmp_path / "small"
    folder.mkdir()
    whole = content(open_openaq(_write(table, tmp_path / "whole.csv")))
    for number, (_, hours) in enumerate(table.groupby("datetime")):
        text = hours.to_csv(index=False)
        if trouble == "line break":
            text = text.replace(
                str(hours["location"].iloc[0]), '"a name\nin two lines"', 1
            )
        if trouble == "carriage returns" and number == 3:
            text = text.replace("\n", "\r")
        packed = gzip.compress(text.encode())
        if trouble == "damaged" and number == 3:
            packed = packed[:-9]
        (folder / f"{number:02d}.csv.gz").write_bytes(packed)
    if trouble == "damaged":
        with pytest.raises(
            InputError, match=r"03\.csv\.gz: expected a whole gzip file"
        ):
            open_openaq(folder)
        return
    assert content(open_openaq(folder)) == whole
    if trouble == "none":
        many = pd.concat([table[table["datetime"] == table["datetime"].iloc[0]]] * 12)
        bad = many.to_csv(index=False) + "1,2,3\n"
        (folder / "00.csv.gz").write_bytes(gzip.compress(bad.encode()))
        with pytest.warns(DeepcamsNotice, match="1,2,3"):
            assert open_openaq(folder).unreadable["columns"][0] == 1
        worse = table.head(2).to_csv(index=False) + "1,2,3\n"
        (folder / "00.csv.gz").write_bytes(gzip.compress(worse.encode()))
        with pytest.raises(InputError, match=r"00\.csv\.gz: columns: .*'1,2,3'"):
            open_openaq(folder)


def test_a_url_is_named_as_it_was_typed() -> None:
    with pytest.raises(InputError, match=r"s3://bucket/a\.csv: expected a path on"):
        open_openaq("s3://user:secret@bucket/a.csv")


def _write(table: pd.DataFrame, path: Path) -> Path:
    table.to_csv(path, index=False)
    return path
