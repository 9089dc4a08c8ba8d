"""Map work over items: in this process, in several local processes, or on a Dask cluster.

Items are small descriptions of whole pieces of output; workers read and write the values themselves, so that no data
pass through a scheduler.
"""

from __future__ import annotations

import logging
import os
import pickle
import re
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, cast

from deepcams.core.errors import DeepcamsError, InputError
from deepcams.core.machine import THREAD_VARIABLES, threads
from deepcams.core.stages import heard
from deepcams.core.text import counted
from deepcams.files.optional import need

Item = TypeVar("Item")
Made = TypeVar("Made")
Result = TypeVar("Result")

CONNECT_WAIT = 10.0
"""Timeout for the connection to a scheduler, seconds."""
WORKER_WAIT = 120.0
"""Timeout for the first worker of a scheduler, seconds."""
ONE_AT_A_TIME = threading.Lock()
"""Lock held while a worker processes an item: the file libraries are not thread-safe."""
_AHEAD = 2
"""Number of items submitted per worker thread: one in progress and one queued."""
_ATTEMPTS = 3
"""Number of attempts to start workers, or to send them the work, when one of them dies meanwhile."""
_LOOK_AGAIN = 5.0
"""Interval between checks of the size of a cluster, seconds."""
_WORKER_SILENCE = "120s"
"""Time without a heartbeat after which a local worker is given up and its items are reassigned."""


class Work(Generic[Item, Made, Result]):
    """The work done for each item; must be picklable. Each worker has its own copy and processes items one by one.

    An item is computed, then written; within one process the next item is computed while one is being written.

    Attributes:
        writes_at_once: maximum number of concurrent writes, for outputs on a server.
    """

    writes_at_once = 1

    def start(self) -> None:
        """Initialise a worker; called once in each worker process."""

    def compute(self, item: Item) -> Made:
        """Compute an item."""
        raise NotImplementedError

    def write(self, item: Item, made: Made) -> Result:
        """Write a computed item; return what the caller needs, which should be small (default: the computed item)."""
        return cast(Result, made)


class Workers(Protocol):
    """An executor of work."""

    def map(
        self, work: Work[Item, Made, Result], items: Sequence[Item]
    ) -> Generator[tuple[Item, Result], None, None]:
        """Process all items; yield each with its result, in the order of the items.

        Close the generator (``contextlib.closing``) before releasing a lock: until then items may still be written.

        Raises:
            DeepcamsError: an item failed, or workers repeatedly died processing it; other items may be finished.
        """
        ...


class ThisProcess:
    """Run the work in this process; an item is written while the next is computed, unless stages are measured."""

    def map(
        self, work: Work[Item, Made, Result], items: Sequence[Item]
    ) -> Generator[tuple[Item, Result], None, None]:
        """See :meth:`Workers.map`."""
        if heard():
            for item in items:
                yield item, work.write(item, work.compute(item))
            return
        writing: deque[tuple[Item, Future[Result]]] = deque()
        with ThreadPoolExecutor(work.writes_at_once, "deepcams-write") as pool:
            for item in items:
                made = work.compute(item)
                if len(writing) == work.writes_at_once:
                    before, future = writing.popleft()
                    result = future.result()
                    try:
                        yield before, result
                    except GeneratorExit:  # a computed item is still written
                        pool.submit(work.write, item, made)
                        raise
                writing.append((item, pool.submit(work.write, item, made)))
                del made
            for before, future in writing:
                yield before, future.result()


