"""Fields against stations of known error: R, bias and counts come out as constructed."""

from __future__ import annotations

import numpy as np
import pytest

from deepcams.core.errors import InputError
from deepcams.evaluation.scores import SCORES, Score, bootstrap, figures
from deepcams.evaluation.sums import COLUMNS, Pairs, pairs_of, sum_pairs
from deepcams.stations.archive.openaq import open_openaq
from deepcams.stations.archive.quality import STEPS, Quality
from deepcams.stations.tables import station_tables as tables
from deepcams.stations.validation import Options, validate

PLACES = {
    1: (52.5, 15.0),
    2: (-30.0, 179.0),
    3: (0.0, -0.1),
    4: (89.0, 100.0),
    5: (45.2, 15.1),
}
CLEAN = Options(quality=Quality(skip=frozenset(STEPS) - {"missing", "hourly"}))


def _truth(t, y, x):
    return (
        30
        + 0.25 * t
        + 0.1 * y
        + 10 * np.cos(np.deg2rad(x))
        + 3 * np.sin(t / 5 + np.deg2rad(x))
    )


def _node(latitude: float, longitude: float) -> tuple[float, float]:
    return round(latitude / 7.5) * 7.5, round(longitude / 7.5) * 7.5


def _at_ends(key, hour):
    y, x = _node(*PLACES[key])
    ends = [np.float32(_truth(h, y, x % 360)) for h in (hour - 1, hour)]
    return (ends[0] + ends[1]) / 2


def _row(found, product, pairs, view="pooled"):
    chosen = [
        r
        for r in tables.rows(found, (), draws=0)
        if (r["product"], r["pairs"], r["view"]) == (product, pairs, view)
    ]
    assert len(chosen) == 1
    return chosen[0]


def test_a_constant_error_is_the_bias_the_rmse_and_the_mae_and_r_is_one(
    field_of, table_of, save_table
) -> None:
    field = field_of("2019-01-01", 49, of=_truth)
    path = save_table(table_of(PLACES, hours=48, value=lambda k, h: _at_ends(k, h) - 5))
    row = _row(validate(open_openaq(path), field, options=CLEAN), "field", "own")
    assert (row["n"], row["stations"]) == (240, 5)
    for name, expected in (
        ("R", 1),
        ("bias", 5),
        ("RMSE", 5),
        ("MAE", 5),
        ("slope", 1),
        ("intercept", 5),
    ):
        assert row[name] == pytest.approx(expected, abs=1e-6)


def test_r_of_constructed_noise_is_that_of_numpy(
    field_of, table_of, save_table
) -> None:
    random = np.random.default_rng(3)
    made: dict[tuple[int, float], float] = {}

    def noisy(key, hour):
        made[key, hour] = float(f"{_at_ends(key, hour) * random.lognormal(0, 0.5):.9g}")
        return made[key, hour]

    field = field_of("2019-01-01", 49, of=_truth)
    found = validate(
        open_openaq(save_table(table_of(PLACES, hours=48, value=noisy))),
        field,
        options=CLEAN,
    )
    row = _row(found, "field", "own")
    observed, model = (
        np.array(list(made.values())),
        np.array([_at_ends(*key) for key in made], float),
    )
    assert row["R"] == pytest.approx(np.corrcoef(observed, model)[0, 1], abs=1e-6)
    assert row["RMSE"] == pytest.approx(
        np.sqrt(((model - observed) ** 2).mean()), abs=1e-5
    )
    assert row["FAC2"] == pytest.approx(
        ((model >= observed / 2) & (model <= 2 * observed)).mean()
    )
    each = _row(found, "field", "own", "stations")
    own = [
        np.corrcoef(
            [v for (k, _), v in made.items() if k == key],
            [_at_ends(*p) for p in made if p[0] == key],
        )[0, 1]
        for key in PLACES
    ]
    assert each["R"] == pytest.approx(np.mean(own), abs=1e-6)


