"""Processors and memory available to this process, within its container's limits."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

from deepcams.core.errors import InputError

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Environment variables that compiled libraries read once, when they are loaded, for their number of threads."""

_GROUPS, _OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
_UNLIMITED = 1 << 60
"""Bytes; cgroups version 1 writes a larger number where there is no limit."""


def processors() -> int:
    """Return the number of processors this process may use, at least 1; a container's quota is rounded up."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    for folder in _folders("cpu"):
        try:
            if (folder / "cpu.max").exists():
                quota, period = (folder / "cpu.max").read_text().split()
            else:
                quota = (folder / "cpu.cfs_quota_us").read_text()
                period = (folder / "cpu.cfs_period_us").read_text()
            share = float(quota) / float(period)  # "max" raises ValueError
        except (OSError, ValueError, ZeroDivisionError):
            continue
        if share > 0:
            count = min(count, math.ceil(share))
    return max(count, 1)


def threads() -> int:
    """Return the number of compute threads: ``$OMP_NUM_THREADS``, else the number of processors."""
    wanted = os.environ.get(THREAD_VARIABLES[0], "")
    return int(wanted) if wanted.isdigit() and int(wanted) else processors()


def limit_threads(number: int | None = None) -> None:
    """Set the number of compute threads of all libraries that are loaded from now on.

    Args:
        number: number of threads; None: as in the environment, else the container's processors if it has a limit.

    Raises:
        InputError: the number is not between 1 and the number of processors.
    """
    if number is None:
        if processors() < (os.cpu_count() or 1):
            for name in THREAD_VARIABLES:
                os.environ.setdefault(name, str(threads()))
        return
    have = processors()
    if not 1 <= number <= have:
        raise InputError("--threads", f"1 to {have}, what there is here", number)
    for name in THREAD_VARIABLES:
        os.environ[name] = str(number)


def free_memory() -> int:
    """Return the main memory available to this process, bytes."""
    import psutil

    free = int(psutil.virtual_memory().available)
    for folder in _folders("memory"):
        try:
            limit, used, cached = _memory(folder)
        except (OSError, ValueError, KeyError):
            continue
        if limit < _UNLIMITED:
            free = min(free, max(limit - used + cached, 0))
    return free


def peak_memory(process: int | None = None) -> int:
    """Return the peak resident memory of a process, bytes; where the system does not record it, the current value.

    Args:
        process: process id; None: this process.
    """
    import psutil

    watched = psutil.Process(process)
    memory = watched.memory_info()
    try:
        status = Path(f"/proc/{watched.pid}/status").read_text(encoding="ascii")
    except OSError:
        return int(getattr(memory, "peak_wset", memory.rss))
    counted = re.search(r"VmHWM:\s*(\d+) kB", status)
    return int(counted[1]) * 1024 if counted else int(memory.rss)


def _memory(folder: Path) -> tuple[int, int, int]:
    """Return a control group's memory limit, its usage, and the reclaimable part of the usage, bytes."""
    lines = (folder / "memory.stat").read_text().splitlines()
    facts = dict(line.split(maxsplit=1) for line in lines)
    if (folder / "memory.max").exists():
        names, cached = ("memory.max", "memory.current"), facts["inactive_file"]
    else:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
        cached = facts["total_inactive_file"]
    limit, used = (int((folder / name).read_text()) for name in names)
    return limit, used, int(cached)


def _folders(controller: str) -> Iterator[Path]:
    """Yield the control groups of this process, innermost first (Linux only; elsewhere empty)."""
    try:
        lines = _OWN.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, names, path = line.split(":", 2)
        if names and controller not in names.split(","):
            continue
        root = _GROUPS / names if names else _GROUPS
        # in a container the path may be the host's, of which only the root is visible
        inner = root / path.lstrip("/")
        for folder in (inner, *inner.parents):
            yield folder
            if folder == root:
                break
