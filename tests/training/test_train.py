"""Trainings: they learn, they go on where they were to the bit, and what fails leaves what was good."""

from __future__ import annotations

import csv
import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stand_in import StandIn, world

from deepcams.core.errors import DeepcamsError, DeepcamsNotice, InputError, OutputError
from deepcams.core.grid import Grid
from deepcams.core.times import stamp
from deepcams.networks.checkpoint import load
from deepcams.training.experiment_file import parse_experiment, read_experiment
from deepcams.training.frame_cache import FlowCache
from deepcams.training.loop import Summary, train
from deepcams.training.run_folder import EXPERIMENT, LOG, STATE, read_log
from deepcams.training.samples import Draw
from deepcams.training.store.open import Prepared

Values = Callable[..., dict[str, Any]]
pytestmark = pytest.mark.usefixtures("stores")


def run(
    values: Values,
    folder: Path,
    task: str = "temporal",
    *,
    stop_after: int | None = None,
    **more: Any,
) -> Summary:
    """Train, in the library's way; ``stop_after``: ask it to stop after so many steps of this run."""
    resume = more.pop("resume", False)
    asked = iter(range(1, 10**6))
    stop = (lambda: next(asked) >= stop_after) if stop_after else (lambda: False)
    return train(
        parse_experiment(values(task, more)),
        folder,
        resume=resume,
        device="cpu",
        stop=stop,
    )


def weights(folder: Path) -> dict[str, Any]:
    state = torch.load(folder / STATE, weights_only=True)
    found = {f"network {k}": v for k, v in state["network"].items()}
    found.update({f"average {k}": v for k, v in (state["average"] or {}).items()})
    for k, each in state["optimizer"]["state"].items():
        found.update({f"optimizer {k} {name}": value for name, value in each.items()})
    return found


def rows(folder: Path) -> list[dict[str, str]]:
    """The log without what a clock decides."""
    return [
        {k: v for k, v in row.items() if k != "minutes"}
        for row in read_log(folder / LOG)
    ]


