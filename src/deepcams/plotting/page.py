"""The paper that figures are drawn on: sizes of print and screen, title, note and source line, scales, saving."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from deepcams.core.errors import InputError, choose
from deepcams.core.field import grid_of
from deepcams.files.atomic import atomic_path
from deepcams.plotting import style
from deepcams.plotting.fonts import families, quiet, set_families

if TYPE_CHECKING:
    import xarray as xr

FORMATS = ("png", "pdf", "svg")
_UNDRAWN = (
    "Cc",
    "Cs",
)  # control characters and halves of letters, as damaged attributes of files may hold
_QUICK_PNG = {
    "compress_level": 1,
    "compress_type": 3,
}  # zlib's Z_RLE: a third of the usual time, hardly more bytes
_CAMS_STEP = 0.75  # degrees of the reanalysis as it comes


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
    """The size of that name.

    Raises:
        InputError: there is none.
    """
    return SIZES[choose("--size", name, SIZES)]


@lru_cache(maxsize=1024)
def text_width(text: str, points: float, bold: bool = False) -> float:
    """Of one line as it is drawn, in inches."""
    from matplotlib.cbook import is_math_text
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family=families(text), size=points, weight="bold" if bold else "normal")
    with quiet():
        width, _, _ = text_to_path.get_text_width_height_descent(text, font, is_math_text(text))
    return float(width) / 72


def legible(text: str) -> str:
    """The text as it can be drawn: no control characters; dollars as dollars where they begin no mathematics."""
    text = "".join(
        " " if unicodedata.category(letter) in _UNDRAWN and letter != "\n" else letter
        for letter in text
    )
    try:
        text_width(text, 10)
    except ValueError:
        return text.replace("$", r"\$")
    return text


def wrap(text: str, points: float, inches: float, bold: bool = False) -> str:
    """Break a text at its spaces into lines that fit."""
    lines: list[str] = []
    for whole in text.splitlines():
        if (
            text_width(whole, points, bold) <= inches
        ):  # measuring mathematics takes time: once where it is enough
            lines.append(whole)
            continue
        line = ""
        for word in whole.split(" "):
            longer = f"{line} {word}" if line else word
            if line and text_width(longer, points, bold) > inches:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return "\n".join(lines)


def credit_of(
    *fields: xr.DataArray | None, span: tuple[np.datetime64, np.datetime64] | None = None
) -> str:
    """The source line of what is drawn: each field's own ``source``, once, and what the terms of CAMS ask for.

    Args:
        fields: what is drawn.
        span: first and last time that is drawn; default all of the fields.
    """
    given = [field for field in fields if field is not None]
    sources = [(str(field.attrs.get("source", "")), grid_of(field).step) for field in given]
    ends = [
        t
        for field in given
        for t in field.time.values[[0, -1]]
        if _of_cams(str(field.attrs.get("source", "")))
    ]
    return credit_words(sources, ends if span is None else span)


def credit_words(sources: Iterable[tuple[str, float]], times: Iterable[np.datetime64]) -> str:
    """A source line.

    Args:
        sources: what each thing that is drawn says of its source (may be empty), and its grid's step, degrees.
        times: the first and the last that is drawn, in any order.
    """
    found = [(source.strip().rstrip("."), step) for source, step in sources]
    named = dict.fromkeys(source for source, _ in found if source)
    if not named:
        return ""
    words = "Source: " + "; ".join(named)
    theirs = [(source, step) for source, step in found if _of_cams(source)]
    if theirs:
        years = sorted({str(t)[:4] for t in times})
        # The Copernicus licence words what was adapted otherwise than what is shown as it came.
        adapted = any("EAC4" in source and step < _CAMS_STEP for source, step in theirs)
        start = "Contains modified" if adapted else "Generated using"
        words += f". {start} Copernicus Atmosphere Monitoring Service information {'-'.join(years)}"
    return words


def _of_cams(source: str) -> bool:
    return "CAMS" in source and "simul" not in source.lower()


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
        self,
        size: Size,
        body: float,
        *,
        width: float | None = None,
        title: str = "",
        note: str = "",
        credit: str = "",
        left: float = 0.1,
    ) -> None:
        """Make a figure as high as ``body`` inches and its title, note and source line need."""
        self.k = k = size.text
        self.width = width or size.width
        title, note, credit = _broken(title, note, credit, k, self.width, left)
        above, below = _head(title, note) * k, _foot(credit) * k
        self.height = above + body + below
        self.top, self.bottom = self.height - above, below
        self.figure = Figure(figsize=(self.width, self.height), dpi=size.dpi, facecolor="white")
        down = 0.13 * k
        if title:
            self.figure.text(
                left * k / self.width,
                1 - down / self.height,
                title,
                fontsize=12.5 * k,
                fontweight="bold",
                va="top",
                linespacing=1.15,
            )
            down += (0.09 + 0.2 * len(title.splitlines())) * k
        if note:
            self.figure.text(
                left * k / self.width,
                1 - down / self.height,
                note,
                fontsize=9 * k,
                va="top",
                color="0.25",
            )
        if credit:
            self.figure.text(
                0.1 * k / self.width,
                0.06 * k / self.height,
                credit,
                fontsize=style.points(7 * k),
                va="bottom",
                color="0.4",
            )

    def axes(self, left: float, bottom: float, width: float, height: float) -> Axes:
        """Axes at a place in inches."""
        return self.figure.add_axes(
            (left / self.width, bottom / self.height, width / self.width, height / self.height)
        )

    def scale(
        self,
        image: AxesImage,
        values: Iterable[np.ndarray],
        place: tuple[float, float, float],
        label: str,
    ) -> None:
        """A horizontal colour scale with its ticks and label below it.

        Args:
            image: whose colours.
            values: all that is drawn with them: where they lie beyond the scale, its end is pointed.
            place: left, bottom (of the bar itself) and width, inches.
            label: what it shows.
        """
        k, norm = self.k, image.norm
        values = list(values)
        axes = self.axes(*place, 0.13 * k)
        if isinstance(norm, BoundaryNorm):
            bar = self.figure.colorbar(image, cax=axes, orientation="horizontal", spacing="uniform")
            bar.set_ticks([float(step) for step in norm.boundaries])
            names = style.guideline_names()
            bar.set_ticklabels(
                [
                    style.plain_number(step) + ("\n" + names.get(i, "") if names.get(i) else "")
                    for i, step in enumerate(norm.boundaries.tolist())
                ]
            )
        else:
            assert isinstance(norm, Normalize)
            bar = self.figure.colorbar(
                image, cax=axes, orientation="horizontal", extend=style.extend(norm, values)
            )
            if image.cmap.name == style.CONCENTRATION_COLOURS:
                ticks = style.concentration_ticks(norm)
                most = int(place[2] / (0.36 * k))
                bar.set_ticks(
                    ticks if len(ticks) <= most else [x for x in ticks if f"{x:e}"[0] == "1"]
                )
            bar.ax.xaxis.set_major_formatter(style.NUMBERS)
        bar.ax.minorticks_off()
        bar.ax.tick_params(labelsize=style.points(8 * k), length=2.5 * k, width=0.6 * k)
        bar.outline.set_linewidth(0.6 * k)
        grey = "; grey: missing" if any(np.isnan(each).any() for each in values) else ""
        bar.set_label(wrap(label + grey, 9 * k, place[2] * 1.15), fontsize=9 * k, labelpad=2 * k)


def writing_height(paper: Size, title: str, note: str, credit: str, left: float = 0.62) -> float:
    """What title, note and source line need of a paper, in inches."""
    broken = _broken(title, note, credit, paper.text, paper.width, left)
    return (_head(*broken[:2]) + _foot(broken[2])) * paper.text


def _broken(
    title: str, note: str, credit: str, k: float, width: float, left: float
) -> tuple[str, str, str]:
    room = width - (left + 0.1) * k
    return (
        wrap(legible(title), 12.5 * k, room, bold=True),
        wrap(legible(note), 9 * k, room),
        wrap(legible(credit), style.points(7 * k), width - 0.2 * k),
    )


def _head(title: str, note: str) -> float:
    """Of a wrapped title and note, in inches of text size 1."""
    above = 0.13 + (0.09 + 0.2 * len(title.splitlines()) if title else 0)
    return above + (0.15 * len(note.splitlines()) + 0.07 if note else 0)


def _foot(credit: str) -> float:
    """Of a wrapped source line, in inches of text size 1."""
    return 0.08 + 0.13 * len(credit.splitlines()) if credit else 0.04


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
