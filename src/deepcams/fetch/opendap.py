"""GEOS-CF's long record over OPeNDAP (DAP 2): PM2.5 alone, a day a request, one request at a time.

The record's own time axis is broken (no calendar, corrupt values), so hours are counted from its known beginning.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np

from deepcams.core.errors import DeepcamsError, InputError
from deepcams.core.grid import Grid
from deepcams.fetch.download import Transfer, partial_of
from deepcams.fetch.endpoints import OPENDAP_ORIGIN, geos_cf_file, geos_cf_variable
from deepcams.fetch.hours import Box, open_hour, write_hour
from deepcams.fetch.retry import Pace, TryAgainError
from deepcams.files.atomic import os_errors_explained
from deepcams.readers.detect import looks_like
from deepcams.readers.geos_cf import TITLE, UNDEFINED

T = TypeVar("T")

PAUSE = 1.0
"""Seconds between the starts of two requests: the service falls over under many in a row."""
LEAST, MOST = 0.0, 1e5
"""ug m-3: what is beyond was damaged on its way."""
_TYPES = {
    "Float32": ">f4",
    "Float64": ">f8",
    "Int32": ">i4",
    "UInt32": ">u4",
    "Int16": ">i4",
    "UInt16": ">u4",
}
_DECLARATION = re.compile(r"\b(" + "|".join(_TYPES) + r")\s+([\w.%-]+)\s*((?:\[[^\]]+\])+)\s*;")
_LENGTH = re.compile(r"\[(?:[^=\]]*=)?\s*(\d+)\s*\]")
_DATA = re.compile(rb"\r?\nData:\r?\n")


def decode(answer: bytes) -> dict[str, np.ndarray]:
    """The arrays of a DAP 2 data answer (``.dods``), by name; of a Grid its array and its maps.

    Raises:
        TryAgainError: it is no such answer, or a part of one.
    """
    marks = _DATA.search(answer)
    if marks is None:
        text = answer[:2048].decode("utf-8", "replace")
        message = re.search(r'message\s*=\s*"([^"]*)"', text)
        if text.lstrip().startswith("Error") and message:
            raise TryAgainError(f"the service says {message[1].strip()[:120]!r}")
        raise TryAgainError(f"what came is {looks_like(answer[:1024])}")
    head, at = answer[: marks.start()].decode("utf-8", "replace"), marks.end()
    found: dict[str, np.ndarray] = {}
    for kind, name, dimensions in _DECLARATION.findall(head):
        shape = tuple(int(length) for length in _LENGTH.findall(dimensions))
        dtype, count = np.dtype(_TYPES[kind]), math.prod(shape)
        end = at + 8 + count * dtype.itemsize
        if len(answer) < end:
            raise TryAgainError(f"{len(answer):,} of at least {end:,} bytes came")
        announced = np.frombuffer(answer, ">u4", 2, at)
        if announced[0] != count or announced[1] != count:
            raise TryAgainError(f"{name} announces {announced[0]:,} values instead of {count:,}")
        found.setdefault(name, np.frombuffer(answer, dtype, count, at + 8).reshape(shape))
        at = end
    if not found:
        raise TryAgainError("the answer holds no arrays")
    return found


class Opendap:
    """The record.

    Args:
        url: of the record.
        transfer: what asks.
        bbox: W S E N in degrees; only this part.
        whole_cells: take what the coarse cells that the box touches need, too.
    """

    def __init__(
        self, url: str, transfer: Transfer, bbox: Box | None, whole_cells: bool = False
    ) -> None:
        self.url, self._transfer = url, transfer
        self._bbox = _wider(bbox) if bbox is not None and whole_cells else bbox
        self._pace = Pace(PAUSE if url.startswith("https") else 0.0, transfer.patience)
        self._name = geos_cf_variable(1).lower()
        self._place: tuple[Grid, np.ndarray, np.ndarray] | None = None

    def _ask(self, projection: str, what: str, check: Callable[[dict[str, np.ndarray]], T]) -> T:
        """Ask until an answer can be read and passes a check; its arrays as the check returns them."""

        def ask() -> T:
            self._pace()
            return check(decode(self._transfer.read_once(f"{self.url}.dods?{projection}", what)))

        return self._transfer.patience.persist(what, ask)

    def _grid(self) -> tuple[Grid, np.ndarray, np.ndarray]:
        """The wanted grid, and which of the record's rows and columns its own are."""
        if self._place is None:
            latitude, longitude, grid = self._ask("lat,lon", "the record's grid", self._axes)
            if self._bbox is not None:
                grid = grid.select(self._bbox, "--bbox")[0]
            rows = np.abs(latitude[None] - grid.latitudes[:, None]).argmin(1)
            apart = (longitude[None] - grid.longitudes[:, None] + 180) % 360 - 180
            self._place = grid, rows, np.abs(apart).argmin(1)
        return self._place

    def _axes(self, found: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, Grid]:
        try:
            latitude, longitude = found["lat"].astype(float), found["lon"].astype(float)
            grid = Grid.from_coordinates(np.sort(latitude)[::-1], longitude, self.url).canonical()
        except (KeyError, DeepcamsError) as error:
            raise TryAgainError(f"what came is no grid ({error})") from None
        return latitude, longitude, grid

    def _plausible(self, found: dict[str, np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
        """The values, unless they cannot be PM2.5: the answer carries no check sum."""
        part = found.get(self._name)
        if part is None or part.size != math.prod(shape):
            raise TryAgainError(
                f"what came holds {', '.join(found)} instead of {math.prod(shape):,} of {self._name}"
            )
        known = part[np.abs(part) < UNDEFINED]
        if np.isnan(part).any() or (known.size and not LEAST <= known.min() <= known.max() <= MOST):
            raise TryAgainError("what came holds values that cannot be PM2.5")
        return part.reshape(shape)

    def day(
        self, times: Sequence[np.datetime64], folder: Path, came: Callable[[int], None]
    ) -> Iterator[tuple[np.datetime64, Path | None]]:
        """Hours of one day, each in a partial file; ``None`` for an hour that the record has no values for.

        Raises:
            FetchError: the service does not give them.
        """
        grid, rows, columns = self._grid()
        hour = np.timedelta64(1, "h").astype("timedelta64[ns]")
        slots = [int((time - OPENDAP_ORIGIN) // hour) for time in times]
        if slots[0] < 0:
            raise InputError(
                "--period", f"hours from {str(OPENDAP_ORIGIN)[:16]}", str(times[0])[:16]
            )
        first, last = slots[0], slots[-1]
        what = f"PM2.5 of {str(times[0])[:10]}"
        lower, upper = int(rows.min()), int(rows.max())
        values = np.empty((last - first + 1, grid.rows, grid.columns), np.float32)
        for begin, end in _runs(columns):
            low, high = int(columns[begin]), int(columns[end - 1])
            shape = (values.shape[0], upper - lower + 1, high - low + 1)
            part = self._ask(
                f"{self._name}[{first}:1:{last}][0:1:0][{lower}:1:{upper}][{low}:1:{high}]",
                what,
                partial(self._plausible, shape=shape),
            )
            came(part.nbytes)
            values[:, :, begin:end] = part[:, rows - lower]
        values[np.abs(values) >= UNDEFINED] = np.nan
        for time, slot in zip(times, slots, strict=True):
            if not np.isfinite(values[slot - first]).any():
                yield time, None
                continue
            beside = partial_of(folder / geos_cf_file(1, time))
            with os_errors_explained(beside):
                source = f"{TITLE.format(1)}, over OPeNDAP"
                write_hour(beside, values[slot - first], grid, time, 1, source)
            open_hour(beside, time, 1)
            yield time, beside


def _wider(bbox: Box) -> Box:
    west, south, east, north = bbox
    if (east - west) % 360 > 357:
        return (-180.0, max(south - 1.5, -90.0), 180.0, min(north + 1.5, 90.0))
    west, east = ((edge + 180) % 360 - 180 for edge in (west - 1.5, east + 1.5))
    return (west, max(south - 1.5, -90.0), east, min(north + 1.5, 90.0))


def _runs(columns: np.ndarray) -> Iterator[tuple[int, int]]:
    """Stretches of columns that follow each other in the record: begin and end in ``columns``."""
    edges = [0, *(np.flatnonzero(np.diff(columns) != 1) + 1).tolist(), columns.size]
    yield from pairwise(edges)
