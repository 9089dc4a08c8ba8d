"""Data for the page: descriptions, frames as 16-bit codes, series at a location, coasts, and regions to download."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import xarray as xr

from deepcams._version import __version__
from deepcams.core.errors import InputError
from deepcams.core.field import DIMS, clock
from deepcams.core.grid import Grid
from deepcams.core.species import label
from deepcams.view.chunk_cache import Blocks
from deepcams.view.prefetch import Prefetcher
from deepcams.view.station_layer import Stations
from deepcams.view.watch import Watch
from deepcams.writers.layout import COORDINATES, CRS

LARGEST_DOWNLOAD = 500_000_000
"""Maximum uncompressed size of a download, bytes."""

CODE_UNIT, CODE_TOP = 0.01, 1e5
"""Codes 1..65535 encode log(1 + v / unit) for v from 0 to the top, with relative error 2.5e-4; 0 is missing."""

_MINUTE = np.timedelta64(1, "m")
_HELD_MINUTES = 180  # a frame of the original is valid until the next one


def encode(values: np.ndarray) -> np.ndarray:
    """Encode concentrations (ug m-3, NaN missing) as 16-bit codes, little-endian."""
    factor = np.float32(65534 / np.log1p(CODE_TOP / CODE_UNIT))
    scaled = np.log1p(
        np.minimum(values, np.float32(CODE_TOP)) * np.float32(1 / CODE_UNIT)
    ) * factor + np.float32(1.5)
    return np.where(np.isnan(scaled), np.float32(0), scaled).astype("<u2")


@dataclass(frozen=True)
class Box:
    """The area of a map, degrees; west < east, with any offset of 360."""

    west: float
    south: float
    east: float
    north: float


@dataclass(frozen=True)
class Frame:
    """One frame's codes, north to south and eastward, and its extent (outer edges of the cells)."""

    codes: np.ndarray
    minute: int
    west: float
    north: float
    step: float
    row_step: float


