"""deepcams bench verbs: all of a run is in one stage or another, and begins with what precedes the input."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from deepcams.bench import inputs, verbs
from deepcams.bench.one_run import measured, run
from deepcams.bench.reading import read
from deepcams.bench.stage_costs import Cost
from deepcams.bench.verbs import Verb, as_text
from deepcams.cli import main
from deepcams.core.errors import DeepcamsError


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have small frames, and runs in this process."""

    def here(
        module: str, arguments: list[str], given: list[str], folder: Path, *_: object
    ) -> dict[str, Cost]:
        with monkeypatch.context() as moved:
            moved.chdir(folder)
            return run(module, arguments, given, None)

    monkeypatch.setattr(inputs, "COARSE_STEP", 7.5)
    monkeypatch.setattr("deepcams.methods.temporal.flow._FLOW_STEP", 2.5)
    monkeypatch.setattr("deepcams.downscaling.memory.keep_memory", lambda: None)
    monkeypatch.setattr(verbs, "measured", here)


@pytest.mark.parametrize(
    ("verb", "stages"),
    [
        pytest.param(
            "evaluate",
            {"read", "degrade", "score", "space", "motion", "carry"},
            marks=pytest.mark.slow,
        ),
        ("prepare", {"headers", "read", "degrade", "write", "sync"}),
        pytest.param(
            "validate",
            {"sort", "read", "match", "score", "draw"},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "train",
            {"read", "learn", "score", "draw", "write"},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_verb_has_its_stages(
    verb: str,
    stages: set[str],
    small: None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("torch" if verb == "train" else "duckdb")
    options = ["--stations", "20", "--repeats", "1", "--folder", str(tmp_path)]
    assert main(["bench", "verbs", verb, *options, "--json"]) == 0
    printed = capsys.readouterr().out  # after what the verb itself prints
    found = json.loads(printed[printed.index(f'{{\n  "{verb}"') :])[verb]
    assert set(found["stages"]) >= {"start", "other", *stages}
    assert sum(each["processor_share"] for each in found["stages"].values()) == (
        pytest.approx(1)
    )
    assert found["reading"]["wall"] > 0
    assert 0 < found["of_reading"] < 2
    assert found["input_bytes"] > 100_000
    assert list(tmp_path.iterdir()) == []


def test_a_run_of_its_own_starts_until_its_input_is_opened(tmp_path: Path) -> None:
    (tmp_path / "running.py").write_text(
        "import sys\n"
        "from deepcams.core.stages import stage\n"
        "sum(range(5_000_000))\n"
        "open('values').close()\n"
        "with stage('read'):\n"
        "    sum(range(2_500_000))\n"
        "sys.exit(int(sys.argv[1]))\n"
    )
    (tmp_path / "values").touch()
    path = {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    costs = measured("running", ["0"], ["values"], tmp_path, path)
    assert set(costs) == {"start", "read", "other"}
    assert costs["start"].processor > costs["read"].processor > 0.01
    assert costs["other"].processor < costs["read"].processor
    with pytest.raises(DeepcamsError, match="status 3"):
        measured("running", ["3"], ["values"], tmp_path, path)


def test_reading_alone_is_all_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "COARSE_STEP", 7.5)
    inputs.write_input(tmp_path / "cams.nc", 1)
    assert read(tmp_path / "cams.nc") == 9 * 25 * 48
    inputs.write_stations(tmp_path / "stations.parquet", 3, 1)
    assert read(tmp_path / "stations.parquet") % (24 * 3) == 0


def test_the_rate_is_of_what_follows_the_first_byte() -> None:
    stages = {"start": Cost(1, 2, peak=5), "read": Cost(3, 3, peak=9)}
    found = Verb("zones", {**stages, "other": Cost(1, 1)}, 10, Cost(1, 1))
    assert found.of_reading == 1 / 4
    assert (found.whole.processor, found.whole.peak) == (6, 9)
    first, second = as_text([found]).splitlines()[2], as_text([found]).splitlines()[-1]
    assert first.split() == [
        "zones",
        "2.00",
        "6.00",
        "5.00",
        "0",
        "0.0",
        "1.00",
        "25",
        "%",
    ]
    assert second.split(maxsplit=1)[1] == "read 3.00, start 2.00, other 1.00"
    assert Verb("info", stages, 10, None).of_reading is None


def test_an_unknown_verb_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "verbs", "evaluat"]) == 2
    assert "did you mean 'evaluate'?" in capsys.readouterr().err
