"""Diagnostics of whole frames: against worked-out cases, and against other implementations."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy import signal, stats
from scores.categorical import ThresholdEventOperator
from scores.spatial import fss_2d

from deepcams.core.grid import Grid
from deepcams.evaluation.diagnostics import DIAGNOSTICS, diagnostics, of_diagnostics
from deepcams.evaluation.diagnostics.base import Block, Diagnostic, Setting, Sums
from deepcams.evaluation.diagnostics.cells import CellVariance
from deepcams.evaluation.diagnostics.events import NEIGHBOURHOODS, Events
from deepcams.evaluation.diagnostics.hours import Change, Drift, LocalHours
from deepcams.evaluation.diagnostics.quantiles import (
    HIGHEST,
    Quantiles,
    bins_of,
    middles,
    quantile,
)
from deepcams.evaluation.diagnostics.spectra import (
    Spectra,
    effective_resolution,
    third_octaves,
)

GLOBE = Grid.globe(3.0)
REGION = Grid(0.75, 60, 398, 16, 20).refine()
START = np.datetime64("2019-03-08T00:30", "ns")
HOUR = np.timedelta64(1, "h")


def frames(
    grid: Grid, number: int = 4, seed: int = 0, start: np.datetime64 = START
) -> Block:
    """Frames of rough, positive values."""
    random = np.random.default_rng(seed)
    values = random.lognormal(2, 1, (number, *grid.shape)).astype(np.float32)
    times = start + np.arange(number) * HOUR
    return Block(Setting(grid, in_time=False), values, times)


def given(block: Block, in_time: bool = True, **settings: object) -> Block:
    """The same frames in another setting."""
    setting = Setting(block.setting.grid, in_time, **settings)  # type: ignore[arg-type]
    return Block(setting, block.truth, block.times)


def figures(kind: type[Diagnostic], block: Block, made: np.ndarray) -> dict[str, float]:
    diagnostic = kind(block.setting)
    return diagnostic.figures(diagnostic.sums(block, made))


def test_each_figure_is_a_score_that_the_registry_has() -> None:
    block = given(frames(GLOBE), in_time=True)
    keys = [key for kind in DIAGNOSTICS for key in figures(kind, block, block.truth)]
    assert set(keys) == set(of_diagnostics())
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("kind", DIAGNOSTICS)
def test_the_truth_itself_is_best(kind: type[Diagnostic]) -> None:
    block = given(frames(GLOBE), in_time=True)
    best = {"higher": 1.0, "zero": None, "one": 1.0, "lower": None}
    for key, value in figures(kind, block, block.truth).items():
        wanted = best[of_diagnostics()[key].better]
        if wanted is not None and not (kind is Spectra and np.isnan(value)):
            assert value == pytest.approx(wanted, abs=1e-12)
        if key in ("q9999", "MAE_land", "MAE_sea"):
            assert value == 0


@pytest.mark.parametrize("kind", DIAGNOSTICS)
@pytest.mark.parametrize("grid", [GLOBE, REGION])
def test_any_split_gives_the_same(kind: type[Diagnostic], grid: Grid) -> None:
    block = given(frames(grid, 7), in_time=True)
    made = frames(grid, 7, seed=1).truth
    made[4, 3, 5] = np.nan
    diagnostic = kind(block.setting)
    whole = diagnostic.sums(block, made)
    parts = [
        diagnostic.sums(Block(block.setting, block.truth[s], block.times[s]), made[s])
        for s in (slice(0, 4), slice(3, 7))
    ]
    joined = parts[0] + parts[1]
    assert isinstance(joined, Sums)
    for one, other in zip(
        diagnostic.table(whole), diagnostic.table(joined), strict=True
    ):
        for key, value in one.items():
            if isinstance(value, str):
                assert value == other[key]
            else:
                same = pytest.approx(other[key], rel=1e-10, abs=1e-12, nan_ok=True)
                assert value == same, key
    for name, part in whole.parts.items():
        if isinstance(part, np.ndarray) and part.dtype == np.int64:
            np.testing.assert_array_equal(part, joined[name])


# --- spectra


@pytest.mark.parametrize("grid", [GLOBE, REGION])
def test_coherence_is_that_of_scipy(grid: Grid) -> None:
    block, made = frames(grid, 3), frames(grid, 3, seed=1).truth
    made += block.truth
    spectra = Spectra(block.setting)
    sums = spectra.sums(block, made)
    truth_power, power, real, imaginary = sums["products"][0]
    ours = (real**2 + imaginary**2) / (truth_power * power)
    columns = grid.columns
    window = spectra.window
    rows = [each[:, spectra.rows].reshape(-1, columns) for each in (block.truth, made)]
    rows = [
        row - (row @ window / window.sum())[:, None]
        for row in (each.astype(float) for each in rows)
    ]
    settings = {
        "window": window,
        "nperseg": columns,
        "noverlap": 0,
        "detrend": False,
    }
    _, theirs = signal.coherence(rows[0].ravel(), rows[1].ravel(), **settings)
    np.testing.assert_allclose(ours, theirs[1:], rtol=1e-10)
    _, density = signal.welch(rows[1].ravel(), **settings)
    ratio = power / density[1:]
    # One-sided densities count all but the last wave of an even number twice.
    np.testing.assert_allclose(ratio[:-1], ratio[0], rtol=1e-10)


def test_power_of_a_wave_is_in_its_band_and_a_halved_one_has_a_quarter() -> None:
    waves = np.sin(2 * np.pi * np.arange(GLOBE.columns) * 12 / GLOBE.columns)
    truth = np.broadcast_to(20 + 8 * waves, (1, *GLOBE.shape)).astype(np.float32)
    block = Block(Setting(GLOBE, in_time=False), truth, np.array([START]))
    spectra = Spectra(block.setting)
    made = (20 + 4 * np.broadcast_to(waves, truth.shape)).astype(np.float32)
    rows = [r for r in spectra.table(spectra.sums(block, made)) if r["of"] == "values"]
    (own,) = [row for row in rows if row["from"] <= 30 < row["to"]]
    assert own["power_ratio"] == pytest.approx(0.25, rel=1e-6)
    assert own["coherence"] == pytest.approx(1, rel=1e-9)
    others = sum(row["power_truth"] for row in rows if row is not own)
    assert others < 1e-9 * own["power_truth"]


def test_effective_resolution_is_where_coherence_crosses() -> None:
    length = np.array([8.0, 4.0, 2.0, 1.0])
    crossing = effective_resolution(length, np.array([0.9, 0.8, 0.6, 0.4]))
    assert crossing == pytest.approx(np.sqrt(2.0))
    assert effective_resolution(length, np.array([0.9, 0.8, 0.7, 0.6])) == 1.0
    assert np.isnan(effective_resolution(length, np.array([0.4, 0.8, 0.7, 0.6])))
    assert np.isnan(effective_resolution(length[:0], length[:0]))
    # A band without power has no coherence, and a later rise is no resolution.
    gap = effective_resolution(length, np.array([0.9, np.nan, 0.4, 0.9]))
    assert 2 < gap < 8


def test_bands_are_third_octaves_with_edges_at_whole_degrees() -> None:
    edges = third_octaves(0.5, 360)
    assert edges[0] == pytest.approx(0.5)
    assert edges[-1] > 360
    for edge in (1.0, 2.0, 64.0):
        assert np.isclose(edges, edge).any()


def test_rows_with_missing_values_have_no_spectrum_and_are_counted() -> None:
    block = frames(REGION)
    made = frames(REGION, seed=1).truth
    made[1, 4, 7] = np.nan
    spectra = Spectra(block.setting)
    sums = spectra.sums(block, made)
    assert sums["rows"].tolist() == [4 * REGION.rows - 1, 1]
    assert "1 of" in spectra.gap(sums)
    whole = np.ones(REGION.rows, bool)
    whole[4] = False
    without = Spectra(block.setting).sums(
        Block(block.setting, block.truth[1:2], block.times[1:2]), made[1:2]
    )
    alone = spectra._waves(made[1][whole], "values")
    np.testing.assert_allclose(
        without["products"][0, 1], (abs(alone) ** 2).sum(axis=0), rtol=1e-10
    )


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        (Grid(0.25, 100, 0, 8, 12), "too few"),
        (Grid(0.25, 0, 0, 30, 100), "no row"),
    ],
)
def test_a_region_too_small_for_a_spectrum_says_so(grid: Grid, words: str) -> None:
    block = frames(grid)
    spectra = Spectra(block.setting)
    sums = spectra.sums(block, block.truth)
    assert words in spectra.gap(sums)
    assert spectra.table(sums) == []
    assert all(np.isnan(each) for each in spectra.figures(sums).values())


# --- events


def _fractions(mask: np.ndarray, known: np.ndarray, size: int, around: bool) -> list:
    """Brute force: the share of known nodes around each known node that are in the mask."""
    half, found = size // 2, []
    rows, columns = mask.shape
    for i in range(rows):
        for j in range(columns):
            if not known[i, j]:
                continue
            inside = [
                (a, b % columns)
                for a in range(max(i - half, 0), min(i + half + 1, rows))
                for b in range(j - half, j + half + 1)
                if around or 0 <= b < columns
            ]
            share = [mask[at] for at in inside if known[at]]
            found.append((sum(share), len(share)))
    return found


@pytest.mark.parametrize("grid", [Grid.globe(15.0), Grid(3.0, 20, 5, 12, 9)])
def test_events_are_those_of_brute_force(grid: Grid) -> None:
    block = frames(grid, 2)
    made = (block.truth * frames(grid, 2, seed=3).truth / 7).astype(np.float32)
    made[0, 2, 3] = np.nan
    events = Events(block.setting)
    for row in events.table(events.sums(block, made)):
        apart = most = 0.0
        hits = misses = alarms = 0
        for true, ours in zip(block.truth, made, strict=True):
            known = ~(np.isnan(true) | np.isnan(ours))
            around = grid.periodic
            one, other = (
                _fractions(
                    each >= row["threshold"], known, row["neighbourhood"], around
                )
                for each in (true, ours)
            )
            for (t, n), (m, _) in zip(one, other, strict=True):
                apart += (t / n - m / n) ** 2
                most += (t / n) ** 2 + (m / n) ** 2
                hits += t > 0 and m > 0
                misses += t > 0 and m == 0
                alarms += t == 0 and m > 0
        if not most:
            assert np.isnan(row["FSS"])
            continue
        assert row["FSS"] == pytest.approx(1 - apart / most, rel=1e-10)
        assert [row["hits"], row["misses"], row["false_alarms"]] == [
            hits,
            misses,
            alarms,
        ]
        assert row["CSI"] == pytest.approx(hits / (hits + misses + alarms), rel=1e-12)


def test_an_event_one_node_off_is_a_miss_but_near() -> None:
    grid = Grid(0.25, 100, 0, 20, 30)
    truth = np.ones((1, *grid.shape), np.float32)
    made = truth.copy()
    truth[0, 10, 10] = made[0, 10, 11] = 40
    block = Block(Setting(grid, in_time=False), truth, np.array([START]))
    events = Events(block.setting)
    table = events.table(events.sums(block, made))
    at_35 = {r["neighbourhood"]: r for r in table if r["threshold"] == 35}
    assert [at_35[n]["FSS"] for n in NEIGHBOURHOODS] == pytest.approx([0, 2 / 3, 0.8])
    assert [at_35[n]["CSI"] for n in NEIGHBOURHOODS] == pytest.approx([0, 0.5, 2 / 3])
    at_75 = [row for row in table if row["threshold"] == 75]
    assert all(np.isnan(row["FSS"]) and np.isnan(row["CSI"]) for row in at_75)


def test_events_are_those_of_the_library_scores() -> None:
    # It takes whole neighbourhoods alone, or zeros beyond the edge: alike where nothing happens near the edge.
    block = frames(Grid(0.25, 100, 0, 30, 40), 1)
    inside = np.zeros(block.truth.shape, np.float32)
    inside[:, 4:-4, 4:-4] = 1
    truth, made = block.truth * inside, np.roll(block.truth, 1, axis=2) * inside
    own = Block(block.setting, truth, block.times)
    events = Events(block.setting)
    arrays = [xr.DataArray(each[0], dims=("y", "x")) for each in (made, truth)]
    for row in events.table(events.sums(own, made)):
        size = row["neighbourhood"]
        theirs = fss_2d(
            *arrays,
            event_threshold=row["threshold"],
            window_size=(size, size),
            spatial_dims=("y", "x"),
            zero_padding=True,
            threshold_operator=np.greater_equal,
        )
        if row["threshold"] == 150:  # one event or none
            continue
        assert row["FSS"] == pytest.approx(float(theirs), rel=1e-10)
        if size == 1:
            events_of = ThresholdEventOperator(default_event_threshold=row["threshold"])
            table = events_of.make_contingency_manager(*arrays)
            theirs = table.critical_success_index()
            assert row["CSI"] == pytest.approx(float(theirs), rel=1e-10)


# --- quantiles


def test_bins_are_narrow_and_quantiles_within_half_of_one() -> None:
    centres = middles()
    assert np.all(np.diff(centres) > 0)
    inner = centres[1:-1]
    assert (np.diff(inner) / inner[:-1]).max() < 0.001
    values = np.random.default_rng(0).lognormal(2, 1.5, 200_001).astype(np.float32)
    counts = np.bincount(bins_of(values), minlength=centres.size)
    for share in (0.5, 0.9, 0.99, 0.999, 0.9999):
        exact = np.quantile(values, share, method="inverted_cdf")
        assert quantile(counts, share) == pytest.approx(exact, rel=0.0005)
    assert np.isnan(quantile(counts * 0, 0.5))


def test_values_beyond_the_bins_are_counted() -> None:
    assert bins_of(np.array([0.0, 1e-5, 1e9])).tolist() == [0, 0, middles().size - 1]
    assert middles()[-1] == HIGHEST


def test_errors_of_quantiles_are_those_of_a_factor() -> None:
    block = frames(REGION)
    rows = Quantiles(block.setting)
    table = rows.table(rows.sums(block, block.truth * np.float32(1.25)))
    assert [row["error"] for row in table] == pytest.approx([0.25] * 5, abs=0.0015)


# --- variance inside cells


def test_variance_inside_cells_is_the_squared_factor() -> None:
    block = frames(REGION)
    made = 50 + 3 * (block.truth - 50)
    assert figures(CellVariance, block, made)["cell_variance"] == pytest.approx(
        9, rel=1e-5
    )
    rows, columns = slice(0, 3), slice(0, 3)
    cell = block.truth[:, rows, columns].astype(float)
    own = CellVariance(block.setting)
    (row,) = own.table(own.sums(block, made))
    assert row["nodes"] == block.truth.size
    assert cell.std() > 0


# --- hours


def test_errors_by_hour_are_those_of_each_column() -> None:
    grid = Grid(0.25, 200, 40, 6, 130)  # about 40 N, 10 to 42 E
    block = frames(grid, 2, start=np.datetime64("2019-07-01T04:30", "ns"))
    made = block.truth + 1 + np.arange(grid.columns, dtype=np.float32)
    hours = LocalHours(block.setting)
    table = hours.table(hours.sums(block, made))
    utc = np.array([4.5, 5.5])
    local = np.floor(utc[:, None] + grid.longitudes / 15).astype(int) % 24
    error = np.broadcast_to(1.0 + np.arange(grid.columns), (2, grid.columns))
    land = block.setting.land
    assert 0 < land.sum() < land.size
    for row in table:
        mask = land if row["surface"] == "land" else ~land
        weight = np.where(local == row["hour"], 1, 0)[:, None, :] * mask
        errors = np.broadcast_to(error[:, None, :], weight.shape)
        expected = (weight * errors).sum() / weight.sum()
        assert row["MAE"] == pytest.approx(expected, rel=1e-5)
        assert row["share"] == pytest.approx(weight.sum() / (2 * land.size))
    assert {row["hour"] for row in table} == set(np.unique(local).tolist())


def test_change_is_the_correlation_of_differences() -> None:
    block = given(frames(REGION, 7))
    made = block.truth + frames(REGION, 7, seed=1).truth
    differences = [np.diff(each.astype(float), axis=0) for each in (block.truth, made)]
    expected = stats.pearsonr(*(each.ravel() for each in differences)).statistic
    found = figures(Change, block, made)["R_change"]
    assert found == pytest.approx(expected, rel=1e-10)


def test_drift_is_what_is_added_to_straight_lines_between_analyses() -> None:
    block = given(frames(REGION, 7))
    x = frames(REGION, 7, seed=1).truth.astype(np.float64)
    straight = x.copy()
    for i in (1, 2, 4, 5):
        first, share = i - i % 3, i % 3 / 3
        straight[i] = (1 - share) * x[first] + share * x[first + 3]
    assert figures(Drift, block, straight)["drift"] == pytest.approx(0, abs=1e-12)
    raised = straight.copy()
    raised[[1, 2, 4, 5]] += 3
    expected = 3 * 4 / 6 / straight[:6].mean()
    found = figures(Drift, block, raised)["drift"]
    assert found == pytest.approx(expected, rel=1e-9)
    drift = Drift(block.setting)
    table = drift.table(drift.sums(block, raised))
    assert {row["season"] for row in table} == {"MAM"}
    assert len({row["hour"] for row in table}) >= 6


def test_hours_after_the_last_analysis_have_no_drift() -> None:
    block, made = given(frames(REGION, 9)), frames(REGION, 9, seed=1).truth
    shorter = Block(block.setting, block.truth[:7], block.times[:7])
    drift = Drift(block.setting)
    whole, part = drift.sums(block, made), drift.sums(shorter, made[:7])
    np.testing.assert_array_equal(whole["means"], part["means"])


def test_seasons_are_quarters_that_begin_with_december() -> None:
    names = []
    for month in range(1, 13):
        start = np.datetime64(f"2019-{month:02d}-10", "ns")
        names.append(frames(REGION, 1, start=start).season(0))
    assert names == [0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 0]


def test_tasks_in_space_make_none_that_need_hours() -> None:
    names = [each.name for each in diagnostics(Setting(REGION, in_time=False))]
    assert "drift" not in names
    assert "change" not in names
    assert "spectra" in names


def test_the_page_of_scores_is_what_the_registries_say() -> None:
    root = Path(__file__).parents[2]
    made = runpy.run_path(str(root / "benchmarks" / "scores.py"))
    page = (root / "docs" / "scores.md").read_text(encoding="utf-8")
    assert page == made["text"](), "run `python benchmarks/scores.py`"
