"""Memory that stays level however long a run is."""

from __future__ import annotations

import ctypes
import sys

_M_MMAP_THRESHOLD = -3
_THRESHOLD = 4 << 20


def keep_memory_level() -> None:
    """Keep what is freed, and what HDF5 caches, from piling up; for the whole process, so only commands call it.

    The C library (glibc) hands arrays of 4 MB and more back to the system as soon as they are freed; left alone, it
    raises that threshold to 32 MB and keeps the rest, in pieces, in an arena a thread. HDF5 keeps up to 64 MB of each
    variable, though frames are read in whole chunks, once.
    """
    import netCDF4

    netCDF4.set_chunk_cache(size=_THRESHOLD)
    if sys.platform != "linux":
        return
    try:
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _THRESHOLD)
    except (OSError, AttributeError):  # another C library: nothing to set
        return
