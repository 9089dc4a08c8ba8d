"""Several files' variables as one field: times in order, overlaps checked and dropped, one grid."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from deepcams.core.errors import InputError, notice
from deepcams.core.field import as_field, field_like, grid_of, units_factor
from deepcams.readers.detect import DataFile, field_variables, lazy, open_datasets

Chooser = Callable[[xr.Dataset, DataFile], xr.DataArray | None]
"""Picks the wanted variable of an opened file; ``None`` where it has none."""

_TIMES = ("time", "valid_time", "t")


@dataclass(frozen=True)
class _Part:
    """One file's variable, not yet canonical, but lazy and along one time dimension called ``time``."""

    array: xr.DataArray
    file: DataFile

    @property
    def times(self) -> np.ndarray:
        return np.asarray(self.array.time.values)

    @property
    def step(self) -> float:
        """Distance of two packed values in ug m-3; 0 where the values are not packed as integers."""
        if not np.issubdtype(self.array.encoding.get("dtype", np.float32), np.integer):
            return 0.0
        factor = units_factor(self.array.attrs.get("units"), self.file)
        return abs(float(self.array.encoding.get("scale_factor", 1.0))) * factor

    @property
    def layout(self) -> Hashable:
        """Equal for parts that one :func:`as_field` can take together (thousands of hourly files are one layout)."""
        array = self.array
        places = tuple(
            (name, coordinate.dims, coordinate.values.tobytes())
            for name, coordinate in sorted(array.coords.items(), key=lambda item: str(item[0]))
            if coordinate.ndim and coordinate.dims != ("time",)
        )
        return array.dims, array.dtype, str(array.attrs.get("units")), places

    def frame(self, index: int) -> np.ndarray:
        """One canonical map in memory, float64."""
        field = as_field(self.array.isel(time=[index]), self.file)
        return np.asarray(field.data[0]).astype(np.float64)


def open_merged(files: Sequence[DataFile], choose: Chooser, wanted: str) -> xr.DataArray:
    """Open files and put their chosen variables together along time, lazily.

    Args:
        files: in any order; times may overlap where the values are the same.
        choose: picks each file's variable. Within one zip, members without it are left out.
        wanted: what is sought, for messages ("PM2.5 (pm2p5)").

    Returns:
        a canonical field; ``encoding["source_files"]`` names the files it comes from, as the user gave them, and
        ``encoding["tile"]`` how many rows and columns they keep together.

    Raises:
        InputError: a file without the variable, on another grid than the first, or with other values at a time that
            another file has, naming the time and both files.
    """
    parts: list[_Part] = []
    without: dict[str, tuple[DataFile, list[xr.Dataset]]] = {}
    for file in files:
        datasets = open_datasets(file)
        chosen = [array for dataset in datasets if (array := choose(dataset, file)) is not None]
        parts.extend(_part(array, file) for array in chosen)
        if not chosen:
            without.setdefault(str(file.given), (file, datasets))
    given = {str(part.file.given) for part in parts}
    for name, (file, datasets) in without.items():
        if name not in given:
            raise no_variable(file, datasets, wanted)
    return _joined(parts)


def no_variable(file: DataFile, datasets: Sequence[xr.Dataset], wanted: str) -> InputError:
    """The error for a file without the wanted variable: which ones it has, and what to type."""
    listed = ", ".join(
        f"{name} ({array.attrs.get('units', 'no units')})"
        for dataset in datasets
        for name, array in field_variables(dataset).items()
    )
    do = (
        "choose one with --variable NAME (from Python: variable=NAME)"
        if listed
        else "check what was downloaded"
    )
    return InputError(
        file, f"a variable with {wanted}", f"only {listed}" if listed else "no fields", do
    )


def _part(array: xr.DataArray, file: DataFile) -> _Part:
    array = _valid_time(_merge_versions(lazy(array, file)))
    name = next((name for name in _TIMES if name in array.coords), None)
    usable = (
        name is not None
        and np.issubdtype(array[name].dtype, np.datetime64)
        and array[name].ndim <= 1
    )
    if name is None or not usable or np.isnat(array[name].values).any() or not array[name].size:
        as_field(array, file)
        raise InputError(
            f"{file}: time",
            "one time coordinate",
            f"one of dimensions {array[name].dims if name else ()}",
        )
    if name != "time":
        array = array.rename({name: "time"})
    return _Part(array if array.time.ndim else array.expand_dims("time"), file)


def _merge_versions(array: xr.DataArray) -> xr.DataArray:
    """Where final and preliminary data lie side by side along ``expver``, take the first that is there."""
    if "expver" not in array.dims:
        return array
    order = (
        np.argsort(array.expver.values.astype(int))
        if "expver" in array.coords
        else range(array.sizes["expver"])
    )
    merged, *others = (array.isel(expver=int(i), drop=True) for i in order)
    for other in others:
        merged = merged.copy(data=np.where(np.isnan(merged.data), other.data, merged.data))
    return merged


def _valid_time(array: xr.DataArray) -> xr.DataArray:
    """Let a forecast-like time (reference time and step) be the time the values are valid at."""
    if "valid_time" not in array.coords or "valid_time" in array.dims:
        return array
    valid = array.coords["valid_time"]
    if not set(valid.dims) <= set(array.dims) or valid.ndim > 2:
        return array
    references = ["time", "step", "valid_time", "forecast_reference_time", "forecast_period"]
    rest = array.drop_vars(references, errors="ignore")
    if valid.ndim == 2:
        rest = rest.stack(moment=valid.dims, create_index=False).rename(moment="time")
        return rest.assign_coords(time=valid.values.ravel())
    if valid.ndim == 1:
        rest = rest.rename({valid.dims[0]: "time"}) if valid.dims[0] != "time" else rest
        return rest.assign_coords(time=valid.values)
    return rest.assign_coords(time=valid.values)


