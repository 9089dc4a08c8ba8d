"""Open a training store and read its hours or crops of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from deepcams.core.errors import InputError, OutputError
from deepcams.core.grid import Grid, cell_nodes
from deepcams.core.text import from_json
from deepcams.core.times import HOUR
from deepcams.files.records import FOLDER, damaged_explained, fingerprint, inside
from deepcams.training.store.hour_array import HourArray, Resolution

FORMAT = 2
"""Version of the layout; 2 differs from 1 only in the records of days, so both can be opened."""
IDENTITY = "deepcams_prepared"
"""Attribute of the store's root group with its contents and settings."""
HOURS = f"{FOLDER}/hours.json"
"""File with the good hours and their sources; written when a store is finished."""
MOST_HOURS = 10_000_000
"""Largest number of hours in a store (a thousand years)."""
MOST_PLACES = 1 << 24
"""Largest number of cells in a coarse grid; the globe has 115,680."""
REPORT = f"{FOLDER}/report.json"
"""File with the report of everything left out."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A finished, read-only training store of fine (usually 0.25 degrees) and coarsened maps; cheap to pickle.

    No file stays open, so a store may be sent to other processes and read by many at once.

    Attributes:
        path: the store.
        variable: name of the variable (``pm2p5``).
        degradation: how fine fields were coarsened: ``area``, ``imresize`` or ``decimate``.
        coarse: coarse grid; the fine one is ``coarse.refine(3)``.
        times: (n,) ``datetime64[ns]``, strictly increasing, good hours only.
        mean: whether values are hourly means (timestamp in the middle) or instants.
        sources: provenance: ``family`` ("geos-cf v1", ..), ``inputs`` (files, bytes, fingerprint), settings.
        slots: (n,) index of each hour on the store's time axis.
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
        """Open a store finished by ``deepcams prepare``.

        Args:
            path: the store.
            variable: variable that it must hold; ``None``: any.

        Raises:
            InputError: the store does not exist, is unfinished, or has another format or variable.
        """
        path = Path(path)
        identity = identity_of(path)
        if identity is None:
            found = "no store" if path.exists() else "nothing of this name"
            raise InputError(
                path, "a training store", found, "make one with deepcams prepare"
            )
        if identity.get("format") not in (1, FORMAT):
            found = f"format {identity.get('format')}"
            do = "prepare it again, or use the other version of deepcams"
            raise InputError(path, f"a training store of format {FORMAT}", found, do)
        try:
            hours = from_json((path / HOURS).read_text(encoding="utf-8"))
            slots = np.array(hours["slots"], np.int64)
            sources = dict(hours["sources"])
            if slots.ndim != 1 or not ((slots >= 0) & (slots < MOST_HOURS)).all():
                raise ValueError("no list of hours")
        except (OSError, ValueError, TypeError, KeyError, OverflowError) as error:
            do = "give the same deepcams prepare command again: it continues where it stopped"
            raise InputError(
                path, "a finished training store", "an unfinished one", do
            ) from error
        with damaged_explained(path / "zarr.json"):
            check_identity(identity)
        name = identity["variable"]
        if variable not in (None, name):
            raise InputError(path, f"a training store of {variable}", f"one of {name}")
        return cls(
            path,
            name,
            identity["degradation"],
            Grid(**identity["coarse"]),
            first_hour(identity) + slots * HOUR,
            identity["mean"],
            sources,
            slots,
        )

    def __len__(self) -> int:
        """Return the number of good hours."""
        return int(self.times.size)

    @property
    def fine(self) -> Grid:
        """Fine grid."""
        return self.coarse.refine()

    @cached_property
    def _arrays(self) -> dict[Resolution, HourArray]:
        return open_arrays(self.path, self.variable, self.coarse)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of hours, grid and values."""
        contents = self.sources.get("values")
        about = (
            self.variable,
            self.degradation,
            self.mean,
            asdict(self.coarse),
            contents,
        )
        return fingerprint(*about, self.times)

    def read(
        self,
        hour: int,
        row: int,
        column: int,
        rows: int,
        columns: int,
        resolution: Resolution,
    ) -> np.ndarray:
        """Read whole coarse cells of one hour.

        Args:
            hour: index in :attr:`times`.
            row, column, rows, columns: cells on the coarse grid; columns may begin before 0 and extend beyond the last
                one if the grid is global.
            resolution: ``coarse``: the cells' values. ``fine``: the 3 x 3 nodes in each of them.

        Returns:
            float32, ug m-3: (rows, columns), or cell-like (3 rows, 3 columns): coarse cell k covers the fine pixels
            3k..3k+2, and those beyond a pole are what lies across it (:func:`deepcams.core.grid.cells_from_nodes`).

        Raises:
            InputError: the cells or the hour are not in the store, or the store is damaged.
        """
        grid = self.coarse
        across = grid.periodic or 0 <= column <= column + columns <= grid.columns
        if not (
            across
            and 0 <= row < row + rows <= grid.rows
            and 0 < columns <= grid.columns
        ):
            expected = f"cells of {grid.rows} rows and {grid.columns} columns"
            found = f"rows {row}..{row + rows - 1}, columns {column}..{column + columns - 1}"
            raise InputError(self.path, expected, found)
        if not 0 <= hour < len(self):
            raise InputError(self.path, f"an hour from 0 to {len(self) - 1}", hour)
        array, slot = self._arrays[resolution], int(self.slots[hour])
        if resolution == "coarse":
            return array.read_wrapped(slot, row, column, rows, columns)
        nodes = cell_nodes(grid, row, column, rows, columns)
        left, wide = int(nodes.columns[0]), nodes.columns.size
        # Rows on the globe are consecutive; beyond each pole there is at most one row.
        inside = np.flatnonzero(~nodes.beyond)
        top = int(nodes.rows[inside[0]])
        out = np.empty((nodes.rows.size, wide), np.float32)
        out[inside] = array.read_wrapped(slot, top, left, inside.size, wide)
        for k in np.flatnonzero(nodes.beyond):
            out[k] = array.read_wrapped(
                slot, int(nodes.rows[k]), left + nodes.across, 1, wide
            )[0]
        return out

    def frame(self, hour: int, resolution: Resolution) -> np.ndarray:
        """Return one hour's whole map on the nodes: (grid.rows, grid.columns), float32, ug m-3."""
        array = self._arrays[resolution]
        return array.read(int(self.slots[hour]), 0, 0, *array.shape)


