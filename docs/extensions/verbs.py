"""Write one page a verb (`docs/verbs/NAME.md`) from the commands themselves, before Sphinx looks for pages.

sphinx-click takes commands of click alone, and Typer carries its own copy of click since 0.29.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deepcams.cli.app import VERBS, app

FURTHER = {
    "animate": "gallery",
    "bench": "performance",
    "completion": "command-line",
    "demo": "start",
    "doctor": "command-line",
    "downscale": "formats",
    "evaluate": "scores",
    "export": "tools",
    "fetch": "fetch",
    "info": "formats",
    "means": "means",
    "models": "models",
    "plan": "cluster",
    "plot": "gallery",
    "points": "points",
    "prepare": "prepare",
    "report": "report",
    "run": "training",
    "simulate": "simulated-world",
    "train": "training",
    "validate": "stations",
    "verify": "reliability",
    "view": "view",
    "zones": "zones",
}
"""The page that tells the rest about a verb."""


def setup(app: Any) -> dict[str, bool]:
    """Register the writing of pages with Sphinx."""
    app.connect("builder-inited", lambda app: write(Path(app.srcdir) / "verbs"))
    return {"parallel_read_safe": True}


def write(folder: Path) -> None:
    """Write the pages and their list; a page that says what it said is left alone."""
    pages = {name: "\n".join(_page(name)) + "\n" for name in VERBS}
    listed = "\n".join(VERBS)
    rows = "\n".join(f"| [{name}]({name}.md) | {VERBS[name]} |" for name in VERBS)
    pages["index"] = (
        "# One page a verb\n\nWritten from the commands themselves: what `deepcams VERB --help` says.\n\n"
        f"| verb | |\n|---|---|\n{rows}\n\n```{{toctree}}\n:hidden:\n\n{listed}\n```\n"
    )
    folder.mkdir(exist_ok=True)
    for name, text in pages.items():
        path = folder / f"{name}.md"
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


def _page(name: str) -> Iterator[str]:
    command = app.get_command(None, name)
    yield f"# {name}\n"
    yield from _command(command, f"deepcams {name}")
    yield f"\nMore: [](../{FURTHER[name]}.md). All verbs share [exit statuses and the rest](../command-line.md)."


def _command(command: Any, called: str) -> Iterator[str]:
    context = command.make_context(called, [], resilient_parsing=True)
    yield _plain(command.help or "") + "\n"
    usage = " ".join([called, *command.collect_usage_pieces(context)])
    yield f"```text\n{usage}\n```\n"
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record:
            yield f"`{record[0]}`\n: {_plain(record[1]) or '.'}\n"
    for paragraph in (command.epilog or "").split("\n\n"):
        lines = paragraph.removeprefix("Example: ")
        yield f"```text\n{lines}\n```\n" if "deepcams " in lines else _plain(lines)
        yield ""
    for name, inner in getattr(command, "commands", {}).items():
        yield f"## {called.removeprefix('deepcams ')} {name}\n"
        yield from _command(inner, f"{called} {name}")


def _plain(text: str) -> str:
    """Keep Markdown from seeing marks in plain text."""
    return re.sub(r"([\\`*_<>\[\]#|$])", r"\\\1", text.replace("\b", ""))
