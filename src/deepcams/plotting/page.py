"""The page a figure is drawn on: sizes of paper, title, note and source line, columns, colour bars, fonts, saving."""

from __future__ import annotations

import logging
import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.text import Text

from deepcams.core.errors import InputError, choose, notice
from deepcams.core.field import grid_of
from deepcams.files.atomic import atomic_path
from deepcams.plotting import style

if TYPE_CHECKING:
    import xarray as xr

FORMATS = ("png", "pdf", "svg")
# zlib's Z_RLE: a third of the usual time, hardly more bytes
_QUICK_PNG = {"compress_level": 1, "compress_type": 3}
_CAMS_STEP = 0.75  # degrees of the reanalysis as it comes

FONTS = (
    "DejaVu Sans",  # comes with matplotlib
    "Noto Sans",
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans CJK KR",
    "Noto Sans Arabic",
    "Noto Sans Hebrew",
    "Noto Sans Devanagari",
    "Noto Sans Bengali",
    "Noto Sans Thai",
    "WenQuanYi Zen Hei",
    "Microsoft YaHei",
    "PingFang SC",
    "Arial Unicode MS",
)
"""Families that texts are set in: the first installed one that has a letter."""


@dataclass(frozen=True)
class Size:
    """How large a figure may be, and its writing.

    Attributes:
        width: inches, as printed.
        tallest: inches.
        text: factor of the writing and of all margins; 1 has ticks of 8 points.
        dpi: of pictures made of pixels.
        fixed: whether a figure is as wide as it may be, even where its maps are narrow.
    """

    width: float
    tallest: float
    text: float
    dpi: int
    fixed: bool = False


SIZES = {
    "screen": Size(10.0, 12.5, 1.0, 160),
    "column": Size(3.5, 8.6, 0.8, 300),
    "page": Size(7.2, 9.4, 0.88, 300),
    "slide": Size(12.8, 7.2, 1.5, 150, fixed=True),
}


def size_of(name: str) -> Size:
    """Return the size of that name.

    Raises:
        InputError: there is none.
    """
    return SIZES[choose("--size", name, SIZES)]


@lru_cache(maxsize=1)
def families() -> list[str]:
    """Return those of :data:`FONTS` that are on this machine."""
    installed = set(fontManager.get_font_names())
    return [name for name in FONTS if name in installed]


@lru_cache(maxsize=1)
def _letters() -> frozenset[int]:
    """Return the code points of the letters that these families have."""
    fonts = [get_font(findfont(name)) for name in families()]
    return frozenset(code for font in fonts for code in font.get_charmap())


@contextmanager
def quiet() -> Iterator[None]:
    """Silence matplotlib about each letter that no font has, and each font that has no bold letters."""
    logs = [logging.getLogger(f"matplotlib.{name}") for name in ("font_manager", "mathtext")]
    levels = [log.level for log in logs]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+")
        for log in logs:
            log.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for log, level in zip(logs, levels, strict=True):
                log.setLevel(level)


def set_families(figure: Figure) -> None:
    """Set every text of a figure in fonts that have its letters; give a notice of those that are drawn as boxes."""
    boxes: dict[str, None] = {}
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        letters = text.get_text()
        if not letters.isascii():
            text.set_fontfamily(families())
            boxes |= dict.fromkeys(
                letter
                for letter in letters
                if ord(letter) not in _letters() and unicodedata.category(letter)[0] != "C"
            )
    if boxes:
        some = "".join(list(boxes)[:8]) + (".." if len(boxes) > 8 else "")
        notice(
            f"no font on this machine has {some}: drawn as boxes; install one (Noto Sans CJK, say) for them"
        )


@lru_cache(maxsize=1024)
def text_width(text: str, points: float, bold: bool = False) -> float:
    """Return the width of one line as it is drawn, inches."""
    from matplotlib.cbook import is_math_text
    from matplotlib.textpath import text_to_path

    font = FontProperties(family=families(), size=points, weight="bold" if bold else "normal")
    with quiet():
        width, _, _ = text_to_path.get_text_width_height_descent(text, font, is_math_text(text))
    return float(width) / 72


def legible(text: str) -> str:
    """Return the text as it can be drawn: no control characters; dollars as dollars where they begin no mathematics."""
    undrawn = ("Cc", "Cs")  # control characters and halves of letters, as in damaged attributes
    letters = [
        " " if unicodedata.category(letter) in undrawn and letter != "\n" else letter
        for letter in text
    ]
    text = "".join(letters)
    try:
        text_width(text, 10)
    except ValueError:
        return text.replace("$", r"\$")
    return text


