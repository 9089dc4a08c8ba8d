"""Settings of the C library and HDF5 that keep a process's memory level, or at hand."""

from __future__ import annotations

import ctypes
import sys

from deepcams.methods.chains import BEST

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -3, -4, -8
_THRESHOLD = 4 << 20
_NEVER = 2**31 - 1


def keep_memory_level() -> None:
    """Keep what is freed, and what HDF5 caches, from piling up; for the whole process, so only commands call it.

    The C library (glibc) hands arrays of 4 MB and more back to the system as soon as they are freed; left alone, it
    raises that threshold to 32 MB and keeps the rest, in pieces, in an arena a thread. HDF5 keeps up to 64 MB of each
    variable, though frames are read in whole chunks, once.
    """
    _set({_M_MMAP_THRESHOLD: _THRESHOLD})


def keep_memory_at_hand() -> None:
    """Keep what is freed for the next use; for the whole process, so only commands call it.

    A network on a CPU makes and frees hundreds of large tensors a frame. Fetched from the system anew each time, their
    pages cost a fifth of ABPN's time, and a third of that of linear + bicubic; kept, the process holds more memory, up
    to half as much again, and is level where few threads work (not with flow).
    """
    _set({_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: _NEVER, _M_ARENA_MAX: 1})


def keep_memory_for(temporal: str) -> None:
    """Keep memory as suits a run of this method in time: at hand, but level where flow's threads would each keep some.

    Args:
        temporal: as :func:`deepcams.methods.chains.build` takes it.
    """
    if temporal in (BEST, "flow", "flow-refine"):
        keep_memory_level()
    else:
        keep_memory_at_hand()


def _set(options: dict[int, int]) -> None:
    import netCDF4

    netCDF4.set_chunk_cache(size=_THRESHOLD)
    if sys.platform != "linux":
        return
    try:
        for option, value in options.items():
            ctypes.CDLL(None).mallopt(option, value)
    except (OSError, AttributeError):  # another C library: nothing to set
        return
