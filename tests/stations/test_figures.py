"""The figures: what stands in them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm

from deepcams.plotting.scores.diurnal import Cycle, diurnal_figure
from deepcams.plotting.scores.scatter import ScatterPanel, scatter_figure
from deepcams.plotting.scores.stations import station_map, view_of


def _panel(title: str, seed: int, top: float = 60.0) -> ScatterPanel:
    random = np.random.default_rng(seed)
    observed = random.uniform(0, top, 3000)
    model = np.clip(observed * random.lognormal(0, 0.2, 3000), 0, 999)
    density = np.histogram2d(observed, model, bins=[np.arange(1001)] * 2)[0].astype(
        np.int32
    )
    slope, intercept = np.polyfit(observed, model, 1)
    r = np.corrcoef(observed, model)[0, 1]
    return ScatterPanel(title, density, 3000, r, 5.0, 1.0, slope, intercept)


def test_many_pairs_are_written_as_numbers_and_less_than_nothing_with_a_minus() -> None:
    panel = _panel("a", 1)
    figure = scatter_figure(
        [[replace(panel, density=panel.density * 500_000, slope=-0.25)]],
        title="Title",
        note="note",
    )
    figure.canvas.draw()
    bar = next(
        each for each in figure.axes if each.get_xlabel().startswith("pairs in each")
    )
    written = [label.get_text() for label in bar.get_xticklabels() if label.get_text()]
    assert "1,000,000" in written
    assert not [text for text in written if "e" in text]
    told = [text.get_text() for each in figure.axes for text in each.texts]
    assert any("y = \u22120.25 x" in text for text in told)


def test_scatter_panels_share_axes_and_the_scale_of_numbers() -> None:
    panels = [[_panel("a", 1), _panel("b", 2, 90)], [_panel("c", 3), _panel("d", 4)]]
    figure = scatter_figure(panels, title="Title", note="note")
    axes = [
        each for each in figure.axes if each.collections and each.get_title(loc="left")
    ]
    assert [each.get_title(loc="left") for each in axes] == ["a", "b", "c", "d"]
    assert len({each.get_xlim() + each.get_ylim() for each in axes}) == 1
    low, high = axes[0].get_xlim()
    assert low == 0
    assert 90 <= high <= 250
    norms = {id(each.collections[0].norm) for each in axes}
    assert len(norms) == 1
    assert isinstance(axes[0].collections[0].norm, LogNorm)


def test_a_scatter_panel_counts_every_pair_and_draws_its_lines() -> None:
    panel = _panel("a", 1)
    figure = scatter_figure([[panel]])
    axes = next(each for each in figure.axes if each.get_title(loc="left"))
    drawn = int(axes.collections[0].get_array().sum())
    text = axes.texts[0].get_text()
    beyond = int(text.split("(")[1].split()[0]) if "beyond" in text else 0
    assert drawn + beyond == 3000
    assert f"R = {panel.r:.3f}" in text
    assert "n = 3,000" in text
    one, fit = axes.lines
    np.testing.assert_allclose(one.get_xdata(), one.get_ydata())
    np.testing.assert_allclose(
        np.diff(fit.get_ydata()) / np.diff(fit.get_xdata()), panel.slope
    )
    # Observed values run along x: the mass lies where the model is a scaled observation.
    counts = (
        axes.collections[0]
        .get_array()
        .filled(0)
        .reshape(axes.collections[0].get_array().shape)
    )
    y, x = np.nonzero(counts == counts.max())
    assert abs(y[0] - x[0]) < 15


def test_station_maps_draw_each_station_where_it_stands() -> None:
    latitude, longitude = (
        np.array([50.0, 52.0, np.nan, 51.0]),
        np.array([15.0, 20.0, 3.0, 18.0]),
    )
    values = {
        "2018": np.array([10.0, 500.0, 9.0, 0.0]),
        "2019": np.array([20.0, 30.0, 9.0, 40.0]),
    }
    figure = station_map(latitude, longitude, values, "n")
    axes = [each for each in figure.axes if each.get_title(loc="left")]
    assert [each.get_title(loc="left") for each in axes] == [
        "2018: 2 stations",
        "2019: 3 stations",
    ]
    places = axes[0].collections[-1].get_offsets()
    assert sorted(map(tuple, np.asarray(places).tolist())) == [
        (15.0, 50.0),
        (20.0, 52.0),
    ]
    assert axes[0].collections[-1].norm is axes[1].collections[-1].norm


def test_a_map_across_the_dateline_is_in_one_piece() -> None:
    view = view_of(np.array([-18.0, -17.0, -14.0]), np.array([178.0, -179.5, -172.0]))
    assert 175 < view.west < 178
    assert view.east - view.west < 16
    figure = station_map(
        np.array([-18.0, -14.0]),
        np.array([178.0, -172.0]),
        {"2019": np.array([5.0, 6.0])},
        "n",
        title="Fiji",
    )
    places = np.asarray(figure.axes[0].collections[-1].get_offsets())
    assert sorted(places[:, 0].tolist()) == [178.0, 188.0]


def test_stations_all_round_are_on_a_world_map_and_negative_r_is_on_the_scale() -> None:
    random = np.random.default_rng(0)
    longitude, r = np.linspace(-179, 179, 40), random.uniform(-0.5, 0.9, 40)
    figure = station_map(np.linspace(-40, 60, 40), longitude, {"2019": r}, "R")
    axes = figure.axes[0]
    assert axes.get_xlim() == (-180, 180)
    norm = axes.collections[-1].norm
    assert norm.vmin is not None
    assert norm.vmin <= -0.2
    assert norm.vmax == 1
    assert len(axes.collections[-1].get_offsets()) == 40


def test_a_towns_name_keeps_off_the_dots() -> None:
    latitude, longitude = [49.0, 55.0], [14.0, 24.0]
    for _ in range(3):
        figure = station_map(
            np.array(latitude),
            np.array(longitude),
            {"2019": np.full(len(latitude), 9.0)},
            "n",
        )
        FigureCanvasAgg(figure).draw()
        axes = figure.axes[0]
        box = next(
            text for text in axes.texts if text.get_text() == "Kraków"
        ).get_window_extent()
        dots = axes.transData.transform(np.stack([longitude, latitude], axis=1))
        assert not any(box.contains(*dot) for dot in dots)
        # The next figure has a station where this one has the end of the name that lies away from the town.
        town = axes.transData.transform((19.94, 50.06))
        x = box.x0 + box.width * (0.8 if box.x0 + box.width / 2 > town[0] else 0.2)
        y = box.y0 + box.height * (0.8 if box.y0 + box.height / 2 > town[1] else 0.2)
        place = axes.transData.inverted().transform((x, y))
        longitude, latitude = (
            [*longitude, float(place[0])],
            [*latitude, float(place[1])],
        )


def test_the_cycle_goes_round_midnight() -> None:
    mean = 10 + np.arange(24.0)
    figure = diurnal_figure(
        [
            Cycle("observed", "observed", mean, spread=np.ones(24)),
            Cycle("field", "field", mean + 1),
            Cycle("original", "original", mean - 1, dashed=True),
        ]
    )
    axes = figure.axes[0]
    assert axes.get_xlim() == (0, 24)
    lines = {line.get_label(): line for line in axes.lines}
    assert set(lines) == {"observed", "field", "original"}
    x, y = lines["observed"].get_xdata(), lines["observed"].get_ydata()
    assert y[np.searchsorted(x, 0.5)] == 10
    assert y[np.searchsorted(x, 24.5)] == 10
    assert y[0] == pytest.approx(32)
