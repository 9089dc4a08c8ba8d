"""Amounts in words, and JSON that anybody may have written."""

from __future__ import annotations

import json
from typing import Any


def from_json(text: str | bytes) -> Any:
    """Read JSON.

    Raises:
        ValueError: it is not JSON, or lists and mappings in it are nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("lists or mappings that are nested too deeply") from None


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number of things in words: ``1 frame``, ``1,024 frames``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def figure(value: float, form: str) -> str:
    """Format a figure; one too long for a column (in wrong units, say) becomes short: ``2.1e9``.

    Args:
        value: any; NaN and infinite ones too.
        form: as :func:`format` takes it.
    """
    sign = "+" if form.startswith("+") else ""
    percent = "%" if form.endswith("%") else ""
    scale, limit = (100, 100) if percent else (1, 1e5)
    if abs(value) >= limit:
        short = f"{value * scale:{sign}.1e}"
        return short.replace("e+0", "e").replace("e+", "e") + percent
    # "g" would write thousands with an exponent, which is longer than the number.
    return format(
        value, f"{sign},.0f" if form.endswith("g") and abs(value) >= 999.5 else form
    )


def size(count: float) -> str:
    """Return a number of bytes in decimal units."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if (
            amount < 999.5 or unit == "TB"
        ):  # a value that rounds to 1000 is 1.0 of the next unit
            break
        amount /= 1000
    digits = 0 if unit == "B" or (amount >= 99.95 and unit != "TB") else 1
    return f"{amount:.{digits}f} {unit}"


def duration(seconds: float) -> str:
    """Return a number of seconds in the unit that suits it: ``12.0 s``, ``15 min``, ``3.2 h``, ``4.7 days``."""
    if seconds < 90:
        return f"{seconds:.1f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if seconds < 172800:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"