def identity_of(path: Path) -> Mapping[str, Any] | None:
    """Return a store's identity; ``None`` if the path is not a training store."""
    try:
        found = from_json((path / "zarr.json").read_text(encoding="utf-8"))[
            "attributes"
        ][IDENTITY]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, dict) else None


def check_identity(identity: Mapping[str, Any]) -> None:
    """Validate a store's identity before it is used.

    Raises:
        ValueError, TypeError, KeyError: the identity is damaged.
    """
    coarse = Grid(**identity["coarse"])
    whole = (coarse.north, coarse.west, coarse.rows, coarse.columns)
    steps = (coarse.step, coarse.row_step)
    if not all(isinstance(number, int) for number in whole):
        raise TypeError("a grid whose places are no whole numbers")
    if not all(isinstance(step, float | int) and 0 < step <= 90 for step in steps):
        raise ValueError("a grid with impossible steps")
    if not (0 < coarse.rows * coarse.columns <= MOST_PLACES):
        raise ValueError(f"a grid of {coarse.rows} x {coarse.columns}")
    if np.isnat(first_hour(identity)):
        raise ValueError("no first hour")
    texts = (identity["variable"], identity["degradation"])
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("names that are no texts")
    inside(Path(), identity["variable"])
    if not isinstance(identity["mean"], bool):
        raise TypeError("mean: neither true nor false")


def existing(out: Path, overwrite: bool = False) -> Mapping[str, Any] | None:
    """Return the identity of an existing store to extend; ``None`` to create a new one.

    Raises:
        OutputError: the parent folder does not exist, the path is not a training store, or it has another format.
    """
    if not out.parent.is_dir():
        raise OutputError(
            f"{out}: the folder {out.parent} does not exist; create it first"
        )
    found = identity_of(out)
    if found is None:
        if out.exists() and not (out.is_dir() and not any(out.iterdir())):
            raise OutputError(
                f"{out} exists and is no training store; choose another name"
            )
        return None
    if overwrite:
        return None
    if found.get("format") != FORMAT:
        raise OutputError(
            f"{out}: expected a store of format {FORMAT}, found {found.get('format')}; use --overwrite"
        )
    with damaged_explained(out / "zarr.json"):
        check_identity(found)
    return found


def refuse_earlier(out: Path, before: Mapping[str, Any], first: np.datetime64) -> None:
    """Raise OutputError if hours begin before the first day of a store."""
    days = [time.astype("datetime64[D]") for time in (first_hour(before), first)]
    if days[1] < days[0]:
        raise OutputError(
            f"{out} begins on {days[0]}: expected later hours to extend it, found {days[1]}; "
            "put all of them into another store"
        )


def first_hour(identity: Mapping[str, Any]) -> np.datetime64:
    """Return the time of slot 0."""
    return np.datetime64(identity["first hour"], "ns")


def open_arrays(path: Path, variable: str, coarse: Grid) -> dict[Resolution, HourArray]:
    """Return the fine and the coarse array of a store."""
    return {
        "fine": HourArray(path / "fine" / variable, coarse.refine().shape),
        "coarse": HourArray(path / "coarse" / variable, coarse.shape),
    }
