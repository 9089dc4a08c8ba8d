"""Settings of the C library and HDF5 that keep a process's memory for its next use, and level."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_LARGE = 32 << 20
_CHUNK_CACHE = 4 << 20
_NEVER = 2**31 - 1


def keep_memory() -> None:
    """Keep freed memory for the next array; for the whole process, so only commands call it.

    A frame makes and frees hundreds of arrays of a few MB. The C library (glibc) by itself hands those back to the
    system and fetches their pages anew, which cost a third of a run's time. Kept in one arena for all threads, memory
    stays level over a long run; arrays of 32 MB and more (a day of hours) are handed back, so that no hole of that size
    is left. HDF5 by itself keeps up to 64 MB of each variable, though frames are read in whole chunks, once.
    """
    import netCDF4

    netCDF4.set_chunk_cache(size=_CHUNK_CACHE)
    if sys.platform != "linux":
        return
    try:
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, _LARGE)
        library.mallopt(_M_TRIM_THRESHOLD, _NEVER)
        library.mallopt(_M_ARENA_MAX, 1)
    except (OSError, AttributeError):  # another C library: nothing to set
        return