def wrap(text: str, points: float, inches: float, bold: bool = False) -> str:
    """Break a text at its spaces into lines that fit."""
    lines: list[str] = []
    for paragraph in text.splitlines():
        if text_width(paragraph, points, bold) <= inches:  # the usual case; measuring takes time
            lines.append(paragraph)
            continue
        line = ""
        for word in paragraph.split(" "):
            longer = f"{line} {word}" if line else word
            if line and text_width(longer, points, bold) > inches:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return "\n".join(lines)


def credit_words(sources: Iterable[tuple[str, float]], times: Iterable[np.datetime64]) -> str:
    """Return a source line.

    Args:
        sources: the source of each thing that is drawn (may be empty), and its grid's step, degrees.
        times: the first and the last that is drawn, in any order.
    """
    found = [(source.strip().rstrip("."), step) for source, step in sources]
    named = dict.fromkeys(source for source, _ in found if source)
    if not named:
        return ""
    words = "Source: " + "; ".join(named)
    cams = [(source, step) for source, step in found if _is_cams(source)]
    if cams:
        years = sorted({str(t)[:4] for t in times})
        # The Copernicus licence has one sentence for adapted data, and another for data as they came.
        adapted = any("EAC4" in source and step < _CAMS_STEP for source, step in cams)
        start = "Contains modified" if adapted else "Generated using"
        words += f". {start} Copernicus Atmosphere Monitoring Service information {'-'.join(years)}"
    return words


def _is_cams(source: str) -> bool:
    return "CAMS" in source and "simul" not in source.lower()


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
        """Return the texts of a figure; without a source line that of the fields that are drawn.

        Args:
            title, note, credit: as they are given.
            fields: what is drawn; ``None`` is left out.
            span: first and last time that is drawn.
        """
        if credit is None:
            given = [field for field in fields if field is not None]
            sources = [(str(field.attrs.get("source", "")), grid_of(field).step) for field in given]
            credit = credit_words(sources, span)
        return cls(title, note, credit)

    def wrapped(self, k: float, width: float, left: float) -> Texts:
        """Return them in lines for a figure of a width, inches, and a left margin, inches of text size 1."""
        room = width - (left + 0.1) * k
        return Texts(
            wrap(legible(self.title), 12.5 * k, room, bold=True),
            wrap(legible(self.note), 9 * k, room),
            wrap(legible(self.credit), style.points(7 * k), width - 0.2 * k),
        )

    @property
    def note_top(self) -> float:
        """Distance of the note from the upper edge, inches of text size 1."""
        return 0.13 + (0.09 + 0.2 * len(self.title.splitlines()) if self.title else 0)

    @property
    def above(self) -> float:
        """Height of title and note, inches of text size 1."""
        return self.note_top + (0.15 * len(self.note.splitlines()) + 0.07 if self.note else 0)

    @property
    def below(self) -> float:
        """Height of the source line, inches of text size 1."""
        return 0.08 + 0.13 * len(self.credit.splitlines()) if self.credit else 0.04

    def height(self, paper: Size, left: float = 0.62) -> float:
        """Return the height that they need of a paper, inches."""
        wrapped = self.wrapped(paper.text, paper.width, left)
        return (wrapped.above + wrapped.below) * paper.text


class Margins(NamedTuple):
    """Room at the left and the right of columns, and between them; inches of text size 1."""

    left: float
    right: float
    gap: float = 0.0

    def sides(self, across: int) -> float:
        """Return the sum of all room beside ``across`` columns."""
        return self.left + self.right + (across - 1) * self.gap


class Columns(NamedTuple):
    """Columns of equally wide axes in the middle of a figure; inches."""

    width: float
    left: float
    wide: float
    gap: float

    @classmethod
    def of(
        cls, paper: Size, margins: Margins, across: int, wide: float, least: float = 0.0
    ) -> Columns:
        """Place ``across`` columns, each ``wide``, on a figure of the width ``least`` at least."""
        sides = margins.sides(across) * paper.text
        width = max(across * wide + sides, min(least, paper.width))
        if paper.fixed:
            width = paper.width
        left = margins.left * paper.text + (width - across * wide - sides) / 2
        return cls(width, left, wide, margins.gap * paper.text)

    def start(self, column: int) -> float:
        """Return the left edge of a column."""
        return self.left + column * (self.wide + self.gap)


