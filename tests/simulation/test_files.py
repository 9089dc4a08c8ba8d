import hashlib
import json
from collections.abc import Iterator
from datetime import date
from functools import lru_cache, partial
from pathlib import Path

import netCDF4
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from deepcams.core.errors import InputError, OutputError
from deepcams.core.field import grid_of
from deepcams.core.grid import Grid
from deepcams.core.period import Period
from deepcams.core.times import HOUR
from deepcams.methods.spatial.coarsen import coarsen
from deepcams.readers.cams import open_cams
from deepcams.readers.geos_cf import open_geos_cf
from deepcams.simulation import write_openaq
from deepcams.simulation.meteorology import meteorology
from deepcams.simulation.station_network import (
    TWIN_ID,
    Station,
    measure,
    place_stations,
)
from deepcams.simulation.winds import EARTH, Paths, Winds
from deepcams.simulation.world import Moment, SimulatedWorld
from deepcams.simulation.write_cams import CamsLayout, write_cams
from deepcams.simulation.write_geos_cf import geos_cf_name, write_geos_cf
from deepcams.simulation.write_openaq import COLUMNS, Dirt, openaq_path
from deepcams.simulation.write_world import Simulation, simulate

DAY = Period.parse("2019-12-01")
THREE_HOURS = np.arange(DAY.start, DAY.end, np.timedelta64(3, "h"))
ASIA = (75.0, 20.0, 90.0, 30.0)
FIJI = (170.0, -25.0, -170.0, -10.0)


@lru_cache
def _cams_field(
    box: tuple[float, float, float, float] | None, hours: int
) -> xr.DataArray:
    coarse = Grid.globe(0.75) if box is None else Grid.globe(0.75).select(box)[0]
    return coarsen(SimulatedWorld(0).field(coarse.refine(), THREE_HOURS[:hours])).load()


def cams_field(
    box: tuple[float, float, float, float] | None, hours: int = 2
) -> xr.DataArray:
    return _cams_field(box, hours).copy()


