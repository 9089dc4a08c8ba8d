"""The list of scores: complete, and all that a new score needs."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from deepcams.evaluation.experiment import Experiment, Result
from deepcams.evaluation.experiment_tables import rows
from deepcams.evaluation.frames import Table, score_sample
from deepcams.evaluation.scores import SCORES, Better, Score, figures, of_sums
from deepcams.evaluation.sums import TERMS, Pairs, pairs_of, sum_pairs


@pytest.mark.parametrize("key", SCORES)
def test_an_entry_says_all_of_its_score(key: str) -> None:
    score = SCORES[key]
    assert score.key == key
    assert score.name
    assert score.source
    assert score.better in get_args(Better)
    assert np.isnan(figures(Pairs(), [key])[key])


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
