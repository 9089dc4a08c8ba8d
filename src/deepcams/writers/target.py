"""The contract of targets, what they hold, and the choice among them."""

from __future__ import annotations

import mmap
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deepcams.core.errors import InputError, OutputError
from deepcams.core.progress import Progress, no_progress
from deepcams.core.text import from_json
from deepcams.core.url import Place, Url, place_of
from deepcams.core.values import ValueCounts
from deepcams.files.records import (
    FOLDER,
    Identity,
    Record,
    Records,
    fingerprint,
    inside,
)
from deepcams.files.storage import LockPlace, Storage, storage_at
from deepcams.writers.layout import ITEM_HOURS, MEANS, RUN, Item, Layout, Split

AGAIN = "computed again"
"""Fact of an item's record: why it was computed again, where it was."""
LAYOUT = "layout"
"""Name of the record of all but the values and the status: digests of metadata and coordinates."""
REQUEST = ("request", "request-copy")
"""Names of two equal records of what was asked for: inputs and settings, to compute items again."""


@dataclass(frozen=True)
class Contents:
    """What an item, or a whole output, holds; the facts of its record.

    Attributes:
        hours: number of hours by status: missing, analysis, interpolated.
        counts: of the input values of the item's own frames.
        missing_cells: missing output values in hours that are not missing as a whole.
        largest: largest output value, ug m-3; ``None`` where all is missing.
    """

    hours: tuple[int, int, int]
    counts: ValueCounts
    missing_cells: int
    largest: float | None

    @classmethod
    def of(cls, record: Record) -> Contents:
        """Read a record's facts.

        Raises:
            OutputError: it has others.
        """
        try:
            facts = dict(record.facts)
            facts.pop(AGAIN, None)
            missing, analysis, interpolated = facts.pop("hours")
            counts = ValueCounts(**facts.pop("counts"))
            found = cls((missing, analysis, interpolated), counts, **facts)
            numbers = (*found.hours, *asdict(counts).values(), found.missing_cells)
            if not all(isinstance(number, int) for number in numbers):
                raise TypeError("counts that are no whole numbers")
            if not isinstance(found.largest, float | int | None):
                raise TypeError("a largest value that is no number")
        except (KeyError, TypeError, ValueError) as error:
            raise OutputError(
                f"{record.item}: the record cannot be read; use --overwrite"
            ) from error
        return found

    @classmethod
    def merge(cls, parts: Iterable[Contents]) -> Contents:
        """Add the hours and counts of several items."""
        parts = list(parts)
        missing, analysis, interpolated = (
            sum(part.hours[i] for part in parts) for i in range(3)
        )
        largest = [part.largest for part in parts if part.largest is not None]
        return cls(
            (missing, analysis, interpolated),
            sum((part.counts for part in parts), ValueCounts()),
            sum(part.missing_cells for part in parts),
            max(largest, default=None),
        )


def merge_records(records: Sequence[Record]) -> Record:
    """Make one record of all items' records."""
    return Record(
        "all items",
        fingerprint(*(record.inputs for record in records)),
        fingerprint(*(record.digest for record in records)),
        facts=asdict(Contents.merge(Contents.of(record) for record in records)),
    )


def _no_guard() -> None:
    """Let everything be put."""


