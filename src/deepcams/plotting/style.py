"""The look of deepcams' figures: colours, colour scales and the writing on axes.

Concentrations: ``magma_r``, on a logarithmic scale; errors: ``RdBu_r``, symmetrical about 0. Both are even to the eye
and keep their order for colour-blind readers and in grey print (the errors' two sides by their hue and their sign).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, Colormap, LogNorm, Normalize
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from deepcams.core.errors import InputError, choose
from deepcams.core.limits import who_levels
from deepcams.core.species import label

ScaleName = Literal["log", "guideline"]

CONCENTRATION_COLOURS = "magma_r"
ERROR_COLOURS = "RdBu_r"
MISSING_COLOUR = "0.72"
OURS, ORIGINAL = "#c8386a", "#2878b5"
LINE_COLOURS = (OURS, ORIGINAL, "#e0a030", "#33245c", "#5ec8a8")
"""Of lines and markers in one figure: any two can be told apart with protanopia, deuteranopia and tritanopia too."""
UNITS_TEXT = "µg\N{NO-BREAK SPACE}m⁻³"
MINUS = "\N{MINUS SIGN}"

FLOOR, CEILING = 0.1, 5000.0
"""Limits of the ends of a concentration scale, ug m-3."""

SMALLEST = 6.0
"""Points: nothing is written smaller on paper."""

_ROUND = np.outer(10.0 ** np.arange(-7, 8), (1, 2, 5)).ravel()

_BEYOND = (2, 5, 10)  # times the weakest target: fires and dust are far above it
GUIDELINE_NAMES = {1: "AQG", 2: "IT4", 3: "IT3", 4: "IT2", 5: "IT1"}
"""Names of the steps of :func:`guideline_norm`, by their number."""


@dataclass(frozen=True)
class ColourScale:
    """How values become colours, and how that is explained below a map.

    Attributes:
        norm: of the values.
        name: of the matplotlib colour map.
        label: of the colour bar.
        extend: which ends of the bar are pointed, in matplotlib's word.
    """

    norm: Normalize
    name: str
    label: str
    extend: str

    @classmethod
    def of_concentrations(
        cls, kind: str, arrays: Sequence[np.ndarray], species: str, annual: bool = False
    ) -> ColourScale:
        """Return the scale for concentrations.

        Args:
            kind: ``log`` or ``guideline``.
            arrays: all values that are drawn with it, ug m-3.
            species: ``pm2p5``, ``pm10``, ..
            annual: whether guidelines are those for a year.

        Raises:
            InputError: no such scale, or none for the species.
        """
        choose("--scale", kind, get_args(ScaleName))
        text = f"{species_text(label(species))} ({UNITS_TEXT})"
        norm: Normalize
        if kind == "log":
            norm = concentration_norm(arrays)
        else:
            norm = guideline_norm(species, annual)
            text += f"; WHO 2021 levels, {'1 year' if annual else '24 h'}"
        return cls._of(norm, CONCENTRATION_COLOURS, text, arrays)

    @classmethod
    def of_errors(cls, arrays: Sequence[np.ndarray], text: str) -> ColourScale:
        """Return the scale for errors, ug m-3, with a label."""
        return cls._of(error_norm(arrays), ERROR_COLOURS, text, arrays)

    @classmethod
    def _of(
        cls, norm: Normalize, name: str, text: str, arrays: Sequence[np.ndarray]
    ) -> ColourScale:
        if any(np.isnan(each).any() for each in arrays):
            text += "; grey: missing"
        ends = "max" if isinstance(norm, BoundaryNorm) else extend(norm, arrays)
        return cls(norm, name, text, ends)

    @property
    def colours(self) -> Colormap:
        """The colour map; missing values are grey."""
        return colours(self.name)

    @property
    def has_steps(self) -> bool:
        """Whether the scale is of guidelines, whose names need a second line below the colour bar."""
        return isinstance(self.norm, BoundaryNorm)

    @property
    def extra_height(self) -> float:
        """Height of that second line, inches of text size 1."""
        return 0.12 if self.has_steps else 0.0

    def shown(self, values: np.ndarray) -> np.ndarray:
        """Return values as an image takes them: those of 0 and less are below a logarithmic scale."""
        if self.name == CONCENTRATION_COLOURS:
            lowest = 0.0 if self.has_steps else float(np.finfo(np.float32).tiny)
            values = np.where(values <= lowest, lowest, values)
        return np.ma.masked_invalid(values)


def species_text(text: str) -> str:
    """Return a species' label as matplotlib sets it, with the size as an index."""
    return text.replace("PM2.5", "PM$_{2.5}$").replace("PM10", "PM$_{10}$")


def settings(k: float) -> dict[str, Any]:
    """Return what figures have instead of matplotlib's own settings (``rcParams``); ``k``: factor of all writing."""
    ticks = {"labelsize": 8, "major.size": 2.5, "major.width": 0.7, "minor.size": 1.5}
    return {
        "axes.labelpad": 2 * k,
        "axes.labelsize": 9 * k,
        "axes.linewidth": 0.7 * k,
        "axes.titlelocation": "left",
        "axes.titlepad": 3 * k,
        "axes.titlesize": 9 * k,
        "font.size": 8 * k,
        "legend.columnspacing": 1.2,
        "legend.fontsize": 8 * k,
        "legend.frameon": False,
        "legend.handlelength": 1.7,
        **{
            f"{axis}tick.{name}": size * k
            for axis in "xy"
            for name, size in ticks.items()
        },
    }


