"""Fields that exposure is taken from: any that deepcams opens, and means of days and longer."""

from __future__ import annotations

from collections.abc import Sequence

import xarray as xr

from deepcams.core.times import DAY_SECONDS, long_means_opened
from deepcams.means.store import DailyStore, identity_of
from deepcams.readers.open import open_field
from deepcams.stations.matching import cadence
from deepcams.writers.layout import MEANS

_INTERVAL = "interval"
"""Of a field's encoding: seconds between its times, where it may have a single one."""
DAYS = "days"
"""Of a field's encoding: whose days the means of ``deepcams means`` are of."""
_LENGTHS = {"day": DAY_SECONDS, "month": 30 * DAY_SECONDS, "year": 365 * DAY_SECONDS}


def interval_of(field: xr.DataArray) -> int:
    """Return the usual distance of a field's times, seconds."""
    return int(field.encoding.get(_INTERVAL, 0)) or cadence(field)


def open_exposure_field(
    paths: Sequence[str], variable: str | None = None
) -> xr.DataArray:
    """Open a field of hours, or of means over days or longer: those of ``deepcams means``, or a provider's.

    Args:
        paths: files, folders, globs or URLs; of an output of ``deepcams means`` one.
        variable: which one; ``None`` is PM2.5, of ``deepcams means`` its mean.

    Returns:
        canonical, lazy.

    Raises:
        InputError: there is none, or the means are not finished.
    """
    with long_means_opened():
        field = open_field(list(paths), variable)
    identity = identity_of(paths[0]) if len(paths) == 1 else None
    if identity is None:
        return field
    settings = identity[MEANS]
    if settings["over"] == "day":
        DailyStore(paths[0], identity)  # refuses unfinished ones
    field = field.rename(str(field.name).removesuffix("_mean"))
    if settings["over"] in _LENGTHS:
        field.encoding[_INTERVAL] = _LENGTHS[settings["over"]]
    field.encoding[DAYS] = settings["days"]
    return field
