"""Time constants, formatting of times, and correction of times rounded in storage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

import numpy as np

from deepcams.core.errors import InputError, notice

SECOND = np.timedelta64(1, "s").astype("timedelta64[ns]")
MINUTE = np.timedelta64(1, "m").astype("timedelta64[ns]")
HOUR = np.timedelta64(1, "h").astype("timedelta64[ns]")
DAY = np.timedelta64(1, "D").astype("timedelta64[ns]")
HOUR_SECONDS = 3600
"""Seconds in an hour."""
DAY_SECONDS = 24 * HOUR_SECONDS
"""Seconds in a day."""


def season_of(months: np.ndarray) -> np.ndarray:
    """Return the season of months (counted from January 1970): 0 for December-February to 3 for September-November."""
    return (np.asarray(months) + 1) % 12 // 3


MEAN_STAMP: ContextVar[Literal["start", "middle", "end"] | None] = ContextVar(
    "mean_stamp", default=None
)
"""Default position of the stamp in the interval of means without time bounds."""


LONG_MEANS: ContextVar[bool] = ContextVar("long_means", default=False)
"""Whether means over days or longer may be opened, for display only; code that needs hours must refuse them."""


@contextmanager
def long_means_opened() -> Iterator[None]:
    """Allow means over days or longer to be opened within the block."""
    token = LONG_MEANS.set(True)
    try:
        yield
    finally:
        LONG_MEANS.reset(token)


def stamp(moment: np.datetime64) -> str:
    """Format a time to the minute: ``2019-12-31 15:00``."""
    return str(np.datetime64(moment).astype("datetime64[m]")).replace("T", " ")


def stamp_seconds(seconds: float) -> str:
    """Format seconds since 1970 UTC, see :func:`stamp`."""
    return stamp(np.datetime64(int(seconds), "s"))


def storage_precision(encoding: Mapping[str, Any], times: np.ndarray) -> np.timedelta64:
    """Return the resolution at which a file stores times; 0 for integers, which are exact.

    Args:
        encoding: xarray encoding of the coordinate: ``dtype`` and ``units`` ("days since 1-1-1").
        times: ``datetime64``, not empty.
    """
    dtype, words = (
        np.dtype(encoding.get("dtype", np.int64)),
        str(encoding.get("units", "")).split(),
    )
    if dtype.kind != "f" or len(words) < 3:
        return np.timedelta64(0, "ns")
    lengths = {"d": DAY, "h": HOUR, "m": MINUTE, "s": SECOND}
    unit = lengths.get(words[0][0].lower(), SECOND)
    try:
        epoch = np.datetime64(
            "-".join(part.zfill(2) for part in words[2].split("-")).zfill(10), "us"
        )
    except ValueError:
        epoch = np.datetime64(0, "us")
    farthest = np.max(np.abs(times.astype("datetime64[us]") - epoch)).astype(np.int64)
    length = int(np.asarray(unit).astype(np.int64))  # ns
    spacing = float(np.spacing(np.asarray(1000 * float(farthest) / length, dtype)))
    return np.timedelta64(round(spacing * length), "ns")


def snap(times: np.ndarray, precision: np.timedelta64, where: object) -> np.ndarray:
    """Round times to the half hour (or to the minute, for shorter cadences) to undo rounding in storage.

    The tolerance is the storage precision or a second, whichever is more, and at most a tenth of the cadence;
    corrections of more than a second are reported.

    Args:
        times: ``datetime64[ns]``, in any order.
        precision: see :func:`storage_precision`.
        where: coordinate named in error messages.

    Raises:
        InputError: a time differs by more than the tolerance.
    """
    steps = np.diff(np.unique(times))
    steps = steps[steps > MINUTE / 2]
    cadence = HOUR
    if steps.size:
        cadence = np.timedelta64(int(np.median(steps.astype(np.int64))), "ns")
    most = cadence / 10
    if precision <= most and np.all(times.astype("datetime64[m]") == times):
        _refuse_uneven(times, cadence, where)
        return times
    tolerance = min(max(precision, SECOND), most)
    ticks = [MINUTE] if cadence < HOUR / 2 else [HOUR / 2, MINUTE]
    off = np.timedelta64(0, "ns")
    for tick in ticks:
        if tolerance >= tick / 2 or precision > most:
            continue
        since = times.astype(np.int64)
        length = int(tick.astype("timedelta64[ns]").astype(np.int64))
        nearest = ((since + length // 2) // length * length).astype("datetime64[ns]")
        off = np.max(abs(times - nearest))
        if off <= tolerance:
            if off > SECOND:
                notice(
                    f"{where}: times are off by up to {off / SECOND:.0f} s as stored; they are set to full minutes"
                )
            return nearest
    worst = times[int(np.argmax(abs(times - times.astype("datetime64[m]"))))]
    found = f"{str(worst)[:23]}, stored in a precision of {precision / SECOND:.3g} s"
    do = (
        "store them in whole numbers or float64, for instance as hours since 1970-01-01"
    )
    expected = f"times on the half hour or minute, exact to {tolerance / SECOND:.3g} s"
    raise InputError(where, expected, found, do)


def _refuse_uneven(times: np.ndarray, cadence: np.timedelta64, where: object) -> None:
    """Refuse exactly stored times that just miss a regular cadence: 17:59 among three-hourly ones.

    Raises:
        InputError: there is such a time.
    """
    length = int(cadence.astype("timedelta64[ns]").astype(np.int64))
    since = times.astype(np.int64)
    phases, counts = np.unique(since % length, return_counts=True)
    phase = phases[np.argmax(counts)]
    apart = np.abs((since - phase + length // 2) % length - length // 2)
    near = np.flatnonzero((apart > 0) & (apart <= length // 10))
    if times.size > 2 and near.size:
        found = f"{stamp(times[near[0]])}, {apart[near[0]] / 6e10:g} min off in exact storage"
        do = "correct the times of the file"
        raise InputError(
            where, f"times of an even cadence ({cadence / HOUR:g} h)", found, do
        )
