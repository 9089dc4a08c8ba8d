"""The main function of the package, lazily: sparse coarse fields in, hourly fine fields out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from deepcams.core.field import as_field, field_like
from deepcams.core.period import Period
from deepcams.downscaling.plan import compute_hours, plan_work
from deepcams.methods import build
from deepcams.methods.chains import BEST, Order


def downscale(
    field: xr.DataArray,
    temporal: str = BEST,
    spatial: str = BEST,
    *,
    conserve: bool = True,
    order: Order = "spatial-first",
    bbox: Sequence[float] | None = None,
    period: Period | str | None = None,
    **options: Any,
) -> xr.DataArray:
    """Downscale a field in time and space; nothing is computed before the values are asked for.

    The values are those that ``deepcams downscale`` writes, before bit-rounding: both compute the same work items.

    Args:
        field: from :func:`deepcams.open_cams`, or any array that :func:`deepcams.as_field` takes.
        temporal: method in time, or ``none`` to keep the cadence.
        spatial: method in space, or ``none`` to keep the grid.
        conserve: keep the coarse cells' area means.
        order: ``spatial-first`` or ``temporal-first``.
        bbox: (west, south, east, north), degrees; the result covers the whole coarse cells that the box touches.
            West > east crosses the dateline.
        period: output only these hours (a :class:`deepcams.Period` or its text, ``2019-03``).
        options: for the downscalers (see :func:`deepcams.methods.chains`).

    Returns:
        canonical field, hourly unless ``temporal="none"``, backed by Dask with 24 hours a chunk. The hours of gaps
        longer than 3 h, and cells that the input misses, are NaN.

    Raises:
        InputError: see :func:`deepcams.downscaling.plan.plan_work`; an infinite value, when it is computed.
    """
    import dask.array as da
    from dask.delayed import delayed

    field = as_field(field)
    chain = build(
        temporal,
        spatial,
        conserve=conserve,
        order=order,
        **{"variable": str(field.name), **options},
    )
    period = Period.parse(period, "--period") if isinstance(period, str) else period
    plan = plan_work(field, chain, bbox=bbox, period=period)
    compute = delayed(compute_hours, pure=False)
    blocks = []
    for item in plan.items:
        hours = plan.times[item.start : item.stop]
        piece = plan.field.isel(time=plan.frames(item))
        block = compute(piece, chain, hours, plan.crop)
        blocks.append(da.from_delayed(block, (item.hours, *plan.crop.grid.shape), np.float32))  # type: ignore[no-untyped-call]
    data = da.concatenate(blocks, axis=0)  # type: ignore[no-untyped-call]
    return field_like(plan.field, data, plan.crop.grid, plan.times)