@pytest.fixture(autouse=True, scope="module")
def moments() -> Iterator[None]:
    """Archives of the same day share the world's moments."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write_openaq, "Moment", lru_cache(maxsize=None)(Moment))
        yield


def bytes_of(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


@pytest.mark.parametrize("layout", ["new", "old", "zip"])
@pytest.mark.parametrize(
    "box",
    [None, ASIA, FIJI, (-10, 40, 20, 50)],
    ids=["globe", "asia", "dateline", "greenwich"],
)
def test_cams_layouts_open_as_what_was_written(
    tmp_path: Path,
    layout: str,
    box: tuple[float, float, float, float] | None,
) -> None:
    field = cams_field(box) if box else cams_field(None, 1).isel(time=[0])
    path = tmp_path / "file"
    assert write_cams(field, path, layout)  # type: ignore[arg-type]
    opened = open_cams(path)
    xr.testing.assert_equal(opened.latitude, field.latitude)
    np.testing.assert_array_equal(opened.longitude, field.longitude)
    np.testing.assert_array_equal(opened.time, field.time)
    packing = float(np.ptp(field.values)) / 65532 if layout == "old" else 0
    np.testing.assert_allclose(
        opened.values, field.values, rtol=1e-6, atol=0.51 * packing
    )
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_cams_layouts_are_those_of_the_real_files(
    tmp_path: Path, cams_dir: Path
) -> None:
    field = cams_field(None, 1)
    for layout in ("new", "old"):
        write_cams(field, tmp_path / layout, layout)  # type: ignore[arg-type]
        with (
            netCDF4.Dataset(next(cams_dir.glob(f"*_{layout}_layout.nc"))) as real,
            netCDF4.Dataset(tmp_path / layout) as ours,
        ):
            assert ours.data_model == real.data_model
            assert set(ours.variables) == set(real.variables)
            for name, variable in real.variables.items():
                assert ours[name].dtype == variable.dtype, name
                assert ours[name].dimensions == variable.dimensions
                for attribute in ("units", "standard_name", "calendar", "coordinates"):
                    if attribute in variable.ncattrs():
                        assert str(ours[name].getncattr(attribute)).startswith(
                            str(variable.getncattr(attribute))
                        )
                if name in ("latitude", "longitude"):
                    np.testing.assert_array_equal(ours[name][:], variable[:])


@pytest.mark.parametrize("layout", ["new", "old", "zip"])
def test_winds_and_temperature_come_in_the_same_cams_file(
    tmp_path: Path, layout: CamsLayout
) -> None:
    field = cams_field(FIJI)
    path, others = tmp_path / "file", partial(meteorology, 0)
    write_cams(field, path, layout, others=others)
    packing = float(np.ptp(field.values)) / 65532 if layout == "old" else 0
    for opened in (open_cams(path), open_cams(path, variable="pm2p5")):
        np.testing.assert_allclose(
            opened.values, field.values, rtol=1e-6, atol=0.51 * packing
        )
    if layout != "zip":
        grid = grid_of(field)
        with xr.open_dataset(path) as file:
            for name, values in meteorology(0, grid, field.time.values).items():
                np.testing.assert_allclose(file[name].values, values, atol=2e-3)


def test_winds_and_temperature_look_as_the_store_writes_them(
    tmp_path: Path, cams_dir: Path
) -> None:
    write_cams(cams_field(FIJI), tmp_path / "file", others=partial(meteorology, 0))
    with (
        netCDF4.Dataset(next(cams_dir.glob("*_hawaii_sfc.nc"))) as real,
        netCDF4.Dataset(tmp_path / "file") as ours,
    ):
        for name in ("u10", "v10", "t2m"):
            assert ours[name].dtype == real[name].dtype
            assert ours[name].dimensions == real[name].dimensions
            for attribute in ("units", "long_name", "standard_name"):
                assert ours[name].getncattr(attribute) == real[name].getncattr(
                    attribute
                )


def test_the_wind_of_the_file_is_the_one_that_carries_the_air() -> None:
    grid = Grid.globe(0.75).select((10, 38, 16, 44))[0]
    found = meteorology(3, grid, THREE_HOURS[:1])
    hours = float((THREE_HOURS[0] - np.datetime64("2000-01-01", "ns")) / HOUR)
    paths = Paths(Winds(3), (0.0, 0.25))
    # where the air that arrives at one place of the lattice (40 N, 12.5 E) was a quarter of an hour before
    x, y, z = paths.at(hours)[0][1, :, 20, 5]
    moved_east = (12.5 - np.rad2deg(np.arctan2(y, x))) * np.cos(np.deg2rad(40))
    moved_north = 40 - np.rad2deg(np.arcsin(z))
    row = np.abs(grid.latitudes - 40).argmin()
    column = np.abs(grid.longitudes - 12.5).argmin()
    per_degree = EARTH * np.pi / 180 / 0.25 / 3.6  # m s-1
    wind = found["u10"][0, row, column], found["v10"][0, row, column]
    np.testing.assert_allclose(
        wind, np.array([moved_east, moved_north]) * per_degree, atol=0.6
    )


def test_it_is_warm_by_day_in_summer_and_in_the_south_of_the_north() -> None:
    sahara, steppe = (
        Grid.globe(0.75).select(box)[0] for box in ((0, 20, 3, 24), (60, 50, 66, 52))
    )
    hours = np.array(["2019-07-01T03", "2019-07-01T15"], "datetime64[ns]")
    night, day = meteorology(0, sahara, hours)["t2m"].mean(axis=(1, 2))
    assert 285 < night < day - 8 < 315
    months = np.array(["2019-01-20T12", "2019-07-20T12"], "datetime64[ns]")
    winter, summer = meteorology(0, steppe, months)["t2m"].mean(axis=(1, 2))
    assert 235 < winter < summer - 20 < 290


def test_missing_values_survive_every_cams_layout(tmp_path: Path) -> None:
    field = cams_field(ASIA)
    field[0, 3, 4] = np.nan
    for layout in ("new", "old"):
        write_cams(field, tmp_path / layout, layout)  # type: ignore[arg-type]
        np.testing.assert_array_equal(
            np.isnan(open_cams(tmp_path / layout).values), np.isnan(field.values)
        )


@pytest.mark.parametrize(
    "box", [ASIA, FIJI, (-10, 40, 20, 50)], ids=["asia", "dateline", "greenwich"]
)
def test_geos_cf_files_open_as_what_was_written(
    tmp_path: Path, box: tuple[float, float, float, float]
) -> None:
    times = np.datetime64("2019-12-01T22:30", "ns") + np.arange(3) * np.timedelta64(
        1, "h"
    )
    field = SimulatedWorld(0).field(Grid.globe(0.25).select(box)[0], times, mean=True)
    written = write_geos_cf(field, tmp_path)
    assert (written.files, written.kept) == (3, 0)
    assert [path.name for path in written.paths][-1] == (
        "GEOS-CF.v01.rpl.aqc_tavg_1hr_g1440x721_v1.20191202_0030z.nc4"
    )
    opened = open_geos_cf(tmp_path)
    np.testing.assert_array_equal(opened.values, field.values)
    np.testing.assert_array_equal(opened.longitude, field.longitude)
    np.testing.assert_array_equal(opened.time, times)
    assert opened.attrs["cell_methods"] == "time: mean"
    assert (
        opened.attrs["source"] == field.attrs["source"]
    )  # simulated: never attributed to NASA
    with netCDF4.Dataset(tmp_path / geos_cf_name(times[0])) as file:
        assert file["PM25_RH35_GCC"].dimensions == ("time", "lev", "lat", "lon")
        assert file["PM25_RH35_GCC"].shape[:2] == (1, 1)
        assert np.all(np.diff(file["lat"][:]) > 0)
        assert -180 <= file["lon"][0] < 180


def test_a_global_geos_cf_file_begins_at_180_west(tmp_path: Path) -> None:
    field = SimulatedWorld(0).field(
        Grid.globe(0.75), np.array(["2019-12-01T00:30"], "datetime64[ns]"), mean=True
    )
    write_geos_cf(field, tmp_path)
    with netCDF4.Dataset(next(tmp_path.iterdir())) as file:
        assert (file["lat"][0], file["lon"][0], file["lon"][-1]) == (-90, -180, 179.25)
    np.testing.assert_array_equal(open_geos_cf(tmp_path).values, field.values)


def test_geos_cf_refuses_instants(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="HH:30"):
        write_geos_cf(cams_field(ASIA), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_rerun_keeps_what_is_complete_and_makes_the_same_bytes(
    tmp_path: Path,
) -> None:
    def run(folder: Path, period: str, **options: object) -> Simulation:
        return simulate(folder, "geos-cf", period, bbox=ASIA, **options)  # type: ignore[arg-type]

    first = run(tmp_path / "a", "2019-12-01T00..2019-12-01T01")
    assert (first.written.files, first.written.kept) == (2, 0)
    stamps = {path: path.stat().st_mtime_ns for path in first.written.paths}
    second = run(tmp_path / "a", "2019-12-01T00..2019-12-01T03")
    assert (second.written.files, second.written.kept) == (2, 2)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    run(tmp_path / "b", "2019-12-01T00..2019-12-01T03")
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b")
    third = run(tmp_path / "a", "2019-12-01T00", overwrite=True)
    assert (third.written.files, third.written.kept) == (1, 0)
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b")


def test_worlds_are_not_mixed_in_a_folder(tmp_path: Path) -> None:
    simulate(tmp_path, "cams", "2019-12-01T00", bbox=ASIA)
    before = bytes_of(tmp_path)
    with pytest.raises(OutputError, match="seed was 0, now 1"):
        simulate(tmp_path, "cams", "2019-12-01T03", bbox=ASIA, seed=1)
    with pytest.raises(OutputError, match="bbox"):
        simulate(tmp_path, "cams", "2019-12-01T03", bbox=FIJI)
    assert bytes_of(tmp_path) == before
    simulate(tmp_path, "cams", "2019-12-01T00", bbox=FIJI, overwrite=True)
    assert bytes_of(tmp_path) != before
    with pytest.raises(OutputError, match="bbox"):
        simulate(tmp_path, "cams", "2019-12-01T03", bbox=ASIA)


def test_an_interrupted_file_never_appears(tmp_path: Path) -> None:
    field = cams_field(ASIA)

    def stop(stage: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    for layout in ("new", "old", "zip"):
        with pytest.raises(KeyboardInterrupt):
            write_cams(field, tmp_path / "file.nc", layout, progress=stop)  # type: ignore[arg-type]
        assert not list(tmp_path.iterdir())


def test_cams_months_are_files_of_their_own(tmp_path: Path) -> None:
    result = simulate(tmp_path, "cams", "2019-11-30T18..2019-12-01T05", bbox=ASIA)
    assert [path.name for path in result.written.paths] == [
        "cams_eac4_20191130T18-20191130T21.nc",
        "cams_eac4_20191201T00-20191201T03.nc",
    ]
    opened = open_cams(tmp_path)
    assert opened.sizes["time"] == 4
    np.testing.assert_allclose(opened.values[2:], cams_field(ASIA).values, rtol=1e-6)


def test_the_field_layout_is_the_truth_itself(tmp_path: Path) -> None:
    result = simulate(tmp_path, "field", "2019-12-01T22..2019-12-02T01", bbox=ASIA)
    assert [path.name for path in result.written.paths] == [
        "simulated_20191201T22-23.nc",
        "simulated_20191202T00-01.nc",
    ]
    opened = open_cams(tmp_path)
    grid = Grid.globe(0.25).select(ASIA)[0]
    np.testing.assert_array_equal(
        opened.values[3], SimulatedWorld(0).values(grid, opened.time.values[3])
    )


Archive = tuple[Path, Simulation, pd.DataFrame]


def simulated_archive(folder: Path, dirt: bool) -> Archive:
    """Write a day of 40 stations, and read all rows as text."""
    result = simulate(folder, "openaq", "2019-12-01", stations=40, dirt=dirt)
    tables = [pd.read_csv(path, dtype=str) for path in result.written.paths]
    return folder, result, pd.concat(tables, ignore_index=True)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return simulated_archive(tmp_path_factory.mktemp("archive"), dirt=True)


@pytest.fixture(scope="module")
def clean_archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return simulated_archive(tmp_path_factory.mktemp("clean"), dirt=False)


def test_openaq_files_are_laid_out_as_the_archive(
    archive: Archive,
) -> None:
    folder, result, rows = archive
    assert tuple(rows.columns) == COLUMNS
    path = result.written.paths[0].relative_to(folder)
    number = path.parts[2].removeprefix("locationid=")
    assert path.parts[:2] == ("records", "csv.gz")
    assert path.parts[3:] == (
        "year=2019",
        "month=12",
        f"location-{number}-20191201.csv.gz",
    )
    assert set(rows.parameter) == {"pm25", "pm10"}
    first = pd.read_csv(result.written.paths[0], dtype=str)
    assert set(first.location_id) == {number}
    local = first.datetime.str[:13].unique()
    assert local[0] >= "2019-12-01T00"
    assert local[-1] <= "2019-12-02T00"


def test_stations_measure_the_hour_that_ends_at_their_stamp(
    clean_archive: Archive,
) -> None:
    _, result, rows = clean_archive
    assert result.planted is None
    rows = rows[rows.parameter == "pm25"].assign(
        end=lambda table: pd.to_datetime(table.datetime, utc=True),
        value=lambda table: table.value.astype(float),
        location_id=lambda table: table.location_id.astype(int),
    )
    assert 0.95 < len(rows) / (40 * 24) <= 1
    hour = np.datetime64("2019-12-01T05", "h")
    shown = rows[rows.end == pd.Timestamp(hour + 1).tz_localize("UTC")].set_index(
        "location_id"
    )
    assert len(shown) > 10
    here = [one for one in place_stations(0, 40) if one.id in shown.index]
    since = (hour - np.datetime64("2000-01-01T00", "h")).astype(int)
    point = (
        np.array([one.latitude for one in here]),
        np.array([one.longitude for one in here]),
    )
    truth = np.mean(
        [Moment(0, since + f).points(*point) for f in (0.1, 0.3, 0.5, 0.7, 0.9)], axis=0
    )
    ratio = np.log((shown.value[[one.id for one in here]].to_numpy() + 2) / (truth + 2))
    assert np.abs(ratio).max() < 0.9
    assert ratio.std() < 0.35


def test_stamps_are_local_with_offset_and_files_hold_local_days(
    clean_archive: Archive,
) -> None:
    folder = clean_archive[0]
    offsets = set()
    for one in place_stations(0, 40):
        rows = pd.read_csv(openaq_path(folder, one.id, date(2019, 12, 1)))
        offset = (
            pd.Timestamp("2019-12-01T12").tz_localize(one.timezone).isoformat()[-6:]
        )
        offsets.add(offset)
        assert rows.datetime.str.endswith(offset).all()
        ends = pd.to_datetime(rows.datetime, utc=True)
        assert (ends.dt.minute == 0).all()  # whole hours of UTC
        begins = pd.to_datetime(rows.datetime.str[:19]) - pd.Timedelta(hours=1)
        assert (begins.dt.date == date(2019, 12, 1)).all()
    assert {"+05:30", "-03:00"} <= offsets


def test_the_planted_table_tells_exactly_what_is_in_the_files(
    archive: Archive,
) -> None:
    folder, result, rows = archive
    planted = result.planted
    assert planted is not None
    on_disk = pd.read_csv(folder / "planted.csv", keep_default_na=False)
    pd.testing.assert_frame_equal(on_disk, planted, check_dtype=False)
    original = rows[
        (rows.parameter == "pm25")
        & (rows.location_id.astype(int) < 5_000_000 + TWIN_ID)
    ]
    keys = original.location_id + " " + original.datetime

    def told(kind: str) -> set[str]:
        part = planted[planted.kind == kind]
        return set(part.location_id.astype(str) + " " + part.datetime)

    value = original.value.astype(float)
    assert set(keys[value == -999]) == told("sentinel")
    assert set(keys[(value < 0) & (value != -999)]) == told("negative")
    assert set(keys[original.units == "ppm"]) == told("units")
    assert set(keys[original.duplicated(keep=False)]) == told("duplicate")
    assert (
        not original.duplicated(["location_id", "datetime"])
        .to_numpy()[~keys.isin(told("duplicate"))]
        .any()
    )
    runs = original[keys.isin(told("constant"))].groupby("location_id")
    assert len(runs) > 0
    for _, run in runs:
        assert len(run) >= 6  # some hours of a run may not be reported
        assert run.value.nunique() <= run.datetime.str[:10].nunique()
    for kind in ("sentinel", "negative", "duplicate", "units", "twin"):
        assert (planted.kind == kind).any(), kind


def test_twins_report_the_same_within_100_m(archive: Archive) -> None:
    _, result, rows = archive
    assert result.planted is not None
    twins = result.planted[result.planted.kind == "twin"]
    clean = set(result.planted[result.planted.kind != "twin"].location_id)
    compared = 0
    for twin, detail in zip(twins.location_id, twins.detail, strict=True):
        number = int(detail.removeprefix("of "))
        pair = [
            rows[(rows.location_id == str(one)) & (rows.parameter == "pm25")]
            for one in (twin, number)
        ]
        metres = 111_000 * abs(float(pair[0].lat.iloc[0]) - float(pair[1].lat.iloc[0]))
        assert 10 < metres < 100
        assert pair[0].lon.iloc[0] == pair[1].lon.iloc[0]
        if number not in clean:
            np.testing.assert_allclose(
                pair[0].value.astype(float),
                pair[1].value.astype(float),
                rtol=0.05,
                atol=0.2,
            )
            compared += 1
    assert compared


def test_dirt_leaves_the_clean_rows_as_they_were(
    clean_archive: Archive, archive: Archive
) -> None:
    _, result, dirty = archive
    assert result.planted is not None
    rows = clean_archive[2]
    touched = set(
        result.planted.location_id.astype(str) + " " + result.planted.datetime
    )
    rows = rows[~(rows.location_id + " " + rows.datetime).isin(touched)]
    merged = rows.merge(dirty, how="left", indicator=True)
    assert len(rows) > 500
    assert (merged._merge == "both").all()


def test_openaq_reruns_keep_and_repeat(tmp_path: Path) -> None:
    options = {"stations": 6, "dirt": True, "bbox": (60.0, 5.0, 100.0, 35.0)}
    first = simulate(tmp_path, "openaq", "2019-12-01", **options)  # type: ignore[arg-type]
    before = bytes_of(tmp_path)
    first.written.paths[2].unlink()
    again = simulate(tmp_path, "openaq", "2019-12-01", **options)  # type: ignore[arg-type]
    assert again.written.files == 1
    assert bytes_of(tmp_path) == before


def test_more_stations_are_the_same_stations_and_more() -> None:
    few, many = ({one.id: one for one in place_stations(0, n)} for n in (20, 60))
    assert few.items() <= many.items()
    inside = place_stations(0, 10, FIJI)
    assert all(
        -25 <= one.latitude <= -10 and (one.longitude >= 170 or one.longitude <= -170)
        for one in inside
    )
    with pytest.raises(InputError, match="cities"):
        place_stations(0, 10, (-140, -60, -120, -50))


def test_a_measurement_does_not_depend_on_its_company() -> None:
    one = Station(5_000_001, "x", 10.0, 20.0, "UTC")
    hours, truth = np.arange(100, 148), np.full(48, 20.0)
    all_hours = measure(0, one, truth, hours)
    np.testing.assert_array_equal(
        all_hours[10:20], measure(0, one, truth[10:20], hours[10:20])
    )
    assert not np.array_equal(all_hours, measure(1, one, truth, hours), equal_nan=True)
    assert np.nanmin(measure(0, one, np.zeros(48), hours)) == 0


def test_no_dirt_where_no_shares() -> None:
    none = Dirt(0, 0, 0, 0, 0, 0)
    assert all(one.twin_of is None for one in place_stations(0, 50, twins=none.twins))


def test_the_record_says_what_the_folder_holds(tmp_path: Path) -> None:
    simulate(tmp_path, "cams", "2019-12-01T00", bbox=ASIA)
    record = tmp_path / ".deepcams-simulation" / "cams" / "identity.json"
    assert json.loads(record.read_text())["bbox"] == list(ASIA)
    record.write_text("{")
    with pytest.raises(OutputError, match="unreadable"):
        simulate(tmp_path, "cams", "2019-12-01T00", bbox=ASIA)
