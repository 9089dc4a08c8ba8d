"""``deepcams fetch``: fetch CAMS, GEOS-CF and OpenAQ data."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from deepcams.cli.common_options import Json, Quiet, print_json

if TYPE_CHECKING:
    from deepcams.experiment.geos_cf_store import StoreFetch
    from deepcams.fetch.base import Estimate, Fetch, Summary
    from deepcams.fetch.retry import RetryPolicy
    from deepcams.fetch.status import Status

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Fetch CAMS, GEOS-CF or OpenAQ data, verified and only once. Give the same command again to resume.",
    epilog="""Examples:

deepcams fetch cams --period 2019-12 -o cams/ --dry-run

deepcams fetch geos-cf --period 2019-03-08 -o geos_cf/ --bbox -12 34 45 72

deepcams fetch openaq --period 2019-12-31 -o openaq/ --country PL

deepcams fetch status geos_cf/""",
)

_Period = Annotated[str, typer.Option(help="UTC: 2019, 2019-03, 2003-01..2020-12.")]
_Box = Annotated[
    tuple[float, float, float, float] | None,
    typer.Option(
        metavar="W S E N", help="Only this box, in degrees; W > E crosses the dateline."
    ),
]
_Endpoint = Annotated[
    list[str] | None,
    typer.Option(
        "--endpoint",
        metavar="NAME=URL",
        help="Another address: ads, geos-cf-v1, openaq-archive, ..",
    ),
]
_DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show requests, size and cost; write nothing.")
]
_Check = Annotated[
    bool,
    typer.Option("--check", help="First verify the checksums of existing files."),
]
_Folder = Annotated[
    Path, typer.Option("-o", "--out", metavar="DIR", help="Folder for the data.")
]


class _Per(StrEnum):
    MONTH, DAY = "month", "day"


class _Dataset(StrEnum):
    REANALYSIS, FORECAST = "reanalysis", "forecast"


class _Form(StrEnum):
    NETCDF, GRIB = "netcdf", "grib"


class _Via(StrEnum):
    HTTPS, OPENDAP = "https", "opendap"


@app.command(
    epilog="Example: deepcams fetch cams --period 2003-01..2020-12 -o cams/ --dry-run"
)
def cams(
    period: _Period,
    out: _Folder,
    bbox: _Box = None,
    species: Annotated[
        str,
        typer.Option(
            "--species",
            "--variable",
            help="pm2p5, pm10, pm1; no2, o3, co, so2, with temperature and pressure.",
        ),
    ] = "pm2p5",
    dataset: Annotated[
        _Dataset,
        typer.Option(help="EAC4 (3-hourly), or global forecasts (hourly, 0.4 deg)."),
    ] = _Dataset.REANALYSIS,
    per_request: Annotated[
        _Per, typer.Option(help="Period of one request.")
    ] = _Per.MONTH,
    form: Annotated[
        _Form, typer.Option("--format", help="File format.")
    ] = _Form.NETCDF,
    at_once: Annotated[int, typer.Option(help="Concurrent requests, 1 to 4.")] = 2,
    endpoint: _Endpoint = None,
    check: _Check = False,
    dry_run: _DryRun = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Fetch CAMS from the Atmosphere Data Store; needs a key and the accepted licence (the message says how)."""
    from deepcams.core.period import Period
    from deepcams.fetch.cams import Cams
    from deepcams.fetch.cams_request import CamsRequest
    from deepcams.fetch.endpoints import Endpoints

    form_name: Literal["grib", "netcdf_zip"] = (
        "grib" if form is _Form.GRIB else "netcdf_zip"
    )
    request = CamsRequest(
        Period.parse(period, "--period"),
        out,
        species,
        bbox,
        per_request.value,
        at_once,
        form_name,
        dataset.value,
    )
    endpoints = Endpoints.resolve(endpoint or ())
    _run(
        lambda policy: Cams(request, endpoints, policy),
        out,
        check,
        dry_run,
        quiet,
        as_json,
    )