def test_a_training_leaves_all_that_it_should(values: Values, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    folder = tmp_path / "run"
    experiment = parse_experiment(
        values("spatial", {"output": {"card": "For tests."}, "training": {"ema": 0.5}})
    )
    summary = train(
        experiment,
        folder,
        device="cpu",
        progress=lambda _, step, steps: told.append((step, steps)),
        on_validation=lambda where: (where / "seen").write_text("x"),
    )
    assert told == [(k, 6) for k in range(1, 7)]
    assert {p.name for p in folder.iterdir()} >= {
        "experiment.yaml",
        "log.csv",
        "state.pt",
        "tiny.safetensors",
        "seen",
    }
    assert read_experiment(folder / EXPERIMENT) == experiment
    log = read_log(folder / LOG)
    assert [row["step"] for row in log] == ["0", "2", "3", "4", "6"]
    assert [row["step"] for row in log if row["skill"]] == ["0", "3", "6"]
    card = load(summary.checkpoint).card
    best = min((float(row["skill"]), int(row["step"])) for row in log if row["skill"])
    assert (summary.skill, summary.best_step) == best
    assert card.provenance["validation"]["skill"] == summary.skill
    assert card.provenance["card"] == "For tests."
    assert card.provenance["steps"] == summary.best_step
    assert card.provenance["experiment"]["training"]["seed"] == 3
    assert card.provenance["split"]["train"][0]["regions"] == [
        "6 degrees, 31 x 29, -90..90 N, 6..174 E"
    ]
    assert set(card.provenance["validation"]["baselines"]) == {"log-bicubic", "bicubic"}
    assert "log-bicubic" in summary.text()


def test_scores_are_those_of_the_saved_network(
    values: Values, tmp_path: Path, stores: dict[str, StandIn]
) -> None:
    """The figure in the card, recomputed by hand from the file and the samples."""
    from deepcams.training.samples import SampleSet
    from deepcams.training.split import find_portions

    changes = {"validation": {"conserve": False, "margin": 1}}
    summary = run(values, tmp_path / "run", "spatial", **changes)
    checkpoint = load(summary.checkpoint)
    experiment = parse_experiment(values("spatial", changes))
    opened: Any = list(stores.values())
    samples = SampleSet(
        experiment.samples,
        find_portions(experiment, opened, "validation"),
        checkpoint.scaling,
        0,
        "validation",
    )
    errors = []
    for i in range(6):
        found = samples.values(i)
        with torch.no_grad():
            given = checkpoint.scaling.forward(torch.from_numpy(found.known))[
                None, None
            ]
            fine = checkpoint.scaling.inverse(checkpoint.network.refine(given))[
                0, 0
            ].numpy()  # type: ignore[operator]
        errors.append((np.maximum(fine, 0) - found.target)[3:-3, 3:-3])
    assert summary.network.mae == pytest.approx(np.abs(errors).mean(), rel=1e-5)
    assert summary.network.rmse == pytest.approx(
        np.sqrt(np.square(errors).mean()), rel=1e-5
    )
    assert summary.network.bias == pytest.approx(np.mean(errors), rel=1e-4)


@pytest.mark.parametrize(
    ("task", "precision"),
    [
        ("temporal", "float32"),
        ("spatial", "bfloat16"),
        pytest.param("temporal", "bfloat16", marks=pytest.mark.slow),
        pytest.param("spatial", "float32", marks=pytest.mark.slow),
    ],
)
def test_a_training_that_goes_on_is_the_same_to_the_bit(
    values: Values, tmp_path: Path, task: str, precision: str
) -> None:
    """Stopped twice, once between two saved states: weights, average, optimizer and log as without a stop."""
    recipe = {
        "training": {
            "ema": 0.9,
            "precision": precision,
            "clip": 0.5,
            "optimizer": {"name": "adamw"},
        }
    }
    whole = run(values, tmp_path / "whole", task, **recipe)
    first = run(values, tmp_path / "parts", task, stop_after=3, **recipe)
    assert first.stopped
    assert first.step == 3
    second = run(values, tmp_path / "parts", task, stop_after=1, resume=True, **recipe)
    assert second.step == 4
    third = run(values, tmp_path / "parts", task, resume=True, **recipe)
    assert (third.step, third.stopped) == (6, False)
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert rows(tmp_path / "whole") == rows(tmp_path / "parts")
    assert (third.skill, third.best_step, third.network) == (
        whole.skill,
        whole.best_step,
        whole.network,
    )
    best, again = (
        load(whole.checkpoint).network.state_dict(),
        load(third.checkpoint).network.state_dict(),
    )
    assert all(torch.equal(best[name], again[name]) for name in best)


def test_a_training_killed_after_its_last_state(values: Values, tmp_path: Path) -> None:
    """What was logged and saved after the state is written again, the same."""
    folder = tmp_path / "run"
    run(values, folder)
    wanted, log = weights(folder), rows(folder)
    run(values, tmp_path / "early", stop_after=2)
    (folder / STATE).write_bytes((tmp_path / "early" / STATE).read_bytes())
    with (folder / LOG).open("a") as file:
        file.write("7,0.1,0.0")  # cut off while it was written
    run(values, folder, resume=True)
    found = weights(folder)
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    assert rows(folder) == log


def test_going_on_needs_the_same_experiment(values: Values, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(values, folder, stop_after=2)
    with pytest.raises(
        OutputError, match="holds a training already; continue it with --resume"
    ):
        run(values, folder)
    with pytest.raises(
        OutputError,
        match=r"run exists with .*: training\.batch was 4, now 8; begin another",
    ):
        run(values, folder, resume=True, training={"batch": 8})
    summary = run(values, folder, resume=True, training={"steps": 8, "save_every": 100})
    assert summary.step == 8
    done = run(values, folder, resume=True, training={"steps": 8})
    assert (done.step, done.skill) == (8, summary.skill)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("x")
    with pytest.raises(OutputError, match="is not empty and holds no training"):
        run(values, tmp_path / "other")
    with pytest.raises(OutputError, match="is a file"):
        run(values, tmp_path / "other" / "thesis.tex")


@pytest.mark.parametrize("change", ["values", "hours"])
def test_going_on_needs_the_same_data(
    change: str,
    values: Values,
    tmp_path: Path,
    stores: dict[str, StandIn],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "run"
    run(values, folder, stop_after=2)
    run(values, folder, resume=True, stop_after=1)  # the same data: it goes on
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    store = next(iter(stores.values()))
    if change == "values":
        monkeypatch.setitem(store.sources, "values", "of other frames")
    else:
        monkeypatch.setattr(store, "times", store.times + np.timedelta64(1, "h"))
    with pytest.raises(
        OutputError,
        match=r"world\.zarr: .*fingerprint was \w+, now \w+; .*begin another training",
    ) as caught:
        run(values, folder, resume=True)
    assert "\n" not in str(caught.value)
    assert {
        path: path.read_bytes() for path in folder.iterdir() if path.is_file()
    } == before


def test_cached_motion_is_of_the_frames_that_the_store_holds_now(
    tmp_path: Path,
) -> None:
    def carried(scale: float) -> np.ndarray:
        grid = Grid(0.75, 40, 0, 24, 24)
        store = world(path=str(tmp_path / "w.zarr"), hours=4, coarse=grid)
        store.fine_values *= np.float32(scale)
        store.sources = {"values": f"times {scale}"}
        cache: Any = FlowCache(tmp_path / "flow")
        return np.asarray(cache.read(store, Draw(0, 0, 3, 1, "coarse", 4, 0, 8, 0), 8))

    first, other, again = carried(1), carried(4), carried(1)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_allclose(other, 4 * first, rtol=0.05)
    assert len(list((tmp_path / "flow").iterdir())) == 2


def test_resuming_what_was_never_saved_begins_anew(
    values: Values, tmp_path: Path
) -> None:
    with pytest.warns(
        DeepcamsNotice, match="holds no saved state: the training begins anew"
    ):
        summary = run(values, tmp_path / "run", resume=True)
    assert summary.step == 6


@pytest.mark.parametrize("content", [b"", b"rubbish", b"PK\x03\x04rest"])
def test_a_damaged_state_is_one_line(
    values: Values, tmp_path: Path, content: bytes
) -> None:
    run(values, tmp_path / "run", stop_after=2)
    (tmp_path / "run" / STATE).write_bytes(content)
    with pytest.raises(
        InputError, match=r"state\.pt: expected the saved state of a training"
    ) as caught:
        run(values, tmp_path / "run", resume=True)
    assert "\n" not in str(caught.value)


def test_a_state_is_never_executed(values: Values, tmp_path: Path) -> None:
    import os

    class Evil:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path / 'owned'}",)

    run(values, tmp_path / "run", stop_after=2)
    torch.save({"version": 1, "step": Evil()}, tmp_path / "run" / STATE)
    with pytest.raises(InputError, match=r"state\.pt"):
        run(values, tmp_path / "run", resume=True)
    assert not (tmp_path / "owned").exists()


def test_a_loss_that_is_no_number_names_its_sample(
    values: Values, tmp_path: Path, stores: dict[str, StandIn]
) -> None:
    store = stores["world.zarr"]
    # one hour is broken: it is met in step 1 or later, when a state and good weights are there
    split = {
        "split": {
            "train": {"periods": ["2019-12-01T00..2019-12-01T11"], "regions": []},
            "validation": {"periods": ["2019-12-01T12..2019-12-01T23"], "regions": []},
        }
    }
    experiment = parse_experiment(values("spatial", {**split, "samples": {"crop": 20}}))
    from deepcams.networks.scaling import Asinh
    from deepcams.training.samples import SampleSet
    from deepcams.training.split import find_portions

    opened: Any = [store]
    samples = SampleSet(
        experiment.samples, find_portions(experiment, opened, "train"), Asinh(), 3
    )
    hours = [samples.draw(i).hour for i in range(24)]
    broken = next(
        hour for hour in hours if hours.index(hour) >= 8
    )  # first met in step 2 or later
    number = hours.index(broken)
    store.fine_values[broken] = np.nan
    with pytest.raises(DeepcamsError, match="the loss is not finite") as caught:
        train(experiment, tmp_path / "run", device="cpu")
    text = str(caught.value)
    assert (
        f"in step {number // 4 + 1} with sample {number}: world.zarr, {stamp(store.times[broken])} UTC"
        in text
    )
    assert "N, " in text
    assert "\n" not in text
    assert load(tmp_path / "run" / "tiny.safetensors").card.provenance["steps"] == 0
    assert torch.load(tmp_path / "run" / STATE, weights_only=True)["step"] == 2


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        (1e39, "an update beyond float32 in step 4; lower training.optimizer.lr"),
        (1e36, "the loss is not finite after step 4; lower training.optimizer.lr"),
    ],
)
def test_a_training_that_diverges_keeps_what_was_good(
    values: Values,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rate: float,
    words: str,
) -> None:
    """What was saved after steps 2 and 3 stays, although step 4 is to be saved, too."""
    monkeypatch.setattr(
        "deepcams.training.loop.learning_rate",
        lambda training, length, step, minutes: rate if step == 3 else 1e-3,
    )
    folder = tmp_path / "run"
    with pytest.raises(DeepcamsError) as caught:
        run(values, folder, "spatial")
    assert str(caught.value).startswith(words)
    step = torch.load(folder / STATE, weights_only=True)["step"]
    assert step == 2
    steps = load(folder / "tiny.safetensors").card.provenance["steps"]
    assert f"the best weights so far (step {steps}) are in {folder}" in str(
        caught.value
    )
    assert [row["step"] for row in read_log(folder / LOG)] == ["0", "2", "3"]


