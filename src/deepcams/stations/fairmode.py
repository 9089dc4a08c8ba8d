"""FAIRMODE's modelling quality indicator: errors of daily and annual means against the measurements' uncertainty.

After FAIRMODE's guidance document on modelling quality objectives and benchmarking, version 3.3 (2022,
doi 10.2760/41988), whose formulas were taken from public programs that follow it (evaltools of Meteo-France, pyaerocom
of MET Norway), not from the document itself. For a station, over its days:

- U(O)^2 = U_r^2 ((1 - alpha^2) O^2 + alpha^2 RV^2), and RMS_U the root of its mean;
- MQI = RMSE / (beta RMS_U); annual: |bias of the annual means| / (beta U(mean)), where
  U(mean)^2 = U_r^2 ((1 - alpha^2) mean^2 / Np + alpha^2 RV^2 / Nnp);
- the target diagram: y = bias / (beta RMS_U), x = CRMSE / (beta RMS_U), negative where correlation contributes more to
  the centred error than standard deviation: |s_M - s_O| < s_O sqrt(2 (1 - R)). A point's distance from 0 is its MQI.

Over stations sorted by MQI: with S = int(0.9 N), MQI_90 = MQI(S) + (MQI(S + 1) - MQI(S)) (0.9 N - S). The objective is
met if MQI_90 <= 1. For a single station MQI_90 is undefined.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from deepcams.core.errors import InputError
from deepcams.evaluation.sums import pairs_of
from deepcams.evaluation.tables import ALL, Row, defined
from deepcams.stations.averages import enough
from deepcams.stations.station_years import AnnualMeans

if TYPE_CHECKING:
    from deepcams.stations.sums import Scored
    from deepcams.stations.validation import Validation


@dataclass(frozen=True)
class Parameters:
    """Parameters of one version of the guidance for one species.

    Attributes:
        version, doi: version and DOI of the guidance.
        species: short name (``pm2p5``).
        relative: U_r, the relative expanded uncertainty at the reference value.
        reference: RV, ug m-3.
        alpha: fraction of the uncertainty at RV that does not grow with the value.
        beta: allowed ratio of the model's error to the measurements' uncertainty.
        annual_proportional, annual_constant: Np and Nnp, by which averaging over a year reduces each part.
    """

    version: str
    doi: str
    species: str
    relative: float
    reference: float
    alpha: float
    beta: float
    annual_proportional: float
    annual_constant: float

    def squared_uncertainty(self, square: np.ndarray) -> np.ndarray:
        """Return the squared uncertainty of daily means with a (mean) square ``square``, ug2 m-6."""
        a2 = self.alpha**2
        return np.asarray(
            self.relative**2 * ((1 - a2) * square + a2 * self.reference**2)
        )

    def annual_uncertainty(self, mean: np.ndarray) -> np.ndarray:
        """Return the uncertainty of annual means, ug m-3."""
        a2 = self.alpha**2
        grows = (1 - a2) * np.square(mean) / self.annual_proportional
        stays = a2 * self.reference**2 / self.annual_constant
        return np.asarray(self.relative * np.sqrt(grows + stays))


PARAMETERS: tuple[Parameters, ...] = (
    Parameters(
        version="3.3 (2022)",
        doi="10.2760/41988",
        species="pm2p5",
        relative=0.36,
        reference=25.0,
        alpha=0.5,
        beta=2.0,
        annual_proportional=20.0,
        annual_constant=1.5,
    ),
)
"""All known versions, the newest last."""


def parameters_of(species: str) -> Parameters | None:
    """Return the newest parameters of a species; ``None`` if there are none."""
    known = [each for each in PARAMETERS if each.species == species]
    return known[-1] if known else None


def check(average: str, species: str) -> None:
    """Check that FAIRMODE defines indicators for an averaging and a species.

    Raises:
        InputError: values are hourly, or the species is not PM2.5.
    """
    if average == "hour":
        raise InputError(
            "--fairmode",
            "daily means, for which FAIRMODE's uncertainties are",
            "hourly values",
            "add --average day",
        )
    if parameters_of(species) is None:
        known = ", ".join(each.species for each in PARAMETERS)
        raise InputError("--fairmode", f"a species of its table ({known})", species)


@dataclass
class Target:
    """Stations in the target diagram.

    Attributes:
        days: (stations,), number of pairs of daily means.
        mqi: (stations,); like the following, NaN without pairs.
        uncertainty: RMS_U, ug m-3.
        x, y: coordinates in the diagram.
    """

    days: np.ndarray
    mqi: np.ndarray
    uncertainty: np.ndarray
    x: np.ndarray
    y: np.ndarray

    @classmethod
    def of(cls, sums: np.ndarray, parameters: Parameters) -> Target:
        """Compute the target diagram from sums over daily means: (stations, columns)."""
        pairs = pairs_of(sums)
        n = pairs.weight
        # A moment within rounding error belongs to a constant series: 0.
        observed, model = (
            np.nan_to_num(moment)
            for moment in (pairs.truth_moment, pairs.method_moment)
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            square = observed / n + np.square(pairs.truth_mean)
            uncertainty = np.sqrt(parameters.squared_uncertainty(square))
            scale = parameters.beta * uncertainty
            squared_error, bias = pairs.terms["squared"] / n, pairs.error / n
            centred = np.sqrt(np.maximum(squared_error - bias**2, 0.0))
            s_o, s_m = np.sqrt(observed / n), np.sqrt(model / n)
            # (s_M - s_O)^2 < 2 s_O^2 (1 - R); if a side is constant, R is undefined and only s is used.
            ratio = np.divide(s_o * pairs.joint_moment, n * s_m)
            by_correlation = np.square(s_m - s_o) < 2 * (s_o**2 - ratio)
        return cls(
            days=np.asarray(pairs.count),
            mqi=np.sqrt(squared_error) / scale,
            uncertainty=uncertainty,
            x=np.where(by_correlation, -centred, centred) / scale,
            y=bias / scale,
        )


def annual_mqi(
    observed: np.ndarray, model: np.ndarray, parameters: Parameters
) -> np.ndarray:
    """Compute the indicator of annual means, given in ug m-3; NaN where these are NaN."""
    scale = parameters.beta * parameters.annual_uncertainty(observed)
    return np.asarray(abs(model - observed) / scale)


def interpolated_90(indicators: np.ndarray) -> float:
    """Return the 90th percentile of stations' indicators, interpolated as in the guidance; NaN for fewer than two."""
    ordered = np.sort(indicators[np.isfinite(indicators)])
    if ordered.size < 2:
        return float("nan")
    rank, tenths = divmod(9 * ordered.size, 10)
    low, high = ordered[rank - 1], ordered[rank]
    return float(low + (high - low) * tenths / 10)


