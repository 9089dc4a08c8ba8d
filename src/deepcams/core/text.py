"""Formatting of amounts, and parsing of untrusted JSON."""

from __future__ import annotations

import json
from typing import Any


def from_json(text: str | bytes) -> Any:
    """Parse JSON.

    Raises:
        ValueError: the text is not JSON, or is nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("lists or mappings that are nested too deeply") from None


def counted(number: int, one: str, many: str = "") -> str:
    """Return a count with its noun: ``1 frame``, ``1,024 frames``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def figure(value: float, form: str) -> str:
    """Format a number; one too long for a column (in wrong units, say) is shortened: ``2.1e9``.

    Args:
        value: any number, including NaN and infinity.
        form: format specification, see :func:`format`.
    """
    sign = "+" if form.startswith("+") else ""
    percent = "%" if form.endswith("%") else ""
    scale, limit = (100, 100) if percent else (1, 1e5)
    if abs(value) >= limit:
        short = f"{value * scale:{sign}.1e}"
        return short.replace("e+0", "e").replace("e+", "e") + percent
    # "g" writes thousands with an exponent, which would be longer.
    return format(
        value, f"{sign},.0f" if form.endswith("g") and abs(value) >= 999.5 else form
    )


def size(count: float) -> str:
    """Format a number of bytes in decimal units."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if (
            amount < 999.5 or unit == "TB"
        ):  # a value that rounds to 1000 becomes 1.0 of the next unit
            break
        amount /= 1000
    digits = 0 if unit == "B" or (amount >= 99.95 and unit != "TB") else 1
    return f"{amount:.{digits}f} {unit}"


def duration(seconds: float) -> str:
    """Format a number of seconds in a suitable unit: ``12.0 s``, ``15 min``, ``3.2 h``, ``4.7 days``."""
    if seconds < 90:
        return f"{seconds:.1f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if seconds < 172800:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"
