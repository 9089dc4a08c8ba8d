"""How good a network is on samples it is not trained on, in ug m-3, beside the training-free methods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from deepcams.core.errors import DeepcamsError
from deepcams.core.grid import FACTOR, cells_from_nodes, nodes_from_cells
from deepcams.methods.chains import SPATIAL, TEMPORAL
from deepcams.methods.conserve import conserve
from deepcams.networks.base import Network
from deepcams.training.distributed import Ranks
from deepcams.training.options import Experiment
from deepcams.training.samples import SampleSet, Values


@dataclass(frozen=True)
class Score:
    """Errors over pixels, ug m-3.

    Attributes:
        mae, rmse, bias: mean absolute, root mean square and mean error.
        pixels: how many.
    """

    mae: float
    rmse: float
    bias: float
    pixels: int


_KEPT = 256 << 20
"""Bytes of samples that are kept in memory between validations; the rest is read anew."""


class Validator:
    """Scores methods on the same samples, in groups of one store and one resolution.

    Args:
        experiment: which samples and baselines.
        samples: of the validation side.
        ranks: which each score a slice of the samples.
    """

    def __init__(self, experiment: Experiment, samples: SampleSet, ranks: Ranks) -> None:
        self.samples, self.ranks = samples, ranks
        self.margin, self.conserve = experiment.validation.margin, experiment.conserve
        self.numbers = range(experiment.validation.samples)
        registry = TEMPORAL if experiment.samples.task == "temporal" else SPATIAL
        self._methods = {name: registry.get(name)() for name in experiment.baselines}
        self._kept: dict[int, Values] = {}
        self._groups = [self._group(i) for i in self.numbers]
        self.groups = sorted(set(self._groups))

    def _group(self, i: int) -> str:
        draw = self.samples.draw(i)
        name = self.samples.portions[draw.portion].store.path.name
        return f"{name} {draw.resolution}" if draw.span else name

    def baselines(self) -> dict[str, dict[str, Score]]:
        """Of each training-free method, by group and over "all"."""
        return {
            name: self._score(lambda values, m=method: self._plain(m, values))
            for name, method in self._methods.items()
        }

    def network(self, network: Network) -> dict[str, Score]:
        """Of a network, by group and over "all"; in float32."""
        device = next(network.parameters()).device
        network.eval()
        try:
            with torch.inference_mode():
                return self._score(lambda values: self._predict(network, values, device))
        finally:
            network.train()

    def _score(self, method: Any) -> dict[str, Score]:
        sums = {group: np.zeros(4) for group in self.groups}
        mine = self.numbers[self.ranks.rank :: self.ranks.count]
        failed = None
        try:
            for i in mine:
                values = self._values(i)
                sums[self._groups[i]] += self._sums(method(values), values)
        except DeepcamsError as error:
            failed = error
        self.ranks.fail_alike(failed)
        totals = self.ranks.total(np.concatenate([sums[group] for group in self.groups]).tolist())
        found = np.array(totals).reshape(-1, 4)
        return {
            name: Score(
                float(row[1] / row[0]),
                float(np.sqrt(row[2] / row[0])),
                float(row[3] / row[0]),
                int(row[0]),
            )
            for name, row in zip([*self.groups, "all"], [*found, found.sum(0)], strict=True)
        }

    def _values(self, i: int) -> Values:
        if i in self._kept:
            return self._kept[i]
        values = self.samples.values(i)
        wide = None if values.around is None else values.around.known
        arrays = (values.known, values.target, values.extra, wide)
        if (len(self._kept) + 1) * sum(0 if a is None else a.nbytes for a in arrays) <= _KEPT:
            self._kept[i] = values
        return values

    def _sums(self, predicted: np.ndarray, values: Values) -> np.ndarray:
        """Pixels, and sums of absolute, squared and plain errors, without the margin."""
        margin = self.margin * values.target.shape[-1] // values.known.shape[-1]
        inside = slice(margin, values.target.shape[-1] - margin)
        error = (predicted.astype(np.float64) - values.target)[inside, inside]
        return np.array([error.size, np.abs(error).sum(), np.square(error).sum(), error.sum()])

    def _plain(self, method: Any, values: Values) -> np.ndarray:
        if self.samples.samples.task == "temporal":
            assert values.around is not None
            (before, after), grid, rows, columns = values.around
            return np.asarray(method.between(before, after, [values.t], grid)[0])[rows, columns]
        fine = method.refine(values.known[None], values.grid)
        if self.conserve:
            fine = conserve(fine, values.known[None], values.grid, FACTOR)
        return cells_from_nodes(fine[0], values.grid)

    def _predict(self, network: Network, values: Values, device: torch.device) -> np.ndarray:
        sample: Any = self.samples.scaled(values)
        known = sample[0].unsqueeze(0).to(device)
        more = [] if values.extra is None else [sample[-1].unsqueeze(0).to(device)]
        which: Any = network
        if network.kind == "spatial":
            out = which.refine(known, *more)[0, 0]
        else:
            out = which.interpolate(known, [values.t], *(guide.unsqueeze(1) for guide in more))[
                0, 0, 0
            ]
        found = self.samples.scaling.inverse(out.float()).cpu().numpy()
        found = np.maximum(found, 0)  # as every downscaler does
        if self.conserve:
            nodes = np.ascontiguousarray(nodes_from_cells(found, values.grid))[None]
            found = cells_from_nodes(
                conserve(nodes, values.known[None], values.grid, FACTOR)[0], values.grid
            )
        return found


def skill(network: Mapping[str, Score], baseline: Mapping[str, Score]) -> float:
    """MAE relative to the baseline's, averaged over the groups; below 1 is better than it."""
    groups = [group for group in network if group != "all"]
    return float(np.mean([network[group].mae / baseline[group].mae for group in groups]))
