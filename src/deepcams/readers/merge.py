"""Merge the variables of several files into one field: sort times, check overlaps, join parts of a region."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from deepcams.core.air import with_density
from deepcams.core.errors import InputError, notice
from deepcams.core.field import Axes, axes_of, field_like
from deepcams.core.grid import Grid
from deepcams.core.text import counted
from deepcams.core.times import stamp
from deepcams.core.url import Place, Url
from deepcams.files.storage import state_at
from deepcams.readers.formats.datasets import (
    check_whole,
    chunk_length,
    field_variables,
    open_datasets,
    opening,
)
from deepcams.readers.formats.detect import DataFile
from deepcams.readers.stored import Indexed, Joined, Stored, Tile
from deepcams.readers.times import (
    LEAD,
    Stamp,
    chained,
    refuse_months,
    with_middle_stamps,
    with_valid_time,
)

Chooser = Callable[[xr.Dataset, DataFile], xr.DataArray | None]
"""Function that selects the wanted variable of an opened file; returns ``None`` if the file lacks it."""
Precision = tuple[float, float]
"""Step of packed values in ug m-3, and largest relative rounding error; 0 if values are not packed or rounded."""
_AFTER = np.array([0, 1], "timedelta64[ns]")
"""Offsets added to the first and last time of a part to form a half-open interval."""


def open_merged(
    files: Sequence[DataFile],
    choose: Chooser,
    wanted: str,
    stamp: Stamp | None = None,
    mend: Callable[[np.ndarray], np.ndarray] | None = None,
    *,
    with_dask: bool = True,
) -> xr.DataArray:
    """Open files and merge their chosen variables, lazily.

    Args:
        files: data files in any order; times may overlap if the values are equal.
        choose: selects each file's variable. A file without it is left out if another of its zip or folder has it.
        wanted: name of the wanted variable in messages ("PM2.5 (pm2p5)").
        stamp: position of the stamps of means without bounds; see :func:`with_middle_stamps`.
        mend: function applied to the stored values before all else.
        with_dask: give the field a Dask array; else a :class:`deepcams.readers.stored.Indexed`.

    Returns:
        a canonical field; ``encoding`` has ``source_files`` (as the user gave them), ``tile`` (number of rows and
        columns stored together) and ``values`` (the array that Dask reads from).

    Raises:
        InputError: a file lacks the variable, the parts do not form one regular grid, or two files have different
            values for the same time (the message names both).
    """
    arrays: list[tuple[xr.DataArray, DataFile]] = []
    without: dict[str, tuple[DataFile, Sequence[xr.Dataset]]] = {}
    for file, datasets in _opened(files):
        chosen = []
        for dataset in datasets:
            array = choose(dataset, file)
            if array is not None:
                array = with_middle_stamps(
                    with_valid_time(array, file), dataset, file, stamp
                )
                chosen.append((array, file))
        arrays.extend(chosen)
        if not chosen:
            without[str(file)] = (file, datasets)
    _check_without(without, {file.request for _, file in arrays}, wanted)
    _check_methods(arrays)
    parts = [
        (part, array) for array, file in arrays for part in _stored(array, file, mend)
    ]
    precision = {id(part): _precision(array, part) for part, array in parts}
    parts.sort(key=lambda pair: _sort_key(pair[0], precision))
    groups = _in_space([part for part, _ in parts], precision)
    field = _in_time(groups, parts[0][1], precision, with_dask)
    used = [as_given(part.file) for part, _ in parts]
    used += [
        as_given(file)
        for file in files
        if file.kind == "grib" and str(file) not in without
    ]
    field.encoding["source_files"] = list(dict.fromkeys(used))
    return field


def as_given(file: DataFile) -> str | Url:
    """Return a file as the user gave it; a URL stays a :class:`Url`, because its text lacks credentials and query."""
    return file.given if isinstance(file.given, Url) else str(file.given)


def _state(place: Place) -> str:
    """Return a text that changes with each version of a file or store."""
    if isinstance(place, Url):
        return state_at(place)
    about = place.stat()
    return f"{place.resolve()} {about.st_mtime_ns} {about.st_size}"


def _opened(files: Sequence[DataFile]) -> list[tuple[DataFile, Sequence[xr.Dataset]]]:
    """Return each file's datasets; GRIB files are opened together, because their messages are ranked together."""
    gribs = [file for file in files if file.kind == "grib"]
    if len(gribs) < 2:
        return [(file, open_datasets(file)) for file in files]
    from deepcams.readers.formats.grib import open_grib

    for file in gribs:
        check_whole(file)
    where = f"{gribs[0]} and {counted(len(gribs) - 1, 'other file')}"
    with opening(gribs[0], where):
        together = open_grib([file.local for file in gribs], where)
    others = [(file, open_datasets(file)) for file in files if file.kind != "grib"]
    return [(gribs[0], together), *others]


