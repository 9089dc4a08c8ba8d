"""A whole experiment from one file."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepcams.cli import main
from deepcams.errors import InputError
from deepcams.fetch.endpoints import Endpoints
from deepcams.run.options import read_run
from deepcams.run.steps import Whole

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@pytest.mark.parametrize("name", ["paper", "paper-simulated"])
def test_shipped_files_are_experiments(name: str, tmp_path: Path) -> None:
    path = CONFIGS / f"{name}.yaml"
    whole = Whole(read_run(path), path.parent, tmp_path, Endpoints())
    assert next(step for step, _, _ in whole.steps()) == "fetch cams"
    assert whole.experiment("temporal").data.stores[0].path == str(tmp_path / "data" / "geos_cf.zarr")


def test_unknown_keys_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'degradation'"):
        read_run(CONFIGS / "paper.yaml", ["degradations=area"])
    whole = Whole(read_run(CONFIGS / "paper.yaml", ["train.spatial.file=null"]), CONFIGS, tmp_path, Endpoints())
    with pytest.raises(InputError, match=r"train\.spatial.*either file or experiment"):
        whole.steps()


@pytest.mark.slow
def test_paper_simulated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "results"
    arguments = ["run", str(CONFIGS / "paper-simulated.yaml"), "-o", str(out), "--device", "cpu"]
    with pytest.warns(match="are not scored"):
        assert main(arguments) == 0
    told = capsys.readouterr().out
    assert told.count("\n") == 9
    assert {path.name for path in (out / "scores").glob("*.json")} == {"temporal.json", "spatial.json", "joint.json"}
    assert (out / "validation" / "scores.csv").exists()
    assert (out / "validation" / "scatter.png").exists()
    assert main(arguments) == 0
    assert capsys.readouterr().out.count("done before") == 8
    assert main([*arguments, "--set", "downscale.conserve=false"]) == 2
    assert "done with other settings" in capsys.readouterr().err
