"""The interface of output targets, their contents, and the choice of a target."""

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
"""Key in the facts of an item's record: why the item was computed again, if it was."""
LAYOUT = "layout"
"""Name of the record with the digests of metadata and coordinates."""
REQUEST = ("request", "request-copy")
"""Names of two identical records of the request (inputs and settings), needed to recompute items."""


@dataclass(frozen=True)
class Contents:
    """Summary of an item or a whole output, stored in the facts of its record.

    Attributes:
        hours: number of hours by status: missing, analysis, interpolated.
        counts: counts of the input values in the item's own frames.
        missing_cells: number of missing output values in hours that are not entirely missing.
        largest: largest output value, ug m-3; ``None`` if all are missing.
    """

    hours: tuple[int, int, int]
    counts: ValueCounts
    missing_cells: int
    largest: float | None

    @classmethod
    def of(cls, record: Record) -> Contents:
        """Parse a record's facts.

        Raises:
            OutputError: the facts are invalid.
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
        """Combine the summaries of several items."""
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
    """Merge the records of all items into one."""
    return Record(
        "all items",
        fingerprint(*(record.inputs for record in records)),
        fingerprint(*(record.digest for record in records)),
        facts=asdict(Contents.merge(Contents.of(record) for record in records)),
    )


def _no_guard() -> None:
    """Allow every write."""


class Target(ABC):
    """An output that is laid out as a whole, filled item by item, and resumable after any interruption.

    Args:
        path: path or URL of the finished output.
        records: records of the items.
        lock: lock held by the writing process (see :func:`~deepcams.files.lock.locked`).
        split: how the output is divided into files, or ``None``.

    Attributes:
        guard: called before every write; raises an OutputError if the lock was lost.
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
        """Pickle with absolute paths and without the guard, which belongs to this process."""
        state = {**vars(self), "guard": _no_guard}
        return {
            name: value.absolute() if isinstance(value, Path) else value
            for name, value in state.items()
        }

    @property
    def layout(self) -> Layout:
        """The layout passed to :meth:`create` or :meth:`resume`."""
        assert self._layout is not None
        return self._layout

    def use(self, layout: Layout, items: tuple[Item, ...]) -> None:
        """Use an existing output with this layout, without writing."""
        self._layout = layout

    @abstractmethod
    def exists(self) -> bool:
        """Return whether anything exists at :attr:`path`, including an unfinished run."""

    @abstractmethod
    def identity(self) -> Identity | None:
        """Return the identity of the existing output, or ``None`` if deepcams did not write it."""

    @abstractmethod
    def create(
        self, layout: Layout, items: tuple[Item, ...], identity: Identity
    ) -> None:
        """Lay out the whole output without data, replacing any existing one."""

    @abstractmethod
    def resume(
        self, layout: Layout, items: tuple[Item, ...], alone: bool = True
    ) -> None:
        """Prepare to write to an existing output.

        Args:
            layout: the layout passed to :meth:`create`.
            items: the items passed to :meth:`create`.
            alone: whether no other process writes; unfinished files of killed processes are then removed.
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
        """Complete what an item makes complete, such as a file whose last item it is; needs exclusive access."""
        return

    @abstractmethod
    def has_data(self, item: Item, record: Record) -> bool:
        """Return whether the data of a finished item are on disk."""

    @abstractmethod
    def digest(self, item: Item) -> str:
        """Return the digest of an item's stored data, comparable with its record; the output may be unfinished.

        Raises:
            OSError, ValueError, RuntimeError, OutputError: the data cannot be read.
        """

    @abstractmethod
    def read(self, item: Item) -> tuple[np.ndarray, np.ndarray]:
        """Return the stored values (hours, rows, columns) and status (hours) of an item; raises as :meth:`digest`."""

    @abstractmethod
    def damage_of_layout(self) -> list[str]:
        """Return descriptions of damage to metadata and coordinates."""

    @abstractmethod
    def restore_layout(self, layout: Layout, identity: Identity) -> None:
        """Rewrite metadata and coordinates."""

    def before(self) -> tuple[np.ndarray, dict[str, Any]]:
        """Return the times and the global attributes of an existing store that is to be extended.

        Raises:
            InputError: this form of output cannot be extended.
        """
        raise InputError(
            f"--extend {self.path}",
            "a Zarr store",
            "netCDF",
            "write the new hours to a file or folder of their own",
        )

    @abstractmethod
    def forget(self, item: Item) -> None:
        """Remove an item's record, and anything that would prevent writing the item again."""

    @abstractmethod
    def finish(self, progress: Progress = no_progress) -> None:
        """Finish the output once all items are written; report progress of the stage ``write``, in hours."""

    @abstractmethod
    def discard(self) -> None:
        """Remove everything that :meth:`create` made."""

    @abstractmethod
    def measure(self, layout: Layout, values: np.ndarray) -> int:
        """Return the size of ``values`` (hours, rows, columns) in this format, bytes."""

    @abstractmethod
    def size(self) -> int:
        """Return the size on disk without records, bytes."""

    def record(self, item: Item) -> Record | None:
        """Return an item's record, or ``None`` if it is unfinished or its data are missing."""
        record = self.records.get(item.name)
        return record if record is not None and self.has_data(item, record) else None

    def total(self, items: tuple[Item, ...]) -> Record | None:
        """Return the merged records of all items, or ``None`` if one is not finished."""
        records = [self.record(item) for item in items]
        finished = [record for record in records if record is not None]
        return merge_records(finished) if len(finished) == len(records) else None