def _check_without(
    without: dict[str, tuple[DataFile, Sequence[xr.Dataset]]],
    have: set[Any],
    wanted: str,
) -> None:
    """Refuse files without the variable, unless another file of the same zip or folder has it."""
    left = []
    for file, datasets in without.values():
        if file.request not in have:
            raise no_variable(file, datasets, wanted)
        if not file.member:
            left.append(file)
    if left:
        names = ", ".join(file.path.name for file in left[:3]) + (
            ", .." if len(left) > 3 else ""
        )
        notice(
            f"{left[0].request}: {counted(len(left), 'file')} without {wanted} left out ({names})"
        )


def _check_methods(arrays: list[tuple[xr.DataArray, DataFile]]) -> None:
    """Refuse a mixture of instants and means.

    Raises:
        InputError: there are both.
    """
    files = {
        str(array.attrs.get("cell_methods")): file for array, file in reversed(arrays)
    }
    if len(files) > 1:
        (one, first), (other, second) = list(files.items())[:2]
        found = f"instants and means together ({one} in {first}, {other} in {second})"
        raise InputError("cell_methods", "one kind of values", found, "open them apart")


def no_variable(
    file: DataFile, datasets: Sequence[xr.Dataset], wanted: str
) -> InputError:
    """Return the error for a file without the wanted variable: it lists the variables and the option to use."""
    listed = ", ".join(
        f"{name} ({array.attrs.get('units', 'no units')})"
        for dataset in datasets
        for name, array in field_variables(dataset).items()
    )
    if not listed:
        return InputError(
            file, f"a variable with {wanted}", "no fields", "check what was downloaded"
        )
    do = "choose one with --variable NAME (from Python: variable=NAME)"
    return InputError(file, f"a variable with {wanted}", f"only {listed}", do)


def _stored(
    array: xr.DataArray, file: DataFile, mend: Callable[[np.ndarray], np.ndarray] | None
) -> list[Stored]:
    """Return a file's variable with checked coordinates; repeated times become separate parts."""
    versions, array = _versions(array, file)
    time = array.coords.get("time")
    own = set() if time is None else set(time.dims)
    if time is None or not own <= set(array.dims) or {"time"} & set(array.dims) - own:
        axes_of(array, file)
        found = f"one of dimensions {time.dims if time is not None else ()}"
        raise InputError(f"{file}: time", "one time coordinate", found)
    dims = tuple(str(name) for name in time.dims)
    times = np.atleast_1d(time.values).ravel()
    leads = None
    if LEAD in array.coords:
        leads = np.atleast_1d(array.coords[LEAD].values).ravel()
    rounds = [np.arange(times.size)]
    if times.dtype.kind == "M" and times.size:
        order = rounds[0]
        if leads is not None:  # shortest lead of each time first
            order = np.argsort(leads, kind="stable")
        elif len(dims) == 2:
            order = np.argsort(order % array.sizes[dims[1]], kind="stable")
        rounds = _occurrences(times, order)
        if len(dims) == 2:
            rounds = rounds[:1]
    others = [name for name in array.dims if name not in dims]
    coords = {
        name: value
        for name, value in array.coords.items()
        if name != "time" and not set(value.dims) & set(dims)
    }
    parts = []
    for moments in rounds:
        shape = (moments.size, *(array.sizes[name] for name in others))
        stamps = xr.Variable("time", times[moments], time.attrs, dict(time.encoding))
        template = xr.DataArray(  # without data: only the coordinates matter
            np.broadcast_to(np.zeros((), array.dtype), shape),
            dims=("time", *others),
            coords={**coords, "time": stamps},
            name=array.name,
            attrs=array.attrs,
        )
        axes = axes_of(template, file)
        at = moments[axes.order]
        ahead = None if leads is None else leads[at]
        parts.append(Stored(versions, file, dims, at, axes, mend, ahead))
    return parts


