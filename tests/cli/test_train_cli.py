"""deepcams train as people use it: what it says and writes, how it stops, and what it survives."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from deepcams.cli import main
from deepcams.core.field import field_like
from deepcams.core.grid import Grid
from deepcams.networks.checkpoint import load
from deepcams.training.run_folder import read_log
from deepcams.training.store.prepare import prepare

CONFIGS = Path(__file__).parents[2] / "configs"
TINY: dict[str, Any] = {
    "version": 1,
    "data": {"stores": [{"path": "store.zarr"}]},
    "split": {
        "train": {"periods": ["2019-12-01"]},
        "validation": {"periods": ["2019-12-02"]},
    },
    "samples": {"task": "spatial", "crop": 8},
    "network": {"name": "abpn", "options": {"d": 4, "stages": 2}},
    "training": {"steps": 6, "batch": 4, "log_every": 2, "save_every": 2},
    "validation": {"every": 3, "samples": 4, "margin": 1},
    "output": {"name": "tiny"},
}


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six hours before midnight and six after, of a small region."""
    import xarray as xr

    grid = Grid(0.25, 100, 100, 40, 50)
    times = np.datetime64("2019-12-01T18:30", "ns") + np.arange(12) * np.timedelta64(
        1, "h"
    )
    rng = np.random.default_rng(0)
    values = np.cumsum(rng.lognormal(0, 0.3, (12, 40, 50)), axis=2).astype(np.float32)
    field = field_like(
        xr.DataArray(0.0, name="pm2p5", attrs={"cell_methods": "time: mean"}),
        values,
        grid,
        times,
    )
    path = tmp_path_factory.mktemp("stores") / "store.zarr"
    prepare(field, path)
    return path


