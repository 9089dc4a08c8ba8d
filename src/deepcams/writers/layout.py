"""What the whole output will look like before anything is computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from deepcams.core.grid import Grid
from deepcams.writers.bitround import BitRound
from deepcams.writers.conventions import COORDINATES, STATUS, variable_attributes

if TYPE_CHECKING:
    import xarray as xr

EPOCH = np.datetime64("2003-01-01T00:00", "ns")
"""Times are counted from here: the first hour of CAMS EAC4."""

RUN = "deepcams_run"
"""Global attribute of an output that holds its identity, as JSON."""

ITEM_HOURS = 24
CHUNK = (6, 103, 180)
"""Preferred inner chunk: 0.45 MB that divide the 24 x 721 x 1440 of one global item without rest."""

Split = Literal["day", "month"]


@dataclass(frozen=True)
class Item:
    """One work item: consecutive output times that are computed and written together.

    Attributes:
        index: its number.
        start, stop: its places on the output's time axis, half-open.
        part: which file it goes to, as text (``20191231``, ``201912``); empty for stores and single files.
    """

    index: int
    start: int
    stop: int
    part: str = ""

    @property
    def hours(self) -> int:
        """Number of output times."""
        return self.stop - self.start


def split_hours(times: np.ndarray, split: Split | None = None) -> tuple[Item, ...]:
    """Cut the output's times into work items.

    Args:
        times: ``datetime64``, increasing.
        split: ``None``: 24 times each, counted from the first. ``day`` or ``month``: calendar days (UTC), whose
            files hold a day or a month.
    """
    if split is None:
        firsts = range(0, times.size, ITEM_HOURS)
        return tuple(Item(i, s, min(s + ITEM_HOURS, times.size)) for i, s in enumerate(firsts))
    days = times.astype("datetime64[D]")
    starts = [0, *(np.flatnonzero(np.diff(days) != np.timedelta64(0)) + 1).tolist()]
    stops = [*starts[1:], times.size]
    length = 8 if split == "day" else 6
    names = [str(days[s]).replace("-", "")[:length] for s in starts]
    return tuple(
        Item(i, a, b, name) for i, (a, b, name) in enumerate(zip(starts, stops, names, strict=True))
    )


def _chunk(size: int, wanted: int) -> int:
    """A chunk length near ``wanted`` that divides ``size``, or nearly so."""
    if size <= wanted * 4 // 3:
        return size
    divisors = [n for n in range(wanted // 2, wanted * 2 + 1) if size % n == 0]
    if divisors:
        return min(divisors, key=lambda n: abs(np.log(n / wanted)))
    return -(-size // round(size / wanted))


@dataclass(frozen=True)
class Layout:
    """The output as a whole.

    Attributes:
        name: the variable's name (``pm2p5``).
        times: output times, ``datetime64[ns]``.
        grid: output grid.
        attributes: of the variable, as the canonical field has them (standard_name, cell_methods, ...).
        provenance: global attributes that say where it comes from.
        rounding: bound of the bit-rounding.
        half_width: for means, half the interval that each stamp is the middle of; zero for instants.
    """

    name: str
    times: np.ndarray
    grid: Grid
    attributes: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    rounding: BitRound = BitRound(0.001)  # noqa: RUF009 - frozen
    half_width: np.timedelta64 = np.timedelta64(0, "ns")  # noqa: RUF009 - immutable

    @property
    def shape(self) -> tuple[int, int, int]:
        """Times, rows and columns."""
        return self.times.size, self.grid.rows, self.grid.columns

    @property
    def chunks(self) -> tuple[int, int, int]:
        """Inner chunks: about 0.5 MB, compressed together."""
        rows, columns = _chunk(self.grid.rows, CHUNK[1]), _chunk(self.grid.columns, CHUNK[2])
        return CHUNK[0], rows, columns

    @property
    def shard(self) -> tuple[int, int, int]:
        """One item's times and all rows and columns, as whole multiples of the chunks."""
        t, r, c = self.chunks
        hours = min(ITEM_HOURS, -(-self.times.size // t) * t)
        return hours, -(-self.grid.rows // r) * r, -(-self.grid.columns // c) * c

    @property
    def time_units(self) -> str:
        """CF units of the time axis: hours, or minutes where a stamp or a bound is no whole hour."""
        hour = np.timedelta64(1, "h")
        whole = not (
            (self.times - EPOCH) % hour
        ).any() and self.half_width % hour == np.timedelta64(0)
        return f"{'hours' if whole else 'minutes'} since 2003-01-01"

    def _count(self, times: np.ndarray) -> np.ndarray:
        unit = np.timedelta64(1, "h" if self.time_units.startswith("hours") else "m")
        return np.asarray((times - EPOCH) // unit, np.int64)

    def frame(self, part: slice = slice(None)) -> xr.Dataset:
        """Everything but the values and the status: coordinates, bounds and attributes, encoded as on disk."""
        import xarray as xr

        times, grid = self.times[part], self.grid
        bounds = np.stack([times - self.half_width, times + self.half_width], axis=1)
        coordinates = {
            "time": ("time", self._count(times), {**COORDINATES["time"], "units": self.time_units}),
            "latitude": ("latitude", grid.latitudes, dict(COORDINATES["latitude"])),
            "longitude": ("longitude", grid.longitudes, dict(COORDINATES["longitude"])),
        }
        edges = {
            "time_bounds": (("time", "bounds"), self._count(bounds)),
            "latitude_bounds": (("latitude", "bounds"), grid.latitude_bounds),
            "longitude_bounds": (("longitude", "bounds"), grid.longitude_bounds),
        }
        data: dict[str, Any] = dict(edges)
        if self.rounding.attributes():
            container = {
                "algorithm": "bitround",
                "implementation": str(self.provenance.get("source_version", "deepcams")),
            }
            data["quantization_info"] = ((), np.int8(0), container)
        return xr.Dataset(data, coordinates, {**self.coverage(times), **self.provenance})

    def variable_attributes(self) -> dict[str, Any]:
        """Attributes of the variable itself."""
        attributes = variable_attributes(self.name, self.attributes)
        return {**attributes, "ancillary_variables": "status", **self.rounding.attributes()}

    def status_attributes(self) -> dict[str, Any]:
        """Attributes of the status flag."""
        return dict(STATUS)

    def coverage(self, times: np.ndarray) -> dict[str, Any]:
        """ACDD's attributes of the space and the time that are covered."""
        south, north = self.grid.latitudes[-1], self.grid.latitudes[0]
        west, east = self.grid.longitudes[0], self.grid.longitudes[-1]
        first, last = (str(t.astype("datetime64[s]")) + "Z" for t in (times[0], times[-1]))
        hours = int((times[-1] - times[0]) / np.timedelta64(1, "h"))
        step = np.diff(times).min() / np.timedelta64(1, "h") if times.size > 1 else 1
        return {
            "geospatial_lat_min": float(south),
            "geospatial_lat_max": float(north),
            "geospatial_lat_units": "degrees_north",
            "geospatial_lat_resolution": float(self.grid.step),
            "geospatial_lon_min": float(west),
            "geospatial_lon_max": float(east),
            "geospatial_lon_units": "degrees_east",
            "geospatial_lon_resolution": float(self.grid.step),
            "geospatial_bounds_crs": "EPSG:4326",
            "geospatial_bounds": "POLYGON (("
            + ", ".join(f"{y:g} {x:g}" for y, x in _ring(south, north, west, east))
            + "))",
            "time_coverage_start": first,
            "time_coverage_end": last,
            "time_coverage_duration": f"P{hours // 24}DT{hours % 24}H",
            "time_coverage_resolution": f"PT{step:g}H",
        }


def _ring(south: float, north: float, west: float, east: float) -> Iterator[tuple[float, float]]:
    """The corners of a box, closed, as EPSG:4326 has them: latitude first."""
    yield from ((south, west), (south, east), (north, east), (north, west), (south, west))
