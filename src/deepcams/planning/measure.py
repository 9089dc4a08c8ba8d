"""Measure a short run of ``deepcams downscale`` in a separate process."""

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
"""Polling interval of the process, seconds."""


@dataclass(frozen=True)
class Measured:
    """A measured run.

    Attributes:
        startup: seconds from the start of the process to that of its first item.
        seconds: duration of each work item, scaled to 24 hours of output; items are written while the next is computed.
        memory: peak resident memory of the process, bytes.
        busy: fraction of the processor time that the process used; a small value on a single processor means that other
            programs used the rest, and that all times are too long.
        bytes: size of the output.
        hours: number of output hours.
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
    """Run a downscaling as a worker of a cluster would, and measure it.

    Args:
        inputs: files for ``deepcams downscale``.
        options: options of ``deepcams downscale`` that produce these items.
        items: work items of the run.
        folder: existing folder for the output, with enough free space.
        cpus: number of processors that the run may use.
        progress: called with the number of finished items.
        before: options before the verb.

    Raises:
        DeepcamsError: the run failed, with its own message.
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
        # Checked again: Ctrl-C also ends the process, and the caller may have been asked to stop.
        progress("measure", len(items), len(items))
        if status:
            errors.seek(0)
            raise DeepcamsError(_reason(errors.read(), status))
    # The folder of records is created with the store, so its metadata have the time of the layout.
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
    """Raise an InputError if fewer processors are available."""
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
    """Limit a process to some processors and wait for its end; return its peak memory (bytes) and busy fraction."""
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
    except psutil.NoSuchProcess:  # the process has ended
        process.wait()
    return peak, busy


def _reason(errors: str, status: int) -> str:
    """Return the error message of a failed run."""
    lines = errors.strip().splitlines() or [f"exit status {status}"]
    return f"the measured run: {lines[-1].removeprefix('deepcams: error: ')}"
