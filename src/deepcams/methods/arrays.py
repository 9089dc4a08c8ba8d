"""Array libraries behind one interface: NumPy, or PyTorch on a device.

Functions with the same name in both libraries are called through ``xp``; :class:`Arrays` wraps those that differ.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np

from deepcams.core.errors import MissingExtraError
from deepcams.methods.device import choose_device, uses_gpu


@cache
def _opencv() -> Any:
    """Return OpenCV, limited to one thread: work is already parallel over processes and threads."""
    import cv2

    cv2.setNumThreads(1)
    return cv2


@dataclass(frozen=True)
class Arrays:
    """NumPy arrays, sampled by OpenCV."""

    @property
    def name(self) -> str:
        """Name of library and device."""
        return "numpy"

    @property
    def kind(self) -> str:
        """Library and kind of device, for provenance; the index of a GPU is left out because it affects no result."""
        return self.name.partition(":")[0]

    @property
    def sampler(self) -> str:
        """Name of the library that interpolates between pixels."""
        return f"opencv {_opencv().__version__}"

    @property
    def xp(self) -> Any:
        """The library's module."""
        return np

    def put(self, values: np.ndarray) -> Any:
        """Convert a NumPy array to an array of the library, with the same dtype."""
        return values

    def get(self, values: Any) -> np.ndarray:
        """Convert an array of the library to NumPy."""
        return np.asarray(values)

    def cast(self, values: Any, dtype: str) -> Any:
        """Convert values to another dtype (``float64``)."""
        return values.astype(dtype)

    def contiguous(self, values: Any) -> Any:
        """Return values in C order."""
        return np.ascontiguousarray(values)

    def constants(
        self, make: Callable[..., Sequence[np.ndarray]], *options: Any
    ) -> Any:
        """Return the read-only arrays ``make(*options)``, cached on the device.

        Args:
            make: deterministic function of the options.
            options: hashable.
        """
        return make(*options)

    def rearrange(
        self, move: Callable[..., np.ndarray], values: Any, *options: Any
    ) -> Any:
        """Return ``move(values, *options)``.

        Args:
            move: a function of NumPy arrays that only moves and repeats values within each frame, such as
                :func:`deepcams.core.grid.pad`.
            values: (..., rows, columns).
            options: hashable.
        """
        return move(values, *options)

    def sample(self, image: Any, x: Any, y: Any, cubic: bool = False) -> Any:
        """Interpolate an image between its pixels; beyond its edges the edge values are repeated.

        Args:
            image: (rows, columns), float32.
            x, y: column and row coordinates, of the same shape; pixel centres are integers.
            cubic: whether to use Keys' kernel (a = -0.75) instead of linear interpolation.
        """
        cv2 = _opencv()
        kernel = cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR
        return cv2.remap(image, x, y, kernel, borderMode=cv2.BORDER_REPLICATE)


@dataclass(frozen=True)
class TorchArrays(Arrays):
    """PyTorch arrays on one device.

    Attributes:
        device: PyTorch name of the device.
    """

    device: str

    @property
    def name(self) -> str:
        """See :attr:`Arrays.name`."""
        return f"torch on {self.device}"

    @property
    def sampler(self) -> str:
        """See :attr:`Arrays.sampler`."""
        return "grid_sample"

    @property
    def xp(self) -> Any:
        """See :attr:`Arrays.xp`."""
        return importlib.import_module("torch")

    def put(self, values: np.ndarray) -> Any:
        """See :meth:`Arrays.put`."""
        return self.xp.from_numpy(np.ascontiguousarray(values)).to(self.device)

    def get(self, values: Any) -> np.ndarray:
        """See :meth:`Arrays.get`."""
        return np.asarray(values.cpu().numpy())

    def cast(self, values: Any, dtype: str) -> Any:
        """See :meth:`Arrays.cast`."""
        return values.to(getattr(self.xp, dtype))

    def contiguous(self, values: Any) -> Any:
        """See :meth:`Arrays.contiguous`."""
        return values.contiguous()

    def constants(
        self, make: Callable[..., Sequence[np.ndarray]], *options: Any
    ) -> Any:
        """See :meth:`Arrays.constants`."""
        return _constants(self, make, options)

    def rearrange(
        self, move: Callable[..., np.ndarray], values: Any, *options: Any
    ) -> Any:
        """See :meth:`Arrays.rearrange`."""
        shape = tuple(values.shape[-2:])
        (sources,) = self.constants(_sources, move, shape, options)
        return values.flatten(-2)[..., sources]

    def sample(self, image: Any, x: Any, y: Any, cubic: bool = False) -> Any:
        """See :meth:`Arrays.sample`."""
        # grid_sample takes coordinates from -1 to 1, which in float32 are off by 1e-4 pixels.
        rows, columns = image.shape
        at = [
            2 * where.double() / max(size - 1, 1) - 1
            for where, size in ((x, columns), (y, rows))
        ]
        sampled = self.xp.nn.functional.grid_sample(
            image.double()[None, None],
            self.xp.stack(at, -1)[None],
            mode="bicubic" if cubic else "bilinear",
            padding_mode="border",
            align_corners=True,
        )
        return sampled[0, 0].float()


@lru_cache(maxsize=48)
def _constants(
    arrays: Arrays,
    make: Callable[..., Sequence[np.ndarray]],
    options: tuple[Any, ...],
) -> list[Any]:
    """Return the arrays ``make(*options)`` on the device."""
    return [arrays.put(each) for each in make(*options)]


def _sources(
    move: Callable[..., np.ndarray],
    shape: tuple[int, int],
    options: tuple[Any, ...],
) -> list[np.ndarray]:
    """Return the source index of each value after a move, found by moving an array of indices."""
    numbers = np.arange(shape[0] * shape[1]).reshape(shape)
    return [move(numbers, *options)]


NUMPY = Arrays()


def arrays_for(device: str) -> Arrays:
    """Return PyTorch for a GPU, else NumPy, which is faster on the CPU.

    Args:
        device: ``cpu``, ``cuda`` (also ``cuda:1``), or ``auto``: a GPU if PyTorch finds one.

    Raises:
        InputError: the name is unknown, or ``cuda`` is not available.
        MissingExtraError: ``cuda`` was requested and PyTorch is not installed.
    """
    if device.startswith("cuda") and importlib.util.find_spec("torch") is None:
        raise MissingExtraError("PyTorch", "networks")
    if not uses_gpu(device):
        return NUMPY
    return TorchArrays(str(choose_device(device)))
