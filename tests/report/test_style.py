"""Whether the pages' colours can be read: contrasts as WCAG 2.1 reckons them."""

from __future__ import annotations

import re
from importlib import resources

import pytest

STYLE = (resources.files("deepcams.report") / "style.css").read_text(encoding="utf-8")
VIEW = (resources.files("deepcams.view") / "page" / "style.css").read_text(
    encoding="utf-8"
)
TEXT, PART = 4.5, 3.0
"""Least contrast of text (1.4.3, AA), and of what must be seen to use a page (1.4.11)."""


def _luminance(colour: str) -> float:
    digits = colour.lstrip("#")
    digits = "".join(2 * c for c in digits) if len(digits) == 3 else digits
    parts = [int(digits[k : k + 2], 16) / 255 for k in (0, 2, 4)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """1 (none) to 21 (black on white)."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _schemes(style: str) -> list[dict[str, str]]:
    """The colours of each :root: light, dark, print; what a later one leaves out it takes from the first."""
    found: list[dict[str, str]] = []
    for block in re.findall(r":root\s*\{([^}]*)\}", style):
        named = dict(re.findall(r"--([a-z]+):\s*(#[0-9a-f]{3,6})", block))
        found.append({**(found[0] if found else {}), **named})
    return found


def test_contrasts_are_reckoned_as_the_standard_does() -> None:
    assert contrast("#fff", "#000000") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.005)


@pytest.mark.parametrize(
    ("style", "schemes"), [(STYLE, 3), (VIEW, 2)], ids=["report", "view"]
)
def test_text_can_be_read_in_every_scheme(style: str, schemes: int) -> None:
    found = _schemes(style)
    assert len(found) == schemes
    for colours in found:
        behind = [
            colours[name] for name in ("paper", "shade", "sea") if name in colours
        ]
        for ink in ("ink", "faint", "accent"):
            for paper in behind:
                assert contrast(colours[ink], paper) >= TEXT, (ink, paper, colours)


def test_edges_lines_and_marks_can_be_seen() -> None:
    for style, names in (
        (STYLE, ("warn",)),
        (VIEW, ("edge", "ours", "original", "station", "problem")),
    ):
        for colours in _schemes(style)[:2]:
            for name in names:
                assert contrast(colours[name], colours["paper"]) >= PART, (
                    name,
                    colours,
                )
