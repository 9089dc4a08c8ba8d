"""Cleaning of field values: which are missing, which are set to 0, which are refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from deepcams.core.errors import InputError, notice
from deepcams.core.stages import staged
from deepcams.core.units import UNITS

if TYPE_CHECKING:
    import xarray as xr

SMALL_NEGATIVE = -1.0
"""Lower bound (ug m-3) of negative values that are packing or analysis noise and become 0; lower ones are missing."""
IMPLAUSIBLE = 1e7
"""Threshold (ug m-3; 10 g m-3) from which values are taken as unmarked missing values or wrong units."""


@dataclass(frozen=True)
class ValueCounts:
    """Counts of values by how they were treated while loading; counts can be added.

    Attributes:
        total: all values.
        missing: NaN in the input.
        negative: small negatives set to 0.
        implausible: values set to missing: below :data:`SMALL_NEGATIVE`, or (in :func:`clean`) too large.
        clipped: values clipped to the maximum of a network's scaling.
    """

    total: int = 0
    missing: int = 0
    negative: int = 0
    implausible: int = 0
    clipped: int = 0

    def __add__(self, other: ValueCounts) -> ValueCounts:
        return ValueCounts(
            *(getattr(self, f.name) + getattr(other, f.name) for f in fields(self))
        )


def clean(values: np.ndarray) -> ValueCounts:
    """Clean concentrations in place: small negatives become 0, impossible values missing.

    Values used in computations are first checked by :func:`refuse_impossible`, so that only those below
    :data:`SMALL_NEGATIVE` become missing here; values only displayed need no check.

    Args:
        values: of any shape, float, ug m-3; NaN is missing.
    """
    if (
        values.size and values.min() >= 0 and values.max() < IMPLAUSIBLE
    ):  # NaN makes both comparisons false
        return ValueCounts(values.size)
    missing = np.isnan(values)
    with np.errstate(invalid="ignore"):
        implausible = (values < SMALL_NEGATIVE) | (values >= IMPLAUSIBLE)
        negative = (values < 0) & ~implausible
    values[implausible] = np.nan
    values[negative] = 0
    counts = (int(np.count_nonzero(mask)) for mask in (missing, negative, implausible))
    return ValueCounts(values.size, *counts)


def refuse_impossible(
    values: np.ndarray, where: object, place: Callable[[Sequence[int]], str]
) -> None:
    """Refuse infinite and physically impossible values (:data:`IMPLAUSIBLE`).

    Args:
        values: of any shape, float, ug m-3; NaN is missing.
        where: file or field named in the error message.
        place: describes the location of a value, given its indices.

    Raises:
        InputError: there is such a value; the message names the first infinite one, or the largest.
    """
    if not values.size:
        return
    low, high = np.fmin.reduce(values, axis=None), np.fmax.reduce(values, axis=None)
    if np.isinf(low) or np.isinf(high):
        at = np.argwhere(np.isinf(values))[0].tolist()
        raise InputError(
            where,
            "finite values",
            f"an infinite one at {place(at)}",
            "mask it in the input",
        )
    if high >= IMPLAUSIBLE:
        at = np.argwhere(values == high)[0].tolist()
        raise InputError(
            where,
            f"values of air (below {IMPLAUSIBLE:g} {UNITS})",
            f"{high:.3g} {UNITS} at {place(at)}",
            "mark undefined values as missing (_FillValue), or correct the attribute units",
        )


@staged("read")
def load_values(
    field: xr.DataArray, where: object = "field"
) -> tuple[np.ndarray, ValueCounts]:
    """Load a field's values: float32, non-negative, NaN where missing; return them with their counts.

    Raises:
        InputError: a value is infinite or impossible (:data:`IMPLAUSIBLE`).
    """
    values = np.array(
        field.data, dtype=np.float32
    )  # copied because clean() works in place

    def place(at: Sequence[int]) -> str:
        time, row, column = at
        latitude, longitude = field.latitude.values[row], field.longitude.values[column]
        return f"{str(field.time.values[time])[:16]}, {latitude:g} N {longitude:g} E"

    refuse_impossible(values, where, place)
    return values, clean(values)


def tell_counts(counts: ValueCounts) -> None:
    """Issue a notice if values were changed while loading."""
    if counts.implausible:
        notice(
            f"{counts.implausible} values below {SMALL_NEGATIVE:g} {UNITS} are taken as missing"
        )