def test_the_split_into_batches_changes_nothing(field_of, table_of, save_table) -> None:
    field, original = (
        field_of("2019-01-01", 49, of=_truth),
        field_of("2019-01-01", 17, hours=3, of=_truth),
    )
    archive = open_openaq(save_table(table_of(PLACES, hours=48)))
    whole, parts = (
        validate(
            archive, field, original, Options(quality=CLEAN.quality, batch_rows=rows)
        )
        for rows in (10**9, 1)
    )
    assert (whole.batches, parts.batches) == (1, 5)
    for a, b in zip(whole.scored, parts.scored, strict=True):
        np.testing.assert_allclose(a.stations.month, b.stations.month, rtol=1e-12)
        np.testing.assert_allclose(a.cells.hour, b.cells.hour, rtol=1e-12)
        assert all(
            np.array_equal(a.density[year], b.density[year]) for year in a.density
        )
    assert whole.quality.counts == parts.quality.counts


def test_the_original_stands_beside_the_field_on_its_own_the_same_and_the_hourly_pairs(
    field_of, table_of, save_table
) -> None:
    field = field_of("2019-01-01", 25, of=_truth)
    original = field_of("2019-01-01", 9, hours=3, of=_truth)
    archive = open_openaq(save_table(table_of(PLACES, hours=24, value=_at_ends)))
    found = validate(archive, field, original, CLEAN)
    assert {
        (s.product, s.pairs): int(s.stations.month[..., 0].sum()) for s in found.scored
    } == {
        ("field", "own"): 120,
        ("original", "own"): 80,
        ("field", "same"): 80,
        ("original", "same"): 80,
        ("field", "hourly"): 120,
        ("original, linear in time", "hourly"): 120,
    }
    assert _row(found, "field", "same")["RMSE"] == pytest.approx(0, abs=1e-6)
    assert _row(found, "original", "same")["RMSE"] > 0.1


def test_two_stations_of_one_cell_count_once_in_the_view_of_cells(
    field_of, table_of, save_table
) -> None:
    places = {1: (52.5, 15.0), 2: (53.0, 16.0), 3: (0.0, 75.0)}
    field = field_of("2019-01-01", 25, of=lambda t, y, x: 20.0 + t + 0 * y + 0 * x)
    offset = {1: 4.0, 2: -4.0, 3: 0.0}
    path = save_table(table_of(places, value=lambda k, h: 20 + h - 0.5 + offset[k]))
    found = validate(open_openaq(path), field, options=CLEAN)
    pooled, cells = _row(found, "field", "own"), _row(found, "field", "own", "cells")
    assert (pooled["n"], cells["n"], pooled["stations"], cells["stations"]) == (
        72,
        48,
        3,
        2,
    )
    assert pooled["MAE"] == pytest.approx(8 / 3, abs=1e-6)
    assert cells["MAE"] == pytest.approx(0, abs=1e-6)


def test_hourly_means_and_start_stamps(field_of, table_of, save_table) -> None:
    field = field_of(
        "2019-01-01T00:30", 24, of=lambda t, y, x: 20 + t + 0 * y + 0 * x, mean=True
    )
    places = {1: (52.5, 15.0)}
    ends = open_openaq(
        save_table(table_of(places, value=lambda k, h: 20 + h - 0.5), "ends.csv")
    )
    starts = table_of(places, "2019-01-01T00:00", value=lambda k, h: 20 + h + 0.5)
    for archive, start in (
        (ends, False),
        (open_openaq(save_table(starts, "starts.csv")), True),
    ):
        found = validate(
            archive, field, options=Options(quality=CLEAN.quality, starts=start)
        )
        row = _row(found, "field", "own")
        assert row["n"] == 24
        assert row["MAE"] == pytest.approx(0, abs=1e-6)


def test_bilinear_meets_a_field_that_is_linear_in_space(
    field_of, table_of, save_table
) -> None:
    places = {1: (51.3, 12.2), 2: (-31.0, 178.0), 3: (10.0, -177.0)}
    field = field_of("2019-01-01", 25, of=lambda t, y, x: 50 + 0.3 * y + 0 * x + 0 * t)
    archive = open_openaq(
        save_table(table_of(places, value=lambda k, h: 50 + 0.3 * places[k][0]))
    )
    near, between = (
        validate(archive, field, options=Options(s, CLEAN.quality))
        for s in ("cell", "bilinear")
    )
    assert _row(between, "field", "own")["MAE"] == pytest.approx(0, abs=1e-5)
    assert _row(near, "field", "own")["MAE"] > 0.3


