"""Input fields of exposure: any field that deepcams opens, and daily or longer means."""

from __future__ import annotations

from collections.abc import Sequence

import xarray as xr

from deepcams.core.times import DAY_SECONDS, long_means_opened
from deepcams.means.store import DailyStore, identity_of
from deepcams.readers.open import open_field
from deepcams.stations.matching import cadence
from deepcams.writers.layout import MEANS

_INTERVAL = "interval"
"""Key of a field's encoding: seconds between its times, for fields that may have a single time."""
DAYS = "days"
"""Key of a field's encoding: definition of the day of the means of ``deepcams means``."""
_LENGTHS = {"day": DAY_SECONDS, "month": 30 * DAY_SECONDS, "year": 365 * DAY_SECONDS}


def interval_of(field: xr.DataArray) -> int:
    """Return the usual interval between a field's times, seconds."""
    return int(field.encoding.get(_INTERVAL, 0)) or cadence(field)


def open_exposure_field(
    paths: Sequence[str], variable: str | None = None
) -> xr.DataArray:
    """Open an hourly field, or daily or longer means, of ``deepcams means`` or of a provider.

    Args:
        paths: files, folders, globs or URLs; only one for an output of ``deepcams means``.
        variable: variable to read; ``None``: PM2.5, or the mean in an output of ``deepcams means``.

    Returns:
        canonical field, lazy.

    Raises:
        InputError: no field is found, or the means are unfinished.
    """
    with long_means_opened():
        field = open_field(list(paths), variable)
    identity = identity_of(paths[0]) if len(paths) == 1 else None
    if identity is None:
        return field
    settings = identity[MEANS]
    if settings["over"] == "day":
        DailyStore(paths[0], identity)  # raises if unfinished
    field = field.rename(str(field.name).removesuffix("_mean"))
    if settings["over"] in _LENGTHS:
        field.encoding[_INTERVAL] = _LENGTHS[settings["over"]]
    field.encoding[DAYS] = settings["days"]
    return field
