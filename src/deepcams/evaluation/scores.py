"""The scores, one entry each, computed for one set of pairs or for many groups at once.

:data:`SCORES` lists the built-in ones; :func:`known_scores` adds those of other packages. A score is computed either
from sums over pairs (``figure``), so that any split of the work gives the same value, or from whole series
(``of_series``), which are in memory one station at a time. Each is a column of ``deepcams validate`` and, if computed
from sums and unless ``of_frames`` is False, of ``deepcams evaluate``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from deepcams.evaluation.score import Score as Score
from deepcams.evaluation.score import added_scores, value_of
from deepcams.evaluation.series import Series
from deepcams.evaluation.sums import Pairs, pairs_of

_XIAO_2022 = "Xiao et al. 2022, doi 10.1016/j.scitotenv.2022.157747"
_BOYLAN_2006 = "Boylan & Russell 2006, doi 10.1016/j.atmosenv.2005.09.087"
_YU_2006 = "Yu et al. 2006, doi 10.1002/asl.125"


def _of_observed(part: Any, pairs: Pairs) -> Any:
    """Divide a sum by the sum of the true values; NaN where that is not above 0."""
    whole = np.multiply(pairs.weight, pairs.truth_mean)
    return np.where(whole > 0, np.divide(part, whole), np.nan)[()]


_SCORES = (
    Score(
        key="R",
        name="Pearson's correlation",
        unit="",
        better="higher",
        source=_XIAO_2022,
        figure=lambda pairs: np.divide(pairs.joint_moment, pairs.spread),
    ),
    Score(
        key="RMSE",
        name="root mean squared error",
        unit="ug m-3",
        better="lower",
        source=_XIAO_2022,
        figure=lambda pairs: np.sqrt(pairs.mean("squared")),
        terms=("squared",),
    ),
    Score(
        key="MAE",
        name="mean absolute error",
        unit="ug m-3",
        better="lower",
        source=_XIAO_2022,
        figure=lambda pairs: pairs.mean("absolute"),
        terms=("absolute",),
    ),
    Score(
        key="bias",
        name="mean of method - truth",
        unit="ug m-3",
        better="zero",
        source="Willmott 1982, doi 10.1175/1520-0477(1982)063<1309:SCOTEO>2.0.CO;2",
        figure=lambda pairs: np.divide(pairs.error, pairs.weight),
    ),
    Score(
        key="NMB",
        name="normalized mean bias: sum of method - truth over the sum of the truth",
        unit="",
        better="zero",
        source=_YU_2006,
        figure=lambda pairs: _of_observed(pairs.error, pairs),
        of_frames=False,
    ),
    Score(
        key="NME",
        name="normalized mean error: sum of |method - truth| over the sum of the truth",
        unit="",
        better="lower",
        source=_YU_2006,
        figure=lambda pairs: _of_observed(pairs.terms["absolute"], pairs),
        terms=("absolute",),
        of_frames=False,
    ),
    Score(
        key="MFB",
        name="mean fractional bias, or modified normalized mean bias: mean of 2 (method - truth) / (method + truth)",
        unit="",
        better="zero",
        source=_BOYLAN_2006,
        figure=lambda pairs: pairs.mean("fraction"),
        terms=("fraction",),
        of_frames=False,
    ),
    Score(
        key="MFE",
        name="mean fractional error: mean of 2 |method - truth| / (method + truth)",
        unit="",
        better="lower",
        source=_BOYLAN_2006,
        figure=lambda pairs: pairs.mean("absolute_fraction"),
        terms=("absolute_fraction",),
        of_frames=False,
    ),
    Score(
        key="FAC2",
        name="share within a factor of two",
        unit="",
        better="higher",
        source="Chang & Hanna 2004, doi 10.1007/s00703-003-0070-7",
        figure=lambda pairs: pairs.mean("within2"),
        terms=("within2",),
        of_frames=False,
    ),
    Score(
        key="IOA",
        name="index of agreement",
        unit="",
        better="higher",
        source="Willmott 1981, doi 10.1080/02723646.1981.10642213",
        of_series=Series.agreement,
    ),
    Score(
        key="Spearman",
        name="Spearman's correlation of ranks",
        unit="",
        better="higher",
        source="Spearman 1904, doi 10.2307/1412159",
        of_series=Series.rank_correlation,
    ),
)
SCORES = {score.key: score for score in _SCORES}
"""Built-in scores by key, in the order of the tables' columns."""


def known_scores() -> dict[str, Score]:
    """Return all scores by key: built-in ones, which cannot be replaced, then those of other packages.

    Raises:
        DeepcamsError: a score of another package is invalid, or cannot be loaded.
    """
    return SCORES | added_scores(SCORES)


def of_sums() -> list[str]:
    """Return the keys of the scores computed from sums over pairs."""
    return [key for key, score in known_scores().items() if score.figure is not None]


def of_series() -> list[str]:
    """Return the keys of the scores computed from whole series."""
    return [key for key, score in known_scores().items() if score.of_series is not None]


def of_frames() -> list[str]:
    """Return the keys of the scores that apply to whole frames."""
    return [
        key
        for key, score in known_scores().items()
        if score.figure is not None and score.of_frames
    ]


def terms_of(keys: Iterable[str]) -> list[str]:
    """Return the :data:`deepcams.evaluation.sums.TERMS` that scores need."""
    scores = known_scores()
    return list(dict.fromkeys(term for key in keys for term in scores[key].terms))


