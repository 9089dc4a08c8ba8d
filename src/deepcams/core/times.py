"""Time constants, and how a moment is printed."""

from __future__ import annotations

import numpy as np

SECOND = np.timedelta64(1, "s").astype("timedelta64[ns]")
MINUTE = np.timedelta64(1, "m").astype("timedelta64[ns]")
HOUR = np.timedelta64(1, "h").astype("timedelta64[ns]")
DAY = np.timedelta64(1, "D").astype("timedelta64[ns]")
HOUR_SECONDS = 3600
"""Seconds in an hour."""


def stamp(moment: np.datetime64) -> str:
    """Return a moment for people, to the minute: ``2019-12-31 15:00``."""
    return str(np.datetime64(moment).astype("datetime64[m]")).replace("T", " ")


def stamp_seconds(seconds: float) -> str:
    """Return :func:`stamp` of a number of seconds since 1970 UTC."""
    return stamp(np.datetime64(int(seconds), "s"))
