"""Time series at a point, or of a box's mean: the original and what was made of it (Fig. 7 of the paper)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.dates import AutoDateLocator, date2num, num2date
from matplotlib.figure import Figure
from matplotlib.ticker import Formatter, NullFormatter

from deepcams.core.errors import InputError, choose
from deepcams.core.field import grid_of
from deepcams.core.period import Period
from deepcams.plotting import style
from deepcams.plotting.extent import Box
from deepcams.plotting.maps import species_of
from deepcams.plotting.page import Sheet, credit_of, legible, size_of
from deepcams.plotting.reading import Progress, read, stretches, times_in

Point = tuple[float, float]
"""Longitude and latitude in degrees."""

COLOURS = ("#c8386a", "#2f9e6e", "#7a57a8", "#e0912f")
ORIGINAL_COLOUR = "#2878b5"
_LEFT, _RIGHT, _TALL, _FOOT, _LEGEND = 0.66, 0.36, 2.5, 0.54, 0.26  # inches of text size 1
_AROUND = np.timedelta64(90, "m")
_GAP = 1.5  # a line is broken where a step is so many times longer than usual


def series_at(
    field: xr.DataArray,
    place: Point | Box,
    period: Period | None = None,
    name: str = "field",
    progress: Progress | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Times and values at the nearest node of a point, or of a box's mean weighted by area.

    Only the nodes of the place are read, a stretch of times after the other.

    Args:
        field: canonical.
        place: (longitude, latitude), or W S E N, degrees.
        period: only these times.
        name: of the field, for messages.
        progress: called with the number of frames read, and of all.

    Returns:
        times (n,) and values (n,), ug m-3; NaN where all is missing.

    Raises:
        InputError: the place lies outside the field, or no time in the period.
    """
    grid = grid_of(field)
    times = times_in(field, period, name)
    if len(place) == 2:
        longitude, latitude = place
        if not (-180 <= longitude <= 360 and -90 <= latitude <= 90):
            raise InputError(
                "--at", "longitude -180..360 and latitude -90..90", f"{longitude:g} {latitude:g}"
            )
        row = round((90 - latitude) / grid.step) - grid.north
        column = (round(longitude / grid.step) - grid.west) % grid.around
        if not (0 <= row < grid.rows and column < grid.columns):
            raise InputError(
                f"{name}: --at",
                f"a place in the data ({grid.describe()})",
                f"{longitude:g} {latitude:g}",
            )
        rows, columns, weights = slice(row, row + 1), np.array([column]), np.ones(1)
    else:
        part, rows, columns = grid.select(place, f"{name}: --box")
        weights = part.row_areas
    found = []
    for stretch in stretches(field, times, len(range(*rows.indices(grid.rows))) * columns.size):
        values = read(field, stretch, rows, columns).astype(np.float64)
        there = np.isfinite(values)
        share = (there * weights[:, None]).sum(axis=(1, 2))
        with np.errstate(invalid="ignore", divide="ignore"):
            found.append((np.where(there, values, 0) * weights[:, None]).sum(axis=(1, 2)) / share)
        if progress is not None:
            progress(stretch.stop - times.start, times.stop - times.start)
    return field.time.values[times], np.concatenate(found)


def place_words(place: Point | Box) -> str:
    """A place for people."""
    if len(place) == 2:
        return f"{style.latitude_text(place[1])} {style.longitude_text(place[0])}"
    west, south, east, north = place
    across = f"{style.longitude_text(west)} to {style.longitude_text(east)}"
    return f"mean of {across}, {style.latitude_text(south)} to {style.latitude_text(north)}"


def series_figure(
    fields: Mapping[str, xr.DataArray],
    place: Point | Box,
    *,
    original: xr.DataArray | None = None,
    period: Period | None = None,
    scale: str = "linear",
    size: str = "screen",
    title: str = "",
    note: str = "",
    credit: str | None = None,
    progress: Progress | None = None,
) -> Figure:
    """Lines of all fields at a place, and the original as dots (as a thin line where it has many hundred values).

    Args:
        fields: name -> canonical field, one to four.
        place: (longitude, latitude), whose nearest node is shown; or W S E N, whose mean is.
        original: what they were made from.
        period: only these times; default all.
        scale: of the values: ``linear``; ``log``; or ``guideline``, linear with WHO's 24-hour levels as lines.
        size, title, note, credit: as in :func:`deepcams.plotting.maps.map_figure`.
        progress: of reading, over all fields.

    Raises:
        InputError: the place lies outside a field, no time in the period, or nothing but missing values.
    """
    choose("--scale", scale, ("linear", "log", "guideline"))
    if not 1 <= len(fields) <= 4:
        raise InputError("fields", "one to four", len(fields))
    first = next(iter(fields.values()))
    todo = {**({"original": original} if original is not None else {}), **fields}
    sizes = {name: times_in(field, period, name) for name, field in todo.items()}
    total = sum(each.stop - each.start for each in sizes.values())
    before, found = 0, {}
    for name, field in todo.items():
        done = before

        def tell(at: int, _: int, done: int = done) -> None:
            if progress is not None:
                progress(done + at, total)

        found[name] = series_at(field, place, period, name, tell)
        before += sizes[name].stop - sizes[name].start
    if not any(np.isfinite(values).any() for _, values in found.values()):
        raise InputError(
            "series", "values at the place", f"nothing but missing ones at {place_words(place)}"
        )
    if scale == "log" and not any((values > 0).any() for _, values in found.values()):
        raise InputError(
            "--scale log", "values above 0", f"none at {place_words(place)}", "choose linear"
        )

    paper = size_of(size)
    k = paper.text
    head = title or f"{species_of(first)}, {place_words(place)}"
    ends = sorted(t for times, _ in found.values() for t in times[[0, -1]])
    credit = (
        credit_of(original, *fields.values(), span=(ends[0], ends[-1]))
        if credit is None
        else credit
    )
    sheet = Sheet(
        paper, (_TALL + _FOOT + _LEGEND) * k, title=head, note=note, credit=credit, left=_LEFT
    )
    wide = sheet.width - (_LEFT + _RIGHT) * k
    axes = sheet.axes(_LEFT * k, sheet.bottom + _FOOT * k, wide, _TALL * k)
    for i, (name, (times, values)) in enumerate(found.items()):
        mark = name == "original"
        colour = ORIGINAL_COLOUR if mark else COLOURS[(i - (original is not None)) % len(COLOURS)]
        _line(
            axes,
            times,
            values,
            legible(f"{name}, {grid_of(todo[name]).step:g}°"),
            colour,
            k,
            dots=mark,
        )
    _settle(axes, scale, str(first.name), [values for _, values in found.values()], ends, k)
    axes.set_ylabel(f"{species_of(first)} ({style.UNITS_TEXT})", fontsize=9 * k, labelpad=3 * k)
    axes.legend(
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        ncols=4,
        fontsize=style.points(8 * k),
        frameon=False,
        borderaxespad=0.1,
        handlelength=1.6,
        columnspacing=1.2,
    )
    return sheet.figure


