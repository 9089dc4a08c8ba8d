"""Inspection of files, even unusable ones: layout, grid, times, gaps, units, values.

Values are read a few times at a time, so that memory use does not depend on the length of the files.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from deepcams.core.air import concentration_factor
from deepcams.core.errors import DeepcamsError, DeepcamsNotice
from deepcams.core.field import grid_of, is_mean
from deepcams.core.species import COORDINATE_NAMES, PM25, species_of
from deepcams.core.times import long_means_opened
from deepcams.core.units import UNITS
from deepcams.core.url import Place, Url
from deepcams.files.storage import bytes_at
from deepcams.readers.formats.datasets import field_variables, opened, pieces
from deepcams.readers.formats.detect import DataFile
from deepcams.readers.geos_cf import UNDEFINED
from deepcams.readers.open import (
    find_field_files,
    layout_of,
    means_over,
    open_by_source,
    open_files,
)
from deepcams.readers.protocols import Paths
from deepcams.readers.times import CHAINED, with_valid_time

MEANS_NOTE = (
    "made by deepcams means: it can be plotted, viewed, reported, verified, given to zones and points, and daily "
    "means to means; what computes with hours (downscale, validate, ..) refuses it"
)


@dataclass(frozen=True)
class Values:
    """Counts and range of values, in their stored units; can be added.

    Attributes:
        total: number of values.
        missing: NaN or fill values.
        negative: finite values below 0.
        infinite: infinite values.
        smallest, largest: range of the finite values; NaN if there are none.
    """

    total: int = 0
    missing: int = 0
    negative: int = 0
    infinite: int = 0
    smallest: float = math.nan
    largest: float = math.nan

    @classmethod
    def of(cls, values: np.ndarray) -> Values:
        """Count one block of values."""
        missing, infinite = np.isnan(values), np.isinf(values)
        finite = values[~(missing | infinite)]
        ends = (
            (float(finite.min()), float(finite.max()))
            if finite.size
            else (math.nan, math.nan)
        )
        return cls(
            values.size,
            int(missing.sum()),
            int((finite < 0).sum()),
            int(infinite.sum()),
            *ends,
        )

    def __add__(self, other: Values) -> Values:
        return Values(
            self.total + other.total,
            self.missing + other.missing,
            self.negative + other.negative,
            self.infinite + other.infinite,
            float(np.fmin(self.smallest, other.smallest)),
            float(np.fmax(self.largest, other.largest)),
        )


@dataclass(frozen=True)
class VariableSeen:
    """A variable: names, shape and values; ``to_ug`` converts to ug m-3 (None: not a concentration)."""

    name: str
    long_name: str
    units: str | None
    shape: dict[str, int]
    dtype: str
    to_ug: float | None
    values: Values | None = None


@dataclass(frozen=True)
class Gap:
    """Two consecutive times farther apart than the cadence, and the number of times missing between them."""

    after: str
    before: str
    missing: int


@dataclass(frozen=True)
class TimesSeen:
    """A time axis: number of distinct times, first and last, most common interval in hours, and irregularities."""

    count: int
    first: str
    last: str
    cadence_hours: float | None
    gaps: tuple[Gap, ...] = ()
    repeated: int = 0
    calendar: str = "standard"


@dataclass(frozen=True)
class FileSeen:
    """One file; ``problem`` says why it could not be read, or not completely."""

    path: str
    bytes: int
    layout: str = ""
    grid: str = ""
    times: TimesSeen | None = None
    variables: tuple[VariableSeen, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Seen:
    """The result of an inspection, per file and in total.

    Attributes:
        files: the individual files.
        times: times of all files together.
        variables: variables of all files together, with combined counts.
        opens_as: description of the field that :func:`deepcams.open_field` returns; empty if it fails.
        problem: the reason if it fails.
        notes: further remarks.
    """

    files: tuple[FileSeen, ...]
    times: TimesSeen | None
    variables: tuple[VariableSeen, ...]
    opens_as: str = ""
    problem: str = ""
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-serialisable values; NaN becomes None."""
        plain: dict[str, Any] = _json_types(dataclasses.asdict(self))
        return plain


