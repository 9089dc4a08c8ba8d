"""Memory of a long run: level, and not fetched anew for every array."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_NEVER = 2**31 - 1
_CHUNK_CACHE = 4 << 20


def keep_memory_at_hand() -> None:
    """Keep what is freed for the next use; for the whole process, so only commands call it.

    A run makes and frees the same large arrays again and again. The C library (glibc) fetches them from the system each
    time, and filling fresh pages costs a third of the training-free pipeline's time and a fifth of ABPN's. Kept, memory
    is level after the first work items. HDF5 keeps up to 64 MB of each variable, though frames are read in whole
    chunks, once: that is turned down.
    """
    import netCDF4

    netCDF4.set_chunk_cache(size=_CHUNK_CACHE)
    if sys.platform != "linux":
        return
    try:
        for option, value in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _NEVER)):
            ctypes.CDLL(None).mallopt(option, value)
    except (OSError, AttributeError):  # another C library: nothing to set
        return
