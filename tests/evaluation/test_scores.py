"""The list of scores: complete, and all that a new score needs."""

from __future__ import annotations

import numpy as np
import pytest

from deepcams.evaluation.criteria import CRITERIA, that_apply
from deepcams.evaluation.experiment import Experiment, Result
from deepcams.evaluation.experiment_tables import rows
from deepcams.evaluation.frames import Table, score_sample
from deepcams.evaluation.scores import (
    SCORES,
    Score,
    differences,
    figures,
    of_series,
    of_sums,
    series_figures,
)
from deepcams.evaluation.series import Series
from deepcams.evaluation.sums import TERMS, Pairs, pairs_of, sum_pairs
from deepcams.testing import check_score


@pytest.mark.parametrize("key", SCORES)
def test_an_entry_says_all_of_its_score(key: str) -> None:
    assert SCORES[key].key == key
    check_score(SCORES[key])


@pytest.mark.parametrize(
    ("score", "better", "worse"),
    [("R", 1, -1), ("RMSE", 0, 9), ("bias", 0, 9), ("FAC2", 1, 0)],
)
def test_the_better_end_is_that_of_a_perfect_method(
    score: str, better: float, worse: float
) -> None:
    truth = np.array([1.0, 2, 3, 4])
    assert figures(Pairs.of(truth, truth), [score])[score] == pytest.approx(better)
    bad = -truth if score == "R" else truth + 9
    assert figures(Pairs.of(truth, bad), [score])[score] == pytest.approx(worse)
    assert (better > worse) == (SCORES[score].better == "higher")


@pytest.mark.parametrize(
    ("key", "truth", "method", "expected"),
    [
        ("NMB", [1, 2, 5], [2, 2, 6], 2 / 8),
        ("NMB", [4, 4], [3, 1], -4 / 8),
        ("NME", [1, 2, 5], [2, 1, 6], 3 / 8),
        ("MFB", [1, 2, 5], [3, 2, 15], (1 + 0 + 1) / 3),
        ("MFB", [3, 2], [1, 2], -1 / 2),
        ("MFE", [3, 1], [1, 3], 1.0),
        # Of two zeros the fraction is 0, of one 2; negative values count as 0.
        ("MFB", [0, 0, 4], [0, 4, 0], 0.0),
        ("MFE", [0, 0, 4], [0, 4, 0], 4 / 3),
        ("MFE", [-1, -1], [1, -2], 1.0),
    ],
)
def test_relative_scores_by_hand(
    key: str, truth: list[float], method: list[float], expected: float
) -> None:
    o, m = np.array(truth, float), np.array(method, float)
    sums = sum_pairs(np.zeros(o.size, int), o, m, 1)
    for pairs in (Pairs.of(o, m), pairs_of(sums[0])):
        assert figures(pairs, [key])[key] == pytest.approx(expected, abs=1e-12)
    single = [Pairs.of(o[k : k + 1], m[k : k + 1]) for k in range(o.size)]
    added = figures(sum(single, Pairs()), [key])[key]
    assert added == pytest.approx(expected, abs=1e-12)


def test_shares_of_an_observed_sum_of_zero_are_undefined() -> None:
    nothing, some = np.zeros(3), np.ones(3)
    for pairs in (
        Pairs.of(nothing, some),
        pairs_of(sum_pairs(np.zeros(3, int), nothing, some, 1)[0]),
    ):
        found = figures(pairs, ["NMB", "NME", "MFB", "bias"])
        assert np.isnan(found["NMB"])
        assert np.isnan(found["NME"])
        assert found["MFB"] == pytest.approx(2)
        assert found["bias"] == pytest.approx(1)


def test_a_known_factor_gives_the_constructed_relative_scores() -> None:
    truth = np.random.default_rng(1).lognormal(3, 1, 1000)
    found = figures(Pairs.of(truth, 1.5 * truth), of_sums())
    expected = {"NMB": 0.5, "NME": 0.5, "MFB": 0.4, "MFE": 0.4, "R": 1.0, "FAC2": 1.0}
    assert {key: found[key] for key in expected} == pytest.approx(expected, abs=1e-12)


def test_scores_are_those_of_another_library() -> None:
    """The package ``scores`` (nci.org.au) computes them from arrays, not from sums."""
    import xarray as xr

    from scores import continuous

    random = np.random.default_rng(4)
    truth = random.lognormal(3, 1, 2000)
    method = truth * random.lognormal(0.1, 0.5, truth.size)
    o, m = xr.DataArray(truth), xr.DataArray(method)
    expected = {
        "R": continuous.correlation.pearsonr(m, o),
        "RMSE": continuous.rmse(m, o),
        "MAE": continuous.mae(m, o),
        "bias": continuous.additive_bias(m, o),
        "NMB": continuous.pbias(m, o) / 100,
    }
    whole = Pairs.of(truth, method)
    groups = pairs_of(sum_pairs(np.arange(2000) % 3, truth, method, 3).sum(axis=0))
    for pairs in (whole, groups):
        found = figures(pairs, expected)
        for key, value in expected.items():
            assert found[key] == pytest.approx(float(value), abs=1e-10)
    group = np.zeros(truth.size, np.int64)
    series = series_figures(Series(group, truth, method, 1))[0]
    spearman = float(continuous.correlation.spearmanr(m, o))
    assert series[of_series().index("Spearman")] == pytest.approx(spearman, abs=1e-10)


