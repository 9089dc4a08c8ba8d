"""Text in figures: available fonts, text widths, line wrapping."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font

FONTS = (
    "DejaVu Sans",  # comes with matplotlib
    "Noto Sans",
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans CJK KR",
    "Noto Sans Arabic",
    "Noto Sans Hebrew",
    "Noto Sans Devanagari",
    "Noto Sans Bengali",
    "Noto Sans Thai",
    "WenQuanYi Zen Hei",
    "Microsoft YaHei",
    "PingFang SC",
    "Arial Unicode MS",
)
"""Font families in order of preference; each character is set in the first installed one that has it."""


@contextmanager
def quiet() -> Iterator[None]:
    """Silence matplotlib's warnings about missing glyphs and missing bold fonts."""
    log = logging.getLogger("matplotlib")
    level = log.level
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+")
        log.setLevel(logging.ERROR)
        try:
            yield
        finally:
            log.setLevel(level)


@lru_cache(maxsize=1)
def families() -> list[str]:
    """Return the installed families of :data:`FONTS`."""
    installed = set(fontManager.get_font_names())
    return [name for name in FONTS if name in installed]


@lru_cache(maxsize=1)
def letters() -> frozenset[int]:
    """Return the code points of all characters in the installed families."""
    fonts = [get_font(findfont(name)) for name in families()]
    return frozenset(code for font in fonts for code in font.get_charmap())


@lru_cache(maxsize=1024)
def text_width(text: str, points: float, bold: bool = False) -> float:
    """Return the drawn width of one line, inches."""
    from matplotlib.cbook import is_math_text
    from matplotlib.textpath import text_to_path

    font = FontProperties(
        family=families(),
        size=points,
        weight="bold" if bold else "normal",
        math_fontfamily="dejavusans",
    )
    with quiet():
        width, _, _ = text_to_path.get_text_width_height_descent(
            text, font, is_math_text(text)
        )
    return float(width) / 72


def legible(text: str) -> str:
    """Return a drawable text: no control characters, and dollar signs escaped unless they enclose mathematics."""
    # Control characters and unpaired surrogates, as in damaged attributes.
    text = re.sub(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]", " ", text)
    try:
        text_width(text, 10)
    except ValueError:
        return text.replace("$", r"\$")
    return text


def wrap(text: str, points: float, inches: float, bold: bool = False) -> str:
    """Break a text at its spaces into lines that fit."""
    lines: list[str] = []
    for paragraph in text.splitlines():
        if (
            text_width(paragraph, points, bold) <= inches
        ):  # the usual case; measuring is slow
            lines.append(paragraph)
            continue
        line = ""
        for word in paragraph.split(" "):
            longer = f"{line} {word}" if line else word
            if line and text_width(longer, points, bold) > inches:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return "\n".join(lines)
