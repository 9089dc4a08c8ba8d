"""Validation: score a network on samples not used for training, in ug m-3, together with training-free methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch

from deepcams.core.errors import DeepcamsError
from deepcams.core.grid import FACTOR, cells_from_nodes, nodes_from_cells
from deepcams.core.stages import staged
from deepcams.methods.chains import SPATIAL, TEMPORAL
from deepcams.methods.interval import Interval
from deepcams.methods.spatial.conserve import conserve
from deepcams.networks.base import Network
from deepcams.training.distributed import Ranks
from deepcams.training.options import Experiment
from deepcams.training.samples import SampleSet, Values

_KEEP = 128
"""Largest number of samples cached in memory; larger validations read all samples each time."""


@dataclass(frozen=True)
class Score:
    """Errors over pixels, ug m-3.

    Attributes:
        mae, rmse, bias: mean absolute, root mean square and mean error.
        pixels: number of pixels.
    """

    mae: float
    rmse: float
    bias: float
    pixels: int


Scores = dict[str, Score]
"""Score of each group of samples (one store and one resolution), and of all samples ("all")."""


class Validator:
    """Scores methods on the same samples.

    Args:
        experiment: experiment with the numbers of samples and the baselines.
        samples: validation samples.
        ranks: processes, each of which scores a slice of the samples.
    """

    def __init__(
        self, experiment: Experiment, samples: SampleSet, ranks: Ranks
    ) -> None:
        self.samples, self.ranks = samples, ranks
        self.margin, self.conserve = experiment.validation.margin, experiment.conserve
        self._methods: dict[str, Any] = dict.fromkeys(experiment.baselines)
        if not samples.estimates:
            registry = TEMPORAL if samples.temporal else SPATIAL
            self._methods = {name: registry.get(name)() for name in self._methods}
        self._values = lru_cache(_KEEP)(samples.values)
        self._groups = [self._group(i) for i in range(experiment.validation.samples)]

    def _group(self, i: int) -> str:
        draw = self.samples.draw(i)
        name = self.samples.portions[draw.portion].store.path.name
        return f"{name} {draw.resolution}" if draw.span else name

    def baselines(self) -> dict[str, Scores]:
        """Return the scores of each training-free method."""
        score = self._temporal_method if self.samples.temporal else self._spatial_method
        if self.samples.estimates:
            score = _estimate
        return {
            name: self._score(partial(score, method))
            for name, method in self._methods.items()
        }

    def network(self, network: Network) -> Scores:
        """Return the scores of a network, in float32."""
        device = next(network.parameters()).device
        network.eval()
        try:
            with torch.inference_mode():
                return self._score(
                    lambda values: self._predict(network, values, device)
                )
        finally:
            network.train()

    @staged("score")
    def _score(self, predict: Callable[[Values], np.ndarray]) -> Scores:
        groups = sorted(set(self._groups))
        sums = np.zeros((len(groups), 4))
        failed = None
        try:
            for i in range(self.ranks.rank, len(self._groups), self.ranks.count):
                values = self._values(i)
                sums[groups.index(self._groups[i])] += self._sums(
                    predict(values), values
                )
        except DeepcamsError as error:
            failed = error
        self.ranks.fail_alike(failed)
        totals = np.array(self.ranks.total(sums.ravel().tolist())).reshape(-1, 4)
        scores = {}
        for group, total in zip(
            [*groups, "all"], [*totals, totals.sum(0)], strict=True
        ):
            pixels = int(total[0])
            mae, square, bias = (total[1:] / pixels).tolist()
            scores[group] = Score(mae, float(np.sqrt(square)), bias, pixels)
        return scores

    def _sums(self, predicted: np.ndarray, values: Values) -> np.ndarray:
        """Return the number of pixels and the sums of absolute, squared and signed errors, without the margin."""
        size = values.target.shape[-1]
        margin = self.margin * size // values.known.shape[-1]
        inside = slice(margin, size - margin)
        error = (predicted.astype(np.float64) - values.target)[inside, inside]
        return np.array(
            [error.size, np.abs(error).sum(), np.square(error).sum(), error.sum()]
        )

    def _temporal_method(self, method: Any, values: Values) -> np.ndarray:
        assert values.around is not None
        (before, after), grid, rows, columns = values.around
        interval = Interval.on_grid(before, after, grid)
        return np.asarray(method.between(interval, [values.t])[0])[rows, columns]

    def _spatial_method(self, method: Any, values: Values) -> np.ndarray:
        fine = method.refine(values.known[None], values.grid)
        return self._conserved(fine, values)

    def _conserved(self, nodes: np.ndarray, values: Values) -> np.ndarray:
        """Restore the coarse means of (1, rows, columns) on nodes, if enabled; return them cell-like."""
        if self.conserve:
            nodes = conserve(nodes, values.known[None], values.grid, FACTOR)
        return cells_from_nodes(nodes[0], values.grid)

    def _predict(
        self, network: Network, values: Values, device: torch.device
    ) -> np.ndarray:
        sample: Any = self.samples.scaled(values)
        model: Any = network
        known = sample[0].unsqueeze(0).to(device)
        if network.kind in ("spatial", "joint"):
            out = model.refine(known)[0, 0]
        else:
            estimate = []
            if values.estimate is not None:
                estimate = [sample.estimate[None, None].to(device)]
            out = model.interpolate(known, [values.t], *estimate)[0, 0, 0]
        found = self.samples.scaling.inverse(out.float()).cpu().numpy()
        found = np.maximum(found, 0)  # as in every downscaler
        if self.conserve:
            nodes = np.ascontiguousarray(nodes_from_cells(found, values.grid))[None]
            found = self._conserved(nodes, values)
        return found


def _estimate(method: None, values: Values) -> np.ndarray:
    """Return the input that a joint network corrects."""
    return values.known[0]


def skill(network: Mapping[str, Score], baseline: Mapping[str, Score]) -> float:
    """Return the MAE relative to the baseline's, averaged over the groups; below 1 is better."""
    groups = [group for group in network if group != "all"]
    return float(
        np.mean([network[group].mae / baseline[group].mae for group in groups])
    )