class Shown:
    """The fields and the stations that a page shows.

    Args:
        ours: canonical field, lazy.
        original: field that it was made from, shown beside it; or ``None``.
        stations: stations shown with the series; or ``None``.
        title: title of the page.
        watch: checks whether the fields' files are unchanged.
    """

    def __init__(
        self,
        ours: xr.DataArray,
        original: xr.DataArray | None = None,
        stations: Stations | None = None,
        title: str = "",
        watch: Watch | None = None,
    ) -> None:
        self.watch = Watch() if watch is None else watch
        self.blocks = {"ours": Blocks(ours)}
        if original is not None:
            self.blocks["original"] = Blocks(original)
        self.minutes = {
            name: (blocks.field.time.values - np.datetime64(0, "ns")) // _MINUTE
            for name, blocks in self.blocks.items()
        }
        self.stations, self.title = stations, title
        self._ahead = Prefetcher()

    def close(self) -> bool:
        """Stop prefetching; return whether all reads have ended in time."""
        return self._ahead.close()

    def about(self) -> dict[str, Any]:
        """Return what the page needs before any other request, as JSON types."""
        from deepcams.plotting import style

        table = style.colours(style.CONCENTRATION_COLOURS)(np.linspace(0, 1, 256))
        fields = {}
        for name, blocks in self.blocks.items():
            grid, attrs = blocks.grid, blocks.field.attrs
            fields[name] = {
                "minutes": self.minutes[name].tolist(),
                "step": grid.step,
                "west": float(grid.longitude_bounds[0, 0]),
                "east": float(grid.longitude_bounds[-1, 1]),
                "south": float(grid.latitude_bounds[-1, 1]),
                "north": float(grid.latitude_bounds[0, 0]),
                "periodic": grid.periodic,
                "grid": grid.describe(),
                "source": str(attrs.get("source", "")),
                "mean": "mean" in str(attrs.get("cell_methods", "")),
            }
        return {
            "title": self.title,
            "species": label(name := str(self.blocks["ours"].field.name)),
            "clock": clock(self.blocks["ours"].field),
            "steps": style.guideline_steps(name),
            "fields": fields,
            "stations": None if self.stations is None else self.stations.places(),
            "colours": (np.rint(table[:, :3] * 255)).astype(int).tolist(),
            "code": {"unit": CODE_UNIT, "top": CODE_TOP},
            "version": __version__,
        }

    def frame(self, name: str, minute: int, box: Box) -> Frame:
        """Return a field's frame in a box.

        Args:
            name: ``ours`` (exactly this minute) or ``original`` (the last frame, less than 3 h old).
            minute: minutes since 1970 UTC.
            box: requested area.

        Raises:
            InputError: the field, hour or node does not exist.
        """
        blocks = self._blocks(name)
        at = self._index(name, minute)
        rows, first, columns = _window(blocks.grid, box)
        chosen = (rows, columns % blocks.grid.columns)
        codes = encode(blocks.frame(at, *chosen))
        self._ahead.wish(name, lambda: blocks.read_ahead(at, *chosen))
        grid = blocks.grid
        west = grid.step * (grid.west + first - 0.5)
        north = 90 - grid.row_step * (grid.north + rows.start - 0.5)
        return Frame(
            codes, int(self.minutes[name][at]), west, north, grid.step, grid.row_step
        )

    def _blocks(self, name: str) -> Blocks:
        if name not in self.blocks:
            raise InputError("field", " or ".join(self.blocks), repr(name))
        return self.blocks[name]

    def _index(self, name: str, minute: int) -> int:
        minutes = self.minutes[name]
        at = int(np.searchsorted(minutes, minute, side="right")) - 1
        held = 1 if name == "ours" else _HELD_MINUTES
        if at < 0 or minute - minutes[at] >= held:
            near = minutes[int(np.argmin(abs(minutes - minute)))]
            raise InputError(
                f"{name}: time",
                f"a frame at {_stamp(minute)} UTC",
                f"none; the nearest is {_stamp(near)}",
            )
        return at

    def series(
        self,
        longitude: float,
        latitude: float,
        first: int,
        last: int,
        only: str | None = None,
    ) -> dict[str, Any]:
        """Return all fields at the node nearest to a location, and the nearest station, over [first, last].

        Args:
            longitude: degrees, modulo 360.
            latitude: degrees.
            first: minutes since 1970 UTC.
            last: minutes since 1970 UTC, not before ``first``.
            only: one of the fields, or ``station``; a field without a node there is left out.

        Raises:
            InputError: an invalid location or span, or an unknown field or station; without ``only`` also a location
                outside all fields.
        """
        if not (-90 <= latitude <= 90 and first <= last):
            raise InputError(
                "place and span",
                "a latitude in -90..90 and an end after the start",
                f"{latitude}",
            )
        found: dict[str, Any] = {
            "longitude": longitude,
            "latitude": latitude,
            "fields": {},
        }
        if only not in (None, "station"):
            self._blocks(str(only))
        for name, blocks in self.blocks.items():
            node = _nearest(blocks.grid, longitude, latitude)
            if node is None or only not in (None, name):
                continue
            minutes = self.minutes[name]
            begin, end = (
                np.searchsorted(minutes, first),
                np.searchsorted(minutes, last, side="right"),
            )
            values = blocks.series(int(begin), int(end), *node)
            found["fields"][name] = {
                "minutes": minutes[begin:end].tolist(),
                "values": _listed(values),
                "latitude": float(blocks.grid.latitudes[node[0]]),
                "longitude": float(blocks.grid.longitudes[node[1]]),
            }
        if not found["fields"] and only is None:
            raise InputError(
                "place", "one within the data", f"{latitude:.2f} N, {longitude:.2f} E"
            )
        if self.stations is not None and only in (None, "station"):
            found["station"] = self.stations.near(longitude, latitude, first, last)
        return found

    def lines(self, box: Box) -> dict[str, list[list[float]]]:
        """Return coasts and country borders in a box: lists of longitude, latitude, longitude, .. in degrees."""
        from deepcams.plotting.outlines import lines_in

        edges = box.west, box.south, min(box.east, box.west + 360), box.north
        return {
            "coast": [_flat(line) for line in lines_in("coasts", *edges)],
            "borders": [_flat(line) for line in lines_in("borders", *edges)],
        }

    def region(self, name: str, box: Box, first: int, last: int) -> bytes:
        """Return a netCDF file of a field in a box, at all of its times in [first, last] (minutes since 1970).

        Raises:
            InputError: there are no values, or more than :data:`LARGEST_DOWNLOAD`.
        """
        blocks = self._blocks(name)
        grid, minutes = blocks.grid, self.minutes[name]
        rows, _, columns = _window(grid, box)
        begin, end = (
            int(np.searchsorted(minutes, first)),
            int(np.searchsorted(minutes, last, side="right")),
        )
        if begin == end:
            raise InputError(
                "span",
                "times of the field",
                f"none from {_stamp(first)} to {_stamp(last)} UTC",
            )
        size = 4 * (end - begin) * (rows.stop - rows.start) * columns.size
        if size > LARGEST_DOWNLOAD:
            most = LARGEST_DOWNLOAD / 1e6
            raise InputError(
                "download",
                f"at most {most:.0f} MB of values",
                f"{size / 1e6:.0f} MB",
                "zoom in",
            )
        where = (rows, columns % grid.columns)
        values = np.stack([blocks.frame(at, *where) for at in range(begin, end)])
        field = blocks.field
        dataset = xr.DataArray(
            values,
            dims=DIMS,
            coords={
                "time": field.time.values[begin:end],
                "latitude": grid.latitudes[rows],
                "longitude": grid.step * (grid.west + columns),
            },
            name=str(field.name),
            attrs={
                key: value for key, value in field.attrs.items() if key != "history"
            },
        ).to_dataset()
        dataset["crs"] = xr.Variable((), np.int8(0), CRS)
        dataset[str(field.name)].attrs["grid_mapping"] = "crs"
        for axis in ("latitude", "longitude"):
            given = COORDINATES[axis]
            dataset[axis].attrs = {
                key: given[key] for key in ("standard_name", "units", "axis")
            }
        dataset["time"].attrs = {"standard_name": "time", "axis": "T"}
        now, before = (
            datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            field.attrs.get("history", ""),
        )
        dataset.attrs = {
            "Conventions": "CF-1.11",
            "title": f"{label(str(field.name))}, a region of {self.title}",
            "source": str(field.attrs.get("source", "")),
            "history": f"{now} deepcams view (deepcams {__version__}): cut out\n{before}".strip(),
        }
        encoding: dict[str, Any] = {
            str(field.name): {"zlib": True, "shuffle": True, "complevel": 4}
        }
        encoding["time"] = {"units": "minutes since 2003-01-01", "dtype": "int64"}
        return bytes(
            dataset.to_netcdf(engine="netcdf4", encoding=encoding)
        )  # in memory: no temporary file


