"""Maps of fields: one, or several side by side with their errors and zoomed boxes.

All functions return a :class:`matplotlib.figure.Figure` and touch no global state: they work in a notebook, in
threads and without a screen. Coastlines come with the package; nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from deepcams.errors import InputError, OutputError
from deepcams.field import grid_of
from deepcams.grid import Grid
from deepcams.plotting import style
from deepcams.plotting.coastlines import land_share
from deepcams.store.attributes import label

Box = tuple[float, float, float, float]
"""West, south, east, north in degrees; west > east crosses the dateline."""

_FRAME_AGE = np.timedelta64(3, "h")
_WIDTH, _NARROW, _TALL = 10.0, 5.5, 12.5  # of a figure: at most, at least, and its height at most; inches
_LEFT, _RIGHT, _GAP, _TITLE, _TICKS = 0.62, 0.15, 0.14, 0.26, 0.3  # round and between the maps, inches
_HEAD, _NOTE, _FOOT = 0.44, 0.24, 0.92


@dataclass(frozen=True)
class View:
    """What a map shows: degrees, west < east, in whichever turn of longitude suits the data."""

    west: float
    south: float
    east: float
    north: float

    @classmethod
    def of(cls, grid: Grid, box: Box | None = None) -> View:
        """A box, or all cells of a grid; the globe is shown from 180 W."""
        if box is None:
            west = -180 - grid.step / 2 if grid.periodic else float(grid.longitude_bounds[0, 0])
            south, north = float(grid.latitude_bounds[-1, 1]), float(grid.latitude_bounds[0, 0])
            return cls(west, south, west + grid.step * grid.columns, north)
        grid.select(box, "box")
        west, south, east, north = box
        width = 360.0 if east - west >= 360 else (east - west) % 360
        west = west if grid.periodic else _into_turn(west, float(grid.longitudes[0]) - grid.step)
        return cls(west, south, west + width, north)

    @property
    def aspect(self) -> float:
        """How much longer a degree of latitude is drawn than one of longitude: true in the middle, 1 on wide maps."""
        if self.east - self.west > 180:
            return 1.0
        return float(min(1 / np.cos(np.deg2rad((self.south + self.north) / 2)), 2.5))

    @property
    def height(self) -> float:
        """Of a map that is 1 wide."""
        return (self.north - self.south) / (self.east - self.west) * self.aspect


def _into_turn(longitude: float, west: float) -> float:
    """The same longitude within the 360 degrees from ``west``."""
    return west + (longitude - west) % 360


def draw_map(axes: Axes, values: np.ndarray, grid: Grid, view: View, norm: Normalize, colours: str) -> AxesImage:
    """Draw one frame with coastlines; every cell is one flat patch, where its node is the middle.

    Args:
        axes: to draw in; its limits and aspect are set.
        values: (rows, columns) on ``grid``; NaN is grey.
        grid: of the values; a region or the globe.
        view: what is shown.
        norm: scale of the colours; below a logarithmic scale lie also 0 and less.
        colours: name of a matplotlib colour map.
    """
    west = float(grid.longitude_bounds[0, 0])
    if grid.periodic:  # begin the circle at the view's western edge
        first = int(np.floor((view.west - west) / grid.step + 1e-6))
        values, west = np.roll(values, -first, axis=1), west + first * grid.step
        spare = int(np.ceil((view.east - west) / grid.step - 1e-6)) - grid.columns
        values = np.concatenate([values, values[:, : max(spare, 0)]], axis=1)
    else:
        west += 360 * round((view.west + view.east - 2 * west - grid.step * grid.columns) / 720)
    tiny = np.finfo(np.float32).tiny
    shown = np.where(values <= 0, tiny, values) if colours == style.CONCENTRATION_COLOURS else values
    north, south = 90 - grid.step * (grid.north - 0.5), 90 - grid.step * (grid.south + 0.5)
    image = axes.imshow(
        np.ma.masked_invalid(shown), norm=norm, cmap=style.colours(colours), origin="upper",
        extent=(west, west + grid.step * values.shape[1], south, north),
        interpolation="antialiased", interpolation_stage="rgba",
    )  # fmt: skip
    longitudes, latitudes, land = land_share(view.west, view.south, view.east, view.north)
    if land.min() < 0.5 < land.max():
        for colour, width in (("white", 1.3), ("0.15", 0.55)):  # seen on pale and on dark
            axes.contour(longitudes, latitudes, land, levels=[0.5], colors=colour, linewidths=width, zorder=2)
    axes.set_xlim(view.west, view.east)
    axes.set_ylim(view.south, view.north)
    axes.set_aspect(view.aspect)
    wide, tall = axes.get_position().size * axes.figure.get_size_inches()  # type: ignore[union-attr]
    axes.set_xticks(_ticks(view.west, view.east, wide / 0.6, ends=False))
    axes.set_yticks(_ticks(view.south, view.north, tall / 0.4, ends=True))
    axes.xaxis.set_major_formatter(style.LONGITUDES)
    axes.yaxis.set_major_formatter(style.LATITUDES)
    axes.tick_params(labelsize=8, length=2.5, width=0.6)
    return image


def _ticks(low: float, high: float, most: float, *, ends: bool) -> list[float]:
    """Round degrees between two ends; without ``ends`` none so near them that its label would stick out."""
    bins = int(np.clip(most, 2, 6))
    near = 0.0 if ends else 0.03 * (high - low)
    steps = [1, 1.5, 2, 3, 4.5, 6, 9, 10] if high - low > 90 else [1, 1.5, 2, 3, 5, 10]
    found = MaxNLocator(nbins=bins, steps=steps).tick_values(low, high)
    return [float(tick) for tick in found if low + near <= tick <= high - near]


def frame_at(field: xr.DataArray, time: np.datetime64, name: str = "field") -> tuple[np.ndarray, np.datetime64]:
    """The frame at a time, else the last one at most 3 h before it: values (rows, columns), and its own time.

    Raises:
        InputError: no such frame.
    """
    times = field.time.values
    time = time.astype("datetime64[ns]")
    at = int(np.searchsorted(times, time, side="right")) - 1
    if at < 0 or time - times[at] >= _FRAME_AGE:
        span = f"{_stamp(times[0])} to {_stamp(times[-1])} UTC"
        raise InputError(f"{name}: time", f"a frame at {_stamp(time)} UTC or less than 3 h before", f"times {span}")
    return np.asarray(field.isel(time=at).values), times[at]


def _stamp(time: np.datetime64) -> str:
    return str(time.astype("datetime64[m]")).replace("T", " ")


@dataclass(frozen=True)
class _Panel:
    """One map of a figure, in any number of views."""

    title: str
    values: np.ndarray
    grid: Grid
    is_error: bool = False


def map_figure(
    field: xr.DataArray, time: np.datetime64 | None = None, *, box: Box | None = None, title: str = "", note: str = ""
) -> Figure:
    """One field at one time.

    Args:
        field: canonical, a region or the globe.
        time: UTC; default the field's first.
        box: show only this.
        title, note: written above; the title defaults to the species, the time and the grid's step.

    Raises:
        InputError: the field is not canonical, has no such time, or none of the box.
    """
    grid = grid_of(field)
    values, stamp = frame_at(field, field.time.values[0] if time is None else time)
    panel = _Panel(f"{_species(field)}, {grid.step:g}°, {_stamp(stamp)} UTC" if title else "", values, grid)
    head = title or f"{_species(field)}, {grid.step:g}°, {_stamp(stamp)} UTC"
    return _lay_out([[[panel]]], [View.of(grid, box)], [], head, note, _species(field))


def compare_maps(
    fields: Mapping[str, xr.DataArray],
    time: np.datetime64,
    *,
    truth: xr.DataArray | None = None,
    source: tuple[str, xr.DataArray] | None = None,
    box: Box | None = None,
    zooms: Sequence[Box] = (),
    title: str = "",
    note: str = "",
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
        title, note: written above.

    Raises:
        InputError: a field is not canonical, has no such time, or lies outside the box; an error is asked for on
            another grid or at another time than the truth's.
    """
    if not 1 <= len(fields) <= 4:
        raise InputError("fields", "one to four", len(fields))
    first = next(iter(fields.values())) if truth is None else truth
    time = time.astype("datetime64[ns]")

    def panel(name: str, field: xr.DataArray) -> tuple[_Panel, np.datetime64]:
        grid, (values, stamp) = grid_of(field), frame_at(field, time, name)
        late = "" if stamp == time else f", {_stamp(stamp)[11:]} UTC"
        return _Panel(f"{name}, {grid.step:g}°{late}", values, grid), stamp

    given = panel(*source)[0] if source else None
    made = {name: panel(name, field) for name, field in fields.items()}
    top = [each for each, _ in made.values()]
    rows: list[list[_Panel | None]]
    if truth is None:
        rows = [[*([given] if given else []), *top]]
    else:
        true, stamp = panel("Truth", truth)
        errors = []
        for name, (each, own) in made.items():
            if each.grid != true.grid or own != stamp:
                found = f"{each.grid.describe()} at {_stamp(own)}"
                raise InputError(name, f"the truth's grid and time ({true.grid.describe()}, {_stamp(stamp)})", found)
            errors.append(_Panel(f"{name} {style.MINUS} truth", each.values - true.values, true.grid, is_error=True))
        rows = [[true, *top], [given, *errors]]
    overview = View.of(grid_of(first), box)
    views = [overview, *[View.of(grid_of(first), zoom) for zoom in zooms]]
    head = title or f"{_species(first)}, {_stamp(time)} UTC"
    return _lay_out([rows for _ in views], views, views[1:], head, note, _species(first))


