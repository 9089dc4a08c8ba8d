"""Time series at a point, or of a box mean: the original and the fields made from it (Fig. 7 of the paper)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, date2num, num2date
from matplotlib.figure import Figure
from matplotlib.ticker import Formatter

from deepcams.core.errors import InputError, choose
from deepcams.core.field import clock, grid_of
from deepcams.core.period import Period
from deepcams.core.progress import Progress, no_progress, shifted
from deepcams.core.times import MINUTE
from deepcams.plotting import style
from deepcams.plotting.figure_layout import Row, Sheet, Texts, own_style, size_of
from deepcams.plotting.lettering import legible
from deepcams.plotting.maps import species_of
from deepcams.plotting.reading import blocks, times_in

Place = Sequence[float]
"""Longitude and latitude of a point, or W S E N of a box; degrees."""

_COLOURS = [each for each in style.LINE_COLOURS if each != style.ORIGINAL]
_AROUND = 90 * MINUTE
_GAP = 1.5  # a line is broken at steps this many times longer than usual
_MANY = 400  # number of values from which a line is drawn thin


def series_at(
    field: xr.DataArray,
    place: Place,
    period: Period | None = None,
    name: str = "field",
    progress: Progress = no_progress,
) -> tuple[np.ndarray, np.ndarray]:
    """Return times and values at the node nearest to a point, or of the area-weighted mean of a box.

    Only the required nodes are read, in blocks of times.

    Args:
        field: canonical field.
        place: (longitude, latitude), or W S E N, degrees.
        period: only these times.
        name: name of the field in messages.
        progress: callback while reading frames.

    Returns:
        times (n,) and values (n,), ug m-3; NaN where all values are missing.

    Raises:
        InputError: the place is outside the field, or no time in the period.
    """
    grid = grid_of(field)
    times = times_in(field, period, name)
    if len(place) == 2:
        longitude, latitude = place
        found = f"{longitude:g} {latitude:g}"
        if not (-180 <= longitude <= 360 and -90 <= latitude <= 90):
            raise InputError("--at", "longitude -180..360 and latitude -90..90", found)
        row = round((90 - latitude) / grid.row_step) - grid.north
        column = (round(longitude / grid.step) - grid.west) % grid.around
        if not (0 <= row < grid.rows and column < grid.columns):
            raise InputError(
                f"{name}: --at", f"a place in the data ({grid.describe()})", found
            )
        rows, columns, weights = slice(row, row + 1), np.array([column]), np.ones(1)
    else:
        part, rows, columns = grid.select(place, f"{name}: --box")
        weights = part.row_areas
    means = []
    for values in blocks(field, times, (rows, columns), progress):
        known = np.isfinite(values)
        share = (known * weights[:, None]).sum(axis=(1, 2))
        total = np.where(known, values.astype(np.float64), 0) * weights[:, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            means.append(total.sum(axis=(1, 2)) / share)
    return field.time.values[times], np.concatenate(means)


def place_words(place: Place) -> str:
    """Format a place for display."""
    if len(place) == 2:
        return f"{style.latitude_text(place[1])} {style.longitude_text(place[0])}"
    west, south, east, north = place
    across = f"{style.longitude_text(west)} to {style.longitude_text(east)}"
    return f"mean of {across}, {style.latitude_text(south)} to {style.latitude_text(north)}"


def series_figure(
    fields: Mapping[str, xr.DataArray],
    place: Place,
    *,
    original: xr.DataArray | None = None,
    period: Period | None = None,
    scale: str = "linear",
    size: str = "screen",
    title: str = "",
    note: str = "",
    credit: str | None = None,
    progress: Progress = no_progress,
) -> Figure:
    """Draw all fields at a place as lines, and the original as dots (as a thin line if it has many values).

    Args:
        fields: one to four canonical fields by name.
        place: (longitude, latitude), for the nearest node; or W S E N, for the mean of a box.
        original: field that they were made from.
        period: only these times; default: all.
        scale: scale of the values: ``linear``; ``log``; or ``guideline``, linear with WHO's 24-hour levels as lines.
        size, title, note, credit: as in :func:`deepcams.plotting.maps.map_figure`.
        progress: callback while reading all fields.

    Raises:
        InputError: the place is outside a field, no time is in the period, or all values are missing.
    """
    choose("--scale", scale, ("linear", "log", "guideline"))
    if not 1 <= len(fields) <= 4:
        raise InputError("fields", "one to four", len(fields))
    first = next(iter(fields.values()))
    colours = dict(zip(fields, _COLOURS, strict=False))
    if original is not None:
        fields = {"original": original, **fields}
        colours["original"] = style.ORIGINAL
    spans = {name: times_in(field, period, name) for name, field in fields.items()}
    total = sum(span.stop - span.start for span in spans.values())
    before, found = 0, {}
    for name, field in fields.items():
        found[name] = series_at(
            field, place, period, name, shifted(progress, before, total)
        )
        before += found[name][0].size
    known = np.concatenate(
        [values[np.isfinite(values)] for _, values in found.values()]
    )
    words = place_words(place)
    if not known.size:
        raise InputError(
            "series", "values at the place", f"nothing but missing ones at {words}"
        )
    if scale == "log" and not (known > 0).any():
        raise InputError(
            "--scale log", "values above 0", f"none at {words}", "choose linear"
        )
    ends = sorted(t for times, _ in found.values() for t in times[[0, -1]])
    span = ends[0], ends[-1]
    title = title or f"{species_of(first)}, {words}"
    texts = Texts.of(title, note, credit, fields.values(), span)
    rows = [Row(above=0.26, tall=2.5)]
    sheet = Sheet(size_of(size), texts, rows, margins=(0.66, 0.36, 0.0), foot=0.54)
    with own_style(sheet.k):
        axes, k = sheet.axes(0), sheet.k
        for name, (times, values) in found.items():
            label = legible(f"{name}, {grid_of(fields[name]).step:g}°")
            _draw_line(
                axes, times, values, label, colours[name], k, dots=name == "original"
            )
        if scale == "log":
            style.logarithmic(axes)
            lowest = max(float(known[known > 0].min()), style.FLOOR)
            axes.set_ylim(lowest / 1.2, max(float(known.max()), 2 * lowest) * 1.2)
        else:
            axes.set_ylim(0, 1.06 * float(known.max()) if known.max() > 0 else 1.0)
        if scale == "guideline":
            _draw_guidelines(axes, str(first.name), k)
        axes.yaxis.set_major_formatter(style.NUMBERS)
        _label_times(axes, span, clock(first))
        style.open_axes(axes, k)
        axes.set_ylabel(f"{species_of(first)} ({style.UNITS_TEXT})")
        axes.legend(
            loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=4, borderaxespad=0.1
        )
    return sheet.figure


class _Dates(Formatter):
    """Formatter of times that omits what a tick has in common with the previous one."""

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        """Return the labels of all ticks."""
        times = [num2date(value) for value in values]  # type: ignore[no-untyped-call]
        fine, coarse = "%Y", ""
        if any(time.hour or time.minute for time in times):
            fine, coarse = "%H:%M", "%Y-%m-%d"
        elif any(time.day > 1 for time in times):
            fine, coarse = "%d", "%Y-%m"
        elif any(time.month > 1 for time in times):
            fine, coarse = "%b", "%Y"
        words, before = [], ""
        for time in times:
            above = time.strftime(coarse)
            words.append(
                time.strftime(fine) + ("\n" + above if above != before else "")
            )
            before = above
        return words

    def __call__(self, value: float, position: int | None = None) -> str:
        """Return the label of a single tick."""
        return str(num2date(value).strftime("%Y-%m-%d %H:%M"))  # type: ignore[no-untyped-call]


def _draw_line(
    axes: Axes,
    times: np.ndarray,
    values: np.ndarray,
    label: str,
    colour: str,
    k: float,
    dots: bool,
) -> None:
    """Draw a line, or few values as dots, interrupted at gaps."""
    if times.size > 2:
        steps = np.diff(times)
        breaks = np.flatnonzero(steps > _GAP * np.median(steps)) + 1
        times = np.insert(times, breaks, times[breaks - 1])
        values = np.insert(values, breaks, np.nan)
    look: dict[str, object] = {"linewidth": 1.5 * k}
    if times.size > _MANY:
        look = {"linewidth": 0.7 * k, "alpha": 0.85}
    elif dots:
        look = {"linestyle": "none", "marker": "o", "markersize": 4.2 * k}
        look |= {"markerfacecolor": "white", "markeredgewidth": 1.2 * k}
    elif times.size == 1:
        look = {"linestyle": "none", "marker": "."}
    order = 3
    if dots:
        order = 2 if times.size > _MANY else 4
    axes.plot(times, values, color=colour, label=label, zorder=order, **look)  # type: ignore[arg-type]


def _draw_guidelines(axes: Axes, species: str, k: float) -> None:
    """Draw WHO's 24-hour levels as lines, with names that do not overlap."""
    steps = style.guideline_norm(species, annual=False).boundaries.tolist()
    low, high = axes.get_ylim()
    last = -np.inf
    for number, name in style.GUIDELINE_NAMES.items():
        step = steps[number]
        if step > high:
            break
        axes.axhline(
            step, color="0.6", linewidth=0.6 * k, linestyle=(0, (5, 3)), zorder=1
        )
        if step - last <= 0.05 * (high - low):
            continue
        axes.annotate(
            f"{name} {step:g}",
            (1, step),
            (-2 * k, 1.5 * k),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            fontsize=7.5 * k,
            color="0.4",
            ha="right",
        )
        last = step


def _label_times(
    axes: Axes, span: tuple[np.datetime64, np.datetime64], zone: str
) -> None:
    locator = AutoDateLocator(minticks=3, maxticks=8)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(_Dates())
    axes.set_xlabel(f"time ({zone})")
    axes.margins(x=0.015)
    if span[0] == span[1]:  # matplotlib would show years around a single instant
        axes.set_xlim(*date2num([span[0] - _AROUND, span[1] + _AROUND]))  # type: ignore[no-untyped-call]