def colours(name: str) -> Colormap:
    """Return a colour map whose missing values are grey."""
    return colormaps[name].with_extremes(bad=MISSING_COLOUR)


def _nice(value: float, up: bool) -> float:
    """Return the next of 1, 2, 5, 10, 20, .. at or beyond a positive value."""
    if up:
        return float(_ROUND[np.searchsorted(_ROUND, value * (1 - 1e-9))])
    return float(_ROUND[np.searchsorted(_ROUND, value * (1 + 1e-9), side="right") - 1])


def _valid(arrays: Iterable[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0), *[a[np.isfinite(a)].ravel() for a in arrays]])


def concentration_norm(arrays: Iterable[np.ndarray]) -> LogNorm:
    """Return a logarithmic scale for values, with ends of 1, 2 or 5 times 10**n.

    The lowest 0.5 % and the highest 0.1 % may be beyond it.

    Args:
        arrays: ug m-3; missing values and zeros do not count.
    """
    values = _valid(arrays)
    values = values[values > 0]
    if not values.size:
        return LogNorm(1.0, 100.0)
    outer = (
        np.quantile(values, 0.005, method="lower"),
        np.quantile(values, 0.999, method="higher"),
    )
    low, high = np.clip(outer, FLOOR, CEILING)
    bottom, top = _nice(low, up=False), _nice(high, up=True)
    while top < 5 * bottom:  # one colour for everything would say nothing
        bottom, top = _nice(bottom * 0.9, up=False), _nice(top * 1.1, up=True)
    return LogNorm(bottom, top)


def guideline_norm(species: str, annual: bool) -> BoundaryNorm:
    """Return the steps of WHO's 2021 guidelines, and 2, 5 and 10 times the weakest target.

    Args:
        species: ``pm2p5`` or ``pm10``.
        annual: the levels for a year; else those for 24 hours.

    Raises:
        InputError: there are no guidelines for the species.
    """
    levels = who_levels(species, "year" if annual else "day")
    if not levels:
        raise InputError(
            "--scale guideline", "PM2.5 or PM10", species, "choose the scale log"
        )
    steps = [0.0, *levels, *(times * levels[-1] for times in _BEYOND)]
    return BoundaryNorm(steps, colormaps[CONCENTRATION_COLOURS].N, extend="max")


def guideline_steps(species: str) -> list[float] | None:
    """Return steps for values of any span, ug m-3.

    They are the guideline for a year, the levels for a day, and twice the weakest of them; ``None`` for a species
    without guidelines.
    """
    day = who_levels(species, "day")
    if not day:
        return None
    return [who_levels(species, "year")[0], *day, _BEYOND[0] * day[-1]]


def error_norm(arrays: Iterable[np.ndarray]) -> Normalize:
    """Return a linear scale about 0 that holds all but the largest 2 % of the errors.

    Args:
        arrays: ug m-3; missing values do not count.
    """
    sizes = abs(_valid(arrays))
    largest = float(np.quantile(sizes, 0.98)) if sizes.size else 0.0
    end = _nice(largest, up=True) if largest > 1e-6 else 1.0
    return Normalize(-end, end)


def extend(norm: Normalize, arrays: Iterable[np.ndarray]) -> str:
    """Return at which ends of a scale values are beyond it, in matplotlib's word: neither, min, max or both."""
    values = _valid(arrays)
    below, above = (values < norm.vmin).any(), (values > norm.vmax).any()
    return ("neither", "min", "max", "both")[int(below) + 2 * int(above)]


def concentration_ticks(norm: Normalize, most: int = 99) -> list[float]:
    """Return 1, 2, 5, 10, .. within a logarithmic scale; if they are more than ``most`` only the powers of ten."""
    assert norm.vmin is not None
    assert norm.vmax is not None
    ticks = _ROUND[
        (norm.vmin * (1 - 1e-9) <= _ROUND) & (norm.vmax * (1 + 1e-9) >= _ROUND)
    ].tolist()
    return (
        ticks
        if len(ticks) <= most
        else [tick for tick in ticks if f"{tick:e}"[0] == "1"]
    )


def plain_number(value: float, _: object = None) -> str:
    """Return a tick without exponents: 0.1, 2, 500, 2000."""
    return f"{value:g}".replace("-", MINUS)


def longitude_text(value: float, _: object = None) -> str:
    """Return degrees for people, whichever turn they are counted in: 120°E, 90°W, 180°."""
    turned = (value + 180) % 360 - 180
    if abs(turned) < 1e-6 or abs(abs(turned) - 180) < 1e-6:
        return f"{abs(turned):.0f}°"
    return f"{abs(turned):g}°{'E' if turned > 0 else 'W'}"


def latitude_text(value: float, _: object = None) -> str:
    """Return degrees for people: 30°N, 0°, 60°S."""
    if abs(value) < 1e-6:
        return "0°"
    return f"{abs(value):g}°{'N' if value > 0 else 'S'}"


LONGITUDES, LATITUDES = FuncFormatter(longitude_text), FuncFormatter(latitude_text)
NUMBERS = FuncFormatter(plain_number)


def open_axes(axes: Axes, k: float) -> None:
    """Give axes of a diagram a pale net behind what is drawn, and no lines above and at the right."""
    axes.grid(visible=True, color="0.9", linewidth=0.6 * k)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def logarithmic(axes: Axes) -> None:
    """Give axes of a diagram a logarithmic scale of heights with ticks at 1, 2, 5, 10, .."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_minor_formatter(NullFormatter())
