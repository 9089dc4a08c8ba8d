"""Methods side by side at one time, with their errors and zoomed boxes (Figs. 3 and 4 of the paper)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from deepcams.core.errors import InputError
from deepcams.core.field import grid_of
from deepcams.core.grid import Grid
from deepcams.core.times import stamp
from deepcams.plotting import style
from deepcams.plotting.maps import draw_map, species_of
from deepcams.plotting.page import (
    Columns,
    Margins,
    Sheet,
    Size,
    Texts,
    legible,
    size_of,
    text_width,
)
from deepcams.plotting.projection import View, into_turn, window, within
from deepcams.plotting.reading import EVERYWHERE, frame_at

# Inches of text size 1.
_MARGINS = Margins(left=0.62, right=0.15, gap=0.14)
_TITLE, _TICKS, _FOOT = 0.26, 0.3, 0.94
_NARROW = 5.5  # least width of a figure on a screen
_LINE = 0.135  # height of a line of scores below a title
_STEPS = 2.6  # least width of a colour bar with all names of the guidelines' steps
_BELOW = 0.78  # distance of two colour bars, one below the other

_SCORES = "MAE 0.000   RMSE 00.0"
"""The longest scores."""


@dataclass(frozen=True)
class Panel:
    """One map of a figure, in any number of views."""

    title: str
    values: np.ndarray
    grid: Grid
    is_error: bool = False


Rows = Sequence[Sequence[Panel | None]]
"""Rows of panels; ``None`` leaves a place free."""


def compare_maps(
    fields: Mapping[str, xr.DataArray],
    time: np.datetime64,
    *,
    truth: xr.DataArray | None = None,
    source: tuple[str, xr.DataArray] | None = None,
    box: Sequence[float] | None = None,
    zooms: Sequence[Sequence[float]] = (),
    scale: str = "log",
    size: str = "screen",
    title: str = "",
    note: str = "",
    credit: str | None = None,
) -> Figure:
    """Draw methods side by side at one time, on one scale: the whole region, then each zoomed box.

    With a truth, that is left of the methods, and each method has its error (method - truth, with MAE and RMSE over
    what is shown) below; the source is below the truth. Without one, source and methods are in a row.

    Args:
        fields: name -> canonical field, one to four of them.
        time: UTC. A field without a frame at this time shows its last one less than 3 h before, and says so.
        truth: canonical field on the methods' grid.
        source: name and field of what the methods were given, on any grid.
        box: what the first block of maps shows; default all of the truth (or of the first field).
        zooms: boxes shown enlarged below, named A, B, .. and outlined above.
        scale, size, title, note, credit: as in :func:`deepcams.plotting.maps.map_figure`.

    Raises:
        InputError: a field is not canonical, has no such time, or is outside the box; an error is asked for on
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
        part, nodes = window(grid, overview) if inner else (grid, EVERYWHERE)
        values, when = frame_at(field, time, name, nodes)
        late = "" if when == time else f", {stamp(when)[11:]} UTC"
        return Panel(f"{name}, {grid.step:g}°{late}", values, part), when

    given = panel(*source)[0] if source else None
    made = {name: panel(name, field) for name, field in fields.items()}
    top = [each for each, _ in made.values()]
    rows: list[list[Panel | None]] = [[*([given] if given else []), *top]]
    if truth is not None:
        true, when = panel("Truth", truth)
        errors = [_error(name, *each, true, when) for name, each in made.items()]
        rows = [[true, *top], [given, *errors]]
    title = title or f"{species_of(first)}, {stamp(time)} UTC"
    drawn = [source[1] if source else None, truth, *fields.values()]
    texts = Texts.of(title, note, credit, drawn, (time, time))
    return lay_out(rows, views, texts, str(first.name), scale, size_of(size))


def _error(
    name: str, panel: Panel, time: np.datetime64, truth: Panel, true_time: np.datetime64
) -> Panel:
    """Return a method's error.

    Raises:
        InputError: it is on another grid or of another time than the truth.
    """
    if panel.grid != truth.grid or time != true_time:
        expected = f"the truth's grid and time ({truth.grid.describe()}, {stamp(true_time)})"
        raise InputError(name, expected, f"{panel.grid.describe()} at {stamp(time)}")
    values = panel.values - truth.values
    return Panel(f"{name} {style.MINUS} truth", values, truth.grid, is_error=True)


