"""Opening observations: layouts, columns by name, stamps, caches."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from deepcams.core.errors import DeepcamsNotice, InputError
from deepcams.stations.archive import ingest
from deepcams.stations.archive.openaq import open_openaq
from deepcams.stations.archive.sorted_copy import load
from deepcams.stations.archive.station_files import find_station_files

PLACES = {1: (52.5, 15.0), 22: (40.0, 116.0), 3: (-33.4, -70.6)}


def _content(archive) -> dict[tuple[str, int], float]:
    rows = archive.read()
    ids = archive.stations["id"].to_numpy()[rows.station]
    return dict(
        zip(
            zip(ids.tolist(), rows.end.tolist(), strict=True),
            rows.value.tolist(),
            strict=True,
        )
    )


@pytest.fixture
def table(table_of) -> pd.DataFrame:
    return table_of(PLACES, "2018-12-31T12:00", hours=36).round({"value": 1})


def test_all_layouts_hold_the_same(table, save_table, tmp_path: Path) -> None:
    expected = _content(open_openaq(save_table(table)))
    assert len(expected) == 108
    tree = tmp_path / "tree"
    days = table["datetime"].str[:10]
    for (station, day), part in table.groupby([table["location_id"], days]):
        name = (
            f"tree/records/csv.gz/locationid={station}/year={day[:4]}/month={day[5:7]}"
        )
        save_table(part, f"{name}/location-{station}-{day.replace('-', '')}.csv.gz")
    shuffled = table.sample(frac=1, random_state=1)
    assert _content(open_openaq(tree)) == expected
    assert open_openaq(tree).files == 6
    assert _content(open_openaq(save_table(table, "a.csv.gz"))) == expected
    assert _content(open_openaq(save_table(shuffled, "b.parquet"))) == expected
    assert (
        _content(
            open_openaq(
                [save_table(table[:50], "c.csv"), save_table(table[50:], "d.csv.gz")]
            )
        )
        == expected
    )
    assert _content(open_openaq(str(tmp_path / "[cd].csv*"))) == expected
    stamped = shuffled.assign(datetime=pd.to_datetime(shuffled["datetime"], utc=True))
    assert _content(open_openaq(save_table(stamped, "e.parquet"))) == expected


def test_columns_are_found_by_name_in_any_order_and_others_ignored(
    table, save_table
) -> None:
    expected = _content(open_openaq(save_table(table)))
    other = table.rename(columns={"lat": "Latitude", "lon": "longitude"}).drop(
        columns=["sensors_id", "location"]
    )
    other.insert(0, "is_mobile", "false")
    other["provider"] = 'the "other", one'
    assert (
        _content(open_openaq(save_table(other[other.columns[::-1]], "other.csv")))
        == expected
    )
    path = save_table(other, "semicolon.csv")
    path.write_text(other.to_csv(index=False, sep=";"))
    assert _content(open_openaq(path)) == expected


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2019-12-31T15:00:00+08:00", "2019-12-31T07:00"),
        ("2019-12-31T15:00:00+05:45", "2019-12-31T09:15"),
        ("2019-12-31T15:00:00-0330", "2019-12-31T18:30"),
        ("2019-12-31T15:00:00Z", "2019-12-31T15:00"),
        ("2019-12-31 15:00:00.000+00", "2019-12-31T15:00"),
        ("2019-12-31T24:00+01:00", "2019-12-31T23:00"),
    ],
)
def test_stamps_with_any_offset(table, save_table, text: str, utc: str) -> None:
    archive = open_openaq(save_table(table[:1].assign(datetime=text)))
    assert archive.first == np.datetime64(utc, "s").astype(int)


@pytest.mark.parametrize("offset", ["+25:99", "+15:00", "-14:60", "+99"])
def test_offsets_that_no_clock_has_are_refused(table, save_table, offset: str) -> None:
    with pytest.raises(InputError, match=r"times such as .*found '2019-12-31T15:00:00"):
        open_openaq(
            save_table(table[:1].assign(datetime=f"2019-12-31T15:00:00{offset}"))
        )


def test_two_columns_of_one_name_are_refused(table, save_table) -> None:
    path = save_table(table)
    path.write_text(path.read_text().replace("sensors_id", "Value", 1))
    with pytest.raises(InputError, match="one column Value, found 2 of that name"):
        open_openaq(path)


def test_stamps_without_an_offset_are_refused_unless_they_are_said_to_be_utc(
    table, save_table
) -> None:
    path = save_table(table.assign(datetime=table["datetime"].str[:19]))
    with pytest.raises(InputError, match="--assume-utc"):
        open_openaq(path)
    assert open_openaq(path, assume_utc=True).first == np.datetime64(
        "2018-12-31T12:00", "s"
    ).astype(int)
    naive = table.assign(datetime=pd.to_datetime(table["datetime"].str[:19]))
    with pytest.raises(InputError, match="--assume-utc"):
        open_openaq(save_table(naive, "naive.parquet"))


def test_other_parameters_are_counted_and_left_out(table, save_table) -> None:
    mixed = pd.concat(
        [
            table,
            table.assign(parameter="pm10", value=99),
            table[:5].assign(parameter="o3", units="ppm"),
        ]
    )
    archive = open_openaq(save_table(mixed.sample(frac=1, random_state=0)))
    assert (archive.rows, archive.other) == (108, 113)
    assert archive.units == ["µg/m³"]
    assert open_openaq(save_table(mixed, "again.csv"), parameter="pm10").rows == 108
    with pytest.raises(InputError, match="221 rows of other parameters"):
        open_openaq(save_table(mixed, "again.csv"), parameter="no2")


def test_an_old_export_in_latin_1(table, save_table, tmp_path: Path) -> None:
    path = tmp_path / "latin.csv"
    path.write_bytes(table.to_csv(index=False).encode("latin-1"))
    assert open_openaq(path).units == ["µg/m³"]


def test_rows_are_sorted_by_station_and_time_into_years(
    table_of, save_table, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    many = {
        k: (float(random.uniform(-80, 80)), float(random.uniform(-180, 180)))
        for k in range(300)
    }
    table = table_of(many, "2018-12-31T20:00", hours=8).sample(frac=1, random_state=2)
    files = find_station_files(save_table(table))
    ingest.build(files, "pm25", False, tmp_path / "built", "key", lambda rows: None)
    built = load(tmp_path / "built", "key")
    assert built is not None
    assert built.years == [2018, 2019]
    assert sorted(p.name for p in (tmp_path / "built").iterdir()) == [
        "2018.parquet",
        "2019.parquet",
        "about.json",
        "stations.parquet",
    ]
    rows = built.read()
    assert rows.size == 2400
    assert (np.lexsort((rows.end, rows.station)) == np.arange(2400)).all()
    ids = built.stations["id"].to_numpy()[rows.station]
    expected = {(str(r.location_id), r.datetime): r.value for r in table.itertuples()}
    stamps = [f"{np.datetime64(int(e), 's')}+00:00" for e in rows.end]
    found = {(i, s): v for i, s, v in zip(ids, stamps, rows.value, strict=True)}
    assert found == pytest.approx(expected, abs=1e-6)
    some = built.read(np.array([5, 200]), end=built.first + 3600)
    assert (np.unique(some.station).tolist(), some.size) == ([5, 200], 4)
    assert (built.stations["rows"] == 8).all()


class _Killed(BaseException):
    """Stands for a signal."""


@pytest.mark.parametrize("killed_after", [30, 260, 400])
def test_a_sort_that_was_killed_goes_on_where_it_was(
    table_of,
    save_table,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    killed_after: int,
) -> None:
    """Small files, larger ones, and Parquet: a batch that was finished is not read again, nothing counts twice."""
    monkeypatch.setattr(ingest, "BATCH_FILES", 2)
    folder = tmp_path / "tree"
    for k in range(6):
        save_table(table_of({k: (k, k)}, hours=24), f"tree/a{k}.csv.gz")
    save_table(
        table_of({7: (7.0, 7.0), 2: (2.0, 2.0)}, "2019-02-01T01:00", hours=100),
        "tree/b.csv",
    )
    save_table(table_of({8: (8.0, 8.0)}, hours=48), "tree/c.parquet")
    save_table(
        table_of({9: (9.0, 9.0)}, hours=48).assign(parameter="no2"), "tree/d.csv"
    )
    save_table(table_of({10: (10.0, 10.0)}, hours=24), "tree/e.csv")
    monkeypatch.setenv("DEEPCAMS_CACHE", str(tmp_path / "whole"))
    expected = open_openaq(folder)

    def kill(rows: int) -> None:
        if rows > killed_after:
            raise _Killed

    read: list[str] = []
    load = ingest._Reader._load

    def watched(self: Any, files: list[Any], columns: list[str]) -> None:
        read.extend(file.path.name for file in files)
        load(self, files, columns)

    monkeypatch.setattr(ingest._Reader, "_load", watched)
    monkeypatch.setenv("DEEPCAMS_CACHE", str(tmp_path / "cut"))
    with pytest.raises(_Killed):
        open_openaq(folder, progress=kill)
    read.clear()
    told: list[int] = []
    found = open_openaq(folder, progress=told.append)
    assert "a0.csv.gz" not in read
    assert told[0] > killed_after
    assert (found.rows, found.other, found.files, found.units) == (
        416,
        48,
        10,
        expected.units,
    )
    assert _content(found) == _content(expected)
    assert len(_content(found)) == 416
    pd.testing.assert_frame_equal(found.stations, expected.stations)
    assert [
        path.name.count("part") for path in (tmp_path / "cut" / "stations").iterdir()
    ] == [0]


def test_two_processes_may_sort_the_same_files(
    table, save_table, tmp_path: Path, monkeypatch
) -> None:
    """The second finds the first's folder taken, and builds its own."""
    monkeypatch.setenv("DEEPCAMS_CACHE", str(tmp_path / "cache"))
    path = save_table(table)
    others: list[Any] = []

    def meanwhile(rows: int) -> None:
        if not others:
            others.append(None)
            others.append(open_openaq(path))

    mine = open_openaq(path, progress=meanwhile)
    assert _content(mine) == _content(others[1])
    assert len(list((tmp_path / "cache" / "stations").iterdir())) == 1


