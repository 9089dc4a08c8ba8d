"""Reports of small runs, and of files that mean harm."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from deepcams.cli import main
from deepcams.core.errors import DeepcamsNotice, InputError, OutputError
from deepcams.core.field import as_field
from deepcams.core.grid import Grid
from deepcams.downscaling.job import downscale_to
from deepcams.readers.cams import open_cams
from deepcams.readers.open import open_field
from deepcams.report import write_report as report
from deepcams.report.discover import find_run
from deepcams.report.page import Table, number, render
from deepcams.simulation.write_cams import write_cams

HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&\x00 $\\frac{$ </style>"
)


class _Reader(HTMLParser):
    """Collects tags and their attributes, and complains of those left open."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def _read(path: Path) -> _Reader:
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    assert not reader.open
    return reader


@pytest.fixture(scope="module", autouse=True)
def _short_animations() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deepcams.report.pictures.MOST_FRAMES", 4)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A downscaled region with a gap, its input beside it, and hostile scores."""
    folder = tmp_path_factory.mktemp("run")
    grid = Grid.globe(0.75).select((80, 15, 92, 25))[0]
    hours = np.array([0, 3, 6, 15, 18]) * np.timedelta64(1, "h") + np.datetime64(
        "2019-03-08", "ns"
    )
    values = (
        np.random.default_rng(0).lognormal(3, 0.5, (5, *grid.shape)).astype(np.float32)
    )
    coords = {"time": hours, "latitude": grid.latitudes, "longitude": grid.longitudes}
    field = as_field(
        xr.DataArray(
            values,
            coords,
            ("time", "latitude", "longitude"),
            "pm2p5",
            {"units": "ug m-3"},
        )
    )
    write_cams(field, folder / "cams.nc")
    field = field.assign_attrs(source=HOSTILE)
    downscale_to(
        field,
        folder / "out.zarr",
        temporal="linear",
        spatial="bicubic",
        conserve=False,
        inputs=[folder / "cams.nc"],
    )
    rows = [
        {
            "task": HOSTILE,
            "method": HOSTILE,
            "period": "all",
            "R": 0.5,
            "MAE": None,
            "skill": float("nan"),
        }
    ]
    quality = [{"step": HOSTILE, "rows_in": 1234567, "dropped": 3}]
    (folder / "scores.json").write_text(
        json.dumps({"note": HOSTILE, "rows": rows, "quality": quality})
    )
    (folder / "broken.json").write_text("{")
    (folder / "wrong.png").write_bytes(b"<script>alert(3)</script>")
    return folder


