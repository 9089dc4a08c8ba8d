"""The data to export: hours and nodes of a field, with longitudes in -180..180 and the attributes of its files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import xarray as xr

from deepcams._version import __version__
from deepcams.core.errors import InputError, choose
from deepcams.core.field import DIMS, as_field, grid_of, is_mean
from deepcams.core.grid import Grid
from deepcams.core.period import Period
from deepcams.core.text import from_json
from deepcams.core.times import HOUR, stamp
from deepcams.core.units import UNITS
from deepcams.readers.formats.datasets import field_variables, opened
from deepcams.readers.frames import combine, digest, read_block
from deepcams.readers.open import find_field_files, open_files
from deepcams.readers.protocols import Paths
from deepcams.writers import BitRound, Layout
from deepcams.writers.layout import RUN, STATUS
from deepcams.writers.netcdf import TOTAL

By = Literal["hour", "day", "month"]
"""Period covered by one file."""

_UNITS: dict[str, Literal["m", "D", "M"]] = {"hour": "m", "day": "D", "month": "M"}
_BLOCK_BYTES = 96 << 20
"""Maximum size of the values read at once, bytes."""
_MOST_HOURS = 24
"""Maximum number of times read at once, equal to the length of shards in deepcams' stores."""
_COVERAGE = ("geospatial_", "time_coverage_", "date_")
"""Prefixes of the attributes on the coverage and dates of a whole file."""

_OF_OTHERS = (
    *(RUN, TOTAL, "id", "_NCProperties"),
    *("standard_name", "long_name", "cell_methods", "units"),
)
"""Attributes that belong to the input file itself or to a variable, and are not copied."""


@dataclass(frozen=True)
class Piece:
    """The times that go into one file.

    Attributes:
        date: date for the file name (``201912``, ``20191231``, ``20191231T1500``); empty for a single file.
        start, stop: half-open range of indices among the exported times.
    """

    date: str
    start: int
    stop: int

    @property
    def hours(self) -> int:
        """Number of times."""
        return self.stop - self.start


def pieces_of(times: np.ndarray, by: By | None) -> list[Piece]:
    """Divide times (``datetime64``, increasing, UTC) among files; ``None``: one file."""
    if by is None:
        return [Piece("", 0, times.size)]
    units = times.astype(f"datetime64[{_UNITS[by]}]")
    starts = [0, *(np.flatnonzero(units[1:] != units[:-1]) + 1).tolist()]
    names = [str(units[start]).replace("-", "").replace(":", "") for start in starts]
    return list(map(Piece, names, starts, [*starts[1:], times.size]))


