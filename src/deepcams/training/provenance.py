"""What a checkpoint says about where its weights come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import torch

from deepcams.core.grid import Grid
from deepcams.training.distributed import Ranks
from deepcams.training.options import Experiment
from deepcams.training.scoring import Score
from deepcams.training.split import Portion, Window
from deepcams.training.store.open_store import Prepared


def provenance(
    experiment: Experiment,
    stores: Sequence[Prepared],
    trained: Sequence[Portion],
    validated: Sequence[Portion],
    step: int,
    minutes: float,
    ranks: Ranks,
    network: Mapping[str, Score],
    baselines: Mapping[str, Mapping[str, Score]],
    skill: float,
) -> dict[str, Any]:
    """JSON values for the checkpoint's card: data, split, recipe, effort, and figures beside the training-free ones.

    Args:
        experiment: the whole recipe, which is kept word for word.
        stores: all that the experiment names.
        trained, validated: what of them was used on which side.
        step, minutes: after which these weights were found.
        ranks: the processes.
        network, baselines: validation scores by group.
        skill: MAE relative to the first baseline's, averaged over the groups.
    """
    return {
        "card": experiment.output.card,
        "data": [
            {
                "store": store.path.name,
                "degradation": store.degradation,
                "mean": store.mean,
                "hours": len(store.times),
                "from": _stamp(store, 0),
                "to": _stamp(store, -1),
                "grid": store.coarse.describe(),
                "sources": store.sources,
            }
            for store in stores
        ],
        "split": {
            side: [
                {
                    "store": portion.store.path.name,
                    "hours": portion.hours,
                    "weight": portion.weight,
                    "regions": [
                        _extent(portion.store.coarse, window) for window in portion.windows
                    ],
                }
                for portion in chosen
            ]
            for side, chosen in (("train", trained), ("validation", validated))
        },
        "experiment": experiment.model_dump(mode="json"),
        "steps": step,
        "minutes": round(minutes, 2),
        "processes": ranks.count,
        "device": torch.cuda.get_device_name(ranks.device)
        if ranks.device.type == "cuda"
        else "cpu",
        "torch": torch.__version__,
        "validation": {
            "skill": skill,
            "against": experiment.baselines[0],
            "units": "ug m-3",
            "conserve": experiment.conserve,
            "scores": {group: asdict(score) for group, score in network.items()},
            "baselines": {
                name: {group: asdict(score) for group, score in scores.items()}
                for name, scores in baselines.items()
            },
        },
    }


def _extent(grid: Grid, window: Window) -> str:
    return (
        replace(
            grid,
            north=grid.north + window.row,
            west=grid.west + window.column,
            rows=window.rows,
            columns=window.columns,
        )
        .canonical()
        .describe()
    )


def _stamp(store: Prepared, which: int) -> str:
    return str(store.times[which])[:16]