@pytest.fixture
def here(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a store and an experiment."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "store.zarr").symlink_to(store)
    (tmp_path / "e.yaml").write_text(yaml.safe_dump(TINY))
    return tmp_path


def test_what_it_says_and_writes(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "e.yaml", "-o", "run", "--set", "training.steps=4"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("run/tiny.safetensors: step ")
    assert "of 4" in said
    assert "log-bicubic" in said
    written = {path.name for path in (here / "run").iterdir()}
    assert written >= {
        "experiment.yaml",
        "log.csv",
        "curve.png",
        "state.pt",
        "tiny.safetensors",
    }
    assert (here / "run" / "curve.png").read_bytes()[:4] == b"\x89PNG"
    # the best weights are a checkpoint like any other
    assert main(["models", "show", "run/tiny.safetensors"]) == 0
    assert main(["train", "e.yaml", "-o", "run"]) == 2
    assert (
        "holds a training already; continue it with --resume" in capsys.readouterr().err
    )
    assert main(["train", "e.yaml", "-o", "run", "--resume"]) == 0  # two steps more
    assert [row["step"] for row in read_log(here / "run" / "log.csv")] == [
        "0",
        "2",
        "3",
        "4",
        "6",
    ]
    # what was frozen is an experiment itself
    assert (
        main(
            ["train", "run/experiment.yaml", "-o", "again", "--set", "training.steps=1"]
        )
        == 0
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            ["training.optimizer.lr=x"],
            "e.yaml: training.optimizer.lr: expected a number, found 'x'",
        ),
        (["training.optimzer={lr: 1}"], "did you mean 'optimizer'?"),
        (
            ["data.variable=pm10"],
            "store.zarr: expected a training store of pm10, found one of pm2p5",
        ),
        (
            ["data.stores.0.path=none.zarr"],
            "none.zarr: expected a training store, found nothing of this name",
        ),
        (
            ["split.validation.periods=[2019]"],
            "train and validation that share no hour of a place",
        ),
        (
            ["split.train.periods=[2018]"],
            "error: e.yaml: split.train.periods: expected at least 1 consecutive hours in store.zarr",
        ),
        (
            ["samples.crop=20"],
            "error: e.yaml: samples.crop: expected a crop that fits into split.train.regions of store.zarr",
        ),
        (["network.name=abnp"], "error: e.yaml: network.name: expected one of abpn, "),
        (["network.preset=papr"], "error: e.yaml: network.preset: expected one of "),
        (
            ["network.options.features=2"],
            "error: e.yaml: network.options: expected the options ",
        ),
        (
            ["network.options.d=x"],
            "error: e.yaml: network.options.d: expected a value of type int, found 'x'",
        ),
        (
            ["network.scaling={name: asin}"],
            "error: e.yaml: network.scaling.name: expected one of ",
        ),
        (
            ["network.scaling={name: asinh, options: {nee: 1}}"],
            "error: e.yaml: network.scaling.options: expected the ",
        ),
        (
            ["network.scaling={name: asinh, options: {knee: -1}}"],
            "error: e.yaml: network.scaling.options.knee: expected a positive number, found -1.0",
        ),
        (["validation.baselines=[cubic]"], "bicubic"),
        (["training.steps"], "--set: expected key.of.value=VALUE"),
    ],
)
def test_bad_input_is_one_line(
    here: Path, capsys: pytest.CaptureFixture[str], changes: list[str], message: str
) -> None:
    arguments = [part for change in changes for part in ("--set", change)]
    assert main(["train", "e.yaml", "-o", "run", *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (here / "run").exists()


@pytest.mark.parametrize(
    ("change", "step", "saved"),
    [
        ("training.optimizer.lr=1e38", "step 1", True),
        ("training.optimizer.lr=1e300", "step 1", True),
        ("training.optimizer={lr: 1e30}", "step 2", True),
        ("training.optimizer={name: adamw, weight_decay: 1e39}", "step 2", True),
        ("network.scaling={name: asinh, options: {knee: 1e-45}}", "step 1", False),
    ],
)
def test_a_setting_without_a_finite_loss_is_one_line(
    here: Path, capsys: pytest.CaptureFixture[str], change: str, step: str, saved: bool
) -> None:
    arguments = ["--set", change, "--set", "training.schedule={name: constant}"]
    assert main(["train", "e.yaml", "-o", "run", "--device", "cpu", *arguments]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1, said
    assert step in said
    assert "; lower training.optimizer.lr or set training.clip; " in said
    assert (
        "the best weights so far (step 0) are in run/tiny.safetensors" in said
    ) == saved
    assert (here / "run" / "tiny.safetensors").exists() == saved
    if saved:
        assert load(here / "run" / "tiny.safetensors").card.provenance["steps"] == 0
    assert not (here / "run" / "state.pt").exists()


def test_a_store_in_the_home_folder(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(here))
    for k, path in enumerate(("~/store.zarr", "$HOME/store.zarr")):
        changes = ["--set", f"data.stores.0.path={path}", "--set", "training.steps=1"]
        assert (
            main(["train", "e.yaml", "-o", f"run{k}", "--device", "cpu", *changes]) == 0
        )


def test_a_file_named_like_a_value_is_named_once(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "e.yaml").rename(here / "training.yaml")
    for change, message in (
        ("training.batch=x", "training.yaml: training.batch: expected a whole number"),
        ("network.name=x", "training.yaml: network.name: expected one of"),
    ):
        assert main(["train", "training.yaml", "-o", "run", "--set", change]) == 2
        assert capsys.readouterr().err.startswith(f"deepcams: error: {message}")


def test_the_example_of_the_help_works(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--help"]) == 0
    said = capsys.readouterr().out
    for path in CONFIGS.glob("smoke-*.yaml"):
        assert path.name in said
    assert "--resume" in said


def start(*arguments: str, limit: int | None = None) -> subprocess.Popen[str]:
    """``deepcams`` as a process of its own; ``limit``: largest file it may write, bytes."""

    def limited() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "deepcams", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=limited,
    )


def until(holds: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while not holds():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def same_end(one: Path, other: Path) -> None:
    states = [
        torch.load(folder / "state.pt", weights_only=True) for folder in (one, other)
    ]
    assert states[0]["step"] == states[1]["step"]
    for name, tensor in states[0]["network"].items():
        assert torch.equal(tensor, states[1]["network"][name])
    logs = [
        [{**row, "minutes": ""} for row in read_log(folder / "log.csv")]
        for folder in (one, other)
    ]
    assert logs[0] == logs[1]


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_whatever_stops_it_it_goes_on(here: Path, how: signal.Signals) -> None:
    """Ctrl-C and SIGTERM save the state and say how to go on; kill -9 loses the steps since the last state alone."""
    longer = [
        "--device",
        "cpu",
        "--set",
        "training.steps=60",
        "--set",
        "training.workers=1",
    ]
    process = start("train", "e.yaml", "-o", "run", *longer)
    until(lambda: (here / "run" / "state.pt").exists(), process)
    process.send_signal(how)
    _, said = process.communicate()
    if how == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 130
        assert "stopped after step" in said
        assert "Go on with:\n  deepcams train e.yaml -o run" in said
        assert "--resume" in said
        assert "Traceback" not in said
    assert torch.load(here / "run" / "state.pt", weights_only=True)["step"] < 60
    for folder, more in (("run", ["--resume"]), ("whole", [])):
        process = start("train", "e.yaml", "-o", folder, *longer, *more)
        process.communicate()
        assert process.returncode == 0
    same_end(here / "run", here / "whole")


@pytest.mark.slow
def test_a_full_disk_is_one_line(here: Path) -> None:
    """Files may grow to less than a state: the weights saved before it are whole."""
    process = start("train", "e.yaml", "-o", "run", "--device", "cpu", limit=120_000)
    _, said = process.communicate()
    assert process.returncode == 2
    assert "Traceback" not in said
    last = said.strip().splitlines()[-1]
    assert last.startswith(
        "deepcams: error: run/state.pt cannot be written: File too large; free some space"
    )
    assert not list((here / "run").glob("*.partial"))
    load(here / "run" / "tiny.safetensors")


@pytest.mark.slow
def test_torchrun_trains_with_two_processes(here: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--master-port",
        "0",
        "--rdzv-backend",
        "c10d",
        "--rdzv-endpoint",
        "127.0.0.1:0",
        "-m",
        "deepcams",
        "train",
        "e.yaml",
        "-o",
        "run",
        "--device",
        "cpu",
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("run/tiny.safetensors: step") == 1  # one of them speaks
    assert load(here / "run" / "tiny.safetensors").card.provenance["processes"] == 2
    assert [row["step"] for row in read_log(here / "run" / "log.csv")] == [
        "0",
        "2",
        "3",
        "4",
        "6",
    ]


@pytest.fixture(scope="session")
def smoke_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two simulated days of southern Asia, as the smoke experiments' first lines make them."""
    folder = tmp_path_factory.mktemp("smoke")
    box = ["60", "-15", "135", "50"]
    arguments = [
        "--layout",
        "geos-cf",
        "--period",
        "2019-12-01..2019-12-02",
        "--bbox",
        *box,
    ]
    assert main(["simulate", "-o", str(folder / "fields"), *arguments]) == 0
    prepare(folder / "fields", folder / "smoke.zarr")
    return folder / "smoke.zarr"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["smoke-temporal", "smoke-spatial"])
def test_smoke_trainings_beat_their_baseline_from_nothing(
    name: str, smoke_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "smoke.zarr").symlink_to(smoke_store)
    assert main(["train", str(CONFIGS / f"{name}.yaml"), "-o", "out"]) == 0
    skills = [
        float(row["skill"])
        for row in read_log(tmp_path / "out" / "log.csv")
        if row["skill"]
    ]
    # XVFI's first flows are small: it begins as a blend of both frames does
    assert skills[0] > {"smoke-temporal": 0.85, "smoke-spatial": 1.2}[name]
    assert min(skills) < 0.98 * skills[0]
    assert min(skills) < 0.98


def test_the_smoke_experiments_say_how_their_store_is_made() -> None:
    for path in CONFIGS.glob("smoke-*.yaml"):
        text = path.read_text()
        assert "deepcams simulate -o runs/smoke-fields --layout geos-cf" in text
        assert "deepcams prepare runs/smoke-fields -o runs/smoke.zarr" in text
