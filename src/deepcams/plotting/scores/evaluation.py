"""Figures of an evaluation: spectra, and error and skill by local solar time, from ``evaluate --json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from deepcams.core.errors import InputError, choose
from deepcams.core.text import from_json
from deepcams.plotting import style
from deepcams.plotting.figure_layout import Row, Sheet, Texts, own_style, size_of

MOST_LINES = 5
"""Maximum number of methods drawn by default, besides the baseline."""
_ALL = "all"
_MARGINS = 0.66, 0.2, 0.62

Document = Mapping[str, Any]


def read_scores(path: str | Path) -> Document:
    """Read the output of ``deepcams evaluate --json``.

    Raises:
        InputError: the file does not exist or has other contents.
    """
    expected = "scores as `deepcams evaluate --json` writes them"
    try:
        document = from_json(Path(path).read_bytes())
    except OSError as error:
        raise InputError(path, expected, error.strerror or error) from error
    except ValueError as error:
        raise InputError(path, expected, f"no JSON ({str(error)[:80]})") from error
    needed = {"rows", "baseline", "experiment", "scored"}
    if not isinstance(document, dict) or not needed <= document.keys():
        raise InputError(path, expected, "other JSON", "give the file of --json")
    return document


def spectra_figure(
    document: Document,
    methods: Sequence[str] | None = None,
    *,
    of: str = "values",
    title: str = "",
    size: str = "screen",
) -> Figure:
    """Draw the ratio of power to that of the truth, and squared coherence with it, by zonal wavelength.

    Args:
        document: output of :func:`deepcams.evaluation.as_json`.
        methods: methods to draw; ``None``: the baseline and the best few.
        of: ``values`` or ``logarithms``.
        title: replaces the default title.
        size: one of :data:`deepcams.plotting.figure_layout.SIZES`.

    Raises:
        InputError: the document has no spectra, or a method is unknown.
    """
    choose("--of", of, ("values", "logarithms"))
    rows = [row for row in _details(document, "spectra") if row["of"] == of]
    chosen = _chosen(document, methods)
    words = "" if of == "values" else " of the logarithms"
    note = f"{_note(document)}; rows 60°S to 60°N, third octaves{words}"
    texts = Texts(title or "Scales: power and coherence", note)
    paper = size_of(size).at_most(8.6)
    sheet = Sheet(paper, texts, [Row(0.3, 0.85)], 2, _MARGINS, foot=0.5)
    with own_style(sheet.k):
        power, coherence = sheet.axes(0, 0), sheet.axes(0, 1)
        sheet.title(power, "power / truth's")
        sheet.title(coherence, "squared coherence with the truth")
        for name, look in _looks(chosen, document, sheet.k):
            own = [row for row in rows if row["method"] == name]
            x = [row["wavelength"] for row in own]
            power.plot(x, _values(own, "power_ratio"), label=name, **look)
            coherence.plot(x, _values(own, "coherence"), **look)
        style.logarithmic(power)
        low = min(_positive(rows, chosen), default=0.1)
        power.set_ylim(max(low / 1.5, 1e-3), 2)
        power.axhline(1, color="0.5", lw=0.8 * sheet.k, zorder=1)
        coherence.set_ylim(0, 1.02)
        coherence.axhline(0.5, color="0.5", lw=0.8 * sheet.k, zorder=1)
        power.yaxis.set_major_formatter(style.NUMBERS)
        longest = max(row["wavelength"] for row in rows)
        shortest = min(row["wavelength"] for row in rows)
        for axes in (power, coherence):
            _wavelength_axis(axes, shortest, longest)
            style.open_axes(axes, sheet.k)
        power.legend(loc="lower left")
    return sheet.figure


def _wavelength_axis(axes: Axes, shortest: float, longest: float) -> None:
    """Set up a wavelength axis: long waves at the left, ticks at round degrees."""
    axes.set_xscale("log")
    axes.set_xlim(longest * 1.1, shortest / 1.1)
    ticks = [0.25, 0.5, 1, 2, 5, 10, 20, 50, 100, 200]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(style.NUMBERS)
    axes.set_xlabel("wavelength (degrees of longitude)")


def skill_by_hour_figure(
    document: Document,
    methods: Sequence[str] | None = None,
    *,
    title: str = "",
    size: str = "screen",
) -> Figure:
    """Draw mean absolute error, and skill over the baseline, by local mean solar time: land, sea, or stations.

    Args:
        document: output of :func:`deepcams.evaluation.as_json` (at stations
            :func:`deepcams.stations.tables.temporal_tables.as_json`).
        methods: methods to draw; ``None``: the baseline and the best few.
        title: replaces the default title.
        size: one of :data:`deepcams.plotting.figure_layout.SIZES`.

    Raises:
        InputError: the document has no errors by hour, or a method is unknown.
    """
    rows = _details(document, "local_hours")
    chosen, baseline = _chosen(document, methods), document["baseline"]
    surfaces = list(dict.fromkeys(row["surface"] for row in rows))
    texts = Texts(title or "Error and skill by the hour", _note(document))
    paper = size_of(size).at_most(8.6)
    places = [
        Row(0.3, 0.62, 0.12 if surface != surfaces[-1] else 0) for surface in surfaces
    ]
    sheet = Sheet(paper, texts, places, 2, _MARGINS, foot=0.5)
    with own_style(sheet.k):
        for number, surface in enumerate(surfaces):
            error, skill = sheet.axes(number, 0), sheet.axes(number, 1)
            own = [row for row in rows if row["surface"] == surface]
            reference = _by_hour(own, baseline)
            sheet.title(error, f"{surface}: mean absolute error ({style.UNITS_TEXT})")
            sheet.title(skill, f"{surface}: skill over {baseline}")
            for name, look in _looks(chosen, document, sheet.k):
                mae = _by_hour(own, name)
                x, gaps = _around_the_day(mae)
                error.plot(x, gaps, label=name, **look)
                if name != baseline:
                    skill.plot(*_around_the_day(1 - mae / reference), **look)
            skill.axhline(0, color="0.5", lw=0.8 * sheet.k, zorder=1)
            error.set_ylim(bottom=0)
            for axes in (error, skill):
                axes.set_xlim(0, 24)
                axes.set_xticks(range(0, 25, 3))
                style.open_axes(axes, sheet.k)
                axes.tick_params(labelbottom=surface == surfaces[-1])
                if surface == surfaces[-1]:
                    axes.set_xlabel("local mean solar time (hours)")
            skill.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        sheet.figure.axes[0].legend()
    return sheet.figure


def _details(document: Document, name: str) -> list[dict[str, Any]]:
    rows = document.get("details", {}).get(name)
    if not rows:
        gaps = "; ".join(document.get("gaps", ()))
        raise InputError(
            "scores",
            f"{name.replace('_', ' ')} as `deepcams evaluate --json` writes them",
            gaps or "none",
        )
    return list(rows)


def _chosen(document: Document, methods: Sequence[str] | None) -> list[str]:
    """Return the methods to draw: those named, or the baseline, the best of each kind, then the next best."""
    rows = [row for row in document["rows"] if row["period"] == _ALL]
    rows = [row for row in rows if row.get("by", _ALL) == _ALL]
    known = list(
        dict.fromkeys([document["baseline"], *(row["method"] for row in rows)])
    )
    if methods is not None:
        return [choose("--methods", name, known) for name in methods]
    ranked = sorted(rows, key=lambda row: np.inf if row["MAE"] is None else row["MAE"])
    best: dict[str, str] = {}
    for row in ranked:
        best.setdefault(row["kind"], row["method"])
    names = [*best.values(), *(row["method"] for row in ranked)]
    names = [name for name in dict.fromkeys(names) if name != document["baseline"]]
    return [document["baseline"], *names[:MOST_LINES]]


def _looks(
    chosen: list[str], document: Document, k: float
) -> list[tuple[str, dict[str, Any]]]:
    """Return the line style of each method; the baseline is grey."""
    colours = cycle(style.LINE_COLOURS)
    looks = []
    for name in chosen:
        plain = name == document["baseline"]
        colour = "0.45" if plain else next(colours)
        look = {"color": colour, "lw": 1.5 * k, "marker": ".", "ms": 4.5 * k}
        looks.append((name, look | ({"ls": "--"} if plain else {})))
    return looks


def _values(rows: list[dict[str, Any]], key: str) -> list[float]:
    return [np.nan if row[key] is None else row[key] for row in rows]


def _positive(rows: list[dict[str, Any]], chosen: list[str]) -> list[float]:
    ratios = [row["power_ratio"] for row in rows if row["method"] in chosen]
    return [each for each in ratios if each]


def _by_hour(rows: list[dict[str, Any]], method: str) -> np.ndarray:
    """Return a method's mean absolute error by hour, (24,); NaN where undefined."""
    found = np.full(24, np.nan)
    for row in rows:
        if row["method"] == method:
            found[row["hour"]] = row["MAE"]
    return found


def _around_the_day(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mid-hours and their values, extended by one hour at both ends of the day."""
    return np.arange(-1, 25) + 0.5, np.pad(values, 1, mode="wrap")


def _note(document: Document) -> str:
    experiment = document["experiment"]
    return f"task {experiment['task']}; {document['scored']}"
