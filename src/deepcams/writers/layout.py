"""The structure of the whole output, fixed before anything is computed; metadata follow CF-1.11 and ACDD-1.3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from deepcams.core.field import DIMS
from deepcams.core.grid import Grid
from deepcams.core.species import species_of
from deepcams.core.times import DAY, HOUR, MINUTE
from deepcams.core.units import UNITS
from deepcams.writers.bitround import BitRound

if TYPE_CHECKING:
    import xarray as xr

EPOCH = np.datetime64("2003-01-01T00:00", "ns")
"""Reference time of the time axis: the first hour of CAMS EAC4."""

RUN = "deepcams_run"
"""Name of the global attribute that holds an output's identity, as JSON."""

MEANS = "means"
"""Key of the settings in the identity of an output of ``deepcams means``."""

ITEM_HOURS = 24
CHUNK = (6, 103, 180)
"""Preferred inner chunk: 0.45 MB; evenly divides the 24 x 721 x 1440 values of a global item."""

Split = Literal["day", "month"]

COORDINATES: dict[str, dict[str, Any]] = {
    "time": {
        "standard_name": "time",
        "long_name": "time (UTC)",
        "axis": "T",
        "calendar": "standard",
        "units_metadata": "leap_seconds: none",
        "bounds": "time_bounds",
        "coverage_content_type": "coordinate",
    },
    "latitude": {
        "standard_name": "latitude",
        "long_name": "latitude",
        "units": "degrees_north",
        "axis": "Y",
        "bounds": "latitude_bounds",
        "coverage_content_type": "coordinate",
    },
    "longitude": {
        "standard_name": "longitude",
        "long_name": "longitude",
        "units": "degrees_east",
        "axis": "X",
        "bounds": "longitude_bounds",
        "coverage_content_type": "coordinate",
    },
}
"""Attributes of the coordinates."""

LOCAL_DATE: dict[str, Any] = {
    **{key: value for key, value in COORDINATES["time"].items() if key != "bounds"},
    "long_name": "local date, which begins at another moment in each cell (see utc_offset)",
}
"""Attributes of times that are local dates."""

CRS: dict[str, Any] = {
    "grid_mapping_name": "latitude_longitude",
    "long_name": "coordinate reference system",
    "semi_major_axis": 6378137.0,
    "inverse_flattening": 298.257223563,
    "longitude_of_prime_meridian": 0.0,
    "crs_wkt": 'GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563,AUTHORITY["EPSG","7030"]],'
    'AUTHORITY["EPSG","6326"]],PRIMEM["Greenwich",0,AUTHORITY["EPSG","8901"]],UNIT["degree",0.0174532925199433,'
    'AUTHORITY["EPSG","9122"]],AXIS["Latitude",NORTH],AXIS["Longitude",EAST],AUTHORITY["EPSG","4326"]]',
}
"""Attributes of the grid mapping ``crs`` (CF-1.11, appendix F), as GDAL and QGIS read it: EPSG:4326."""

STATUS_MEANINGS = ("missing", "analysis", "interpolated")
"""Meanings of the status values 0, 1, 2."""

STATUS: dict[str, Any] = {
    "standard_name": "status_flag",
    "long_name": "where the hour's values come from",
    "flag_values": np.array([0, 1, 2], np.int8),
    "flag_meanings": " ".join(STATUS_MEANINGS),
    "comment": "analysis: a frame of the input lies at this hour; interpolated: computed between two frames; "
    "missing: no value, because no two frames at most 3 hours apart enclose the hour or because they hold none",
    "coverage_content_type": "qualityInformation",
}
"""Attributes of the status flag."""


def status_attributes(max_gap: np.timedelta64) -> dict[str, Any]:
    """Return the attributes of the status flag for a given maximum gap between frames."""
    hours = f"at most {max_gap / HOUR:g} hours"
    return {**STATUS, "comment": STATUS["comment"].replace("at most 3 hours", hours)}


