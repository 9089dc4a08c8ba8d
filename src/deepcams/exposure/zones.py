"""Exposure of zones: means by area and by population, and shares of people by concentration class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from deepcams._version import __version__
from deepcams.core.errors import InputError, notice
from deepcams.core.field import grid_of
from deepcams.core.limits import who_levels
from deepcams.core.period import Period
from deepcams.core.progress import Progress, no_progress
from deepcams.core.text import counted
from deepcams.core.times import stamp
from deepcams.exposure.fields import DAYS
from deepcams.exposure.polygons import Zones
from deepcams.exposure.population import Population
from deepcams.exposure.steps import Over, Steps, step_means, steps_of
from deepcams.exposure.weights import Weights, weigh
from deepcams.stations.extract import read_nodes

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Layout = Literal["plain", "healthiar"]
WHO: Literal["who"] = "who"
"""Name, given instead of numbers, of the WHO guideline levels for the steps."""


@dataclass
class ZoneExposure:
    """The exposure of zones, for each zone and step.

    Attributes:
        zones: zones.
        steps: time steps.
        mean: (steps, zones), area-weighted mean, ug m-3; NaN where there is no value.
        covered: (steps, zones), fraction of the zone's area that has values.
        people: (zones,), people in the zone; ``None`` without a population.
        population_mean: (steps, zones), population-weighted mean, ug m-3.
        people_covered: (steps, zones), fraction of the zone's people in cells that have values.
        people_known: (zones,), fraction of the zone's area with population data.
        limits: upper limits of all classes except the last, ug m-3.
        class_people: (steps, zones, classes), people by class of their cell's mean; a limit belongs to the lower class.
        class_mean: (steps, zones, classes), population-weighted mean of the class, ug m-3; NaN if it has no people.
        facts: inputs and settings, as JSON types.
    """

    zones: Zones
    steps: Steps
    mean: np.ndarray
    covered: np.ndarray
    people: np.ndarray | None = None
    population_mean: np.ndarray | None = None
    people_covered: np.ndarray | None = None
    people_known: np.ndarray | None = None
    limits: tuple[float, ...] = ()
    class_people: np.ndarray | None = None
    class_mean: np.ndarray | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def class_names(self) -> list[str]:
        """Return the names of the classes: ``0_5``, ``5_10``, .., ``above_35``."""
        texts = [f"{limit:g}" for limit in self.limits]
        pairs = zip(["0", *texts], texts, strict=False)
        return [*(f"{low}_{high}" for low, high in pairs), f"above_{texts[-1]}"]

    def table(self, layout: Layout = "plain") -> pd.DataFrame:
        """Return one row per zone and step, ordered by zone.

        Args:
            layout: ``plain``, or ``healthiar``: one row per class with people, with the argument names of that R
                package.

        Returns:
            the columns listed in docs/zones.md; concentrations in ug m-3, shares 0 to 1.

        Raises:
            InputError: ``healthiar`` without a population.
        """
        number, steps = len(self.zones), len(self.steps)
        frame = pd.DataFrame(
            {
                "zone": np.repeat(np.array(self.zones.ids, object), steps),
                "name": np.repeat(np.array(self.zones.names, object), steps),
                "start": np.tile(self.steps.start, number),
            }
        )
        if layout == "healthiar":
            return self._healthiar(frame)
        values = np.tile(self.steps.stop - self.steps.first, number)
        columns: dict[str, np.ndarray] = {
            "values": values,
            "mean": self.mean.T.ravel(),
            "covered": self.covered.T.ravel(),
        }
        if self.people is not None:
            assert self.population_mean is not None
            assert self.people_covered is not None
            assert self.people_known is not None
            columns["population_mean"] = self.population_mean.T.ravel()
            columns["people"] = np.repeat(self.people, steps)
            columns["people_covered"] = self.people_covered.T.ravel()
            columns["people_known"] = np.repeat(self.people_known, steps)
        if self.class_people is not None:
            shares = self._shares()
            for k, name in enumerate(self.class_names()):
                columns[f"share_{name}"] = shares[:, :, k].T.ravel()
        return frame.assign(**columns)

    def _shares(self) -> np.ndarray:
        assert self.class_people is not None
        total = self.class_people.sum(axis=2, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.class_people / total)

    def _healthiar(self, frame: pd.DataFrame) -> pd.DataFrame:
        if self.people is None or self.population_mean is None:
            do = "add --population"
            raise InputError("--layout healthiar", "a population", "none", do)
        steps = len(self.steps)
        names = {"zone": "geo_id_micro", "name": "info"}
        frame = frame.rename(columns=names)
        frame["population"] = np.repeat(self.people, steps)
        if self.class_people is None or self.class_mean is None:
            frame["exposure_class"] = "all"
            frame["exp_central"] = self.population_mean.T.ravel()
            frame["prop_pop_exp"] = 1.0
            frame["pop_exp"] = frame["population"]
            return frame.dropna(subset="exp_central").reset_index(drop=True)
        shares, parts = self._shares(), []
        for k, name in enumerate(self.class_names()):
            part = frame.copy()
            part["exposure_class"] = name
            part["exp_central"] = self.class_mean[:, :, k].T.ravel()
            part["prop_pop_exp"] = shares[:, :, k].T.ravel()
            part["pop_exp"] = part["prop_pop_exp"] * part["population"]
            parts.append(part.assign(order=np.arange(len(part))))
        whole = pd.concat(parts).sort_values("order", kind="stable")
        used = whole["prop_pop_exp"] > 0
        return whole[used].drop(columns="order").reset_index(drop=True)


def zone_exposure(
    field: xr.DataArray,
    zones: Zones,
    *,
    over: Over = "day",
    period: Period | None = None,
    population: Population | None = None,
    classes: Sequence[float] | Literal["who"] = (),
    progress: Progress | None = None,
) -> ZoneExposure:
    """Compute the exposure of zones: area-weighted and, if a population is given, population-weighted means.

    A cell is weighted by the exact area on the sphere that it shares with the zone; people are those of the
    population's own cells. Each cell is averaged over a step first, so classes refer to daily or annual means.

    Args:
        field: canonical, lazy or not.
        zones: see :func:`deepcams.exposure.read_zones`.
        over: the field's own times (``hour``), or days, months or years of UTC.
        period: times to use.
        population: see :func:`deepcams.exposure.read_population`.
        classes: limits between classes, ug m-3, or ``who``: WHO levels for days or years.
        progress: callback, called with the stages "weights" and "reading".

    Returns:
        means, shares, and their inputs and settings.

    Raises:
        InputError: no zone overlaps the field; or see :func:`deepcams.exposure.steps.steps_of`.
    """
    progress = progress or no_progress
    limits = _limits(classes, over, str(field.name), population)
    grid, steps = grid_of(field), steps_of(field, over, period)
    weights = weigh(
        zones,
        grid,
        population,
        lambda done, total: progress("weights", done, total),
    )
    within = np.asarray(weights.area.sum(axis=1)).ravel()
    if not within.any():
        expected = f"zones that meet the field ({grid.describe()})"
        raise InputError(zones.source, expected, f"none of {len(zones)}")
    outside = int((within == 0).sum())
    if outside:
        notice(
            f"{counted(outside, 'zone')} of {len(zones)} without a cell of the field: rows without values"
        )
    used = _used(weights)
    area = _Weighted(weights.area, used, weights.zone_area)
    people = None
    if weights.people is not None:
        people = _Weighted(weights.people, used, weights.zone_people)
    shape = len(steps), len(zones)
    result = ZoneExposure(zones, steps, np.empty(shape), np.empty(shape))
    if people is not None:
        result.people = weights.zone_people
        result.people_known = 1 - weights.missing
        result.population_mean = np.empty(shape)
        result.people_covered = np.empty(shape)
        if limits:
            result.limits = limits
            result.class_people = np.empty((*shape, len(limits) + 1))
            result.class_mean = np.empty((*shape, len(limits) + 1))
    begin, end = steps.within
    blocks = read_nodes(field, used, "field", (begin, end))
    for first, means in step_means(blocks, steps):
        at = slice(first, first + len(means))
        result.mean[at], result.covered[at] = area.means(means)
        if people is not None:
            assert result.population_mean is not None
            assert result.people_covered is not None
            found = people.means(means)
            result.population_mean[at], result.people_covered[at] = found
        if people is not None and result.class_people is not None:
            assert result.class_mean is not None
            by_class = people.by_class(means, limits)
            result.class_people[at], result.class_mean[at] = by_class
        progress("reading", int(steps.stop[at][-1]) - begin, end - begin)
    result.facts = _facts(field, result, population, weights)
    return result


def _limits(
    classes: Sequence[float] | Literal["who"],
    over: Over,
    species: str,
    population: Population | None,
) -> tuple[float, ...]:
    """Return the limits between classes.

    Raises:
        InputError: limits do not increase, no population is given, or WHO has no levels for the steps.
    """
    limits: tuple[float, ...]
    if classes == WHO:
        limits = ()
        if over == "day" or over == "year":
            limits = who_levels(species, over)
        if not limits:
            found = f"{over} of {species}"
            do = "give numbers: --classes 5,10,15"
            raise InputError("--classes who", "days or years of pm2p5, pm10", found, do)
    else:
        limits = tuple(float(limit) for limit in classes)
    if limits and population is None:
        do = "add --population FILE"
        raise InputError("--classes", "a population to share out", "none", do)
    above = np.diff([0.0, *limits]) > 0
    if not np.all(above) or not np.all(np.isfinite(limits)):
        found = ",".join(f"{limit:g}" for limit in limits)
        raise InputError("--classes", "increasing numbers above 0", found)
    return limits


def _used(weights: Weights) -> np.ndarray:
    """Return the increasing indices of the cells that have a weight."""
    parts = [weights.area.indices]
    if weights.people is not None:
        parts.append(weights.people.indices)
    return np.unique(np.concatenate(parts)).astype(np.int64)


class _Weighted:
    """Weights of the cells that are read.

    Args:
        matrix: (zones, cells).
        used: indices of the cells that are read.
        whole: (zones,), total area or people of each zone.
    """

    def __init__(
        self, matrix: csr_array[Any], used: np.ndarray, whole: np.ndarray
    ) -> None:
        from scipy.sparse import csr_array

        column = np.searchsorted(used, matrix.indices)
        size = (matrix.shape[0], used.size)
        self._matrix = csr_array((matrix.data, column, matrix.indptr), shape=size)
        self._zone = np.repeat(np.arange(size[0]), np.diff(matrix.indptr))
        self._total = np.asarray(self._matrix.sum(axis=1)).ravel()
        self._whole = whole

    def means(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the weighted means of maps (maps, cells) over zones, and the fraction of each zone with values."""
        missing = np.isnan(values)
        total: np.ndarray = np.broadcast_to(
            self._total, (len(values), self._total.size)
        )
        if missing.any():
            total = np.asarray(self._matrix @ (~missing).astype(float).T).T
            values = np.where(missing, 0.0, values)
        sums = np.asarray(self._matrix @ values.T).T
        with np.errstate(invalid="ignore", divide="ignore"):
            # Mask zones of zero size, and totals that are only rounding error.
            share = total / self._whole
            known = share > 1e-9
            mean = np.where(known, sums / total, np.nan)
        return mean, np.where(known, np.minimum(share, 1.0), 0.0)

    def by_class(
        self, values: np.ndarray, limits: tuple[float, ...]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return people and their mean per class: (maps, zones, classes) each."""
        zones, classes = self._total.size, len(limits) + 1
        shape = len(values), zones, classes
        people, sums = np.zeros(shape), np.zeros(shape)
        for step, row in enumerate(values):
            own = row[self._matrix.indices]
            known = np.isfinite(own)
            which = np.searchsorted(limits, own[known], "left")
            at = self._zone[known] * classes + which
            weight = self._matrix.data[known]
            size = zones * classes
            people[step] = np.bincount(at, weight, size).reshape(zones, classes)
            weighted = np.bincount(at, weight * own[known], size)
            sums[step] = weighted.reshape(zones, classes)
        with np.errstate(invalid="ignore", divide="ignore"):
            return people, sums / people


def _facts(
    field: xr.DataArray,
    found: ZoneExposure,
    population: Population | None,
    weights: Weights,
) -> dict[str, Any]:
    steps = found.steps
    facts: dict[str, Any] = {
        "made_by": f"deepcams {__version__} zones",
        "field": str(field.attrs.get("source", "")),
        "variable": str(field.name),
        "units": "ug m-3",
        "days": str(field.encoding.get(DAYS, "utc")),
        "grid": grid_of(field).describe(),
        "over": steps.over,
        "steps": len(steps),
        "from": stamp(steps.start[0]),
        "to": stamp(steps.end[-1]),
        "steps_need": "75 % of their values, at each cell",
        "zones": {"source": found.zones.source, "number": len(found.zones)},
        "area": "exact part of each cell on the sphere; edges straight in degrees",
    }
    if population is not None:
        area = weights.zone_area.sum()
        missing = float((weights.missing * weights.zone_area).sum() / area)
        facts["population"] = {
            "source": population.source,
            "year": population.year or "unknown",
            "values": population.kind,
            "cells": " x ".join(map(str, population.lines.shape)),
            "people_in_zones": round(float(weights.zone_people.sum()), 1),
            "people_in_cells_of_the_field": round(
                float(weights.people.sum()) if weights.people is not None else 0.0, 1
            ),
            "missing_share_of_area": round(missing, 6),
            "missing_are": "no people",
        }
    if found.limits:
        facts["classes"] = {
            "upper_limits": list(found.limits),
            "rule": "a limit is in the class below it",
        }
    return facts
