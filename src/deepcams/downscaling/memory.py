"""Settings of the C library and HDF5 that let a process reuse memory and keep its usage constant."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_LARGE = 32 << 20
_CHUNK_CACHE = 4 << 20
_NEVER = 2**31 - 1


def keep_memory() -> None:
    """Keep freed memory for the next array; this affects the whole process, so only commands call it.

    A frame allocates and frees hundreds of arrays of a few MB. By default the C library (glibc) returns them to the
    system and requests new pages, which took a third of a run's time. With one arena for all threads, memory use stays
    constant over a long run; arrays of 32 MB and more (a day of hours) are returned, to avoid fragmentation. HDF5
    caches up to 64 MB per variable by default, although frames are read once, in whole chunks.
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
    except (OSError, AttributeError):  # not glibc: nothing to set
        return