def _species(field: xr.DataArray) -> str:
    return label(str(field.name)).replace("PM2.5", "PM$_{2.5}$").replace("PM10", "PM$_{10}$")


def _within(panel: _Panel, view: View) -> np.ndarray:
    """The panel's values at nodes inside a view."""
    south, north = max(view.south, -90.0), min(view.north, 90.0)
    west = (view.west + 180) % 360 - 180
    east = 360.0 + west if view.east - view.west >= 360 - panel.grid.step else (view.east + 180) % 360 - 180
    if east > 360:
        west, east = 0.0, 360.0
    _, rows, columns = panel.grid.select((west, south, east, north), "box")
    return panel.values[rows][:, columns]


def _lay_out(
    blocks: Sequence[Sequence[Sequence[_Panel | None]]], views: Sequence[View], zooms: Sequence[View],
    title: str, note: str, species: str,
) -> Figure:  # fmt: skip
    """Set blocks of maps one below the other, each in its own view, with one scale for all of a kind."""
    panels = [panel for row in blocks[0] for panel in row if panel is not None]
    shown = [_within(panel, views[0]) for panel in panels if not panel.is_error]
    errors = [_within(panel, views[0]) for panel in panels if panel.is_error]
    norms = {False: style.concentration_norm(shown), True: style.error_norm(errors)}
    names = {False: style.CONCENTRATION_COLOURS, True: style.ERROR_COLOURS}
    across, head = max(len(row) for row in blocks[0]), _HEAD + (_NOTE if note else 0)
    fixed = head + _FOOT + sum(len(block) * _TITLE + _TICKS for block in blocks)
    slope = sum(len(block) * view.height for block, view in zip(blocks, views, strict=True))
    wide = min((_WIDTH - _LEFT - _RIGHT - (across - 1) * _GAP) / across, max((_TALL - fixed) / slope, 1.2))
    width = max(_LEFT + _RIGHT + across * wide + (across - 1) * _GAP, _NARROW)
    left = (width - across * wide - (across - 1) * _GAP + _LEFT - _RIGHT) / 2
    total = fixed + wide * slope
    figure = Figure(figsize=(width, total), dpi=160, facecolor="white")
    images: dict[bool, AxesImage] = {}
    top = total - head
    for which, (block, view) in enumerate(zip(blocks, views, strict=True)):
        tall = wide * view.height
        for r, row in enumerate(block):
            top -= _TITLE + tall
            for c, panel in enumerate(row):
                if panel is None:
                    continue
                place = ((left + c * (wide + _GAP)) / width, top / total, wide / width, tall / total)
                axes = figure.add_axes(place)
                kind = panel.is_error
                images[kind] = draw_map(axes, panel.values, panel.grid, view, norms[kind], names[kind])
                letter = f"{chr(65 + which - 1)}: " if which else ""
                axes.set_title(letter + panel.title, fontsize=9, loc="left", pad=3)
                axes.tick_params(labelbottom=r == len(block) - 1, labelleft=c == 0)
                if panel.is_error:
                    _write_scores(axes, _within(panel, view))
                if not which:
                    _outline(axes, view, zooms)
        top -= _TICKS
    figure.text(left / width, 1 - 0.16 / total, title, fontsize=12.5, fontweight="bold", va="top")
    figure.text(left / width, 1 - 0.43 / total, note, fontsize=9, va="top", color="0.25")
    _add_scales(figure, images, norms, {False: shown, True: errors}, species)
    return figure