class DaskWorkers:
    """Run the work on a Dask cluster, which may grow and shrink; a lost worker's items are processed again.

    Args:
        client: a ``distributed.Client``.
    """

    def __init__(self, client: Any) -> None:
        self.client = client

    def map(
        self, work: Work[Item, Made, Result], items: Sequence[Item]
    ) -> Generator[tuple[Item, Result], None, None]:
        """See :meth:`Workers.map`."""
        if not items:
            return
        distributed = need("distributed")
        self._wait_for_one()
        name = f"deepcams-{uuid.uuid4().hex}"
        waiting = iter(enumerate(items))
        futures: dict[int, Any] = {}
        done: dict[int, Result] = {}
        results = distributed.as_completed(loop=self.client.loop)
        try:
            self._give(_copy_of(work, name), name)
            for index, item in enumerate(items):
                while index not in done:
                    for number, each in _next(waiting, self._room(len(futures))):
                        key = f"{name}-{number}"
                        future = self.client.submit(
                            _do, name, each, key=key, pure=False
                        )
                        futures[number] = future
                        results.add(future)
                    future = next(results)
                    number = int(future.key.rpartition("-")[2])
                    done[number] = future.result()
                    del futures[number]
                yield item, done.pop(index)
        except distributed.KilledWorker as error:
            item = items[int(str(error.task).rpartition("-")[2])]
            raise DeepcamsError(
                f"{getattr(item, 'name', item)}: workers died {error.allowed_failures + 1} times that had this item or "
                "the one before it, perhaps of too little memory; give them more, or use fewer workers"
            ) from error
        except (CancelledError, OSError, TimeoutError) as error:
            if isinstance(error, DeepcamsError) or self._answers():
                raise
            raise DeepcamsError(
                f"the scheduler {self.client.scheduler.address} was lost; finished work is kept: give the same "
                "command again"
            ) from error
        finally:
            if self.client.status == "running":
                with suppress(OSError, ValueError):  # a worker died, or has none
                    self.client.cancel(list(futures.values()))
                    self.client.unregister_worker_plugin(name)

    def _give(self, copy: Any, name: str) -> None:
        """Send the work to all workers, with a retry if one of them dies meanwhile."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self.client.register_plugin(copy, name=name)
                return
            except OSError:
                if attempt == _ATTEMPTS or self.client.status != "running":
                    raise

    def _wait_for_one(self) -> None:
        try:
            self.client.wait_for_workers(1, timeout=WORKER_WAIT)
        except TimeoutError:
            address = self.client.scheduler.address
            raise InputError(
                f"--scheduler {address}",
                "at least one worker",
                f"none in {WORKER_WAIT:.0f} s",
                f"start one: dask worker {address} --nthreads 1",
            ) from None

    def _answers(self) -> bool:
        """Return whether the scheduler answers; calls fail earlier than the client's status changes."""
        if self.client.status != "running":
            return False
        ask = self.client.scheduler.identity
        try:
            self.client.sync(ask, callback_timeout=CONNECT_WAIT)
        except (CancelledError, OSError, TimeoutError):
            return False
        return True

    def _room(self, given: int) -> int:
        """Return how many more items to submit, given the current number of workers."""
        now = time.monotonic()
        if now > getattr(self, "_ask", 0.0):
            self._threads = sum(self.client.nthreads().values())
            self._ask = now + _LOOK_AGAIN
        return max(_AHEAD * self._threads, 1) - given


def _next(items: Iterator[Any], number: int) -> Iterator[Any]:
    for _ in range(number):
        try:
            yield next(items)
        except StopIteration:
            return


def _copy_of(work: Any, name: str) -> Any:
    """Return the plugin that gives each worker, including those started later, its copy of the work."""
    distributed = need("distributed")
    torch = sys.modules.get("torch")
    devices = torch.cuda.device_count() if torch else 0
    import cloudpickle

    class Copy(distributed.WorkerPlugin):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            self.name = name
            self.pickled = cloudpickle.dumps(work)

        def setup(self, worker: Any) -> None:
            if devices > 1 and isinstance(worker.name, int):
                device = str(worker.name % devices)
                os.environ.setdefault("CUDA_VISIBLE_DEVICES", device)
            self.work: Work[Any, Any, Any] | None = None

        def do(self, item: Any) -> Any:
            import dask

            from deepcams.workers import ONE_AT_A_TIME

            # Lazy arrays are computed in this worker, not submitted to the cluster.
            with ONE_AT_A_TIME, dask.config.set(scheduler="synchronous"):
                if self.work is None:
                    self.work = pickle.loads(self.pickled)
                    self.work.start()
                return self.work.write(item, self.work.compute(item))

    return Copy()


def _do(name: str, item: Any) -> Any:
    """Process one item in a worker."""
    from distributed import get_worker

    copy: Any = get_worker().plugins[name]
    return copy.do(item)