class Sheet:
    """A figure that is laid out in inches, from the lower left.

    Attributes:
        figure: the figure, without pyplot and its global state.
        k: factor of all writing and margins.
        width, height: inches.
        top: inches from below to where the title and the note end.
        bottom: inches from below to where the source line ends.
    """

    def __init__(
        self, size: Size, body: float, texts: Texts, *, width: float | None = None, left: float
    ) -> None:
        """Make a figure as high as ``body`` inches and its texts need; ``left``: where these begin, inches."""
        self.k = k = size.text
        self.width = width or size.width
        texts = texts.wrapped(k, self.width, left / k)
        self.height = texts.above * k + body + texts.below * k
        self.top, self.bottom = self.height - texts.above * k, texts.below * k
        self.figure = Figure(figsize=(self.width, self.height), dpi=size.dpi, facecolor="white")
        top = self.height - 0.13 * k
        bold: dict[str, Any] = {"fontweight": "bold", "linespacing": 1.15}
        self.write(texts.title, left, top, 12.5 * k, va="top", **bold)
        top = self.height - texts.note_top * k
        self.write(texts.note, left, top, 9 * k, va="top", color="0.25")
        self.write(texts.credit, 0.1 * k, 0.06 * k, 7 * k, va="bottom", color="0.4")

    def write(self, text: str, left: float, up: float, points: float, **look: Any) -> None:
        """Write a text at a place in inches."""
        if text:
            place = left / self.width, up / self.height
            self.figure.text(*place, text, fontsize=style.points(points), **look)

    def axes(self, left: float, bottom: float, width: float, height: float) -> Axes:
        """Add axes at a place in inches."""
        return self.figure.add_axes(
            (left / self.width, bottom / self.height, width / self.width, height / self.height)
        )

    def bar(
        self,
        scale: style.ColourScale,
        up: float,
        across: tuple[float, float] | None = None,
    ) -> None:
        """Add a horizontal colour bar with its ticks and label below it.

        Args:
            scale: which it explains.
            up: from the source line to the bar itself, inches of text size 1.
            across: its left edge and width, inches; default in the middle.
        """
        k = self.k
        if across is None:
            width = min(self.width * 0.8, 5.0 * k)
            across = (self.width - width) / 2, width
        colours = ScalarMappable(scale.norm, scale.colours)
        look: dict[str, Any] = {"extend": scale.extend}
        if scale.has_steps:
            look = {"spacing": "uniform"}
        bar = self.colorbar(colours, up, across, scale.label, **look)
        if isinstance(scale.norm, BoundaryNorm):
            steps = [float(step) for step in scale.norm.boundaries]
            names = [
                f"{style.plain_number(step)}\n{style.GUIDELINE_NAMES.get(i, '')}".rstrip()
                for i, step in enumerate(steps)
            ]
            bar.set_ticks(steps, labels=names)
        elif scale.name == style.CONCENTRATION_COLOURS:
            ticks = style.concentration_ticks(scale.norm)
            bar.set_ticks(style.fewer_ticks(ticks, int(across[1] / (0.36 * self.k))))
        bar.ax.minorticks_off()

    def colorbar(
        self,
        colours: ScalarMappable,
        up: float,
        across: tuple[float, float],
        label: str,
        **look: Any,
    ) -> Colorbar:
        """Add any horizontal colour bar; ``look`` is for matplotlib, the rest as :meth:`bar` takes it."""
        k = self.k
        axes = self.axes(across[0], self.bottom + up * k, across[1], 0.13 * k)
        bar = self.figure.colorbar(colours, cax=axes, orientation="horizontal", **look)
        bar.ax.xaxis.set_major_formatter(style.NUMBERS)
        bar.ax.minorticks_off()
        bar.ax.tick_params(labelsize=style.points(8 * k), length=2.5 * k, width=0.6 * k)
        bar.outline.set_linewidth(0.6 * k)
        bar.set_label(wrap(label, 9 * k, across[1] * 1.15), fontsize=9 * k, labelpad=2 * k)
        return bar


def check_format(path: Path) -> None:
    """Refuse a name that no figure can be saved under.

    Raises:
        InputError: its ending is none of :data:`FORMATS`.
    """
    if path.suffix.lower().lstrip(".") not in FORMATS:
        raise InputError(path, "a name that ends in .png, .pdf or .svg", path.suffix or "no ending")


def save(figure: Figure, path: Path | str) -> Path:
    """Write a figure as PNG, PDF or SVG by the name's ending, whole or not at all; an older one is replaced.

    Args:
        figure: of any function of :mod:`deepcams.plotting`.
        path: the file.

    Returns:
        the path.

    Raises:
        InputError: another ending.
        OutputError: the file cannot be written.
    """
    path = Path(path)
    check_format(path)
    kind = path.suffix.lower().lstrip(".")
    # Without a date the same figure is the same file.
    about = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    fast = {"pil_kwargs": _QUICK_PNG} if kind == "png" else {}
    set_families(figure)
    with quiet(), atomic_path(path, make_folder=False) as temporary:
        figure.savefig(temporary, format=kind, metadata=about, **fast)  # type: ignore[arg-type]
    return path