def test_missing_and_negative_values_of_the_field(
    field_of, table_of, save_table
) -> None:
    field = field_of(
        "2019-01-01", 25, of=lambda t, y, x: 20 + 0 * t + 0 * y + 0 * x
    ).load()
    field = field.copy(data=field.values.copy())
    field.data[5] = np.nan  # hours ending 5 and 6
    field.data[10:12] = -0.5  # noise: counts as 0
    field.data[20] = -50  # implausible: missing
    found = validate(
        open_openaq(save_table(table_of({1: (0, 75)}, value=lambda k, h: 20.0))),
        field,
        options=CLEAN,
    )
    assert found.quality.counts["missing in the field"].dropped == 4
    row = _row(found, "field", "own")
    assert row["n"] == 20
    assert row["bias"] == pytest.approx(-(10 + 20 + 10) / 20, abs=1e-6)


def test_only_the_tiles_that_hold_stations_are_read(
    field_of, table_of, save_table
) -> None:
    import dask.array as da

    seen: list[tuple[slice, ...]] = []

    class Counted:
        shape, dtype, ndim = (49, 25, 48), np.dtype("f4"), 3

        def __dask_tokenize__(self):
            return "counted"

        def __getitem__(self, key):
            seen.append(key)
            return np.full(
                [len(range(n)[k]) for n, k in zip(self.shape, key, strict=True)],
                20,
                "f4",
            )

    field = field_of("2019-01-01", 49)
    field = field.copy(
        data=da.from_array(
            Counted(), chunks=(6, 25, 48), meta=np.empty((0, 0, 0), "f4")
        )
    )
    field.encoding["tile"] = (5, 6)
    found = validate(
        open_openaq(save_table(table_of({1: (52.5, 15.0)}, hours=10))),
        field,
        options=CLEAN,
    )
    assert found.nodes_read["field"] == 11 * 5 * 6  # the hours 0 to 10 of one tile
    assert seen
    assert all((k[1], k[2]) == (slice(5, 10, None), slice(0, 6, None)) for k in seen)


@pytest.mark.parametrize("count", [1, 7])
def test_sums_by_group_are_those_of_the_record_of_pairs(count: int) -> None:
    random = np.random.default_rng(count)
    observed, model = random.lognormal(3, 1, 500), random.lognormal(3, 1, 500)
    group = random.integers(0, count, 500)
    sums = sum_pairs(group, observed, model, count)
    for k in range(count):
        expected, found = (
            Pairs.of(observed[group == k], model[group == k]),
            pairs_of(sums[k]),
        )
        for name in ("count", "truth_mean", "truth_moment", "joint_moment"):
            assert getattr(found, name) == pytest.approx(
                getattr(expected, name), rel=1e-9
            )
        each = {name: value[k] for name, value in figures(pairs_of(sums)).items()}
        assert each == pytest.approx(figures(expected), rel=1e-9)


def test_figures_of_sides_that_do_not_vary_are_undefined_not_noise() -> None:
    sums = sum_pairs(np.zeros(50, int), np.full(50, 17.3), np.linspace(1, 2, 50), 1)
    assert np.isnan(figures(pairs_of(sums))["R"][0])


def test_a_factor_of_two_counts_its_ends_and_zero_only_with_zero() -> None:
    sums = sum_pairs(
        np.zeros(6, int),
        np.array([10, 10, 10, 10, 0, 0.0]),
        np.array([5, 20, 4.9, 20.1, 0, 0.1]),
        1,
    )
    assert sums[0, COLUMNS.index("within2")] == 3


def test_bootstrap_resamples_whole_stations() -> None:
    random = np.random.default_rng(5)
    # Each station has one bias of its own: 50 pairs of it are no more than one.
    bias = random.normal(0, 2, 40)
    group = np.repeat(np.arange(40), 50)
    observed = random.uniform(10, 30, group.size)
    sums = sum_pairs(group, observed, observed + bias[group], 40)
    ends = bootstrap(sums, 2000, seed=1)
    half = (ends["bias"][1] - ends["bias"][0]) / 2
    assert half == pytest.approx(1.96 * bias.std() / np.sqrt(40), rel=0.12)
    again = bootstrap(sums, 2000, seed=1)
    assert again == ends
    assert bootstrap(sums[:1], 100) == {}
    assert bootstrap(sums, 0) == {}