def _occurrences(times: np.ndarray, order: np.ndarray) -> list[np.ndarray]:
    """Return the sorted indices of the first occurrence of each time (in this order), of the second, and so on."""
    found = []
    while order.size:
        _, first = np.unique(times[order], return_index=True)
        found.append(np.sort(order[first]))
        order = np.delete(order, first)
    return found


def _versions(
    array: xr.DataArray, file: DataFile
) -> tuple[tuple[xr.Variable, ...], xr.DataArray]:
    """Split final and preliminary data along ``expver``; versions are ordered by number, named ones as in the file."""
    if "expver" not in array.dims:
        return (array.variable,), array
    names = [
        str(name).strip()
        for name in np.atleast_1d(
            array.coords.get("expver", np.arange(array.sizes["expver"]))
        )
    ]
    order = list(range(len(names)))
    if all(name.isdigit() for name in names):
        order.sort(key=lambda i: int(names[i]))
    elif len(names) > 1:
        notice(
            f"{file}: versions {', '.join(names)} of expver; each is taken where those before it are missing"
        )
    versions = [array.isel(expver=i, drop=True) for i in order]
    return tuple(version.variable for version in versions), versions[0]


def _precision(array: xr.DataArray, part: Stored) -> Precision:
    """Return the precision of stored values: packed as integers, or rounded (attributes of CF-1.12, section 8.4)."""
    relative = _number(array.attrs.get("quantization_maximum_relative_error", 0.0), 0.0)
    if not np.issubdtype(array.encoding.get("dtype", np.float32), np.integer):
        return 0.0, relative
    scale = _number(array.encoding.get("scale_factor", 1.0), 1.0)
    return abs(scale) * part.axes.factor, relative


