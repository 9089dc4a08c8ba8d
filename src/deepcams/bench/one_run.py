"""One run of a module in a process of its own, with what its stages cost: how each command is measured.

``python -m deepcams.bench.one_run REQUEST`` is what that process runs. It imports next to nothing of its own, as the
start of what it runs is measured, too.
"""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from deepcams.bench.stage_costs import OTHER, START, Cost, StageCosts
from deepcams.core.errors import DeepcamsError
from deepcams.core.stages import listening

_EVENTS = ("open", "os.listdir", "os.scandir")
_TOLD = "costs.json"
_opened: list[tuple[Sequence[str], StageCosts]] = []
"""The run whose inputs are watched; a hook cannot be taken away again."""


def measured(
    module: str,
    arguments: Sequence[str],
    inputs: Sequence[str],
    folder: Path,
    environment: Mapping[str, str] | None = None,
) -> dict[str, Cost]:
    """Run ``python -m module arguments`` in a folder; return what its stages cost.

    Args:
        module: name.
        arguments: its own.
        inputs: parts of paths; the stage ``start`` ends when a path with one of them is opened.
        folder: where it runs, and leaves :file:`costs.json`.
        environment: variables in addition to this process's.

    Raises:
        DeepcamsError: it failed.
    """
    request = json.dumps([module, *map(list, (arguments, inputs)), time.monotonic()])
    done = subprocess.run(
        [sys.executable, "-m", __name__, request],
        cwd=folder,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        reason = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise DeepcamsError(f"the measured run failed: {reason[-1]}")
    found = json.loads((folder / _TOLD).read_text(encoding="utf-8"))
    return {name: Cost(**cost) for name, cost in found.items()}


def run(
    module: str, arguments: Sequence[str], inputs: Sequence[str], began: float | None
) -> dict[str, Cost]:
    """Run a module in this process, see :func:`measured`.

    Raises:
        SystemExit: with another status than 0.
    """
    costs = StageCosts(began)
    before, sys.argv = sys.argv, [module, *arguments]
    sys.addaudithook(_watch)
    try:
        with listening(costs), costs(START):
            _opened.append((inputs, costs))
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code:
            raise
    finally:
        sys.argv = before
        _opened.clear()
    return costs.costs


def _watch(event: str, given: tuple[object, ...]) -> None:
    if _opened and event in _EVENTS:
        inputs, costs = _opened[0]
        if any(name in str(given[0]) for name in inputs):
            _opened.clear()
            costs.go_on_as(OTHER)


if __name__ == "__main__":
    costs = run(*json.loads(sys.argv[1]))
    told = {name: asdict(cost) for name, cost in costs.items()}
    Path(_TOLD).write_text(json.dumps(told), encoding="utf-8")
