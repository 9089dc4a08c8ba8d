"""``deepcams plot``: every figure of the paper from any dataset."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deepcams.cli.common_options import Quiet
from deepcams.cli.figure_options import (
    BBox,
    Box,
    Colours,
    Fields,
    Note,
    Original,
    Out,
    Paper,
    Projection,
    Scale,
    Shape,
    Size,
    Span,
    Time,
    Title,
    Variable,
    open_fields,
    period_of,
)

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

    from deepcams.stations.validation import Validation

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Draw figures: maps, comparisons, sequences, series, means, stations, trainings, scores.",
    epilog="Example: deepcams plot map pm25.zarr -o map.png",
)


class SeriesScale(StrEnum):
    """Scale of the vertical axis."""

    LINEAR, LOG, GUIDELINE = "linear", "log", "guideline"


class Colour(StrEnum):
    """Quantity that colours the stations."""

    N, R = "n", "R"


Stations = Annotated[
    list[str],
    typer.Option("--stations", help="OpenAQ's archive, CSV, Parquet; may be repeated."),
]


@app.command(
    "map",
    epilog="Example: deepcams plot map pm25.zarr --time 2019-12-31T17 --projection robinson -o map.png",
)
def draw_map(
    field: Fields,
    out: Out,
    time: Time = None,
    period: Span = None,
    bbox: BBox = None,
    projection: Shape = Projection.PLATE_CARREE,
    scale: Colours = Scale.LOG,
    size: Paper = Size.PAGE,
    title: Title = "",
    note: Note = "",
    variable: Variable = None,
    quiet: Quiet = False,
) -> None:
    """Draw a map of one hour, or with --period of a mean, for a region or the globe."""
    from deepcams.cli.progress import one_bar
    from deepcams.plotting import map_figure

    _check(out)
    with one_bar("reading", hidden=quiet) as progress:
        figure = map_figure(
            open_fields(field, variable),
            _moment(time),
            period=period_of(period),
            box=bbox,
            projection=projection.value,
            scale=scale.value,
            size=size.value,
            title=title,
            note=note,
            progress=progress,
        )
    _save(figure, out)


@app.command(
    epilog="Example: deepcams plot compare pm25.zarr --original cams.nc --zoom 140 -42 158 -28 -o compare.pdf"
)
def compare(
    field: Fields,
    out: Out,
    baseline: Annotated[
        list[str] | None, typer.Option("--baseline", help="Another method's field.")
    ] = None,
    truth: Annotated[
        list[str] | None,
        typer.Option("--truth", help="True field, for errors; may be repeated."),
    ] = None,
    original: Original = None,
    time: Time = None,
    bbox: BBox = None,
    zoom_box: Annotated[
        Box | None,
        typer.Option("--zoom", metavar="W S E N", help="Box enlarged below."),
    ] = None,
    zoom_box_2: Annotated[
        Box | None, typer.Option("--zoom-2", metavar="W S E N", help="A second box.")
    ] = None,
    names: Annotated[
        str, typer.Option(help="Names of baseline and field, comma-separated.")
    ] = "baseline,deepcams",
    scale: Colours = Scale.LOG,
    size: Paper = Size.PAGE,
    title: Title = "",
    note: Note = "",
    variable: Variable = None,
) -> None:
    """Draw truth, original, baseline and field side by side, with errors and enlarged boxes (Figs. 3 and 4)."""
    from deepcams.core.errors import InputError
    from deepcams.plotting import compare_maps

    _check(out)
    called = names.split(",")
    if len(called) != 2:
        raise InputError("--names", "two names with a comma between", repr(names))
    ours = open_fields(field, variable)
    fields = {
        **({called[0]: open_fields(baseline, variable)} if baseline else {}),
        called[1]: ours,
    }
    source = ("original", open_fields(original, variable)) if original else None
    when = _moment(time)
    figure = compare_maps(
        fields,
        ours.time.values[0] if when is None else when,
        truth=open_fields(truth, variable) if truth else None,
        source=source,
        box=bbox,
        zooms=[each for each in (zoom_box, zoom_box_2) if each is not None],
        scale=scale.value,
        size=size.value,
        title=title,
        note=note,
    )
    _save(figure, out)


@app.command(
    epilog="Example: deepcams plot sequence pm25.zarr --original cams.nc --bbox 140 -42 158 -28 -o sequence.png"
)
def sequence(
    field: Fields,
    out: Out,
    original: Original = None,
    time: Time = None,
    hours: Annotated[
        int | None, typer.Option(help="Number of hours.", show_default="6, or all")
    ] = None,
    every: Annotated[int, typer.Option(help="Hours between columns.")] = 1,
    bbox: BBox = None,
    scale: Colours = Scale.LOG,
    size: Paper = Size.PAGE,
    title: Title = "",
    note: Note = "",
    variable: Variable = None,
) -> None:
    """Draw the original's frames above the hourly ones, on one time axis (Fig. 5)."""
    from deepcams.plotting import sequence_figure

    _check(out)
    figure = sequence_figure(
        {"deepcams": open_fields(field, variable)},
        _moment(time),
        original=open_fields(original, variable) if original else None,
        hours=hours,
        every=every,
        box=bbox,
        scale=scale.value,
        size=size.value,
        title=title,
        note=note,
    )
    _save(figure, out)


