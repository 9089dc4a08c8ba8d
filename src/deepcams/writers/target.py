"""The contract of targets and the choice among them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from deepcams.core.errors import InputError
from deepcams.files.records import Identity
from deepcams.writers.item_records import Record
from deepcams.writers.layout import Item, Layout, Split


class Target(Protocol):
    """An output that is laid out whole, filled item by item, and can be gone on with after any interruption.

    Attributes:
        path: where the finished output stands.
        split: how it is cut into files, or ``None``.
        lock: what one process at a time holds while it writes (see :func:`~deepcams.files.flock.alone`).
    """

    path: Path
    split: Split | None
    lock: Path

    def exists(self) -> bool:
        """Whether anything stands at :attr:`path` or beside it from an unfinished run."""
        ...

    def identity(self) -> Identity | None:
        """The identity that what exists was written with; ``None`` where it is not ours."""
        ...

    def create(self, layout: Layout, items: tuple[Item, ...], identity: Identity) -> None:
        """Lay out the whole output without data; what exists is replaced."""
        ...

    def resume(self, layout: Layout, items: tuple[Item, ...]) -> None:
        """Go on with what exists; what a killed process left half-written is removed."""
        ...

    def record(self, item: Item) -> Record | None:
        """The item's completion record, if it is finished."""
        ...

    def write(self, item: Item, values: np.ndarray, status: np.ndarray, record: Record) -> None:
        """Write an item's values (rounded, float32) and status (int8), then its record."""
        ...

    def total(self, items: tuple[Item, ...]) -> Record | None:
        """All items' records merged, where every one is finished and in its place."""
        ...

    def finish(self, progress: Callable[[int], None] | None = None) -> None:
        """Make everything appear under its name; all items are written. ``progress`` hears of hours put in place."""
        ...

    def discard(self) -> None:
        """Remove everything that :meth:`create` made."""
        ...

    def measure(self, layout: Layout, values: np.ndarray) -> int:
        """How many bytes ``values`` (hours, rows, columns) take in this format."""
        ...

    def size(self) -> int:
        """Bytes on disk."""
        ...


def open_target(out: str | Path, split: Split | None = None) -> Target:
    """The target that a name stands for: ``.zarr`` a store, ``.nc`` a file, a folder one file a day or month.

    Raises:
        InputError: another ending, or ``split`` with a single file or store.
    """
    path = Path(out)
    suffix = path.suffix.lower()
    if suffix in {".zarr", ".nc"} and split is not None:
        raise InputError(
            "--split", "a folder as output", f"{path}", "name a folder, or leave --split out"
        )
    if suffix == ".zarr":
        from deepcams.writers.zarr_store import ZarrTarget

        return ZarrTarget(path)
    if suffix == ".nc" and not path.is_dir():
        from deepcams.writers.netcdf import NetcdfTarget

        return NetcdfTarget(path)
    if suffix and not path.is_dir():
        raise InputError(
            f"output {path}", "a name ending in .zarr or .nc, or a folder", f"the ending {suffix}"
        )
    from deepcams.writers.netcdf import NetcdfTarget

    return NetcdfTarget(path, split or "month")
