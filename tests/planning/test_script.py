"""Batch scripts: what they ask for, and what their shell does when a process ends or is killed."""

from __future__ import annotations

import os
import subprocess
from contextvars import copy_context
from dataclasses import replace
from pathlib import Path

import pytest

from deepcams.core.times import MEAN_STAMP
from deepcams.planning.forecast import options_of_all
from deepcams.planning.script import Batch, batch_script
from deepcams.readers import SOURCE

BATCH = Batch(
    inputs=["my cams/", "b.nc"],
    out="out's.zarr",
    options=["--temporal", "flow", "--period", "2003..2020"],
    parts=8,
    memory=1_200 << 20,
    seconds=3_700,
    cpus=2,
)


def run(folder: Path, system: str, statuses: list[int]) -> tuple[int, list[str]]:
    """Run a script with a ``deepcams`` that ends with each status in turn; return the last and its calls."""
    tool = folder / "deepcams"
    tool.write_text(
        '#!/bin/bash\nprintf "%s|" "$@" >> calls; echo >> calls\n'
        'status=$(head -n 1 statuses); sed -i 1d statuses\nexit "$status"\n'
    )
    tool.chmod(0o755)
    (folder / "statuses").write_text("".join(f"{status}\n" for status in statuses))
    script = folder / "job.sh"
    script.write_text(batch_script(BATCH, system))  # type: ignore[arg-type]
    environment = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "SLURM_ARRAY_TASK_ID": "3",
        "PBS_ARRAY_INDEX": "3",
        "PBS_O_WORKDIR": str(folder),
    }
    done = subprocess.run(["bash", script], cwd=folder, env=environment, check=False)
    return done.returncode, (folder / "calls").read_text().splitlines()


@pytest.mark.parametrize("system", ["slurm", "pbs"])
def test_a_task_does_its_part(tmp_path: Path, system: str) -> None:
    status, calls = run(tmp_path, system, [0])
    assert status == 0
    assert calls == [
        "downscale|my cams/|b.nc|-o|out's.zarr|--temporal|flow|--period|2003..2020|--part|3/8|"
    ]


@pytest.mark.parametrize(
    ("statuses", "last", "tries"),
    [
        ([137, 0], 0, 2),
        ([139, 137, 134, 0], 134, 3),
        ([2, 0], 2, 1),
        ([130, 0], 130, 1),
    ],
)
def test_only_a_killed_process_is_started_again(
    tmp_path: Path, statuses: list[int], last: int, tries: int
) -> None:
    status, calls = run(tmp_path, "slurm", statuses)
    assert (status, len(calls)) == (last, tries)


def test_memory_and_time_have_margins_and_are_rounded_up() -> None:
    text = batch_script(BATCH)
    for line in (
        "#SBATCH --array=1-8",
        "#SBATCH --mem=1500M",
        "#SBATCH --time=01:05:00",
        "#SBATCH --cpus-per-task=2",
        "#SBATCH --requeue",
    ):
        assert line in text.splitlines()
    assert "gpu" not in text
    assert "#SBATCH --gres=gpu:1" in batch_script(replace(BATCH, gpu=True))
    assert "MaxArraySize" in batch_script(replace(BATCH, parts=1001))
    long = batch_script(replace(BATCH, seconds=400_000, gpu=True), "pbs")
    assert "#PBS -l walltime=111:10:00" in long
    assert "#PBS -l select=1:ncpus=2:mem=1500mb:ngpus=1" in long
    assert "#PBS -J 1-8" in long
    assert "#PBS -J" not in batch_script(replace(BATCH, parts=1), "pbs")


def test_options_before_the_verb_are_in_the_script() -> None:
    def before() -> list[str]:
        SOURCE.set("cams")
        MEAN_STAMP.set("end")
        return options_of_all()

    options = copy_context().run(before)
    assert options == ["--mean-stamp", "end", "--source", "cams"]
    command = "    deepcams --mean-stamp end --source cams downscale "
    assert command in batch_script(replace(BATCH, before=options))
    assert options_of_all() == []
    assert '    deepcams downscale "${INPUT[@]}"' in batch_script(BATCH)