@app.command(
    epilog="Example: deepcams plot series pm25.zarr --original cams.nc --at 150.5 -36.5 -o series.png"
)
def series(
    field: Fields,
    out: Out,
    at: Annotated[
        tuple[float, float] | None,
        typer.Option("--at", metavar="LON LAT", help="A point."),
    ] = None,
    bbox: Annotated[
        Box | None,
        typer.Option("--bbox", metavar="W S E N", help="Or the mean of a box."),
    ] = None,
    original: Original = None,
    period: Span = None,
    scale: Annotated[
        SeriesScale, typer.Option(help="guideline draws WHO's 24-hour levels.")
    ] = SeriesScale.LINEAR,
    size: Paper = Size.PAGE,
    title: Title = "",
    note: Note = "",
    variable: Variable = None,
    quiet: Quiet = False,
) -> None:
    """Draw a time series at a point or of a box mean: original and field (Fig. 7)."""
    from deepcams.cli.progress import one_bar
    from deepcams.core.errors import InputError
    from deepcams.plotting import series_figure

    _check(out)
    if (at is None) == (bbox is None):
        raise InputError("--at, --bbox", "one of them", "both" if at else "neither")
    place = at if at is not None else bbox
    assert place is not None
    with one_bar("reading", hidden=quiet) as progress:
        figure = series_figure(
            {"deepcams": open_fields(field, variable)},
            place,
            original=open_fields(original, variable) if original else None,
            period=period_of(period),
            scale=scale.value,
            size=size.value,
            title=title,
            note=note,
            progress=progress,
        )
    _save(figure, out)


@app.command(
    epilog="Example: deepcams plot annual pm25.zarr --original cams.nc --period 2019 -o annual.png"
)
def annual(
    field: Fields,
    out: Out,
    original: Original = None,
    period: Span = None,
    bbox: BBox = None,
    projection: Shape = Projection.ROBINSON,
    scale: Colours = Scale.LOG,
    size: Paper = Size.PAGE,
    title: Title = "",
    note: Note = "",
    variable: Variable = None,
    quiet: Quiet = False,
) -> None:
    """Draw the mean over a period (default: all), that of the original, and their difference (Fig. 8)."""
    from deepcams.cli.progress import one_bar
    from deepcams.plotting import annual_figure

    _check(out)
    with one_bar("reading", hidden=quiet) as progress:
        figure = annual_figure(
            open_fields(field, variable),
            open_fields(original, variable) if original else None,
            period=period_of(period),
            box=bbox,
            projection=projection.value,
            scale=scale.value,
            size=size.value,
            title=title,
            note=note,
            progress=progress,
        )
    _save(figure, out)


@app.command(
    epilog="Example: deepcams plot stations --stations poland_2019.csv.gz -o stations.png"
)
def stations(
    stations: Stations,
    out: Out,
    field: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FIELD...]", help="Field for --colour R."),
    ] = None,
    colour: Annotated[
        Colour,
        typer.Option(help="By number of hours, or by correlation with the field."),
    ] = Colour.N,
    period: Span = None,
    assume_utc: Annotated[bool, typer.Option("--assume-utc")] = False,
    size: Paper = Size.PAGE,
) -> None:
    """Draw stations on a map, coloured by hours or by R, after quality control (Fig. 1)."""
    from deepcams.core.errors import InputError
    from deepcams.stations.tables import figures

    _check(out)
    if colour is Colour.R and not field:
        raise InputError(
            "--colour R", "a field to compare with", "none", "give FIELD too"
        )
    found = figures.draw_maps(
        _validated(stations, field, None, period, assume_utc), size.value
    )
    if f"stations-{colour.value}" not in found:
        fewest = (
            f" and at least {figures.FEWEST} hours of the field"
            if colour is Colour.R
            else ""
        )
        raise InputError(
            "--stations", f"stations with values in the period{fewest}", "none"
        )
    _save(found[f"stations-{colour.value}"], out)


