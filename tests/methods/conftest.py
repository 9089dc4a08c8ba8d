"""Small networks with random but fixed weights, as checkpoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from deepcams.core.field import as_field
from deepcams.core.grid import Grid


def random_field(grid: Grid, times: int = 2, seed: int = 0) -> xr.DataArray:
    """A canonical field of positive noise, 3 h apart."""
    values = (
        np.random.default_rng(seed)
        .lognormal(1.5, 1.2, (times, *grid.shape))
        .astype(np.float32)
    )
    array = xr.DataArray(
        values,
        dims=("time", "latitude", "longitude"),
        coords={
            "time": np.datetime64("2019-12-31T00", "ns")
            + np.arange(times) * np.timedelta64(3, "h"),
            "latitude": grid.latitudes,
            "longitude": grid.longitudes,
        },
        name="pm2p5",
        attrs={"units": "ug m-3"},
    )
    return as_field(array)


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """``xvfi`` (linear-clip), ``abpn`` (linear), and ones that must be refused: another variable, another factor."""
    torch = pytest.importorskip("torch")
    from deepcams import networks
    from deepcams.networks.checkpoint import save
    from deepcams.networks.scaling import make_scaling

    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(1)
    xvfi = networks.build("xvfi", "released", nf=8)
    abpn = networks.build("abpn", "released", d=4, stages=3, tile=32, halo=6)
    clip, linear = make_scaling("linear-clip"), make_scaling("linear")
    return {
        "folder": folder,
        "xvfi": save(xvfi, folder / "xvfi.safetensors", clip),
        "abpn": save(abpn, folder / "abpn.safetensors", linear),
        "pm10": save(abpn, folder / "pm10.safetensors", linear, variable="pm10"),
        "x2": save(
            networks.build("abpn", d=4, stages=2, factor=2),
            folder / "x2.safetensors",
            linear,
        ),
    }