class _Dates(Formatter):
    """Times as short as they are clear: what a tick's neighbour to the left says too is left out."""

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        """The labels of all ticks together."""
        times = [num2date(value) for value in values]  # type: ignore[no-untyped-call]
        if any(time.hour or time.minute for time in times):
            fine, coarse = "%H:%M", "%Y-%m-%d"
        elif any(time.day > 1 for time in times):
            fine, coarse = "%d", "%Y-%m"
        else:
            fine, coarse = ("%b", "%Y") if any(time.month > 1 for time in times) else ("%Y", "")
        words, before = [], ""
        for time in times:
            above = time.strftime(coarse)
            words.append(time.strftime(fine) + ("\n" + above if above != before else ""))
            before = above
        return words

    def __call__(self, value: float, position: int | None = None) -> str:
        """One tick by itself."""
        return str(num2date(value).strftime("%Y-%m-%d %H:%M"))  # type: ignore[no-untyped-call]


def _line(
    axes: Axes, times: np.ndarray, values: np.ndarray, label: str, colour: str, k: float, dots: bool
) -> None:
    if times.size > 2:  # nothing is drawn across a gap
        steps = np.diff(times)
        breaks = np.flatnonzero(steps > _GAP * np.median(steps)) + 1
        times, values = (
            np.insert(times, breaks, times[breaks - 1]),
            np.insert(values, breaks, np.nan),
        )
    many = times.size > 400
    if dots and not many:
        axes.plot(
            times,
            values,
            "o",
            color=colour,
            markersize=4.2 * k,
            markerfacecolor="white",
            markeredgewidth=1.2 * k,
            label=label,
            zorder=4,
        )
        return
    alone = times.size == 1
    axes.plot(
        times,
        values,
        "." if alone else "-",
        color=colour,
        linewidth=(0.7 if many else 1.5) * k,
        alpha=0.85 if many else 1.0,
        label=label,
        zorder=2 if dots else 3,
    )


def _settle(
    axes: Axes,
    scale: str,
    species: str,
    values: list[np.ndarray],
    times: list[np.datetime64],
    k: float,
) -> None:
    known = np.concatenate(values)
    known = known[np.isfinite(known)]
    if scale == "log":
        norm = style.concentration_norm([known])
        axes.set_yscale("log")
        low = max(float(known[known > 0].min()) if (known > 0).any() else 1.0, style.FLOOR)
        axes.set_ylim(
            min(low, float(norm.vmin or low)) / 1.1,
            max(float(known.max()), float(norm.vmax or 1)) * 1.1,
        )
        ticks = style.concentration_ticks(Normalize(*axes.get_ylim()))
        if len(ticks) >= 2:
            axes.set_yticks(
                ticks if len(ticks) <= 8 else [tick for tick in ticks if f"{tick:e}"[0] == "1"]
            )
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(0, 1.06 * float(known.max()) if known.max() > 0 else 1.0)
    if scale == "guideline":
        norm_steps = style.guideline_norm(species, annual=False).boundaries.tolist()
        low, high = axes.get_ylim()
        last = -np.inf
        for number, name in style.guideline_names().items():
            step = norm_steps[number]
            if step > high:
                break
            axes.axhline(step, color="0.6", linewidth=0.6 * k, linestyle=(0, (5, 3)), zorder=1)
            if step - last > 0.05 * (
                high - low
            ):  # names of lines that lie close would lie upon one another
                axes.annotate(
                    f"{name} {step:g}",
                    (1, step),
                    (-2 * k, 1.5 * k),
                    xycoords=("axes fraction", "data"),
                    textcoords="offset points",
                    fontsize=style.points(6.5 * k),
                    color="0.4",
                    ha="right",
                )
                last = step
    axes.yaxis.set_major_formatter(style.NUMBERS)
    locator = AutoDateLocator(minticks=3, maxticks=8)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(_Dates())
    axes.set_xlabel("time (UTC)", fontsize=9 * k, labelpad=1 * k)
    axes.margins(x=0.015)
    if times[0] == times[-1]:  # one instant has no span of its own, and would be drawn amid years
        first, last = date2num([times[0] - _AROUND, times[0] + _AROUND])  # type: ignore[no-untyped-call]
        axes.set_xlim(first, last)
    axes.tick_params(labelsize=style.points(8 * k), length=3 * k, width=0.7 * k)
    axes.grid(visible=True, color="0.9", linewidth=0.6 * k)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
