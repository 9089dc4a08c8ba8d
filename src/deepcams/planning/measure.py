"""A short run of ``deepcams downscale`` in a process of its own, measured from outside."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from deepcams.core.errors import DeepcamsError, InputError
from deepcams.core.machine import THREAD_VARIABLES, peak_memory, processors
from deepcams.core.progress import Progress, no_progress
from deepcams.files.records import FOLDER
from deepcams.writers import Item, open_target

_POLL = 0.1
"""Seconds between two looks at the process."""


@dataclass(frozen=True)
class Measured:
    """A measured run.

    Attributes:
        startup: seconds from the start of the process to that of its first item.
        seconds: that each work item took, scaled to 24 hours of output; the next is computed while one is written.
        memory: peak resident memory of the process, bytes.
        busy: share of the time of its processors that the process used; a small one on a single processor says that
            other programs took the rest, and that all times are too long.
        bytes: of output.
        hours: of output.
    """

    startup: float
    seconds: tuple[float, ...]
    memory: int
    busy: float
    bytes: int
    hours: int


def measure(
    inputs: Sequence[str],
    options: Sequence[str],
    items: Sequence[Item],
    folder: Path,
    cpus: int = 1,
    progress: Progress = no_progress,
    before: Sequence[str] = (),
) -> Measured:
    """Downscale for real, as a worker of a cluster would, and measure it.

    Args:
        inputs: files for ``deepcams downscale``.
        options: of ``deepcams downscale``, which make these items.
        items: what the run will do.
        folder: an existing one for the output; needs room for it.
        cpus: processors that the run may use.
        progress: told of the items done.
        before: options that come before the verb.

    Raises:
        DeepcamsError: the run failed; its own message.
    """
    out = folder / "measured.zarr"
    command = [sys.executable, "-m", "deepcams", *before, "downscale", *inputs]
    command += ["-o", str(out)]
    records = out / FOLDER
    began = time.time()
    with (folder / "errors.txt").open("w+", encoding="utf-8") as errors:
        process = subprocess.Popen(
            [*command, *options],
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env={**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(cpus))},
        )
        try:
            memory, busy = _watch(process, records, len(items), cpus, progress)
        finally:
            process.kill()
            status = process.wait()
        # Once more: Ctrl-C ends the process, too, and the caller may have been told to stop.
        progress("measure", len(items), len(items))
        if status:
            errors.seek(0)
            raise DeepcamsError(_reason(errors.read(), status))
    # The folder of records is made with the store: its metadata are as old as the layout.
    laid_out = (records / "zarr.json").stat().st_mtime
    ends = [(records / f"{item.name}.record.json").stat().st_mtime for item in items]
    taken = np.diff([laid_out, *ends])
    seconds = (
        float(each) * 24 / item.hours for each, item in zip(taken, items, strict=True)
    )
    size = open_target(out).size()
    hours = sum(item.hours for item in items)
    return Measured(laid_out - began, tuple(seconds), memory, busy, size, hours)


def check_processors(cpus: int) -> None:
    """Raise an InputError if this process may use fewer processors."""
    have = processors()
    if not 1 <= cpus <= have:
        expected = f"1 to {have}, the processors of this machine"
        raise InputError("--cpus", expected, cpus, "plan on a machine with more")


def _watch(
    process: subprocess.Popen[bytes],
    records: Path,
    items: int,
    cpus: int,
    progress: Progress,
) -> tuple[int, float]:
    """Confine a process to some processors and wait for its end; return its peak memory (bytes) and busy share."""
    peak, busy, began = 0, 0.0, time.perf_counter()
    try:
        watched = psutil.Process(process.pid)
        if hasattr(watched, "cpu_affinity"):  # macOS has none
            watched.cpu_affinity(watched.cpu_affinity()[:cpus])
        while process.poll() is None:
            peak = max(peak, peak_memory(watched.pid))
            times = watched.cpu_times()
            busy = (times.user + times.system) / (time.perf_counter() - began) / cpus
            progress("measure", len(list(records.glob("item-*.record.json"))), items)
            time.sleep(_POLL)
    except psutil.NoSuchProcess:  # it ended meanwhile
        process.wait()
    return peak, busy


def _reason(errors: str, status: int) -> str:
    """Return what a failed run said."""
    lines = errors.strip().splitlines() or [f"exit status {status}"]
    return f"the measured run: {lines[-1].removeprefix('deepcams: error: ')}"
