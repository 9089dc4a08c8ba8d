"""Several files' fields as one: same grid, times in order, overlaps checked and dropped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from deepcams.errors import InputError, notice
from deepcams.field import as_field, field_like, grid_of, units_factor
from deepcams.sources.files import DataFile, lazy, open_file

Chooser = Callable[[xr.Dataset, DataFile], xr.DataArray | None]
"""Picks the wanted variable of an opened file; ``None`` where it has none."""


@dataclass(frozen=True)
class _Part:
    field: xr.DataArray
    file: DataFile
    step: float  # distance of two packed values, ug m-3; 0 where they are not packed
    bits: int  # bits of a packed value, relative to each map's range; 0 where they are not packed so


def open_merged(files: Sequence[DataFile], choose: Chooser, wanted: str) -> xr.DataArray:
    """Open files and put their chosen variables together along time, lazily.

    Args:
        files: in any order; times may overlap where the values are the same.
        choose: picks each file's variable. Within one zip, members without it are left out.
        wanted: what is sought, for messages ("PM2.5 (pm2p5)").

    Raises:
        InputError: a file without the variable, on another grid than the first, or with other values at a time that
            another file has, naming the time and both files.
    """
    parts: list[_Part] = []
    without: dict[str, tuple[DataFile, xr.Dataset]] = {}
    for file in files:
        dataset = open_file(file)
        array = choose(dataset, file)
        if array is None:
            without.setdefault(str(file.given), (file, dataset))
            continue
        parts.append(_part(array, file))
    given = {str(part.file.given) for part in parts}
    for name, (file, dataset) in without.items():
        if name not in given:
            raise _no_variable(file, dataset, wanted)
    return _joined(parts)


def _no_variable(file: DataFile, dataset: xr.Dataset, wanted: str) -> InputError:
    listed = ", ".join(
        f"{name} ({array.attrs.get('units', 'no units')})"
        for name, array in dataset.data_vars.items()
        if array.ndim >= 2
    )
    do = "choose one with --variable NAME (from Python: variable=NAME)" if listed else "check what was downloaded"
    return InputError(file, f"a variable with {wanted}", f"only {listed}" if listed else "no fields", do)


def _part(array: xr.DataArray, file: DataFile) -> _Part:
    array = _without_repeats(_valid_time(_merge_versions(lazy(array, file))), file)
    factor = units_factor(array.attrs.get("units"), file)
    step = abs(float(array.encoding.get("scale_factor", 0.0))) * factor
    if step and not np.issubdtype(array.encoding.get("dtype", np.float32), np.integer):
        step = 0.0
    return _Part(
        as_field(array, file), file, step, int(array.attrs.get("GRIB_bitsPerValue", 16 if file.kind == "grib" else 0))
    )


def _merge_versions(array: xr.DataArray) -> xr.DataArray:
    """Where final and preliminary data lie side by side along ``expver``, take the first that is there."""
    if "expver" not in array.dims:
        return array
    order = np.argsort(array.expver.values.astype(int)) if "expver" in array.coords else range(array.sizes["expver"])
    merged, *others = (array.isel(expver=int(i), drop=True) for i in order)
    for other in others:
        merged = merged.copy(data=np.where(np.isnan(merged.data), other.data, merged.data))
    return merged


def _valid_time(array: xr.DataArray) -> xr.DataArray:
    """Let a forecast-like time (reference time and step) be the time the values are valid at."""
    if "valid_time" not in array.coords or "valid_time" in array.dims:
        return array
    valid = array.coords["valid_time"]
    if valid.ndim == 2 and set(valid.dims) <= set(array.dims):
        outer, inner = valid.dims
        array = array.stack(moment=(outer, inner), create_index=False)
        times = valid.transpose(outer, inner).values.ravel()
        rest = array.drop_vars([name for name in ("time", "step", "valid_time") if name in array.coords])
        return rest.rename(moment="time").assign_coords(time=times)
    if valid.ndim == 1 and valid.dims[0] in array.dims:
        (name,) = valid.dims
        rest = array.drop_vars([other for other in ("time", "step", "valid_time") if other in array.coords])
        return rest.rename({name: "time"} if name != "time" else {}).assign_coords(time=("time", valid.values))
    if valid.ndim == 0 and "time" not in array.dims:
        return array.drop_vars([name for name in ("time", "step") if name in array.coords])
    return array


def _without_repeats(array: xr.DataArray, file: DataFile) -> xr.DataArray:
    """Drop times that stand twice in one file with the same values."""
    name = next((alias for alias in ("time", "valid_time") if alias in array.dims and alias in array.coords), None)
    if name is None or array.sizes[name] < 2:
        return array
    times = array[name].values
    _, first, which = np.unique(times, return_index=True, return_inverse=True)
    if first.size == times.size:
        return array
    for index in np.setdiff1d(np.arange(times.size), first):
        kept = int(first[which[index]])
        one, other = (np.asarray(array.isel({name: i}).values) for i in (kept, int(index)))
        if not np.array_equal(one, other, equal_nan=True):
            raise _differing(times[index], str(file), str(file))
    notice(f"{file}: {times.size - first.size} repeated times with the same values are dropped")
    return array.isel({name: np.sort(first)})


def _differing(time: object, one: str, other: str) -> InputError:
    places = f"two different ones in {one}" if one == other else f"different ones in {one} and {other}"
    return InputError(
        "time", "one set of values a time", f"{places} at {str(time)[:16].replace('T', ' ')}", "leave one out"
    )


def _same(one: _Part, i: int, other: _Part, j: int) -> bool:
    """Whether two maps are equal within what packing does to values."""
    a, b = (np.asarray(part.field.data[k]).astype(np.float64) for part, k in ((one, i), (other, j)))
    bound = (one.step + other.step) * 0.51 + 1e-5 * np.abs(a)
    for part, values in ((one, a), (other, b)):
        if part.bits and np.isfinite(values).any():
            bound = bound + float(np.nanmax(values) - np.nanmin(values)) / 2**part.bits
    with np.errstate(invalid="ignore"):
        return bool(np.all((np.abs(a - b) <= bound) | (a == b) | (np.isnan(a) & np.isnan(b))))


def _joined(parts: list[_Part]) -> xr.DataArray:
    import dask.array as da

    parts = sorted(parts, key=lambda part: (part.field.time.values[0], part.step, str(part.file)))
    first = parts[0]
    grid = grid_of(first.field)
    for part in parts[1:]:
        if grid_of(part.field) != grid:
            raise InputError(
                part.file,
                f"the grid of {first.file} ({grid.describe()})",
                grid_of(part.field).describe(),
                "open them apart",
            )
    times = np.concatenate([part.field.time.values for part in parts])
    owner = np.repeat(np.arange(len(parts)), [part.field.sizes["time"] for part in parts])
    index = np.concatenate([np.arange(part.field.sizes["time"]) for part in parts])
    _, kept, which = np.unique(times, return_index=True, return_inverse=True)
    repeated = np.setdiff1d(np.arange(times.size), kept)
    for row in repeated:
        keeper = kept[which[row]]
        one, other = parts[owner[keeper]], parts[owner[row]]
        if not _same(one, index[keeper], other, index[row]):
            raise _differing(times[row], str(one.file), str(other.file))
    if repeated.size:
        notice(f"{repeated.size} times stand in several files with the same values; one of each is taken")
    keep = np.zeros(times.size, bool)
    keep[kept] = True
    pieces = []
    for number, part in enumerate(parts):
        chosen = index[keep & (owner == number)]
        if chosen.size:
            whole = chosen.size == part.field.sizes["time"]
            pieces.append(part.field.data if whole else part.field.data[chosen])
    data = pieces[0] if len(pieces) == 1 else da.concatenate(pieces, axis=0)  # type: ignore[no-untyped-call]
    order = np.argsort(times[keep], kind="stable")
    if not np.array_equal(order, np.arange(order.size)):
        data = data[order]
    field = field_like(first.field, data, grid, times[keep][order])
    field.encoding["source_files"] = list(dict.fromkeys(str(part.file.given) for part in parts))
    return field
