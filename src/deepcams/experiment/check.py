"""What a step would refuse hours or days later, found before anything is fetched."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from deepcams.core.errors import DeepcamsNotice, InputError, choose
from deepcams.core.period import Period
from deepcams.experiment.run_options import Fetch, Run

if TYPE_CHECKING:
    from deepcams.experiment.steps import Whole
    from deepcams.training.options import Experiment


def check(whole: Whole) -> None:
    """Look at everything that an experiment's file names, as far as it can be known without the data.

    Args:
        whole: the experiment; steps that are done and hold are not asked about again.

    Raises:
        InputError: what its step would refuse, named as the file names it.
    """
    plan = whole.plan()
    due = {step.name for step in plan.steps if plan.why(step) is not None}
    _fetches(whole.run.fetch, due)
    for kind in ("temporal", "spatial"):
        if f"train {kind}" in due:
            _training(whole.experiment(kind), whole.where(kind), whole.run.fetch)
    _results(whole.run, due)


def _fetches(fetch: Fetch, due: set[str]) -> None:
    from deepcams.fetch.base import check_begun
    from deepcams.fetch.cams import CamsRequest
    from deepcams.fetch.geos_cf import GeosCfRequest
    from deepcams.fetch.openaq import OpenaqRequest

    nowhere = Path()
    cams, geos, openaq = (
        Period.parse(each.period) for each in (fetch.cams, fetch.geos_cf, fetch.openaq)
    )
    asked = {
        "cams": (cams, CamsRequest(cams, nowhere, bbox=fetch.cams.bbox).parts),
        "geos_cf": (
            geos,
            GeosCfRequest(geos, nowhere, fetch.geos_cf.version, fetch.geos_cf.bbox).hours,
        ),
        "openaq": (
            openaq,
            OpenaqRequest(openaq, nowhere, fetch.openaq.bbox, fetch.openaq.country).check,
        ),
    }
    for name, (period, looked_at) in asked.items():
        if f"fetch {name.replace('_', '-')}" in due:
            with _named(f"fetch.{name}."), warnings.catch_warnings():
                warnings.simplefilter("ignore", DeepcamsNotice)  # the step tells it
                check_begun(period)
                looked_at()


def _training(experiment: Experiment, where: str, fetch: Fetch) -> None:
    from deepcams.methods import SPATIAL, TEMPORAL
    from deepcams.training.setup import make_network

    with _named(f"{where}: "):
        make_network(experiment)
        known = (TEMPORAL if experiment.samples.task == "temporal" else SPATIAL).names()
        for name in experiment.baselines:
            choose("validation.baselines", name, known)
        for side in ("train", "validation"):
            _within(getattr(experiment.split, side).periods, f"split.{side}.periods", fetch)


def _results(run: Run, due: set[str]) -> None:
    from deepcams.evaluation.candidates import expand
    from deepcams.stations.station_tables import parse_by

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
        cams, openaq = Period.parse(run.fetch.cams.period), Period.parse(run.fetch.openaq.period)
        if not cams.meets(openaq):
            raise InputError(
                "fetch.openaq.period", f"hours of fetch.cams.period, {cams}", str(openaq)
            )


def _within(periods: Sequence[str], where: str, fetch: Fetch) -> None:
    """Refuse periods none of which lies in what is fetched of GEOS-CF."""
    there = Period.parse(fetch.geos_cf.period)
    if periods and not any(Period.parse(text).meets(there) for text in periods):
        raise InputError(
            where, f"hours of fetch.geos_cf.period, {there}", ", ".join(map(str, periods))
        )


@contextmanager
def _named(prefix: str, *, whole: bool = False) -> Iterator[None]:
    """Name what is wrong as the experiment's file does, instead of as an option; ``whole``: by the prefix alone."""
    try:
        yield
    except InputError as error:
        where = prefix if whole else prefix + error.where.removeprefix("--")
        raise InputError(where, error.expected, error.found, error.do) from error
