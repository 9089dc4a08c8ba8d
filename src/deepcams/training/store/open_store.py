"""An opened training store: which hours it has, and crops of them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from deepcams.core.errors import InputError
from deepcams.core.grid import Grid, cell_nodes
from deepcams.training.store.hour_array import HourArray, Resolution

FORMAT = 1
"""Counts up when the store's layout changes."""
IDENTITY = "deepcams_prepared"
"""Attribute of the store's root group: what was prepared, and how."""
STATE = ".deepcams"
"""Folder in the store with everything that is no array."""
HOURS = "hours.json"
"""File in :data:`STATE` that appears when a store is finished: its good hours and where they come from."""

REPORT = "report.json"
"""File in :data:`STATE` with everything that was left out."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A finished store of hourly maps for training, at 0.25 degrees and coarsened; read-only, cheap to pickle.

    No file stays open: an opened store may be sent to any process, and read by many at once.

    Attributes:
        path: the store.
        variable: its variable's name (``pm2p5``).
        degradation: how coarse was made from fine: ``area``, ``imresize`` or ``decimate``.
        coarse: the coarse grid; the fine one is ``coarse.refine(3)``.
        times: (n,) ``datetime64[ns]``, strictly increasing, only good hours.
        mean: whether values are hourly means (stamped in the middle) or instants.
        sources: where it comes from: ``family`` ("geos-cf v1", ..), ``inputs`` (files, bytes, fingerprint), settings.
        slots: (n,) each hour's place on the store's time axis.
    """

    path: Path
    variable: str
    degradation: str
    coarse: Grid
    times: np.ndarray
    mean: bool
    sources: dict[str, Any]
    slots: np.ndarray = field(repr=False)

    @classmethod
    def open(cls, path: str | Path, variable: str | None = None) -> Prepared:
        """Open a store that ``deepcams prepare`` finished.

        Args:
            path: the store.
            variable: the variable it must hold, if that matters.

        Raises:
            InputError: no such store, an unfinished one, one of another format or variable.
        """
        path = Path(path)
        identity = identity_of(path)
        if identity is None:
            found = "no store" if path.exists() else "nothing of this name"
            raise InputError(path, "a training store", found, "make one with deepcams prepare")
        if identity.get("format") != FORMAT:
            do = "prepare it again, or use the other version of deepcams"
            raise InputError(
                path, f"a training store of format {FORMAT}", f"format {identity.get('format')}", do
            )
        try:
            hours = json.loads((path / STATE / HOURS).read_text(encoding="utf-8"))
            slots = np.array(hours["slots"], np.int64)
        except (OSError, ValueError, KeyError) as error:
            do = "give the same deepcams prepare command again: it goes on where it was"
            raise InputError(path, "a finished training store", "an unfinished one", do) from error
        if variable is not None and identity["variable"] != variable:
            raise InputError(
                path, f"a training store of {variable}", f"one of {identity['variable']}"
            )
        times = first_hour(identity) + slots * np.timedelta64(1, "h").astype("timedelta64[ns]")
        grid = Grid(**identity["coarse"])
        sources = hours["sources"]
        return cls(
            path,
            identity["variable"],
            identity["degradation"],
            grid,
            times,
            identity["mean"],
            sources,
            slots,
        )

    def __len__(self) -> int:
        """Number of good hours."""
        return int(self.times.size)

    @property
    def fine(self) -> Grid:
        """The fine grid."""
        return self.coarse.refine()

    @cached_property
    def _arrays(self) -> dict[Resolution, HourArray]:
        return arrays_of(self.path, self.variable, self.coarse)

    def read(
        self, hour: int, row: int, column: int, rows: int, columns: int, resolution: Resolution
    ) -> np.ndarray:
        """Whole coarse cells of one hour.

        Args:
            hour: which of :attr:`times`.
            row, column, rows, columns: the cells, counted on the coarse grid; columns may begin before 0 and run on
                beyond the last where the grid closes round the globe.
            resolution: ``coarse``: the cells' values. ``fine``: the 3 x 3 nodes in each of them.

        Returns:
            float32, ug m-3: (rows, columns), or cell-like (3 rows, 3 columns): coarse cell k covers the fine pixels
            3k..3k+2, and those beyond a pole are what lies across it (:func:`deepcams.core.grid.cells_from_nodes`).

        Raises:
            InputError: cells or an hour that the store does not have, or a damaged store.
        """
        grid = self.coarse
        fits = grid.periodic or 0 <= column <= column + columns <= grid.columns
        if not (0 <= row < row + rows <= grid.rows and 0 < columns <= grid.columns and fits):
            found = f"rows {row}..{row + rows - 1}, columns {column}..{column + columns - 1}"
            raise InputError(
                self.path, f"cells of {grid.rows} rows and {grid.columns} columns", found
            )
        if not 0 <= hour < self.times.size:
            raise InputError(self.path, f"an hour from 0 to {self.times.size - 1}", hour)
        slot = int(self.slots[hour])
        if resolution == "coarse":
            return self._window(
                resolution, slot, row, rows, column % grid.columns, columns, grid.columns
            )
        nodes = cell_nodes(grid, row, column, rows, columns)
        width, first, count = self.fine.columns, int(nodes.columns[0]), nodes.columns.size
        inside = np.flatnonzero(
            ~nodes.beyond
        )  # consecutive rows; beyond a pole lies one row at most
        top = int(nodes.rows[inside[0]])
        within = self._window(resolution, slot, top, inside.size, first, count, width)
        if inside.size == nodes.rows.size:
            return within
        out = np.empty((nodes.rows.size, count), np.float32)
        out[inside] = within
        for k in np.flatnonzero(nodes.beyond):
            start = (first + nodes.across) % width
            out[k] = self._window(resolution, slot, int(nodes.rows[k]), 1, start, count, width)[0]
        return out

    def _window(
        self,
        resolution: Resolution,
        slot: int,
        row: int,
        rows: int,
        column: int,
        columns: int,
        around: int,
    ) -> np.ndarray:
        """Rows and columns of a map, going on at the first column where the last is passed."""
        array = self._arrays[resolution]
        inside = min(columns, around - column)
        part = array.read(slot, row, column, rows, inside)
        if inside == columns:
            return part
        return np.concatenate([part, array.read(slot, row, 0, rows, columns - inside)], axis=1)

    def frame(self, hour: int, resolution: Resolution) -> np.ndarray:
        """One hour's whole map on the nodes: (grid.rows, grid.columns), float32, ug m-3."""
        grid = self.coarse if resolution == "coarse" else self.fine
        return self._arrays[resolution].read(int(self.slots[hour]), 0, 0, *grid.shape)

    def __getstate__(self) -> dict[str, Any]:
        """Everything but what is made again when needed."""
        return {key: value for key, value in self.__dict__.items() if key != "_arrays"}


def fingerprint(store: Prepared) -> str:
    """Hash of everything that decides a store's values: its hours, where they lie, and what they hold."""
    about = [
        store.variable,
        store.degradation,
        store.mean,
        asdict(store.coarse),
        store.sources.get("values"),
    ]
    digest = hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=16)
    digest.update(
        np.ascontiguousarray(store.times.astype("datetime64[ns]").astype("<i8")).tobytes()
    )
    return digest.hexdigest()


def identity_of(path: Path) -> dict[str, Any] | None:
    """What a store says it is; ``None`` where there is no training store."""
    try:
        found = json.loads((path / "zarr.json").read_text(encoding="utf-8"))["attributes"][IDENTITY]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, dict) else None


def first_hour(identity: dict[str, Any]) -> np.datetime64:
    """The time of slot 0."""
    return np.datetime64(identity["first hour"], "ns")


def arrays_of(path: Path, variable: str, coarse: Grid) -> dict[Resolution, HourArray]:
    """Both arrays of a store."""
    return {
        "fine": HourArray(path / "fine" / variable, coarse.refine().shape),
        "coarse": HourArray(path / "coarse" / variable, coarse.shape),
    }