def _number(value: Any, default: float) -> float:
    """Return an attribute as a number, or ``default`` if it is not a number."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return default


def _cut_in_time(
    parts: list[Stored], precision: dict[int, Precision]
) -> Iterator[Stored]:
    """Split parts where others begin or end, so that overlapping parts have identical times."""
    ends = [part.axes.times[[0, -1]] + _AFTER for part in parts]
    cuts = np.unique(np.concatenate(ends))
    for part in parts:
        axes = part.axes
        places = np.searchsorted(axes.times, cuts)
        for a, b in itertools.pairwise(np.unique([0, *places, axes.times.size])):
            times, order = axes.times[a:b], axes.order[a:b]
            own = replace(axes, times=times, order=order)
            ahead = None if part.leads is None else part.leads[a:b]
            piece = replace(part, moments=part.moments[a:b], axes=own, leads=ahead)
            precision[id(piece)] = precision[id(part)]
            yield piece


def _in_space(parts: list[Stored], precision: dict[int, Precision]) -> list[list[Tile]]:
    """Return groups of parts that together cover the grid at the same times; usually one part each.

    Raises:
        InputError: the parts do not form one regular grid.
    """
    grids = list(dict.fromkeys(part.axes.grid for part in parts))
    if len(grids) == 1:
        return [[Tile(part, 0, 0)] for part in parts]
    first = parts[0]
    other = next(part for part in parts if part.axes.grid != grids[0])
    whole = _union(grids)
    if whole is None:
        found = other.axes.grid.describe()
        raise InputError(
            other.file,
            f"the grid of {first.file} ({grids[0].describe()}), or parts that make up one grid "
            "without gap or overlap",
            found,
            "open them apart",
        )
    together: dict[bytes, list[Stored]] = {}
    for part in _cut_in_time(parts, precision):
        together.setdefault(part.axes.times.tobytes(), []).append(part)
    groups = []
    for group in together.values():
        absent = set(grids) - {part.axes.grid for part in group}
        if absent or len(group) != len(grids):
            part = group[0]
            found = f"{counted(len(group), 'part')} of {len(grids)} from {stamp(part.axes.times[0])} on"
            raise InputError(
                part.file,
                "every part of the region at the same times",
                found,
                "open them apart",
            )
        groups.append([Tile(part, *_place(part.axes.grid, whole)) for part in group])
    return groups


def _union(grids: list[Grid]) -> Grid | None:
    """Return the grid that the given grids form without gap or overlap, or ``None``."""
    step, row_step = grids[0].step, grids[0].row_step
    if any(
        abs(grid.step - step) + abs(grid.row_step - row_step) > 1e-9 for grid in grids
    ):
        return None
    north, south = min(grid.north for grid in grids), max(grid.south for grid in grids)
    spans = sorted({(grid.west % grid.around, grid.columns) for grid in grids})
    around = grids[0].around
    for (
        first,
        _,
    ) in spans:  # western edge: no span ends there
        eastward = sorted(((west - first) % around, columns) for west, columns in spans)
        end = max(west + columns for west, columns in eastward)
        if end > around:
            continue
        whole = Grid(step, north, first, south - north + 1, end, row_step).canonical()
        covered = np.zeros(whole.shape, np.int8)
        for grid in grids:
            row, column = _place(grid, whole)
            covered[row : row + grid.rows, column : column + grid.columns] += 1
        if (covered == 1).all():
            return whole
    return None


def _place(grid: Grid, whole: Grid) -> tuple[int, int]:
    return grid.north - whole.north, (grid.west - whole.west) % whole.around


def _in_time(
    groups: list[list[Tile]],
    first: xr.DataArray,
    precision: dict[int, Precision],
    with_dask: bool,
) -> xr.DataArray:
    """Join groups of parts to one field; for repeated times the most finely packed values are used."""
    groups = sorted(groups, key=lambda tiles: _sort_key(tiles[0].part, precision))
    times = np.concatenate([tiles[0].part.axes.times for tiles in groups])
    sizes = [tiles[0].part.axes.times.size for tiles in groups]
    group = np.repeat(np.arange(len(groups)), sizes)
    moment = np.concatenate([np.arange(size) for size in sizes])
    leads = np.concatenate([_leads(tiles) for tiles in groups])
    # For each time the shortest lead is used, then the first part; unknown leads count as zero.
    ahead = np.where(np.isnat(leads), np.timedelta64(0, "ns"), leads)
    shortest = np.lexsort((np.arange(times.size), ahead))
    unique, at, inverse = np.unique(
        times[shortest], return_index=True, return_inverse=True
    )
    kept, which = shortest[at], np.empty_like(inverse)
    which[shortest] = inverse
    refuse_months(unique, f"{first.name}")
    others = np.setdiff1d(np.arange(times.size), kept)
    repeated = others[ahead[others] == ahead[kept[which[others]]]]
    for row in repeated:
        keeper = kept[which[row]]
        _check_same(
            times[row],
            groups[group[keeper]],
            int(moment[keeper]),
            groups[group[row]],
            int(moment[row]),
            precision,
        )
    if repeated.size:
        words = "times stand" if repeated.size > 1 else "time stands"
        notice(
            f"{repeated.size} {words} in the input more than once, with the same values; one of each is taken"
        )
    grid = (
        _union(list(dict.fromkeys(tile.part.axes.grid for tile in groups[0])))
        or groups[0][0].part.axes.grid
    )
    shape = (unique.size, *grid.shape)
    own = {
        name: dict(first.encoding.get("preferred_chunks") or {}).get(name)
        for name in first.dims
    }
    chunks = _time_chunks(
        group[kept], chunk_length(4 * grid.rows * grid.columns, _own_times(first, own))
    )
    values = Joined(groups, group[kept], moment[kept], shape)
    data: Any = Indexed(values, np.repeat(np.arange(len(chunks)), chunks))
    if with_dask:
        paths = {tile.part.file.path for tiles in groups for tile in tiles}
        data = _dask_array(values, chunks, f"{first.name}", unique, paths)
    field = field_like(first, data, grid, unique)
    field.encoding["tile"] = _tile(first, groups[0][0].part.axes, own)
    field.encoding["values"] = values
    about = [str(field.attrs.get("source", "")), chained(unique, leads[kept])]
    source = with_density("; ".join(filter(None, about)), first.attrs.get("units"))
    if source:
        field.attrs["source"] = source
    return field


def _leads(tiles: list[Tile]) -> np.ndarray:
    """Return the lead times of a group, NaT if unknown."""
    part = tiles[0].part
    if part.leads is not None:
        return part.leads.astype("timedelta64[ns]")
    return np.full(part.axes.times.shape, np.timedelta64("NaT", "ns"))


def _dask_array(
    values: Joined,
    chunks: tuple[int, ...],
    name: str,
    times: np.ndarray,
    paths: set[Place],
) -> Any:
    """Return a Dask array that reads a field's values; its name is derived from the state of the files."""
    from dask.base import tokenize

    states = sorted(map(_state, paths))
    token = tokenize(states, name, chunks, times.tobytes())
    return dask_array(values, chunks, f"{name}-{token}")