def test_a_failed_sort_leaves_nothing(
    save_table, table, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv("DEEPCAMS_CACHE", str(tmp_path / "cache"))
    path = save_table(table.assign(value="x"))
    with pytest.raises(InputError):
        open_openaq(path)
    assert list((tmp_path / "cache" / "stations").iterdir()) == []


def test_neighbours_follow_each_other(save_table, table_of) -> None:
    places = {
        1: (50.05, 20.05),
        2: (-10.0, 50.0),
        3: (50.06, 20.04),
        4: (50.05, -100.0),
    }
    stations = open_openaq(save_table(table_of(places))).stations
    at = {i: k for k, i in enumerate(stations["id"])}
    assert abs(at["1"] - at["3"]) == 1


def test_the_sorted_copy_is_used_again_until_a_file_changes(
    table, save_table, monkeypatch
) -> None:
    path = save_table(table)
    first = open_openaq(path)
    told: list[int] = []
    again = open_openaq(path, progress=told.append)
    assert told == []
    assert _content(again) == _content(first)
    table.loc[0, "value"] = 77.0
    save_table(table)
    changed = open_openaq(path, progress=told.append)
    assert told == [108]
    assert 77.0 in _content(changed).values()


def test_a_damaged_copy_is_made_anew(
    table, save_table, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv("DEEPCAMS_CACHE", str(tmp_path / "cache"))
    path = save_table(table)
    expected = _content(open_openaq(path))
    about = next((tmp_path / "cache").glob("stations/*/about.json"))
    about.write_text("{")
    assert _content(open_openaq(path)) == expected


def test_a_cache_that_cannot_be_written_is_done_without(
    table, save_table, tmp_path: Path, monkeypatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DEEPCAMS_CACHE", str(tmp_path / "file" / "cache"))
    archive = open_openaq(save_table(table))
    assert len(_content(archive)) == 108


def test_in_a_folder_other_tables_are_passed_over_with_a_word(
    table, save_table, tmp_path: Path
) -> None:
    save_table(table, "tree/a.csv")
    (tmp_path / "tree" / "planted.csv").write_text("location_id,kind\n1,twin\n")
    with pytest.warns(DeepcamsNotice, match="planted.csv"):
        assert open_openaq(tmp_path / "tree").rows == 108


def _gz(data: bytes) -> bytes:
    return gzip.compress(data)


HEAD = b"location_id,datetime,lat,lon,parameter,units,value\n"
ROW = HEAD + b"1,2019-01-01T00:00:00Z,1,1,pm25,ug/m3,3\n"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.csv", b"", "an empty file"),
        ("empty.csv.gz", _gz(b""), "an empty file"),
        ("cut.csv.gz", _gz(ROW * 5000)[:-20], "damaged"),
        ("noise.csv.gz", b"\x1f\x8b" + b"x" * 100, "damaged"),
        (
            "page.csv",
            b"<!DOCTYPE html><html><title>403 Forbidden</title></html>",
            "an HTML page",
        ),
        (
            "few.csv",
            b"location_id,datetime,value\n1,2019-01-01T00:00:00Z,3\n",
            "no lat, lon, parameter, units",
        ),
        ("word.csv", ROW.replace(b",3\n", b",abc\n"), "abc"),
        (
            "day.csv",
            ROW.replace(b"2019-01-01T00:00:00Z", b"31.12.2019"),
            "'31.12.2019'",
        ),
        ("head.csv", HEAD, "rows of pm25"),
        ("bad.parquet", b"PAR1" + b"x" * 100, "Parquet"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_files_are_one_line_that_names_them(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        open_openaq(path)
    assert words in str(caught.value)
    assert name in str(caught.value)


def test_no_file_at_all_is_one_line() -> None:
    with pytest.raises(InputError, match="at least one file, found none"):
        open_openaq([])


def test_of_many_small_files_the_bad_one_is_named(
    table, save_table, tmp_path: Path
) -> None:
    for k in range(5):
        save_table(table[k : k + 1], f"many/{k}.csv")
    path = tmp_path / "many" / "3.csv"
    path.write_text(path.read_text().replace("pm25,µg/m³,", "pm25,µg/m³,1x"))
    with pytest.raises(InputError, match=r"many/3\.csv"):
        open_openaq(tmp_path / "many")


@pytest.mark.parametrize(
    ("name", "stations", "rows"),
    [
        ("china_20191231", 1474, 32908),
        ("global_20180206", 1438, 10161),
        pytest.param("poland_2017", 46, 371214, marks=pytest.mark.slow),
        pytest.param("poland_2018", 51, 387329, marks=pytest.mark.slow),
        ("poland_2019", 63, 527434),
    ],
)
def test_real_files_all_open(
    stations_dir: Path, name: str, stations: int, rows: int
) -> None:
    archive = open_openaq(stations_dir / f"{name}.csv.gz")
    assert (len(archive.stations), archive.rows) == (stations, rows)
    without_place = archive.stations["latitude"].isna().sum()
    assert without_place == (8 if name == "global_20180206" else 0)
