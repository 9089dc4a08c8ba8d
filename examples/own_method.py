"""A method in space of your own, compared with a built-in one.

    python own_method.py

To use it by its name, also in ``deepcams downscale --spatial nearest``, let your package register it:

    [project.entry-points."deepcams.spatial"]
    nearest = "own_method:Nearest"
"""

import numpy as np

from deepcams import Grid, coarsen
from deepcams.core.grid import place
from deepcams.methods import Chain, SpatialDownscaler, build
from deepcams.simulation import SimulatedWorld


class Nearest(SpatialDownscaler):
    """Each fine node has the value of its coarse cell."""

    name = "nearest"
    halo = 0

    def refine(self, values: np.ndarray, grid: Grid) -> np.ndarray:
        """Return fine values (time, *grid.refine().shape) of coarse ones (time, *grid.shape), float32, ug m-3."""
        return place(values, grid)


def main() -> None:
    """Compare both with a known truth: simulated hours, coarsened and refined again."""
    india = Grid(
        0.75, north=80, west=95, rows=30, columns=35
    )  # its first node is 30 N, 71.25 E
    times = np.array(["2019-12-01T06", "2019-12-01T18"], "M8[ns]")
    truth = SimulatedWorld().field(india.refine(), times).load()
    coarse = coarsen(truth)
    for chain in (Chain([Nearest()]), build("none", "log-bicubic")):
        fine = chain.downscale(coarse)
        print(
            f"{chain.name}: mean absolute error {abs(fine - truth).mean().item():.3f} ug m-3"
        )


if __name__ == "__main__":
    main()
