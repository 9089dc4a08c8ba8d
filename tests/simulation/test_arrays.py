import pickle

import numpy as np
import pytest

from deepcams.cli import main
from deepcams.core.errors import InputError
from deepcams.core.grid import Grid
from deepcams.readers.geos_cf import open_geos_cf
from deepcams.simulation.arrays import NUMPY, TorchArrays, world_arrays
from deepcams.simulation.world import SimulatedWorld

torch = pytest.importorskip("torch")

MIDDLE = np.datetime64("2019-12-01T12:30", "ns")
CPU = TorchArrays(NUMPY.nodes, "cpu")
BOXES = [(75, 20, 95, 32), (170, -20, -170, -5), (100, 84, 250, 90)]


def assert_agree(ours: np.ndarray, numpys: np.ndarray) -> None:
    """A last bit of a longitude moves the place by 3e-5 degrees: visible at the edge of a city, nowhere else."""
    off = np.abs(ours / numpys - 1)
    assert np.quantile(off, 0.99) < 1e-5
    assert off.max() < 3e-4


@pytest.mark.parametrize("box", BOXES, ids=str)
def test_torch_agrees_with_numpy(box: tuple[float, ...]) -> None:
    grid = Grid.globe(0.25).select(box)[0]
    world = SimulatedWorld(0)
    numpys = world.values(grid, MIDDLE, mean=True)
    assert_agree(world.values(grid, MIDDLE, mean=True, arrays=CPU), numpys)


def test_torch_agrees_on_the_globe_at_once_and_in_bands() -> None:
    grid, world = Grid.globe(1.5), SimulatedWorld(0)
    numpys = world.values(grid, MIDDLE)
    for nodes in (2_000, 10**6):
        values = world.field(
            grid, np.array([MIDDLE]), arrays=TorchArrays(nodes, "cpu")
        ).values[0]
        assert values.dtype == np.float32
        assert np.ptp(values[0]) == np.ptp(values[-1]) == 0
        assert_agree(values, numpys)


def test_arrays_travel_to_other_processes() -> None:
    there = pickle.loads(pickle.dumps(TorchArrays(123, "cpu")))
    assert (there.name, there.nodes) == ("torch on cpu", 123)


def test_the_device_is_chosen_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert world_arrays("cpu") is NUMPY
    with pytest.raises(InputError, match="--device"):
        world_arrays("tpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert world_arrays("auto") is NUMPY
    with pytest.raises(InputError, match="CUDA"):
        world_arrays("cuda")


def test_the_command_computes_with_what_the_device_says(
    tmp_path, monkeypatch, capsys
) -> None:  # type: ignore[no-untyped-def]
    asked = []

    def arrays(device: str) -> TorchArrays:
        asked.append(device)
        return CPU

    monkeypatch.setattr("deepcams.simulation.arrays.world_arrays", arrays)
    period = [
        "--layout",
        "geos-cf",
        "--period",
        "2019-12-01T12",
        "--bbox",
        "75",
        "20",
        "80",
        "25",
    ]
    assert main(["simulate", "-o", str(tmp_path), *period, "--device", "cuda"]) == 0
    assert asked == ["cuda"]
    written = open_geos_cf(tmp_path)
    grid = Grid.globe(0.25).select((75, 20, 80, 25))[0]
    ours = SimulatedWorld(0).values(grid, MIDDLE, mean=True, arrays=CPU)
    np.testing.assert_array_equal(written.values[0], ours)
    capsys.readouterr()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_agrees_with_numpy() -> None:
    grid, world = Grid.globe(0.25), SimulatedWorld(0)
    arrays = world_arrays("cuda")
    assert arrays.name.startswith("torch on cuda")
    assert_agree(world.values(grid, MIDDLE, arrays=arrays), world.values(grid, MIDDLE))
