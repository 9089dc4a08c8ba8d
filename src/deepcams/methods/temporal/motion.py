"""Estimation of the motion between two images, and frames carried along it, in NumPy or PyTorch.

Iterative Lucas-Kanade (Lucas and Kanade 1981) from coarse to fine (Bouguet 2001), with four changes:

- Motion is estimated at the middle of the interval, symmetrically in both images: one motion per pair, not two.
- Gradients of the images are compared, not the images, so that growth in between does no harm (Brox et al. 2004).
- Large differences are down-weighted by the inverse of their size.
- Each step is pulled towards the mean of its neighbours (Bruhn et al. 2005), which fills areas without texture.

Images are compared pixel by pixel; motion has one value per 4 x 4 pixels.

The parameters were chosen only on real GEOS-CF hours west of 75W (docs/decisions/05-flow.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from deepcams.methods.arrays import Arrays

CELL = 4
"""Edge of a cell, pixels; motion has one value per cell."""

_SMALLEST = 32
"""Largest shorter edge of the coarsest level of the pyramid, pixels."""

_STEPS = 2
"""Number of iterations at each level of the pyramid."""

_LONGEST = 1.0
"""Largest change of the motion per iteration, pixels; larger motion is found at coarser levels."""

_ROBUST = 0.1
"""Difference of gradients (logarithm over two pixels) above which it is down-weighted."""

_STIFFNESS = 0.02
"""Weight of the neighbours' mean relative to a pixel's weighted squared gradients."""

SETTINGS = {
    "kind": "lucas-kanade",
    "cell": CELL,
    "steps": _STEPS,
    "robust": _ROBUST,
    "stiffness": _STIFFNESS,
}
"""Parameters of the motion, for provenance."""


class Places(NamedTuple):
    """Columns (x) and rows (y) of points in an image, each (rows, columns), float32."""

    x: Any
    y: Any


def _places(shape: Sequence[int], arrays: Arrays, enlarge: int = 1) -> Places:
    """Return the positions of an image's pixels in the image that is ``enlarge`` times smaller."""
    rows, columns = shape
    return Places(*arrays.constants(_made_places, rows, columns, enlarge))


def _made_places(rows: int, columns: int, enlarge: int) -> list[np.ndarray]:
    x, y = (
        ((np.arange(size) + 0.5) / enlarge - 0.5).astype(np.float32)
        for size in (columns, rows)
    )
    both = np.broadcast_arrays(x, y[:, None])
    return [np.ascontiguousarray(each) for each in both]


def _sampled(field: Any, at: Places, arrays: Arrays) -> Any:
    """Sample each component of (n, rows, columns) at points by linear interpolation."""
    return arrays.xp.stack([arrays.sample(each, *at) for each in field])


def _cell_means(image: Any, size: int) -> Any:
    """Average over cells: (rows, columns) -> (rows / size, columns / size)."""
    rows = sum(image[k::size] for k in range(size))
    return sum(rows[:, k::size] for k in range(size)) / size**2


def _smooth(fields: Any, xp: Any) -> Any:
    """Smooth (n, rows, columns) with weights 1 2 1 along both axes; edges are repeated."""
    wide = xp.concatenate((fields[..., :1], fields, fields[..., -1:]), -1)
    fields = wide[..., :-2] + 2 * fields + wide[..., 2:]
    high = xp.concatenate((fields[:, :1], fields, fields[:, -1:]), 1)
    return (high[:, :-2] + 2 * fields + high[:, 2:]) / 16


def _along_x(image: Any, xp: Any) -> Any:
    """Return each pixel's right neighbour minus its left one; at an edge the value one pixel inwards."""
    found = xp.zeros_like(image)
    found[:, 1:-1] = image[:, 2:] - image[:, :-2]
    found[:, 0], found[:, -1] = found[:, 1], found[:, -2]
    return found


def _along_y(image: Any, xp: Any) -> Any:
    """Return each pixel's lower neighbour minus its upper one; at an edge the value one pixel inwards."""
    found = xp.zeros_like(image)
    found[1:-1] = image[2:] - image[:-2]
    found[0], found[-1] = found[1], found[-2]
    return found


