"""deepcams verify: is an output whole, and as it was written?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from deepcams.cli.worker_options import Number, Scheduler

if TYPE_CHECKING:
    from deepcams.downscaling.verify import Verification

app = typer.Typer(
    rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]}
)

EXAMPLES = """Examples:

deepcams verify pm25.zarr

deepcams verify pm25.zarr --repair --workers 4"""

_SHOWN = 20
"""Damages that are listed on a terminal."""


@app.command(epilog=EXAMPLES)
def verify(
    store: Annotated[
        str, typer.Argument(help="What deepcams downscale wrote: store, file, folder.")
    ],
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", help="Where its input is now, if it was moved."),
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Compute what is damaged again.")
    ] = False,
    workers: Number = None,
    scheduler: Scheduler = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write all that was found as JSON.")
    ] = False,
) -> None:
    """Read an output again: every hour there, finite, not negative, conserving, and as its records say.

    Status 1 where something is damaged.
    """
    from deepcams.cli.progress import Bars
    from deepcams.cli.stopping import kept, stoppable
    from deepcams.cli.worker_options import opened
    from deepcams.downscaling import verify as verifying

    moved = inputs or []
    with stoppable(kept()), opened(workers, scheduler) as team, Bars("left") as bars:

        def tell(phase: str, done: int, total: int) -> None:
            bars.tell(_PHASES[phase], done, total)

        found = verifying.verify(store, inputs=moved, progress=tell, workers=team)
        mended = bool(repair and found.damages)
        if mended:
            _print(found, as_json=False)
            verifying.repair(found, inputs=moved, progress=tell, workers=team)
            found = verifying.verify(store, inputs=moved, progress=tell, workers=team)
    if mended:
        print("after the repair:")
    _print(found, as_json)
    if found.damages:
        raise typer.Exit(1)


_PHASES = {"verify": "verifying", "downscale": "downscaling", "write": "writing files"}


def _print(found: Verification, as_json: bool) -> None:
    if as_json:
        about = {
            "store": str(found.path),
            "hours": found.hours,
            "items": found.items,
            "conservation": found.conservation,
            "damages": [damage.what for damage in found.damages],
        }
        print(json.dumps(about, indent=1))
        return
    print(f"{found.path}: {found.hours} hours in {found.items} work items")
    print(f"  conservation: {found.conservation}")
    if not found.damages:
        print("  nothing is damaged")
        return
    count = len(found.damages)
    print(f"  {count} damages:")
    for damage in found.damages[:_SHOWN]:
        print(f"    {damage.what}")
    if count > _SHOWN:
        print(f"    .. and {count - _SHOWN} more (--json lists all)")
