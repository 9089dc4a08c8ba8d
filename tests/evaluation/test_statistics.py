"""Statistics that add: the same numbers whatever the split, and the right ones."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepcams.evaluation.frames import (
    Mean,
    Scores,
    Table,
    extreme_threshold,
    score_sample,
)
from deepcams.evaluation.scores import figures, of_frames
from deepcams.evaluation.sums import Pairs


def _figures(pairs: Pairs) -> list[float]:
    return list(figures(pairs, of_frames()).values())


def test_against_numbers_worked_out_by_hand() -> None:
    """Truth 1 2 3 6 (mean 3, deviations -2 -1 0 3), method 2 2 5 7 (mean 4, deviations -2 -2 1 3).

    Moments 14 and 18, joint 4 + 2 + 0 + 9 = 15; errors 1 0 2 1.
    """
    pairs = Pairs.of(np.array([1, 2, 3, 6]), np.array([2, 2, 5, 7]))
    assert (pairs.count, pairs.weight, pairs.truth_mean, pairs.method_mean) == (
        4,
        4,
        3,
        4,
    )
    assert (pairs.truth_moment, pairs.method_moment, pairs.joint_moment) == (14, 18, 15)
    assert figures(pairs)["R"] == pytest.approx(15 / math.sqrt(14 * 18), abs=1e-15)
    assert figures(pairs)["RMSE"] == pytest.approx(math.sqrt(6 / 4), abs=1e-15)
    assert figures(pairs)["MAE"] == 1.0
    assert figures(pairs)["bias"] == 1.0


def test_weights_by_hand() -> None:
    """Weights 1 and 3: errors 2 and -1 have mean -1/4, size 5/4, square 7/4."""
    pairs = Pairs.of(np.array([4, 8]), np.array([6, 7]), np.array([1, 3]))
    assert (pairs.truth_mean, pairs.method_mean) == (7, 6.75)
    assert (figures(pairs)["bias"], figures(pairs)["MAE"]) == (-0.25, 1.25)
    assert figures(pairs)["RMSE"] == pytest.approx(math.sqrt(7 / 4))
    assert figures(pairs)["R"] == pytest.approx(1)


@settings(max_examples=300)
@given(
    st.integers(2, 400),
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(0, 400), max_size=12),
    st.sampled_from([0, 1, 1e4, 1e6]),
    st.booleans(),
)
def test_any_split_gives_the_same_to_1e_10(
    size: int, seed: int, cuts: list[int], offset: float, weighted: bool
) -> None:
    random = np.random.default_rng(seed)
    truth = offset + random.lognormal(1, 1.5, size)
    method = truth * random.lognormal(0, 0.2, size) + random.normal(0, 0.1, size)
    weights = random.random(size) + 1e-3 if weighted else None
    whole = Pairs.of(truth, method, weights)
    edges = [0, *sorted(min(cut, size) for cut in cuts), size]
    parts = [
        Pairs.of(truth[a:b], method[a:b], None if weights is None else weights[a:b])
        for a, b in itertools.pairwise(edges)
    ]
    random.shuffle(parts)  # type: ignore[arg-type]
    for merged in (functools.reduce(operator.add, parts, Pairs()), _tree(parts)):
        assert merged.count == size
        scale = abs(method - truth).mean() + 1e-300
        np.testing.assert_allclose(
            figures(merged)["R"], figures(whole)["R"], rtol=0, atol=1e-10
        )  # of a number in -1..1, often near 0
        np.testing.assert_allclose(
            [figures(merged)["RMSE"], figures(merged)["MAE"]],
            [figures(whole)["RMSE"], figures(whole)["MAE"]],
            rtol=1e-10,
            atol=0,
        )
        assert figures(merged)["bias"] == pytest.approx(
            figures(whole)["bias"], rel=1e-10, abs=1e-10 * scale
        )
    w = np.ones(size) if weights is None else weights
    covariance = np.cov(truth, method, aweights=w)
    assert figures(whole)["R"] == pytest.approx(
        covariance[0, 1] / math.sqrt(covariance[0, 0] * covariance[1, 1]), abs=1e-9
    )
    assert figures(whole)["MAE"] == pytest.approx(
        np.average(abs(method - truth), weights=w), rel=1e-12
    )
    assert figures(whole)["RMSE"] == pytest.approx(
        math.sqrt(np.average((method - truth) ** 2, weights=w)), rel=1e-12
    )


def _tree(parts: list[Pairs]) -> Pairs:
    if len(parts) == 1:
        return parts[0]
    half = len(parts) // 2
    return _tree(parts[:half]) + _tree(parts[half:])


def test_small_differences_on_a_large_value_survive_merging() -> None:
    """Sums of plain squares would have lost every digit here."""
    random = np.random.default_rng(0)
    truth = 1e8 + random.normal(0, 1, 10_000)
    method = truth + random.normal(0, 1, 10_000)
    merged = functools.reduce(
        operator.add, (Pairs.of(truth[i::7], method[i::7]) for i in range(7))
    )
    assert figures(merged)["R"] == pytest.approx(
        np.corrcoef(truth - 1e8, method - 1e8)[0, 1], abs=1e-7
    )
    assert figures(merged)["R"] == pytest.approx(
        figures(Pairs.of(truth, method))["R"], rel=1e-10
    )


@pytest.mark.parametrize("value", [0.0, 1e-12, 0.1, 3657.3])
def test_what_does_not_vary_has_no_correlation(value: float) -> None:
    flat, other = np.full(1000, value), np.arange(1000.0)
    assert math.isnan(figures(Pairs.of(flat, other))["R"])
    assert math.isnan(figures(Pairs.of(other, flat))["R"])
    merged = Pairs.of(flat[:300], other[:300]) + Pairs.of(flat[300:], other[300:])
    assert math.isnan(figures(merged)["R"])
    assert figures(merged)["MAE"] == pytest.approx(abs(other - value).mean())


def test_nothing_adds_nothing() -> None:
    nothing = Pairs.of(np.array([]), np.array([]))
    assert nothing == Pairs()
    assert all(math.isnan(figure) for figure in _figures(nothing))
    some = Pairs.of(np.array([1.0, 2]), np.array([2.0, 2]))
    assert nothing + some == some + nothing == some
    assert Mean.of(math.nan) + Mean.of(3.0) == Mean(1, 3.0)
    assert math.isnan(Mean().value)


def test_the_sums_are_immutable() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Pairs().count = 3  # type: ignore[misc]


def test_extremes_lie_above_the_truths_own_percentile() -> None:
    """Truth 1..100: its 99th percentile (linear) is 99.01, so only 100 lies above; its error is 7."""
    truth = np.arange(1.0, 101)
    method = truth + 1
    method[-1] = 107
    scores = score_sample(truth, method)
    assert extreme_threshold(truth) == pytest.approx(99.01)
    assert (
        scores.pooled_extreme.count,
        scores.mean("MAE_p99"),
        scores.mean("bias_p99"),
    ) == (
        1,
        7,
        7,
    )
    assert scores.mean("MAE") == pytest.approx((99 * 1 + 7) / 100)
    shuffled = np.random.default_rng(0).permutation(100)
    again = score_sample(truth[shuffled], method[shuffled])
    assert again.means["MAE_p99"] == scores.means["MAE_p99"]


def test_the_clip_counts_on_both_sides_but_not_for_what_is_extreme() -> None:
    truth, method = np.array([10.0, 900, 1000]), np.array([10.0, 700, 2000])
    scores = score_sample(truth, method, clip=800, threshold=850)
    assert scores.mean("MAE") == pytest.approx(100 / 3)
    assert (scores.pooled_extreme.count, scores.mean("MAE_p99")) == (2, 50)
    assert score_sample(truth, method, threshold=850).mean("MAE_p99") == 600


def test_what_misses_on_either_side_is_left_out_on_both_and_counted() -> None:
    nan = math.nan
    truth = np.array([[1.0, nan, 3, 4], [5, 6, 7, 8]])
    method = np.array([[2.0, 1, nan, 4], [5, 6, 7, nan]])
    rows = np.array([[1.0], [2.0]])
    scores = score_sample(truth, method, rows)
    assert (scores.samples, scores.skipped, scores.missing, scores.pooled.count) == (
        1,
        0,
        3,
        5,
    )
    assert scores.pooled.weight == 2 + 6
    assert scores.mean("MAE") == pytest.approx(1 / 8)
    for t, m in ((truth, np.full_like(truth, nan)), (np.full_like(truth, nan), method)):
        skipped = score_sample(t, m)
        assert skipped == Scores(skipped=1)
    total = scores + score_sample(truth, np.full_like(truth, nan))
    assert (total.samples, total.skipped) == (1, 1)
    assert total.means["MAE"] == scores.means["MAE"]


@settings(max_examples=30)
@given(st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_tables_add_in_any_grouping(samples: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    parts = []
    for i in range(samples):
        truth = random.lognormal(1, 1, (6, 8))
        method = truth + random.normal(0, 1, truth.shape)
        if random.random() < 0.2:
            method[:] = math.nan
        parts.append(
            Table({(f"m{i % 2}", f"2019-0{1 + i % 3}"): score_sample(truth, method)})
        )
    cut = int(random.integers(0, samples + 1))
    straight = functools.reduce(operator.add, parts, Table())
    grouped = functools.reduce(operator.add, parts[:cut], Table()) + functools.reduce(
        operator.add, reversed(parts[cut:]), Table()
    )
    assert set(straight.scores) == set(grouped.scores)
    assert straight.months == grouped.months
    for key, one in straight.scores.items():
        other = grouped.scores[key]
        assert (one.samples, one.skipped, one.missing) == (
            other.samples,
            other.skipped,
            other.missing,
        )
        for name in ("R", "RMSE", "MAE", "bias", "MAE_p99"):
            a, b = one.mean(name), other.mean(name)
            assert (math.isnan(a) and math.isnan(b)) or a == pytest.approx(
                b, rel=1e-12, abs=1e-12
            )
        if one.samples:
            np.testing.assert_allclose(
                _figures(one.pooled), _figures(other.pooled), rtol=1e-10, atol=1e-12
            )