def _blocks(
    truth: np.ndarray, one: np.ndarray, other: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Sums by 40 blocks of each method."""
    block = np.arange(truth.size) % 40
    return tuple(sum_pairs(block, truth, method, 40) for method in (one, other))


def test_the_interval_of_a_difference_covers_what_was_made_and_not_0() -> None:
    random = np.random.default_rng(5)
    truth = random.lognormal(3, 0.5, 8000)
    # What both have in common is far larger than what they differ by.
    common = random.normal(0, 8, truth.size)
    one, other = truth + common, truth + common * 1.05
    found = differences(*_blocks(truth, one, other), draws=400)
    made = abs(common).mean() - abs(common * 1.05).mean()
    assert found["MAE"].value == pytest.approx(made, abs=1e-10)
    assert found["MAE"].low < made < found["MAE"].high < 0
    assert found["RMSE"].low < -0.05 * np.sqrt((common**2).mean()) < found["RMSE"].high
    assert found["MAE"].better is True
    assert found["R"].low > 0
    assert found["R"].better is True
    turned = differences(*_blocks(truth, other, one), draws=400)
    assert turned["MAE"].better is False
    assert turned["MAE"].low == pytest.approx(-found["MAE"].high, abs=1e-12)


def test_a_bias_is_compared_by_its_distance_from_0() -> None:
    random = np.random.default_rng(6)
    truth = random.lognormal(3, 0.5, 4000)
    one, other = truth * 0.9 + random.normal(0, 1, truth.size), truth * 1.3
    found = differences(*_blocks(truth, one, other), draws=200)
    assert found["NMB"].one < 0 < found["NMB"].other
    assert found["NMB"].value == pytest.approx(
        abs(found["NMB"].one) - abs(found["NMB"].other), abs=1e-12
    )
    assert found["NMB"].better is True


def test_equal_methods_are_told_apart_as_seldom_as_95_percent_say() -> None:
    random = np.random.default_rng(7)
    apart = 0
    for _ in range(100):
        truth = random.lognormal(3, 0.5, 1000)
        one, other = truth + random.normal(0, 5, (2, truth.size))
        found = differences(*_blocks(truth, one, other), draws=200)["MAE"]
        apart += found.better is not None
        assert (found.better is None) == (found.low <= 0 <= found.high)
    assert 1 <= apart <= 13  # 5 are expected, and 40 blocks make it a few more
    same = differences(*_blocks(truth, one, one), draws=50)["MAE"]
    assert (same.value, same.low, same.high) == (0, 0, 0)
    assert same.better is None


def test_levels_are_met_within_their_bounds_and_only_where_they_were_made_for() -> None:
    goal, criteria, other_goal, other = that_apply("pm2p5", "day")
    assert (goal.name, criteria.name) == ("goal", "criteria")
    assert goal.met({"MFB": -0.30, "MFE": 0.50}) is True
    assert goal.met({"MFB": -0.31, "MFE": 0.50}) is False
    assert criteria.met({"MFB": -0.31, "MFE": 0.76}) is False
    assert criteria.met({"MFB": -0.31, "MFE": 0.75}) is True
    assert goal.met({"MFB": None, "MFE": 0.1}) is None
    assert goal.words() == "|MFB| <= 30% and MFE <= 50%"
    assert other_goal.met({"NMB": -0.1, "NME": 0.35, "R": 0.7}) is True
    assert other_goal.met({"NMB": -0.1, "NME": 0.35, "R": 0.69}) is False
    assert other.met({"NMB": 0.31, "NME": 0.35, "R": 0.9}) is False
    assert other.words() == "|NMB| <= 30% and NME <= 50% and R >= 0.40"
    assert that_apply("pm10", "day") == [goal, criteria]
    assert that_apply("pm2p5", "hour") == that_apply("no2", "day") == []
    assert all(each.source for each in CRITERIA)
    assert all(key in SCORES for each in CRITERIA for key in each.bounds)


def test_a_new_score_with_a_sum_of_its_own_is_two_entries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The mean fractional bias needs a sum that no other score has."""
    monkeypatch.setitem(
        TERMS,
        "root_fraction",
        lambda truth, method: 2 * (method - truth) / (method + truth),
    )
    monkeypatch.setitem(
        SCORES,
        "MFB",
        Score(
            "MFB",
            "mean fractional bias",
            "",
            "zero",
            "a test",
            figure=lambda pairs: pairs.mean("root_fraction"),
            terms=("root_fraction",),
        ),
    )
    truth, method = np.array([1.0, 3, 5]), np.array([3.0, 1, 5])
    scored = score_sample(truth, method) + score_sample(truth, truth)
    table = Table({("linear", "2019-03"): scored})
    result = Result(
        Experiment("temporal"), table, {"linear": "baseline"}, "linear", "", ""
    )
    row = rows(result)[-1]
    assert row["MFB"] == row["MFB_pooled"] == pytest.approx(0)
    assert scored.pooled.terms["root_fraction"] == pytest.approx(0)
    sums = sum_pairs(np.array([0, 1, 1]), truth, method, 2)
    np.testing.assert_allclose(figures(pairs_of(sums))["MFB"], [1, -0.5])
