"""The page of a report: the template ``page.html``, and formatting of values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

MOST_TEXT = 4000
"""Maximum length of one value, characters."""
LONG = 48
"""Text length, characters, from which a column keeps a minimum width on narrow pages."""


def render(**context: Any) -> str:
    """Render ``page.html``, which lists its variables; every value is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=lambda value: value if isinstance(value, Markup) else printable(value),
    )
    look = Markup(' class="{}"')
    environment.filters["class"] = lambda name: look.format(name) if name else Markup()
    environment.filters |= {"flat": flat, "number": number}
    return environment.get_template("page.html").render(context)


def printable(value: object) -> str:
    """Return any value as text without control characters, truncated if very long."""
    words = str(value)
    if len(words) > MOST_TEXT:
        more = f"{len(words) - MOST_TEXT:,} characters more"
        words = f"{words[:MOST_TEXT]}\N{HORIZONTAL ELLIPSIS} ({more})"
    return "".join(
        letter
        if letter.isprintable() or letter in "\n\t"
        else "\N{REPLACEMENT CHARACTER}"
        for letter in words
    )


def number(value: object, decimals: int | None = None) -> object:
    """Format a number with the given decimals, or with four digits; other values are unchanged."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "\N{EN DASH}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    if decimals is None or math.isinf(value):
        return f"{value:.4g}"
    return f"{value:,.{decimals}f}"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def flat(value: Any, name: str = "") -> list[tuple[str, Any]]:
    """Return the leaves of nested mappings and lists, with their names."""
    if isinstance(value, Mapping):
        inner = [(f"{name}.{key}" if name else str(key), value[key]) for key in value]
        return [leaf for key, one in inner for leaf in flat(one, key)]
    if not isinstance(value, list | tuple):
        return [(name, value)]
    if any(isinstance(one, Mapping | list | tuple) for one in value):
        return [
            leaf
            for k, one in enumerate(value)
            for leaf in flat(one, f"{name}[{k + 1}]")
        ]
    return [(name, ", ".join(str(one) for one in value))]


@dataclass(frozen=True)
class Table:
    """A table with right-aligned numbers; wide ones can be scrolled."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    caption: str = ""

    @property
    def looks(self) -> list[str]:
        """CSS class of each column."""
        looks = []
        for k in range(len(self.columns)):
            column = [row[k] for row in self.rows]
            if any(_is_number(value) for value in column):
                looks.append("number")
            else:
                is_long = any(len(str(value)) > LONG for value in column)
                looks.append("long" if is_long else "")
        return looks

    @property
    def cells(self) -> list[list[object]]:
        """Formatted values; the numbers of a column have the same decimals."""
        decimals = [
            _decimals(row[k] for row in self.rows) for k in range(len(self.columns))
        ]
        return [
            [number(*cell) for cell in zip(row, decimals, strict=True)]
            for row in self.rows
        ]


def _decimals(column: Iterable[object]) -> int | None:
    """Return the decimals that give a column's largest number four digits; ``None`` for very small or large ones."""
    sizes = [
        abs(value)
        for value in column
        if isinstance(value, float) and math.isfinite(value)
    ]
    sizes = [size for size in sizes if size]
    if len(sizes) < 2 or not 1e-2 <= max(sizes) < 1e6:
        return None
    return min(max(3 - math.floor(math.log10(max(sizes))), 0), 4)
