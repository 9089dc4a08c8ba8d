"""Weights of a field's cells in each zone, by area and by people, computed once and cached."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepcams.core.grid import Grid
from deepcams.exposure.coverage import Lines, ring_areas
from deepcams.exposure.polygons import Zones
from deepcams.exposure.population import Population
from deepcams.files.atomic import replace_atomically
from deepcams.files.cache import cache_dir, writable
from deepcams.files.records import fingerprint

if TYPE_CHECKING:
    from scipy.sparse import csr_array

VERSION = 2
"""Version of the weights and their file format."""
_TINY = 1e-12
"""Fraction of a cell below which it is ignored as rounding."""
_CACHED = 40
"""Largest number of cached files."""


@dataclass
class Weights:
    """Area and people of each zone in each cell.

    Attributes:
        area: (zones, cells), sparse: area on the unit sphere (total 4 pi).
        people: (zones, cells), sparse: people; ``None`` without a population.
        zone_area: (zones,), total area, including outside the field.
        zone_people: (zones,), total people, including outside the field.
        missing: (zones,), fraction of the zone's area without population data: missing cells, or outside the raster.
    """

    area: csr_array[Any]
    zone_area: np.ndarray
    people: csr_array[Any] | None = None
    zone_people: np.ndarray = field(default_factory=lambda: np.zeros(0))
    missing: np.ndarray = field(default_factory=lambda: np.zeros(0))


def lines_of(grid: Grid) -> Lines:
    """Return the boundaries of a field's cells."""
    rows, columns = grid.latitude_bounds, grid.longitude_bounds
    return Lines(
        np.append(rows[:, 0], rows[-1, 1]), np.append(columns[:, 0], columns[-1, 1])
    )


