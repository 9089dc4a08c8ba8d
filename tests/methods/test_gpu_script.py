"""benchmarks/gpu.py runs: nobody can try it where it is written."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

torch = pytest.importorskip("torch")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu.py"
    spec = importlib.util.spec_from_file_location("gpu_script", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "gpu_script", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "keep_memory", lambda: None)
    monkeypatch.setattr("deepcams.bench.breakdown.keep_memory", lambda: None)
    return module


def test_it_goes_the_gpus_way_on_the_cpu(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepcams.methods.temporal.flow._FLOW_STEP", 2.5)
    assert script.main(["--device", "cpu", "--quick", "-o", str(tmp_path)]) == 0
    tables = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))["tables"]
    chain, networks, equal = tables.values()
    assert chain[2]["record h"] > 0
    assert chain[3]["MB to an hour"] > 0  # so motion was PyTorch's
    assert all(row["items/s"] > 0 for row in networks)
    assert {row["network"].split()[0].strip(",") for row in networks} == {
        "cellnet",
        "ABPN",
        "XVFI",
    }
    assert all(row["within"] and row["share beyond the bound"] == 0 for row in equal)
    assert "## Equality" in (tmp_path / "gpu.md").read_text(encoding="utf-8")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_no_gpu_is_one_line(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script.main(["-o", str(tmp_path / "gpu")]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "expected a CUDA device" in told
    assert not (tmp_path / "gpu").exists()
