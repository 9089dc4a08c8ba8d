"""Amounts in words."""

from __future__ import annotations


def counted(number: int, one: str, many: str = "") -> str:
    """A number of things, as one says it: ``1 frame``, ``1,024 frames``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def figure(value: float, form: str) -> str:
    """A figure in its form; where that would burst a column (wrong units, say), a short one: ``2.1e9``.

    Args:
        value: any; NaN and infinite ones too.
        form: as :func:`format` takes it.
    """
    percent = form.endswith("%")
    sign = "+" if form.startswith("+") else ""
    if not abs(value) >= (100 if percent else 1e5):
        # "g" would write thousands with an exponent, which is longer than the number.
        return format(value, f"{sign},.0f" if form.endswith("g") and abs(value) >= 999.5 else form)
    short = f"{value * (100 if percent else 1):{sign}.1e}".replace("e+0", "e").replace("e+", "e")
    return short + ("%" if percent else "")


def size(count: float) -> str:
    """Bytes in decimal units."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 999.5:  # what would be rounded to 1000 is 1.0 of the next unit
            return (
                f"{amount:.0f} {unit}" if amount >= 99.95 or unit == "B" else f"{amount:.1f} {unit}"
            )
        amount /= 1000
    return f"{amount:.1f} TB"
