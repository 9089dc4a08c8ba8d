"""Export to netCDF-4 with a CRS, CF-1.11 and ACDD-1.3, readable by CDO, NCO, R, GDAL and QGIS."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import netCDF4
import numpy as np
from xarray.backends.netCDF4_ import NETCDF4_PYTHON_LOCK

from deepcams.export.source import Piece, Source
from deepcams.writers.netcdf import lay_out


def write_netcdf(
    path: Path,
    source: Source,
    piece: Piece,
    blocks: Iterable[tuple[int, np.ndarray]],
) -> None:
    """Write a piece as one netCDF file.

    Raises:
        OSError: it cannot be written.
    """
    # Blocks are read between the writes, because reading a netCDF input takes the same lock.
    layout = source.layout(piece)
    try:
        with NETCDF4_PYTHON_LOCK:
            file = netCDF4.Dataset(path, "w", format="NETCDF4")
        try:
            with NETCDF4_PYTHON_LOCK:
                values, *status = lay_out(file, layout, slice(None), {})
            for start, block in blocks:
                with NETCDF4_PYTHON_LOCK:
                    values[start : start + len(block)] = block
            if source.status is not None:
                with NETCDF4_PYTHON_LOCK:
                    status[0][:] = source.status[piece.start : piece.stop]
        finally:
            with NETCDF4_PYTHON_LOCK:
                file.close()
    except RuntimeError as error:  # netCDF's error for a failed system call
        raise OSError(0, f"{error} (is the disk full?)", str(path)) from error