def _check_same(time: object, one: _Part, i: int, other: _Part, j: int) -> None:
    """Refuse two maps of one time that differ by more than packing explains."""
    a, b = one.frame(i), other.frame(j)
    if a.shape == b.shape:
        bound = (one.step + other.step) * 0.51 + 1e-5 * np.abs(a)
        for part, values in ((one, a), (other, b)):
            if (
                part.file.kind == "grib" and np.isfinite(values).any()
            ):  # 16 bits or more, for each map's range
                bound = bound + float(np.nanmax(values) - np.nanmin(values)) / 2**16
        with np.errstate(invalid="ignore"):
            if np.all((np.abs(a - b) <= bound) | (a == b) | (np.isnan(a) & np.isnan(b))):
                return
    names = (str(one.file), str(other.file))
    places = (
        f"two different ones in {names[0]}"
        if names[0] == names[1]
        else f"different ones in {' and '.join(names)}"
    )
    stamp = str(time)[:16].replace("T", " ")
    raise InputError("time", "one set of values a time", f"{places} at {stamp}", "leave one out")


def _joined(parts: list[_Part]) -> xr.DataArray:
    parts = sorted(parts, key=lambda part: (part.times.min(), part.step, str(part.file)))
    times = np.concatenate([part.times for part in parts])
    owner = np.repeat(np.arange(len(parts)), [part.times.size for part in parts])
    index = np.concatenate([np.arange(part.times.size) for part in parts])
    _, kept, which = np.unique(times, return_index=True, return_inverse=True)
    repeated = np.setdiff1d(np.arange(times.size), kept)
    for row in repeated:
        keeper = kept[which[row]]
        _check_same(times[row], parts[owner[keeper]], index[keeper], parts[owner[row]], index[row])
    if repeated.size:
        word = "time stands" if repeated.size == 1 else "times stand"
        notice(
            f"{repeated.size} {word} in the input more than once, with the same values; one of each is taken"
        )
        chosen = np.isin(np.arange(times.size), kept)
        parts = [
            _Part(part.array.isel(time=index[chosen & (owner == number)]), part.file)
            for number, part in enumerate(parts)
            if (chosen & (owner == number)).any()
        ]
    groups: dict[Hashable, list[_Part]] = {}
    for part in parts:
        groups.setdefault(part.layout, []).append(part)
    fields = [
        (as_field(_stacked(group), group[0].file), group[0].file) for group in groups.values()
    ]
    field = _one_grid(fields)
    field.encoding["tile"] = _tile(parts[0].array, field)
    field.encoding["source_files"] = list(dict.fromkeys(str(part.file.given) for part in parts))
    return field


def _tile(array: xr.DataArray, field: xr.DataArray) -> tuple[int, int]:
    """How many rows and columns the store keeps together: reading less than this saves nothing."""
    sizes = []
    for names, size in (
        (("latitude", "lat", "y"), field.sizes["latitude"]),
        (("longitude", "lon", "x"), field.sizes["longitude"]),
    ):
        name = next((name for name in array.dims if str(name).lower() in names), None)
        own = dict(array.encoding.get("preferred_chunks") or {}).get(name)
        # A turned or shortened longitude is taken from whole rows.
        same = name is not None and array.sizes[name] == size
        turned = (
            same
            and array[name].size > 0
            and abs((float(array[name][0]) - float(field.longitude[0])) % 360) > 1e-3
        )
        whole = not isinstance(own, int) or not same or ("lon" in names and turned)
        sizes.append(size if whole or not isinstance(own, int) else min(own, size))
    return sizes[0], sizes[1]


def _stacked(group: list[_Part]) -> xr.DataArray:
    """Parts of one layout as one array along time (much cheaper than xarray's own, which compares everything)."""
    import dask.array as da

    first = group[0].array
    if len(group) == 1:
        return first
    axis = first.get_axis_num("time")
    data = da.concatenate([part.array.data for part in group], axis=axis)  # type: ignore[no-untyped-call]
    coordinates = {
        name: value
        for name, value in first.coords.items()
        if "time" not in value.dims and name != "time"
    }
    coordinates["time"] = ("time", np.concatenate([part.times for part in group]))
    return xr.DataArray(
        data, dims=first.dims, coords=coordinates, name=first.name, attrs=first.attrs
    )


def _one_grid(fields: list[tuple[xr.DataArray, DataFile]]) -> xr.DataArray:
    import dask.array as da

    first, first_file = fields[0]
    grid = grid_of(first)
    for field, file in fields[1:]:
        if grid_of(field) != grid:
            found = grid_of(field).describe()
            raise InputError(
                file, f"the grid of {first_file} ({grid.describe()})", found, "open them apart"
            )
    if len(fields) == 1:
        return first
    times = np.concatenate([field.time.values for field, _ in fields])
    data = da.concatenate([field.data for field, _ in fields], axis=0)  # type: ignore[no-untyped-call]
    order = np.argsort(times, kind="stable")
    if not np.array_equal(order, np.arange(order.size)):
        data = data[order]
    return field_like(first, data, grid, times[order])
