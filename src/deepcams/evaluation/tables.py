"""Tables as raw rows (JSON, CSV) and as formatted columns (Markdown, terminal)."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepcams.core.errors import OutputError
from deepcams.core.text import figure
from deepcams.files.atomic import os_errors_explained, write_atomically

if TYPE_CHECKING:
    from rich.table import Table

ALL = "all"
"""Period or group name of rows over everything."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """A column of a formatted table.

    Attributes:
        key: key in the rows.
        head: heading.
        form: format of figures (a specification for :func:`format`, or a function); empty for text.
        folded: whether texts and heading may be wrapped if the table is too wide.
    """

    key: str
    head: str
    form: str | Callable[[Any], str] = ""
    folded: bool = False

    def text(self, row: Row) -> str:
        """Return the text for a row; ``-`` if undefined."""
        value = row[self.key]
        if value is None:
            return "-"
        if callable(self.form):
            return self.form(value)
        return figure(value, self.form) if self.form else str(value)


def defined(row: Row) -> Row:
    """Return a row with plain floats, and ``None`` for figures that are not finite."""
    return {
        key: (float(value) if math.isfinite(value) else None)
        if isinstance(value, float)
        else value
        for key, value in row.items()
    }


def to_json(document: Row) -> str:
    """Return a document as JSON text; undefined figures must be ``None``."""
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def to_csv(rows: list[Row]) -> str:
    """Return rows as CSV text under one header; undefined figures are empty."""
    text = io.StringIO()
    names = dict.fromkeys(name for row in rows for name in row)
    writer = csv.DictWriter(text, list(names), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


Marked = Callable[[Row, str], bool]
"""Predicate: whether the figure of a row and a key is highlighted."""


def to_markdown(
    rows: list[Row], columns: Sequence[Column], marked: Marked | None = None
) -> str:
    """Return rows as a Markdown table without a final newline; marked figures are bold."""
    lines = [[column.head for column in columns]]
    for row in rows:
        texts = [
            (column.text(row), marked is not None and marked(row, column.key))
            for column in columns
        ]
        lines.append([f"**{text}**" if bold else text for text, bold in texts])
    head, *body = ["| " + " | ".join(line) + " |" for line in lines]
    rule = "|" + "".join("---:|" if column.form else "---|" for column in columns)
    return "\n".join([head, rule, *body])


def to_terminal(
    rows: list[Row],
    columns: Sequence[Column],
    style: Callable[[Row, str], str] | None = None,
    section: str = "",
    close: bool = False,
) -> Table:
    """Return rows as a table for the terminal.

    Args:
        rows: rows, in order.
        columns: columns, in order.
        style: returns the ``rich`` style for a row and a column's key.
        section: key; a line is drawn where its value changes between rows.
        close: whether columns are one space apart instead of two.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        header_style="bold",
        padding=(0, 0 if close else 1, 0, 0),
    )
    for column in columns:
        table.add_column(
            column.head,
            justify="right" if column.form else "left",
            no_wrap=not column.folded,
            overflow="fold" if column.folded else "ellipsis",
            max_width=32 if column.folded else None,
        )
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        texts = [
            Text(
                column.text(row), style="" if style is None else style(row, column.key)
            )
            for column in columns
        ]
        last = (
            bool(section)
            and following is not None
            and following[section] != row[section]
        )
        table.add_row(*texts, end_section=last)
    return table


def check_writable(path: Path) -> None:
    """Check that a file can be written, before hours of work.

    Raises:
        OutputError: the folder does not exist or is not writable, or the path is a folder.
    """
    if path.is_dir():
        raise OutputError(
            f"{path}: expected a file to write, found a folder; name a file in it"
        )
    if not path.parent.is_dir():
        raise OutputError(
            f"{path}: expected an existing folder, found no {path.parent}; make it first"
        )
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise OutputError(
            f"{path}: expected a writable file, found one that may not be written; choose another place"
        )


def save(path: Path, text: str) -> None:
    """Write a file atomically; an existing one is replaced.

    Raises:
        OutputError: the file cannot be written.
    """
    with os_errors_explained(path):
        write_atomically(path, text.encode())


def save_all(folder: Path, texts: Mapping[str, str]) -> list[Path]:
    """Write texts atomically into a folder, which is created if needed.

    Args:
        folder: output folder.
        texts: texts by file name.

    Raises:
        OutputError: the folder cannot be created or written to.
    """
    with os_errors_explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        save(folder / name, text)
    return [folder / name for name in texts]


def check_folder(folder: Path) -> None:
    """Check that a folder can be created and written to, before the work; nothing is created yet.

    Raises:
        OutputError: it cannot; the message names the parent folder that prevents it.
    """
    above = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise OutputError(
            f"{folder}: {above} is no folder that can be written to; name another folder"
        )