class Target(ABC):
    """An output that is laid out whole, filled item by item, and resumed after any interruption.

    Args:
        path: where the finished output is.
        records: folder of the items' records.
        lock: locked by the process that writes (see :func:`~deepcams.files.lock.locked`).
        split: how the output is cut into files, or ``None``.

    Attributes:
        guard: called before anything is put; raises an OutputError where the lock was lost.
    """

    def __init__(
        self,
        path: Place,
        records: Path | Storage,
        lock: LockPlace,
        split: Split | None = None,
    ) -> None:
        self.path, self.lock, self.split = path, lock, split
        self.records = Records(records)
        self.guard: Callable[[], None] = _no_guard
        self._layout: Layout | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Give another process absolute paths; the lock is this process's to guard."""
        state = {**vars(self), "guard": _no_guard}
        return {
            name: value.absolute() if isinstance(value, Path) else value
            for name, value in state.items()
        }

    @property
    def layout(self) -> Layout:
        """The layout that was given to :meth:`create` or :meth:`resume`."""
        assert self._layout is not None
        return self._layout

    def use(self, layout: Layout, items: tuple[Item, ...]) -> None:
        """Take what exists as laid out so; nothing is written."""
        self._layout = layout

    @abstractmethod
    def exists(self) -> bool:
        """Return whether there is anything at :attr:`path`, or of an unfinished run."""

    @abstractmethod
    def identity(self) -> Identity | None:
        """Return the identity of what exists; ``None`` where deepcams did not write it."""

    @abstractmethod
    def create(
        self, layout: Layout, items: tuple[Item, ...], identity: Identity
    ) -> None:
        """Lay out the whole output without data; what exists is replaced."""

    @abstractmethod
    def resume(
        self, layout: Layout, items: tuple[Item, ...], alone: bool = True
    ) -> None:
        """Prepare to write to what exists.

        Args:
            layout: as it was given to :meth:`create`.
            items: likewise.
            alone: whether no other process writes other items: the unfinished files of killed ones are removed.
        """

    @abstractmethod
    def write(
        self,
        item: Item,
        values: np.ndarray,
        status: np.ndarray,
        record: Record,
        others: Sequence[np.ndarray] = (),
    ) -> None:
        """Write an item's values (rounded, float32) and status (int8), then its record with their digest.

        ``others`` are the values of :attr:`Layout.others`, in the same order.
        """

    def settle(self, item: Item) -> None:
        """Do what an item's writing makes possible, for instance a file whose last item it was; one process alone."""
        return

    @abstractmethod
    def has_data(self, item: Item, record: Record) -> bool:
        """Return whether the data of a finished item are on disk."""

    @abstractmethod
    def digest(self, item: Item) -> str:
        """Return the digest of what is stored of an item, as its record has it; the output may be unfinished.

        Raises:
            OSError, ValueError, RuntimeError, OutputError: it cannot be read.
        """

    @abstractmethod
    def read(self, item: Item) -> tuple[np.ndarray, np.ndarray]:
        """Return the stored values (hours, rows, columns) and status (hours) of an item; raises as :meth:`digest`."""

    @abstractmethod
    def damage_of_layout(self) -> list[str]:
        """Return what is wrong with all but the values and the status: metadata and coordinates."""

    @abstractmethod
    def restore_layout(self, layout: Layout, identity: Identity) -> None:
        """Write all but the values and the status again."""

    def before(self) -> tuple[np.ndarray, dict[str, Any]]:
        """Return the times and the global attributes of an existing store that can grow.

        Raises:
            InputError: another form of output, which cannot grow.
        """
        raise InputError(
            f"--extend {self.path}",
            "a Zarr store",
            "netCDF",
            "write the new hours to a file or folder of their own",
        )

    @abstractmethod
    def forget(self, item: Item) -> None:
        """Remove an item's record, and what would stand in the way of writing the item again."""

    @abstractmethod
    def finish(self, progress: Progress = no_progress) -> None:
        """Put everything in its place once all items are written; report the stage ``write``, in hours."""

    @abstractmethod
    def discard(self) -> None:
        """Remove everything that :meth:`create` made."""

    @abstractmethod
    def measure(self, layout: Layout, values: np.ndarray) -> int:
        """Return how many bytes ``values`` (hours, rows, columns) take in this format."""

    @abstractmethod
    def size(self) -> int:
        """Return the bytes on disk, without records."""

    def record(self, item: Item) -> Record | None:
        """Return an item's record; ``None`` where it is unfinished or its data are missing."""
        record = self.records.get(item.name)
        return record if record is not None and self.has_data(item, record) else None

    def total(self, items: tuple[Item, ...]) -> Record | None:
        """Return all items' records merged; ``None`` where one is not finished."""
        records = [self.record(item) for item in items]
        finished = [record for record in records if record is not None]
        return merge_records(finished) if len(finished) == len(records) else None


@dataclass(frozen=True)
class Written:
    """Which parts of a Zarr output are written: a killed run leaves hours that hold nothing.

    Attributes:
        path: the store.
        items: for each work item, whether it is finished.
        times: for each time, whether it belongs to a finished item.
    """

    path: Place
    items: np.ndarray
    times: np.ndarray

    @property
    def whole(self) -> bool:
        """Whether nothing is left to do."""
        return bool(self.items.all())

    def words(self) -> str:
        """Return what is missing, and what to do, in one line."""
        return (
            f"{self.path.name} is not finished: {int(self.items.sum())} of {self.items.size} parts are written; the "
            "hours of the others are missing. Give the command that began it again to go on"
        )


