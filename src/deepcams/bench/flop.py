"""How many floating-point operations a method's network takes, counted without computing."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from deepcams.core.grid import Grid
from deepcams.methods.interval import Interval
from deepcams.methods.onnx_methods import ExportedSpatial

if TYPE_CHECKING:
    from torch import Tensor


def flop_of(method: Any, grid: Grid) -> int | None:
    """Return the FLOP of one frame in space, or of the two hours between two frames in time.

    Counted are convolutions and matrix products, two for each multiplication, in all that the method gives its network:
    tiles, halos, bands and passes.

    Args:
        method: of a chain.
        grid: of the frames that it is given.

    Returns:
        None: the method has no network, or an exported one and torch is not installed.
    """
    method = _in_torch(copy.copy(getattr(method, "inner", method)))
    if not hasattr(method, "network"):
        return None
    method.network = _Counted(method.network)
    frame = np.zeros(grid.shape, np.float32)
    if method.hourly:
        method.between(Interval.on_grid(frame, frame, grid), [1 / 3, 2 / 3])
    else:
        method.refine(frame[None], grid)
    return int(method.network.flop)


def _in_torch(method: Any) -> Any:
    """Return an exported network as one whose operations torch counts; other methods as they are."""
    if not isinstance(method, ExportedSpatial) or find_spec("torch") is None:
        return method
    from deepcams.methods.spatial.neural_spatial import NeuralSpatial
    from deepcams.networks.checkpoint import SUFFIX, load

    return NeuralSpatial(load(method.checkpoint.path.with_suffix(SUFFIX)), "cpu")


class _Counted:
    """A network that counts what it would compute, and answers with zeros."""

    def __init__(self, network: Any) -> None:
        self._network = network
        self.flop = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def refine(self, coarse: Tensor) -> Tensor:
        """See :meth:`deepcams.networks.base.SpatialNetwork.refine`."""
        return self._count(self._network.refine, coarse)

    def refine_sliding(self, coarse: Tensor, _pad: Any) -> Tensor:
        """See :meth:`deepcams.networks.base.SpatialNetwork.refine_sliding`."""

        def pad(x: Tensor, width: int) -> Tensor:
            rows, columns = (size + 2 * width for size in x.shape[-2:])
            return x.new_empty(*x.shape[:-2], rows, columns)

        return self._count(lambda x: self._network.refine_sliding(x, pad), coarse)

    def interpolate(
        self, frames: Tensor, t: Sequence[float], estimate: Tensor | None = None
    ) -> Tensor:
        """See :meth:`deepcams.networks.base.TemporalNetwork.interpolate`."""
        given = [frames] if estimate is None else [frames, estimate]
        return self._count(
            lambda x, *more: self._network.interpolate(x, t, *more), *given
        )

    def _count(self, run: Callable[..., Tensor], *given: Tensor) -> Tensor:
        """Run on tensors that have shapes and no values."""
        import torch
        from torch._subclasses.fake_tensor import FakeTensorMode
        from torch.utils.flop_counter import FlopCounterMode

        attention = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu

        with (
            torch.inference_mode(False),
            torch.no_grad(),
            FakeTensorMode(allow_non_fake_inputs=True),
            FlopCounterMode(
                display=False, custom_mapping={attention: _attention_flop}
            ) as counter,
        ):
            shape = run(*(torch.empty(tensor.shape) for tensor in given)).shape
        self.flop += counter.get_total_flops()
        return torch.zeros(shape)


def _attention_flop(
    query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: Any, **__: Any
) -> int:
    """Return the FLOP of attention from its shapes: likenesses, then sums. PyTorch counts it on GPUs alone."""
    *many, asking, width = query
    return 2 * math.prod(many) * asking * key[-2] * (width + value[-1])
