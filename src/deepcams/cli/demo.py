"""``deepcams demo``: the whole processing chain on a simulated world, in less than two minutes."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deepcams.cli.common_options import Quiet

if TYPE_CHECKING:
    from deepcams.experiment.demo import Demo

app = typer.Typer(
    rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]}
)

EXAMPLES = """Example:

deepcams demo -o demo"""


@app.command(epilog=EXAMPLES)
def demo(
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="DIR", help="Folder for everything.")
    ] = Path("deepcams-demo"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of the world.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Simulate two days of air over Asia, downscale them, score them against the truth and draw them.

    It uses no real data and no network. The truth (hourly, 0.25 degrees) is averaged to the grid and the hours of CAMS
    and written as a CAMS file; that file is downscaled as by deepcams downscale, and compared with the truth.
    """
    from deepcams.cli.progress import Bars
    from deepcams.experiment.demo import PERIOD, STEPS
    from deepcams.experiment.demo import demo as run

    print(
        f"A simulated world (seed {seed}), {PERIOD.replace('..', ' and ')}: no real data.",
        flush=True,
    )
    with Bars(width=12, elapsed=True, hidden=quiet) as bars:
        done = run(
            out, seed=seed, progress=lambda step, at, of: bars.tell(STEPS[step], at, of)
        )
    _tell(done)


def _tell(done: Demo) -> None:
    from rich.console import Console

    from deepcams.evaluation import experiment_tables as tables
    from deepcams.experiment.demo import ours

    Console().print("", tables.for_terminal(done.result), "", sep="\n")
    print(f"{ours()} is what deepcams downscale does.")
    print(
        f"It is scored as stored. All of this is simulated. It took {done.seconds:.0f} s."
    )
    files = {
        done.report: "everything in one page for the browser",
        done.picture: "maps: truth, input, linear + bicubic, ours, errors",
        done.output: f"the result: {done.summary.hours} hours at {done.region.step:g} degrees",
        done.scores: "the scores, and more of them",
        done.cams: "the input, laid out as a CAMS file",
        done.truth: "the truth, one netCDF a day",
    }
    width = max(len(str(path)) for path in files)
    print("\nLook at")
    for path, what in files.items():
        print(f"  {path!s:<{width}}  {what}" if width < 30 else f"  {path}\n    {what}")
    print("\nTry next")
    print(f"  deepcams info {shlex.quote(str(done.output))}")
    print("  deepcams downscale YOUR_CAMS_FILE.nc -o pm25.zarr")
