"""``deepcams doctor``: check this machine for what deepcams needs."""

from __future__ import annotations

import typer

from deepcams.cli.common_options import Json, print_json

app = typer.Typer(
    rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]}
)

EXAMPLES = """Examples:

deepcams doctor

deepcams doctor --json"""


@app.command(epilog=EXAMPLES)
def doctor(
    as_json: Json = False,
) -> None:
    """Report versions, extras, devices, API keys (presence only, never the key) and the cache.

    The exit status is 1 if something required is broken.
    """
    from rich.console import Console

    from deepcams.doctor import diagnose, render

    diagnosis = diagnose()
    if as_json:
        print_json(diagnosis.as_dict())
    else:
        Console(highlight=False).print(render(diagnosis))
    if not diagnosis.healthy:
        raise typer.Exit(1)
