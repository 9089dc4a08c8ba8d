"""Typed options of a whole experiment; :func:`read_run` reads the file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StrictStr

from deepcams.methods.spatial.coarsen import Degradation
from deepcams.training.experiment_file import parse_as, read_values
from deepcams.training.options import Count, Options, PeriodText, Region, Whole


class World(Options):
    """A simulated world, used instead of fetched data.

    Attributes:
        seed: seed of the world.
        stations: number of stations.
    """

    seed: Whole = 0
    stations: Count = 20


class FetchCams(Options):
    """Period and region of CAMS."""

    period: PeriodText
    bbox: Region | None = None


class FetchGeosCf(Options):
    """Period, region and version of GEOS-CF."""

    period: PeriodText
    bbox: Region | None = None
    version: Literal[1, 2] = 1


class FetchOpenaq(Options):
    """Period and region of OpenAQ."""

    period: PeriodText
    bbox: Region | None = None
    country: StrictStr | None = None


class Fetch(Options):
    """The data to fetch."""

    cams: FetchCams
    geos_cf: FetchGeosCf
    openaq: FetchOpenaq


class Train(Options):
    """One training.

    Attributes:
        file: experiment file of ``deepcams train``, relative to this file; its stores are replaced by the prepared one.
        experiment: the values of such a file, without ``data``, as an alternative to ``file``.
        change: overrides, ``key.of.value=VALUE`` each.
    """

    file: StrictStr | None = None
    experiment: dict[str, Any] | None = None
    change: tuple[StrictStr, ...] = ()


class Trainings(Options):
    """Both networks."""

    temporal: Train
    spatial: Train


class Evaluate(Options):
    """Scoring against the known truth: Tables 2 and 3, and both steps together.

    Attributes:
        period: hours that no network was trained on.
        bbox: region where scores are computed.
        temporal, spatial: methods to compare with the trained network.
    """

    period: PeriodText
    bbox: Region | None = None
    temporal: tuple[StrictStr, ...] = ("linear", "linear-eq9", "flow")
    spatial: tuple[StrictStr, ...] = ("bicubic", "log-bicubic+conserve")


class Downscale(Options):
    """Applying both networks to CAMS."""

    order: Literal["temporal-first", "spatial-first"] = "temporal-first"
    conserve: bool = True


class Validate(Options):
    """Comparison with stations."""

    by: Annotated[tuple[StrictStr, ...], Field(min_length=1)] = ("year",)


class Run(Options):
    """A whole experiment."""

    version: Literal[1]
    world: World | None = None
    fetch: Fetch
    degradation: Degradation = "area"
    train: Trainings
    evaluate: Evaluate
    downscale: Downscale = Downscale()
    stations: Validate = Validate()


def read_run(path: str | Path, changes: Sequence[str] = ()) -> Run:
    """Read a whole experiment.

    Raises:
        InputError: see :func:`deepcams.training.experiment_file.read_experiment`.
    """
    return parse_as(Run, read_values(path, changes), path)