def dask_array(values: Joined, chunks: tuple[int, ...], name: str) -> Any:
    """Return a Dask array with the given name that reads a field's values."""
    import dask.array as da

    values.name = name
    return da.from_array(  # type: ignore[no-untyped-call]
        values,
        chunks=(chunks, *((size,) for size in values.shape[1:])),
        name=values.name,
        lock=False,
        asarray=False,
        meta=np.empty((0, 0, 0), np.float32),
    )


def _sort_key(
    part: Stored, precision: dict[int, Precision]
) -> tuple[np.datetime64, Precision, str]:
    """Return the sort key: start time, then precision, the most precise first."""
    return part.axes.times[0], precision[id(part)], str(part.file)


def _own_times(array: xr.DataArray, own: dict[Any, Any]) -> Any:
    dims = array.time.dims if "time" in array.coords else ()
    return own.get(dims[-1]) if dims else None


def _time_chunks(group: np.ndarray, most: int) -> tuple[int, ...]:
    """Return chunk lengths of at most ``most`` times, each within one group."""
    chunks: list[int] = []
    for run in np.split(group, np.flatnonzero(np.diff(group) != 0) + 1):
        chunks += [most] * (run.size // most)
        if run.size % most:
            chunks.append(run.size % most)
    return tuple(chunks)


def _tile(array: xr.DataArray, axes: Axes, own: dict[Any, Any]) -> tuple[int, int]:
    """Return the number of rows and columns stored together: reading less saves no time."""
    sizes = []
    in_order = np.array_equal(axes.columns, np.arange(axes.columns.size))
    for name, size in (("latitude", axes.grid.rows), ("longitude", axes.grid.columns)):
        length = own.get(axes.names.get(name))
        whole = not isinstance(length, int) or array.sizes[axes.names[name]] != size
        if (
            name == "longitude" and not in_order
        ):  # with reordered longitudes whole rows are read
            whole = True
        sizes.append(
            size if whole or not isinstance(length, int) else min(length, size)
        )
    return sizes[0], sizes[1]


def _check_same(
    time: np.datetime64,
    one: list[Tile],
    i: int,
    other: list[Tile],
    j: int,
    precision: dict[int, Precision],
) -> None:
    """Refuse two maps of one time that differ by more than packing and rounding explain."""
    for tile, twin in zip(one, other, strict=False):
        parts = (tile.part, twin.part)
        a, b = (
            part.read(np.array([at]), slice(None), slice(None)).astype(np.float64)
            for part, at in zip(parts, (i, j), strict=True)
        )
        if a.shape == b.shape:
            packing, rounding = np.sum([precision[id(part)] for part in parts], axis=0)
            bound = packing * 0.51 + (1e-5 + rounding) * np.maximum(
                np.abs(a), np.abs(b)
            )
            for part, values in zip(parts, (a, b), strict=True):
                if (
                    part.file.kind == "grib" and np.isfinite(values).any()
                ):  # 16 bits or more
                    bound = bound + float(np.nanmax(values) - np.nanmin(values)) / 2**16
            with np.errstate(invalid="ignore"):
                if np.all(
                    (np.abs(a - b) <= bound) | (a == b) | (np.isnan(a) & np.isnan(b))
                ):
                    continue
        names = [str(part.file) for part in parts]
        places = f"different ones in {' and '.join(names)}"
        if names[0] == names[1]:
            places = f"two different ones in {names[0]}"
        found = f"{places} at {stamp(time)}"
        raise InputError("time", "one set of values a time", found, "leave one out")