@dataclass(frozen=True)
class Written:
    """The finished parts of a Zarr output; after a killed run the others are empty.

    Attributes:
        path: the store.
        items: whether each work item is finished, boolean.
        times: whether each time belongs to a finished item, boolean.
    """

    path: Place
    items: np.ndarray
    times: np.ndarray

    @property
    def whole(self) -> bool:
        """Whether all items are finished."""
        return bool(self.items.all())

    def words(self) -> str:
        """Return a one-line message about what is missing and what to do."""
        return (
            f"{self.path.name} is not finished: {int(self.items.sum())} of {self.items.size} parts are written; the "
            "hours of the others are missing. Give the command that began it again to go on"
        )


def written(path: Place, name: str, times: int) -> Written | None:
    """Find the finished parts of a store: items with a record and an existing shard.

    Args:
        path: a Zarr store.
        name: name of its variable.
        times: length of its time axis.

    Returns:
        the finished parts, or ``None`` if the store is not an output of deepcams.
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
        # The store cannot be listed: query each record, or each shard if a copy has no records.
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
    """Return the number of times per work item: one for monthly, seasonal and annual means."""
    means = identity.get(MEANS)
    return ITEM_HOURS if means is None or means.get("over") == "day" else 1


def _written(path: Place, items: np.ndarray, times: int, length: int) -> Written:
    return Written(path, items, np.repeat(items, length)[:times])


def _all_exist(storage: Storage, keys: Iterable[str]) -> list[bool]:
    with ThreadPoolExecutor(16, "deepcams-ask") as pool:
        return list(pool.map(storage.exists, keys))


def _without_records(records: Records) -> bool:
    """Return whether there are no usable records: a copy may lack hidden folders, and 0.1 wrote other records."""
    keys = [key for key in records.storage.list() if "/" not in key]
    return not keys or any(re.fullmatch(r"item-.{6}\.json", key) for key in keys)


FILES = "files"
"""Name of the record that lists the files of a folder."""


def absent_files(folder: Place) -> str:
    """Return a message with the number of missing files of an output folder; empty if none is known to be missing."""
    if isinstance(folder, Url):  # only Zarr stores are written to URLs
        return ""
    try:
        record = Records(folder / FOLDER).get(FILES)
        names = [] if record is None else list(record.facts["names"])
        absent = sum(not inside(folder, name).exists() for name in names)
    except (OSError, OutputError, KeyError, TypeError):  # damaged or of another version
        return ""
    if not absent:
        return ""
    return (
        f"{folder.name} is not finished: {absent} of {len(names)} files are not written. Give the command that began "
        "it again to go on"
    )


def _is_gap(records: Records, item: str) -> bool:
    """Return whether an item has only missing hours, and therefore no shard."""
    try:
        record = records.get(item)
        return record is not None and not any(Contents.of(record).hours[1:])
    except OutputError:
        return False


def is_ours(path: Place) -> bool:
    """Return whether a store or file was written by deepcams, even if damaged, without opening it with a library."""
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
    """Return the codec of stores: zstd with bit shuffling, which compresses rounded values best.

    A higher level gains 2 % and takes twice as long.
    """
    from numcodecs.blosc import Blosc

    return Blosc(cname="zstd", clevel=1, shuffle=Blosc.BITSHUFFLE)


def open_target(out: str | Place, split: Split | None = None) -> Target:
    """Choose the target by the name: ``.zarr`` a store, ``.nc`` a file, else a folder with one file per day or month.

    Args:
        out: a path, or the URL of a Zarr store in an object store.
        split: ``day`` or ``month``, for a folder.

    Raises:
        InputError: another suffix, or ``split`` with a single file or store.
        MissingExtraError: ``out`` is a URL and obstore is not installed.
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
