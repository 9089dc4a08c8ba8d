"""``deepcams bench``: speed of this machine."""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from deepcams.cli.common_options import Json, print_json
from deepcams.cli.network_options import EngineOption

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Measure speed: ratios of tasks timed side by side in one run.",
    epilog="Example: deepcams bench pipeline --days 3",
)


_Folder = Annotated[
    Path | None, typer.Option(help="Folder (and so the disk) to write to.")
]


PIPELINE_EXAMPLES = """Examples:

deepcams bench pipeline --days 3 --repeats 5

deepcams bench pipeline --breakdown --hours 10

deepcams bench pipeline --breakdown --as-released --hours 1 --repeats 1"""

VERBS_EXAMPLES = """Examples:

deepcams bench verbs

deepcams bench verbs validate --days 31 --stations 6656 --repeats 1"""


@app.callback()
def _bench() -> None:
    """Make this a group, so that the name of the command is required."""


@app.command(epilog=PIPELINE_EXAMPLES)
def pipeline(
    days: Annotated[
        int, typer.Option(min=1, help="Simulated global days per run.")
    ] = 3,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of each.")] = 3,
    folder: _Folder = None,
    breakdown: Annotated[
        bool,
        typer.Option(
            "--breakdown",
            help="Time of each stage of a run, relative to the best that this machine can do.",
        ),
    ] = False,
    hours: Annotated[
        int | None,
        typer.Option(
            min=1, help="With --breakdown: global hours per run instead of days."
        ),
    ] = None,
    temporal: Annotated[
        str | None,
        typer.Option(help="With --breakdown: method in time.", show_default="the best"),
    ] = None,
    spatial: Annotated[
        str | None,
        typer.Option(
            help="With --breakdown: method in space.", show_default="the best"
        ),
    ] = None,
    engine: EngineOption = "auto",
    as_released: Annotated[
        bool,
        typer.Option(
            "--as-released",
            help="With --breakdown: the published networks at their published cost (12 tiles of 120, attention's whole "
            "matrix, one time a pass).",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Time linear + bicubic from a CAMS file to a Zarr store against writing the same arrays from memory.

    With --breakdown: wall, processor and kernel time, page faults and memory of each stage of the default method.
    """
    _check(folder)
    if breakdown:
        others = {"--temporal": temporal, "--spatial": spatial}
        _refuse_both(as_released, {**others, "--engine": engine != "auto"})
        chosen = {"temporal": temporal, "spatial": spatial}
        _breakdown(
            hours or 24 * days,
            repeats,
            folder,
            as_json,
            engine=engine,
            as_released=as_released,
            **{name: value for name, value in chosen.items() if value},
        )
        return
    _need_breakdown(
        {
            "--hours": hours,
            "--temporal": temporal,
            "--spatial": spatial,
            "--engine": engine != "auto",
            "--as-released": as_released,
        }
    )
    from deepcams.bench.pipeline import pipeline as measure

    _keep_memory()
    found = measure(days, repeats, folder, _tell)
    if as_json:
        print_json(found.as_dict())
        return
    typer.echo(
        f"{found.hours} hours of 721 x 1440, {found.bytes / 1e6:.0f} MB, median of {repeats}:"
    )
    for name, seconds in (
        ("file to store, linear + bicubic", found.pipeline),
        ("writing alone", found.writing),
    ):
        middle = statistics.median(seconds)
        typer.echo(f"  {name:32} {middle:6.2f} s  {found.hours / middle:6.1f} h/s")
    typer.echo(f"  rate of the pipeline: {100 * found.ratio:.0f} % of writing alone")


def _breakdown(
    hours: int, repeats: int, folder: Path | None, as_json: bool, **chosen: Any
) -> None:
    _need_counters("--breakdown")
    from deepcams.bench.breakdown import breakdown
    from deepcams.bench.breakdown_text import as_text
    from deepcams.files.optional import require

    if chosen["as_released"]:
        require("networks", "--as-released")
    _keep_memory()
    found = breakdown(hours, repeats, folder, progress=_tell, **chosen)
    if as_json:
        print_json(found.as_dict())
    else:
        print(as_text(found))


def _need_counters(where: str) -> None:
    from deepcams.core.errors import InputError

    if sys.platform == "win32":
        expected = "a system that counts page faults and kernel time (Linux, macOS)"
        raise InputError(where, expected, "Windows")


def _keep_memory() -> None:
    """Keep memory as deepcams downscale does."""
    from deepcams.downscaling.memory import keep_memory

    keep_memory()


def _need_breakdown(given: dict[str, object]) -> None:
    from deepcams.core.errors import InputError

    for name, value in given.items():
        if value:
            raise InputError(
                name, "it together with --breakdown", "it alone", "add --breakdown"
            )


def _refuse_both(as_released: bool, others: dict[str, object]) -> None:
    from deepcams.core.errors import InputError

    for name, value in others.items():
        if as_released and value:
            expected = f"it without {name}"
            raise InputError("--as-released", expected, "both", "leave one of them out")


def _tell(told: str) -> None:
    typer.echo(f"  {told}", err=True)


@app.command(epilog=VERBS_EXAMPLES)
def verbs(
    verb: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[VERB]...",
            help="Of downscale, validate, evaluate, prepare, train, means, zones, export, plot, info.",
            show_default="all",
        ),
    ] = None,
    days: Annotated[int, typer.Option(min=1, help="Simulated global days.")] = 1,
    stations: Annotated[int, typer.Option(min=2, help="Simulated stations.")] = 1000,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of each.")] = 3,
    folder: _Folder = None,
    as_json: Json = False,
) -> None:
    """Measure verbs: start-up before the first byte of input, stages, peak memory, and time relative to reading alone.

    Each run is a separate process without a cache of its input. Rates are based on processor seconds, from the first
    byte on.
    """
    _check(folder)
    _need_counters("deepcams bench verbs")
    from deepcams.bench.verbs import as_text, measure_verbs

    found = measure_verbs(verb or (), days, stations, repeats, folder, _tell)
    if as_json:
        print_json({each.name: each.as_dict() for each in found})
    else:
        print(as_text(found))


@app.command(
    epilog="Example: deepcams bench fetch --hours 12 --objects 2000 --repeats 1"
)
def fetch(
    hours: Annotated[
        int, typer.Option(min=1, max=1000, help="Global GEOS-CF files.")
    ] = 72,
    objects: Annotated[
        int, typer.Option(min=1, help="Tiny objects of OpenAQ's archive.")
    ] = 10_000,
    repeats: Annotated[int, typer.Option(min=1, help="How often each, by turns.")] = 5,
    folder: _Folder = None,
) -> None:
    """Time deepcams fetch on loopback beside a plain concurrent copy of the same objects from the same server."""
    from deepcams.bench import fetching

    _check(folder)
    for name, measure, count in (
        ("files over HTTP", fetching.files, hours),
        ("objects", fetching.objects, objects),
    ):
        found = measure(count, folder, repeats)
        typer.echo(
            f"{found.objects:,} {name}, {found.bytes / 1e6:.1f} MB, median of {repeats}:"
        )
        for words, each in (
            ("plain copy", found.plain),
            ("deepcams fetch", found.fetch),
        ):
            seconds = statistics.median(each)
            rate = f"{found.bytes / seconds / 1e6:8.1f} MB/s  {found.objects / seconds:8.1f} /s"
            typer.echo(f"  {words:16} {seconds:8.2f} s  {rate}")
        each_ratio = ", ".join(f"{100 * ratio:.0f}" for ratio in sorted(found.ratios))
        typer.echo(
            f"  rate of the fetch: {100 * found.ratio:.0f} % of the plain copy's (pair by pair {each_ratio} %)"
        )
        if found.held:
            held = ", ".join(f"{size / 1e6:.0f}" for size in found.held)
            typer.echo(f"  memory held after each tenth of the objects: {held} MB")


def _check(folder: Path | None) -> None:
    from deepcams.core.errors import InputError

    if folder is not None and not folder.is_dir():
        raise InputError("--folder", "a folder that exists", f"{folder}")
