"""One store, one folder of a training: of two processes at once, the second one is refused in one line."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from geos_files import hours
from stored import DAY, frames, memory

from deepcams.core.errors import OutputError
from deepcams.training.experiment_file import parse_experiment
from deepcams.training.loop import train
from deepcams.training.store.prepare import prepare

TOLD = r"another deepcams writes to it now \(process \d+ of .*\); wait for it, or choose another name"


def test_two_prepare_into_one_store(tmp_path: Path) -> None:
    field, out, lines = memory(hours(DAY, 3)), tmp_path / "a.zarr", list[str]()

    def second(phase: str, done: int, total: int) -> None:
        for overwrite in (False, True) if done == 1 else ():
            with pytest.raises(OutputError) as caught:
                prepare(field, out, overwrite=overwrite)
            lines.append(str(caught.value))

    store = prepare(field, out, progress=second)
    assert len(lines) == 2
    assert all(re.fullmatch(f"{re.escape(str(out))}: {TOLD}", line) for line in lines)
    np.testing.assert_array_equal(frames(store), field.values)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]
    prepare(field, out)


def test_two_train_into_one_folder(
    values: Callable[..., dict[str, Any]], stores: object, tmp_path: Path
) -> None:
    experiment, folder, lines = (
        parse_experiment(values("spatial")),
        tmp_path / "run",
        list[str](),
    )

    def second(figures: str, step: int, steps: int) -> None:
        for resume in (False, True) if step == 2 else ():
            with pytest.raises(OutputError) as caught:
                train(experiment, folder, resume=resume, device="cpu")
            lines.append(str(caught.value))

    assert train(experiment, folder, device="cpu", progress=second).step == 6
    assert len(lines) == 2
    assert all(
        re.fullmatch(f"{re.escape(str(folder))}: {TOLD}", line) for line in lines
    )
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert train(experiment, folder, device="cpu", resume=True).step == 6
