"""Variance inside coarse cells: of a spatial method, relative to the truth."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

import numpy as np

from deepcams.core.errors import InputError
from deepcams.core.grid import Grid, place
from deepcams.evaluation.diagnostics.base import Block, Diagnostic, Setting, Sums, ratio
from deepcams.evaluation.scores import Score
from deepcams.evaluation.tables import Row
from deepcams.methods.spatial.coarsen import area_mean


class CellVariance(Diagnostic):
    """Squared deviations from the area means of whole coarse cells; cells with a missing node are left out."""

    name = "cells"
    scores = (
        Score(
            key="cell_variance",
            name="variance inside the coarse cells (of 3 x 3 nodes, or 5 x 5), over the truth's",
            unit="",
            better="one",
            source="this project",
            form=".2f",
            head="cells",
        ),
    )

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.cells: tuple[Grid, slice, slice] | None = None
        with suppress(InputError):
            self.cells = setting.grid.whole_cells(setting.factor)

    def gap(self, sums: Sums) -> str:
        """Explain why there is no such cell."""
        factor = self.setting.factor
        words = f"no whole cell of {factor} x {factor} nodes is known"
        return "" if sums["nodes"] else words

    def sums(self, block: Block, made: np.ndarray) -> Sums:
        """Return the sums of squared deviations of the truth and the method, and the number of nodes."""
        squares, nodes = np.zeros(2), 0
        for i in block.scored if self.cells else []:
            true = block.once(("cells", i), partial(self._deviations, block.truth[i]))
            ours = self._deviations(made[i])
            both = ~(np.isnan(true) | np.isnan(ours))
            nodes += int(both.sum())
            squares += [
                np.square(each, where=both, out=np.zeros_like(each)).sum()
                for each in (true, ours)
            ]
        return Sums({"squares": squares, "nodes": np.array(nodes)})

    def _deviations(self, frame: np.ndarray) -> np.ndarray:
        """Return each node's deviation from its cell's mean, float64; NaN in cells with a missing node."""
        assert self.cells is not None
        coarse, rows, columns = self.cells
        factor = self.setting.factor
        fine = frame[rows, columns].astype(np.float64)
        return np.asarray(fine - place(area_mean(fine, coarse, factor), coarse, factor))

    def figures(self, sums: Sums) -> dict[str, float]:
        """Return the ratio of the variances."""
        return {"cell_variance": float(ratio(sums["squares"][1], sums["squares"][0]))}

    def table(self, sums: Sums) -> list[Row]:
        """Return one row: both variances (ug2 m-6) and their number of nodes."""
        truth, method = (float(each) for each in ratio(sums["squares"], sums["nodes"]))
        return [
            {"truth": truth, "method": method, "nodes": int(sums["nodes"])}
            | self.figures(sums)
        ]
