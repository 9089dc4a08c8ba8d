"""Lazy conversion of mixing ratios to mass concentrations with the air temperature and pressure in the files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from deepcams.core.air import density, ratio_factor
from deepcams.core.errors import InputError
from deepcams.core.field import grid_of
from deepcams.core.times import stamp
from deepcams.readers.formats.datasets import opened
from deepcams.readers.formats.detect import DataFile
from deepcams.readers.merge import Chooser, dask_array
from deepcams.readers.stored import Indexed, Joined
from deepcams.readers.weather import has_weather, open_weather

TEMPERATURE = ("t", "temperature")
PRESSURE = ("sp", "surface_pressure")
SOURCE = "mixing ratios in air of the temperature and surface pressure beside them"


class InAir(Joined):
    """A mixing ratio times the density of the air at the same times and nodes.

    Args:
        ratio: kg of the species per kg of air, times 1e9.
        temperature, pressure: values in K and Pa, each with the index of every time of the ratio among its own times.
    """

    def __init__(
        self,
        ratio: Joined,
        temperature: tuple[Joined, np.ndarray],
        pressure: tuple[Joined, np.ndarray],
    ) -> None:
        self.shape = ratio.shape
        self._ratio, self._air = ratio, (temperature, pressure)

    def __getitem__(self, key: tuple[Any, ...]) -> np.ndarray:
        """Read values; see :class:`Joined`."""
        t, p = (values[(times[key[0]], *key[1:])] for values, times in self._air)
        return np.asarray(self._ratio[key] * density(t, p), np.float32)


def open_in_air(
    files: Sequence[DataFile],
    choose: Chooser,
    open_ratio: Callable[[Sequence[DataFile], Chooser], xr.DataArray],
    *,
    with_dask: bool = True,
) -> xr.DataArray:
    """Open a variable; a mixing ratio becomes a concentration if the files hold temperature and pressure.

    Args:
        files: data files; files with weather only are not parts of the field.
        choose: selects the variable.
        open_ratio: opens files as a field, with the given chooser.
        with_dask: whether the field has a Dask array.

    Raises:
        InputError: the weather is on another grid or lacks some of the field's times; errors of ``open_ratio``.
    """
    files = [opened(file) for file in files]
    weather = (*TEMPERATURE, *PRESSURE)
    chosen = [
        [array for each in file.datasets if (array := choose(each, file)) is not None]
        for file in files
    ]
    temperature = pressure = None
    if any(_factor(array) for arrays in chosen for array in arrays):
        temperature = open_weather(files, TEMPERATURE, ("K",), with_dask=with_dask)
        pressure = open_weather(files, PRESSURE, ("Pa",), with_dask=with_dask)
    if temperature is None or pressure is None:
        return open_ratio(files, choose)

    def of_air(dataset: xr.Dataset, file: DataFile) -> xr.DataArray | None:
        array = choose(dataset, file)
        factor = 0.0 if array is None else _factor(array)
        # converted as if the air density were 1 kg m-3
        return array.assign_attrs(units=f"{factor:.17g} kg m-3") if factor else array  # type: ignore[union-attr]

    kept = [
        file
        for file, arrays in zip(files, chosen, strict=True)
        if arrays or not has_weather(file, weather)
    ]
    field = open_ratio(kept, of_air)
    values = InAir(
        field.encoding["values"], _beside(field, temperature), _beside(field, pressure)
    )
    return _with_values(field, values, (temperature, pressure))


def _factor(array: xr.DataArray) -> float:
    return ratio_factor(
        array.attrs.get("units"), str(array.name), array.attrs, array.name
    )


def _beside(field: xr.DataArray, weather: xr.DataArray) -> tuple[Joined, np.ndarray]:
    """Return the stored weather values, and the index of each of the field's times in them."""
    grid, own, where = grid_of(field), grid_of(weather), weather.attrs["found"]
    if own != grid:
        do = "give both on one grid, or deepcams --density .."
        raise InputError(where, f"the grid of {field.name}", own.describe(), do)
    times = weather.time.values
    at = np.searchsorted(times, field.time.values).clip(max=times.size - 1)
    absent = field.time.values[times[at] != field.time.values]
    if absent.size:
        do = "give both of the same times, or deepcams --density .."
        found = f"none at {stamp(absent[0])}"
        raise InputError(where, f"a value at each time of {field.name}", found, do)
    return weather.encoding["values"], at


def _with_values(
    field: xr.DataArray, values: InAir, weather: Sequence[xr.DataArray]
) -> xr.DataArray:
    """Return a field with other stored values and the same kind of lazy array."""
    if isinstance(field.data, Indexed):
        lengths = field.data.lengths
        data: Any = Indexed(values, np.repeat(np.arange(len(lengths)), lengths))
    else:
        from dask.base import tokenize

        names = [part.data.name for part in (field, *weather)]
        name = f"{field.name}-{tokenize(*names)}"
        data = dask_array(values, field.data.chunks[0], name)
    made = field.copy(data=data)
    files = [
        name for part in (field, *weather) for name in part.encoding["source_files"]
    ]
    made.encoding = {
        **field.encoding,
        "values": values,
        "source_files": list(dict.fromkeys(files)),
    }
    source = field.attrs.get("source", "")
    return made.assign_attrs(source="; ".join(filter(None, (source, SOURCE))))
