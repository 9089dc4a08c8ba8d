"""Every script in examples/ runs as it is, in an empty folder."""

from __future__ import annotations

import importlib
import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import xarray as xr

from deepcams.methods import build

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


Run = Callable[..., str]


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Run a script in an empty folder, and return what it printed; a notice is an error."""
    monkeypatch.chdir(tmp_path)

    def call(name: str, *arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return call


def test_the_list_is_complete() -> None:
    listed = re.findall(
        r"`(\w+\.py)`:", (EXAMPLES / "README.md").read_text(encoding="utf-8")
    )
    assert sorted(listed) == sorted(path.name for path in EXAMPLES.glob("*.py"))


def test_a_cams_file_to_a_map(run: Run) -> None:
    shared = (
        EXAMPLES.parents[1]
        / "shared"
        / "data"
        / "cams"
        / "cams_eac4_20191231_new_layout.nc"
    )
    out = run("cams_to_map.py", *([shared] if shared.exists() else []))
    assert "map.png, pm25.nc" in out
    assert Path("map.png").read_bytes().startswith(b"\x89PNG")
    with xr.open_dataset("pm25.nc") as written:
        assert written.sizes["time"] == 3
        assert written.pm2p5.notnull().all()


def test_a_method_of_ones_own(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compared by its class, and found by its name once its package registers it."""
    nearest, bicubic = re.findall(r"mean absolute error ([\d.]+)", run("own_method.py"))
    assert float(bicubic) < float(nearest)
    entry_point = re.search(
        r"(nearest = )\"(.*)\"", (EXAMPLES / "own_method.py").read_text()
    )
    assert entry_point is not None
    metadata = tmp_path / "own_method-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: own-method\nVersion: 1.0\n"
    )
    (metadata / "entry_points.txt").write_text(
        f"[deepcams.spatial]\n{entry_point[1]}{entry_point[2]}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(EXAMPLES)
    registry = importlib.import_module("deepcams.core.registry")
    registry._installed.cache_clear()
    try:
        assert build("none", "nearest").name == "nearest (conserving)"
    finally:
        registry._installed.cache_clear()


def test_training_on_simulated_days(run: Run) -> None:
    pytest.importorskip("torch")
    out = run("train_on_simulated_days.py")
    assert re.search(r"run/cellnet-india.safetensors: step \d+ of 30", out)
    assert "a chain with these weights: cellnet (conserving) + flow" in out


def test_validation_with_stations(run: Run) -> None:
    pytest.importorskip("pyarrow")
    found = re.findall(
        r"field, (\w+): (\d+) pairs of (\d+), R ([\d.]+)",
        run("validate_with_stations.py"),
    )
    assert [view for view, *_ in found] == ["pooled", "cells", "stations"]
    assert all(
        float(r) > 0.5 for *_, r in found
    )  # the same world, seen by its own stations


def test_weights_of_ones_own(run: Run) -> None:
    pytest.importorskip("torch")
    out = run("own_weights.py")
    assert "none: fresh weights" in out
    assert re.search(r"\(2, 90, 120\) values, the largest [1-9]", out)