@app.command(
    epilog="Example: deepcams plot scatter pm25.zarr --stations openaq/ --original cams.nc -o scatter.png"
)
def scatter(
    field: Fields,
    stations: Stations,
    out: Out,
    original: Original = None,
    period: Span = None,
    assume_utc: Annotated[bool, typer.Option("--assume-utc")] = False,
    size: Paper = Size.PAGE,
) -> None:
    """Draw scatter plots of stations against the field and the original, one panel per year (Fig. 6)."""
    from deepcams.stations.tables import figures

    _check(out)
    _save(
        figures.draw_scatter(
            _validated(stations, field, original, period, assume_utc), size=size.value
        ),
        out,
    )


@app.command(
    epilog="Example: deepcams plot diurnal pm25.zarr --stations openaq/ --original cams.nc -o diurnal.png"
)
def diurnal(
    stations: Stations,
    out: Out,
    field: Annotated[
        list[str] | None, typer.Argument(metavar="[FIELD...]", help="Field to compare.")
    ] = None,
    original: Original = None,
    period: Span = None,
    assume_utc: Annotated[bool, typer.Option("--assume-utc")] = False,
    size: Paper = Size.PAGE,
) -> None:
    """Draw the mean diurnal cycle at stations: observed, field, original."""
    from deepcams.core.errors import InputError
    from deepcams.stations.tables import figures

    _check(out)
    figure = figures.draw_cycle(
        _validated(stations, field, original, period, assume_utc), size=size.value
    )
    if figure is None:
        raise InputError(
            "--stations",
            "values at all hours of the day",
            "hours without any",
            "give a field and a --period of a day or more",
        )
    _save(figure, out)


@app.command(epilog="Example: deepcams plot training runs/cellnet -o curve.png")
def training(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A training's folder.")],
    out: Out,
    size: Paper = Size.PAGE,
) -> None:
    """Draw a training curve: loss and validation by step."""
    from deepcams.plotting import training_figure

    _check(out)
    _save(training_figure(folder, size.value), out)


Scores = Annotated[
    Path,
    typer.Argument(metavar="SCORES", help="Output of `deepcams evaluate --json`."),
]
Methods = Annotated[
    str | None,
    typer.Option(
        help="Methods to draw, comma-separated. Default: baseline and the best few."
    ),
]


class Of(StrEnum):
    """Quantity whose spectra are drawn."""

    VALUES, LOGARITHMS = "values", "logarithms"


@app.command(epilog="Example: deepcams plot spectra scores.json -o spectra.png")
def spectra(
    scores: Scores,
    out: Out,
    methods: Methods = None,
    of: Annotated[Of, typer.Option(help="Spectra of values, or of logarithms.")] = (
        Of.VALUES
    ),
    size: Paper = Size.PAGE,
    title: Title = "",
) -> None:
    """Draw power and squared coherence relative to the truth by wavelength, from an evaluation."""
    from deepcams.plotting.scores.evaluation import read_scores, spectra_figure

    _check(out)
    figure = spectra_figure(
        read_scores(scores), _names(methods), of=of.value, title=title, size=size.value
    )
    _save(figure, out)


@app.command(
    "skill-by-hour",
    epilog="Example: deepcams plot skill-by-hour scores.json -o hours.png",
)
def skill_by_hour(
    scores: Scores,
    out: Out,
    methods: Methods = None,
    size: Paper = Size.PAGE,
    title: Title = "",
) -> None:
    """Draw error and skill by local solar time from an evaluation: for land and sea, or at stations."""
    from deepcams.plotting.scores.evaluation import read_scores, skill_by_hour_figure

    _check(out)
    figure = skill_by_hour_figure(
        read_scores(scores), _names(methods), title=title, size=size.value
    )
    _save(figure, out)


def _names(text: str | None) -> list[str] | None:
    return None if text is None else text.split(",")


def _check(out: Path) -> None:
    from deepcams.plotting.figure_layout import check_format

    check_format(out)


def _moment(text: str | None) -> np.datetime64 | None:
    period = period_of(text)
    return None if period is None else period.start


def _validated(
    stations: list[str],
    field: list[str] | None,
    original: list[str] | None,
    period: str | None,
    assume_utc: bool,
) -> Validation:
    from deepcams.stations.from_files import Request, validate_files

    request = Request(
        stations=tuple(stations),
        field=tuple(field or ()),
        original=tuple(original or ()),
        period=period,
        assume_utc=assume_utc,
        draws=0,
    )
    return validate_files(request).found


def _save(figure: Figure, out: Path) -> None:
    from deepcams.plotting import save

    typer.echo(f"  {save(figure, out)}")
