"""Letters that matplotlib's own font lacks: no warning for each of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from deepcams.core.errors import DeepcamsNotice
from deepcams.plotting import lettering
from deepcams.plotting.figure_layout import SIZES, Row, Sheet, Texts, save

TITLE = "细颗粒物 PM$_{2.5}$, 北京"
USUAL = "PM$_{2.5}$, 0.25°, Москва, Αθήνα, µg m⁻³"


@pytest.fixture(autouse=True)
def _own_font_alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(lettering, "FONTS", ("No Such Font", "DejaVu Sans"))
    for cached in (lettering.families, lettering.letters, lettering.text_width):
        cached.cache_clear()
    yield
    for cached in (lettering.families, lettering.letters, lettering.text_width):
        cached.cache_clear()


def drawn(title: str, out: Path) -> list[str]:
    """Save a figure with a title; return the warnings."""
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        save(
            Sheet(SIZES["column"], Texts(title), [Row(0.0, tall=1.0)]).figure,
            out / "a.png",
        )
    return [f"{each.category.__name__}: {each.message}" for each in given]


def test_letters_that_no_font_has_are_one_notice(tmp_path: Path) -> None:
    (message,) = drawn(TITLE, tmp_path)
    expected = "no font on this machine has 细颗粒物北京: drawn as boxes"
    assert message.startswith(f"{DeepcamsNotice.__name__}: {expected}")


def test_a_font_that_has_the_letters_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cmr10 (without Greek or Cyrillic) and DejaVu Sans Mono: each letter comes from the first font that has it."""
    assert drawn(USUAL, tmp_path) == []
    monkeypatch.setattr(lettering, "FONTS", ("cmr10", "DejaVu Sans Mono"))
    for cached in (lettering.families, lettering.letters, lettering.text_width):
        cached.cache_clear()
    figure = Sheet(SIZES["column"], Texts(USUAL), [Row(0.0, tall=1.0)]).figure
    assert figure.texts[0].get_fontfamily() == ["cmr10", "DejaVu Sans Mono"]
    assert drawn(USUAL, tmp_path) == []
    monkeypatch.setattr(lettering, "FONTS", ("cmr10",))
    for cached in (lettering.families, lettering.letters):
        cached.cache_clear()
    assert "no font on this machine has" in drawn(USUAL, tmp_path)[0]
