"""What lies around stations: land, coast, sea, and altitude where metadata gives it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from deepcams.cli import main
from deepcams.files.land_mask import land_fraction
from deepcams.stations.archive.metadata import count_surroundings, note_surroundings
from deepcams.stations.archive.openaq import open_openaq
from deepcams.stations.tables import station_tables
from deepcams.stations.validation import validate

PLACES = {
    "Poznan": (52.41, 16.93, "inland"),
    "Gdansk": (54.38, 18.62, "coast"),
    "mid-Atlantic": (0.0, -30.0, "sea"),
    "Wellington": (-41.29, 174.78, "coast"),
    "South Pole": (-90.0, 0.0, "inland"),
    "nowhere": (np.nan, np.nan, "none"),
}


def test_each_place_is_inland_coast_or_sea_by_the_land_in_its_quarter_degree_cell() -> (
    None
):
    table = pd.DataFrame(
        [(lat, lon) for lat, lon, _ in PLACES.values()],
        columns=["latitude", "longitude"],
    )
    noted = note_surroundings(table)
    assert noted["surface"].fillna("none").tolist() == [
        kind for *_, kind in PLACES.values()
    ]
    row, column = round((90 - 54.5) * 4), round(18.5 * 4)  # the node nearest to Gdansk
    assert noted["land"][1] == pytest.approx(float(land_fraction()[row, column]))
    assert 0.05 < noted["land"][1] < 0.95
    assert np.isnan(noted["land"][5])
    used = np.array([True, True, False, True, True, False])
    assert count_surroundings(noted, used) == {
        "stations": 4,
        "inland": 2,
        "coast": 2,
        "sea": 0,
        "altitude_known": 0,
    }


def test_the_tables_note_land_and_altitude_and_r_by_surface(
    field_of: Any,
    table_of: Any,
    save_table: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Coastal stations are wrong by 20 here, inland ones by 5: the rows by surface say so."""
    field = field_of("2019-01-01", 25, of=lambda t, y, x: 30 + t + 0 * y + 0 * x)
    field.to_dataset(name="pm2p5").to_netcdf(tmp_path / "field.nc")
    places = {1: (52.41, 16.93), 2: (51.0, 20.0), 3: (54.38, 18.62)}
    stations = save_table(
        table_of(places, value=lambda k, h: 30 + h - 0.5 + (20 if k == 3 else 5))
    )
    about = tmp_path / "locations.json"
    about.write_text(
        json.dumps(
            [{"id": 1, "elevation": 85.5}, {"id": 2, "elevation": "x"}, {"id": 3}]
        )
    )
    arguments = [
        "validate",
        str(tmp_path / "field.nc"),
        "--stations",
        str(stations),
        "--metadata",
        str(about),
    ]
    assert (
        main(
            [
                *arguments,
                "--by",
                "surface",
                "--by",
                "station",
                "-o",
                str(tmp_path / "out"),
            ]
        )
        == 0
    )
    told = " ".join(capsys.readouterr().out.split())
    assert "3 stations: 2 inland, 1 coast, 0 sea" in told
    assert "altitude known of 1" in told
    document = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert document["about"]["surroundings"] == {
        "stations": 3,
        "inland": 2,
        "coast": 1,
        "sea": 0,
        "altitude_known": 1,
    }
    rows = [row for row in document["rows"] if row["view"] == "pooled"]
    bias = {row["group"]: row["bias"] for row in rows if row["by"] == "surface"}
    assert bias == {
        "coast": pytest.approx(-20, abs=1e-6),
        "inland": pytest.approx(-5, abs=1e-6),
    }
    mine = {row["group"]: row for row in rows if row["by"] == "station"}
    assert (mine["1"]["altitude"], mine["2"]["altitude"], mine["3"]["surface"]) == (
        85.5,
        None,
        "coast",
    )
    assert (mine["3"]["latitude"], mine["3"]["longitude"]) == (54.38, 18.62)
    table = pd.read_csv(tmp_path / "out" / "stations.csv").set_index("id")
    assert table.surface.to_dict() == {1: "inland", 2: "inland", 3: "coast"}
    assert table.altitude[1] == 85.5
    assert 0.05 < table.land[3] < 0.95


@pytest.mark.parametrize(
    ("head", "rows", "expected"),
    [
        (
            "id,type,area",
            ["1,Traffic,urban", "2,background,Rural-regional", "3,other,", "4,,"],
            {"urban traffic": 48, "rural background": 48, "unknown": 96},
        ),
        (
            "id,AirQualityStationType",
            [
                "1,http://dd.eionet.europa.eu/vocabulary/aq/stationclassification/industrial",
                "2,",
                "3,",
                "4,x",
            ],
            {"industrial": 48, "unknown": 144},
        ),
        ("id,elevation", ["1,30", "2,", "3,", "4,"], {"unknown": 192}),
    ],
)
def test_rows_by_kind_of_station(
    field_of: Any,
    table_of: Any,
    save_table: Any,
    tmp_path: Path,
    head: str,
    rows: list[str],
    expected: dict[str, int],
) -> None:
    places = {k: (50.0, 15.0 + 8 * k) for k in range(1, 5)}
    path = tmp_path / "locations.csv"
    path.write_text("\n".join([head, *rows]) + "\n")
    archive = open_openaq(save_table(table_of(places, hours=48)), metadata=path)
    found = validate(archive, field_of("2019-01-01", 49))
    table = station_tables.rows(found, ("kind",), 0)
    assert {
        row["group"]: row["n"]
        for row in table
        if row["by"] == "kind" and row["view"] == "pooled"
    } == expected
    assert not any(row["by"] == "kind" and row["view"] == "cells" for row in table)
