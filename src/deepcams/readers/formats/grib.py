"""GRIB files, read message by message: one message is selected per hour and read at its own offset in the file.

A file may mix editions, analyses and forecast steps, final and rapid versions, in any order. One rule applies: the
hour is the valid time; of several messages for one hour an analysis takes precedence over a forecast, a shorter step
over a longer one, and a lower version number (final) over a higher one (rapid). Two messages of equal precedence must
have the same values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from deepcams.core.errors import InputError, notice
from deepcams.core.text import counted
from deepcams.core.times import HOUR, stamp
from deepcams.files.optional import need
from deepcams.readers.formats.datasets import MOST_PLACES, check_size
from deepcams.readers.times import LEAD

_CENTRES = {"ecmf": "European Centre for Medium-Range Weather Forecasts"}
_CORNERS = (
    "latitudeOfFirstGridPointInDegrees",
    "latitudeOfLastGridPointInDegrees",
    "longitudeOfFirstGridPointInDegrees",
    "longitudeOfLastGridPointInDegrees",
)
_DESCRIPTION = (
    "paramId",
    "shortName",
    "edition",
    "stepType",
    "stream",
    "dataType",
    "gridType",
    "typeOfLevel",
)
"""Keys that become ``GRIB_..`` attributes of the variable."""
_KEYS = (
    *_CORNERS,
    *_DESCRIPTION,
    "name",
    "units",
    "Ni",
    "Nj",
    "iScansNegatively",
    "jPointsAreConsecutive",
    "numberOfDataPoints",
    "level",
    "number",
    "validityDate",
    "validityTime",
    "startStep",
    "endStep",
    "expver",
    "centre",
    "totalLength",
)
_MISSING = 1e36
_UNIT_KEYS = ("indicatorOfUnitOfTimeRange", "indicatorOfUnitForTimeRange")
_STEP_KEYS = ("forecastTime", "P1", "P2", "lengthOfTimeRange")
_UNITS = (0, 1, 2, 3, 10, 11, 12, 13, 14)
"""Accepted units of steps: minutes to months, multiples or fractions of an hour, seconds (GRIB code tables 4, 4.4)."""
_MOST_STEP = 1_000_000


@dataclass(frozen=True)
class Message:
    """The header of one GRIB message.

    Attributes:
        path: the file.
        offset: position in the file, bytes.
        keys: values of ecCodes keys; ``None`` for keys that the message lacks.
    """

    path: Path
    offset: int
    keys: dict[str, Any]

    @property
    def time(self) -> np.datetime64:
        """The valid time, ``datetime64[ns]``."""
        day, clock = (
            f"{self.keys['validityDate']:08}",
            f"{self.keys['validityTime']:04}",
        )
        text = f"{day[:4]}-{day[4:6]}-{day[6:]}T{clock[:2]}:{clock[2:]}"
        return np.datetime64(text, "ns")

    @property
    def grid(self) -> tuple[Any, ...]:
        """A key of the grid, equal for messages on the same grid."""
        corners = tuple(round(float(self.keys[key] or 0) % 360, 4) for key in _CORNERS)
        shape = ("gridType", "Ni", "Nj", "iScansNegatively", "jPointsAreConsecutive")
        return *corners, *(self.keys[key] for key in shape)

    @property
    def rank(self) -> tuple[bool, int, int]:
        """The precedence; of the messages for one hour that of the lowest rank is used."""
        version = str(self.keys["expver"] or "")
        number = int(version) if version.isdigit() else 1 << 30
        return self.is_forecast, int(self.keys["endStep"] or 0), number

    @property
    def is_forecast(self) -> bool:
        """Whether it is a forecast step rather than an analysis."""
        return self.keys["dataType"] in ("fc", "cf", "pf") or bool(self.keys["endStep"])

    @property
    def kind(self) -> str:
        """The rank as display text."""
        version = f" of version {self.keys['expver']}" if self.keys["expver"] else ""
        return (
            f"{self.keys['endStep']} h forecast{version}"
            if self.is_forecast
            else f"analysis{version}"
        )


def scan(path: Path, where: object) -> list[Message]:
    """Read the headers of all messages, in the file's order.

    Raises:
        InputError: invalid bytes between messages, or an unreadable header.
        MissingExtraError: ecCodes is not installed.
    """
    eccodes = need("eccodes")
    messages: list[Message] = []
    with path.open("rb") as file:
        while True:
            try:
                handle = eccodes.codes_grib_new_from_file(file, headers_only=True)
                if handle is None:
                    return messages
                try:
                    _check_steps(eccodes, handle, where)
                    keys = {key: _key(eccodes, handle, key) for key in _KEYS}
                    offset = int(eccodes.codes_get_message_offset(handle))
                    messages.append(Message(path, offset, keys))
                finally:
                    eccodes.codes_release(handle)
            except eccodes.CodesInternalError as error:
                found = f"one that ends in an error after {counted(len(messages), 'message')}"
                do = f"download it again ({error})"
                raise InputError(where, "a readable GRIB file", found, do) from error


def _check_steps(eccodes: Any, handle: Any, where: object) -> None:
    """Refuse steps for which ecCodes would hang or crash while computing the valid time.

    Raises:
        InputError: an unknown time unit, or an implausibly large step.
    """
    for key in _UNIT_KEYS:
        unit = _key(eccodes, handle, key)
        if unit is not None and unit not in _UNITS:
            raise InputError(where, "steps in hours", f"steps in unit {unit}")
    steps = [_key(eccodes, handle, key) for key in _STEP_KEYS]
    step = max([0, *(one for one in steps if isinstance(one, int))])
    if step > _MOST_STEP:
        raise InputError(where, f"steps of at most {_MOST_STEP:,}", f"{step:,}")


def _key(eccodes: Any, handle: Any, key: str) -> Any:
    try:
        return eccodes.codes_get(handle, key)
    except (eccodes.KeyValueNotFoundError, eccodes.GribInternalError):
        return None


class _Maps(BackendArray):
    """A lazy array of maps (layer, time, row, column) that reads only the indexed messages.

    Args:
        messages: (layer, time); ``None`` where a layer has no message at a time.
        shape: shape of a map.
        by_columns: whether values are stored column by column.
    """

    def __init__(
        self,
        messages: Sequence[Sequence[Message | None]],
        shape: tuple[int, int],
        by_columns: bool,
    ) -> None:
        self._messages, self._by_columns = messages, by_columns
        self.shape = (len(messages), len(messages[0]), *shape)
        self.dtype = np.dtype(np.float32)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        """Read the values selected by an xarray indexer."""
        support = indexing.IndexingSupport.OUTER
        return indexing.explicit_indexing_adapter(key, self.shape, support, self._read)

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        layers, times = (
            np.arange(size)[k] for size, k in zip(self.shape, key[:2], strict=False)
        )
        lists = [np.atleast_1d(index).tolist() for index in (layers, times)]
        rows, columns = (
            np.arange(size)[k] for size, k in zip(self.shape[2:], key[2:], strict=True)
        )
        inner = np.ix_(np.atleast_1d(rows), np.atleast_1d(columns))
        shape = (len(lists[0]), len(lists[1]), inner[0].size, inner[1].size)
        values = np.full(shape, np.nan, np.float32)
        for i, layer in enumerate(lists[0]):
            for j, time in enumerate(lists[1]):
                message = self._messages[layer][time]
                if message is not None:
                    values[i, j] = self.decode(message)[inner]
        dropped = tuple(
            axis for axis, k in enumerate(key) if isinstance(k, int | np.integer)
        )
        return values.squeeze(dropped) if dropped else values

    def decode(self, message: Message) -> np.ndarray:
        """Return a message's values: (rows, columns), float32, NaN where missing."""
        eccodes = need("eccodes")
        with message.path.open("rb") as file:
            file.seek(message.offset)
            handle = eccodes.codes_new_from_message(
                file.read(int(message.keys["totalLength"]))
            )
        try:
            eccodes.codes_set(handle, "missingValue", _MISSING)
            values = eccodes.codes_get_values(handle)
        finally:
            eccodes.codes_release(handle)
        values[values == _MISSING] = np.nan
        values = values.astype(np.float32)
        if self._by_columns:
            return values.reshape(self.shape[:1:-1]).T
        return values.reshape(self.shape[2:])


