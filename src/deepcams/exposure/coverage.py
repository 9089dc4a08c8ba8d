"""The exact area of a polygon in each cell of a latitude-longitude grid, on the sphere.

Edges are straight in longitude and latitude, as GIS draws them. Areas are computed in the plane of longitude and sine
of latitude, whose areas equal those on the sphere. By Green's theorem a polygon's part of a cell is the sum, over the
pieces of its edges in the cell's column, of the area between piece and cell floor. A piece north of the cell adds the
cell's whole height, one south of it nothing; along a piece within it the sine is integrated in closed form. So no
polygon is clipped, the time is linear in edges and cells, and the result is exact to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

_BAND = 1 << 22
"""Number of cells processed at once."""
_POLE = 90 - 1e-9
"""Latitude from which a point counts as a pole, degrees."""


@dataclass(frozen=True)
class Lines:
    """The boundaries between cells.

    Attributes:
        rows: latitudes of the lines, degrees, decreasing, (rows + 1,).
        columns: longitudes of the lines, degrees, increasing, over at most 360 degrees, (columns + 1,).
    """

    rows: np.ndarray
    columns: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns of cells."""
        return self.rows.size - 1, self.columns.size - 1

    @property
    def closed(self) -> bool:
        """Whether the columns span the whole globe."""
        return bool(abs(self.columns[-1] - self.columns[0] - 360) < 1e-9)

    def areas(self) -> np.ndarray:
        """Return the cells' areas on the unit sphere, (rows, columns)."""
        heights = -np.diff(np.sin(np.deg2rad(self.rows)))
        return np.asarray(heights[:, None] * np.deg2rad(np.diff(self.columns)))


class Part(NamedTuple):
    """The areas of a ring in a block of cells.

    Attributes:
        row: first row of the block.
        columns: (k,), grid column of each column of the block.
        areas: (rows, k), on the unit sphere; negative for holes.
    """

    row: int
    columns: np.ndarray
    areas: np.ndarray


def without_jumps(ring: np.ndarray) -> tuple[np.ndarray, bool]:
    """Close a ring and remove jumps in its longitudes; a ring around a pole is closed through that pole.

    An edge of more than 180 degrees is read as the short way across the 180th meridian, unless it lies on a pole or
    spans 360 degrees (-180 to 180, as on the edge of a world map).

    Args:
        ring: (n, 2), longitude and latitude, degrees; the first point may be repeated at the end.

    Returns:
        the closed ring, and whether an edge was read as the short way.
    """
    if not np.array_equal(ring[0], ring[-1]):
        ring = np.concatenate([ring, ring[:1]])
    longitude, latitude = ring.T
    steps = np.diff(longitude)
    on_pole = np.minimum(np.abs(latitude[1:]), np.abs(latitude[:-1])) >= _POLE
    jumps = (np.abs(steps) > 180) & (np.abs(steps) < 360 - 1e-9) & ~on_pole
    if not jumps.any():
        return ring, False
    steps = np.where(jumps, (steps + 180) % 360 - 180, steps)
    turned = longitude[0] + np.concatenate([[0.0], np.cumsum(steps)])
    ring = np.stack([turned, latitude], axis=1)
    if abs(turned[-1] - turned[0]) < 1:
        ring[-1] = ring[0]
        return ring, True
    # The ring encloses a pole: the one it touches, else the nearer one.
    farthest = latitude[np.argmax(np.abs(latitude))]
    near = farthest if abs(farthest) >= _POLE else latitude.mean()
    pole = np.copysign(90.0, near)
    through = np.array([[turned[-1], pole], [turned[0], pole]])
    return np.concatenate([ring, through, ring[:1]]), True


