"""netCDF files opened once, however often they are asked for, under the names that everybody uses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import xarray as xr

_KNOWN = ("time", "latitude", "longitude", "lat", "lon")


def open_netcdf(path: Path, **options: Any) -> xr.Dataset:
    """Open a netCDF file lazily, with one handle for all who have it open.

    A second handle of a file that holds texts, as the data store's ``expver`` or times in words, may crash the process
    (Unidata/netcdf4-python 1444). Handles go by the file's stamp: what was written anew is read anew.

    Args:
        path: the file.
        options: of ``xarray.open_dataset``.
    """
    import netCDF4
    from xarray.backends import CachingFileManager, NetCDF4DataStore
    from xarray.backends.netCDF4_ import NETCDF4_PYTHON_LOCK

    stamp = path.stat()
    which = (str(path.resolve()), stamp.st_ino, stamp.st_size, stamp.st_mtime_ns)
    own: dict[str, Any] = {"mode": "r", "lock": NETCDF4_PYTHON_LOCK, "manager_id": which}
    manager: Any = CachingFileManager(netCDF4.Dataset, str(path), **own)
    store = NetCDF4DataStore(manager, mode="r")  # type: ignore[no-untyped-call]
    dataset = xr.open_dataset(store, **options)
    dataset.encoding["source"] = str(path)
    return _renamed(dataset)


def _renamed(dataset: xr.Dataset) -> xr.Dataset:
    """With ``LAT``, ``Longitude``, ``TIME`` and the like as everybody else writes them."""
    names = {str(name) for name in (*dataset.dims, *dataset.variables)}
    other = {
        name: name.lower() for name in names if name.lower() in _KNOWN and name.lower() not in names
    }
    return dataset.rename(other) if len(set(other.values())) == len(other) else dataset
