"""Scales and labels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from deepcams.plotting import style


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        ([3.0, 40.0, 180.0], (2, 200)),
        ([0.02, 5.0, 3657.0], (0.1, 5000)),
        ([1e-12, 1e-9], (0.1, 0.5)),
        ([7.0, 7.0], (5, 50)),
        ([np.nan, 0.0], (1, 100)),
        ([], (1, 100)),
        ([1.0, 1000.0], (1, 1000)),
    ],
)
def test_concentration_scales_end_on_round_numbers(
    values: list[float], ends: tuple[float, float]
) -> None:
    norm = style.concentration_norm([np.array(values)])
    found = norm.vmin, norm.vmax
    if values == [7.0, 7.0]:  # a single value is inside a scale of some width
        assert norm.vmin < 7 < norm.vmax
        assert norm.vmax >= 5 * norm.vmin
    elif values == [1e-12, 1e-9]:
        assert norm.vmin <= 0.1
        assert norm.vmax >= 5 * norm.vmin
    else:
        assert found == pytest.approx(ends)


def test_error_scales_are_symmetrical_and_hold_nearly_all() -> None:
    errors = np.random.default_rng(0).normal(1, 4, 10_000)
    norm = style.error_norm([errors, np.array([np.nan])])
    assert norm.vmin == -norm.vmax
    assert np.mean(abs(errors) > norm.vmax) <= 0.02
    assert style.error_norm([np.zeros(5)]).vmax == 1
    assert style.error_norm([]).vmax == 1


def test_what_lies_beyond_a_scale_is_pointed_at() -> None:
    norm = style.concentration_norm([np.array([1.0, 10.0])])
    assert style.extend(norm, [np.array([1.0, 10.0])]) == "neither"
    assert style.extend(norm, [np.array([0.0])]) == "min"
    assert style.extend(norm, [np.array([1e4, np.nan])]) == "max"
    assert style.extend(norm, [np.array([0.0]), np.array([1e4])]) == "both"


def test_ticks_and_their_words() -> None:
    norm = style.concentration_norm([np.array([0.5, 150.0])])
    assert style.concentration_ticks(norm) == pytest.approx(
        [0.5, 1, 2, 5, 10, 20, 50, 100, 200]
    )
    assert [style.longitude_text(x) for x in (-180, -90, 0, 181.5, 270, 360, 540)] == [
        "180°",
        "90°W",
        "0°",
        "178.5°W",
        "90°W",
        "0°",
        "180°",
    ]
    assert [style.latitude_text(x) for x in (-90, 0, 7.5)] == ["90°S", "0°", "7.5°N"]
    assert style.plain_number(-20.0) == "\N{MINUS SIGN}20"


def test_colours_grow_evenly_darker() -> None:
    shades = style.colours(style.CONCENTRATION_COLOURS)(np.linspace(0, 1, 64))[:, :3]
    light = shades @ [0.2126, 0.7152, 0.0722]
    assert np.all(
        np.diff(light) < 0
    )  # the order survives in grey print and for colour-blind readers


def test_steps_for_any_span_begin_with_the_guideline_for_a_year() -> None:
    for species in ("pm2p5", "pm10"):
        day, year = (
            style.guideline_norm(species, annual).boundaries for annual in (False, True)
        )
        assert style.guideline_steps(species) == [year[1], *day[1:7]]
    assert style.guideline_steps("so2") is None


# Machado, Oliveira and Fernandes (2009), severity 1: linear RGB as it is seen.
DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def cielab(colour: str, seen: Any) -> np.ndarray:
    """CIELAB (D65) of a colour as it is seen."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = to_xyz @ np.clip(np.array(seen) @ linear, 0, 1) / [0.9505, 1, 1.089]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def page_colours(dark: bool) -> list[str]:
    """Colours of the viewer's lines: field, original, stations."""
    page = files("deepcams.view").joinpath("page/style.css").read_text()
    names = ("ours", "original", "station")
    return [re.findall(rf"--{name}: (#\w+)", page)[dark] for name in names]


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
@pytest.mark.parametrize(
    "colours",
    [
        style.LINE_COLOURS,
        ("black", style.OURS, style.ORIGINAL),
        page_colours(dark=False),
        page_colours(dark=True),
    ],
    ids=["lines", "diurnal", "page", "dark page"],
)
def test_lines_can_be_told_apart(colours: Sequence[str], deficiency: str) -> None:
    """A difference of 2 is just seen; of 20, in thin lines too."""
    seen = DEFICIENCIES[deficiency]
    labs = [cielab(colour, seen) for colour in colours]
    nearest = min(np.linalg.norm(a - b) for a, b in combinations(labs, 2))
    assert nearest >= 20