def variable_attributes(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a concentration.

    Args:
        name: variable name; the standard names of PM1, PM2.5 and PM10 are added.
        given: attributes of the input (standard_name, long_name, cell_methods, comment).
    """
    attributes = {
        "standard_name": given.get("standard_name"),
        "long_name": given.get("long_name", name),
        "units": UNITS,
        "cell_methods": given.get("cell_methods", "time: point"),
        "comment": given.get("comment"),
        "coverage_content_type": "modelResult",
    }
    species = species_of(name)
    if species is not None:
        attributes["standard_name"] = species.standard_name
        attributes["long_name"] = f"{species.label} mass concentration at the surface"
    return {key: value for key, value in attributes.items() if value}


@dataclass(frozen=True)
class Item:
    """One work item: consecutive output times that are computed and written together.

    Attributes:
        index: number of the item.
        start, stop: range on the output's time axis, half-open.
        date: day or month of the file it goes to, as text (``20191231``, ``201912``); empty if all items go to one
            store or file.
    """

    index: int
    start: int
    stop: int
    date: str = ""

    @property
    def name(self) -> str:
        """Name of its record."""
        return f"item-{self.index:06d}"

    @property
    def hours(self) -> int:
        """Number of output times."""
        return self.stop - self.start


def split_hours(
    times: np.ndarray, split: Split | None = None, size: int = ITEM_HOURS
) -> tuple[Item, ...]:
    """Cut the output's times into work items.

    Args:
        times: ``datetime64``, increasing.
        split: ``None``: ``size`` times each, counted from the first. ``day`` or ``month``: calendar days (UTC), for
            files of a day or a month.
        size: number of times per item, without ``split``.
    """
    if split is None:
        starts = list(range(0, times.size, size))
        dates = [""] * len(starts)
    else:
        days = times.astype("datetime64[D]")
        starts = [0, *(np.flatnonzero(np.diff(days) != np.timedelta64(0)) + 1).tolist()]
        length = 8 if split == "day" else 6
        dates = [str(days[start]).replace("-", "")[:length] for start in starts]
    stops = [*starts[1:], times.size]
    return tuple(map(Item, range(len(starts)), starts, stops, dates))


def _chunk(size: int, wanted: int) -> int:
    """Return a chunk length near ``wanted`` that divides ``size`` at least approximately."""
    if size <= wanted * 4 // 3:
        return size
    divisors = [n for n in range(wanted // 2, wanted * 2 + 1) if size % n == 0]
    if divisors:
        return min(divisors, key=lambda n: abs(np.log(n / wanted)))
    return -(-size // round(size / wanted))


def _round_up(size: int, chunk: int) -> int:
    return -(-size // chunk) * chunk


def fill_of(dtype: str) -> Any:
    """Return the fill value: NaN, or -1 for counts."""
    return np.dtype(dtype).type(np.nan if dtype == "float32" else -1)


@dataclass(frozen=True)
class Other:
    """An additional variable on the output's times and grid.

    Attributes:
        name: variable name.
        dtype: ``float32``; ``int8`` or ``int16`` for counts.
        attributes: variable attributes; the grid mapping is added.
    """

    name: str
    dtype: Literal["float32", "int8", "int16"]
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Map:
    """A variable without time.

    Attributes:
        name: variable name.
        values: (rows, columns).
        attributes: variable attributes.
    """

    name: str
    values: np.ndarray
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Layout:
    """The structure of the whole output.

    Attributes:
        name: name of the main variable (``pm2p5``).
        times: output times, ``datetime64[ns]``.
        grid: output grid.
        attributes: attributes of the main variable, as in the canonical field (standard_name, cell_methods, ...).
        provenance: global attributes on the origin of the output.
        rounding: bit-rounding of the values.
        half_width: for means, half the averaging interval centred on each stamp, one for all times or one each; zero
            for instants; ``None``: the times are local dates, which have no bounds in UTC.
        others: additional variables, missing wherever the main variable is.
        maps: variables without time.
        status: attributes of the status flag.
        item_times: number of times per work item.
        has_status: whether there is a status flag.
    """

    name: str
    times: np.ndarray
    grid: Grid
    attributes: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    rounding: BitRound = BitRound(0.001)  # noqa: RUF009 - frozen
    half_width: np.timedelta64 | np.ndarray | None = np.timedelta64(0, "ns")  # noqa: RUF009 - immutable
    others: tuple[Other, ...] = ()
    maps: tuple[Map, ...] = ()
    status: Mapping[str, Any] = field(default_factory=lambda: STATUS)
    item_times: int = ITEM_HOURS
    has_status: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the variables with a time dimension, the main variable first."""
        return (self.name, *(other.name for other in self.others))

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Data types of the variables in :attr:`names`."""
        return ("float32", *(other.dtype for other in self.others))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Times, rows and columns."""
        return self.times.size, self.grid.rows, self.grid.columns

    @property
    def chunks(self) -> tuple[int, int, int]:
        """Inner chunks: about 0.5 MB, compressed together."""
        rows, columns = (
            _chunk(self.grid.rows, CHUNK[1]),
            _chunk(self.grid.columns, CHUNK[2]),
        )
        return min(CHUNK[0], self.item_times), rows, columns

    @property
    def shard(self) -> tuple[int, int, int]:
        """One item's times and all rows and columns, as whole multiples of the chunks."""
        hours, rows, columns = map(_round_up, self.shape, self.chunks)
        return min(self.item_times, hours), rows, columns

    @property
    def _time_unit(self) -> tuple[str, np.timedelta64]:
        """Time unit: days for local dates; else hours, or minutes if a stamp or bound is not a full hour."""
        if self.half_width is None:
            return "days", DAY
        spans = np.append(self.times - EPOCH, self.half_width)
        return ("minutes", MINUTE) if (spans % HOUR).any() else ("hours", HOUR)

    def _count(self, times: np.ndarray) -> np.ndarray:
        return np.asarray((times - EPOCH) // self._time_unit[1], np.int64)

    def frame(self, hours: slice = slice(None)) -> xr.Dataset:
        """Return everything except values and status: coordinates, bounds and attributes, encoded as on disk."""
        import xarray as xr

        times, grid = self.times[hours], self.grid
        units = {"units": f"{self._time_unit[0]} since 2003-01-01"}
        about = COORDINATES["time"] if self.half_width is not None else LOCAL_DATE
        coordinates = {
            "time": ("time", self._count(times), {**about, **units}),
            "latitude": ("latitude", grid.latitudes, dict(COORDINATES["latitude"])),
            "longitude": ("longitude", grid.longitudes, dict(COORDINATES["longitude"])),
        }
        data: dict[str, Any] = {
            **self._time_bounds(hours),
            "latitude_bounds": (("latitude", "bounds"), grid.latitude_bounds),
            "longitude_bounds": (("longitude", "bounds"), grid.longitude_bounds),
            "crs": ((), np.int8(0), dict(CRS)),
        }
        if self.rounding.attributes():
            implementation = str(self.provenance.get("source_version", "deepcams"))
            container = {"algorithm": "bitround", "implementation": implementation}
            data["quantization_info"] = ((), np.int8(0), container)
        for one in self.maps:
            data[one.name] = (DIMS[1:], one.values, dict(one.attributes))
        return xr.Dataset(
            data, coordinates, {**self._coverage(times), **self.provenance}
        )

    def _time_bounds(self, hours: slice) -> dict[str, Any]:
        """Return the time bounds variable; empty for local dates."""
        if self.half_width is None:
            return {}
        half = np.broadcast_to(self.half_width, self.times.shape)[hours]
        bounds = np.stack([self.times[hours] - half, self.times[hours] + half], axis=1)
        return {"time_bounds": (("time", "bounds"), self._count(bounds))}

    def variable_attributes(self) -> dict[str, Any]:
        """Return the attributes of the main variable."""
        attributes = variable_attributes(self.name, self.attributes)
        flag = "status" if self.has_status else ""
        beside = str(self.attributes.get("ancillary_variables", flag))
        return {
            **attributes,
            "grid_mapping": "crs",
            **({"ancillary_variables": beside} if beside else {}),
            **self.rounding.attributes(),
        }

    def attributes_of(self, other: Other) -> dict[str, Any]:
        """Return the attributes of an additional variable."""
        rounding = self.rounding.attributes() if other.dtype == "float32" else {}
        return {**other.attributes, "grid_mapping": "crs", **rounding}

    def _coverage(self, times: np.ndarray) -> dict[str, Any]:
        """Return the ACDD attributes of spatial and temporal coverage."""
        north, south = self.grid.latitudes[[0, -1]].tolist()
        west, east = self.grid.longitudes[[0, -1]].tolist()
        # Axis order of EPSG:4326: latitude first.
        corners = [
            (south, west),
            (south, east),
            (north, east),
            (north, west),
            (south, west),
        ]
        ring = ", ".join(
            f"{latitude:g} {longitude:g}" for latitude, longitude in corners
        )
        zone = "" if self.half_width is None else "Z"
        first, last = (
            str(time.astype("datetime64[s]")) + zone for time in times[[0, -1]]
        )
        hours = int((times[-1] - times[0]) / HOUR)
        step = np.diff(times).min() / HOUR if times.size > 1 else 1
        return {
            "geospatial_lat_min": south,
            "geospatial_lat_max": north,
            "geospatial_lat_units": "degrees_north",
            "geospatial_lat_resolution": float(self.grid.row_step),
            "geospatial_lon_min": west,
            "geospatial_lon_max": east,
            "geospatial_lon_units": "degrees_east",
            "geospatial_lon_resolution": float(self.grid.step),
            "geospatial_bounds_crs": "EPSG:4326",
            "geospatial_bounds": f"POLYGON (({ring}))",
            "time_coverage_start": first,
            "time_coverage_end": last,
            "time_coverage_duration": f"P{hours // 24}DT{hours % 24}H",
            "time_coverage_resolution": f"PT{step:g}H",
        }
