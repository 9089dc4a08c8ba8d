"""Help for mistyped commands: the likely command, and an example."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Collection
from pathlib import Path
from typing import Any

from deepcams.core.errors import InputError, without_secrets_in

MEANT = {
    "check": "verify",
    "compare": "evaluate",
    "convert": "export",
    "draw": "plot",
    "download": "fetch",
    "get": "fetch",
    "help": "--help",
    "interpolate": "downscale",
    "list": "models list",
    "map": "plot map",
    "open": "info",
    "score": "evaluate",
    "show": "view",
    "start": "demo",
    "test": "doctor",
    "version": "--version",
}
"""Command names of other tools, and the corresponding verbs here."""

_FILES = {
    ".yaml": "deepcams run {0} -o results/, or deepcams train {0} -o run/",
    ".safetensors": "deepcams models show {0}",
    ".zarr": "deepcams info {0}, or deepcams view {0}",
}
_DATA = "deepcams downscale {0} -o pm25.zarr, or deepcams info {0}"


def unknown_command(name: str, known: Collection[str]) -> InputError:
    """Return the error for an unknown word (or a file or URL) in place of a command."""
    shown = without_secrets_in(name)
    url = re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", name)
    path = Path(name)
    if url or path.suffix or len(path.parts) > 1 or path.exists():
        do = _FILES.get(path.suffix.lower(), _DATA).format(shlex.quote(shown))
        return InputError(
            shown, "a command first", "a URL" if url else "a file", f"try {do}"
        )
    meant = MEANT.get(name.lower())
    near = difflib.get_close_matches(name.lower(), sorted(known), n=1)
    do = "deepcams --help lists all"
    if meant or near:
        do = f"did you mean deepcams {meant or near[0]}? {do}"
    return InputError(shown, "a command", "none of this name", do)


def with_example(message: str, context: Any) -> str:
    """Extend a parser error with the command, its first example and a reference to its help."""
    if context is None:
        return f"{message} (see --help)"
    text = f"{context.command.epilog or ''}\n{context.command.help or ''}"
    begins = ("Missing", "Got unexpected", "No such command")
    example = message.startswith(begins) and re.search(
        r"Examples?:\s+(deepcams .*)", text
    )
    more = f"; for example: {example[1].strip()}" if example else ""
    return f"{context.command_path}: {message.rstrip('.')}{more} (see {context.command_path} --help)"
