"""A whole experiment from one file."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from deepcams.cli import main
from deepcams.core.errors import InputError, OutputError
from deepcams.experiment.execute import check
from deepcams.experiment.run_options import read_run
from deepcams.experiment.step_records import Plan, Step, alone
from deepcams.experiment.steps import ExperimentRun, _rows
from deepcams.fetch.endpoints import Endpoints

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SIMULATED = CONFIGS / "paper-simulated.yaml"
STEPS = [
    "fetch cams",
    "fetch openaq",
    "fetch geos-cf",
    "train temporal",
    "train spatial",
    "evaluate",
    "downscale",
    "validate",
    "report",
]


def whole(name: str, out: Path, *changes: str) -> ExperimentRun:
    return ExperimentRun(
        read_run(CONFIGS / f"{name}.yaml", changes), CONFIGS, out, Endpoints()
    )


@pytest.mark.parametrize("name", ["paper", "paper-simulated"])
def test_shipped_files_are_experiments(name: str, tmp_path: Path) -> None:
    experiment = whole(name, tmp_path)
    assert [step.name for step in experiment.plan().steps] == STEPS
    assert experiment.experiment("temporal").data.stores[0].path == str(
        tmp_path / "data" / "geos_cf.zarr"
    )


def test_unknown_keys_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'degradation'"):
        whole("paper", tmp_path, "degradations=area")
    with pytest.raises(InputError, match=r"train\.spatial.*either file or experiment"):
        whole("paper", tmp_path, "train.spatial.file=null").plan()


@pytest.mark.parametrize("name", ["paper", "paper-simulated"])
def test_shipped_files_are_refused_nothing_beforehand(
    name: str, tmp_path: Path
) -> None:
    check(whole(name, tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("fetch.cams.period=2099", "fetch.cams.period: expected one that has begun"),
        ("fetch.cams.period=2001", "fetch.cams.period: expected 2003-01-01 or later"),
        (
            "fetch.geos_cf.period=2016",
            "fetch.geos_cf.period: expected hours of version 1",
        ),
        (
            "fetch.openaq.country=XX",
            "fetch.openaq.country: expected a country's two letters",
        ),
        (
            "fetch.openaq.period=2016",
            "fetch.openaq.period: expected hours of fetch.cams.period",
        ),
        (
            "train.temporal.experiment.network.name=xvfy",
            "train.temporal: network.name: expected one of",
        ),
        (
            "train.spatial.experiment.network.options.dd=8",
            "train.spatial: network.options: expected the options d",
        ),
        (
            "train.spatial.experiment.network.start=gone.safetensors",
            "gone.safetensors: expected",
        ),
        (
            "train.temporal.experiment.validation.baselines=[liner]",
            "train.temporal: validation.baselines: expected",
        ),
        (
            "train.temporal.experiment.split.train.periods=[2018]",
            "train.temporal: split.train.periods: expected hours",
        ),
        (
            "train.spatial.experiment=null",
            "train.spatial: expected either file or experiment, found neither",
        ),
        (
            "train.spatial.file=gone.yaml",
            "train.spatial: expected either file or experiment, found both",
        ),
        (
            "evaluate.period=2018",
            "evaluate.period: expected hours of fetch.geos_cf.period",
        ),
        ("evaluate.temporal=[liner]", "evaluate.temporal: expected one of"),
        ("evaluate.spatial=[gone.safetensors]", "evaluate.spatial: expected"),
        ("stations.by=[yeer]", "stations.by: expected one of"),
    ],
)
def test_what_a_late_step_would_refuse_is_refused_at_once(
    change: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(["run", str(SIMULATED), "-o", str(tmp_path / "out"), "--set", change]) == 2
    )
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert told in captured.err
    assert captured.out == ""
    assert list(tmp_path.iterdir()) == []


def test_what_is_done_is_not_asked_about_again(tmp_path: Path) -> None:
    """A checkpoint that a finished training started from may be gone."""
    change = "train.spatial.experiment.network.start=gone.safetensors"
    done(whole("paper-simulated", tmp_path, change))
    check(whole("paper-simulated", tmp_path, change))


def pretend(plan: Plan, step: Step, why: str) -> None:
    """Note a step as done, and have it leave something."""
    plan.begin(step, why)
    for path in step.outputs:
        path.mkdir(parents=True, exist_ok=True)
    plan.end(step, "done")


def done(experiment: ExperimentRun) -> None:
    """Pretend that all steps were done."""
    plan = experiment.plan()
    for step in plan.steps:
        pretend(plan, step, "")


def due(experiment: ExperimentRun) -> dict[str, str]:
    """The steps that are to be done, and why; they are pretended to be done, one after another."""
    plan, found = experiment.plan(), dict[str, str]()
    plan.check()
    for step in plan.steps:
        if (why := plan.why(step)) is not None:
            found[step.name] = why
            pretend(plan, step, why)
    return found


@pytest.mark.parametrize(
    ("change", "steps"),
    [
        ("downscale.conserve=false", ["evaluate", "downscale", "validate", "report"]),
        ("evaluate.period=2019-12-01", ["evaluate", "report"]),
        ("stations.by=[month]", ["validate", "report"]),
        (
            "train.spatial.experiment.training.steps=70",
            ["train spatial", "evaluate", "downscale", "validate", "report"],
        ),
        ("train.spatial.experiment.output.card=Other words.", []),
        ("world.stations=13", ["fetch openaq", "validate", "report"]),
        (
            "fetch.cams.period=2019-12-02",
            ["fetch cams", "downscale", "validate", "report"],
        ),
        ("degradation=imresize", STEPS[2:]),
        ("world.seed=1", STEPS),
    ],
)
def test_only_what_depends_on_a_change_is_done_again(
    tmp_path: Path, change: str, steps: list[str]
) -> None:
    done(whole("paper-simulated", tmp_path))
    assert due(whole("paper-simulated", tmp_path)) == {}
    reasons = due(whole("paper-simulated", tmp_path, change))
    assert list(reasons) == steps
    if steps:
        assert reasons[steps[0]].startswith(f"{change.partition('=')[0]} was ")
    assert due(whole("paper-simulated", tmp_path, change)) == {}


def test_what_is_gone_is_made_again_and_trainings_are_set_aside(tmp_path: Path) -> None:
    done(whole("paper-simulated", tmp_path))
    shutil.rmtree(tmp_path / "pm25.zarr")
    assert due(whole("paper-simulated", tmp_path)) == {
        "downscale": "pm25.zarr is no longer there",
        "validate": "downscale was done again",
        "report": "downscale was done again",
    }
    (tmp_path / "runs" / "spatial" / "weights").write_text("")
    changed = whole(
        "paper-simulated", tmp_path, "train.spatial.experiment.training.batch=5"
    )
    plan = changed.plan()
    step = next(step for step in plan.steps if step.name == "train spatial")
    assert plan.begin(step, plan.why(step) or "") == [
        "the former one is now runs/spatial-before-1"
    ]
    assert (tmp_path / "runs" / "spatial-before-1" / "weights").exists()
    assert plan.why(step) == ""  # begun: a stop now goes on with it


def test_weights_that_are_gone_are_trained_again(tmp_path: Path) -> None:
    """The state alone does not hold the best ones."""
    experiment = whole("paper-simulated", tmp_path)
    done(experiment)
    experiment.checkpoint("spatial").rmdir()
    reasons = due(whole("paper-simulated", tmp_path))
    assert (
        reasons["train spatial"]
        == "runs/spatial/abpn-simulated.safetensors is no longer there"
    )
    assert (tmp_path / "runs" / "spatial-before-1").is_dir()
    assert due(whole("paper-simulated", tmp_path)) == {}


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", '{"item": 3}', "\0\0\0", "other facts"]
)
def test_a_damaged_record_is_none(tmp_path: Path, text: str) -> None:
    done(whole("paper-simulated", tmp_path))
    path = tmp_path / ".deepcams-run" / "validate.record.json"
    path.write_text(
        path.read_text().replace("by", "at") if text == "other facts" else text
    )
    assert due(whole("paper-simulated", tmp_path)) == {
        "validate": "",
        "report": "validate was done again",
    }


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"rows": 3}', '{"rows": [3]}', '{"rows": [{"period": "2019-12"}]}'],
)
def test_damaged_scores_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "joint.json").write_text(text)
    assert _rows(tmp_path / "joint.json") is None


def test_a_kill_while_clearing_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done(whole("paper-simulated", tmp_path))
    plan = whole("paper-simulated", tmp_path, "downscale.conserve=false").plan()
    step = next(step for step in plan.steps if step.name == "downscale")
    why = plan.why(step)
    assert why == "downscale.conserve was true, now false"

    def killed(path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            plan.begin(step, why)
    unchanged = whole("paper-simulated", tmp_path).plan()
    for again in (
        plan,
        unchanged,
    ):  # half of it may be gone: also where the change is taken back
        assert again.why(step) == why
    plan.begin(step, why)
    assert not (tmp_path / "pm25.zarr").exists()


def test_fetched_data_are_not_thrown_away(tmp_path: Path) -> None:
    done(whole("paper", tmp_path))
    assert list(
        due(whole("paper", tmp_path, "fetch.cams.period=2003-01..2021-12"))
    ) == [
        "fetch cams",
        "downscale",
        "validate",
        "report",
    ]
    with pytest.raises(OutputError, match=r"bbox.*not deleted: remove .*cams by hand"):
        due(whole("paper", tmp_path, "fetch.cams.bbox=[0, 0, 9, 9]"))
    with pytest.raises(OutputError, match=r"period was.*not deleted"):
        due(whole("paper", tmp_path, "fetch.cams.period=2019"))
    (tmp_path / "data" / "cams").rmdir()
    assert "fetch cams" in due(whole("paper", tmp_path, "fetch.cams.period=2019"))


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    words = "another deepcams writes to it now"
    with (
        alone(tmp_path / "out"),
        pytest.raises(OutputError, match=words),
        alone(tmp_path / "out"),
    ):
        pytest.fail("two have it")
    with alone(tmp_path / "out"):
        pass
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(OutputError, match="expected a folder, found a file"),
        alone(tmp_path / "file"),
    ):
        pytest.fail("a file is no folder")


def results(out: Path) -> dict[str, object]:
    """What must be the same however often a run was stopped."""
    from safetensors.numpy import load_file

    found: dict[str, object] = {
        path.relative_to(out).as_posix(): path.read_text(encoding="utf-8").replace(
            str(out), "OUT"
        )
        for path in sorted(
            [*(out / "scores").glob("*"), *(out / "validation").glob("*.csv")]
        )
    }
    for path in sorted((out / "runs").glob("*/*.safetensors")):
        found |= {
            f"{path.stem} {name}": values.tobytes()
            for name, values in load_file(path).items()
        }
    with xr.open_zarr(out / "pm25.zarr") as data:
        found |= {
            str(name): values.values.tobytes()
            for name, values in data.variables.items()
        }
    return found


@pytest.mark.slow
def test_paper_simulated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "results"
    arguments = ["run", str(SIMULATED), "-o", str(out), "--device", "cpu"]
    assert main(arguments) == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in told] == [*STEPS, "results"]
    assert {path.name for path in (out / "scores").glob("*.json")} == {
        "temporal.json",
        "spatial.json",
        "joint.json",
    }
    assert (out / "validation" / "scores.csv").exists()
    assert (out / "validation" / "scatter.png").exists()
    report = (out / "report.html").read_text(encoding="utf-8")
    for words in ("xvfi-simulated", "abpn-simulated", "linear-eq9", "log-bicubic"):
        assert words in report
    assert main(arguments) == 0
    assert capsys.readouterr().out.count("done before") == 9
    first = results(out)
    assert main([*arguments, "--set", "downscale.conserve=false"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert sum("done before" in line for line in told) == 5
    assert (
        "downscale: done again, because downscale.conserve was true, now false" in told
    )
    assert "validate: done again, because downscale was done again" in told
    assert results(out)["pm2p5"] != first["pm2p5"]


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path: Path) -> None:
    """The same results after ten kills (-9) as without any."""

    def start(out: Path) -> subprocess.Popen[str]:
        command = [
            sys.executable,
            "-m",
            "deepcams",
            "run",
            str(SIMULATED),
            "-o",
            str(out),
            "--device",
            "cpu",
        ]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    began = time.monotonic()
    clean = start(tmp_path / "clean")
    _, errors = clean.communicate(timeout=600)
    whole = time.monotonic() - began
    assert clean.returncode == 0, errors
    random, killed, out = np.random.default_rng(3), 0, tmp_path / "killed"
    # The simulated world is made a day at once, a quarter of the whole: kills would hardly ever get beyond it.
    for name in ("cams", "openaq", ".geos_cf.zarr.fetch"):
        shutil.copytree(tmp_path / "clean" / "data" / name, out / "data" / name)
    while killed < 10:
        process = start(out)
        try:
            process.wait(whole * random.uniform(0.08, 0.18))
            break  # done before ten kills
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            killed += 1
    last = start(out)
    told, errors = last.communicate(timeout=600)
    assert last.returncode == 0, errors
    assert killed >= 5
    assert "done before" in told
    here, there = results(out), results(tmp_path / "clean")
    assert here.keys() == there.keys()
    assert [name for name in here if here[name] != there[name]] == []
