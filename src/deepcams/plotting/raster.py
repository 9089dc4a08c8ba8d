"""Frames as images: which cell lies where on paper, and what its colour is."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, Normalize

from deepcams.core.grid import Grid
from deepcams.plotting import style
from deepcams.plotting.extent import View


def pixels(
    values: np.ndarray, grid: Grid, view: View, across: int
) -> tuple[np.ndarray, tuple[float, float, float, float]]:
    """A frame as an image of about ``across`` pixels or cells, the fewer of both.

    Args:
        values: (rows, columns) on ``grid``; NaN is missing.
        grid: of the values; a region or the globe.
        view: what is shown.
        across: pixels of the map from west to east.

    Returns:
        the image, northern edge first, and its extent (west, east, south, north) on paper.
    """
    many = max(int((view.east - view.west) / grid.step / max(across, 1)), 1)
    if view.projection == "plate-carree":
        values, west = _turned(values, grid, view)
        values = _blocks(values, many)
        north, south = 90 - grid.step * (grid.north - 0.5), 90 - grid.step * (grid.south + 0.5)
        tall, wide = (size * many * grid.step for size in values.shape)
        return values, (west, west + wide, min(south, north - tall), north)
    x0, x1, y0, y1 = view.extent
    step = (x1 - x0) / across
    x = np.arange(x0 + step / 2, x1, step)
    y = np.arange(y1 - step / 2, y0, -step)
    place = cell_at(x[None, :], y[:, None], grid, view)
    values = _blocks(values, many)
    if many > 1:
        row, column = np.divmod(place, grid.columns)
        place = np.where(place < 0, -1, row // many * values.shape[1] + column // many)
    # Number -1, which lies nowhere, is the one after all cells.
    image = np.append(values.ravel(), np.array(np.nan, values.dtype))[place]
    return image, (x0, x0 + step * x.size, y1 - step * y.size, y1)


def _turned(values: np.ndarray, grid: Grid, view: View) -> tuple[np.ndarray, float]:
    """The values in the view's turn, and their western edge."""
    west = float(grid.longitude_bounds[0, 0])
    if not grid.periodic:
        return values, west + 360 * round(
            (view.west + view.east - 2 * west - grid.step * grid.columns) / 720
        )
    first = int(
        np.floor((view.west - west) / grid.step + 1e-6)
    )  # begin the circle at the view's western edge
    spare = int(np.ceil((view.east - west - first * grid.step) / grid.step - 1e-6)) - grid.columns
    values = np.roll(values, -first, axis=1)
    return np.concatenate([values, values[:, : max(spare, 0)]], axis=1), west + first * grid.step


def _blocks(values: np.ndarray, many: int) -> np.ndarray:
    """Means of ``many`` x ``many`` cells of what is there; the last ones may be smaller."""
    if many == 1:
        return values
    rows, columns = (-size % many for size in values.shape)
    padded = np.pad(values, ((0, rows), (0, columns)), constant_values=np.nan)
    there = np.isfinite(padded)
    shape = (padded.shape[0] // many, many, padded.shape[1] // many, many)
    with np.errstate(invalid="ignore", divide="ignore"):
        total = np.where(there, padded, 0).reshape(shape).sum(axis=(1, 3), dtype=np.float64)
        return np.asarray(total / there.reshape(shape).sum(axis=(1, 3)), values.dtype)


def shown(values: np.ndarray, norm: Normalize, colours: str) -> np.ndarray:
    """Values as an image takes them: 0 and less lie below a logarithmic scale, and in the guidelines' first step."""
    if colours == style.CONCENTRATION_COLOURS:
        lowest = 0.0 if isinstance(norm, BoundaryNorm) else float(np.finfo(np.float32).tiny)
        values = np.where(values <= lowest, lowest, values)
    return np.ma.masked_invalid(values)


def pixels_across(axes: Axes) -> int:
    """Of the axes, as saved by default."""
    figure = axes.figure
    return max(int(axes.get_position().width * figure.get_size_inches()[0] * figure.get_dpi()), 1)  # type: ignore[union-attr]


class Placing:
    """Which cell each pixel of a map shows, found once for all frames of a film.

    Where cells are smaller than pixels their means are shown, and each pixel looks at 2 x 2 places of itself.
    """

    def __init__(self, axes: Axes, grid: Grid, view: View) -> None:
        """Find the pixels of drawn axes, and what lies under them."""
        height = int(axes.figure.bbox.height)
        box = axes.bbox
        left, right = int(np.floor(box.x0 + 1e-6)), int(np.ceil(box.x1 - 1e-6))
        bottom, top = int(np.floor(box.y0 + 1e-6)), int(np.ceil(box.y1 - 1e-6))
        self.columns, self.rows = slice(left, right), slice(height - top, height - bottom)
        """Of the whole picture, upper edge first."""
        across = right - left
        cells = (view.east - view.west) / grid.step / across
        self._many, self._fine = max(int(cells), 1), 2 if cells > 1 else 1
        share = (np.arange(self._fine) + 0.5) / self._fine
        x = (left + np.add.outer(np.arange(across), share)).ravel()
        y = (top - np.add.outer(np.arange(top - bottom), share)).ravel()
        to_paper = axes.transData.inverted()
        across_paper = to_paper.transform(np.stack([x, np.full(x.size, y[0])], axis=1))[:, 0]
        up_paper = to_paper.transform(np.stack([np.full(y.size, x[0]), y], axis=1))[:, 1]
        cell = cell_at(across_paper[None, :], up_paper[:, None], grid, view)
        width = -(-grid.columns // self._many)
        row, column = np.divmod(cell, grid.columns)
        last = -(-grid.rows // self._many) * width  # what lies nowhere
        self._place = np.where(cell < 0, last, row // self._many * width + column // self._many)

    def picture(self, values: np.ndarray, norm: Normalize, colours: str) -> np.ndarray:
        """A frame's values on the grid as colours of the pixels: (rows, columns, 3), uint8."""
        import cv2

        cells = shown(_blocks(values, self._many), norm, colours)
        palette = style.colours(colours)
        painted = palette(norm(cells), bytes=True).reshape(-1, 4)
        nothing = np.array([palette.get_bad()]) * 255
        packed = (
            np.ascontiguousarray(np.concatenate([painted, nothing.astype(np.uint8)]))
            .view(np.uint32)
            .ravel()
        )
        fine = packed[self._place].view(np.uint8).reshape(*self._place.shape, 4)[..., :3]
        if self._fine == 1:
            return np.ascontiguousarray(fine)
        size = self._place.shape[1] // self._fine, self._place.shape[0] // self._fine
        return np.asarray(cv2.resize(fine, size, interpolation=cv2.INTER_AREA))


def cell_at(x: np.ndarray, y: np.ndarray, grid: Grid, view: View) -> np.ndarray:
    """Number of the cell (row by row) at places of the paper; -1 where there is none."""
    if view.projection == "plate-carree":
        longitude, latitude = np.broadcast_arrays(x, y)
    else:
        longitude, latitude = view.plane.inverse(x, y)
    with np.errstate(
        invalid="ignore"
    ):  # what is no place becomes some number, and is none by its latitude
        row = np.rint((90 - latitude) / grid.step).astype(np.int32) - grid.north
        column = (np.rint(longitude / grid.step).astype(np.int32) - grid.west) % grid.around
    known = np.isfinite(latitude) & np.isfinite(longitude)
    known &= (row >= 0) & (row < grid.rows) & (column < grid.columns)
    return np.where(known, row * grid.columns + column, -1)
