"""The simulated world's stations: planted dirt is found and counted, and the truth is told from what is not it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deepcams.core.field import as_field
from deepcams.core.grid import Grid
from deepcams.simulation.world import SimulatedWorld
from deepcams.simulation.write_world import simulate
from deepcams.stations.archive.openaq import open_openaq
from deepcams.stations.archive.quality import Control, Quality
from deepcams.stations.archive.quality_steps import runs
from deepcams.stations.archive.sorted_copy import Rows, StationArchive
from deepcams.stations.tables import station_tables as tables
from deepcams.stations.validation import Options, validate

BOX = (60.0, 5.0, 140.0, 45.0)


@pytest.fixture(scope="module")
def dirty(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    folder = tmp_path_factory.mktemp("openaq")
    made = simulate(folder, "openaq", "2019-01-01", bbox=BOX, stations=90, dirt=True)
    assert made.planted is not None
    return folder / "records", made.planted


@pytest.fixture
def archive(dirty) -> StationArchive:
    return open_openaq(dirty[0])


def _keys(
    archive: StationArchive, station: np.ndarray, end: np.ndarray
) -> set[tuple[str, int]]:
    return set(
        zip(
            archive.stations["id"].to_numpy()[station].tolist(),
            end.tolist(),
            strict=True,
        )
    )


def _planted(planted: pd.DataFrame, kind: str) -> set[tuple[str, int]]:
    rows = planted[planted["kind"] == kind]
    ends = [int(pd.Timestamp(text).timestamp()) for text in rows["datetime"]]
    return set(zip(rows["location_id"].astype(str).tolist(), ends, strict=True))


def test_every_kind_of_planted_dirt_is_found_and_counted_exactly(
    archive, dirty
) -> None:
    planted = dirty[1]
    number = planted["kind"].value_counts()
    assert set(number.index) == {
        "sentinel",
        "duplicate",
        "negative",
        "constant",
        "units",
        "twin",
    }
    left, report = Control(
        archive.stations, archive.units, Quality.without(["outliers", "completeness"])
    ).check(archive.read())
    counts = report.counts
    assert counts["units"].dropped == number["units"]
    assert counts["sentinels"].dropped == number["sentinel"]
    assert counts["negatives"].dropped == number["negative"]
    assert counts["duplicates"].dropped == number["duplicate"]
    twins = planted[planted["kind"] == "twin"]
    pairs = {
        frozenset((str(row.location_id), row.detail.split()[-1]))
        for row in twins.itertuples()
    }
    assert {frozenset(pair) for pair in report.twins} == pairs
    # A station whose second listing is kept has lost its own rows, constant ones among them.
    gone = {dropped for dropped, _ in report.twins}
    expected = {key for key in _planted(planted, "constant") if key[0] not in gone}
    before, _ = Control(
        archive.stations,
        archive.units,
        Quality.without(["outliers", "completeness", "constant"]),
    ).check(archive.read())
    found = _keys(archive, before.station, before.end) - _keys(
        archive, left.station, left.end
    )
    assert expected <= found
    # What else is constant stays so by itself: the same rule on the rows without the planted ones finds it.
    natural = counts["constant"].dropped - len(expected)
    assert natural == len(found - expected)
    values = dict(zip(_pairs(archive, before), before.value, strict=True))
    steady = {(key[0], values[key]) for key in expected}
    assert all(
        (key[0], values[key]) in steady for key in found - expected
    )  # a run's value measured once more


def _pairs(archive: StationArchive, observations) -> list[tuple[str, int]]:
    ids = archive.stations["id"].to_numpy()[observations.station]
    return list(zip(ids.tolist(), observations.end.tolist(), strict=True))


def test_the_truth_is_close_to_its_stations_and_closer_than_a_blurred_one(
    archive,
) -> None:
    times = np.datetime64("2018-12-31T20", "ns") + np.arange(16) * np.timedelta64(
        1, "h"
    )
    grid = Grid.globe(0.25).select(BOX)[0]
    truth = SimulatedWorld(0).field(grid, times).compute()
    coarse = (
        SimulatedWorld(0).field(Grid.globe(1.25).select(BOX)[0], times[::3]).compute()
    )
    found = validate(
        archive, truth, as_field(coarse), Options(quality=Quality.without(["outliers"]))
    )
    rows = {
        (r["product"], r["pairs"], r["view"]): r
        for r in tables.rows(found, (), draws=100)
    }
    ours = rows["field", "own", "pooled"]
    assert ours["n"] > 600
    # Instruments differ by a factor of exp(N(0, 0.15)), and cities by what a cell of 25 km does not show.
    assert ours["R"] > 0.8
    assert ours["R_low"] < ours["R"] < ours["R_high"]
    assert (
        rows["field", "same", "pooled"]["RMSE"]
        < rows["original", "same", "pooled"]["RMSE"]
    )


def test_runs_are_told_from_sorted_rows_alone(archive) -> None:
    left, _ = Control(
        archive.stations, archive.units, Quality.without(["constant", "outliers"])
    ).check(archive.read())
    rows = Rows(left.station, left.end, left.value, np.zeros(len(left), np.int16))
    marked = runs(rows, 6)
    same = np.r_[
        False,
        (left.station[1:] == left.station[:-1]) & (left.value[1:] == left.value[:-1]),
    ]
    assert marked.sum() >= 6
    assert (same | np.r_[same[1:], False])[marked].all()