def figures(pairs: Pairs, keys: Iterable[str] | None = None) -> dict[str, Any]:
    """Compute scores of one set of pairs (numbers) or of many groups (arrays), by key; NaN where undefined.

    Args:
        pairs: sums over the pairs.
        keys: keys of the scores; ``None``: all that are computed from sums.
    """
    scores = known_scores()
    keys = of_sums() if keys is None else keys
    with np.errstate(invalid="ignore", divide="ignore"):
        return {key: value_of(scores[key], pairs) for key in keys}


def series_figures(series: Series) -> np.ndarray:
    """Compute the scores that need whole series: (groups, scores), NaN where undefined."""
    scores = known_scores()
    return np.stack([value_of(scores[key], series) for key in of_series()], axis=1)


_ENDS = (1 - 0.95) / 2, 1 - (1 - 0.95) / 2


def bootstrap(
    sums: np.ndarray,
    draws: int,
    seed: int = 0,
    mean_of_groups: bool = False,
    fewest: int = 2,
    series: np.ndarray | None = None,
) -> dict[str, tuple[float, float]]:
    """Compute 95 % percentile intervals of all scores by resampling whole groups (stations) with replacement.

    Pairs of one station are not independent, while stations nearly are; so stations are resampled.

    Args:
        sums: (groups, columns); groups without pairs are ignored.
        draws: number of resamples.
        seed: random seed.
        mean_of_groups: whether to resample the mean of the groups' own scores instead of the scores of all pairs.
        fewest: smallest number of pairs for a group's own scores to count.
        series: (groups, scores), series scores of the groups (:func:`series_figures`), for their mean.

    Returns:
        (low, high) by key, NaN if undefined in every resample; empty for fewer than two groups or no draws.
    """
    enough = sums[:, 0] >= (fewest if mean_of_groups else 1)
    sums = sums[enough]
    if len(sums) < 2 or draws < 1:
        return {}
    keys, own = of_sums(), sums
    if mean_of_groups:
        own = _stacked(sums)
        if series is not None:
            keys, own = keys + of_series(), np.hstack([own, series[enough]])
    known = (~np.isnan(own)).astype(np.float64)
    filled = np.where(known, own, 0.0)
    found = []
    for times in _resamples(len(sums), draws, seed):
        if mean_of_groups:
            with np.errstate(invalid="ignore", divide="ignore"):
                found.append((times @ filled) / (times @ known))
        else:
            found.append(_stacked(times @ filled))
    return dict(zip(keys, map(interval, np.concatenate(found).T), strict=True))


@dataclass(frozen=True)
class Difference:
    """Difference between the scores of two methods on the same pairs.

    Attributes:
        one, other: scores of the two methods.
        value: one - other; for scores that are best at zero (or one), the difference of their distances from it.
        low, high: 95 % interval of ``value``; NaN without one.
        better: whether ``one`` is significantly better (True) or worse (False), or neither (``None``).
    """

    one: float
    other: float
    value: float
    low: float
    high: float
    better: bool | None


def differences(
    one: np.ndarray, other: np.ndarray, draws: int, seed: int = 0
) -> dict[str, Difference]:
    """Compute the differences of all scores between two methods, resampling blocks of their common pairs.

    Each resample uses the same pairs for both methods, so that difficulty common to both does not widen the interval.

    Args:
        one, other: (blocks, columns), sums over the same pairs.
        draws: number of resamples; 0 for no intervals.
        seed: random seed.
    """
    whole = np.stack([_stacked(sums.sum(axis=0)[None])[0] for sums in (one, other)])
    value = -np.diff(_distances(whole), axis=0)[0]
    drawn = [
        _distances(_stacked(times @ one)) - _distances(_stacked(times @ other))
        for times in _resamples(len(one), draws, seed)
    ]
    ends = np.full((len(of_sums()), 2), np.nan)
    if drawn:
        ends = np.array([interval(each) for each in np.concatenate(drawn).T])
    found = {}
    for k, key in enumerate(of_sums()):
        low, high = ends[k]
        better = None
        if low > 0 or high < 0:
            better = bool(low > 0) == (known_scores()[key].better == "higher")
        found[key] = Difference(
            float(whole[0, k]),
            float(whole[1, k]),
            float(value[k]),
            float(low),
            float(high),
            better,
        )
    return found


def _distances(values: np.ndarray) -> np.ndarray:
    """Convert scores (.., scores) that are best at zero, or one, to distances from it."""
    best, scores = {"zero": 0.0, "one": 1.0}, known_scores()
    columns = [
        abs(column - best[scores[key].better]) if scores[key].better in best else column
        for key, column in zip(of_sums(), np.moveaxis(values, -1, 0), strict=True)
    ]
    return np.stack(columns, axis=-1)


def _resamples(groups: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Yield the number of times each group is drawn, many resamples at a time: (resamples, groups)."""
    random = np.random.default_rng(seed)
    together = max(4_000_000 // groups, 1)
    for at in range(0, draws, together):
        size = min(together, draws - at)
        drawn = random.integers(0, groups, (size, groups))
        drawn += np.arange(size)[:, None] * groups
        counts = np.bincount(drawn.ravel(), minlength=size * groups)
        yield counts.reshape(size, groups).astype(np.float64)


def interval(values: np.ndarray) -> tuple[float, float]:
    """Return the 95 % percentile interval of resampled values; NaN if none is defined."""
    defined = values[~np.isnan(values)]
    low, high = np.quantile(defined, _ENDS) if defined.size else (np.nan, np.nan)
    return float(low), float(high)


def _stacked(sums: np.ndarray) -> np.ndarray:
    """Compute all scores that follow from sums, for many groups: (groups, scores)."""
    return np.stack(list(figures(pairs_of(sums)).values()), axis=1)
