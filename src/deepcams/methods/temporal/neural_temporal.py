"""A temporal network as a temporal method."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from deepcams.core.grid import pad, unify_poles
from deepcams.core.stages import staged
from deepcams.methods.arrays import arrays_for
from deepcams.methods.base import TemporalDownscaler
from deepcams.methods.device import Precision, working
from deepcams.methods.fit_memory import checked_finite, first_that_fits
from deepcams.methods.interval import Interval
from deepcams.methods.neural import Neural
from deepcams.methods.temporal.flow import Flow, initial_estimates
from deepcams.networks.checkpoint import Checkpoint

_BAND = 224
"""Number of rows processed at once if the network allows it: a third of the memory for a quarter more work."""


class NeuralTemporal(Neural, TemporalDownscaler):
    """A trained temporal network as a temporal method.

    Each side is padded by the network's ``context`` with nodes of the globe (or a region's mirror image), so that the
    network's zero padding stays far from the frame: with 128 columns the released XVFI has no seam beyond rounding
    (with 64, one of 0.3 %).

    Args:
        checkpoint: a loaded checkpoint of kind "temporal".
        device: ``auto``, ``cpu`` or ``cuda``.
        precision: ``float32`` or ``bfloat16``.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str = "auto",
        precision: Precision = "float32",
    ) -> None:
        super().__init__(checkpoint, device, precision)
        self.halo: int = self.network.context[0]
        if self.network.estimate_method:
            self.halo = max(self.halo, Flow.halo)

    def between(self, interval: Interval, fractions: Sequence[float]) -> np.ndarray:
        """Predict all fractions, in one batch if memory allows; see :meth:`TemporalDownscaler.between`."""
        before, after, grid = interval.before, interval.after, interval.on
        scaling = self.checkpoint.scaling
        context_rows, context_columns = self.network.context
        rows, columns = self.network.size_rule.enlarge(
            grid.rows + 2 * context_rows, grid.columns + 2 * context_columns
        )
        top = (rows - grid.rows + 1) // 2
        left = (columns - grid.columns + 1) // 2

        def scaled(frames: np.ndarray) -> torch.Tensor:
            """Scale and pad (.., rows, columns) in ug m-3 -> (1, .., 1, rows, columns)."""
            wide = np.ascontiguousarray(
                pad(frames, grid, top, left)[..., :rows, :columns]
            )
            values = torch.from_numpy(wide).to(self.device)
            return scaling.forward(values)[None].unsqueeze(-3)

        frames = scaled(np.stack([before, after]))
        estimate = None
        if self.network.estimate_method:
            arrays = arrays_for(str(self.device))
            estimate = scaled(initial_estimates(before, after, fractions, grid, arrays))

        @staged("motion")
        def predict(at_once: int) -> np.ndarray:
            parts = []
            for first in range(0, len(fractions), at_once):
                some = slice(first, first + at_once)
                times = list(fractions[some])
                bands = []
                for band, inner in self._bands(rows):
                    given = (
                        None if estimate is None else estimate[:, some, ..., band, :]
                    )
                    found = self.network.interpolate(frames[..., band, :], times, given)
                    bands.append(scaling.inverse(found[0, :, 0, inner].float()).cpu())
                parts.append(torch.cat(bands, dim=-2))
            return torch.cat(parts).numpy()

        sizes = sorted({len(fractions), 1}, reverse=True)
        with torch.inference_mode(), working(self.device, self.precision):
            found, _ = first_that_fits(predict, sizes, "inner hours at once:")
        found = checked_finite(found, self.name)
        inside = found[:, top : top + grid.rows, left : left + grid.columns]
        return unify_poles(np.maximum(inside, 0), grid)

    def _bands(self, rows: int) -> list[tuple[slice, slice]]:
        """Return the rows of each band, and the part of them whose result is valid.

        If the network's receptive field is unknown, there is one band, the whole frame.
        """
        multiple = self.network.size_rule.multiple
        if self.network.receptive_field is None:
            return [(slice(0, rows), slice(None))]
        height = -(-_BAND // multiple) * multiple
        overlap = -(-self.network.receptive_field // multiple) * multiple
        bands = []
        for first in range(0, rows, height):
            last = min(first + height, rows)
            above = max(first - overlap, 0)
            below = min(last + overlap, rows)
            bands.append((slice(above, below), slice(first - above, last - above)))
        return bands