@contextmanager
def open_workers(
    number: int | None = None, scheduler: str | None = None
) -> Iterator[Workers]:
    """Start the requested workers, and close them afterwards.

    Args:
        number: number of local processes; 1: this process.
        scheduler: address of a Dask scheduler, ``tcp://host:8786``. If neither is given, the current
            ``distributed.Client`` is used if there is one, else this process.

    Raises:
        InputError: both are given, the number is below 1, or no scheduler answers at the address.
        MissingExtraError: ``distributed`` is not installed.
    """
    if number is not None and number < 1:
        raise InputError("--workers", "a number from 1 on", str(number))
    if number is not None and scheduler is not None:
        found = "both --workers and --scheduler"
        raise InputError("workers", "one of --workers and --scheduler", found)
    if scheduler is not None:
        with _connected(scheduler) as client:
            yield DaskWorkers(client)
    elif number is not None and number > 1:
        with _local_cluster(number) as client:
            yield DaskWorkers(client)
    else:
        client = _client_in_scope() if number is None else None
        yield ThisProcess() if client is None else DaskWorkers(client)


def _client_in_scope() -> Any:
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return None
    try:
        return distributed.Client.current()
    except ValueError:
        return None


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    distributed = need("distributed")
    _quiet()
    try:
        client = distributed.Client(address, timeout=CONNECT_WAIT, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        reason = str(error).splitlines()[0][:80] if str(error) else "no answer"
        raise InputError(
            f"--scheduler {address}",
            "the address of a running Dask scheduler",
            reason,
            "start one: dask scheduler",
        ) from error
    with client:
        yield client


@contextmanager
def _local_cluster(number: int) -> Iterator[Any]:
    distributed = need("distributed")
    import dask

    _quiet()
    share = str(max(threads() // number, 1))
    settings: dict[str, Any] = {
        "distributed.scheduler.worker-ttl": _WORKER_SILENCE,
        "distributed.nanny.pre-spawn-environ": dict.fromkeys(THREAD_VARIABLES, share),
    }

    def start() -> Any:
        return distributed.LocalCluster(
            n_workers=number,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        )

    with (
        dask.config.set(settings),
        _started(start) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client


def _started(start: Callable[[], Any]) -> Any:
    """Start a cluster, with retries if a worker dies at the start.

    Raises:
        DeepcamsError: the cluster does not start.
    """
    for _ in range(_ATTEMPTS):
        try:
            return start()
        except (RuntimeError, OSError, TimeoutError) as error:
            reason = error.__cause__ or error
    raise DeepcamsError(
        f"--workers: the processes do not start ({type(reason).__name__}); use fewer, or none"
    )


def _quiet() -> None:
    """Silence Dask's messages about lost workers; failures are raised anyway."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("distributed", "tornado", "asyncio"):
            logging.getLogger(name).setLevel(logging.CRITICAL)


def dashboard(workers: Workers) -> str:
    """Return a line with the workers' address, and that of the dashboard if Bokeh is installed."""
    if not isinstance(workers, DaskWorkers):
        return ""
    import importlib.util

    client = workers.client
    words = f"{counted(len(client.nthreads()), 'worker')} of {client.scheduler.address}"
    if importlib.util.find_spec("bokeh") is None:
        return words
    return f"{words}; dashboard {client.dashboard_link}"


@dataclass(frozen=True)
class Part:
    """One of several parts of a job, each run by a separate process.

    Attributes:
        number: number of this part, from 1.
        count: number of parts.
    """

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Part:
        """Parse ``3/8``.

        Raises:
            InputError: the text is invalid.
        """
        matched = re.fullmatch(r"(\d+)/(\d+)", text.strip())
        part = cls(*map(int, matched.groups())) if matched else cls(0, 0)
        if not 1 <= part.number <= part.count:
            expected = "I/N with I from 1 to N, as 3/8"
            raise InputError("--part", expected, repr(text))
        return part

    def of(self, items: Sequence[Item]) -> Sequence[Item]:
        """Return this part's items: consecutive ones, which share input."""
        size = len(items)
        start, stop = (size * i // self.count for i in (self.number - 1, self.number))
        return items[start:stop]

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"
