"""Regular latitude-longitude grids and their alignment; all alignment constants are defined here.

Grids nest by nodes (the coarse node k *is* the fine node 3k). A coarse cell k covers the fine rows 3k-1, 3k, 3k+1
and likewise the columns; a x3 network sees these *cells*: 723 x 1440 for the 721 x 1440 nodes of the 0.25 degree
globe. Longitude is periodic; across a pole the neighbour is the same row, half the globe away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from deepcams.core.box import Box
from deepcams.core.errors import InputError, notice

FACTOR = 3
"""Fine nodes per coarse node in each direction (0.75 / 0.25 degree)."""

FACTORS = (3, 5)
"""Factors of methods not limited to 3; with an even factor no fine node would lie on a coarse node or on a pole."""

_TOLERANCE = 0.01
"""Tolerance for coordinates, as a fraction of the step (packed and float32 coordinates are not exact)."""


@dataclass(frozen=True)
class Grid:
    """Nodes at latitude ``90 - row_step * (north + r)`` and longitude ``step * (west + c)``, in degrees.

    Attributes:
        step: spacing of the columns, degrees; divides 360.
        north: number of steps from the North Pole to the first row (0 = the pole itself).
        west: number of steps from Greenwich to the first column. A periodic grid starts at 0; a region that
            holds Greenwich starts with a negative number, so that longitudes always increase.
        rows: number of latitudes, north to south.
        columns: number of longitudes, eastward.
        row_step: spacing of the rows, degrees; divides 180. Default: ``step`` (MERRA-2 has 0.5 degrees between
            rows and 0.625 between columns).
    """

    step: float
    north: int
    west: int
    rows: int
    columns: int
    row_step: float = 0.0

    def __post_init__(self) -> None:
        if not self.row_step:
            object.__setattr__(self, "row_step", self.step)

    @classmethod
    def globe(cls, step: float) -> Grid:
        """Return the whole globe with both poles: 241 x 480 nodes for 0.75 degrees, 721 x 1440 for 0.25 degrees."""
        return cls(step, 0, 0, round(180 / step) + 1, round(360 / step))

    @classmethod
    def from_coordinates(
        cls, latitude: np.ndarray, longitude: np.ndarray, where: object = "grid"
    ) -> Grid:
        """Recognise the grid of canonical coordinates (north to south, eastward), in degrees.

        Raises:
            InputError: fewer than two nodes, irregular spacing, or nodes whose distance from the pole or
                Greenwich is not a multiple of the step.
        """
        latitude, longitude = np.asarray(latitude, float), np.asarray(longitude, float)
        if min(latitude.size, longitude.size) < 2:
            raise InputError(
                where,
                "at least 2 x 2 nodes",
                f"{latitude.size} x {longitude.size}",
            )
        step = _spacing(longitude, 360, f"{where}: longitude")
        row_step = _spacing(-latitude, 180, f"{where}: latitude")
        if abs(row_step - step) < _TOLERANCE * step:
            row_step = step
        north, west = (90 - latitude[0]) / row_step, longitude[0] / step
        turns = np.array([north, west, 180 / row_step, 360 / step])
        if np.any(abs(turns - turns.round()) > _TOLERANCE):
            raise InputError(
                where,
                f"nodes that are multiples of the step ({_spacing_text(step, row_step)} degrees) from the pole "
                "and from Greenwich",
                f"a first node at latitude {latitude[0]:.4f}, longitude {longitude[0]:.4f}",
                "regrid the file to nodes (CAMS EAC4: 90, 89.25, .. and 0, 0.75, ..)",
            )
        grid = cls(
            step, round(north), round(west), latitude.size, longitude.size, row_step
        )
        if grid.north < 0 or grid.south > grid.last_row:
            raise InputError(
                where,
                "latitudes within -90..90",
                f"{latitude[0]:.2f}..{latitude[-1]:.2f}",
            )
        if grid.columns > grid.around:
            raise InputError(
                where,
                "at most 360 degrees of longitude",
                f"{grid.columns * step:.2f} degrees",
            )
        return grid.canonical()

    def canonical(self) -> Grid:
        """Return the same nodes with ``west`` in its canonical range (see the class)."""
        if self.periodic:
            return replace(self, west=0)
        west = self.west % self.around
        return replace(
            self, west=west - self.around if west + self.columns > self.around else west
        )

    @property
    def around(self) -> int:
        """Number of nodes on the full circle of longitude."""
        return round(360 / self.step)

    @property
    def last_row(self) -> int:
        """Row number of the South Pole, counted from the North Pole."""
        return round(180 / self.row_step)

    @property
    def south(self) -> int:
        """Row number of the grid's last row, counted from the North Pole."""
        return self.north + self.rows - 1

    @property
    def periodic(self) -> bool:
        """Whether the grid covers the full circle of longitude."""
        return self.columns == self.around

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows, self.columns

    @property
    def latitudes(self) -> np.ndarray:
        """Latitudes of the rows, degrees north, float64, decreasing."""
        return 90 - self.row_step * np.arange(self.north, self.north + self.rows)

    @property
    def longitudes(self) -> np.ndarray:
        """Longitudes of the columns, degrees east, float64, increasing."""
        return self.step * np.arange(self.west, self.west + self.columns)

    @property
    def latitude_bounds(self) -> np.ndarray:
        """North and south edge of each row's cells, (rows, 2), ending at the poles."""
        edges = self.latitudes[:, None] + self.row_step / 2 * np.array([1, -1])
        return np.asarray(np.clip(edges, -90, 90))

    @property
    def longitude_bounds(self) -> np.ndarray:
        """West and east edge of each column's cells, (columns, 2)."""
        return np.asarray(self.longitudes[:, None] + self.step / 2 * np.array([-1, 1]))

    @property
    def row_areas(self) -> np.ndarray:
        """Relative area of a cell of each row: sine of its north edge minus that of its south edge, float64.

        Proportional to the cosine of latitude everywhere but at the poles, where the cell is half a row.
        """
        sines = np.sin(np.deg2rad(self.latitude_bounds))
        return np.asarray(sines[:, 0] - sines[:, 1])

    def refine(self, factor: int = FACTOR) -> Grid:
        """Return the fine grid that fills this grid's cells (241 x 480 -> 721 x 1440; the poles stay single rows)."""
        half = factor // 2
        first = max(factor * self.north - half, 0)
        last = min(factor * self.south + half, factor * self.last_row)
        west = 0 if self.periodic else factor * self.west - half
        return Grid(
            self.step / factor,
            first,
            west,
            last - first + 1,
            factor * self.columns,
            self.row_step / factor,
        ).canonical()

    def fine_cells(self, factor: int = FACTOR) -> Grid:
        """Return the fine nodes of this grid's cells, factor x factor each, including those beyond a pole."""
        half = factor // 2
        return Grid(
            self.step / factor,
            factor * self.north - half,
            factor * self.west - half,
            factor * self.rows,
            factor * self.columns,
        )

    def whole_cells(self, factor: int = FACTOR) -> tuple[Grid, slice, slice]:
        """Return the coarse grid of all factor x factor cells that lie wholly in this (fine) grid.

        Returns:
            the coarse grid, and the rows and columns of this grid that its cells cover.

        Raises:
            InputError: there is no whole cell, or the grid is global and the factor does not divide it.
        """
        half = factor // 2
        if self.last_row % factor or self.around % factor:
            raise InputError(
                "grid",
                f"a step whose {factor}-fold divides 180 degrees",
                f"{self.spacing} degrees",
            )
        # Cells at a pole count as whole: their rows beyond it are filled from across the pole.
        top = -half if self.north == 0 else self.north
        bottom = self.last_row + half if self.south == self.last_row else self.south
        north, south = _whole(top, bottom, factor)
        if self.periodic:
            west, east = 0, self.columns // factor - 1
            columns = slice(0, self.columns)
        else:
            west, east = _whole(self.west, self.west + self.columns - 1, factor)
            columns = slice(
                factor * west - half - self.west, factor * east + half + 1 - self.west
            )
        if south < north or east < west:
            raise InputError(
                "grid",
                f"a region that holds a whole {factor} x {factor} cell",
                f"{self.shape} nodes",
            )
        coarse = Grid(
            self.step * factor,
            north,
            west,
            south - north + 1,
            east - west + 1,
            self.row_step * factor,
        )
        first = max(factor * north - half, 0)
        last = min(factor * south + half, self.last_row)
        rows = slice(first - self.north, last + 1 - self.north)
        return coarse.canonical(), rows, columns

    def select(
        self, box: Sequence[float], where: str = "bbox"
    ) -> tuple[Grid, slice, np.ndarray]:
        """Return the nodes inside a box (a :class:`~deepcams.core.box.Box` or its four numbers).

        Returns:
            the selected grid, its rows (a slice) and its columns (indices into this grid, which may wrap).

        Raises:
            InputError: the box is invalid, or holds no node of this grid.
        """
        box = Box.checked(box, where)
        latitudes = self.latitudes
        rows = np.flatnonzero(
            (latitudes >= box.south - 1e-6) & (latitudes <= box.north + 1e-6)
        )
        eastward = (self.longitudes - box.west + 1e-6) % 360
        columns = np.flatnonzero(eastward <= box.width + 2e-6)
        found = f"W S E N = {tuple(box)}"
        if not rows.size or not columns.size:
            raise InputError(
                where,
                f"a box that holds nodes of the data ({self.describe()})",
                found,
            )
        if not (self.periodic and columns.size == self.columns):
            columns = columns[np.argsort(eastward[columns], kind="stable")]
            if np.any(np.diff(columns) % self.around != 1):
                raise InputError(
                    where,
                    "a box that meets the data in one piece",
                    found,
                )
        first_row, first_column = int(rows[0]), int(columns[0])
        chosen = replace(
            self,
            north=self.north + first_row,
            west=self.west + first_column,
            rows=rows.size,
            columns=columns.size,
        )
        return chosen.canonical(), slice(first_row, int(rows[-1]) + 1), columns

    def cells_in(
        self, box: Sequence[float], where: str = "bbox", factor: int = FACTOR
    ) -> Grid:
        """Return the grid of this (coarse) grid's whole cells that have fine nodes in a box.

        Raises:
            InputError: see :meth:`select`.
        """
        nodes = self.refine(factor).select(box, where)[0]
        half = factor // 2
        north, south = ((row + half) // factor for row in (nodes.north, nodes.south))
        west = (nodes.west + half) // factor
        east = (nodes.west + nodes.columns - 1 + half) // factor
        columns = min(east - west + 1, self.columns)
        return replace(
            self, north=north, west=west, rows=south - north + 1, columns=columns
        ).canonical()

    def place_in(self, whole: Grid) -> tuple[slice, slice | np.ndarray]:
        """Return the rows and columns of ``whole`` where this grid's nodes are; columns that wrap are indices."""
        rows = slice(self.north - whole.north, self.south - whole.north + 1)
        first = (self.west - whole.west) % whole.around
        if first + self.columns <= whole.columns:
            return rows, slice(first, first + self.columns)
        return rows, (first + np.arange(self.columns)) % whole.columns

    @property
    def spacing(self) -> str:
        """Grid spacing as display text, degrees: ``0.75``, or ``0.5 x 0.625`` (rows, columns)."""
        return _spacing_text(self.step, self.row_step)

    def describe(self) -> str:
        """Return step, shape and extent as one phrase for display."""
        extent = "global"
        if not (self.periodic and self.rows == self.last_row + 1):
            south, north = self.latitudes[-1], self.latitudes[0]
            west, east = self.longitudes[0], self.longitudes[-1]
            extent = f"{south:g}..{north:g} N, {west:g}..{east:g} E"
        return f"{self.spacing} degrees, {self.rows} x {self.columns}, {extent}"


def _spacing_text(step: float, row_step: float) -> str:
    return f"{step:g}" if row_step == step else f"{row_step:g} x {step:g}"


def _spacing(values: np.ndarray, circle: int, where: str) -> float:
    """Return the spacing of increasing, evenly spaced coordinates; exact where it divides the circle."""
    step = float((values[-1] - values[0]) / (values.size - 1))
    if not 0 < step <= circle:
        expected = f"different nodes within {circle} degrees"
        raise InputError(where, expected, f"{values[0]:g}..{values[-1]:g}")
    _check_spacing(values, step, where)
    around = round(circle / step)
    return circle / around if abs(circle / step - around) < _TOLERANCE else step


def _check_spacing(values: np.ndarray, step: float, where: str) -> None:
    nodes = values[0] + step * np.arange(values.size)
    off = np.flatnonzero(~(abs(values - nodes) <= 2 * _TOLERANCE * abs(step)))
    if off.size:
        raise InputError(
            where,
            f"regular spacing ({abs(step):.4g} degrees)",
            f"{abs(values[off[0]]):.4f} where {abs(nodes[off[0]]):.4f} should be",
            "regrid the file to a regular latitude-longitude grid",
        )


def _whole(first: int, last: int, factor: int) -> tuple[int, int]:
    """Return the first and the last coarse node whose fine nodes all lie from ``first`` to ``last``."""
    half = factor // 2
    return -((-first - half) // factor), (last - half) // factor


def pad(values: np.ndarray, grid: Grid, rows: int, columns: int) -> np.ndarray:
    """Pad values on ``grid`` with their neighbours on the globe.

    Longitude wraps where the grid is periodic; beyond a pole the same row half the globe away continues; at the
    edges of a region the values are reflected.

    Args:
        values: (..., grid.rows, grid.columns).
        rows, columns: number to add on each side (rows < grid.rows).

    Returns:
        (..., grid.rows + 2 rows, grid.columns + 2 columns), of the same dtype.
    """
    lead = [(0, 0)] * (values.ndim - 2)
    if rows:
        values = np.pad(values, [*lead, (rows, rows), (0, 0)], mode="reflect")
        # Reflect about the pole's own row, then turn half the globe.
        half = grid.columns // 2 if grid.periodic and grid.columns % 2 == 0 else 0
        if half and grid.north == 0:
            values[..., :rows, :] = np.roll(values[..., :rows, :], half, axis=-1)
        if half and grid.south == grid.last_row:
            values[..., -rows:, :] = np.roll(values[..., -rows:, :], half, axis=-1)
    if columns:
        mode = "wrap" if grid.periodic else "reflect"
        values = np.pad(values, [*lead, (0, 0), (columns, columns)], mode=mode)  # type: ignore[call-overload]
    return values


def unify_poles(values: np.ndarray, grid: Grid) -> np.ndarray:
    """Set each pole row to its mean, in place; regional (non-periodic) grids are left unchanged.

    Args:
        values: (..., grid.rows, grid.columns).

    Returns:
        ``values``.
    """
    poles = [(0, grid.north == 0), (-1, grid.south == grid.last_row)]
    for row, is_pole in poles:
        if grid.periodic and is_pole:
            values[..., row, :] = values[..., row, :].mean(axis=-1, keepdims=True)
    return values


def _poles(coarse: Grid, factor: int) -> tuple[int, int]:
    """Return how many cell-aligned rows lie beyond the North and the South Pole."""
    half = factor // 2
    north = half if coarse.north == 0 else 0
    south = half if coarse.south == coarse.last_row else 0
    return north, south


def nodes_from_cells(
    cells: np.ndarray, coarse: Grid, factor: int = FACTOR
) -> np.ndarray:
    """Map the cell-aligned output of a x``factor`` method to the nodes of ``coarse.refine(factor)``.

    For the globe: drop the rows beyond the poles and roll longitude by -1 (723 x 1440 -> 721 x 1440).

    Args:
        cells: (..., factor * coarse.rows, factor * coarse.columns).
    """
    top, bottom = _poles(coarse, factor)
    cells = cells[..., top : cells.shape[-2] - bottom, :]
    return np.roll(cells, -(factor // 2), axis=-1) if coarse.periodic else cells


def cells_from_nodes(
    fine: np.ndarray, coarse: Grid, factor: int = FACTOR
) -> np.ndarray:
    """Invert :func:`nodes_from_cells`; rows beyond a pole are filled from across it."""
    half = factor // 2
    top, bottom = _poles(coarse, factor)
    if top or bottom:
        filled = pad(fine, coarse.refine(factor), half, 0)
        fine = filled[..., half - top : filled.shape[-2] - half + bottom, :]
    return np.roll(fine, half, axis=-1) if coarse.periodic else fine


class CellNodes(NamedTuple):
    """The fine nodes that the cell-aligned values of some coarse cells correspond to.

    Attributes:
        rows: node row of each cell-aligned row.
        columns: node column of each cell-aligned column.
        beyond: whether each row lies beyond a pole; its values are then those of ``rows`` across the pole.
        across: column offset of the values across the pole (0 where the grid is not periodic).
    """

    rows: np.ndarray
    columns: np.ndarray
    beyond: np.ndarray
    across: int


def cell_nodes(
    coarse: Grid, row: int, column: int, rows: int, columns: int, factor: int = FACTOR
) -> CellNodes:
    """Return where :func:`cells_from_nodes` takes a window of coarse cells from.

    Args:
        coarse: the coarse grid; the nodes are those of ``coarse.refine(factor)``.
        row, column, rows, columns: start and size of the window, in coarse cells; columns may wrap on a periodic grid.
    """
    fine = coarse.refine(factor)
    node_rows = (
        np.arange(factor * row, factor * (row + rows)) - _poles(coarse, factor)[0]
    )
    node_columns = np.arange(factor * column, factor * (column + columns))
    if coarse.periodic:
        node_columns = (node_columns - factor // 2) % fine.columns
    north, south = node_rows < 0, node_rows >= fine.rows
    mirrored = np.where(north, -node_rows, node_rows)
    mirrored = np.where(south, 2 * (fine.rows - 1) - node_rows, mirrored)
    across = fine.columns // 2 if fine.periodic and fine.columns % 2 == 0 else 0
    return CellNodes(mirrored, node_columns, north | south, across)


def cell_row_areas(coarse: Grid, factor: int = FACTOR) -> np.ndarray:
    """Return each fine row's share of its coarse row's area, (coarse.rows, factor), float64; each row sums to 1.

    Fine rows beyond a pole have weight 0.
    """
    areas = np.pad(coarse.refine(factor).row_areas, _poles(coarse, factor))
    weights = areas.reshape(coarse.rows, factor)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def place(values: np.ndarray, coarse: Grid, factor: int = FACTOR) -> np.ndarray:
    """Give each fine node its coarse cell's value: (..., coarse.shape) -> (..., coarse.refine(factor).shape)."""
    return nodes_from_cells(
        values.repeat(factor, axis=-2).repeat(factor, axis=-1), coarse, factor
    )


def trim_to_cells(grid: Grid, factor: int = FACTOR) -> tuple[Grid, slice, slice]:
    """Return :meth:`Grid.whole_cells`, with a notice if nodes at an edge are left out."""
    coarse, rows, columns = grid.whole_cells(factor)
    lost_rows = grid.rows - len(range(grid.rows)[rows])
    lost_columns = grid.columns - len(range(grid.columns)[columns])
    if lost_rows or lost_columns:
        notice(
            f"{lost_rows} rows and {lost_columns} columns at the region's edges make no whole {factor} x {factor} "
            "cell and are left out"
        )
    return coarse, rows, columns
