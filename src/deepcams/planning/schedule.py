"""Discrete-event simulation of a run on many workers: start-up, failures, slow workers, and two ways of sharing."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from deepcams.core.errors import InputError
from deepcams.core.times import HOUR_SECONDS

Sharing = Literal["parts", "dynamic"]
"""Each worker has its own consecutive items (``--part``), or all share one queue (``--scheduler``)."""

MOST_FAILURES = 3.0
"""Maximum expected number of failures during one item: with more, items would hardly ever finish."""

_READY, _FAILED = 0, 1
_NONE = -1


@dataclass(frozen=True)
class Conditions:
    """The conditions on a cluster.

    Attributes:
        startup: seconds from a worker's start to its first item.
        failures: failures per hour of running time of a worker; random, with exponential intervals.
        restart: seconds from a failure to the worker's next start.
        stragglers: fraction of workers that are slow, 0 to 1.
        slowness: factor by which a slow worker takes longer for an item.

    Raises:
        InputError: a value is out of range.
    """

    startup: float = 0.0
    failures: float = 0.0
    restart: float = 0.0
    stragglers: float = 0.0
    slowness: float = 1.0

    def __post_init__(self) -> None:
        bounds = {
            "startup": (0.0, float("inf")),
            "failures": (0.0, float("inf")),
            "restart": (0.0, float("inf")),
            "stragglers": (0.0, 1.0),
            "slowness": (1.0, float("inf")),
        }
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if not low <= value <= high:
                expected = f"a number from {low:g} to {high:g}".replace(
                    " to inf", " on"
                )
                raise InputError(f"--{name}", expected, value)


@dataclass(frozen=True)
class Outcome:
    """The outcome of a schedule.

    Attributes:
        makespan: seconds from the start of all workers to the end of the last item.
        efficiency: seconds of work divided by workers times makespan, 0 to 1.
        lost: seconds spent on items that failed and were processed again.
        failures: number of failures.
    """

    makespan: float
    efficiency: float
    lost: float
    failures: int


def draw_seconds(measured: Sequence[float], items: int, seed: int = 0) -> list[float]:
    """Draw the seconds of each item from measured ones, with replacement."""
    return random.Random(seed).choices(measured, k=items)


def play(
    seconds: Sequence[float],
    workers: int,
    sharing: Sharing = "parts",
    conditions: Conditions | None = None,
    seed: int = 0,
) -> Outcome:
    """Simulate a schedule.

    Args:
        seconds: duration of each item on a worker that is not slow.
        workers: number of workers, all started at once.
        sharing: how they share the items.
        conditions: conditions of the run (default: no failures, no slow workers).
        seed: seed for failures and the choice of slow workers; the same seed gives the same schedule.

    Returns:
        the outcome.

    Raises:
        InputError: there is no item or no worker, or items would hardly ever finish.
    """
    conditions = conditions or Conditions()
    if not seconds:
        raise InputError("schedule", "at least one item", "none")
    if workers < 1:
        raise InputError("--workers", "a number from 1 on", workers)
    longest = conditions.startup + max(seconds) * conditions.slowness
    expected = conditions.failures * longest / HOUR_SECONDS
    if expected > MOST_FAILURES:
        raise InputError(
            "--failures",
            f"at most {MOST_FAILURES:g} failures during the longest item",
            f"{expected:.3g}",
        )
    return _Schedule(seconds, workers, sharing, conditions, seed).play()


class _Schedule:
    def __init__(
        self,
        seconds: Sequence[float],
        workers: int,
        sharing: Sharing,
        conditions: Conditions,
        seed: int,
    ) -> None:
        self._seconds, self._workers = seconds, workers
        self._conditions = conditions
        self._random = random.Random(seed)
        self._factor = [1.0] * workers
        slow = round(conditions.stragglers * workers)
        for worker in self._random.sample(range(workers), slow):
            self._factor[worker] = conditions.slowness
        self._queues = _queues(len(seconds), workers, sharing)
        self._began = [0.0] * len(seconds)
        self._fails = [0.0] * workers
        self._idle: list[int] = []
        self._events: list[tuple[float, int, int, int]] = []
        self._failures, self._lost = 0, 0.0

    def play(self) -> Outcome:
        """Process events until all items are done."""
        for worker in range(self._workers):
            self._start(worker, 0.0)
        left = len(self._seconds)
        while True:
            now, worker, what, item = heapq.heappop(self._events)
            if what == _FAILED:
                self._fail(worker, now, item)
                continue
            if item != _NONE:
                left -= 1
                if not left:
                    break
            self._work(worker, now)
        efficiency = sum(self._seconds) / (self._workers * now)
        return Outcome(now, efficiency, self._lost, self._failures)

    def _start(self, worker: int, now: float) -> None:
        self._fails[worker] = self._next_failure(now)
        self._until(worker, now + self._conditions.startup, _NONE)

    def _until(self, worker: int, end: float, item: int) -> None:
        """Schedule a worker as busy until ``end``, or until it fails."""
        fails = self._fails[worker]
        event = (fails, worker, _FAILED, item)
        if end <= fails:
            event = (end, worker, _READY, item)
        heapq.heappush(self._events, event)

    def _work(self, worker: int, now: float) -> None:
        queue = self._queues[worker]
        if not queue:
            self._idle.append(worker)
            return
        if self._fails[worker] <= now:  # it failed while idle, and was restarted
            self._fails[worker] = self._next_failure(now)
        item = queue.popleft()
        self._began[item] = now
        self._until(worker, now + self._seconds[item] * self._factor[worker], item)

    def _fail(self, worker: int, now: float, item: int) -> None:
        self._failures += 1
        if item != _NONE:
            self._lost += now - self._began[item]
            self._queues[worker].appendleft(item)
            if self._idle:  # an idle worker may take it
                heapq.heappush(self._events, (now, self._idle.pop(), _READY, _NONE))
        self._start(worker, now + self._conditions.restart)

    def _next_failure(self, now: float) -> float:
        rate = self._conditions.failures / HOUR_SECONDS
        return now + self._random.expovariate(rate) if rate else float("inf")


def _queues(items: int, workers: int, sharing: Sharing) -> list[deque[int]]:
    """Return the queue that each worker takes its items from."""
    if sharing == "dynamic":
        return [deque(range(items))] * workers
    bounds = [items * part // workers for part in range(workers + 1)]
    return [deque(range(*each)) for each in pairwise(bounds)]
