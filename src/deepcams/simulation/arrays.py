"""What the simulated world computes with at its nodes: NumPy, or what a caller brings (PyTorch on a GPU).

Sources never import torch. So the arithmetic at the nodes, nearly all of the world's cost, is written once against
:class:`Arrays`; paths of the air and maps are always made with NumPy, and other arrays than NumPy's only read them.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np


class Arrays(Protocol):
    """Arrays of single precision, and the few operations on them that are spelled differently elsewhere.

    An array is added, multiplied, compared and indexed like NumPy's, also in place and with Python's numbers, which
    leave it in single precision.

    Attributes:
        name: tells one implementation and device from another.
        nodes: how many nodes to evaluate at once.
    """

    name: str
    nodes: int

    def put(self, values: np.ndarray) -> Any:
        """NumPy's array as one of these; of the same type."""
        ...

    def get(self, values: Any) -> np.ndarray:
        """One of these as NumPy's."""
        ...

    def single(self, values: Any) -> Any:
        """In single precision."""
        ...

    def whole(self, values: Any) -> Any:
        """Cut to 32-bit integers, towards zero."""
        ...

    def index(self, values: Any) -> Any:
        """As integers to index with."""
        ...

    def take(self, flat: Any, index: Any) -> Any:
        """Elements of a one-dimensional array: of the index's shape."""
        ...

    def columns(self, values: Any, index: Any) -> Any:
        """A new array of these columns (the last axis)."""
        ...

    def function(self, name: str, *values: Any) -> Any:
        """An elementwise function by NumPy's name: arctan2, clip, cos, exp, floor, sqrt, tanh."""
        ...


class NumPyArrays:
    """NumPy itself: the same values to the last bit, whatever is asked for along with them."""

    name = "numpy"
    nodes = 40_000  # temporaries stay in the processor's cache

    def put(self, values: np.ndarray) -> np.ndarray:
        """See :meth:`Arrays.put`."""
        return values

    def get(self, values: np.ndarray) -> np.ndarray:
        """See :meth:`Arrays.get`."""
        return values

    def single(self, values: np.ndarray) -> np.ndarray:
        """See :meth:`Arrays.single`."""
        return values.astype(np.float32)

    def whole(self, values: np.ndarray) -> np.ndarray:
        """See :meth:`Arrays.whole`."""
        return values.astype(np.int32)

    def index(self, values: np.ndarray) -> np.ndarray:
        """See :meth:`Arrays.index`."""
        return values.astype(np.intp)

    def take(self, flat: np.ndarray, index: np.ndarray) -> np.ndarray:
        """See :meth:`Arrays.take`."""
        return flat.take(index)

    def columns(self, values: np.ndarray, index: np.ndarray) -> np.ndarray:
        """See :meth:`Arrays.columns`."""
        return values.take(index, axis=-1)

    def function(self, name: str, *values: Any) -> np.ndarray:
        """See :meth:`Arrays.function`."""
        result: np.ndarray = getattr(np, name)(*values)
        return result


NUMPY = NumPyArrays()
