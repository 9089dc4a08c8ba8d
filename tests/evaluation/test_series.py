"""Scores of whole series: ranks and the index of agreement, against hand-computed cases and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr

from deepcams.evaluation.scores import of_series, series_figures
from deepcams.evaluation.series import Series, order_of, ranks


def _own(truth: list[float], method: list[float]) -> dict[str, float]:
    group = np.zeros(len(truth), np.int64)
    series = Series(group, np.array(truth, float), np.array(method, float), 1)
    return dict(zip(of_series(), series_figures(series)[0], strict=True))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_ranks_are_those_of_scipy_in_each_group(kind: type) -> None:
    random = np.random.default_rng(0)
    group = random.integers(0, 7, 3000)
    # Many ties, a zero of each sign, and a group of one.
    values = np.round(random.lognormal(2, 1, 3000)).astype(kind)
    values[:2] = 0.0, -0.0
    group = np.r_[group, 7]
    values = np.r_[values, values[:1]]
    found = ranks(group, order_of(values))
    for k in range(8):
        np.testing.assert_array_equal(found[group == k], rankdata(values[group == k]))


def test_ranks_of_so_many_groups_that_places_do_not_fit_beside_them() -> None:
    random = np.random.default_rng(1)
    group, order = random.integers(0, 2**20, 500), random.integers(0, 2**40, 500)
    order[:250], group[:250] = order[250:], group[250:]
    found = ranks(group, order)
    for k in np.unique(group):
        np.testing.assert_array_equal(found[group == k], rankdata(order[group == k]))


def test_rank_correlation_is_that_of_scipy_with_ties() -> None:
    random = np.random.default_rng(2)
    truth = np.round(random.lognormal(2, 1, 400))
    method = np.round(truth * random.lognormal(0, 1, 400))
    group = np.repeat([1, 0], [300, 100])
    found = series_figures(Series(group, truth, method, 2))[
        :, of_series().index("Spearman")
    ]
    expected = [
        spearmanr(truth[group == k], method[group == k]).statistic for k in (0, 1)
    ]
    np.testing.assert_allclose(found, expected, atol=1e-10, rtol=0)


def test_index_of_agreement_by_hand() -> None:
    # Mean observed 2; errors 1, 0, 1; possible (0 + 1)^2 + 0 + (2 + 1)^2: 1 - 2 / 10.
    assert _own([1, 2, 3], [2, 2, 4])["IOA"] == pytest.approx(0.8, abs=1e-12)
    assert _own([1, 2, 3], [1, 2, 3])["IOA"] == pytest.approx(1, abs=1e-12)
    # The mean itself explains nothing.
    assert _own([1, 2, 3], [2, 2, 2])["IOA"] == pytest.approx(0, abs=1e-12)


def test_index_of_agreement_against_the_formula_written_out() -> None:
    random = np.random.default_rng(3)
    truth, method = random.lognormal(3, 1, (2, 500))
    group = random.integers(0, 3, 500)
    found = Series(group, truth, method, 3).agreement()
    for k in range(3):
        o, m = truth[group == k], method[group == k]
        possible = ((abs(m - o.mean()) + abs(o - o.mean())) ** 2).sum()
        assert found[k] == pytest.approx(1 - ((m - o) ** 2).sum() / possible, abs=1e-10)


@pytest.mark.parametrize(
    ("truth", "method", "defined"),
    [
        ([], [], set()),
        ([5.1], [3.0], set()),
        ([5.1] * 7, [5.1] * 7, set()),
        # A constant model has no order, but an agreement.
        ([1.0, 2, 3], [2.5] * 3, {"IOA"}),
        ([0.1] * 3, [1.0, 2, 3], {"IOA"}),
    ],
)
def test_what_a_short_or_constant_series_leaves_undefined(
    truth: list[float], method: list[float], defined: set[str]
) -> None:
    found = _own(truth, method)
    assert {key for key, value in found.items() if np.isfinite(value)} == defined