@dataclass
class Indicators:
    """FAIRMODE's indicators of one product and set of pairs, for one year or (``all``) several.

    Attributes:
        product, pairs, group: product, set of pairs and year.
        used: (stations,), whether at least 75 % of the group's days count at the station.
        target: stations in the diagram; ``None`` if pairs are annual.
        annual: (stations,), the annual indicator; NaN where the year does not count, or for several years.
    """

    product: str
    pairs: str
    group: str
    used: np.ndarray
    target: Target | None
    annual: np.ndarray

    def row(self) -> Row:
        """Return the figures over stations; ``None`` where undefined."""
        daily = float("nan")
        if self.target is not None:
            daily = interpolated_90(self.target.mqi[self.used])
        annual = interpolated_90(self.annual)
        row: Row = {
            "product": self.product,
            "pairs": self.pairs,
            "group": self.group,
            "stations": int(self.used.sum()),
            "MQI_90": daily,
            "MQO_met": bool(daily <= 1) if np.isfinite(daily) else None,
            "annual_stations": int(np.isfinite(self.annual).sum()),
            "annual_MQI_90": annual,
            "annual_MQO_met": bool(annual <= 1) if np.isfinite(annual) else None,
        }
        return defined(row)

    def station_rows(self, ids: list[str]) -> list[Row]:
        """Return one row per station with a figure."""
        rows: list[Row] = []
        about = {"product": self.product, "pairs": self.pairs, "group": self.group}
        for k in np.flatnonzero(self.used | np.isfinite(self.annual)):
            row: Row = about | {"station": ids[k]}
            if self.target is not None and self.used[k]:
                row |= {
                    "days": int(self.target.days[k]),
                    "MQI": float(self.target.mqi[k]),
                    "RMS_U": float(self.target.uncertainty[k]),
                    "target_x": float(self.target.x[k]),
                    "target_y": float(self.target.y[k]),
                }
            rows.append(defined(row | {"annual_MQI": float(self.annual[k])}))
        return rows


def indicators(found: Validation) -> list[Indicators]:
    """Compute the indicators of a validation of daily or annual means, by product, set of pairs and year.

    If there are several years, the indicators over all their days come first.

    Raises:
        InputError: see :func:`check`.
    """
    check(found.options.average, found.options.species)
    parameters = parameters_of(found.options.species)
    assert parameters is not None  # as checked
    result = []
    for scored in found.scored:
        if scored.any():
            result += _of_product(found, scored, parameters)
    return result


def _of_product(
    found: Validation, scored: Scored, parameters: Parameters
) -> list[Indicators]:
    means = AnnualMeans.of(found, scored)
    annual = annual_mqi(means.observed, means.model, parameters)
    any_year = np.flatnonzero(means.days.any(axis=0)).tolist()
    groups = [(str(means.years[k]), [k]) for k in any_year]
    if len(groups) > 1 and scored.years is not None:
        groups.insert(0, (ALL, any_year))
    result = []
    for group, inside in groups:
        target, used = None, np.zeros(len(means.days), bool)
        if scored.years is not None:
            target = Target.of(means.sums[:, inside].sum(axis=1), parameters)
            possible = scored.years.possible[inside]
            used = (target.days > 0) & enough(target.days, possible.sum())
        own = annual[:, inside[0]]
        if len(inside) > 1:
            own = np.full(len(used), np.nan)
        result.append(
            Indicators(scored.product, scored.pairs, group, used, target, own)
        )
    return result


def about(species: str) -> Row:
    """Return the parameters used, for the JSON output."""
    parameters = parameters_of(species)
    return {} if parameters is None else dict(vars(parameters))
