"""Diagnostics by hour: error by local solar time, hour-to-hour change, and drift of the mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deepcams.evaluation.diagnostics.base import (
    SEASONS,
    Block,
    Diagnostic,
    Sums,
    ratio,
)
from deepcams.evaluation.scores import Score, figures
from deepcams.evaluation.sums import Pairs
from deepcams.evaluation.tables import Row

SURFACES = ("land", "sea")


def _by_hour(
    weights: np.ndarray, values: Sequence[np.ndarray], hours: np.ndarray
) -> np.ndarray:
    """Sum weights and weighted values over the columns of each local hour: (rows, columns) -> (24, 1 + values)."""
    columns = [weights.sum(axis=0)]
    columns += [np.einsum("ij,ij->j", weights, each) for each in values]
    return np.stack([np.bincount(hours, each, 24) for each in columns], axis=1)


def _without_missing(
    weights: np.ndarray, values: Sequence[np.ndarray]
) -> tuple[np.ndarray, Sequence[np.ndarray]]:
    """Return weights and values, all set to 0 where any value is missing."""
    missing = np.isnan(sum(values))
    if not missing.any():
        return weights, values
    return np.where(missing, 0.0, weights), [
        np.where(missing, 0.0, each) for each in values
    ]


class LocalHours(Diagnostic):
    """Error by local mean solar time, separately for land and sea."""

    name = "local_hours"
    scores = (
        Score(
            key="MAE_land",
            name="mean absolute error on land (at least half of the cell)",
            unit="ug m-3",
            better="lower",
            source="Xiao et al. 2022, doi 10.1016/j.scitotenv.2022.157747",
            form=".3f",
            head="land",
        ),
        Score(
            key="MAE_sea",
            name="mean absolute error at sea",
            unit="ug m-3",
            better="lower",
            source="Xiao et al. 2022, doi 10.1016/j.scitotenv.2022.157747",
            form=".3f",
            head="sea",
        ),
    )
    _SUMS = ("weight", "absolute", "error", "squared", "truth")

    def sums(self, block: Block, made: np.ndarray) -> Sums:
        """Return weighted sums by surface and local hour, (2, 24, 5)."""
        total = np.zeros((len(SURFACES), 24, len(self._SUMS)))
        weights, land = self.setting.node_weights, self.setting.land
        for i in block.scored:
            hours = block.local_hours(i)
            truth = block.truth[i].astype(np.float64)
            known, (error, truth) = _without_missing(weights, (made[i] - truth, truth))
            values = abs(error), error, np.square(error), truth
            for k, surface in enumerate((land, ~land)):
                total[k] += _by_hour(known * surface, values, hours)
        return Sums({"hours": total})

    def figures(self, sums: Sums) -> dict[str, float]:
        """Return the error over all hours, separately for land and sea."""
        weight, absolute = sums["hours"].sum(axis=1)[:, :2].T
        return dict(
            zip(("MAE_land", "MAE_sea"), ratio(absolute, weight).tolist(), strict=True)
        )

    def table(self, sums: Sums) -> list[Row]:
        """Return one row per surface and hour with values."""
        share = sums["hours"][..., 0].sum()
        found: list[Row] = []
        for surface, hours in zip(SURFACES, sums["hours"], strict=True):
            for hour in np.flatnonzero(hours[:, 0]).tolist():
                weight, absolute, error, squared, truth = hours[hour].tolist()
                row: Row = {"surface": surface, "hour": hour, "share": weight / share}
                row |= {"MAE": absolute / weight, "bias": error / weight}
                row |= {
                    "RMSE": float(np.sqrt(squared / weight)),
                    "truth": truth / weight,
                }
                found.append(row)
        return found


class Change(Diagnostic):
    """Pearson's correlation of hour-to-hour changes with those of the truth, pooled over all nodes and hours."""

    name = "change"
    scores = (
        Score(
            key="R_change",
            name="Pearson's correlation of the change from hour to hour",
            unit="",
            better="higher",
            source="this project",
            form=".3f",
            head="R diff.",
        ),
    )
    only_in_time = True

    def sums(self, block: Block, made: np.ndarray) -> Sums:
        """Return the weighted sums over pairs of changes."""
        pairs = Pairs()
        for i in range(1, len(block.times)):
            truth, method = (
                each[i].astype(np.float64) - each[i - 1] for each in (block.truth, made)
            )
            weights, missing = self.setting.node_weights, np.isnan(truth + method)
            if missing.any():
                truth, method, weights = (
                    each[~missing] for each in (truth, method, weights)
                )
            pairs += Pairs.of(truth, method, weights, terms=())
        return Sums({"pairs": pairs})

    def figures(self, sums: Sums) -> dict[str, float]:
        """Return the correlation."""
        return {"R_change": float(figures(sums["pairs"], ["R"])["R"])}

    def table(self, sums: Sums) -> list[Row]:
        """Return one row: correlation, and standard deviations of the changes (ug m-3 an hour)."""
        pairs = sums["pairs"]
        spread = [
            float(np.sqrt(ratio(each, pairs.weight)))
            for each in (pairs.truth_moment, pairs.method_moment)
        ]
        return [
            self.figures(sums)
            | {"truth_std": spread[0], "method_std": spread[1], "pairs": pairs.count}
        ]


class Drift(Diagnostic):
    """Difference of a temporal method's mean from that of its own analyses interpolated linearly.

    A method without drift has the daily means of the linear interpolation. The truth's drift is reported too, because
    the mean of all its hours also differs from that of the given hours interpolated linearly.
    """

    name = "drift"
    scores = (
        Score(
            key="drift",
            name="mean of the hourly field less that of its analyses joined linearly, relative to the latter",
            unit="",
            better="zero",
            source="this project",
            form="+.2%",
        ),
    )
    only_in_time = True
    _SUMS = ("weight", "straight", "method", "truth_straight", "truth")

    def sums(self, block: Block, made: np.ndarray) -> Sums:
        """Return weighted sums by season and local hour, (4, 24, 5), over all hours, including the given ones."""
        total = np.zeros((len(SEASONS), 24, len(self._SUMS)))
        weights = self.setting.node_weights
        # Hours after the last analysis cannot be interpolated.
        span = self.setting.span
        for i in range((len(block.times) - 1) // span * span):
            first, share = i - i % span, i % span / span
            values = []
            for frames in (made, block.truth):
                before, after = frames[first].astype(np.float64), frames[first + span]
                values += [
                    (1 - share) * before + share * after,
                    frames[i].astype(np.float64),
                ]
            known, filled = _without_missing(weights, values)
            hours = block.local_hours(i)
            total[block.season(i)] += _by_hour(known, filled, hours)
        return Sums({"means": total})

    def figures(self, sums: Sums) -> dict[str, float]:
        """Return the relative drift over all seasons and hours."""
        _, straight, method, _, _ = sums["means"].sum(axis=(0, 1))
        return {"drift": float(ratio(method - straight, straight))}

    def table(self, sums: Sums) -> list[Row]:
        """Return one row per season and local hour with values, drifts in ug m-3."""
        found: list[Row] = []
        for season, hours in zip(SEASONS, sums["means"], strict=True):
            for hour in np.flatnonzero(hours[:, 0]).tolist():
                weight, straight, method, true_straight, truth = hours[hour].tolist()
                row: Row = {
                    "season": season,
                    "hour": hour,
                    "analyses": straight / weight,
                }
                row |= {"drift": (method - straight) / weight}
                row |= {"drift_truth": (truth - true_straight) / weight}
                found.append(row)
        return found
