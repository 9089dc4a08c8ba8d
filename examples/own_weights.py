"""Save a network with weights of your own as a checkpoint, and downscale with it.

    python own_weights.py

Here the weights are fresh ones: CellNet then begins as bicubic interpolation of the logarithm.
"""

import numpy as np

import deepcams
from deepcams.networks import build, load, make_scaling, save
from deepcams.simulation import SimulatedWorld

network = build("cellnet", width=16, blocks=2)
path = save(
    network,
    "mine.safetensors",
    make_scaling("linear", {"unit": 1.0}),
    provenance={"training_data": "none: fresh weights"},
)
print(load(path).card.provenance)

china = deepcams.Grid(0.75, north=60, west=130, rows=30, columns=40)
times = np.array(["2019-12-01T00", "2019-12-01T03"], "M8[ns]")
field = SimulatedWorld().field(china, times)
fine = deepcams.downscale(field, temporal="none", spatial=str(path)).load()
print(f"{fine.shape} values, the largest {fine.max().item():.0f} ug m-3")