def written(path: Place, name: str, times: int) -> Written | None:
    """Find which parts of a store are written: those with a record whose shard is there.

    Args:
        path: a Zarr store.
        name: of its variable.
        times: length of its time axis.

    Returns:
        ``None`` where the store is not an output of deepcams.
    """
    storage = storage_at(path)
    try:
        attributes = from_json(storage.get("zarr.json") or b"")["attributes"]
        if RUN not in attributes:
            return None
        length = item_times(from_json(attributes[RUN]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    records = Records(storage.inner(FOLDER))
    items = [Item(index, 0, 0) for index in range(-(-times // length))]
    shards = {item.name: f"{name}/c/{item.index}/0/0" for item in items}
    found = np.zeros(len(items), bool)
    if isinstance(path, Url) and path.is_web:
        # It cannot be listed: each record is asked for, or each shard where a copy has no records.
        has_records = records.storage.exists("zarr.json")
        wanted = map(records.key, shards) if has_records else iter(shards.values())
        found[:] = _all_exist(records.storage if has_records else storage, wanted)
        return _written(path, found, times, length)
    names, there = set(records.names()), set(storage.list(f"{name}/c"))
    by_shards = _without_records(records)
    for index, (item, shard) in enumerate(shards.items()):
        if by_shards:
            found[index] = shard in there
        elif item in names:
            found[index] = shard in there or _is_gap(records, item)
    return _written(path, found, times, length)


def item_times(identity: Identity) -> int:
    """Return how many times a work item has: of months, seasons and years one."""
    means = identity.get(MEANS)
    return ITEM_HOURS if means is None or means.get("over") == "day" else 1


def _written(path: Place, items: np.ndarray, times: int, length: int) -> Written:
    return Written(path, items, np.repeat(items, length)[:times])


def _all_exist(storage: Storage, keys: Iterable[str]) -> list[bool]:
    with ThreadPoolExecutor(16, "deepcams-ask") as pool:
        return list(pool.map(storage.exists, keys))


def _without_records(records: Records) -> bool:
    """Return whether the shards alone decide: a copy may lack hidden folders, and 0.1 wrote other records."""
    keys = [key for key in records.storage.list() if "/" not in key]
    return not keys or any(re.fullmatch(r"item-.{6}\.json", key) for key in keys)


FILES = "files"
"""Name of the record that lists the files of a folder."""


def absent_files(folder: Place) -> str:
    """Return in one line how many files of an output folder are not written yet; empty where none is known to be."""
    if isinstance(folder, Url):  # only Zarr stores are written there
        return ""
    try:
        record = Records(folder / FOLDER).get(FILES)
        names = [] if record is None else list(record.facts["names"])
        absent = sum(not inside(folder, name).exists() for name in names)
    except (OSError, OutputError, KeyError, TypeError):  # damaged, or another version's
        return ""
    if not absent:
        return ""
    return (
        f"{folder.name} is not finished: {absent} of {len(names)} files are not written. Give the command that began "
        "it again to go on"
    )


def _is_gap(records: Records, item: str) -> bool:
    """Return whether an item holds missing hours alone, and so needs no shard."""
    try:
        record = records.get(item)
        return record is not None and not any(Contents.of(record).hours[1:])
    except OutputError:
        return False


def is_ours(path: Place) -> bool:
    """Return whether a store or file, even a damaged one, bears the mark of deepcams' outputs; no library opens it."""
    try:
        if isinstance(path, Url):
            return RUN.encode() in (storage_at(path).get("zarr.json") or b"")
        with (
            (path / "zarr.json" if path.is_dir() else path).open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            return content.find(RUN.encode()) >= 0
    except (OSError, ValueError):  # an empty file cannot be mapped
        return False


def blosc() -> Any:
    """Return the codec of stores: zstd after shuffling bits, which compresses rounded values best.

    A higher level gains 2 % and takes twice as long.
    """
    from numcodecs.blosc import Blosc

    return Blosc(cname="zstd", clevel=1, shuffle=Blosc.BITSHUFFLE)


def open_target(out: str | Place, split: Split | None = None) -> Target:
    """Choose the target by the name: ``.zarr`` a store, ``.nc`` a file, a folder one file a day or month.

    Args:
        out: a path, or the URL of a Zarr store in an object store.
        split: of a folder.

    Raises:
        InputError: another ending, or ``split`` with a single file or store.
        MissingExtraError: a URL, and obstore is not installed.
    """
    from deepcams.writers.netcdf import NetcdfTarget

    path = place_of(out)
    suffix = path.suffix.lower()
    if path.name == "-":
        raise InputError("output -", "a file, store or folder", "standard output")
    if suffix in {".zarr", ".nc"} and split is not None:
        raise InputError(
            "--split",
            "a folder as output",
            f"{path}",
            "name a folder, or leave --split out",
        )
    if suffix == ".zarr":
        from deepcams.writers.zarr_store import ZarrTarget

        _check_url(path)
        return ZarrTarget(path)
    if isinstance(path, Url):
        raise InputError(
            f"output {path}",
            "a name ending in .zarr in an object store",
            f"the ending {suffix}" if suffix else "none",
            "write netCDF to a path on this machine",
        )
    if suffix == ".nc" and not path.is_dir():
        return NetcdfTarget(path)
    if suffix and not path.is_dir():
        raise InputError(
            f"output {path}",
            "a name ending in .zarr or .nc, or a folder",
            f"the ending {suffix}",
            "write a .zarr; deepcams export makes GeoTIFF, CSV and Parquet of it"
            if suffix in {".tif", ".tiff", ".csv", ".parquet"}
            else "",
        )
    return NetcdfTarget(path, split or "month")


def _check_url(path: Place) -> None:
    if not isinstance(path, Url):
        return
    if path.is_web or not path.has_key:
        raise InputError(
            f"output {path}",
            "a path within a bucket (s3://, gs:// or az://)",
            "a web server's" if path.is_web else "a bucket alone",
            "name s3://BUCKET/NAME.zarr",
        )