def weigh(
    zones: Zones,
    grid: Grid,
    population: Population | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Weights:
    """Return the weights of zones on a grid, from the cache if possible.

    Args:
        zones: polygons.
        grid: grid of the field.
        population: population raster; ``None``: weights by area only.
        progress: callback, called with the number of rings done and in total.

    Returns:
        weights; cells outside all zones have none.
    """
    about = fingerprint(
        VERSION, zones.identity, grid, "" if population is None else population.identity
    )
    folder = cache_dir() / "zone-weights"
    path = folder / f"{about}.npz"
    found = _load(path)
    if found is None:
        found = _weigh(zones, grid, population, progress or (lambda done, total: None))
        if writable(folder):
            _save(path, found)
    return found


def _weigh(
    zones: Zones,
    grid: Grid,
    population: Population | None,
    progress: Callable[[int, int], None],
) -> Weights:
    lines = lines_of(grid)
    whole = Lines(np.array([90.0, -90.0]), np.array([-180.0, 180.0]))
    area, people = _Sums(len(zones), grid.shape), _Sums(len(zones), grid.shape)
    zone_area, zone_people, missing, known = np.zeros((4, len(zones)))
    cells = lines.areas()
    merged = None if population is None else _Merged(lines, grid, population)
    for number, ring in enumerate(zones.rings):
        progress(number, len(zones.rings))
        for part in ring_areas(ring.points, whole, ring.hole):
            zone_area[ring.zone] += part.areas.sum()
        for part in ring_areas(ring.points, lines, ring.hole):
            rows = part.row + np.arange(len(part.areas))
            small = np.abs(part.areas) < _TINY * cells[rows, :1]
            area.add(ring.zone, rows, part.columns, np.where(small, 0.0, part.areas))
        if merged is not None:
            for part in ring_areas(ring.points, merged.lines, ring.hole):
                inside = merged.people(part.row, part.columns, part.areas)
                people.add(ring.zone, inside.rows, inside.columns, inside.people)
                zone_people[ring.zone] += inside.total
                missing[ring.zone] += inside.missing
                known[ring.zone] += part.areas.sum()
    progress(len(zones.rings), len(zones.rings))
    result = Weights(area.matrix(), zone_area)
    if merged is not None:
        result.people, result.zone_people = people.matrix(), zone_people
        valid = (known - missing) / np.where(zone_area > 0, zone_area, 1.0)
        result.missing = np.clip(1 - valid, 0.0, 1.0)
    return result


class _Sums:
    """Accumulates the entries of a sparse matrix (zones, cells)."""

    def __init__(self, zones: int, shape: tuple[int, int]) -> None:
        self._zones, self._shape = zones, shape
        self._parts = list[tuple[np.ndarray, np.ndarray, np.ndarray]]()

    def add(
        self, zone: int, rows: np.ndarray, columns: np.ndarray, values: np.ndarray
    ) -> None:
        row, column = np.nonzero(values)
        cell = rows[row] * self._shape[1] + columns[column]
        self._parts.append((np.full(cell.size, zone), cell, values[row, column]))

    def matrix(self) -> csr_array[Any]:
        from scipy.sparse import csr_array

        empty = np.zeros(0, np.int64)
        parts = [*self._parts, (empty, empty, empty.astype(float))]
        zone, cell, value = (np.concatenate(each) for each in zip(*parts, strict=True))
        size = (self._zones, self._shape[0] * self._shape[1])
        found = csr_array((value, (zone, cell)), shape=size)
        found.sum_duplicates()
        found.data[found.data < 0] = 0.0  # rounding error where a hole fills a cell
        found.eliminate_zeros()
        return found


@dataclass
class _Inside:
    rows: np.ndarray
    columns: np.ndarray
    people: np.ndarray
    total: float
    missing: float


class _Merged:
    """Common refinement of a field's cells and a population's cells: each piece lies in one cell of either.

    A zone gets its share by area of the people in each of the raster's own cells.
    """

    def __init__(self, lines: Lines, grid: Grid, population: Population) -> None:
        own = population.lines
        turned = own.columns[0] + (lines.columns - own.columns[0]) % 360
        rows = -_together(-own.rows, -lines.rows)
        columns = _together(own.columns, turned)
        self.lines = Lines(rows, columns)
        self._population = population
        middle_row = (rows[:-1] + rows[1:]) / 2
        middle_column = (columns[:-1] + columns[1:]) / 2
        self._row = np.searchsorted(-own.rows, -middle_row) - 1
        self._column = np.searchsorted(own.columns, middle_column) - 1
        field_row = np.searchsorted(-lines.rows, -middle_row) - 1
        field_row[middle_row < lines.rows[-1]] = -1
        east = (middle_column - lines.columns[0]) % 360
        field_column = (east / grid.step).astype(int)
        field_column[field_column >= grid.columns] = -1
        self._field_row, self._field_column = field_row, field_column

    def people(self, row: int, columns: np.ndarray, areas: np.ndarray) -> _Inside:
        """Return the people of a part per cell of the field, their total, and the area without population data."""
        rows = slice(row, row + len(areas))
        own_rows, own_columns = self._row[rows], self._column[columns]
        first, left = int(own_rows[0]), int(own_columns.min())
        density, missing = self._population.density(
            slice(first, int(own_rows[-1]) + 1),
            slice(left, int(own_columns.max()) + 1),
        )
        at = np.ix_(own_rows - first, own_columns - left)
        people = areas * density[at]
        total, gone = float(people.sum()), float(areas[missing[at]].sum())
        field_rows, people = _grouped(self._field_row[rows], people, 0)
        field_columns, people = _grouped(self._field_column[columns], people, 1)
        known = np.ix_(field_rows >= 0, field_columns >= 0)
        return _Inside(
            field_rows[field_rows >= 0],
            field_columns[field_columns >= 0],
            people[known],
            total,
            gone,
        )


def _together(own: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Merge increasing lines with those of others that lie between them; lines equal to rounding are merged."""
    nearest = np.clip(np.searchsorted(own, others), 1, own.size - 1)
    apart = np.minimum(np.abs(others - own[nearest]), np.abs(others - own[nearest - 1]))
    between = (others > own[0]) & (others < own[-1]) & (apart > 1e-9)
    return np.unique(np.concatenate([own, others[between]]))


def _grouped(
    index: np.ndarray, values: np.ndarray, axis: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sum consecutive values of equal index along an axis; an index may recur."""
    starts = np.flatnonzero(np.diff(index, prepend=index[0] - 1))
    return index[starts], np.add.reduceat(values, starts, axis=axis)


_NAMES = ("zone_area", "zone_people", "missing")


def _save(path: Path, weights: Weights) -> None:
    arrays: dict[str, np.ndarray] = {name: getattr(weights, name) for name in _NAMES}
    for name in ("area", "people"):
        matrix = getattr(weights, name)
        if matrix is not None:
            for key in ("data", "indices", "indptr", "shape"):
                arrays[f"{name}_{key}"] = np.asarray(getattr(matrix, key))
    try:
        temporary = path.with_name(f".{path.name}.partial")
        with replace_atomically(path, temporary), temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        kept = sorted(path.parent.glob("*.npz"), key=lambda each: each.stat().st_mtime)
        for old in kept[:-_CACHED]:
            old.unlink(missing_ok=True)
    except OSError:
        return  # an unwritable cache only costs time


def _load(path: Path) -> Weights | None:
    """Return cached weights; ``None`` if they do not exist or cannot be read."""
    from scipy.sparse import csr_array

    try:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        path.touch()
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None
    matrices = {}
    for name in ("area", "people"):
        if f"{name}_data" in arrays:
            parts = tuple(
                arrays[f"{name}_{key}"] for key in ("data", "indices", "indptr")
            )
            matrices[name] = csr_array(parts, shape=tuple(arrays[f"{name}_shape"]))
    return Weights(
        matrices["area"],
        arrays["zone_area"],
        matrices.get("people"),
        arrays["zone_people"],
        arrays["missing"],
    )
