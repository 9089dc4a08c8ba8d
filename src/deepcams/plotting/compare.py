"""Methods side by side at one time, with their errors and zoomed boxes (Figs. 3 and 4 of the paper)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from deepcams.core.errors import InputError
from deepcams.core.field import grid_of
from deepcams.core.grid import Grid
from deepcams.plotting import style
from deepcams.plotting.extent import Box, View, into_turn, window, within
from deepcams.plotting.maps import draw_map, species_of
from deepcams.plotting.page import (
    Sheet,
    Size,
    credit_of,
    legible,
    size_of,
    text_width,
    writing_height,
)
from deepcams.plotting.reading import frame_at, stamp

_NARROW = 5.5  # of a figure on a screen, at least; inches
_LEFT, _RIGHT, _GAP, _TITLE, _TICKS, _FOOT = (
    0.62,
    0.15,
    0.14,
    0.26,
    0.3,
    0.94,
)  # round and between the maps, inches


_LINE = 0.135  # of figures below a title
_STEPS = 2.6  # a scale with the guidelines' steps: the least width of all their names
_BELOW = 0.78  # two scales below one another: their distance
_FIGURES = "MAE 0.000   RMSE 00.0"


@dataclass(frozen=True)
class Panel:
    """One map of a figure, in any number of views."""

    title: str
    values: np.ndarray
    grid: Grid
    is_error: bool = False


def compare_maps(
    fields: Mapping[str, xr.DataArray],
    time: np.datetime64,
    *,
    truth: xr.DataArray | None = None,
    source: tuple[str, xr.DataArray] | None = None,
    box: Box | None = None,
    zooms: Sequence[Box] = (),
    scale: str = "log",
    size: str = "screen",
    title: str = "",
    note: str = "",
    credit: str | None = None,
) -> Figure:
    """Methods side by side at one time, on one scale: the whole region, then each zoomed box.

    With a truth, it stands left of the methods, and each method has its error (method - truth, with MAE and RMSE over
    what is shown) below; the source stands below the truth. Without one, source and methods stand in a row.

    Args:
        fields: name -> canonical field, one to four of them.
        time: UTC. A field without a frame at this time shows its last one less than 3 h before, and says so.
        truth: canonical field on the methods' grid.
        source: name and field of what the methods were given, on any grid.
        box: what the first block of maps shows; default all of the truth (or of the first field).
        zooms: boxes shown enlarged below, named A, B, .. and outlined above.
        scale, size, title, note, credit: as in :func:`deepcams.plotting.maps.map_figure`.

    Raises:
        InputError: a field is not canonical, has no such time, or lies outside the box; an error is asked for on
            another grid or at another time than the truth's.
    """
    if not 1 <= len(fields) <= 4:
        raise InputError("fields", "one to four", len(fields))
    first = next(iter(fields.values())) if truth is None else truth
    time = np.datetime64(time).astype("datetime64[ns]")
    overview = View.of(grid_of(first), box)
    views = [overview, *[View.of(grid_of(first), zoom) for zoom in zooms]]
    inner = box is not None and all(overview.holds(view) for view in views)

    def panel(name: str, field: xr.DataArray) -> tuple[Panel, np.datetime64]:
        grid = grid_of(field)
        part, rows, columns = window(grid, overview) if inner else (grid, slice(None), None)
        values, when = frame_at(field, time, name, rows, columns)
        late = "" if when == time else f", {stamp(when)[11:]} UTC"
        return Panel(f"{name}, {grid.step:g}°{late}", values, part), when

    given = panel(*source)[0] if source else None
    made = {name: panel(name, field) for name, field in fields.items()}
    top = [each for each, _ in made.values()]
    rows: list[list[Panel | None]]
    if truth is None:
        rows = [[*([given] if given else []), *top]]
    else:
        true, when = panel("Truth", truth)
        errors = []
        for name, (each, own) in made.items():
            if each.grid != true.grid or own != when:
                found = f"{each.grid.describe()} at {stamp(own)}"
                raise InputError(
                    name,
                    f"the truth's grid and time ({true.grid.describe()}, {stamp(when)})",
                    found,
                )
            errors.append(
                Panel(
                    f"{name} {style.MINUS} truth",
                    each.values - true.values,
                    true.grid,
                    is_error=True,
                )
            )
        rows = [[true, *top], [given, *errors]]
    head = title or f"{species_of(first)}, {stamp(time)} UTC"
    if credit is None:
        credit = credit_of(
            source[1] if source else None, truth, *fields.values(), span=(time, time)
        )
    return lay_out([rows for _ in views], views, head, note, credit, first, scale, size_of(size))


def lay_out(
    blocks: Sequence[Sequence[Sequence[Panel | None]]],
    views: Sequence[View],
    title: str,
    note: str,
    credit: str,
    like: xr.DataArray,
    scale: str,
    paper: Size,
    annual: bool = False,
    error_words: str = f"error: method {style.MINUS} truth ({style.UNITS_TEXT})",
) -> Figure:
    """Set blocks of maps one below the other, each in its own view, with one scale for all of a kind.

    Args:
        blocks: of each view, rows of panels; ``None`` leaves a place free.
        views: of each block; those after the first are outlined in it.
        title, note, credit: of the sheet.
        like: field whose species is drawn.
        scale: of concentrations.
        paper: how large.
        annual: whether guidelines are those for a year.
        error_words: what the scale of errors is.
    """
    panels = [panel for row in blocks[0] for panel in row if panel is not None]
    shown = [within(panel.values, panel.grid, views[0]) for panel in panels if not panel.is_error]
    errors = [within(panel.values, panel.grid, views[0]) for panel in panels if panel.is_error]
    norms = {
        False: style.norm_of(scale, shown, str(like.name), annual),
        True: style.error_norm(errors),
    }
    names = {False: style.CONCENTRATION_COLOURS, True: style.ERROR_COLOURS}
    k, across = paper.text, max(len(row) for row in blocks[0])
    sides = (_LEFT + _RIGHT + (across - 1) * _GAP) * k
    above_foot = sum(len(block) * _TITLE + _TICKS for block in blocks) * k
    slope = sum(len(block) * view.height for block, view in zip(blocks, views, strict=True))
    texts = writing_height(paper, title, note, credit)

    def widest(more: float, foot: float) -> float:
        room = paper.tallest - above_foot - foot - texts - more
        return min((paper.width - sides) / across, max(room / slope, 0.6 * k))

    # Where the errors' figures find no room beside a title, they stand below it.
    names_of = [legible(panel.title) for panel in panels if panel.is_error]
    foot, stacked = (_FOOT + (0.12 if scale == "guideline" else 0)) * k, False
    while True:
        beside = all(
            text_width(f"A: {each}    {_FIGURES}", 9 * k) < widest(0.0, foot) for each in names_of
        )
        lines = (
            0
            if beside
            else 1
            if text_width(_FIGURES, style.points(8 * k)) < widest(0.3 * k, foot)
            else 2
        )
        more = [
            [lines * _LINE * k * any(p is not None and p.is_error for p in row) for row in block]
            for block in blocks
        ]
        wide = widest(sum(map(sum, more)), foot)
        width = (
            paper.width
            if paper.fixed
            else max(across * wide + sides, min(_NARROW * k, paper.width))
        )
        if stacked or scale != "guideline" or not errors or _bar(width, k, 2) >= _STEPS * k:
            break
        foot, stacked = foot + _BELOW * k, True  # steps and their names need a line of their own
    left = (width - across * wide - (across - 1) * _GAP * k + (_LEFT - _RIGHT) * k) / 2
    sheet = Sheet(
        paper,
        above_foot + foot + wide * slope + sum(map(sum, more)),
        width=width,
        title=title,
        note=note,
        credit=credit,
        left=left / k,
    )
    images: dict[bool, AxesImage] = {}
    top = sheet.top
    for which, (block, view) in enumerate(zip(blocks, views, strict=True)):
        tall = wide * view.height
        for r, row in enumerate(block):
            top -= _TITLE * k + more[which][r] + tall
            for c, panel in enumerate(row):
                if panel is None:
                    continue
                axes = sheet.axes(left + c * (wide + _GAP * k), top, wide, tall)
                kind = panel.is_error
                degrees = (
                    not any(row[:c]),
                    not any(below[c] for below in block[r + 1 :] if c < len(below)),
                )
                images[kind] = draw_map(
                    axes, panel.values, panel.grid, view, norms[kind], names[kind], k, degrees
                )
                letter = f"{chr(65 + which - 1)}: " if which else ""
                text = legible(letter + panel.title)
                points = style.points(min(9 * k, 9 * k * wide / text_width(text, 9 * k)))
                pad = 3 * k + (lines * _LINE * k * 72 if panel.is_error else 0)
                axes.set_title(text, fontsize=points, loc="left", pad=pad)
                if panel.is_error:
                    _write_scores(axes, within(panel.values, panel.grid, view), k, lines)
                if not which:
                    _outline(axes, view, views[1:], k, wide)
        top -= _TICKS * k
    _add_scales(
        sheet,
        images,
        {False: shown, True: errors},
        species_of(like),
        style.scale_words(scale, annual),
        error_words,
        stacked,
    )
    return sheet.figure


def map_width(rows: Sequence[Sequence[Panel | None]], view: View, paper: Size) -> float:
    """How wide each map becomes, in inches, where rows of them are laid out on a paper."""
    k, across = paper.text, max(len(row) for row in rows)
    room = paper.width - (_LEFT + _RIGHT + (across - 1) * _GAP) * k
    tall = paper.tallest - (_FOOT + len(rows) * _TITLE + _TICKS + 0.6) * k
    return min(room / across, tall / len(rows) / view.height)


def _write_scores(axes: Axes, errors: np.ndarray, k: float, lines: int) -> None:
    """Above the map: at its right (no line of their own), or from its left in one line or in two."""
    known = errors[np.isfinite(errors)].astype(np.float64)
    if not known.size:
        return
    mae, rmse = (
        f"{figure:#.3g}".rstrip(".") for figure in (abs(known).mean(), np.sqrt((known**2).mean()))
    )
    text = f"MAE {mae}{chr(10) if lines == 2 else '   '}RMSE {rmse}"
    axes.annotate(
        text,
        (0 if lines else 1, 1),
        (0, 3 * k),
        xycoords="axes fraction",
        textcoords="offset points",
        va="bottom",
        fontsize=style.points(8 * k),
        ha="left" if lines else "right",
        linespacing=1.05,
    )


def _outline(axes: Axes, view: View, zooms: Sequence[View], k: float, wide: float) -> None:
    """Boxes with their letters: within the box, or beside one that is too small; ``wide`` is the map's, in inches."""
    letter = 0.13 * k / wide * (view.east - view.west)
    taken: list[np.ndarray] = []
    for i, zoom in enumerate(zooms):
        west = into_turn(zoom.west, view.west)
        width, middle = zoom.east - zoom.west, zoom.east / 2 - zoom.west / 2
        turns = [
            turn for turn in (west, west - 360) if turn + width > view.west and turn < view.east
        ]
        for turn in turns:  # a box across the view's own edge is seen at both
            frame = Rectangle(
                (turn, zoom.south),
                width,
                zoom.north - zoom.south,
                fill=False,
                linewidth=1.1 * k,
                zorder=4,
                edgecolor="black",
                path_effects=[withStroke(linewidth=2.4 * k, foreground="white")],
            )
            axes.add_patch(frame)
        places = [(turn, zoom.north, "left", "top") for turn in turns if width > 2.2 * letter]
        for side, up in ((zoom.north, "bottom"), (zoom.south, "top")):
            for turn in turns:
                at = min(max(turn + middle, view.west + 0.6 * letter), view.east - 0.6 * letter)
                places.append((at, side, "center", up))

        def heart(place: tuple[float, float, str, str]) -> np.ndarray:
            x, y, across, up = place
            return np.array(
                [
                    x + letter / 2 * (across == "left"),
                    y + (letter if up == "bottom" else -letter) / 2,
                ]
            )

        free = [
            each
            for each in places
            if all(np.abs(heart(each) - other).max() > letter for other in taken)
        ]
        x, y, across, up = place = (free or places)[0]
        taken.append(heart(place))
        axes.text(
            x,
            y,
            f" {chr(65 + i)}" if across == "left" else chr(65 + i),
            fontsize=style.points(9 * k),
            zorder=4,
            fontweight="bold",
            ha=across,
            va=up,
            path_effects=[withStroke(linewidth=2.2 * k, foreground="white")],
        )


def _add_scales(
    sheet: Sheet,
    images: Mapping[bool, AxesImage],
    values: Mapping[bool, Sequence[np.ndarray]],
    species: str,
    words: str,
    error_words: str,
    stacked: bool,
) -> None:
    """One bar for concentrations and, where there are errors, one for them, below the maps; beside it or below it."""
    k, beside = sheet.k, 1 if stacked else len(images)
    share = (sheet.width - (_LEFT + _RIGHT) * k) / beside
    width = _bar(sheet.width, k, beside)
    for i, kind in enumerate(sorted(images)):
        left = _LEFT * k + (0 if stacked else i * share) + (share - width) / 2
        high = (
            0.57
            + (0.12 if words and not (stacked and kind) else 0)
            + (_BELOW if stacked and not kind else 0)
        )
        text = error_words if kind else f"{species} ({style.UNITS_TEXT}){words}"
        sheet.scale(images[kind], values[kind], (left, sheet.bottom + high * k, width), text)


def _bar(width: float, k: float, beside: int) -> float:
    """How wide each of several scales beside one another is on a figure of a width, inches."""
    return min((width - (_LEFT + _RIGHT) * k) / beside * 0.86, 5.0 * k)
