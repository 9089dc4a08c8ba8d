"""A score: the fractional bias of the means, which follows from sums over pairs."""

from __future__ import annotations

import numpy as np

from deepcams.evaluation import Pairs, Score


def _figure(pairs: Pairs) -> np.ndarray:
    """Return it of one set of pairs, or of many groups (arrays) at once; NaN of nothing."""
    both = pairs.method_mean + pairs.truth_mean
    return 2 * np.divide(pairs.method_mean - pairs.truth_mean, both)


FB = Score(
    key="FB",
    name="fractional bias: 2 (mean of the method - mean of the truth) / their sum",
    unit="",
    better="zero",
    source="Chang & Hanna 2004, doi 10.1007/s00703-003-0070-7 (there with the other sign)",
    figure=_figure,
    form="+.3f",
)