def test_the_bootstrap_is_that_of_a_plain_loop() -> None:
    random = np.random.default_rng(8)
    group = random.integers(0, 12, 900)
    observed, model = random.lognormal(2, 1, 900), random.lognormal(2, 1, 900)
    sums = sum_pairs(group, observed, model, 12)
    found = []
    for _ in range(1500):
        drawn = random.integers(0, 12, 12)
        chosen = np.concatenate([np.flatnonzero(group == k) for k in drawn])
        found.append(np.corrcoef(observed[chosen], model[chosen])[0, 1])
    ends = bootstrap(sums, 1500)
    assert ends["R"] == pytest.approx(
        np.quantile(found, [0.025, 0.975]), abs=0.3 * np.std(found)
    )


def test_a_new_score_is_a_column_with_an_interval(
    field_of, table_of, save_table, monkeypatch
) -> None:
    ratio = Score(
        "ratio",
        "ratio of the means",
        "",
        "one",
        "a test",
        figure=lambda pairs: np.divide(pairs.method_mean, pairs.truth_mean),
    )
    monkeypatch.setitem(SCORES, "ratio", ratio)
    archive = open_openaq(
        save_table(table_of(PLACES, value=lambda k, h: 10 * k + h % 3))
    )
    field = field_of("2019-01-01", 25, of=lambda t, y, x: 36 + 0 * (t + y + x))
    found = validate(archive, field, options=CLEAN)
    row = next(
        row for row in tables.rows(found, (), draws=50) if row["view"] == "pooled"
    )
    assert row["ratio"] == pytest.approx(36 / 31, abs=1e-6)
    assert row["ratio_low"] < row["ratio"] < row["ratio_high"]
    assert row["NMB"] == pytest.approx((36 - 31) / 31, abs=1e-6)
    assert "field_own_ratio" in tables.station_table(found)


def test_rows_by_everything(field_of, table_of, save_table) -> None:
    archive = open_openaq(save_table(table_of(PLACES, "2018-12-31T12:00", hours=48)))
    found = validate(archive, field_of("2018-12-31T10:00", 60), options=CLEAN)
    rows = tables.rows(found, tables.BY, draws=50)
    pooled = [r for r in rows if r["view"] == "pooled"]
    total = next(r["n"] for r in pooled if r["by"] == "all")
    assert total == 240
    for name in tables.BY:
        assert sum(r["n"] for r in pooled if r["by"] == name) == total
    assert {r["group"] for r in pooled if r["by"] == "year"} == {"2018", "2019"}
    # The hour that ends with the year belongs to it: stamps 12:00 .. 24:00.
    assert next(r["n"] for r in pooled if r["group"] == "2018") == 13 * 5
    assert {r["group"] for r in pooled if r["by"] == "station"} == {
        "1",
        "2",
        "3",
        "4",
        "5",
    }
    assert (
        next(r for r in pooled if r["group"] == "1" and r["by"] == "station")["R_low"]
        is None
    )
    with pytest.raises(InputError, match="year"):
        tables.rows(found, ("yaer",))


@pytest.mark.parametrize("stations", [4, 5])
def test_few_stations_have_figures_and_no_interval(
    field_of, table_of, save_table, stations
) -> None:
    places = {key: PLACES[key] for key in list(PLACES)[:stations]}
    archive = open_openaq(
        save_table(table_of(places, hours=24, value=lambda k, h: 10 + k * (h % 7)))
    )
    row = next(
        row
        for row in tables.rows(
            validate(archive, field_of("2019-01-01", 25), options=CLEAN), (), draws=50
        )
        if row["view"] == "pooled"
    )
    assert row["bias"] is not None
    assert (row["bias_low"] is None) == (stations < tables.FEWEST_RESAMPLED)


def test_the_solar_hour_is_that_of_the_place(field_of, table_of, save_table) -> None:
    # At 180 E the sun is 12 h ahead: the hour ending 13:00 UTC is there the first of the next day.
    archive = open_openaq(
        save_table(
            table_of({1: (1, 0.0), 2: (1, 179.9)}, hours=24, value=lambda k, h: h)
        )
    )
    found = validate(archive, field_of("2019-01-01", 25), options=CLEAN)
    numbers = {i: k for k, i in enumerate(found.stations["id"])}
    by_hour = found.observed[..., 1]
    assert by_hour[numbers["1"], 0] == 1
    assert by_hour[numbers["2"], 0] == 13
    assert by_hour[numbers["2"], 12] == 1
