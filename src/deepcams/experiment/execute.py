"""``deepcams run``: an experiment's file and a results' folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from deepcams.experiment.check import check
from deepcams.experiment.run_options import read_run
from deepcams.experiment.step_records import alone
from deepcams.experiment.steps import Progress, Say, Whole
from deepcams.fetch.endpoints import Endpoints
from deepcams.files.optional import require


def execute(
    path: Path,
    out: Path,
    changes: Sequence[str] = (),
    endpoints: Sequence[str] = (),
    device: str = "auto",
    progress: Progress = lambda step, done, total: None,
    say: Say = lambda line: None,
    stop: Callable[[], bool] = lambda: False,
) -> Path:
    """Do a whole experiment, or what is left of it.

    Args:
        path: the experiment's file.
        out: the results' folder.
        changes: ``key.of.value=VALUE`` each, before the file's.
        endpoints: ``NAME=URL`` each.
        device: ``auto``, ``cpu`` or ``cuda``.
        progress, say, stop: see :class:`Whole`.

    Returns:
        its report.

    Raises:
        MissingExtraError: without the extras [fetch], [networks] and [stations].
        InputError, OutputError, FetchError: of the step that failed; the steps before it stay done.
    """
    for extra in ("fetch", "networks", "stations"):
        require(extra, "deepcams run")
    run = read_run(path, changes)
    whole = Whole(
        run,
        path.parent,
        out,
        Endpoints.resolve(endpoints),
        progress=progress,
        say=say,
        device=device,
        stop=stop,
    )
    check(whole)
    with alone(out):
        whole.go()
    return whole.report