@dataclass(frozen=True)
class _Layout:
    """The sizes of maps in rows, for each of several views; inches.

    Attributes:
        wide: of each map.
        stacked: whether the colour bars are one below the other.
        lines: of scores between a title and its map: none (they are beside the title), one or two.
    """

    paper: Size
    rows: Rows
    views: Sequence[View]
    text_height: float
    foot: float
    stacked: bool
    lines: int = 0

    @property
    def across(self) -> int:
        return max(len(row) for row in self.rows)

    def above(self, row: Sequence[Panel | None]) -> float:
        """Room above the maps of a row."""
        scores = self.lines * any(panel is not None and panel.is_error for panel in row)
        return (_TITLE + scores * _LINE) * self.paper.text

    @property
    def fixed(self) -> float:
        """Height of all but the maps."""
        titles = sum(self.above(row) for row in self.rows) + _TICKS * self.paper.text
        return len(self.views) * titles + self.foot

    @property
    def slope(self) -> float:
        """Height of all maps below one another, each 1 wide."""
        return len(self.rows) * sum(view.height for view in self.views)

    @property
    def wide(self) -> float:
        across = self.paper.width - _MARGINS.sides(self.across) * self.paper.text
        up = self.paper.tallest - self.fixed - self.text_height
        return min(across / self.across, max(up / self.slope, 0.6 * self.paper.text))

    @property
    def columns(self) -> Columns:
        least = _NARROW * self.paper.text
        return Columns.of(self.paper, _MARGINS, self.across, self.wide, least)


def lay_out(
    rows: Rows,
    views: Sequence[View],
    texts: Texts,
    species: str,
    scale: str,
    paper: Size,
    annual: bool = False,
    error_words: str = f"error: method {style.MINUS} truth ({style.UNITS_TEXT})",
) -> Figure:
    """Draw rows of maps for each view, one below the other, with one scale for all of a kind.

    Args:
        rows: the panels.
        views: those after the first are outlined in it.
        texts: of the sheet.
        species: name of what is drawn.
        scale: of concentrations.
        paper: how large.
        annual: whether guidelines are those for a year.
        error_words: label of the scale of errors.
    """
    panels = [panel for row in rows for panel in row if panel is not None]
    shown = {
        kind: [within(each.values, each.grid, views[0]) for each in panels if each.is_error == kind]
        for kind in (False, True)
    }
    scales = [style.ColourScale.of_concentrations(scale, shown[False], species, annual)]
    if shown[True]:
        scales.append(style.ColourScale.of_errors(shown[True], error_words))
    k = paper.text
    layout = _fit(rows, views, texts.height(paper), scales, paper)
    columns = layout.columns
    wide = columns.wide
    body = layout.fixed + wide * layout.slope
    sheet = Sheet(paper, body, texts, width=columns.width, left=columns.left)
    top = sheet.top
    for number, view in enumerate(views):
        tall = wide * view.height
        letter = f"{chr(64 + number)}: " if number else ""
        for r, row in enumerate(rows):
            top -= layout.above(row) + tall
            for c, panel in enumerate(row):
                if panel is None:
                    continue
                axes = sheet.axes(columns.start(c), top, wide, tall)
                below = [each[c] for each in rows[r + 1 :] if c < len(each)]
                degrees = not any(row[:c]), not any(below)
                colours = scales[panel.is_error]
                draw_map(axes, panel.values, panel.grid, view, colours, k, degrees)
                _write_title(axes, letter + panel.title, wide, k, layout.lines * panel.is_error)
                if panel.is_error:
                    _write_scores(axes, within(panel.values, panel.grid, view), k, layout.lines)
                if number == 0:
                    _outline(axes, view, views[1:], k, wide)
        top -= _TICKS * k
    _add_bars(sheet, scales, layout.stacked)
    return sheet.figure


def _fit(
    rows: Rows,
    views: Sequence[View],
    text_height: float,
    scales: Sequence[style.ColourScale],
    paper: Size,
) -> _Layout:
    """Return the layout whose titles, scores and colour bars have room."""
    k = paper.text
    foot = (_FOOT + scales[0].extra_height) * k
    titles = [legible(each.title) for row in rows for each in row if each and each.is_error]
    longest = max((text_width(f"A: {each}    {_SCORES}", 9 * k) for each in titles), default=0.0)
    stacked = False
    while True:
        lines = 0
        if longest >= _Layout(paper, rows, views, text_height, foot, stacked).wide:
            room = _Layout(paper, rows, views, text_height + 0.3 * k, foot, stacked).wide
            lines = 1 if text_width(_SCORES, style.points(8 * k)) < room else 2
        layout = _Layout(paper, rows, views, text_height, foot, stacked, lines)
        steps_fit = _bar_width(layout.columns.width, k, 2) >= _STEPS * k
        if stacked or len(scales) == 1 or not scales[0].has_steps or steps_fit:
            return layout
        foot, stacked = foot + _BELOW * k, True