@pytest.mark.parametrize("victim", ["state.pt", "tiny.safetensors", "log.csv"])
def test_a_full_disk_leaves_what_was_good(
    values: Values, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, victim: str
) -> None:
    folder = tmp_path / "run"
    run(values, folder, stop_after=2)
    before = {
        name: (folder / name).read_bytes() for name in ("state.pt", "tiny.safetensors")
    }
    real = Path.open

    def full(self: Path, mode: str = "r", *arguments: Any, **more: Any) -> Any:
        if victim in self.name and mode[0] in "wa":
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return real(self, mode, *arguments, **more)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(
        OutputError, match=f"{victim} cannot be written: No space left on device"
    ) as caught:
        run(values, folder, resume=True)
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    assert (folder / "state.pt").read_bytes() == before["state.pt"]
    load(folder / "tiny.safetensors")
    assert not list(folder.glob("*.part*"))


def test_an_unreadable_store_is_one_line(
    values: Values,
    tmp_path: Path,
    stores: dict[str, StandIn],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(self: StandIn, *arguments: Any) -> Any:
        raise InputError(self.path, "whole chunks", "a damaged one")

    monkeypatch.setattr(StandIn, "read", broken)
    with pytest.raises(
        InputError, match=r"world\.zarr: expected whole chunks, found a damaged one"
    ):
        run(values, tmp_path / "run")


def test_it_ends_when_nothing_gets_better(values: Values, tmp_path: Path) -> None:
    recipe = {
        "training": {"optimizer": {"lr": 1e-12}, "steps": 100},
        "validation": {"every": 2, "patience": 2},
    }
    summary = run(values, tmp_path / "run", "spatial", **recipe)
    assert summary.step < 20
    assert not summary.stopped


def test_minutes_end_it_too(values: Values, tmp_path: Path) -> None:
    recipe = {
        "steps": None,
        "minutes": 1e-4,
        "schedule": {"name": "cosine", "unit": "fraction", "warmup": 0.1},
    }
    summary = run(values, tmp_path / "run", "spatial", training=recipe)
    assert summary.step == 1
    assert summary.minutes >= 1e-4


def test_it_learns(values: Values, tmp_path: Path) -> None:
    """Both networks gain within a few steps: XVFI begins near linear interpolation, ABPN far away."""
    recipe = {
        "training": {"steps": 30, "optimizer": {"lr": 4e-3}, "clip": 1.0},
        "validation": {"every": 30},
    }
    for task, share in (("temporal", 0.9), ("spatial", 0.5)):
        run(values, tmp_path / task, task, **recipe)
        skills = [
            float(row["skill"])
            for row in read_log(tmp_path / task / LOG)
            if row["skill"]
        ]
        assert skills[-1] < share * skills[0]


def test_a_batch_that_processes_cannot_share(
    values: Values, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deepcams.training import loop as module
    from deepcams.training.distributed import Ranks
    from deepcams.training.run_folder import RunFolder

    experiment = parse_experiment(values())
    ranks = Ranks("cpu")
    ranks.count = 3
    with pytest.raises(
        InputError,
        match=r"training\.batch: expected a multiple of the 3 processes, found 4",
    ):
        module._Training(
            experiment, RunFolder(tmp_path / "run", experiment), ranks, False
        )


def test_the_log_for_tensorboard(values: Values, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(values, tmp_path / "run", "spatial")
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    with (tmp_path / "run" / LOG).open() as file:
        wanted = [
            (int(r["step"]), float(r["skill"]))
            for r in csv.DictReader(file)
            if r["skill"]
        ]
    found = [(event.step, event.value) for event in events.Scalars("skill")]
    assert found == [(step, pytest.approx(value, rel=1e-6)) for step, value in wanted]


def test_weights_say_what_those_they_started_from_had_learnt(
    values: Values, tmp_path: Path
) -> None:
    first = run(values, tmp_path / "first", "spatial")
    start = {"start": str(first.checkpoint)}
    second = run(values, tmp_path / "second", "spatial", network=start)
    told = [load(each.checkpoint).card.provenance for each in (first, second)]
    assert "start" not in told[0]
    assert told[1]["start"]["split"] == told[0]["split"]
    assert told[1]["start"]["experiment"] == told[0]["experiment"]


def test_stores_of_several_variables(
    values: Values, tmp_path: Path, stores: dict[str, Any], monkeypatch: Any
) -> None:
    asked = []

    def opened(path: str, variable: str | None = None) -> Any:
        asked.append((str(path), variable))
        return stores["world.zarr"]

    monkeypatch.setattr(Prepared, "open", opened)
    given = [
        {"path": "a"},
        {"path": "b", "variable": "nh3", "magnitude": [0.1, 10.0]},
    ]
    summary = run(values, tmp_path / "run", "spatial", data={"stores": given})
    assert asked == [("a", "pm2p5"), ("b", "nh3")]
    assert load(summary.checkpoint).card.variable == "pm2p5"


def test_a_network_in_space_and_time_starts_from_its_estimate_and_learns(
    values: Values, stores: dict[str, StandIn], tmp_path: Path
) -> None:
    stores["world.zarr"] = world(hours=5, coarse=Grid(0.75, 60, 20, 12, 14))
    summary = run(
        values,
        tmp_path / "run",
        "joint",
        split={
            "train": {"regions": [], "periods": ["2019-12-01T00..2019-12-01T03"]},
            "validation": {"regions": [], "periods": ["2019-12-01T04"]},
        },
        training={"steps": 20, "optimizer": {"lr": 1e-2}, "schedule": {"warmup": 4}},
        validation={"every": 10, "samples": 2},
    )
    first = read_log(tmp_path / "run" / LOG)[0]
    assert float(first["mae"]) == pytest.approx(float(first["baseline_mae"]), rel=1e-5)
    assert list(summary.baselines) == ["estimate"]
    assert summary.skill < 0.999
    assert load(summary.checkpoint).card.kind == "joint"
