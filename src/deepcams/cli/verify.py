"""``deepcams verify``: check that an output is complete and unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from deepcams.cli.common_options import Json, Quiet, print_json
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
"""Maximum number of damages listed on a terminal."""


@app.command(epilog=EXAMPLES)
def verify(
    store: Annotated[
        str, typer.Argument(help="Output of deepcams downscale: store, file, folder.")
    ],
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", help="Current path of its input, if it was moved."),
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Recompute what is damaged.")
    ] = False,
    workers: Number = None,
    scheduler: Scheduler = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Verify an output: complete, finite, non-negative, conserving, and equal to its records.

    The exit status is 1 if something is damaged.
    """
    from deepcams.cli.progress import Bars
    from deepcams.cli.stopping import kept, stoppable
    from deepcams.cli.worker_options import opened
    from deepcams.downscaling import verify as verifying

    moved = inputs or []
    with (
        stoppable(kept()),
        opened(workers, scheduler) as team,
        Bars("left", hidden=quiet) as bars,
    ):

        def tell(phase: str, done: int, total: int) -> None:
            bars.tell(_PHASES[phase], done, total)

        found = verifying.verify(store, inputs=moved, progress=tell, workers=team)
        repaired = 0
        if repair and found.damages:
            repaired = len(found.damages)
            if not as_json:
                _print(found)
            verifying.repair(found, inputs=moved, progress=tell, workers=team)
            found = verifying.verify(store, inputs=moved, progress=tell, workers=team)
    if as_json:
        print_json(
            {
                "store": found.path,
                "hours": found.hours,
                "items": found.items,
                "conservation": found.conservation,
                "repaired": repaired,
                "damages": [damage.what for damage in found.damages],
            }
        )
    else:
        if repaired:
            print("after the repair:")
        _print(found)
    if found.damages:
        raise typer.Exit(1)


_PHASES = {"verify": "verifying", "downscale": "downscaling", "write": "writing files"}


def _print(found: Verification) -> None:
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