@pytest.fixture(scope="module")
def written(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report(run, tmp_path_factory.mktemp("out") / "report.html")


def test_nothing_of_the_files_becomes_markup(written: Path) -> None:
    reader = _read(written)
    tags = {tag for tag, _ in reader.tags}
    assert not tags & {"script", "iframe", "object", "form", "svg"}
    assert not [
        name
        for _, attributes in reader.tags
        for name in attributes
        if name.startswith("on")
    ]
    content = written.read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(1)" in content
    assert "\x00" not in content


def test_it_needs_nothing_beside_it(written: Path) -> None:
    reader = _read(written)
    links = [
        value
        for _, attributes in reader.tags
        for name, value in attributes.items()
        if name in ("src", "href")
    ]
    assert len(links) > 4
    assert all(value and value.startswith(("data:", "#")) for value in links)
    assert not re.search(r"url\(|@import", written.read_text(encoding="utf-8"))
    assert written.stat().st_size < 10_000_000


def test_it_tells_the_whole_run(written: Path) -> None:
    content = written.read_text(encoding="utf-8")
    for words in (
        "Missing hours",
        "2019-03-08 07:00",
        "2019-03-08 14:00",
        "broken.json: cannot be read",
        "1,234,567",
        "wrong.png: no PNG picture",
        "bicubic",
        "How to cite",
        "Xiao et al. 2022",
    ):
        assert words in content, words
    reader = _read(written)
    pictures = [attributes for tag, attributes in reader.tags if tag == "img"]
    assert len(pictures) == 3  # map, series, animation
    assert all(len(attributes["alt"] or "") > 15 for attributes in pictures)


def test_an_output_alone_and_no_animation(run: Path, tmp_path: Path) -> None:
    path = report(run / "out.zarr", tmp_path / "a.html", animation=False)
    assert "image/gif" not in path.read_text(encoding="utf-8")
    assert "Scores" not in path.read_text(encoding="utf-8")
    assert 'class="warn"' not in path.read_text(encoding="utf-8")


def test_what_cannot_be_reported(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match="no such file"):
        report(tmp_path / "none", tmp_path / "a.html")
    with pytest.raises(InputError, match="nothing of these"):
        report(tmp_path, tmp_path / "a.html")
    with pytest.raises(OutputError, match=r"\.html"):
        report(run, tmp_path / "a.txt")
    assert main(["report", str(run), "-o", str(tmp_path / "no" / "a.html")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_downscale_writes_one_on_request(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    methods = ["--temporal", "linear", "--spatial", "bicubic", "--no-conserve"]
    arguments = [
        "downscale",
        str(run / "cams.nc"),
        "-o",
        str(tmp_path / "out.nc"),
        *methods,
    ]
    assert main([*arguments, "--report", str(tmp_path / "r.txt")]) == 2
    assert not (tmp_path / "out.nc").exists()
    assert main([*arguments, "--report", str(tmp_path / "r.html")]) == 0
    assert "r.html" in capsys.readouterr().out
    assert "Missing hours" in (tmp_path / "r.html").read_text(encoding="utf-8")


@pytest.fixture
def _without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what stands in tables: pictures of the output are what takes a report its time."""
    monkeypatch.setattr("deepcams.report.pictures.drawn", lambda found, shown: [])


@pytest.mark.usefixtures("_without_pictures")
def test_netcdf_tells_its_counts_and_all_its_hours(run: Path, tmp_path: Path) -> None:
    methods = {"temporal": "linear", "spatial": "bicubic", "conserve": False}
    field = open_cams(run / "cams.nc")
    downscale_to(field, tmp_path / "one.nc", inputs=[run / "cams.nc"], **methods)
    downscale_to(field, tmp_path / "days", split="day", **methods)
    later = field.assign_coords(time=field.time + np.timedelta64(14, "h"))
    downscale_to(later, tmp_path / "two", split="day", **methods)
    values = number(field.size)
    for name in ("one.nc", "days", "two"):
        content = report(
            tmp_path / name, tmp_path / "a.html", animation=False
        ).read_text(encoding="utf-8")
        assert all(
            f'<td class="number">{count}</td>' in content
            for count in (values, "8", "5")
        ), name  # gap's hours, frames
        assert "Missing hours" in content
    assert len(list((tmp_path / "two").glob("*.nc"))) == 2
    assert (
        "2019-03-08 21:00</td><td>2019-03-09 04:00" in content
    )  # one gap, over midnight and two files
    first = min((tmp_path / "two").glob("*.nc"))
    first.unlink()
    with pytest.warns(DeepcamsNotice, match="two is not finished"):
        page = report(tmp_path / "two", tmp_path / "a.html", animation=False)
    content = page.read_text(encoding="utf-8")
    assert "two is not finished: 1 of 2 files are not written" in content


@pytest.mark.usefixtures("_without_pictures")
def test_an_unfinished_store_says_so(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "out.zarr", tmp_path / "out.zarr")
    next((tmp_path / "out.zarr" / ".deepcams").glob("item-*.json")).unlink()
    with pytest.raises(
        InputError,
        match=r"out.zarr: expected a store with hours.* 0 of 1 parts are written",
    ):
        report(tmp_path / "out.zarr", tmp_path / "a.html", animation=False)


def test_a_damaged_store_is_reported_without_pictures(
    run: Path, tmp_path: Path
) -> None:
    shutil.copytree(run / "out.zarr", tmp_path / "out.zarr")
    for shard in (tmp_path / "out.zarr" / "pm2p5" / "c").rglob("*"):
        if shard.is_file():
            shard.write_bytes(shard.read_bytes()[:50])
    content = report(tmp_path / "out.zarr", tmp_path / "a.html").read_text(
        encoding="utf-8"
    )
    assert "a picture could not be drawn: " in content
    assert "the animation could not be made: " in content
    assert "<h2 id" in content
    assert "Settings" in content


def test_a_field_without_values_has_no_highest_place(run: Path, tmp_path: Path) -> None:
    field = open_field(run / "out.zarr").isel(time=slice(0, 3)).load()  # before the gap
    field.copy(data=np.full_like(field.values, np.nan)).to_netcdf(
        tmp_path / "nothing.nc"
    )
    page = report(
        tmp_path / "nothing.nc",
        tmp_path / "a.html",
        original=run / "cams.nc",
        animation=False,
    )
    content = page.read_text(encoding="utf-8")
    assert "<img" in content
    assert "where it is highest" not in content
    assert "has no values around its middle" in content


def test_a_folder_of_folders(run: Path, tmp_path: Path) -> None:
    """What a whole experiment leaves: results in folders of their own, the input under data/."""
    whole = tmp_path / "whole"
    shutil.copytree(run / "out.zarr", whole / "pm25.zarr")
    (whole / "data" / "cams").mkdir(parents=True)
    shutil.copy(run / "cams.nc", whole / "data" / "cams.nc")
    (whole / "data" / "inner.json").write_text('{"rows": []}')
    for name in ("scores", "validation", "runs/temporal"):
        (whole / name).mkdir(parents=True)
    method = "/home/me/runs/xvfi.safetensors-then-/home/me/abpn.safetensors+conserve"
    rows = [
        {"task": "joint", "method": method, "period": "all", "MAE": 1.25, "n": 3},
        {"method": "empty", "n": 0},
    ]
    (whole / "scores" / "joint.json").write_text(json.dumps({"rows": rows}))
    quality = [{"step": "negatives", "rows_in": 12345, "dropped": 7}]
    (whole / "validation" / "scores.json").write_text(
        json.dumps({"rows": [], "quality": quality})
    )
    figure = Figure()
    figure.savefig(whole / "validation" / "scatter.png", dpi=20)
    figure.savefig(whole / "runs" / "temporal" / "curve.png", dpi=20)
    (whole / "runs" / "temporal" / "experiment.yaml").write_text("version: 1  # <b>\n")
    log = "step,loss,skill,best\n1,0.5,,\n2,0.4,0.9,1\n"
    (whole / "runs" / "temporal" / "log.csv").write_text(log)
    (whole / "loop").symlink_to(whole)
    content = report(whole, tmp_path / "a.html", animation=False).read_text(
        encoding="utf-8"
    )
    for words in (
        "scores/joint.json",
        "validation/scores.json",
        "12,345",
        "Density scatter",
        "runs/temporal",
        "version: 1  # &lt;b&gt;",
        "the input beside deepcams",
    ):
        assert words in content, words
    assert ">xvfi.safetensors-then-abpn.safetensors+conserve<" in content
    assert not any(words in content for words in ("inner.json", "/home/me", "empty"))
    assert (
        content.count("<img") == 4
    )  # scatter, map, series, and the training's curve once


@pytest.mark.slow
def test_shipped_networks_are_told_by_their_content(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    found = find_run(run / "out.zarr")
    assert found.cards == {}
    field = open_cams(run / "cams.nc").isel(time=slice(0, 2))
    downscale_to(field, tmp_path / "a.zarr", temporal="linear", spatial="cellnet")
    assert list(find_run(tmp_path / "a.zarr").cards) == ["cellnet"]


def test_what_would_drown_the_rest_is_cut() -> None:
    content = render(
        settings={"history": "x" * 10_000, "many": [[k] for k in range(1000)]}
    )
    assert "(6,000 characters more)" in content
    assert "701 more are left out" in content
    assert len(content) < 60_000


def test_an_empty_and_a_constant_field_are_reported(run: Path, tmp_path: Path) -> None:
    field = open_cams(run / "cams.nc")
    for name, value, pictures in (("none", np.nan, 1), ("same", 5.0, 2)):
        made = field.isel(time=slice(0, 2)).copy(
            data=np.full((2, *field.shape[1:]), value, np.float32)
        )
        made.to_netcdf(tmp_path / f"{name}.nc")
        content = report(
            tmp_path / f"{name}.nc", tmp_path / "a.html", animation=False
        ).read_text(encoding="utf-8")
        assert content.count("<img") == pictures, (
            name
        )  # a map, and the hours of a place that has any
        assert ("a picture could not be drawn" in content) == (pictures == 1)


def test_figures_of_a_column_have_the_same_decimals() -> None:
    rows = [[0.38, 9.675, 3], [-0.00447, 12.0, None], [None, math.nan, 1200]]
    shown = render(scores=[Table(["R", "RMSE", "n"], rows)])
    none = "\N{EN DASH}"
    assert re.findall(r"<td[^>]*>([^<]*)</td>", shown) == [
        "0.3800",
        "9.68",
        "3",
        "-0.0045",
        "12.00",
        none,
        none,
        none,
        "1,200",
    ]
    lone = render(scores=[Table(["a"], [[3.0e7], [2.5]])])
    assert "3e+07" in lone
    assert "2.5<" in lone


def test_a_column_of_sentences_keeps_some_width() -> None:
    row = ["units", 3, "a sentence that has a good many words, " * 2]
    table = render(quality=[Table(["step", "rows", "what"], [row])])
    assert re.findall(r'<th scope="col"([^>]*)>', table) == [
        "",
        ' class="number"',
        ' class="long"',
    ]
    assert re.findall(r"<td([^>]*)>", table) == ["", ' class="number"', ' class="long"']
    assert re.search(r"td\.long \{\s*min-width:", table)


def test_a_single_year_is_not_told_twice(tmp_path: Path) -> None:
    def row(by: object, group: str, number: int) -> dict[str, object]:
        return {"product": "field", "by": by, "group": group, "n": number, "R": 0.5}

    rows = [
        row("all", "all", 71),
        row("year", "2019", 71),
        row("surface", "coast", 30),
        row("surface", "inland", 41),
    ]
    (tmp_path / "scores.json").write_text(
        json.dumps({"rows": [*rows, row(["odd"], "x", 9)]})
    )
    content = report(tmp_path, tmp_path / "r.html").read_text(encoding="utf-8")
    assert "coast" in content
    assert ">2019<" not in content
    assert ">71<" in content


def test_zones_are_shown_the_most_exposed_first(tmp_path: Path) -> None:
    rows = [
        "zone,name,start,values,mean,covered,population_mean,people",
        "A,Alpha,2019-01-01,24,5,1,7,1000",
        "A,Alpha,2019-01-02,24,7,1,9,1000",
        f'B,"{HOSTILE.replace(chr(34), "").replace(chr(0), "")}",2019-01-01,24,30,0.5,40,12345',
        "B,,2019-01-02,24,,0,,12345",
        "C,Nothing,2019-01-01,24,,0,,3",
    ]
    (tmp_path / "zones.csv").write_text("\n".join(rows))
    facts = {"made_by": "deepcams 0.1 zones", "over": "day", "from": "2019-01-01"}
    facts["population"] = {"source": "a census", "year": "2020"}  # type: ignore[assignment]
    (tmp_path / "zones.csv.json").write_text(json.dumps(facts))
    (tmp_path / "bad.csv.json").write_text(json.dumps(facts))
    (tmp_path / "points.csv.json").write_text(
        json.dumps({"made_by": "deepcams points"})
    )
    page = report(tmp_path, tmp_path / "report.html")
    _read(page)
    text = page.read_text(encoding="utf-8")
    assert "<script>alert(1)" not in text
    assert text.index("12,345") < text.index("Alpha")
    assert "people: a census, 2020" in text
    assert "largest day" in text
    assert "Nothing" not in text
    assert "bad.csv: cannot be read" in text
    assert "points" not in text


@pytest.mark.usefixtures("_without_pictures")
def test_means_stand_beside_their_hours(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "out.zarr", tmp_path / "out.zarr")
    days = ["means", str(tmp_path / "out.zarr"), "-o", str(tmp_path / "a_days.zarr")]
    assert main([*days, "--complete", "25", "--level", "15"]) == 0
    text = report(tmp_path, tmp_path / "r.html", animation=False).read_text("utf-8")
    assert "PM2.5: 19 times, 2019-03-08 00:00 to 2019-03-08 18:00 UTC" in text
    assert "a_days.zarr: hours and days above limits of daily means; 1 day" in text
    assert 'class="warn"' not in text
    alone = report(tmp_path / "a_days.zarr", tmp_path / "r.html", animation=False)
    assert "PM2.5 mean: 1 day, 2019-03-08; 0.25 degrees" in alone.read_text("utf-8")
