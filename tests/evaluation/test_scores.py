"""The list of scores: complete, and all that a new score needs."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from deepcams.evaluation.experiment import Experiment, Result
from deepcams.evaluation.experiment_tables import rows
from deepcams.evaluation.frames import Table, score_sample
from deepcams.evaluation.scores import SCORES, Better, Score, figures
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


def test_a_new_score_with_a_sum_of_its_own_is_two_entries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The mean fractional bias needs a sum that no other score has."""
    monkeypatch.setitem(
        TERMS, "fraction", lambda truth, method: 2 * (method - truth) / (method + truth)
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
            lambda pairs: pairs.mean("fraction"),
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
    assert scored.pooled.terms["fraction"] == pytest.approx(0)
    sums = sum_pairs(np.array([0, 1, 1]), truth, method, 2)
    np.testing.assert_allclose(figures(pairs_of(sums))["MFB"], [1, -0.5])
