"""Layout of figures: style, paper size, texts, rows of axes, colour bars and fonts; saving."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure
from matplotlib.text import Text

from deepcams.core.errors import InputError, choose, notice
from deepcams.core.field import grid_of
from deepcams.files.atomic import atomic_path
from deepcams.plotting import style

if TYPE_CHECKING:
    import xarray as xr
from deepcams.plotting.lettering import (
    families,
    legible,
    letters,
    quiet,
    text_width,
    wrap,
)

FORMATS = ("png", "pdf", "svg")
# zlib's Z_RLE: a third of the default's time, hardly larger
_QUICK_PNG = {"compress_level": 1, "compress_type": 3}
_CAMS_STEP = 0.75  # grid step of the original reanalysis, degrees

# Inches of text size 1.
_NARROWEST, _SMALLEST = 5.5, 0.6  # of a figure, where the paper is as wide; of axes
_BAR, _BAR_HEIGHT, _BELOW = (
    0.55,
    0.13,
    0.78,
)  # of a colour bar: its place, its height, and the next

# matplotlib's defaults, except the backend settings.
_DEFAULTS: dict[Any, Any] = {
    key: matplotlib.rcParamsDefault[key]
    for key in matplotlib.rcParamsDefault.keys() - {"backend", "interactive"}
}
_settings = threading.RLock()


@contextmanager
def own_style(k: float = 1.0) -> Iterator[None]:
    """Draw with deepcams' own matplotlib settings, regardless of those of the process or the user's matplotlibrc.

    Settings are global and are restored afterwards, so only one thread draws at a time.

    Args:
        k: scale factor of all text.
    """
    with (
        _settings,
        matplotlib.rc_context(
            _DEFAULTS | style.settings(k) | {"font.family": families()}
        ),
    ):
        yield


class _Figure(Figure):
    """A figure that is drawn in :func:`own_style`, even when shown or saved by matplotlib."""

    k = 1.0

    def draw(self, renderer: Any) -> None:
        """Draw the figure."""
        tell_boxes(self)
        with own_style(self.k), quiet():
            super().draw(renderer)

    def _repr_png_(self) -> bytes:
        """Return the PNG that notebooks display."""
        return picture(self)


@dataclass(frozen=True)
class Size:
    """Size limits of a figure, and its text size.

    Attributes:
        width: maximum width as printed, inches.
        tallest: maximum height, inches.
        text: scale factor of text and margins; 1 gives tick labels of 8 points.
        dpi: resolution of raster formats.
        fixed: whether a figure always has the maximum width, even if its maps are narrow.
    """

    width: float
    tallest: float
    text: float
    dpi: int
    fixed: bool = False

    def at_most(self, width: float) -> Size:
        """Return the size limited to a width (inches of text size 1), unless its width is fixed."""
        return (
            self
            if self.fixed
            else replace(self, width=min(self.width, width * self.text))
        )


SIZES = {
    "screen": Size(10.0, 12.5, 1.0, 160),
    "column": Size(3.5, 8.6, 0.8, 300),
    "page": Size(7.2, 9.4, 0.88, 300),
    "slide": Size(12.8, 7.2, 1.5, 150, fixed=True),
}


def size_of(name: str) -> Size:
    """Return the size with this name.

    Raises:
        InputError: the name is unknown.
    """
    return SIZES[choose("--size", name, SIZES)]


def tell_boxes(figure: Figure) -> None:
    """Issue a notice about characters of a figure that no font has, which are drawn as boxes."""
    written = "".join(
        text.get_text() for text in figure.findobj(Text) if isinstance(text, Text)
    )
    boxes = [
        each
        for each in dict.fromkeys(written)
        if each != "\n" and ord(each) not in letters()
    ]
    if boxes:
        some = "".join(boxes[:8]) + (".." if len(boxes) > 8 else "")
        notice(
            f"no font on this machine has {some}: drawn as boxes; install one (Noto Sans CJK, say) for them"
        )


def credit_words(
    sources: Iterable[tuple[str, float]], times: Iterable[np.datetime64]
) -> str:
    """Return the source line of a figure.

    Args:
        sources: source (may be empty) and grid step, degrees, of each field drawn.
        times: first and last times drawn, in any order.
    """
    found = [(source.strip().rstrip("."), step) for source, step in sources]
    named = dict.fromkeys(source for source, _ in found if source)
    if not named:
        return ""
    words = "Source: " + "; ".join(named)
    cams = [
        each for each in found if "CAMS" in each[0] and "simul" not in each[0].lower()
    ]
    if cams:
        years = sorted({str(t)[:4] for t in times})
        # The Copernicus licence has different sentences for modified and unmodified data.
        adapted = any("EAC4" in source and step < _CAMS_STEP for source, step in cams)
        start = "Contains modified" if adapted else "Generated using"
        words += f". {start} Copernicus Atmosphere Monitoring Service information {'-'.join(years)}"
    return words


@dataclass(frozen=True)
class Texts:
    """The title, the note and the source line of a figure."""

    title: str = ""
    note: str = ""
    credit: str = ""

    @classmethod
    def of(
        cls,
        title: str,
        note: str,
        credit: str | None,
        fields: Iterable[xr.DataArray | None],
        span: tuple[np.datetime64, np.datetime64],
    ) -> Texts:
        """Return the texts of a figure; the default source line is that of the fields drawn.

        Args:
            title, note, credit: texts as given; ``None`` as credit: the default.
            fields: the fields drawn; ``None`` is skipped.
            span: first and last time drawn.
        """
        if credit is None:
            given = [field for field in fields if field is not None]
            sources = [
                (str(field.attrs.get("source", "")), grid_of(field).step)
                for field in given
            ]
            credit = credit_words(sources, span)
        return cls(title, note, credit)

    def wrapped(self, k: float, width: float, left: float) -> Texts:
        """Return the texts wrapped for a figure of the given width and left margin, inches."""
        room = width - left - 0.1 * k
        return Texts(
            wrap(legible(self.title), 12.5 * k, room, bold=True),
            wrap(legible(self.note), 9 * k, room),
            wrap(legible(self.credit), 7.5 * k, width - 0.2 * k),
        )

    @property
    def note_top(self) -> float:
        """Distance of the note from the upper edge, inches of text size 1."""
        return 0.13 + (0.09 + 0.2 * len(self.title.splitlines()) if self.title else 0)

    @property
    def above(self) -> float:
        """Height of title and note, inches of text size 1."""
        return self.note_top + (
            0.15 * len(self.note.splitlines()) + 0.07 if self.note else 0
        )

    @property
    def below(self) -> float:
        """Height of the source line, inches of text size 1."""
        return 0.08 + 0.13 * len(self.credit.splitlines()) if self.credit else 0.04


class Row(NamedTuple):
    """A row of axes.

    Attributes:
        above, below: space for text there, inches of text size 1.
        slope: height of its axes divided by their width.
        tall: part of the height of its axes that does not depend on their width, inches of text size 1.
    """

    above: float
    slope: float = 0.0
    below: float = 0.0
    tall: float = 0.0


class Sheet:
    """A figure laid out in inches from the lower left: rows of equally wide axes, as large as the paper allows.

    Args:
        paper: size limits.
        texts: texts of the figure.
        rows: rows from the top, between the title and the colour bars.
        across: number of axes per row.
        margins: space at the left, at the right, and between axes; inches of text size 1.
        scales: scales drawn by :meth:`bars`.
        foot: space below the rows, inches of text size 1; a second line of a colour bar is added to it.
        widest: maximum width of axes, inches of text size 1.

    Attributes:
        figure: the figure, without pyplot and its global state.
        k: scale factor of text and margins.
        width, height: size of the figure, inches.
        wide: width of each axes, inches.
        left: left edge of the first axes, inches.
        top: height at which the title and the note end, inches from below.
        bottom: height at which the source line ends, inches from below.
    """

    def __init__(
        self,
        paper: Size,
        texts: Texts,
        rows: Sequence[Row],
        across: int = 1,
        margins: tuple[float, float, float] = (0.62, 0.15, 0.14),
        scales: Sequence[style.ColourScale] = (),
        foot: float = 0.86,
        widest: float = np.inf,
    ) -> None:
        self.k = k = paper.text
        self.rows, self.across, self.scales = rows, across, scales
        # With a second colour bar there is no space for the names of guidelines.
        self.stacked = len(scales) > 1 and scales[0].has_steps
        left, right, self.gap = (each * k for each in margins)
        sides = left + right + (across - 1) * self.gap
        foot += self.stacked * _BELOW + max(
            (each.extra_height for each in scales), default=0.0
        )
        fixed = k * (foot + sum(row.above + row.below + row.tall for row in rows))
        slope = sum(row.slope for row in rows)
        self.wide = min((paper.width - sides) / across, widest * k)
        if slope:
            lines = texts.wrapped(k, paper.width, left)
            room = paper.tallest - (lines.above + lines.below) * k - fixed
            self.wide = min(self.wide, max(room / slope, _SMALLEST * k))
        used = across * self.wide + sides
        self.width = max(
            used, paper.width if paper.fixed else min(_NARROWEST * k, paper.width)
        )
        self.left = left + (self.width - used) / 2
        start = self.left if self.left < 1.5 * k else left
        lines = texts.wrapped(k, self.width, start)
        self.bottom = lines.below * k
        self.top = self.bottom + fixed + slope * self.wide
        self.height = self.top + lines.above * k
        with own_style(k):
            self.figure = _Figure(
                (self.width, self.height), paper.dpi, facecolor="white"
            )
            self.figure.k = k
            bold: dict[str, Any] = {"fontweight": "bold", "linespacing": 1.15}
            self.write(
                lines.title, start, self.height - 0.13 * k, 12.5 * k, va="top", **bold
            )
            top = self.height - lines.note_top * k
            self.write(lines.note, start, top, 9 * k, va="top", color="0.25")
            self.write(
                lines.credit, 0.1 * k, 0.06 * k, 7.5 * k, va="bottom", color="0.4"
            )

    def write(
        self, text: str, left: float, up: float, points: float, **look: Any
    ) -> None:
        """Write a text at a position in inches."""
        if text:
            self.figure.text(
                left / self.width, up / self.height, text, fontsize=points, **look
            )

    def start(self, column: int) -> float:
        """Return the left edge of a column, inches."""
        return self.left + column * (self.wide + self.gap)

    def base(self, row: int) -> float:
        """Return the lower edge of the axes of a row, inches."""
        above = [
            self.tall(each) + self.k * (each.above + each.below)
            for each in self.rows[: row + 1]
        ]
        return self.top - sum(above) + self.k * self.rows[row].below

    def tall(self, row: Row) -> float:
        """Return the height of the axes of a row, inches."""
        return row.tall * self.k + row.slope * self.wide

    def axes(self, row: int, column: int = 0) -> Axes:
        """Add the axes of a row and a column."""
        return self.place(
            self.start(column), self.base(row), self.wide, self.tall(self.rows[row])
        )

    def place(self, left: float, bottom: float, width: float, height: float) -> Axes:
        """Add axes at a position in inches."""
        return self.figure.add_axes(
            (
                left / self.width,
                bottom / self.height,
                width / self.width,
                height / self.height,
            )
        )

    def title(
        self, axes: Axes, text: str, above: float = 0.0, columns: int = 1
    ) -> Text:
        """Write a title above axes, shrunk to fit into ``columns``, raised by ``above`` inches of text size 1."""
        text = legible(text)
        lines = [text_width(line, 9 * self.k) for line in text.splitlines()]
        longest = max(lines, default=1.0) / columns
        points = max(9 * self.k * min(1.0, self.wide / longest), style.SMALLEST)
        return axes.set_title(text, fontsize=points, pad=(3 + above * 72) * self.k)

    def bars(self) -> None:
        """Add the colour bars of all scales."""
        for i, scale in enumerate(self.scales):
            colours = ScalarMappable(scale.norm, scale.colours)
            bar = self.colorbar(
                colours, scale.label, i, extend=scale.extend, spacing="uniform"
            )
            if isinstance(scale.norm, BoundaryNorm):
                steps = scale.norm.boundaries.tolist()
                words = [
                    f"{step:g}\n{style.GUIDELINE_NAMES.get(j, '')}"
                    for j, step in enumerate(steps)
                ]
                bar.set_ticks(steps, labels=words)
            elif scale.name == style.CONCENTRATION_COLOURS:
                most = int(bar.ax.bbox.width / bar.ax.figure.dpi / (0.36 * self.k))
                bar.set_ticks(style.concentration_ticks(scale.norm, most))
            bar.minorticks_off()

    def colorbar(
        self, colours: ScalarMappable, label: str, number: int = 0, **look: Any
    ) -> Colorbar:
        """Add a horizontal colour bar with its ticks and label below it.

        Args:
            colours: the mappable that it explains.
            label: label of the bar.
            number: number of the bar if there are several.
            look: further arguments for matplotlib.
        """
        k, beside = self.k, 1 if self.stacked else max(len(self.scales), 1)
        share = self.width / beside
        width = min(0.8 * share, 5.0 * k)
        left = (share - width) / 2 + (0 if self.stacked else number * share)
        up = _BAR + (self.stacked and number == 0) * _BELOW
        if self.scales:
            up += self.scales[number].extra_height
        axes = self.place(left, self.bottom + up * k, width, _BAR_HEIGHT * k)
        look |= {"orientation": "horizontal", "format": style.NUMBERS}
        bar = self.figure.colorbar(colours, cax=axes, **look)
        bar.minorticks_off()
        bar.set_label(wrap(label, 9 * k, width * 1.15))
        return bar


def check_format(path: Path) -> str:
    """Return the format given by the suffix of a figure's name.

    Raises:
        InputError: the suffix is not in :data:`FORMATS`.
    """
    kind = path.suffix.lower().lstrip(".")
    if kind not in FORMATS:
        raise InputError(
            path, "a name that ends in .png, .pdf or .svg", path.suffix or "no ending"
        )
    return kind


def picture(figure: Figure, kind: str = "png", dpi: float | None = None) -> bytes:
    """Return a figure as a file of a format.

    Args:
        figure: of any function of :mod:`deepcams.plotting`.
        kind: one of :data:`FORMATS`.
        dpi: of pixels; default the figure's own.
    """
    # Without a date the same figure is the same file.
    about = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    fast = {"pil_kwargs": _QUICK_PNG} if kind == "png" else {}
    content = io.BytesIO()
    with own_style(), quiet():
        figure.savefig(
            content,
            format=kind,
            dpi=dpi or figure.dpi,
            metadata=about,
            **fast,  # type: ignore[arg-type]
        )
    return content.getvalue()


def save(figure: Figure, path: Path | str) -> Path:
    """Write a figure atomically as PNG, PDF or SVG, by the suffix of the name; an existing file is replaced.

    Args:
        figure: figure of any function of :mod:`deepcams.plotting`.
        path: the file.

    Returns:
        the path.

    Raises:
        InputError: the suffix is not supported.
        OutputError: the file cannot be written.
    """
    path = Path(path)
    content = picture(figure, check_format(path))
    with atomic_path(path, make_folder=False) as temporary:
        temporary.write_bytes(content)
    return path
