"""The scores: one entry each, computed from sums, for a set of pairs or for many groups at once.

:data:`SCORES` is the one list. What it holds is a column of ``deepcams validate`` and, unless the entry says otherwise,
of ``deepcams evaluate``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from deepcams.evaluation.sums import Pairs, pairs_of

Better = Literal["higher", "lower", "zero", "one"]


@dataclass(frozen=True)
class Score:
    """One score.

    Attributes:
        key: its name in tables.
        name: in words.
        unit: empty where it has none.
        better: which values are better; ``zero`` is nearer to zero, ``one`` nearer to one.
        source: the work that defines it.
        figure: its value from sums over pairs; NaN (or a division by zero) where it is undefined. ``None`` for scores
            that are computed from something else.
        of_frames: also a score of whole frames (``deepcams evaluate``).
        form: how tables for people write it (as :func:`format` takes it).
        head: of its column in tables for people; the key where empty.
    """

    key: str
    name: str
    unit: str
    better: Better
    source: str
    figure: Callable[[Pairs], Any] | None = None
    of_frames: bool = True
    form: str = ".3f"
    head: str = ""


_XIAO_2022 = "Xiao et al. 2022, doi 10.1016/j.scitotenv.2022.157747"
_BOYLAN_2006 = "Boylan & Russell 2006, doi 10.1016/j.atmosenv.2005.09.087"
_YU_2006 = "Yu et al. 2006, doi 10.1002/asl.125"


def _of_observed(part: Any, pairs: Pairs) -> Any:
    """Return a sum as a share of the sum of the true values; NaN where that is not above 0."""
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
    ),
    Score(
        key="MAE",
        name="mean absolute error",
        unit="ug m-3",
        better="lower",
        source=_XIAO_2022,
        figure=lambda pairs: pairs.mean("absolute"),
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
        of_frames=False,
    ),
    Score(
        key="MFB",
        name="mean fractional bias, or modified normalized mean bias: mean of 2 (method - truth) / (method + truth)",
        unit="",
        better="zero",
        source=_BOYLAN_2006,
        figure=lambda pairs: pairs.mean("fraction"),
        of_frames=False,
    ),
    Score(
        key="MFE",
        name="mean fractional error: mean of 2 |method - truth| / (method + truth)",
        unit="",
        better="lower",
        source=_BOYLAN_2006,
        figure=lambda pairs: pairs.mean("absolute_fraction"),
        of_frames=False,
    ),
    Score(
        key="FAC2",
        name="share within a factor of two",
        unit="",
        better="higher",
        source="Chang & Hanna 2004, doi 10.1007/s00703-003-0070-7",
        figure=lambda pairs: pairs.mean("within2"),
        of_frames=False,
    ),
)
SCORES = {score.key: score for score in _SCORES}
"""Key -> score, in the order of the tables' columns."""


def of_sums() -> list[str]:
    """Return the keys of the scores that follow from sums over pairs."""
    return [key for key, score in SCORES.items() if score.figure is not None]


def of_frames() -> list[str]:
    """Return the keys of the scores of whole frames."""
    return [key for key in of_sums() if SCORES[key].of_frames]


def figures(pairs: Pairs, keys: Iterable[str] | None = None) -> dict[str, Any]:
    """Return scores of a set of pairs, or of many groups: key -> number or array; NaN where undefined.

    Args:
        pairs: their sums.
        keys: of the scores; all that follow from sums where ``None``.
    """
    found = {}
    keys = of_sums() if keys is None else keys
    with np.errstate(invalid="ignore", divide="ignore"):
        for key in keys:
            figure = SCORES[key].figure
            assert figure is not None, f"{key} is not computed from sums over pairs"
            found[key] = figure(pairs)
    return found


_ENDS = (1 - 0.95) / 2, 1 - (1 - 0.95) / 2


def bootstrap(
    sums: np.ndarray,
    draws: int,
    seed: int = 0,
    mean_of_groups: bool = False,
    fewest: int = 2,
) -> dict[str, tuple[float, float]]:
    """Return 95 % percentile intervals of all scores when whole groups (stations) are drawn with replacement.

    Pairs of one station are not independent; stations nearly are, so they are what is resampled.

    Args:
        sums: (groups, columns); groups without pairs do not count.
        draws: how many resamples.
        seed: of the draws.
        mean_of_groups: resample the mean of the groups' own scores instead of the scores of all pairs.
        fewest: pairs that a group must have for its own scores to count.

    Returns:
        key -> (low, high), NaN where undefined in every resample; empty for fewer than two groups or no draws.
    """
    sums = sums[sums[:, 0] >= (fewest if mean_of_groups else 1)]
    groups = len(sums)
    if groups < 2 or draws < 1:
        return {}
    random = np.random.default_rng(seed)
    own = _stacked(sums) if mean_of_groups else sums
    known = (~np.isnan(own)).astype(np.float64)
    filled = np.where(known, own, 0.0)
    found = []
    together = max(4_000_000 // groups, 1)
    for at in range(0, draws, together):
        size = min(together, draws - at)
        # How often each group is drawn: counts of uniform draws, many resamples at a time.
        drawn = random.integers(0, groups, (size, groups))
        drawn += np.arange(size)[:, None] * groups
        counts = np.bincount(drawn.ravel(), minlength=size * groups)
        times = counts.reshape(size, groups).astype(np.float64)
        if mean_of_groups:
            with np.errstate(invalid="ignore", divide="ignore"):
                found.append((times @ filled) / (times @ known))
        else:
            found.append(_stacked(times @ filled))
    ends = {}
    for key, values in zip(of_sums(), np.concatenate(found).T, strict=True):
        defined = values[~np.isnan(values)]
        low, high = np.quantile(defined, _ENDS) if defined.size else (np.nan, np.nan)
        ends[key] = float(low), float(high)
    return ends


def _stacked(sums: np.ndarray) -> np.ndarray:
    """All scores of some groups: (groups, scores)."""
    return np.stack(list(figures(pairs_of(sums)).values()), axis=1)
