"""A field and its values at the stations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from deepcams.core.errors import InputError
from deepcams.core.field import grid_of
from deepcams.core.period import Period
from deepcams.core.stages import staged
from deepcams.core.times import stamp_seconds
from deepcams.stations.archive.sorted_copy import StationArchive
from deepcams.stations.extract import Series, extract
from deepcams.stations.matching import (
    Placement,
    SpaceRule,
    TimePlan,
    TimeRule,
    cadence,
    field_seconds,
    place_stations,
    plan_times,
    rule_of,
)


@dataclass
class Product:
    """A field and its values at the stations.

    Attributes:
        name: ``field`` or ``original``.
        field: the opened field.
        rule: rule of matching in time.
        placement: placement of the stations on its grid.
        times: times that were read, int64, seconds since 1970 UTC.
        series: its values at the placement's points and these times.
    """

    name: str
    field: xr.DataArray
    rule: TimeRule
    placement: Placement
    times: np.ndarray
    series: Series

    @property
    def span(self) -> str:
        """First and last of its times as text."""
        return f"{stamp_seconds(self.times[0])} to {stamp_seconds(self.times[-1])} UTC"

    def describe(self) -> dict[str, str]:
        """Describe its grid, times, rule in time and source."""
        return {
            "grid": grid_of(self.field).describe(),
            "times": f"{self.times.size}, {self.span}",
            "rule": self.rule,
            "source": str(self.field.attrs.get("source", "")),
        }

    def plan(self, rule: TimeRule, bounds: np.ndarray) -> TimePlan:
        """Return the time plan for intervals, given as (2, intervals) starts and ends."""
        return plan_times(self.times, rule, bounds[0], bounds[1], cadence(self.field))

    def at(
        self, station: np.ndarray, interval: np.ndarray, plan: TimePlan
    ) -> np.ndarray:
        """Return the product's value for each row: (n,), float32; NaN where missing."""
        if not station.size:
            return np.zeros(0, np.float32)
        points, row = np.unique(self.placement.point[station], return_inverse=True)
        values = plan.apply(self.series.read(np.maximum(points, 0)))
        values[points < 0] = np.nan
        return np.asarray(values[row, interval])


@staged("read")
def read_product(
    name: str,
    field: xr.DataArray,
    archive: StationArchive,
    reach: tuple[int, int],
    space: SpaceRule,
    period: Period | None,
    progress: Callable[[str, int, int], None],
    keep: Path | None,
) -> Product:
    """Find the times that a field has in common with the stations, and read it at the stations.

    Args:
        name: ``field`` or ``original``.
        field: canonical field.
        archive: the stations.
        reach: start and end of their observations, seconds since 1970 UTC.
        space: rule of matching in space.
        period: times of the field to use.
        progress: callback, called with the name and the number of times read and in total.
        keep: folder in which the series is kept.

    Raises:
        InputError: field and stations have no time or place in common.
    """
    if "time" not in field.dims:
        do = "a field without time has no hours"
        raise InputError(name, "a field with time", f"dimensions {field.dims}", do)
    grid, every = grid_of(field), field_seconds(field)
    whole = f"{stamp_seconds(every[0])} to {stamp_seconds(every[-1])} UTC"
    # One more time on each side, for rules that interpolate.
    low = max(int(np.searchsorted(every, reach[0], "right")) - 1, 0)
    high = min(int(np.searchsorted(every, reach[1], "left")) + 1, every.size)
    if period is not None:
        inside = np.flatnonzero(period.contains(field.time.values))
        if not inside.size:
            raise InputError(
                "--period", f"a time of the {name} ({whole})", f"none in {period}"
            )
        low, high = max(low, int(inside[0])), min(high, int(inside[-1]) + 1)
    times, rule = every[low:high], rule_of(field)
    half = cadence(field) // 2 if rule == "overlap" else 0
    if not times.size or times[-1] + half < reach[0] or times[0] - half > reach[1]:
        expected = f"times of the stations ({archive.span()})"
        raise InputError(name, expected, whole, "give stations of the field's time")
    places = archive.stations[["latitude", "longitude"]].astype(float)
    latitude, longitude = places.to_numpy().T
    placement = place_stations(grid, latitude, longitude, space)
    if not placement.inside.any():
        found = "none: their coordinates are missing, or none on Earth"
        if places["latitude"].notna().any():
            north, east = (
                f"{column.min():.2f}..{column.max():.2f}"
                for _, column in places.items()
            )
            found = f"none: they lie at {north} N, {east} E"
        raise InputError(
            "stations", f"some in the region of the {name} ({grid.describe()})", found
        )
    series = extract(
        field,
        placement,
        name,
        lambda done: progress(name, done, times.size),
        (low, high),
        keep,
    )
    return Product(name, field, rule, placement, times, series)
