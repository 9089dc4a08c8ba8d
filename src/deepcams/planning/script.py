"""Batch scripts ready to submit: an array job whose tasks are the parts of one run."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

BatchSystem = Literal["slurm", "pbs"]

_MIB = 1 << 20
_MEMORY_STEP = 100
_MEMORY_MARGIN = 1.25
_TIME_STEP = 300
_LONGEST_ARRAY = 1000


@dataclass(frozen=True)
class Batch:
    """The contents of a script.

    Attributes:
        inputs: input files.
        out: output path or URL.
        options: options of ``deepcams downscale``.
        parts: number of tasks.
        memory: measured peak memory of one process, bytes.
        seconds: time limit of a task.
        cpus: processors per task.
        gpu: whether a task needs a GPU.
        before: options before the verb.
    """

    inputs: Sequence[str]
    out: str
    options: Sequence[str]
    parts: int
    memory: int
    seconds: float
    cpus: int = 1
    gpu: bool = False
    before: Sequence[str] = ()

    @property
    def mebibytes(self) -> int:
        """Memory to request, MiB: a quarter more than measured."""
        wanted = self.memory * _MEMORY_MARGIN / _MIB
        return math.ceil(wanted / _MEMORY_STEP) * _MEMORY_STEP

    @property
    def time(self) -> str:
        """Time to request, HH:MM:SS."""
        minutes = math.ceil(self.seconds / _TIME_STEP) * _TIME_STEP // 60
        return f"{minutes // 60:02d}:{minutes % 60:02d}:00"


def batch_script(batch: Batch, system: BatchSystem = "slurm") -> str:
    """Return the text of a script for ``sbatch`` or ``qsub``."""
    head = {"slurm": _slurm, "pbs": _pbs}[system]
    index = {"slurm": "$SLURM_ARRAY_TASK_ID", "pbs": "${PBS_ARRAY_INDEX:-1}"}[system]
    inputs = " ".join(map(shlex.quote, batch.inputs))
    options = shlex.join(batch.options)
    lines = [
        "#!/bin/bash",
        *head(batch),
        "",
        "# All parts write to one store; whoever comes first lays it out, and the last one to end finishes it.",
        "# Work is recorded day by day: submit the script again after a time limit or any other stop, and what is",
        "# left is done. Input and output must be on a file system that all nodes share.",
        "set -u",
        f"INPUT=({inputs})    # the files of all years",
        f"OUT={shlex.quote(batch.out)}",
        "",
        "# Make deepcams available to the tasks, for instance:",
        "# source .venv/bin/activate",
        f"export OMP_NUM_THREADS={batch.cpus} MKL_NUM_THREADS={batch.cpus} OPENBLAS_NUM_THREADS={batch.cpus}",
        "",
        "# A process that is killed (134 to 139: out of memory, a crash) is started again, three times at most.",
        "# Any other error would come again, so it ends the task.",
        "for try in 1 2 3; do",
        f'    {shlex.join(["deepcams", *batch.before, "downscale"])} "${{INPUT[@]}}" -o "$OUT" \\',
        f"        {options} \\",
        f'        --part "{index}/{batch.parts}"',
        "    status=$?",
        '    case "$status" in',
        '        134 | 135 | 137 | 139) echo "killed (status $status); attempt $try of 3" >&2 ;;',
        '        *) exit "$status" ;;',
        "    esac",
        "done",
        'exit "$status"',
    ]
    return "\n".join(lines) + "\n"


def _slurm(batch: Batch) -> list[str]:
    lines = [
        "#SBATCH --job-name=deepcams",
        f"#SBATCH --array=1-{batch.parts}",
        f"#SBATCH --cpus-per-task={batch.cpus}",
        f"#SBATCH --mem={batch.mebibytes}M",
        f"#SBATCH --time={batch.time}",
        "#SBATCH --requeue",
        "#SBATCH --open-mode=append",
        "#SBATCH --output=deepcams-%A-%a.log",
        *["#SBATCH --gres=gpu:1"] * batch.gpu,
        "",
        "# --array: add %20 to run 20 tasks at most at a time. --mem: measured peak and a quarter.",
        "# --time: half as long again as expected. --requeue: a task whose node fails is queued again.",
    ]
    if batch.parts > _LONGEST_ARRAY:
        lines.append(
            "# SLURM takes arrays up to 1000 by default; see scontrol show config | grep MaxArraySize."
        )
    return lines


def _pbs(batch: Batch) -> list[str]:
    gpus = ":ngpus=1" if batch.gpu else ""
    return [
        "#PBS -N deepcams",
        *[f"#PBS -J 1-{batch.parts}"] * (batch.parts > 1),  # an array of one is refused
        f"#PBS -l select=1:ncpus={batch.cpus}:mem={batch.mebibytes}mb{gpus}",
        f"#PBS -l walltime={batch.time}",
        "#PBS -r y",
        "#PBS -j oe",
        "#PBS -V",
        "",
        "# For PBS Pro and OpenPBS; Torque has -t instead of -J, and $PBS_ARRAYID instead of $PBS_ARRAY_INDEX.",
        "# mem: measured peak and a quarter. walltime: half as long again as expected. -r y: run again after a",
        "# failure of the node. -V: with the environment of qsub.",
        'cd "$PBS_O_WORKDIR" || exit 1',
    ]
