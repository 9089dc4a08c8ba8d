from pathlib import Path

import numpy as np

from deepcams.core.grid import Grid
from deepcams.plotting.page import save
from deepcams.plotting.world import Statistics, world_figure
from deepcams.simulation.world import SimulatedWorld

LEVELS = (0.01, 0.5, 0.99)


def statistics(factor: float) -> Statistics:
    waves = np.geomspace(10, 700, 20)
    spectra = {"30-60 N": factor * waves**-3, "0-30 N": 2 * factor * waves**-3}
    return Statistics(
        waves, spectra, factor * np.array([0.5, 2.0, 30.0]), {"1 h": 0.04 * factor, "linear": 0.02}
    )


def test_the_figure_shows_every_statistic_where_it_lies(tmp_path: Path) -> None:
    grid = Grid.globe(1.5).select((-180, -60, 0, 60))[0]
    frame = SimulatedWorld(0).field(grid, np.array(["2019-03-08T00:30"], "datetime64[ns]")).load()
    real, worlds = statistics(1.0), [statistics(0.5), statistics(2.0)]
    figure = world_figure({"real": frame, "simulated": frame}, {"West": (real, worlds)}, LEVELS)
    spectra, quantiles, changes = figure.axes[-3:]
    shown = [np.asarray(line.get_ydata()) for line in spectra.lines]
    np.testing.assert_allclose(shown[0], real.spectra["30-60 N"])
    np.testing.assert_allclose(
        shown[1], real.spectra["30-60 N"]
    )  # the geometric mean of half and double
    np.testing.assert_allclose(shown[2], real.spectra["0-30 N"] / 100)
    np.testing.assert_allclose(np.asarray(quantiles.lines[2].get_ydata()), worlds[1].quantiles)
    assert sorted({float(y) for line in changes.lines for y in np.asarray(line.get_ydata())}) == [
        0.02,
        0.04,
        0.08,
    ]
    save(figure, tmp_path / "world.png")
    assert (tmp_path / "world.png").stat().st_size > 20_000
