"""An array library and where it works: NumPy, or PyTorch on a device, for arithmetic that is written once.

What both libraries have under one name is called through ``xp``; :class:`Arrays` has what differs.
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
    """Return OpenCV, with one thread: items are shared among processes, and hours among threads, already."""
    import cv2

    cv2.setNumThreads(1)
    return cv2


@dataclass(frozen=True)
class Arrays:
    """NumPy, with OpenCV's sampling."""

    @property
    def name(self) -> str:
        """Library and device."""
        return "numpy"

    @property
    def kind(self) -> str:
        """Library and kind of device, for provenance: which of several GPUs it is decides nothing."""
        return self.name.partition(":")[0]

    @property
    def sampler(self) -> str:
        """What samples between pixels."""
        return f"opencv {_opencv().__version__}"

    @property
    def xp(self) -> Any:
        """The library's module."""
        return np

    def put(self, values: np.ndarray) -> Any:
        """Return a NumPy array as one of the library's, of the same type."""
        return values

    def get(self, values: Any) -> np.ndarray:
        """Return one of the library's arrays as NumPy's."""
        return np.asarray(values)

    def cast(self, values: Any, dtype: str) -> Any:
        """Return values as another type (``float64``)."""
        return values.astype(dtype)

    def contiguous(self, values: Any) -> Any:
        """Return values in C order."""
        return np.ascontiguousarray(values)

    def constants(
        self, make: Callable[..., Sequence[np.ndarray]], *options: Any
    ) -> Any:
        """Return the arrays ``make(*options)``, which nobody may change; a device has them once.

        Args:
            make: always makes the same of the same options.
            options: hashable.
        """
        return make(*options)

    def rearrange(
        self, move: Callable[..., np.ndarray], values: Any, *options: Any
    ) -> Any:
        """Return ``move(values, *options)``.

        Args:
            move: a function of NumPy arrays that only moves and repeats values, such as
                :func:`deepcams.core.grid.pad`; values of a frame stay in it.
            values: (..., rows, columns).
            options: hashable.
        """
        return move(values, *options)

    def sample(self, image: Any, x: Any, y: Any, cubic: bool = False) -> Any:
        """Return an image between its pixels; beyond its edges come the edges' values.

        Args:
            image: (rows, columns), float32.
            x, y: columns and rows to sample at, of one shape; pixels' centres are whole numbers.
            cubic: Keys' kernel (a = -0.75) instead of the linear one.
        """
        cv2 = _opencv()
        kernel = cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR
        return cv2.remap(image, x, y, kernel, borderMode=cv2.BORDER_REPLICATE)


@dataclass(frozen=True)
class TorchArrays(Arrays):
    """PyTorch on one device.

    Attributes:
        device: as PyTorch names it.
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
        # PyTorch wants places from -1 to 1, which in float32 would be off by 1e-4 pixels.
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
    """Return what ``make`` makes of options, on the device."""
    return [arrays.put(each) for each in make(*options)]


def _sources(
    move: Callable[..., np.ndarray],
    shape: tuple[int, int],
    options: tuple[Any, ...],
) -> list[np.ndarray]:
    """Return which of a frame's values each one is after a move: what the move makes of their numbers."""
    numbers = np.arange(shape[0] * shape[1]).reshape(shape)
    return [move(numbers, *options)]


NUMPY = Arrays()


def arrays_for(device: str) -> Arrays:
    """Return PyTorch where a GPU is meant, else NumPy, which is quicker on the CPU.

    Args:
        device: ``cpu``, ``cuda`` (also ``cuda:1``), or ``auto``: a GPU where PyTorch finds one.

    Raises:
        InputError: an unknown name, or ``cuda`` where there is none.
        MissingExtraError: ``cuda`` where PyTorch is not installed.
    """
    if device.startswith("cuda") and importlib.util.find_spec("torch") is None:
        raise MissingExtraError("PyTorch", "networks")
    if not uses_gpu(device):
        return NUMPY
    return TorchArrays(str(choose_device(device)))