def _stamp(minute: Any) -> str:
    return str(np.datetime64(int(minute), "m")).replace("T", " ")


def _flat(line: np.ndarray) -> list[float]:
    flat: list[float] = np.round(line, 2).ravel().tolist()
    return flat


def _listed(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else round(float(value), 4) for value in values]


def _window(grid: Grid, box: Box) -> tuple[slice, int, np.ndarray]:
    """Return the rows whose cells a box touches, the first column, and all columns, which may wrap."""
    if not (box.south < box.north and box.west < box.east):
        raise InputError("box", "west < east and south < north", f"{box}")
    top = max(int(np.floor((90 - box.north) / grid.row_step + 0.5)) - grid.north, 0)
    bottom = min(
        int(np.ceil((90 - box.south) / grid.row_step - 0.5)) - grid.north + 1, grid.rows
    )
    first = int(np.floor(box.west / grid.step + 0.5)) - grid.west
    last = int(np.ceil(box.east / grid.step - 0.5)) - grid.west + 1
    if grid.periodic:
        last = min(last, first + grid.columns)
    else:
        turn = grid.around * round(
            ((first + last) / 2 - grid.columns / 2) / grid.around
        )
        first, last = max(first - turn, 0), min(last - turn, grid.columns)
    if top >= bottom or first >= last:
        raise InputError(
            "box", f"one that meets the data ({grid.describe()})", f"{box}"
        )
    return slice(top, bottom), first, np.arange(first, last)


def _nearest(grid: Grid, longitude: float, latitude: float) -> tuple[int, int] | None:
    """Return row and column of the cell that contains a location, or ``None``."""
    row = int(np.floor((90 - latitude) / grid.row_step + 0.5)) - grid.north
    column = (int(np.floor(longitude / grid.step + 0.5)) - grid.west) % grid.around
    return (row, column) if 0 <= row < grid.rows and column < grid.columns else None