def map_width(rows: Rows, view: View, paper: Size) -> float:
    """Return about how wide each map becomes, inches, where rows of them are laid out on a paper."""
    layout = _Layout(paper, rows, [view], 0.6 * paper.text, _FOOT * paper.text, stacked=False)
    return layout.wide


def _write_title(axes: Axes, title: str, wide: float, k: float, lines: int) -> None:
    """Write a map's title as large as it fits, ``lines`` of scores above the map."""
    text = legible(title)
    points = style.points(9 * k * min(1.0, wide / text_width(text, 9 * k)))
    axes.set_title(text, fontsize=points, loc="left", pad=(3 + lines * _LINE * 72) * k)


def _write_scores(axes: Axes, errors: np.ndarray, k: float, lines: int) -> None:
    """Write scores above the map: at its right (no line of their own), or from its left in one line or in two."""
    known = errors[np.isfinite(errors)].astype(np.float64)
    if not known.size:
        return
    mae, rmse = abs(known).mean(), np.sqrt((known**2).mean())
    words = [f"{name} {score:#.3g}".rstrip(".") for name, score in (("MAE", mae), ("RMSE", rmse))]
    axes.annotate(
        ("\n" if lines == 2 else "   ").join(words),
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
    """Draw boxes with their letters: within the box, or beside one that is too small; ``wide``: of the map, inches."""
    letter = 0.13 * k / wide * (view.east - view.west)
    taken: list[np.ndarray] = []
    for number, zoom in enumerate(zooms):
        name = chr(65 + number)
        west = into_turn(zoom.west, view.west)
        width, height = zoom.east - zoom.west, zoom.north - zoom.south
        # A box across the view's own edge is seen at both.
        turns = [each for each in (west, west - 360) if each + width > view.west]
        turns = [each for each in turns if each < view.east]
        for turn in turns:
            frame = Rectangle(
                (turn, zoom.south),
                width,
                height,
                fill=False,
                linewidth=1.1 * k,
                zorder=4,
                edgecolor="black",
                path_effects=[withStroke(linewidth=2.4 * k, foreground="white")],
            )
            axes.add_patch(frame)
        places = []  # of a letter: where it is written, how it is aligned, and its middle
        if width > 2.2 * letter:
            for turn in turns:
                middle = np.array([turn + letter / 2, zoom.north - letter / 2])
                places.append(((turn, zoom.north), ("left", "top"), middle))
        edges = view.west + 0.6 * letter, view.east - 0.6 * letter
        for side, up, away in ((zoom.north, "bottom", 0.5), (zoom.south, "top", -0.5)):
            for turn in turns:
                x = min(max(turn + width / 2, edges[0]), edges[1])
                middle = np.array([x, side + away * letter])
                places.append(((x, side), ("center", up), middle))
        free = [
            each for each in places if all(abs(each[2] - other).max() > letter for other in taken)
        ]
        at, (across, up), middle = (free or places)[0]
        taken.append(middle)
        axes.text(
            *at,
            f" {name}" if across == "left" else name,
            fontsize=style.points(9 * k),
            zorder=4,
            fontweight="bold",
            ha=across,
            va=up,
            path_effects=[withStroke(linewidth=2.2 * k, foreground="white")],
        )


def _add_bars(sheet: Sheet, scales: Sequence[style.ColourScale], stacked: bool) -> None:
    """Add the colour bars below the maps, side by side or one below the other."""
    k, beside = sheet.k, 1 if stacked else len(scales)
    share = (sheet.width - _MARGINS.sides(1) * k) / beside
    width = _bar_width(sheet.width, k, beside)
    for i, scale in enumerate(scales):
        left = _MARGINS.left * k + (share - width) / 2
        up = 0.57
        if stacked:
            up += scale.extra_height + _BELOW * (i == 0)
        else:
            left += i * share
            up += scales[0].extra_height
        sheet.bar(scale, up, (left, width))


def _bar_width(width: float, k: float, beside: int) -> float:
    """Return the width of each of several colour bars side by side on a figure of a width, inches."""
    return min((width - _MARGINS.sides(1) * k) / beside * 0.86, 5.0 * k)