def _write_scores(axes: Axes, errors: np.ndarray) -> None:
    known = errors[np.isfinite(errors)].astype(np.float64)
    if not known.size:
        return
    mae, rmse = (f"{figure:#.3g}".rstrip(".") for figure in (abs(known).mean(), np.sqrt((known**2).mean())))
    text = f"MAE {mae}   RMSE {rmse}"
    axes.text(
        0.985, 0.03, text, transform=axes.transAxes, fontsize=8, ha="right", va="bottom", zorder=5,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 2},
    )  # fmt: skip


def _outline(axes: Axes, view: View, zooms: Sequence[View]) -> None:
    for i, zoom in enumerate(zooms):
        west = _into_turn(zoom.west, view.west)
        frame = Rectangle(
            (west, zoom.south), zoom.east - zoom.west, zoom.north - zoom.south, fill=False, linewidth=1.1,
            edgecolor="black", zorder=4, path_effects=[withStroke(linewidth=2.4, foreground="white")],
        )  # fmt: skip
        axes.add_patch(frame)
        axes.text(
            west, zoom.north, f" {chr(65 + i)}", fontsize=9, fontweight="bold", va="top", zorder=4,
            path_effects=[withStroke(linewidth=2.2, foreground="white")],
        )  # fmt: skip


def _add_scales(
    figure: Figure, images: Mapping[bool, AxesImage], norms: Mapping[bool, Normalize],
    values: Mapping[bool, Sequence[np.ndarray]], species: str,
) -> None:  # fmt: skip
    """One bar for concentrations and, where there are errors, one for them, below the maps."""
    across, total = figure.get_size_inches()
    share = (across - _LEFT - _RIGHT) / len(images)
    for i, kind in enumerate(sorted(images)):
        width = min(share * 0.86, 5.0)
        left = _LEFT + i * share + (share - width) / 2
        axes = figure.add_axes((left / across, 0.52 / total, width / across, 0.13 / total))
        bar = figure.colorbar(
            images[kind], cax=axes, orientation="horizontal", extend=style.extend(norms[kind], values[kind])
        )
        bar.ax.minorticks_off()
        if not kind:
            bar.set_ticks(style.concentration_ticks(norms[kind]))
        bar.ax.xaxis.set_major_formatter(style.NUMBERS)
        bar.ax.tick_params(labelsize=8, length=2.5)
        grey = "; grey: missing" if any(np.isnan(each).any() for each in values[kind]) else ""
        text = (
            f"error: method {style.MINUS} truth ({style.UNITS_TEXT})"
            if kind
            else f"{species} ({style.UNITS_TEXT}){grey}"
        )
        bar.set_label(text, fontsize=9, labelpad=2)


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG (or by the name's ending), whole or not at all; an older one is replaced.

    Raises:
        OutputError: the file cannot be written.
    """
    beside = path.with_name(f".{path.name}.part")
    try:
        figure.savefig(beside, format=path.suffix.lstrip(".") or "png")
        beside.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        beside.unlink(missing_ok=True)