class _Level:
    """Both images at one level of the pyramid.

    Args:
        images: (rows, columns) each, multiples of :data:`CELL`.
    """

    def __init__(self, images: list[Any], arrays: Arrays) -> None:
        self.images = images
        self.arrays = arrays
        self.pixels = _places(images[0].shape, arrays)
        self.in_cells = _places(images[0].shape, arrays, CELL)

    def coarser(self) -> _Level:
        """Return the next level, with images half as large."""
        return _Level([_cell_means(each, 2) for each in self.images], self.arrays)

    def no_motion(self) -> Any:
        """Return zero motion for each cell."""
        cells = self.images[0][::CELL, ::CELL]
        return self.arrays.xp.stack([cells, cells]) * 0

    def of_pixels(self, motion: Any) -> Any:
        """Interpolate the motion from cells to pixels."""
        return _sampled(motion, self.in_cells, self.arrays)

    def improved(self, motion: Any) -> Any:
        """Return the motion of each cell, (2, rows, columns), after one more iteration."""
        xp = self.arrays.xp
        half_x, half_y = self.of_pixels(motion) / 2
        x, y = self.pixels
        first = self.arrays.sample(self.images[0], x - half_x, y - half_y, cubic=True)
        last = self.arrays.sample(self.images[1], x + half_x, y + half_y, cubic=True)
        difference, mean = last - first, (last + first) / 2
        dx, dy = _along_x(difference, xp), _along_y(difference, xp)
        mean_x, mean_y = _along_x(mean, xp), _along_y(mean, xp)
        xx, yy = _along_x(mean_x, xp) / 2, _along_y(mean_y, xp) / 2
        xy = _along_y(mean_x, xp) / 2
        weight = 1 / xp.sqrt(dx * dx + dy * dy + _ROBUST**2)
        terms = (
            xx * xx + xy * xy,
            xy * (xx + yy),
            xy * xy + yy * yy,
            xx * dx + xy * dy,
            xy * dx + yy * dy,
        )
        sums = xp.stack([_cell_means(weight * each, CELL) for each in terms])
        a_xx, a_xy, a_yy, b_x, b_y = _smooth(sums, xp)
        # (a + stiffness) new = a motion - b + stiffness neighbours, solved for new - neighbours
        neighbours = _smooth(motion, xp)
        away_x, away_y = motion - neighbours
        right_x = a_xx * away_x + a_xy * away_y - b_x
        right_y = a_xy * away_x + a_yy * away_y - b_y
        stiff_xx, stiff_yy = a_xx + _STIFFNESS, a_yy + _STIFFNESS
        determinant = stiff_xx * stiff_yy - a_xy * a_xy
        change_x = (stiff_yy * right_x - a_xy * right_y) / determinant
        change_y = (stiff_xx * right_y - a_xy * right_x) / determinant
        new = neighbours + xp.stack((change_x, change_y))
        return motion + xp.clip(new - motion, -_LONGEST, _LONGEST)


def motion_between(first: Any, last: Any, arrays: Arrays, enlarge: int = 1) -> Any:
    """Estimate the motion that carries one image into another.

    Args:
        first, last: (rows, columns), float32, of ``arrays``; any size.
        enlarge: factor by which the images are enlarged for the estimation.

    Returns:
        (2, rows, columns), float32, displacement from the first to the last image, in pixels eastward along the columns
        and down the rows, of whatever passes the pixel at the middle of the interval.
    """
    shape = [enlarge * size for size in first.shape]
    levels = 0
    while min(shape) >> levels > _SMALLEST:
        levels += 1
    whole = CELL << levels  # smallest size that every level can divide into cells
    extended = [-(-size // whole) * whole for size in shape]
    at = _places(extended, arrays, enlarge)
    images = [arrays.sample(each, *at, cubic=True) for each in (first, last)]
    pyramid = [_Level(images, arrays)]
    for _ in range(levels):
        pyramid.append(pyramid[-1].coarser())
    motion = pyramid[-1].no_motion()
    for level in reversed(pyramid):
        if level is not pyramid[-1]:
            doubled = _places([2 * size for size in motion.shape[1:]], arrays, 2)
            motion = 2 * _sampled(motion, doubled, arrays)
        for _ in range(_STEPS):
            motion = level.improved(motion)
    found = pyramid[0].of_pixels(motion)[:, : shape[0], : shape[1]]
    if enlarge == 1:
        return found
    return arrays.xp.stack([_cell_means(each, enlarge) for each in found]) / enlarge


def smoothed(image: Any, arrays: Arrays) -> Any:
    """Smooth an image (rows, columns) of any size over about three cells; edges are repeated."""
    rows, columns = image.shape
    whole = [-(-size // CELL) * CELL for size in image.shape]
    wide = arrays.sample(image, *_places(whole, arrays))
    cells = _smooth(_cell_means(wide, CELL)[None], arrays.xp)
    return _sampled(cells, _places((rows, columns), arrays, CELL), arrays)[0]


class Path:
    """Paths along the motion from one frame to another.

    Args:
        motion: from :func:`motion_between`.
    """

    def __init__(self, motion: Any, arrays: Arrays) -> None:
        self.motion = motion
        self.arrays = arrays
        self.pixels = _places(motion.shape[1:], arrays)

    def to(self, time: float) -> tuple[Places, Places]:
        """Return the positions, in the first and the last frame, of what is at each pixel at a time in [0, 1]."""
        x, y = self.pixels
        time = float(time)  # a NumPy scalar would promote to float64
        # Motion is given at the middle of the interval; what is here now was up to half its motion away then.
        late = time - 0.5
        here = Places(x - late * self.motion[0], y - late * self.motion[1])
        move_x, move_y = _sampled(self.motion, here, self.arrays)
        rest = 1 - time
        return (
            Places(x - time * move_x, y - time * move_y),
            Places(x + rest * move_x, y + rest * move_y),
        )