def turned(grid: Grid, columns: np.ndarray) -> tuple[Grid, np.ndarray]:
    """Rotate a grid so that its first longitude is in -180..180: a global grid begins at the dateline.

    A region across the dateline stays contiguous, and ends beyond 180.

    Args:
        grid: canonical grid.
        columns: index in the field of each of its columns.

    Returns:
        the rotated grid, and the indices of its columns.
    """
    if grid.periodic:
        first = -(-grid.around // 2)
        return replace(grid, west=first - grid.around), np.roll(columns, -first)
    beyond = grid.longitudes[0] >= 180
    return (replace(grid, west=grid.west - grid.around) if beyond else grid), columns


@dataclass(frozen=True)
class Source:
    """The selected hours and nodes of a field.

    Attributes:
        field: canonical field, lazy.
        first: index of the first exported time in the field.
        times: exported times, ``datetime64[ns]``.
        grid: exported nodes, north to south, from -180 eastward.
        rows, columns: indices of the nodes in the field.
        provenance: global attributes.
        status: status of each time (:data:`deepcams.writers.layout.STATUS`), int8; ``None`` if unknown.
        rounding: bound of the relative rounding error of the values; 0 if none is known.
        half_width: half the averaging interval centred on each time, one for all or one each; ``None``: the times are
            local dates.
    """

    field: xr.DataArray
    first: int
    times: np.ndarray
    grid: Grid
    rows: slice
    columns: np.ndarray
    provenance: Mapping[str, Any]
    status: np.ndarray | None = None
    rounding: float = 0.0
    half_width: np.timedelta64 | np.ndarray | None = np.timedelta64(0, "ns")  # noqa: RUF009 - immutable

    @property
    def name(self) -> str:
        """The variable's name."""
        return str(self.field.name)

    def layout(self, piece: Piece) -> Layout:
        """Return the layout of a piece as netCDF or Zarr."""
        half = self.half_width
        if isinstance(half, np.ndarray):
            half = half[piece.start : piece.stop]
        return Layout(
            self.name,
            self.times[piece.start : piece.stop],
            self.grid,
            self.field.attrs,
            self.provenance,
            BitRound(self.rounding),
            half,
            has_status=self.status is not None,
        )

    def blocks(self, piece: Piece) -> Iterator[tuple[int, np.ndarray]]:
        """Read a piece's values in blocks of several times.

        Yields:
            index of the first time within the piece, and values (times, rows, columns), float32, NaN where missing.
        """
        size = 4 * self.grid.rows * self.grid.columns
        most = min(max(_BLOCK_BYTES // size, 1), _MOST_HOURS)
        start = piece.start
        while start < piece.stop:
            # Whole shards, for a store that begins with the field, so that none is read twice.
            aligned = (start + self.first) % most
            stop = min(start + most - aligned, piece.stop)
            where = slice(self.first + start, self.first + stop)
            values = read_block(self.field, where, self.rows, self.columns)
            yield start - piece.start, np.ascontiguousarray(values)
            start = stop

    def fingerprint(self, piece: Piece) -> str:
        """Read a piece's values, and return the fingerprint of its times and values."""
        digests: list[str] = []
        for start, values in self.blocks(piece):
            digests += self.digests(piece, start, values)
        return combine(digests)

    def digests(self, piece: Piece, start: int, values: np.ndarray) -> list[str]:
        """Return the fingerprint of each time of a block."""
        times = self.times[piece.start + start :]
        return [digest(frame, time) for time, frame in zip(times, values, strict=False)]


def open_source(
    given: xr.DataArray | Paths,
    variable: str | None = None,
    *,
    period: Period | str | None = None,
    bbox: Sequence[float] | None = None,
    command: str = "deepcams.export.export_to",
) -> Source:
    """Select the data to export; only coordinates and attributes of files are read.

    Args:
        given: a field, or its paths, see :func:`deepcams.open_field`; or an output of ``deepcams means``.
        variable: name of the variable in the files; ``None``: PM2.5, or the means themselves.
        period: only times in this period.
        bbox: only nodes in this box, W S E N.
        command: command line for the history attribute.

    Raises:
        InputError: the field cannot be opened, or no time or no node is selected.
    """
    datasets: list[xr.Dataset] = []
    means: dict[str, Any] | None = None
    if isinstance(given, xr.DataArray):
        array = as_field(given)
        attributes: Mapping[str, Any] = array.attrs
    else:
        files = find_field_files(given)
        if not files[0].source:
            files = [opened(file) for file in files]
        datasets = [dataset for file in files for dataset in file.datasets]
        attributes = datasets[0].attrs if datasets else {}
        means = _settings_of_means(attributes) if len(files) == 1 else None
        if means is None:
            array = open_files(files, variable, with_dask=False)
        else:
            array = _map_of_means(datasets[0], variable)
    times = array.time.values
    if isinstance(period, str):
        period = Period.parse(period, "--period")
    chosen = np.arange(times.size)
    if period is not None:
        chosen = np.flatnonzero(period.contains(times))
        if not chosen.size:
            raise InputError(
                f"--period {period}",
                "times of the data",
                f"data of {stamp(times[0])} to {stamp(times[-1])} UTC",
            )
    grid = grid_of(array)
    rows, columns = slice(0, grid.rows), np.arange(grid.columns)
    if bbox is not None:
        grid, rows, columns = grid.select(bbox, "--bbox")
    grid, columns = turned(grid, columns)
    first, kept = int(chosen[0]), times[chosen]
    provenance = _provenance(attributes, str(array.attrs.get("source", "")))
    provenance["history"] = _history(attributes, command)
    return Source(
        array,
        first,
        kept,
        grid,
        rows,
        columns,
        provenance,
        _status(datasets, kept),
        _rounding(datasets, str(array.name)),
        _half_width(array, None if means is None else datasets[0], chosen),
    )


def _settings_of_means(attributes: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the settings of an output of ``deepcams means``, or ``None`` for anything else."""
    try:
        found = from_json(str(attributes[RUN]))["means"]
    except (KeyError, TypeError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _map_of_means(dataset: xr.Dataset, variable: str | None) -> xr.DataArray:
    """Return a variable of daily or longer means, which readers of hourly data refuse; lazy.

    Raises:
        InputError: the variable does not exist.
    """
    known = [
        name
        for name, array in field_variables(dataset).items()
        if array.dims == DIMS and array.attrs.get("units") == UNITS
    ]
    name = known[0] if variable is None else choose("--variable", variable, known)
    return as_field(dataset[name].chunk({"time": _MOST_HOURS}))


def _half_width(
    array: xr.DataArray, means: xr.Dataset | None, chosen: np.ndarray
) -> np.timedelta64 | np.ndarray | None:
    """Return :attr:`Source.half_width`; for daily or longer means it is taken from the time bounds."""
    if means is not None:
        if "time_bounds" not in means:
            return None
        bounds = means["time_bounds"].values.astype("datetime64[ns]")[chosen]
        return np.asarray((bounds[:, 1] - bounds[:, 0]) // 2)
    if not is_mean(array):
        return np.timedelta64(0, "ns")
    steps = np.diff(array.time.values[chosen])
    return (steps.min() if steps.size else HOUR) // 2


def _provenance(attributes: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return a file's global attributes without those on its coverage, identity and dates."""
    found = {
        key: value
        for key, value in attributes.items()
        if isinstance(value, str | int | float)
        and not key.startswith((*_COVERAGE, "deepcams_", "GRIB_"))
        and key not in _OF_OTHERS
    }
    if source:
        found.setdefault("source", source)
    return {**found, "Conventions": "CF-1.11, ACDD-1.3"}


def _history(attributes: Mapping[str, Any], command: str) -> str:
    now = np.datetime64("now", "s")
    before = str(attributes.get("history", "")).strip()
    line = f"{now}Z {command} (deepcams {__version__})"
    return f"{line}\n{before}" if before else line


def _status(datasets: Sequence[xr.Dataset], times: np.ndarray) -> np.ndarray | None:
    """Return each time's status flag from outputs of deepcams; ``None`` if a file lacks it."""
    known: dict[Any, int] = {}
    for dataset in datasets:
        flag = dataset.get("status")
        if flag is None or flag.dims != ("time",):
            return None
        if flag.attrs.get("flag_meanings") != STATUS["flag_meanings"]:
            return None
        found = dataset.time.values.astype("datetime64[ns]")
        known.update(zip(found.tolist(), flag.values, strict=True))
    wanted = times.astype("datetime64[ns]").tolist()
    if any(time not in known for time in wanted):
        return None
    return np.array([int(known[time]) for time in wanted], np.int8)


def _rounding(datasets: Sequence[xr.Dataset], name: str) -> float:
    bounds = [
        dataset[name].attrs.get("quantization_maximum_relative_error", 0)
        for dataset in datasets
        if name in dataset
    ]
    try:
        bound = float(max(bounds, default=0))
    except (TypeError, ValueError):
        return 0.0
    return bound if 0 <= bound <= 0.25 else 0.0
