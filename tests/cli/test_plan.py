"""deepcams plan as people use it: a table, JSON, and a script."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import xarray as xr

from deepcams.cli import main


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with ``cams.nc``: two days and a frame of a 7.5 degree globe."""
    monkeypatch.chdir(tmp_path)
    values = np.random.default_rng(1).lognormal(1, 1, (17, 25, 48)) * 1e-9
    coordinates = {
        "valid_time": np.datetime64("2019-12-01", "ns")
        + np.arange(17) * np.timedelta64(3, "h"),
        "latitude": np.arange(90, -90.01, -7.5),
        "longitude": np.arange(0, 360, 7.5),
    }
    field = xr.DataArray(
        values.astype(np.float32),
        coordinates,
        tuple(coordinates),
        "pm2p5",
        {"units": "kg m**-3"},
    )
    field.to_netcdf(tmp_path / "cams.nc")
    return tmp_path


METHODS = ["--temporal", "linear", "--spatial", "bicubic"]


def test_a_table_and_a_script(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    arguments = ["plan", "cams.nc", "--years", "2019-12-01..2019-12-05", *METHODS]
    arguments += ["--bbox", "-12", "34", "45", "72", "--script", "job.sh"]
    assert main(arguments) == 0
    told = capsys.readouterr().out
    assert "118 hours of 15 x 24 in 5 work items (shards)" in told
    assert "measured: the first 2 days of cams.nc" in told
    assert "…" not in told
    assert [line.split()[0] for line in told.splitlines()[9:12]] == ["1", "2", "4"]
    assert "5 tasks, " in told  # of 100 by default: one a work item
    script = (here / "job.sh").read_text()
    assert "#SBATCH --array=1-5\n" in script
    assert "INPUT=(cams.nc) " in script
    assert (
        "--bbox -12 34 45 72 --device auto --engine auto --period 2019-12-01..2019-12-05"
        in script
    )
    assert '--part "$SLURM_ARRAY_TASK_ID/5"' in script
    assert sorted(path.name for path in here.iterdir()) == ["cams.nc", "job.sh"]


def test_json_holds_everything(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["plan", "cams.nc", *METHODS, "--days", "1"]
    arguments += ["--json", "--scheduler-type", "pbs", "--script", "job.pbs"]
    assert main([*arguments, "--workers", "9"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["items"], found["hours"]) == (6575, 6575 * 24 - 2)  # 2003..2020
    measured = found["measured"]
    assert measured["hours"] == 24
    assert 50e6 < measured["memory"] < 4e9
    assert 0 < measured["busy"] < 2
    raw = 24 * 73 * 144 * 4
    assert 0.05 * raw < measured["bytes"] < 2 * raw
    assert found["bytes"] == pytest.approx(
        measured["bytes"] / 24 * found["hours"], 1e-6
    )
    hours = measured["seconds"][0] * found["hours"] / 24 / 3600
    assert found["processor_hours"] == pytest.approx(hours)
    assert found["gpu_hours"] == 0
    assert found["conditions"]["slowness"] == 1.5
    workers = [row["workers"] for row in found["schedules"]]
    assert workers == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000]
    assert "#PBS -J 1-9\n" in (here / "job.pbs").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--years", "2020..2003"], "--years: expected an end after the start"),
        (["--stragglers", "2"], "--stragglers: expected a number from 0 to 1"),
        (["--script", "no/job.sh"], "expected an existing folder"),
        (["--temporal", "flaw", "--years", "2019"], "did you mean 'flow'?"),
        (["--days", "0"], "--days"),
        (["--cpus", "5000"], "the processors of this machine, found 5000"),
    ],
)
def test_what_cannot_be_planned_is_refused_before_the_run(
    here: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    assert main(["plan", "cams.nc", *arguments]) == 2
    told = capsys.readouterr()
    assert message in told.err
    assert len(told.err.splitlines()) == 1
    assert not told.out


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_stopped_plan_leaves_no_process_and_no_file(here: Path) -> None:
    temporary = here / "temporary"
    temporary.mkdir()
    command = [sys.executable, "-m", "deepcams", "plan", "cams.nc", *METHODS]
    plan = subprocess.Popen(
        command,
        env={**os.environ, "TMPDIR": str(temporary)},
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    children: list[psutil.Process] = []
    while not children and time.monotonic() < deadline:
        time.sleep(0.05)
        children = psutil.Process(plan.pid).children()
    plan.terminate()
    _, told = plan.communicate(timeout=60)
    assert plan.returncode == 130
    assert "stopped; nothing was written" in told
    assert not list(temporary.iterdir())
    assert children
    assert not any(child.is_running() for child in children)
