"""deepcams bench: how fast this machine is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Measure speed: ratios of things timed side by side in one run.",
    epilog="Example: deepcams bench pipeline --days 3",
)


_Folder = Annotated[
    Path | None, typer.Option(help="Folder (and so the disk) to write to.")
]


@app.callback()
def _bench() -> None:
    """Keep the name of the only command on the command line."""


@app.command(epilog="Example: deepcams bench pipeline --days 3 --repeats 5")
def pipeline(
    days: Annotated[int, typer.Option(min=1, help="Simulated global days a run.")] = 3,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of each.")] = 3,
    folder: _Folder = None,
) -> None:
    """Time linear + bicubic from a CAMS file to a Zarr store against writing the same arrays from memory."""
    import statistics

    from deepcams.bench import pipeline as measure
    from deepcams.downscaling.memory import keep_memory

    keep_memory()  # as deepcams downscale does
    _check(folder)
    found = measure(
        days, repeats, folder, progress=lambda told: typer.echo(f"  {told}", err=True)
    )
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


@app.command(epilog="Example: deepcams bench validate --days 3 --stations 1000")
def validate(
    days: Annotated[int, typer.Option(min=1, help="Simulated global days.")] = 3,
    stations: Annotated[int, typer.Option(min=2, help="Simulated stations.")] = 6656,
    written: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Days of the field that are written; the others are links to these, and take no disk.",
            show_default="all",
        ),
    ] = None,
    folder: _Folder = None,
) -> None:
    """Time deepcams validate on a global hourly field and its 3-hourly original, beside reading the field whole."""
    from deepcams.bench.validation import validation as measure
    from deepcams.files.optional import require

    require("stations", "deepcams bench validate")
    _check(folder)
    found = measure(
        days, stations, folder, lambda told: typer.echo(f"  {told}", err=True), written
    )
    typer.echo(
        f"{found.stations} stations, {found.hours} hours of 721 x 1440, {found.rows:,} observations:"
    )
    for name, seconds, count, what in (
        ("reading and sorting observations", found.opening, found.rows, "rows"),
        ("opening them again", found.again, found.rows, "rows"),
        ("quality, matching, scores", found.comparing, found.pairs, "pairs"),
    ):
        typer.echo(f"  {name:34} {seconds:7.2f} s  {count / seconds:12,.0f} {what}/s")
    typer.echo(f"  {'reading the field whole':34} {found.reading:7.2f} s")
    share = (
        f"{found.read / 1e9:.2f} of {found.whole / 1e9:.2f} GB of field and original"
    )
    share += f" ({found.read / found.whole:.0%})"
    typer.echo(
        f"  read: {share}"
        + (f"; {found.disk / 1e6:,.0f} MB from files" if found.disk else "")
    )
    typer.echo(
        f"  memory: {found.memory / 1e6:.0f} MB at most, {found.before / 1e6:.0f} MB of it before"
    )


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
    import statistics

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
