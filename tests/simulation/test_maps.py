"""The maps of a world are made once; a cache that is damaged, full or cannot be written to only costs time."""

import os
from pathlib import Path

import numpy as np
import pytest

from deepcams.simulation import emissions
from deepcams.simulation.emissions import cached_maps

MAPS = {
    "1.0": np.random.default_rng(0).random((181, 360), np.float32),
    "land": np.random.default_rng(1).random((61, 120), np.float32),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEEPCAMS_CACHE", str(tmp_path))
    return tmp_path / "simulated-world"


def made(name: str = "ground-0") -> int:
    """How often maps are made when they are asked for; they must be the same in any case."""
    calls = []

    def make() -> dict[str, np.ndarray]:
        calls.append(name)
        return MAPS

    found = cached_maps(name, make)
    assert found.keys() == MAPS.keys()
    for key, values in MAPS.items():
        expected = emissions.SphereMap(values)._flat["numpy"]
        np.testing.assert_array_equal(found[key]._flat["numpy"], expected)
    return len(calls)


def test_maps_are_made_once(folder: Path) -> None:
    assert [made(), made(), made("ground-1"), made("ground-1")] == [1, 0, 1, 0]
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


def test_a_full_disk_only_costs_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: object, **maps: np.ndarray) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    assert [made(), made()] == [1, 1]
    assert list(folder.iterdir()) == []


def test_the_longest_unused_maps_go_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = sum(values.nbytes for values in MAPS.values())
    monkeypatch.setattr(emissions, "CACHE_BYTES", int(2.5 * size))
    assert [made("a"), made("b")] == [1, 1]
    for time, name in enumerate("ab"):
        (path,) = folder.glob(f"{name}-*")
        os.utime(path, (time, time))
    assert [made("a"), made("c")] == [0, 1]
    assert {path.name[0] for path in folder.iterdir()} == {"a", "c"}
