"""Style of figures: colours, colour scales and tick labels.

Concentrations: ``magma_r``, on a logarithmic scale; errors: ``RdBu_r``, symmetric about 0. Both are perceptually
uniform and keep their order for colour-blind readers and in greyscale (the two signs of errors differ by hue and
label).
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
"""Colours of lines and markers in a figure, distinguishable even with protanopia, deuteranopia and tritanopia."""
UNITS_TEXT = "µg\N{NO-BREAK SPACE}m⁻³"
MINUS = "\N{MINUS SIGN}"

FLOOR, CEILING = 0.1, 5000.0
"""Lowest start and highest end of a concentration scale, ug m-3."""

SMALLEST = 6.0
"""Smallest font size in print, points."""

_ROUND = np.outer(10.0 ** np.arange(-7, 8), (1, 2, 5)).ravel()

_BEYOND = (2, 5, 10)  # multiples of the weakest target: fires and dust exceed it by far
GUIDELINE_NAMES = {1: "AQG", 2: "IT4", 3: "IT3", 4: "IT2", 5: "IT1"}
"""Names of the steps of :func:`guideline_norm`, by index."""


@dataclass(frozen=True)
class ColourScale:
    """A mapping of values to colours, and its colour bar.

    Attributes:
        norm: normalisation of the values.
        name: name of the matplotlib colour map.
        label: label of the colour bar.
        extend: pointed ends of the bar, as in matplotlib.
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
            arrays: all values drawn with it, ug m-3.
            species: ``pm2p5``, ``pm10``, ..
            annual: whether annual guidelines apply.

        Raises:
            InputError: the scale is unknown, or not available for the species.
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
        """Return the scale for errors, ug m-3, with ``text`` as label."""
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
        """Whether the scale has guideline steps, whose names need a second line below the colour bar."""
        return isinstance(self.norm, BoundaryNorm)

    @property
    def extra_height(self) -> float:
        """Height of that second line, inches of text size 1."""
        return 0.12 if self.has_steps else 0.0

    def shown(self, values: np.ndarray) -> np.ndarray:
        """Return values for an image: on a logarithmic scale, values of 0 or less count as below it."""
        if self.name == CONCENTRATION_COLOURS:
            lowest = 0.0 if self.has_steps else float(np.finfo(np.float32).tiny)
            values = np.where(values <= lowest, lowest, values)
        return np.ma.masked_invalid(values)


def species_text(text: str) -> str:
    """Return a species' label as matplotlib markup, with the size as subscript."""
    return text.replace("PM2.5", "PM$_{2.5}$").replace("PM10", "PM$_{10}$")


def settings(k: float) -> dict[str, Any]:
    """Return the ``rcParams`` that differ from matplotlib's defaults; ``k``: scale factor of all text."""
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
    """Round a positive value up or down to one of 1, 2, 5, 10, 20, .."""
    if up:
        return float(_ROUND[np.searchsorted(_ROUND, value * (1 - 1e-9))])
    return float(_ROUND[np.searchsorted(_ROUND, value * (1 + 1e-9), side="right") - 1])


def _valid(arrays: Iterable[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0), *[a[np.isfinite(a)].ravel() for a in arrays]])


def concentration_norm(arrays: Iterable[np.ndarray]) -> LogNorm:
    """Return a logarithmic scale for values, with ends of 1, 2 or 5 times 10**n.

    The lowest 0.5 % and the highest 0.1 % of values may lie beyond it.

    Args:
        arrays: values, ug m-3; missing values and zeros are ignored.
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
    while top < 5 * bottom:  # a minimum range of colours
        bottom, top = _nice(bottom * 0.9, up=False), _nice(top * 1.1, up=True)
    return LogNorm(bottom, top)


def guideline_norm(species: str, annual: bool) -> BoundaryNorm:
    """Return the steps of WHO's 2021 guidelines, extended by 2, 5 and 10 times the weakest target.

    Args:
        species: ``pm2p5`` or ``pm10``.
        annual: use annual levels instead of those for 24 hours.

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
    """Return guideline steps for values of any averaging period, ug m-3.

    They are the annual guideline, the daily levels, and twice the weakest of these; ``None`` for a species without
    guidelines.
    """
    day = who_levels(species, "day")
    if not day:
        return None
    return [who_levels(species, "year")[0], *day, _BEYOND[0] * day[-1]]


def error_norm(arrays: Iterable[np.ndarray]) -> Normalize:
    """Return a linear scale symmetric about 0 that contains all but the largest 2 % of the errors.

    Args:
        arrays: errors, ug m-3; missing values are ignored.
    """
    sizes = abs(_valid(arrays))
    largest = float(np.quantile(sizes, 0.98)) if sizes.size else 0.0
    end = _nice(largest, up=True) if largest > 1e-6 else 1.0
    return Normalize(-end, end)


def extend(norm: Normalize, arrays: Iterable[np.ndarray]) -> str:
    """Return at which ends values lie beyond a scale, as matplotlib's ``extend``: neither, min, max or both."""
    values = _valid(arrays)
    below, above = (values < norm.vmin).any(), (values > norm.vmax).any()
    return ("neither", "min", "max", "both")[int(below) + 2 * int(above)]


def concentration_ticks(norm: Normalize, most: int = 99) -> list[float]:
    """Return the ticks 1, 2, 5, 10, .. of a logarithmic scale; only powers of ten if there are more than ``most``."""
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
    """Format a tick without exponents: 0.1, 2, 500, 2000."""
    return f"{value:g}".replace("-", MINUS)


def longitude_text(value: float, _: object = None) -> str:
    """Format a longitude with any offset of 360: 120°E, 90°W, 180°."""
    turned = (value + 180) % 360 - 180
    if abs(turned) < 1e-6 or abs(abs(turned) - 180) < 1e-6:
        return f"{abs(turned):.0f}°"
    return f"{abs(turned):g}°{'E' if turned > 0 else 'W'}"


def latitude_text(value: float, _: object = None) -> str:
    """Format a latitude: 30°N, 0°, 60°S."""
    if abs(value) < 1e-6:
        return "0°"
    return f"{abs(value):g}°{'N' if value > 0 else 'S'}"


LONGITUDES, LATITUDES = FuncFormatter(longitude_text), FuncFormatter(latitude_text)
NUMBERS = FuncFormatter(plain_number)


def open_axes(axes: Axes, k: float) -> None:
    """Give axes a light grid behind the data, and no frame at the top and right."""
    axes.grid(visible=True, color="0.9", linewidth=0.6 * k)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def logarithmic(axes: Axes) -> None:
    """Give axes a logarithmic vertical scale with ticks at 1, 2, 5, 10, .."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_minor_formatter(NullFormatter())