def ring_areas(ring: np.ndarray, lines: Lines, hole: bool = False) -> Iterator[Part]:
    """Yield the areas of a ring's inside in the cells, block by block from the north.

    Args:
        ring: closed, without jumps (:func:`without_jumps`), in either direction.
        lines: boundaries of the cells.
        hole: whether the areas are negative.
    """
    longitude, latitude = ring.T
    # Orientation by the shoelace formula; areas under the edges are positive if clockwise.
    x, y = longitude - longitude[0], latitude - latitude[0]
    doubled = float(np.sum((x[1:] - x[:-1]) * (y[1:] + y[:-1])))
    sign = (1.0 if doubled >= 0 else -1.0) * (-1.0 if hole else 1.0)
    pieces = _pieces(longitude, latitude, lines)
    if pieces is None:
        return
    row, column, width, middle = pieces
    rows, columns = lines.shape
    first, last = int(column.min()), int(column.max())
    across = last - first + 1
    top = max(int(row.min()), 0)
    if top >= rows:
        return
    bottom = min(int(row.max()), rows - 1)
    around = columns + (0 if lines.closed else 1)  # one more for everything outside
    real = (first + np.arange(across)) % around
    inside = np.flatnonzero(real < columns)
    if not inside.size:
        return
    sines = np.sin(np.deg2rad(lines.rows))
    order = np.argsort(row, kind="stable")
    row, column, width, middle = (
        each[order] for each in (row, column - first, width, middle)
    )
    above = np.zeros(across)  # width below pieces further north, radians
    start = int(np.searchsorted(row, 0))
    np.add.at(above, column[:start], width[:start])
    band = max(_BAND // across, 1)
    for begin in range(top, bottom + 1, band):
        end = min(begin + band, bottom + 1)
        stop = int(np.searchsorted(row, end))
        here = slice(start, stop)
        at = (row[here] - begin) * across + column[here]
        under = width[here] * (middle[here] - sines[row[here] + 1])
        # bincount of empty input would return integers.
        widths, areas = (
            np.bincount(at, part, (end - begin) * across).astype(float, copy=False)
            for part in (width[here], under)
        )
        areas, widths = (each.reshape(-1, across) for each in (areas, widths))
        total = above + np.cumsum(widths, axis=0)
        heights = (sines[begin:end] - sines[begin + 1 : end + 1])[:, None]
        areas += (total - widths) * heights
        above, start = total[-1], stop
        yield Part(begin, real[inside], sign * areas[:, inside])


def _pieces(
    longitude: np.ndarray, latitude: np.ndarray, lines: Lines
) -> tuple[np.ndarray, ...] | None:
    """Cut edges at all lines; edges along meridians are dropped because they have no area below them.

    Returns:
        per piece: row (-1 north of all rows, number of rows south of all), column (counted over all turns of 360
        degrees; if the columns do not close, the last one of each turn is outside), signed width in radians, and mean
        sine of latitude. ``None`` if there is no piece.
    """
    used = np.diff(longitude) != 0
    if not used.any():
        return None
    ends = np.stack([longitude, latitude])
    begin, end = ends[:, :-1][:, used], ends[:, 1:][:, used]
    turn = lines.columns[:-1] if lines.closed else lines.columns
    count = turn.size
    turns = (np.array([begin[0], end[0]]) - turn[0]) // 360

    def below(values: np.ndarray, side: Literal["left", "right"]) -> np.ndarray:
        """Return the index of the column west of, or at, longitudes."""
        whole = np.floor((values - turn[0]) / 360)
        within = np.searchsorted(turn, values - 360 * whole, side)
        return np.asarray(whole * count + within - 1, np.int64)

    lowest = int(turns.min()) - 1
    every = np.arange(lowest, int(turns.max()) + 2)
    meridians = (turn[None] + 360.0 * every[:, None]).ravel()
    begin, end, column, _ = _cut(begin, end, 0, meridians, below, lowest * count)
    up = lines.rows[::-1]
    padded = np.concatenate([[-np.inf], up, [np.inf]])
    begin, end, row, edge = _cut(
        begin,
        end,
        1,
        padded,
        lambda values, side: np.searchsorted(up, values, side) - 1,
        -1,
    )
    width = np.deg2rad(end[0] - begin[0])
    low, high = np.deg2rad(begin[1]), np.deg2rad(end[1])
    middle = np.sin((low + high) / 2) * np.sinc((high - low) / (2 * np.pi))
    return up.size - 2 - row, column[edge], width, middle


def _cut(
    begin: np.ndarray,
    end: np.ndarray,
    axis: int,
    lines: np.ndarray,
    below: Callable[[np.ndarray, Literal["left", "right"]], np.ndarray],
    origin: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Cut edges where they cross lines.

    Args:
        begin, end: (2, n), longitude and latitude.
        axis: coordinate of the lines, 0 or 1.
        lines: coordinates of the lines, increasing.
        below: returns the index of the line at or below values (``right``), or below them (``left``).
        origin: index of the first line.

    Returns:
        begins and ends of the pieces, the index of the line below each piece, and the index of its edge.
    """
    low, high = np.minimum(begin[axis], end[axis]), np.maximum(begin[axis], end[axis])
    first = below(low, "right")
    count = np.maximum(below(high, "left") - first + 1, 1)
    edge = np.repeat(np.arange(low.size), count)
    number = np.arange(edge.size) - np.repeat(np.cumsum(count) - count, count)
    index = first[edge] + number
    low, high = low[edge], high[edge]
    # Lower and upper end of the piece, as fractions of the edge.
    length = np.where(high > low, high - low, 1.0)
    from_low = (np.maximum(lines[index - origin], low) - low) / length
    to_high = (np.minimum(lines[index + 1 - origin], high) - low) / length
    to_high[high == low] = 1.0
    up = (end[axis] >= begin[axis])[edge]
    start = np.where(up, from_low, 1 - to_high)
    stop = np.where(up, to_high, 1 - from_low)
    away = begin[:, edge]
    way = end[:, edge] - away
    begin, end = away + start * way, away + stop * way
    return begin, end, index, edge
