"""The prepared store as training reads it: crops equal to the whole frame's, everywhere."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from deepcams.core.errors import InputError
from deepcams.core.field import as_field, field_like
from deepcams.core.grid import Grid, cells_from_nodes
from deepcams.methods.spatial.coarsen import METHODS
from deepcams.training.store.open import Prepared
from deepcams.training.store.prepare import prepare

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
    values = rng.lognormal(1, 1, (2, *grid.shape)).astype(np.float32)
    template = xr.DataArray(0.0, name="pm2p5", attrs={"cell_methods": "time: mean"})
    field = field_like(template, values, grid, TIMES)
    store = prepare(as_field(field), tmp_path / "s", degradation="area")
    coarse, rows, columns = grid.whole_cells()
    assert store.coarse == coarse
    whole = [cells_from_nodes(one[rows, columns], coarse) for one in values]
    small = [METHODS["area"](one[rows, columns], coarse) for one in values]
    again = pickle.loads(pickle.dumps(store))
    assert len(pickle.dumps(store)) < 2000
    for _ in range(60):
        h, w = (int(rng.integers(1, n + 1)) for n in coarse.shape)
        row = int(
            rng.choice([0, coarse.rows - h, rng.integers(0, coarse.rows - h + 1)])
        )
        column = (
            int(rng.integers(-200, 700))
            if coarse.periodic
            else int(rng.integers(0, coarse.columns - w + 1))
        )
        hour = int(rng.integers(2))
        wrapped = np.arange(column, column + w) % coarse.columns
        fine_columns = np.arange(3 * column, 3 * (column + w)) % (3 * coarse.columns)
        np.testing.assert_array_equal(
            again.read(hour, row, column, h, w, "coarse"),
            small[hour][row : row + h][:, wrapped],
        )
        np.testing.assert_array_equal(
            store.read(hour, row, column, h, w, "fine"),
            whole[hour][3 * row : 3 * (row + h)][:, fine_columns],
        )
    np.testing.assert_array_equal(store.frame(1, "fine"), values[1][rows, columns])
    for bad in (
        (2, 0, 0, 4, 4),
        (0, coarse.rows - 3, 0, 4, 4),
        (0, 0, 0, 4, coarse.columns + 1),
        (0, 0, 0, 0, 4),
    ):
        with pytest.raises(InputError):
            store.read(*bad, "fine")
    assert isinstance(again, Prepared)


class Crops:
    """A dataset as DataLoader's workers get it: pickled, or forked from a process that has read already."""

    def __init__(self, store: Prepared) -> None:
        self.store = store

    def __len__(self) -> int:
        return 24

    def __getitem__(self, number: int) -> np.ndarray:
        return self.store.read(number % 2, number, 7 * number - 50, 12, 16, "fine")


def test_workers_read_what_the_main_process_reads(tmp_path: Path) -> None:
    data = pytest.importorskip(
        "torch.utils.data", reason="the extra [networks] is not installed"
    )
    grid = Grid.globe(0.75).refine()
    values = (
        np.random.default_rng(4).lognormal(1, 1, (2, *grid.shape)).astype(np.float32)
    )
    template = xr.DataArray(0.0, name="pm2p5", attrs={"cell_methods": "time: mean"})
    crops = Crops(prepare(field_like(template, values, grid, TIMES), tmp_path / "s"))
    wanted = np.stack([crops[k] for k in range(24)])
    loader = data.DataLoader(
        crops, batch_size=4, num_workers=2, multiprocessing_context="fork"
    )
    np.testing.assert_array_equal(
        np.concatenate([batch.numpy() for batch in loader]), wanted
    )
