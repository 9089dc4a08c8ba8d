"""Letters that matplotlib's own font lacks: no warning for each of them."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont
from matplotlib.text import Text

from deepcams.core.errors import DeepcamsNotice
from deepcams.plotting import fonts
from deepcams.plotting.page import SIZES, Sheet, save

TITLE = "细颗粒物 PM$_{2.5}$, 北京"


@pytest.fixture(autouse=True)
def _anew() -> None:
    fonts._others.cache_clear()


def drawn(title: str, out: Path) -> tuple[Figure, list[str]]:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        figure = Sheet(SIZES["column"], 1.0, title=title).figure
        save(figure, out / "a.png")
    return figure, [f"{each.category.__name__}: {each.message}" for each in said]


def test_letters_that_no_font_has_are_one_notice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fonts, "_installed", list)
    _, said = drawn(TITLE, tmp_path)
    assert len(said) == 1
    assert said[0].startswith(
        f"{DeepcamsNotice.__name__}: no font on this machine has 细颗粒物北京: drawn as boxes"
    )


def test_another_font_that_has_them_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DejaVu Sans Mono stands for one that has what is asked for; damaged files are passed over."""
    mono = findfont("DejaVu Sans Mono")
    (tmp_path / "damaged.ttf").write_bytes(b"no font")
    monkeypatch.setattr(fonts, "_known", lambda: frozenset(map(ord, "map of ")))
    listed = [
        SimpleNamespace(name="A Sans", fname=str(tmp_path / "damaged.ttf")),
        SimpleNamespace(name="DejaVu Sans Mono", fname=mono),
    ]
    monkeypatch.setattr(fonts, "_installed", lambda: listed)
    assert fonts.families("map of Zürich") == ["DejaVu Sans", "DejaVu Sans Mono"]
    figure = Figure()
    figure.text(0.5, 0.5, "map of Zürich")
    fonts.set_families(figure)
    assert figure.findobj(Text)[-1].get_fontfamily() == ["DejaVu Sans", "DejaVu Sans Mono"]


def test_usual_letters_change_nothing(tmp_path: Path) -> None:
    figure, said = drawn("PM$_{2.5}$, 0.25°, Москва, Αθήνα, µg m⁻³", tmp_path)
    assert said == []
    assert {tuple(text.get_fontfamily()) for text in figure.findobj(Text)} == {("sans-serif",)}
