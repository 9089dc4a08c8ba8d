"""Export to Zarr v2, unsharded and zlib-compressed, for GDAL before 3.13 and other readers without Zarr v3."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numcodecs import Zlib

from deepcams.core.field import DIMS
from deepcams.export.source import Piece, Source
from deepcams.writers.layout import STATUS
from deepcams.writers.zarr_store import plain_attributes


def write_zarr2(
    path: Path,
    source: Source,
    piece: Piece,
    blocks: Iterable[tuple[int, np.ndarray]],
) -> None:
    """Write a piece as a store with whole hours as chunks, readable by GDAL, xarray and zarr.

    Raises:
        OSError: it cannot be written.
    """
    layout = source.layout(piece)
    frame = layout.frame()
    group = zarr.create_group(
        str(path), zarr_format=2, attributes=plain_attributes(frame.attrs)
    )
    for name, variable in frame.variables.items():
        _array(group, str(name), variable.dims, variable.attrs, variable.values)
    rows, columns = layout.chunks[1:]
    # No _CRS: with it GDAL 3.6 swaps the axes, and gdallocationinfo -wgs84 silently reads the wrong location.
    attributes = layout.variable_attributes()
    values = group.create_array(
        layout.name,
        shape=layout.shape,
        dtype=np.float32,
        chunks=(1, rows, columns),
        compressors=Zlib(level=1),
        fill_value=np.nan,
        attributes={"_ARRAY_DIMENSIONS": list(DIMS), **plain_attributes(attributes)},
    )
    for start, block in blocks:
        values[start : start + len(block)] = block
    if source.status is not None:
        flags = source.status[piece.start : piece.stop]
        _array(group, "status", DIMS[:1], STATUS, flags)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(str(path), zarr_format=2)


def _array(
    group: Any, name: str, dims: Any, attributes: Any, values: np.ndarray
) -> None:
    made = group.create_array(
        name,
        shape=values.shape,
        dtype=values.dtype,
        chunks=values.shape,
        compressors=None,
        fill_value=None,  # Zarr v2 readers treat it as missing
        attributes={
            "_ARRAY_DIMENSIONS": list(map(str, dims)),
            **plain_attributes(attributes),
        },
    )
    made[...] = values
