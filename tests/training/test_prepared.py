"""The prepared store as training reads it: crops equal to the whole frame's, everywhere."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from deepcams.degrade import METHODS
from deepcams.errors import InputError
from deepcams.field import as_field, field_like
from deepcams.grid import Grid, cells_from_nodes
from deepcams.sources.simulated import SimulatedWorld
from deepcams.training.prepare import prepare
from deepcams.training.prepared import Prepared

TIMES = np.datetime64("2019-03-08T00:30", "ns") + np.arange(2) * np.timedelta64(1, "h")
GRIDS = {
    "globe": Grid.globe(0.75).refine(),
    "north pole": Grid(0.25, 0, 40, 90, 120),
    "across Greenwich": Grid(0.25, 200, -31, 93, 126),
    "southern cap": Grid(0.25, 640, 0, 81, 1440),
}


@pytest.mark.parametrize("name", GRIDS)
def test_crops_are_those_of_the_whole_frame(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    grid = GRIDS[name]
    field = SimulatedWorld(1).field(Grid.globe(30.0), TIMES, mean=True)
    values = rng.lognormal(1, 1, (2, *grid.shape)).astype(np.float32)
    field = field_like(field, values, grid)
    store = prepare(as_field(field), tmp_path / "s", degradation="area")
    coarse, rows, columns = grid.whole_cells()
    assert store.coarse == coarse
    whole = [cells_from_nodes(one[rows, columns], coarse) for one in values]
    small = [METHODS["area"](one[rows, columns], coarse) for one in values]
    again = pickle.loads(pickle.dumps(store))
    assert len(pickle.dumps(store)) < 2000
    for _ in range(60):
        h, w = (int(rng.integers(1, n + 1)) for n in coarse.shape)
        row = int(rng.choice([0, coarse.rows - h, rng.integers(0, coarse.rows - h + 1)]))
        column = int(rng.integers(-200, 700)) if coarse.periodic else int(rng.integers(0, coarse.columns - w + 1))
        hour = int(rng.integers(2))
        wrapped = np.arange(column, column + w) % coarse.columns
        fine_columns = np.arange(3 * column, 3 * (column + w)) % (3 * coarse.columns)
        np.testing.assert_array_equal(
            again.read(hour, row, column, h, w, "coarse"), small[hour][row : row + h][:, wrapped]
        )
        np.testing.assert_array_equal(
            store.read(hour, row, column, h, w, "fine"), whole[hour][3 * row : 3 * (row + h)][:, fine_columns]
        )
    np.testing.assert_array_equal(store.frame(1, "fine"), values[1][rows, columns])
    for bad in ((2, 0, 0, 4, 4), (0, coarse.rows - 3, 0, 4, 4), (0, 0, 0, 4, coarse.columns + 1), (0, 0, 0, 0, 4)):
        with pytest.raises(InputError):
            store.read(*bad, "fine")
    assert isinstance(again, Prepared)