@app.command(
    "geos-cf",
    epilog="Example: deepcams fetch geos-cf --period 2018-01..2020-12 -o train.zarr",
)
def geos_cf(
    period: _Period,
    out: Annotated[
        Path,
        typer.Option(
            "-o", "--out", metavar="DIR", help="Folder, or NAME.zarr: a training store."
        ),
    ],
    version: Annotated[
        int, typer.Option(help="1 (from 2018) or 2 (from August 2025); never mixed.")
    ] = 1,
    bbox: _Box = None,
    via: Annotated[
        _Via, typer.Option(help="Whole files, or only PM2.5 (version 1).")
    ] = _Via.HTTPS,
    at_once: Annotated[
        int, typer.Option(help="Concurrent downloads.", min=1, max=16)
    ] = 4,
    endpoint: _Endpoint = None,
    check: _Check = False,
    dry_run: _DryRun = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Fetch GEOS-CF hourly means; needs no key. With NAME.zarr only a few files are on the disk at a time."""
    from deepcams.core.period import Period
    from deepcams.fetch.endpoints import Endpoints
    from deepcams.fetch.geos_cf import GeosCf, GeosCfRequest

    request = GeosCfRequest(
        Period.parse(period, "--period"), out, version, bbox, via.value, at_once
    )
    endpoints = Endpoints.resolve(endpoint or ())
    if out.suffix == ".zarr":
        from deepcams.experiment.geos_cf_store import StoreFetch

        _run(
            lambda policy: StoreFetch(request, endpoints, policy),
            out,
            check,
            dry_run,
            quiet,
            as_json,
        )
    else:
        _run(
            lambda policy: GeosCf(request, endpoints, policy),
            out,
            check,
            dry_run,
            quiet,
            as_json,
        )


@app.command(
    epilog="Example: deepcams fetch openaq --period 2017..2019 -o openaq/ --bbox 14 49 24 55"
)
def openaq(
    period: _Period,
    out: _Folder,
    bbox: _Box = None,
    country: Annotated[str | None, typer.Option(help="Two letters: PL, CN, ..")] = None,
    location: Annotated[
        list[int] | None,
        typer.Option(help="Only this location's number; may be repeated."),
    ] = None,
    parameter: Annotated[
        str, typer.Option(help="The archive's name of the species.")
    ] = "pm25",
    at_once: Annotated[int, typer.Option(help="Concurrent downloads.")] = 32,
    endpoint: _Endpoint = None,
    check: _Check = False,
    dry_run: _DryRun = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Fetch OpenAQ's archive, one Parquet file per year; with $OPENAQ_API_KEY also the stations' grade."""
    from deepcams.core.period import Period
    from deepcams.fetch.endpoints import Endpoints
    from deepcams.fetch.openaq import Openaq, OpenaqRequest

    request = OpenaqRequest(
        Period.parse(period, "--period"),
        out,
        bbox,
        country,
        tuple(location or ()),
        parameter,
        at_once,
    )
    endpoints = Endpoints.resolve(endpoint or ())
    _run(
        lambda policy: Openaq(request, endpoints, policy),
        out,
        check,
        dry_run,
        quiet,
        as_json,
    )


@app.command(epilog="Example: deepcams fetch status geos_cf/ --check")
def status(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Folder or store written by a fetch."),
    ],
    check: Annotated[
        bool, typer.Option("--check", help="Verify all checksums.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show what is complete and what is missing, and whether files are unchanged."""
    seen = _status(folder, check)
    _tell(seen, as_json)
    if not seen.sound:
        raise typer.Exit(1)


def _status(out: Path, check: bool) -> Status:
    """Return the status of a folder, or of a store that was filled by a fetch."""
    from deepcams.experiment.geos_cf_store import folder_of, store_status
    from deepcams.fetch.status import status

    look = store_status if out.suffix == ".zarr" or folder_of(out).exists() else status
    return look(out, check=check)


def _run(
    make: Callable[[RetryPolicy], Fetch[Any] | StoreFetch],
    out: Path,
    check: bool,
    dry_run: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Run a fetch, or estimate it."""
    from deepcams.cli.progress import Bars
    from deepcams.cli.stopping import kept, stoppable
    from deepcams.experiment.geos_cf_store import folder_of
    from deepcams.fetch.retry import RetryPolicy
    from deepcams.fetch.status import was_fetched

    if check and (was_fetched(out) or was_fetched(folder_of(out))):
        seen = _status(out, check=True)
        if not seen.sound:
            typer.echo(seen.text(), err=as_json)
    if dry_run:
        _tell(make(RetryPolicy(tries=3)).estimate(), as_json)
        return
    with (
        stoppable(kept("complete")),
        Bars("{task.fields[rate]}", "left", hidden=quiet) as bars,
    ):
        bars.tell("fetch", 0, None, words="fetching", rate="")
        fetch, began = make(RetryPolicy()), time.monotonic()

        def tell(stage: str, done: int, total: int) -> None:
            seconds = max(time.monotonic() - began, 0.1)
            rate = f"{fetch.bytes / 1e6:.1f} MB, {fetch.bytes / seconds / 1e6:.1f} MB/s"
            bars.tell("fetch", done, total, words=stage, rate=rate)

        fetch.progress = tell
        summary = fetch.run()
    _tell(summary, as_json)


def _tell(found: Summary | Estimate | Status, as_json: bool) -> None:
    """Print what was found or done."""
    if as_json:
        print_json(found)
    else:
        typer.echo(found.text())
