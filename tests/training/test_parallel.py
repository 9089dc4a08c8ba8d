"""Two processes with half of the batch each learn what one learns with all of it."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing
from stand_in import world

from deepcams.core.errors import DeepcamsError
from deepcams.core.progress import no_progress
from deepcams.training.distributed import Ranks
from deepcams.training.experiment_file import parse_experiment
from deepcams.training.loop import _Training
from deepcams.training.run_folder import RunFolder, read_log
from deepcams.training.samples import load_batches, numbers
from deepcams.training.store.open import Prepared

Values = Callable[..., dict[str, Any]]


@contextmanager
def rank_of(rank: int, port: int) -> Iterator[None]:
    """The environment in which torchrun starts a process."""
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2")
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    yield


def learn(experiments: list[dict[str, Any]], out: Path) -> None:
    """Gradients of one joint batch, then whole trainings; what came out lies in ``out``."""
    torch.set_num_threads(1)
    store = world(path="world.zarr")
    with pytest.MonkeyPatch.context() as patch, Ranks("cpu") as ranks:
        patch.setattr(Prepared, "open", lambda path, variable=None: store)
        for k, given in enumerate(experiments):
            experiment = parse_experiment(given)
            training = _Training(
                experiment, RunFolder(out / f"run{k}", experiment), ranks, False
            )
            sample = next(
                load_batches(training.samples, experiment.training.batch, ranks, 0, 0)
            )
            training.loss(sample).backward()
            gradients = {
                name: p.grad.clone()
                for name, p in training.network.named_parameters()
                if p.grad is not None
            }
            training.network.zero_grad()
            wrote: list[Path] = []
            summary = training.run(no_progress, lambda: False, wrote.append)
            found = {
                "gradients": gradients,
                "weights": training.network.state_dict(),
                "skill": summary.skill,
                "wrote": len(wrote),
            }
            torch.save(found, out / f"{k} of rank {ranks.rank}.pt")
        # one process meets a broken sample: all end alike, with the same words
        store.fine_values[:] = (
            torch.nan if ranks.rank == ranks.count - 1 else store.fine_values
        )
        told = ""
        try:
            training._learn(
                next(
                    load_batches(
                        training.samples, experiment.training.batch, ranks, 0, 0
                    )
                ),
                False,
            )
        except DeepcamsError as error:
            told = str(error)
        (out / f"error of rank {ranks.rank}.txt").write_text(told)


def _process(
    number: int,
    port: int,
    experiments: list[dict[str, Any]],
    out: Path,
    first: bool = False,
) -> None:
    with rank_of(0 if first else number + 1, port):
        learn(experiments, out)


def test_two_processes_learn_what_one_learns(values: Values, tmp_path: Path) -> None:
    # one step alone: Adam's first one asks for a gradient's sign, and where it is nearly 0 rounding decides that
    recipe = {
        "training": {"steps": 1, "save_every": 1, "ema": 0.5},
        "validation": {"every": 1},
    }
    experiments = [values("temporal", recipe), values("spatial", recipe)]
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir(), two.mkdir()
    learn(experiments, one)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    paths = os.pathsep.join(sys.path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", paths)
        for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
            patch.setenv(name, "")  # as they were, afterwards
        # this process is one of the two: starting another takes longer than the trainings
        other = torch.multiprocessing.spawn(
            _process, (port, experiments, two), nprocs=1, join=False
        )
        _process(0, port, experiments, two, first=True)
        other.join()
    for k in range(2):
        alone = torch.load(one / f"{k} of rank 0.pt")
        first, second = (
            torch.load(two / f"{k} of rank {rank}.pt") for rank in range(2)
        )
        largest = max(
            float(gradient.abs().max()) for gradient in alone["gradients"].values()
        )
        assert largest > 0
        for name, wanted in alone["gradients"].items():
            for found in (first, second):
                torch.testing.assert_close(
                    found["gradients"][name], wanted, rtol=1e-4, atol=1e-7 * largest
                )
        assert all(
            torch.equal(first["weights"][name], second["weights"][name])
            for name in first["weights"]
        )
        assert (
            first["skill"] == second["skill"] == pytest.approx(alone["skill"], rel=1e-3)
        )
        assert (first["wrote"], second["wrote"]) == (
            2,
            0,
        )  # validations that were drawn
        assert [row["step"] for row in read_log(two / f"run{k}" / "log.csv")] == [
            "0",
            "1",
        ]
        losses = [
            read_log(folder / f"run{k}" / "log.csv")[1]["loss"] for folder in (one, two)
        ]
        assert float(losses[0]) == pytest.approx(float(losses[1]), rel=1e-4)
    told = [(two / f"error of rank {rank}.txt").read_text() for rank in range(2)]
    assert told[0] == told[1]
    assert "the loss is not finite in step 2 with sample 6: world.zarr" in told[0]


def test_slices_make_the_joint_batch() -> None:
    ranks = Ranks("cpu")
    assert numbers(6, ranks, 2) == [12, 13, 14, 15, 16, 17]
    ranks.count = 3
    parts = []
    for rank in range(3):
        ranks.rank = rank
        parts += numbers(6, ranks, 2)
    assert parts == [12, 13, 14, 15, 16, 17]