def open_grib(paths: Sequence[Path], where: object) -> list[xr.Dataset]:
    """Open GRIB files together, lazily; the distribution of messages over files does not matter.

    Args:
        paths: the files.
        where: name of the files in messages.

    Returns:
        a dataset for each variable and grid, with dimensions time, latitude and longitude, preceded by ``level`` or
        ``number`` (of the ensemble) if there are several. Variables on other than regular latitude-longitude grids
        have a dimension ``values`` and no coordinates.

    Raises:
        InputError: there is no message, or two messages of equal precedence for one hour differ.
        MissingExtraError: ecCodes is not installed.
    """
    messages = [message for path in paths for message in scan(path, where)]
    if not messages:
        raise InputError(where, "GRIB messages", "none", "download it again")
    groups: dict[tuple[Any, ...], list[Message]] = {}
    for message in messages:
        key = (message.keys["paramId"], message.keys["typeOfLevel"], message.grid)
        groups.setdefault(key, []).append(message)
    return [_dataset(group, where) for group in groups.values()]


def _dataset(messages: list[Message], where: object) -> xr.Dataset:
    """Return the dataset of all messages of one variable and grid."""
    keys = messages[0].keys
    name = str(keys["shortName"])
    if name in ("unknown", "~"):
        name = f"parameter_{keys['paramId']}"
    centre = str(keys["centre"])
    about = {"GRIB_centre": centre, "institution": _CENTRES.get(centre, centre)}
    attributes = {f"GRIB_{key}": _common(messages, key) for key in _DESCRIPTION}
    attributes |= {"units": str(keys["units"]), "long_name": str(keys["name"])}
    times = np.unique(np.array([message.time for message in messages]))
    check_size(where, f"map of {name}", _points(keys), MOST_PLACES)
    if keys["gridType"] != "regular_ll":
        places = np.full(int(keys["numberOfDataPoints"]), np.nan)
        values = np.broadcast_to(np.float32(np.nan), (times.size, places.size))
        coordinates = {"latitude": ("values", places), "longitude": ("values", places)}
        variable = (("time", "values"), values, attributes)
        return xr.Dataset({name: variable}, {"time": times, **coordinates}, about)
    dimension, layers = _layers(messages)
    shape = int(keys["Nj"]), int(keys["Ni"])
    by_columns = bool(keys["jPointsAreConsecutive"])
    reader = _Maps([[None]], shape, by_columns)
    chosen = [
        _by_time(layer, times, reader, f"{where}: {name}") for layer in layers.values()
    ]
    maps = indexing.LazilyIndexedArray(_Maps(chosen, shape, by_columns))
    array = xr.DataArray(
        xr.Variable((dimension, "time", "latitude", "longitude"), maps, attributes),
        {dimension: list(layers), "time": times, **_coordinates(keys, shape)},
    )
    hours = [0 if one is None else int(one.keys["endStep"] or 0) for one in chosen[0]]
    if any(hours):
        array = array.assign_coords({LEAD: ("time", np.array(hours) * HOUR)})
    return xr.Dataset({name: array if len(layers) > 1 else array[0]}, attrs=about)


