"""Fonts for letters that matplotlib's own font lacks: others on this machine that have them, and one notice if none."""

from __future__ import annotations

import logging
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from matplotlib.figure import Figure
from matplotlib.font_manager import FontEntry, FontProperties, findfont, fontManager, get_font
from matplotlib.text import Text

from deepcams.core.errors import notice

_OWN = "DejaVu Sans"  # comes with matplotlib


@lru_cache(maxsize=1)
def _known() -> frozenset[int]:
    return frozenset(get_font(findfont(FontProperties(family=_OWN))).get_charmap())


def _installed() -> list[FontEntry]:
    """Upright fonts of ordinary weight, those without serifs first."""
    fonts = [
        font
        for font in fontManager.ttflist
        if font.style == "normal" and font.weight in (400, "normal")
    ]
    return sorted(fonts, key=lambda font: ("Sans" not in font.name, font.name, font.fname))


@lru_cache(maxsize=64)
def _others(letters: frozenset[int]) -> tuple[tuple[str, ...], frozenset[int]]:
    """Families on this machine that have letters, the fewest that are found in turn, and the letters that none has."""
    found, missing = [], letters
    for font in _installed():
        if not missing:
            break
        try:
            has = missing & get_font(font.fname).get_charmap().keys()
        except (OSError, RuntimeError):
            continue  # removed since it was listed, or damaged
        if has:
            found.append(font.name)
            missing -= has
    return tuple(dict.fromkeys(found)), missing


def _lacking(text: str) -> frozenset[int]:
    if text.isascii():
        return frozenset()
    return (
        frozenset(ord(letter) for letter in text if unicodedata.category(letter)[0] != "C")
        - _known()
    )


def families(text: str) -> list[str]:
    """The families to set a text in: matplotlib's own, then those that have what it lacks."""
    lacking = _lacking(text)
    return [_OWN, *(_others(lacking)[0] if lacking else ())]


@contextmanager
def quiet() -> Iterator[None]:
    """Without matplotlib's warning for each letter that no font has, and its line where one has no bold ones."""
    log = logging.getLogger("matplotlib.font_manager")
    level = log.level
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+")
        log.setLevel(logging.ERROR)
        try:
            yield
        finally:
            log.setLevel(level)


def set_families(figure: Figure) -> None:
    """Set every text of a figure in fonts that have its letters; a notice names those that are drawn as boxes."""
    boxes: dict[str, None] = {}
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        if lacking := _lacking(text.get_text()):
            others, missing = _others(lacking)
            text.set_fontfamily([_OWN, *others])
            boxes |= dict.fromkeys(letter for letter in text.get_text() if ord(letter) in missing)
    if boxes:
        some = "".join(list(boxes)[:8]) + (".." if len(boxes) > 8 else "")
        notice(
            f"no font on this machine has {some}: drawn as boxes; install one (Noto Sans CJK, say) for them"
        )
