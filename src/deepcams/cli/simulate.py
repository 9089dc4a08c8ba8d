"""``deepcams simulate``: write a simulated world with known truth in the providers' layouts."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from deepcams.cli.common_options import BoxOption, Quiet

app = typer.Typer(
    rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]}
)


class _Layout(StrEnum):
    CAMS, GEOS_CF, OPENAQ, FIELD = "cams", "geos-cf", "openaq", "field"


class _CamsLayout(StrEnum):
    NEW, OLD, ZIP = "new", "old", "zip"


class _Device(StrEnum):
    AUTO, CPU, CUDA = "auto", "cpu", "cuda"


EXAMPLES = """Examples:

deepcams simulate -o cams/ --layout cams --period 2019-12-01..2019-12-02

deepcams simulate -o truth/ --layout geos-cf --period 2019-12-01 --bbox 95 15 135 48"""


@app.command(epilog=EXAMPLES)
def simulate(
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="DIR", help="Folder for the files.")
    ],
    layout: Annotated[
        _Layout, typer.Option(help="Layout of the files.")
    ] = _Layout.CAMS,
    period: Annotated[
        str, typer.Option(help="UTC: 2019-12, 2019-12-01, 2019-12-01..2019-12-02.")
    ] = "2019-12-01..2019-12-02",
    bbox: BoxOption = None,
    seed: Annotated[int, typer.Option(help="Seed of the world.")] = 0,
    cams_layout: Annotated[
        _CamsLayout,
        typer.Option(
            help="CAMS: current layout, that before 2024, or the current one in a zip."
        ),
    ] = _CamsLayout.NEW,
    stations: Annotated[int, typer.Option(help="OpenAQ: number of stations.")] = 100,
    dirt: Annotated[
        bool,
        typer.Option(
            "--dirt",
            help="OpenAQ: plant sentinels, repeats, twins, ..; listed in planted.csv.",
        ),
    ] = False,
    meteorology: Annotated[
        bool,
        typer.Option(
            "--meteorology",
            help="CAMS: winds and temperature (u10, v10, t2m) in the same files.",
        ),
    ] = False,
    device: Annotated[
        _Device,
        typer.Option(
            help="Device: a GPU (cuda), the CPU, or a GPU if available (auto)."
        ),
    ] = _Device.AUTO,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Rewrite complete files (default: keep them).",
        ),
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Write a simulated world: cities, fires, dust and sea salt carried by winds, with known truth everywhere.

    The same seed gives the same world in every layout: cams holds the 0.75 degree area means of field's hours,
    geos-cf the hourly means, openaq what stations would measure. A rerun writes only what is missing.
    """
    from deepcams.cli.progress import one_bar
    from deepcams.simulation.arrays import world_arrays
    from deepcams.simulation.write_world import simulate as run

    arrays = world_arrays(device.value)
    with one_bar("simulating", hidden=quiet) as tell:
        result = run(
            out,
            layout.value,
            period,
            bbox=bbox,
            seed=seed,
            cams_layout=cams_layout.value,
            stations=stations,
            dirt=dirt,
            meteorology=meteorology,
            overwrite=overwrite,
            arrays=arrays,
            progress=lambda _, done, total: tell(done, total),
        )
    typer.echo(result.summary(out))
