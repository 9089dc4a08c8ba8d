"""What the stages of a run cost: wall, processor and kernel time, page faults, peak memory."""

from __future__ import annotations

import re
import resource
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"

START = "start"
"""The stage until a run is planned, or a verb opens an input: the interpreter, imports, weights."""
OTHER = "other"
"""What is in no other stage: arrays made and copied between the stages, values looked through."""


@dataclass
class Cost:
    """What a stage has cost, without the stages inside it.

    Attributes:
        wall: seconds.
        processor: seconds of all threads of the process, the kernel's included.
        kernel: those of them that the kernel worked.
        faults: pages that the kernel had to provide.
        reads: those of them that had to come from a disk.
        peak: most resident memory while the stage ran, bytes; 0: unknown.
    """

    wall: float = 0.0
    processor: float = 0.0
    kernel: float = 0.0
    faults: float = 0
    reads: float = 0
    peak: float = 0


def total(stages: Mapping[str, Cost]) -> Cost:
    """Return the cost of all stages together; of the peaks the highest."""
    whole = Cost()
    for each in fields(Cost):
        costs = [getattr(cost, each.name) for cost in stages.values()]
        setattr(whole, each.name, max(costs) if each.name == "peak" else sum(costs))
    return whole


class StageCosts:
    """Listens to stages (:func:`deepcams.core.stages.listening`) and adds up what each costs.

    Counters are those of the whole process, threads of libraries included. So the stages must follow one another: run
    items one by one. What other threads call a stage is left to the stage that the first thread is in.

    Args:
        began: when the process began (``time.monotonic``), so that the first stage includes its start. None: now.
    """

    def __init__(self, began: float | None = None) -> None:
        self.costs: dict[str, Cost] = {}
        self._open: list[str] = []
        self._thread = threading.get_ident()
        self._last = _counters()
        if began is not None:
            self._last = (began, *[0.0] * (len(self._last) - 1))

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Charge the block to a stage; to the one around it if that is ``check``, which is one piece."""
        if threading.get_ident() != self._thread or "check" in self._open:
            yield
            return
        self._charge()
        self._open.append(name)
        try:
            yield
        finally:
            self._charge()
            self._open.pop()

    def go_on_as(self, name: str) -> None:
        """Charge what has passed, and what follows in the outermost stage to another one."""
        self._charge()
        self._open[0] = name

    def _charge(self) -> None:
        """Add what has passed since the last call to the innermost stage."""
        now, peak = _counters(), _take_peak()
        if self._open:
            passed = [b - a for a, b in zip(self._last, now, strict=True)]
            cost = self.costs.setdefault(self._open[-1], Cost())
            cost.wall += passed[0]
            cost.processor += passed[1]
            cost.kernel += passed[2]
            cost.faults += passed[3]
            cost.reads += passed[4]
            cost.peak = max(cost.peak, peak)
        self._last = now


def _counters() -> tuple[float, ...]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    processor = used.ru_utime + used.ru_stime
    faults = used.ru_minflt + used.ru_majflt
    return time.monotonic(), processor, used.ru_stime, faults, used.ru_majflt


def _take_peak() -> int:
    """Return the most resident memory since the last call, bytes, where the system can begin anew (Linux); else 0."""
    if sys.platform != "linux":
        return 0
    try:
        counted = re.search(r"VmHWM:\s*(\d+) kB", _STATUS.read_text(encoding="ascii"))
        _CLEAR.write_text(_RESET_PEAK, encoding="ascii")
    except OSError:
        return 0
    return int(counted[1]) * 1024 if counted else 0
