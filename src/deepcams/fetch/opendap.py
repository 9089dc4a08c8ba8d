"""OPeNDAP (DAP2) client: hours of a record, subset by the service."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import numpy as np

from deepcams.core.errors import DeepcamsError, InputError
from deepcams.core.grid import Grid
from deepcams.core.times import HOUR
from deepcams.fetch.download import Http
from deepcams.fetch.endpoints import (
    OPENDAP_ORIGIN,
    geos_cf_variable,
)
from deepcams.fetch.retry import RetryableError
from deepcams.readers.formats.detect import looks_like
from deepcams.readers.geos_cf import UNDEFINED

PAUSE = 1.0
"""Pause between requests, seconds: the service fails under rapid requests."""
LEAST, MOST = 0.0, 1e5
"""Plausible range, ug m-3: values outside were corrupted in transit."""


class OpendapRecord:
    """GEOS-CF's long record over OPeNDAP (DAP 2).

    Args:
        url: URL of the record.
        http: the session.
        bbox: W S E N in degrees; only this part is requested.

    Attributes:
        grid: grid of the values.

    Raises:
        FetchError: the record's grid cannot be read.
    """

    def __init__(
        self, url: str, http: Http, bbox: tuple[float, float, float, float] | None
    ) -> None:
        self.url, self._http = url, http
        self._name = geos_cf_variable(1).lower()
        latitude, longitude, self.grid = http.call("the record's grid", self._axes)
        if bbox is not None:
            self.grid = self.grid.select(bbox, "--bbox")[0]
        self._rows = np.abs(latitude - self.grid.latitudes[:, None]).argmin(1)
        apart = (longitude - self.grid.longitudes[:, None] + 180) % 360 - 180
        self._columns = np.abs(apart).argmin(1)

    def _axes(self) -> tuple[np.ndarray, np.ndarray, Grid]:
        latitude, longitude = (
            self._ask(name, name, "the record's grid", lambda axis: axis)
            for name in ("lat", "lon")
        )
        try:
            grid = Grid.from_coordinates(np.sort(latitude)[::-1], longitude, self.url)
        except DeepcamsError as error:
            raise RetryableError(f"what came is no grid ({error})") from None
        return latitude, longitude, grid.canonical()

    def _ask(
        self,
        name: str,
        projection: str,
        what: str,
        check: Callable[[np.ndarray], np.ndarray],
    ) -> np.ndarray:
        if self.url.startswith("https"):
            self._http.policy.wait(PAUSE)
        url = f"{self.url}.dods?{projection}"
        return self._http.read(url, what, lambda content: check(decode(content, name)))

    def hours(
        self, times: Sequence[np.datetime64], came: Callable[[int], None]
    ) -> np.ndarray:
        """Return the values of some hours of one day: (hours, rows, columns), float32, NaN where missing.

        Raises:
            InputError: the hours lie before the start of the record.
            FetchError: the values cannot be fetched.
        """
        slots = np.array([(time - OPENDAP_ORIGIN) // HOUR for time in times])
        first, last = int(slots[0]), int(slots[-1])
        if first < 0:
            expected = f"hours from {str(OPENDAP_ORIGIN)[:16]}"
            raise InputError("--period", expected, str(times[0])[:16])
        south, north = int(self._rows.min()), int(self._rows.max())
        values = np.empty((last - first + 1, *self.grid.shape), np.float32)
        # consecutive columns of the record are requested together
        edges = [
            0,
            *(np.flatnonzero(np.diff(self._columns) != 1) + 1),
            self._columns.size,
        ]
        for begin, end in pairwise(edges):
            west, east = int(self._columns[begin]), int(self._columns[end - 1])
            shape = (values.shape[0], north - south + 1, east - west + 1)
            part = self._ask(
                self._name,
                f"{self._name}[{first}:1:{last}][0:1:0][{south}:1:{north}][{west}:1:{east}]",
                f"PM2.5 of {str(times[0])[:10]}",
                partial(_plausible, shape=shape),
            )
            came(part.nbytes)
            values[:, :, begin:end] = part[:, self._rows - south]
        values[np.abs(values) >= UNDEFINED] = np.nan
        return values[slots - first]


def _plausible(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Reshape values after checking that they are plausible PM2.5, because responses have no checksum."""
    if values.size != math.prod(shape):
        raise RetryableError(
            f"what came holds {values.size:,} instead of {math.prod(shape):,}"
        )
    known = values[np.abs(values) < UNDEFINED]
    if np.isnan(values).any() or (
        known.size and not LEAST <= known.min() <= known.max() <= MOST
    ):
        raise RetryableError("what came holds values that cannot be PM2.5")
    return values.reshape(shape)


def decode(content: bytes, name: str) -> np.ndarray:
    """Return the values of the only array of a DAP 2 data response (``.dods``), or of the array of its only grid.

    Raises:
        RetryableError: the response is invalid or incomplete.
    """
    parts = re.split(rb"\r?\nData:\r?\n", content, maxsplit=1)
    head = parts[0][:4096].decode("utf-8", "replace")
    declared = re.search(rf"\b(Float32|Float64)\s+{name}\s*\[", head)
    if len(parts) == 1 or declared is None:
        message = re.search(r'message\s*=\s*"([^"]*)"', head)
        if head.lstrip().startswith("Error") and message:
            raise RetryableError(f"the service says {message[1].strip()[:120]!r}")
        raise RetryableError(f"what came is {looks_like(content[:1024])}")
    data, dtype = parts[1], np.dtype(">f4" if declared[1] == "Float32" else ">f8")
    count = np.frombuffer(data[:8].ljust(8), ">u4")  # the length is written twice
    if count[0] != count[1] or len(data) < 8 + int(count[0]) * dtype.itemsize:
        raise RetryableError(
            f"{len(data):,} bytes came that do not hold {count[0]:,} values"
        )
    return np.frombuffer(data, dtype, int(count[0]), 8)
