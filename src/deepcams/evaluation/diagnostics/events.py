"""Events, values of at least a threshold: fractions skill score and critical success index by neighbourhood.

A neighbourhood of n is the n x n nodes around a node that are in the region and have values in both fields; columns
wrap around the globe. All nodes have equal weight, whatever their area. The critical success index of a neighbourhood
counts a node as an event if any node of its neighbourhood is one.
"""

from __future__ import annotations

from functools import partial

import cv2
import numpy as np

from deepcams.evaluation.diagnostics.base import Block, Diagnostic, Sums, ratio
from deepcams.evaluation.scores import Score
from deepcams.evaluation.tables import Row

NEIGHBOURHOODS = (1, 3, 5)
"""Sizes of neighbourhoods, nodes per side."""
SHOWN = {"FSS": 3, "CSI": 1}
"""Neighbourhood size of each score shown as a column (at the second threshold, or the only one)."""


class Events(Diagnostic):
    """Fractions skill score and critical success index."""

    name = "events"
    scores = (
        Score(
            key="FSS",
            name="fractions skill score at the second threshold (35 ug m-3), 3 x 3 nodes",
            unit="",
            better="higher",
            source="Roberts & Lean 2008, doi 10.1175/2007MWR2123.1",
            form=".3f",
        ),
        Score(
            key="CSI",
            name="critical success index (threat score) at the same threshold, node by node",
            unit="",
            better="higher",
            source="Schaefer 1990",
            form=".3f",
        ),
    )

    def sums(self, block: Block, made: np.ndarray) -> Sums:
        """Return sums by threshold and neighbourhood: of squared fractions (2 terms) and of nodes (3 terms)."""
        shape = len(self.setting.thresholds), len(NEIGHBOURHOODS)
        squares, nodes = np.zeros((*shape, 2)), np.zeros((*shape, 3), np.int64)
        for i in block.scored:
            both = ~(np.isnan(block.truth[i]) | np.isnan(made[i]))
            whole = bool(both.all())
            for j, threshold in enumerate(self.setting.thresholds):
                true = (block.truth[i] >= threshold) & both
                ours = (made[i] >= threshold) & both
                if not (true.any() or ours.any()):
                    continue
                for k, size in enumerate(NEIGHBOURHOODS):
                    known = partial(self._around, both, size)
                    # Without missing values it is the same for all methods.
                    n = block.once(("known", size), known) if whole else known()
                    t, m = self._around(true, size), self._around(ours, size)
                    some = np.flatnonzero(((t | m) > 0) & both)
                    t, m, n = (each.reshape(-1)[some] for each in (t, m, n))
                    one, other = t / n.astype(np.float64), m / n.astype(np.float64)
                    squares[j, k] += (
                        np.square(one - other).sum(),
                        np.square(one).sum() + np.square(other).sum(),
                    )
                    hit = (t > 0) & (m > 0)
                    nodes[j, k] += hit.sum(), (m == 0).sum(), (t == 0).sum()
        return Sums({"squares": squares, "nodes": nodes})

    def _around(self, mask: np.ndarray, size: int) -> np.ndarray:
        """Return the number of masked nodes in each node's neighbourhood, (rows, columns), uint8."""
        counted = mask.view(np.uint8)
        if size == 1:
            return counted
        half = size // 2
        if self.setting.grid.periodic:
            counted = np.pad(counted, ((0, 0), (half, half)), mode="wrap")
        total = cv2.boxFilter(
            counted, -1, (size, size), normalize=False, borderType=cv2.BORDER_CONSTANT
        )
        columns = mask.shape[1]
        return np.asarray(
            total[:, half : half + columns] if self.setting.grid.periodic else total
        )

    def figures(self, sums: Sums) -> dict[str, float]:
        """Return the scores at the second threshold, or the only one."""
        shown = self.setting.thresholds[:2][-1]
        return {
            key: float(row[key])
            for row in self.table(sums)
            for key, size in SHOWN.items()
            if row["threshold"] == shown and row["neighbourhood"] == size
        }

    def table(self, sums: Sums) -> list[Row]:
        """Return one row per threshold and neighbourhood; scores are undefined if there is no event."""
        found: list[Row] = []
        for j, threshold in enumerate(self.setting.thresholds):
            for k, size in enumerate(NEIGHBOURHOODS):
                apart, most = sums["squares"][j, k]
                hits, misses, alarms = sums["nodes"][j, k].tolist()
                row: Row = {"threshold": threshold, "neighbourhood": size}
                row["FSS"] = float(1 - ratio(apart, most))
                row["CSI"] = float(ratio(hits, hits + misses + alarms))
                counts = {"hits": hits, "misses": misses, "false_alarms": alarms}
                found.append(row | counts)
        return found
