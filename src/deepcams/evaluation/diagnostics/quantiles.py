"""Errors of quantiles, from a histogram with fixed bins and integer counts.

Bins are given by the first ten bits of a value's mantissa: 1,024 per octave from 2^-10 to 2^17 ug m-3. So a bin is at
most 0.098 % wide; a quantile is the middle of its bin and differs from the sample quantile by at most half of that,
0.049 %. Lower values count as 0, higher ones as 2^17. All nodes have equal weight, whatever their area.
"""

from __future__ import annotations

import numpy as np

from deepcams.evaluation.diagnostics.base import Block, Diagnostic, Sums, ratio
from deepcams.evaluation.scores import Score
from deepcams.evaluation.tables import Row

QUANTILES = (0.5, 0.9, 0.99, 0.999, 0.9999)
LOWEST, HIGHEST = 2.0**-10, 2.0**17
_DIGITS = 10
_SHIFT = 23 - _DIGITS  # dropped bits of the float32 mantissa
_FIRST = int(np.float32(LOWEST).view(np.int32)) >> _SHIFT
_BINS = (int(np.float32(HIGHEST).view(np.int32)) >> _SHIFT) - _FIRST


def bins_of(values: np.ndarray) -> np.ndarray:
    """Return the bin index of each value: 0 below :data:`LOWEST`, the last from :data:`HIGHEST`."""
    digits = np.ascontiguousarray(values, np.float32).view(np.int32) >> _SHIFT
    return np.clip(digits - _FIRST + 1, 0, _BINS + 1)


def middles() -> np.ndarray:
    """Return the middle of each bin, ug m-3; 0 for the first, :data:`HIGHEST` for the last."""
    edges = ((np.arange(_BINS + 1) + _FIRST) << _SHIFT).astype(np.int32)
    bounds = edges.view(np.float32).astype(np.float64)
    return np.concatenate([[0.0], (bounds[:-1] + bounds[1:]) / 2, [HIGHEST]])


def quantile(counts: np.ndarray, share: float) -> float:
    """Return a quantile of a histogram: the middle of the bin that holds the value of that rank; NaN if empty.

    Args:
        counts: counts per bin of :func:`bins_of`.
        share: 0..1; the value is the ceil(share * n)-th of n (definition 1 of Hyndman and Fan 1996).
    """
    total = int(counts.sum())
    if not total:
        return float("nan")
    rank = max(int(np.ceil(share * total - 1e-9)), 1)
    return float(middles()[np.searchsorted(np.cumsum(counts), rank)])


class Quantiles(Diagnostic):
    """Errors of quantiles over all nodes and times."""

    name = "quantiles"
    scores = (
        Score(
            key="q9999",
            name="relative error of the 99.99 % quantile of all values",
            unit="",
            better="zero",
            source="Hyndman & Fan 1996, doi 10.1080/00031305.1996.10473566, definition 1",
            form="+.1%",
            head="p99.99",
        ),
    )

    def sums(self, block: Block, made: np.ndarray) -> Sums:
        """Return the counts per bin of the truth and the method, (2, bins)."""
        counts = np.zeros((2, _BINS + 2), np.int64)
        for i in block.scored:
            both = ~(np.isnan(block.truth[i]) | np.isnan(made[i]))
            whole = bool(both.all())
            for side, frame in enumerate((block.truth[i], made[i])):
                chosen = frame if whole else frame[both]
                found = np.bincount(bins_of(chosen).ravel(), minlength=_BINS + 2)
                counts[side] += found
        return Sums({"counts": counts})

    def figures(self, sums: Sums) -> dict[str, float]:
        """Return the relative error of the highest quantile."""
        return {"q9999": self.table(sums)[-1]["error"]}

    def table(self, sums: Sums) -> list[Row]:
        """Return one row per quantile."""
        found: list[Row] = []
        for share in QUANTILES:
            truth, method = (quantile(counts, share) for counts in sums["counts"])
            error = float(ratio(method - truth, truth))
            found.append(
                {"quantile": share, "truth": truth, "method": method, "error": error}
            )
        return found
