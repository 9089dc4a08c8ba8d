"""The maps of a world are made once; a cache that is damaged, full or cannot be written to only costs time."""

import os
from pathlib import Path

import numpy as np
import pytest

from deepcams.simulation import emissions

MAPS = {
    "1.0": np.random.default_rng(0).random((181, 360), np.float32),
    "land": np.random.default_rng(1).random((61, 120), np.float32),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEEPCAMS_CACHE", str(tmp_path))
    return tmp_path / "simulated-world"


def made(seed: int = 0) -> int:
    """Return how often maps are made when a new process asks for them; they must be the same in any case."""
    calls = []

    @emissions.cached_maps
    def ground(seed: int) -> dict[str, np.ndarray]:
        calls.append(seed)
        return MAPS

    found = ground(seed)
    assert found.keys() == MAPS.keys()
    for key, values in MAPS.items():
        expected = emissions.SphereMap(values)._flat["numpy"]
        np.testing.assert_array_equal(found[key]._flat["numpy"], expected)
    assert ground(seed) is found
    return len(calls)


def test_maps_are_made_once(folder: Path) -> None:
    assert [made(), made(), made(1), made(1)] == [1, 0, 1, 0]
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("damage", ["cut off", "empty", "other bytes", "other code"])
def test_damaged_maps_are_made_again(
    folder: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made()
    (path,) = folder.iterdir()
    data = bytearray(path.read_bytes())
    if damage == "cut off":
        path.write_bytes(data[:-10])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "other bytes":
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    else:
        monkeypatch.setattr(emissions, "_code", lambda: "another version")
    assert [made(), made()] == [1, 0]


def test_a_cache_that_cannot_be_written_to_only_costs_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DEEPCAMS_CACHE", str(tmp_path / "file"))
    assert [made(), made()] == [1, 1]


def test_a_full_disk_only_costs_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: object, **maps: np.ndarray) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    assert [made(), made()] == [1, 1]
    assert list(folder.iterdir()) == []


def test_the_longest_unused_maps_go_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = sum(values.nbytes for values in MAPS.values())
    monkeypatch.setattr(emissions, "CACHE_BYTES", int(2.5 * size))
    assert [made(0), made(1)] == [1, 1]
    for seed in (0, 1):
        (path,) = folder.glob(f"ground-{seed}-*")
        os.utime(path, (seed, seed))
    assert [made(0), made(2)] == [0, 1]
    assert {path.name[:8] for path in folder.iterdir()} == {"ground-0", "ground-2"}
