"""The clauses of a score."""

from __future__ import annotations

from typing import Any

import numpy as np

from deepcams.evaluation.score import Score, checked, value_of
from deepcams.evaluation.series import Series
from deepcams.evaluation.sums import Pairs, pairs_of, sum_pairs
from deepcams.testing.clauses import check_all

_GROUPS = 3
_SAME = 1e-9


def check(score: Score, seed: int = 0) -> None:
    """Check every clause; see :func:`deepcams.testing.check_score`."""
    assert isinstance(score, Score), f"a score is a Score, not {score!r:.80}"
    random = np.random.default_rng(seed)
    group = np.arange(60) % _GROUPS
    truth = random.lognormal(2, 1, group.size)
    other = truth[::-1] + 9

    def value(method: np.ndarray, number: int = _GROUPS) -> Any:
        """Return the score of all groups at once; the last one may be empty."""
        with np.errstate(invalid="ignore", divide="ignore"):
            if score.of_series is not None:
                return value_of(score, Series(group, truth, method, number))
            return value_of(score, pairs_of(sum_pairs(group, truth, method, number)))

    def says_what_it_is(_: Score) -> None:
        checked(score.key, score)
        assert score.name, "name says it in words"
        assert score.source, "source names the work that defines it"
        format(0.5, score.form)

    def is_undefined_of_nothing(_: Score) -> None:
        assert np.isnan(value(other, _GROUPS + 1)[-1]), "a group without pairs has NaN"

    def takes_many_groups_at_once(_: Score) -> None:
        together = value(other)
        for each in range(_GROUPS):
            own = group == each
            with np.errstate(invalid="ignore", divide="ignore"):
                if score.of_series is not None:
                    zero = np.zeros(own.sum(), np.int64)
                    alone = value_of(score, Series(zero, truth[own], other[own], 1))[0]
                else:
                    pairs = Pairs.of(truth[own], other[own], terms=score.terms)
                    alone = value_of(score, pairs)
            assert abs(alone - together[each]) <= _SAME * max(abs(alone), 1), (
                f"one group alone, with its terms, has {alone}, among others {together[each]}"
            )

    def prefers_a_perfect_method(_: Score) -> None:
        best, worse = value(truth)[0], value(other)[0]
        if score.better in ("zero", "one"):
            aim = float(score.better == "one")
            best, worse = abs(best - aim), abs(worse - aim)
        assert best > worse if score.better == "higher" else best < worse, (
            f"better is {score.better!r}: a perfect method has {value(truth)[0]}, a wrong one {value(other)[0]}"
        )

    clauses = [says_what_it_is, is_undefined_of_nothing]
    clauses += [takes_many_groups_at_once, prefers_a_perfect_method]
    check_all(clauses, score, f"score {score.key!r}")