def _points(keys: dict[str, Any]) -> int:
    """Return the number of values that a message declares; only a regular grid has rows of equal length."""
    if keys["gridType"] == "regular_ll":
        return int(keys["Ni"] or 0) * int(keys["Nj"] or 0)
    return int(keys["numberOfDataPoints"] or 0)


def _common(messages: Sequence[Message], key: str) -> Any:
    """Return the value of a key that all messages share; several values are joined to one text."""
    found = {message.keys[key] for message in messages}
    return found.pop() if len(found) == 1 else ", ".join(sorted(map(str, found)))


def _coordinates(keys: dict[str, Any], shape: tuple[int, int]) -> dict[str, np.ndarray]:
    """Return latitudes and longitudes of a regular grid, in the message's order."""
    first, last, west, east = (float(keys[key]) for key in _CORNERS)
    if keys["iScansNegatively"]:
        west, east = west + (360 if west < east else 0), east
    elif east < west:
        east += 360
    return {
        "latitude": np.linspace(first, last, shape[0]),
        "longitude": np.linspace(west, east, shape[1]),
    }


def _layers(messages: list[Message]) -> tuple[str, dict[Any, list[Message]]]:
    """Return the messages of each level, else of each ensemble member."""
    dimension = (
        "level"
        if len({message.keys["level"] for message in messages}) > 1
        else "number"
    )
    layers: dict[Any, list[Message]] = {}
    for message in messages:
        layers.setdefault(message.keys[dimension] or 0, []).append(message)
    return dimension, dict(sorted(layers.items()))


def _by_time(
    messages: list[Message], times: np.ndarray, reader: _Maps, where: str
) -> list[Message | None]:
    """Return the message of the highest precedence for each time.

    Raises:
        InputError: two messages of equal precedence have different values.
    """
    hours: dict[np.datetime64, list[Message]] = {}
    for message in messages:
        hours.setdefault(message.time, []).append(message)
    mixed: list[tuple[str, str]] = []
    chosen: list[Message | None] = []
    for time in times:
        candidates = sorted(hours.get(time, []), key=lambda message: message.rank)
        chosen.append(candidates[0] if candidates else None)
        for other in candidates[1:]:
            if other.rank > candidates[0].rank:
                mixed.append((candidates[0].kind, other.kind))
            elif not _same(reader, candidates[0], other):
                found = f"two different ones ({candidates[0].kind}, {other.kind}) at {stamp(time)}"
                do = "keep one of them (grib_copy -w)"
                raise InputError(where, "one set of values a time", found, do)
    if mixed:
        pairs = "; ".join(
            f"{one} before {other}" for one, other in dict.fromkeys(mixed)
        )
        notice(
            f"{where}: {counted(len(mixed), 'hour')} given more than once, taken by rank: {pairs}"
        )
    return chosen


def _same(reader: _Maps, one: Message, other: Message) -> bool:
    """Return whether two messages have the same values, within 16 bits of their range."""
    first, second = reader.decode(one), reader.decode(other)
    if np.array_equal(first, second, equal_nan=True):
        return True
    if not (np.isfinite(first).any() and np.isfinite(second).any()):
        return False
    bound = (
        sum(float(np.nanmax(each) - np.nanmin(each)) for each in (first, second))
        / 2**16
    )
    near = np.abs(first - second) <= bound
    return bool(np.all(near | (np.isnan(first) & np.isnan(second))))
