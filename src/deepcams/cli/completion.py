"""``deepcams completion``: the script that lets a shell complete commands and options."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

VARIABLE = "_DEEPCAMS_COMPLETE"
"""Environment variable set by the shell script to request completions."""

app = typer.Typer(
    rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]}
)


class _Shell(StrEnum):
    BASH, ZSH, FISH = "bash", "zsh", "fish"


EXAMPLES = """Examples:

source <(deepcams completion bash)   # in ~/.bashrc; zsh alike in ~/.zshrc, after compinit

deepcams completion fish > ~/.config/fish/completions/deepcams.fish"""


@app.command(epilog=EXAMPLES)
def completion(
    shell: Annotated[_Shell, typer.Argument(help="Name of the shell.")],
) -> None:
    """Print the script that completes deepcams' commands and options in bash, zsh or fish."""
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    script = get_completion_script(
        prog_name="deepcams", complete_var=VARIABLE, shell=shell.value
    )
    print(script)
