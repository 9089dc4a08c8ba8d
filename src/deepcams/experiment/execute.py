"""``deepcams run``: run the experiment of a file in a results folder."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from deepcams.core.errors import DeepcamsNotice, InputError, choose
from deepcams.core.period import Period
from deepcams.core.progress import Progress, no_progress
from deepcams.experiment.run_options import Fetch, Run, read_run
from deepcams.experiment.step_records import alone
from deepcams.experiment.steps import KINDS, ExperimentRun
from deepcams.fetch.base import check_begun
from deepcams.fetch.endpoints import Endpoints
from deepcams.files.optional import require
from deepcams.training.options import Experiment


def execute(
    path: Path,
    out: Path,
    changes: Sequence[str] = (),
    endpoints: Sequence[str] = (),
    device: str = "auto",
    progress: Progress = no_progress,
    say: Callable[[str], None] = lambda line: None,
    stop: Callable[[], bool] = lambda: False,
) -> Path:
    """Run a whole experiment, or resume it.

    Args:
        path: experiment file.
        out: results folder.
        changes: overrides of the file's values, ``key.of.value=VALUE`` each.
        endpoints: URLs of services, ``NAME=URL`` each.
        device: ``auto``, ``cpu`` or ``cuda``.
        progress, say, stop: see :class:`ExperimentRun`.

    Returns:
        path of its report.

    Raises:
        MissingExtraError: one of the extras [fetch], [networks] and [stations] is not installed.
        InputError, OutputError, FetchError: a step failed; the steps before it stay done.
    """
    for extra in ("fetch", "networks", "stations"):
        require(extra, "deepcams run")
    whole = ExperimentRun(
        read_run(path, changes),
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


def check(whole: ExperimentRun) -> None:
    """Check everything in an experiment file that can be checked without the data.

    Errors that a step would raise hours or days later are thus found before anything is fetched.

    Args:
        whole: the experiment; steps that are done and still valid are not checked again.

    Raises:
        InputError: a value is invalid for its step; the error names the key of the file.
    """
    plan, fetch = whole.plan(), whole.run.fetch
    due = {step.name for step in plan.steps if plan.why(step) is not None}
    requests: dict[str, tuple[str, Callable[[], object]]] = {
        "cams": (fetch.cams.period, lambda: whole.cams_request().parts()),
        "geos_cf": (fetch.geos_cf.period, lambda: whole.geos_cf_request().hours()),
        "openaq": (fetch.openaq.period, lambda: whole.openaq_request().check()),
    }
    for name, (period, look) in requests.items():
        if f"fetch {name.replace('_', '-')}" in due:
            with _named(f"fetch.{name}."), warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore", DeepcamsNotice
                )  # the step repeats the notice
                check_begun(Period.parse(period))
                look()
    for kind in KINDS:
        if f"train {kind}" in due:
            _training(whole.experiment(kind), whole.where(kind), fetch)
    _results(whole.run, due)


def _training(experiment: Experiment, where: str, fetch: Fetch) -> None:
    from deepcams.methods import SPATIAL, TEMPORAL
    from deepcams.training.setup import make_network

    with _named(f"{where}: "):
        make_network(experiment)
        known = (TEMPORAL if experiment.samples.task == "temporal" else SPATIAL).names()
        for name in experiment.baselines:
            choose("validation.baselines", name, known)
        for side in ("train", "validation"):
            _within(
                getattr(experiment.split, side).periods, f"split.{side}.periods", fetch
            )


def _results(run: Run, due: set[str]) -> None:
    from deepcams.evaluation.candidates import expand
    from deepcams.stations.tables.station_tables import parse_by

    if "evaluate" in due:
        _within([run.evaluate.period], "evaluate.period", run.fetch)
        for task, methods in (
            ("temporal", run.evaluate.temporal),
            ("spatial", run.evaluate.spatial),
        ):
            with _named(f"evaluate.{task}", whole=True):
                if methods:
                    expand(methods, task)  # type: ignore[arg-type]
    if "validate" in due:
        with _named("stations.by", whole=True):
            parse_by(run.stations.by)
        cams, openaq = (
            Period.parse(run.fetch.cams.period),
            Period.parse(run.fetch.openaq.period),
        )
        if not cams.meets(openaq):
            raise InputError(
                "fetch.openaq.period",
                f"hours of fetch.cams.period, {cams}",
                str(openaq),
            )


def _within(periods: Sequence[str], where: str, fetch: Fetch) -> None:
    """Raise if no period overlaps the fetched period of GEOS-CF."""
    fetched = Period.parse(fetch.geos_cf.period)
    if periods and not any(Period.parse(text).meets(fetched) for text in periods):
        raise InputError(
            where,
            f"hours of fetch.geos_cf.period, {fetched}",
            ", ".join(map(str, periods)),
        )


@contextmanager
def _named(prefix: str, *, whole: bool = False) -> Iterator[None]:
    """Make errors name the key of the experiment file instead of an option; ``whole``: the prefix is the key."""
    try:
        yield
    except InputError as error:
        where = prefix if whole else prefix + error.where.removeprefix("--")
        raise InputError(where, error.expected, error.found, error.do) from error