def _json_types(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _json_types(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_json_types(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@dataclass
class _Look:
    """A file under inspection, and those that were opened together with it."""

    file: DataFile
    problem: str = ""
    beside: Sequence[DataFile] = ()

    @property
    def datasets(self) -> tuple[xr.Dataset, ...]:
        return self.file.datasets

    def fields(self) -> Iterator[xr.DataArray]:
        for dataset in self.datasets:
            yield from field_variables(dataset).values()


def inspect(
    paths: Paths,
    variable: str | None = None,
    *,
    values: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Seen:
    """Inspect files: their formats and contents, and whether deepcams can use them.

    Args:
        paths: file, folder, glob, Zarr store, or a sequence of them.
        variable: the variable to be used; None: PM2.5.
        values: whether to read all values (needed for their range and counts).
        progress: called with the number of values read and the total.

    Raises:
        InputError: a file does not exist or is not a data file. All other problems are part of the result.
    """
    looks = _looks(find_field_files(paths), variable)
    total = (
        sum(array.size for look in looks for array in look.fields()) if values else 0
    )
    done = 0

    def count(size: int) -> None:
        nonlocal done
        done += size
        if progress is not None:
            progress(done, total)

    seen = [_seen(look, count if values else None) for look in looks]
    times = [axis for look in looks if (axis := _times(look.datasets)) is not None]
    same = len({axis.dtype.kind for axis in times}) == 1
    together = _describe_times(np.concatenate(times)) if same else None
    opens_as, problem, notes = _verdict([look.file for look in looks], seen, variable)
    return Seen(tuple(seen), together, _added(seen), opens_as, problem, tuple(notes))


def _looks(files: Sequence[DataFile], variable: str | None) -> list[_Look]:
    """Open each file; a chosen source opens its files together."""
    if not files[0].source:
        return [_look(file) for file in files]
    more = f"and {len(files) - 1} more" if files[1:] else ""
    file = dataclasses.replace(files[0], member=more)
    try:
        field = open_by_source(files, variable)
    except DeepcamsError as error:
        return [_Look(file, str(error), files[1:])]
    file = dataclasses.replace(file, datasets=(field.to_dataset(),))
    return [_Look(file, beside=files[1:])]


def _look(file: DataFile) -> _Look:
    try:
        return _Look(opened(file))
    except DeepcamsError as error:
        return _Look(file, problem=str(error))


def _size(path: Place) -> int:
    if isinstance(path, Url):
        return bytes_at(path)
    return (
        sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
        if path.is_dir()
        else path.stat().st_size
    )


def _seen(look: _Look, count: Callable[[int], None] | None) -> FileSeen:
    size = sum(_size(file.path) for file in (look.file, *look.beside))
    if not look.datasets:
        return FileSeen(str(look.file), size, problem=look.problem)
    layout = layout_of(look.datasets[0], look.file)
    limit = UNDEFINED if layout.source == "geos-cf" else math.inf
    variables, problem = [], ""
    for array in look.fields():
        read = None
        if count is not None and np.issubdtype(array.dtype, np.number):
            try:
                read = _read(array, look.file, limit, count)
            except DeepcamsError as error:
                problem = str(error)
        variables.append(_variable(array, read))
    axis = _times(look.datasets)
    times = None if axis is None else _describe_times(axis)
    grid = _describe_grid(look.datasets[0])
    return FileSeen(
        str(look.file), size, layout.words, grid, times, tuple(variables), problem
    )


def _variable(array: xr.DataArray, read: Values | None) -> VariableSeen:
    units = array.attrs.get("units")
    try:
        factor: float | None = concentration_factor(
            units, str(array.name), array.attrs, array.name
        )
    except DeepcamsError:
        factor = None
    return VariableSeen(
        str(array.name),
        str(array.attrs.get("long_name", "")),
        None if units is None else str(units),
        {str(name): size for name, size in array.sizes.items()},
        str(array.encoding.get("dtype", array.dtype)),
        factor,
        read,
    )


def _read(
    array: xr.DataArray, file: DataFile, limit: float, count: Callable[[int], None]
) -> Values:
    total = Values()
    for piece in pieces(array, file):
        if np.isfinite(limit):
            piece = np.where(piece >= limit, np.nan, piece)
        total = total + Values.of(piece)
        count(piece.size)
    return total


def _coordinate(dataset: xr.Dataset, name: str) -> xr.DataArray | None:
    names = COORDINATE_NAMES[name]
    return next((dataset[each] for each in names if each in dataset.variables), None)


def _times(datasets: Sequence[xr.Dataset]) -> np.ndarray | None:
    axes = []
    for dataset in datasets:
        found = _coordinate(dataset, "time")
        for array in [*field_variables(dataset).values()][:1]:
            with contextlib.suppress(DeepcamsError):
                timed = with_valid_time(array, "")
                found = timed.coords.get("time", found)
        if found is not None and found.size:
            axes.append(np.atleast_1d(found.values).ravel())
    if not axes or len({axis.dtype.kind for axis in axes}) != 1:
        return None
    axis = axes[0] if len(axes) == 1 else np.unique(np.concatenate(axes))
    return axis.astype("datetime64[ns]") if axis.dtype.kind == "M" else axis


def _stamp(time: Any) -> str:
    if isinstance(time, float | int | np.floating | np.integer):
        with contextlib.suppress(ValueError):  # a timedelta64 is an integer to NumPy
            return f"{time:g}"
    return str(time)[:16].replace("T", " ")


def _describe_times(axis: np.ndarray) -> TimesSeen:
    if axis.dtype.kind == "M":
        axis = axis[~np.isnat(axis)]
    if not axis.size:
        return TimesSeen(0, "", "", None)
    calendar = getattr(
        axis[0], "calendar", "standard" if axis.dtype.kind == "M" else "none (numbers)"
    )
    if axis.dtype.kind == "O" and calendar.startswith("none"):
        axis = axis.astype(str)  # texts and other unordered types
    different = np.unique(axis)
    first, last = _stamp(different[0]), _stamp(different[-1])
    repeated = int(axis.size - different.size)
    if different.size < 2 or axis.dtype.kind not in "MO":
        return TimesSeen(int(different.size), first, last, None, (), repeated, calendar)
    steps = np.diff(different)
    if axis.dtype.kind == "M":
        hours = steps / np.timedelta64(1, "h")
    else:
        hours = np.array([step.total_seconds() / 3600 for step in steps])
    lengths, often = np.unique(hours, return_counts=True)
    cadence = float(lengths[np.argmax(often)])
    gaps = tuple(
        Gap(
            _stamp(different[i]),
            _stamp(different[i + 1]),
            round(hours[i] / cadence) - 1,
        )
        for i in np.flatnonzero(hours > 1.5 * cadence)
    )
    return TimesSeen(
        int(different.size), first, last, cadence, gaps, repeated, calendar
    )


def _describe_grid(dataset: xr.Dataset) -> str:
    latitude, longitude = (
        _coordinate(dataset, "latitude"),
        _coordinate(dataset, "longitude"),
    )
    if latitude is None or longitude is None:
        return "no latitude and longitude"
    if latitude.ndim == 1 and latitude.dims == longitude.dims:
        kind = next(
            (
                f" ({a.attrs['GRIB_gridType']})"
                for a in dataset.data_vars.values()
                if "GRIB_gridType" in a.attrs
            ),
            "",
        )
        return f"{latitude.size} points, no grid{kind}"
    if latitude.ndim != 1 or longitude.ndim != 1:
        dims = " x ".join(f"{name} {size}" for name, size in latitude.sizes.items())
        return f"{latitude.ndim}-dimensional coordinates ({dims or 'one point'})"
    if not {latitude.dtype.kind, longitude.dtype.kind} <= set("fiu"):
        return "latitude and longitude that are no numbers"
    y, x = np.asarray(latitude.values, float), np.asarray(longitude.values, float)
    if min(y.size, x.size) < 2:
        return f"{y.size} x {x.size} nodes"
    steps = [np.diff(y), np.diff(x)]
    even = all(np.ptp(step) <= 0.02 * abs(np.median(step)) for step in steps)
    step = f"{abs(np.median(steps[1])):.4g} degrees" if even else "irregular"
    if even and not math.isclose(
        abs(np.median(steps[0])), abs(np.median(steps[1])), rel_tol=0.02
    ):
        step = f"{abs(np.median(steps[0])):.4g} x {step}"
    order = "north" if y[0] > y[-1] else "south"
    return f"{step}, {y.size} x {x.size}, latitude {y[0]:g}..{y[-1]:g} ({order} first), longitude {x[0]:g}..{x[-1]:g}"


def _added(files: Sequence[FileSeen]) -> tuple[VariableSeen, ...]:
    """Merge the variables of all files by name and unit; the shape is that of the first file."""
    found: dict[tuple[str, str | None], VariableSeen] = {}
    for one in files:
        for variable in one.variables:
            key = (variable.name, variable.units)
            before = found.get(key)
            if before is None or before.values is None or variable.values is None:
                found.setdefault(key, variable)
            else:
                found[key] = dataclasses.replace(
                    before, values=before.values + variable.values
                )
    return tuple(found.values())


def _verdict(
    files: Sequence[DataFile], seen: Sequence[FileSeen], variable: str | None
) -> tuple[str, str, list[str]]:
    """Return what the files open as, or why they do not open, and the notices issued."""
    problems = [one.problem for one in seen if one.problem]
    if problems:
        more = (
            f" (and {len(problems) - 1} more such files)" if len(problems) > 1 else ""
        )
        return "", problems[0] + more, []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DeepcamsNotice)
        overs = {means_over(one.datasets[0]) for one in files}
        shown = contextlib.nullcontext() if "" in overs else long_means_opened()
        try:
            with shown:
                opened = open_files(files, variable, with_dask=False)
        except DeepcamsError as error:
            return "", str(error), []
    notes = [
        str(one.message) for one in caught if issubclass(one.category, DeepcamsNotice)
    ]
    notes += _doubts(seen, str(opened.name))
    kind = "means" if is_mean(opened) else "instants"
    if "" not in overs:
        kind = f"means over a {' or '.join(sorted(overs))}"
        notes.append(MEANS_NOTE)
    _, chained, how = str(opened.attrs.get("source", "")).partition(CHAINED)
    forecasts = f"; {chained}{how}" if chained else ""
    return (
        f"{opened.name}, {opened.sizes['time']} {kind}, {grid_of(opened).describe()}{forecasts}",
        "",
        notes,
    )


def _doubts(seen: Sequence[FileSeen], name: str) -> list[str]:
    """Return remarks on implausible values, which suggest wrong units or unmarked missing values."""
    doubts = []
    for one in seen:
        for variable in one.variables:
            if (
                variable.values is None
                or variable.to_ug is None
                or not math.isfinite(variable.values.largest)
            ):
                continue
            if variable.name != name and len(one.variables) > 1:
                continue
            largest = variable.values.largest * variable.to_ug
            species = species_of(variable.name) or PM25
            if not species.usual[0] <= largest < species.usual[1]:
                ask = "are the units right, and undefined values marked as missing?"
                doubts.append(
                    f"{one.path}: the largest {variable.name} is {largest:.3g} {UNITS}; {ask}"
                )
    return doubts
