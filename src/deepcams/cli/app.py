"""The table of verbs; a verb's module is imported only when the verb is used or its help is shown."""

from __future__ import annotations

import importlib
from typing import Annotated, Any, Literal

import typer
import typer.core
import typer.main

from deepcams.core.errors import refuse_url

VERBS = {
    "animate": "Draw the frames of a field as a film (MP4 or GIF)",
    "bench": "Measure speed: ratios side by side in one run",
    "completion": "Print the script that completes commands in bash, zsh or fish",
    "demo": "Simulate a small world, downscale it, score it and draw it",
    "doctor": "Report versions, devices, keys and writable folders",
    "downscale": "3-hourly 0.75 degree fields in, hourly 0.25 degree fields out",
    "evaluate": "Score methods against a known truth, as the paper's tables do",
    "export": "Write a field as GeoTIFF, netCDF, CSV, .. for GIS, CDO, NCO, R",
    "fetch": "Get CAMS, GEOS-CF or OpenAQ data: complete, verified, resumable",
    "info": "Show what a file holds: layout, grid, times, units, values",
    "means": "Days, months, seasons, years; counts above the limits",
    "models": "List, show and import network checkpoints",
    "plan": "Forecast a long run: hours, bytes, memory, wall time, a batch script",
    "plot": "Draw maps, comparisons, sequences, series, means, stations",
    "points": "Take a field at a list of places, over each one's own days",
    "prepare": "Check hourly fine fields and put them into a store to train from",
    "report": "Put a run's settings, tables and pictures into one HTML file",
    "run": "Do a whole experiment (YAML): fetch, train, evaluate, downscale, validate",
    "simulate": "Write a simulated world in the providers' own layouts",
    "train": "Train a network as an experiment (YAML) describes",
    "validate": "Compare fields with stations (OpenAQ), with quality control",
    "verify": "Read an output again: whole, and as it was written? Repair it",
    "view": "Show a field on a map in the browser: move about, play, compare",
    "zones": "Average a field over countries or any polygons, by area and by people",
}


URLS = {
    "animate": {"field", "original"},
    "downscale": {"inputs", "out"},
    "evaluate": {"truth"},
    "export": {"field"},
    "info": {"files"},
    "means": {"store", "out"},
    "plan": {"inputs", "out"},
    "plot": {"field", "original", "truth", "baseline"},
    "points": {"field"},
    "validate": {"field", "original"},
    "verify": {"store", "inputs"},
    "zones": {"field"},
}
"""Parameters of each verb that accept a URL; all others are local paths, or not places at all."""

_TEXTS = {"title", "note", "scheduler"}


def _refusing_urls(command: Any, allowed: set[str]) -> Any:
    """Make a command and its subcommands refuse URLs for all parameters but the allowed ones."""
    for inner in getattr(command, "commands", {}).values():
        _refusing_urls(inner, allowed)
    run = command.invoke

    def invoke(context: Any) -> Any:
        for name, value in context.params.items():
            if name not in allowed | _TEXTS:
                for one in value if isinstance(value, list | tuple) else [value]:
                    refuse_url(one)
        return run(context)

    command.invoke = invoke
    return command


class _Verbs(typer.core.TyperGroup):
    """Commands that live in ``deepcams.cli.<verb>``, each file with one ``typer.Typer`` named ``app``."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(VERBS)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Look up a command; for an unknown name the error suggests the closest match."""
        name = args[0]
        if not (name in VERBS or name.startswith("-") or ctx.resilient_parsing):
            from deepcams.cli.guesses import unknown_command

            raise unknown_command(name, VERBS)
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in VERBS:
            return None
        module: Any = importlib.import_module(f"deepcams.cli.{cmd_name}")
        module.app._add_completion = False  # only the top level has completion
        command = typer.main.get_command(module.app)
        return _refusing_urls(command, URLS.get(cmd_name, set()))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the table of verbs without importing any of them."""
        formatter.write_usage("deepcams", "[--version] COMMAND [ARGUMENTS] ...")
        formatter.write_paragraph()
        formatter.write_text(str(self.help))
        with formatter.section("Options"):
            stamps = "position of the stamp in its hour, for means without bounds"
            formatter.write_dl(
                [
                    ("--density KG_M3", "air density, to read mixing ratios of gases"),
                    ("--mean-stamp <start|middle|end>", stamps),
                    (
                        "--source NAME",
                        "source that opens fields: another package's, as merra-2",
                    ),
                    (
                        "--threads N",
                        "number of compute threads, of all workers together",
                    ),
                    ("--version", "the version"),
                ]
            )
        with formatter.section("Commands"):
            formatter.write_dl(sorted(VERBS.items()))
        formatter.write_paragraph()
        formatter.write_text(
            "deepcams COMMAND --help tells more, with an example. Begin with: deepcams demo"
        )


def _version(value: bool) -> None:
    if value:
        from deepcams._version import __version__

        print(f"deepcams {__version__}")
        raise typer.Exit


_typer = typer.Typer(
    cls=_Verbs,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@_typer.callback(
    help="Hourly 0.25 degree PM2.5 for the whole globe from the 3-hourly 0.75 degree CAMS reanalysis."
)
def _root(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version)
    ] = False,
    mean_stamp: Annotated[
        Literal["start", "middle", "end"] | None,
        typer.Option(
            help="Position of the stamp in its hour, for means without time bounds."
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Source that opens fields: another package's (merra-2), cams or geos-cf. Default: by their layout.",
        ),
    ] = None,
    density: Annotated[
        float | None,
        typer.Option(
            metavar="KG_M3",
            help="Air density, to read mixing ratios of gases; 1.204 at 20 degrees C and 1013.25 hPa.",
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Number of compute threads, of all workers together."
        ),
    ] = None,
) -> None:
    """Handle the global options, which come before a verb."""
    from deepcams.core.machine import limit_threads

    limit_threads(threads)  # before libraries that read it are loaded

    from deepcams.core.species import AIR_DENSITY
    from deepcams.core.times import MEAN_STAMP
    from deepcams.readers import SOURCE, check_source

    MEAN_STAMP.set(mean_stamp)
    SOURCE.set(source if source is None else check_source(source))
    if density is not None:
        from deepcams.core.air import check_density

        density = check_density(density)
    AIR_DENSITY.set(density)


@_typer.command("info", hidden=True)
def _placeholder() -> None:
    """Make the application a group; the verbs themselves come from :class:`_Verbs`."""


app = typer.main.get_command(_typer)
