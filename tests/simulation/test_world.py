import hashlib
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from deepcams.core.errors import InputError
from deepcams.core.field import grid_of, is_mean
from deepcams.core.grid import Grid
from deepcams.files.land_mask import land_fraction
from deepcams.methods.spatial.coarsen import coarsen
from deepcams.readers import SOURCES
from deepcams.simulation import emissions
from deepcams.simulation import world as world_module
from deepcams.simulation.arrays import NUMPY
from deepcams.simulation.mixing import Day, hours_of_the_air
from deepcams.simulation.sphere import (
    Nodes,
    Places,
    SphereMap,
    across_poles,
    blur,
    globe_axes,
    noise,
)
from deepcams.simulation.winds import EARTH, Paths, Winds
from deepcams.simulation.world import (
    _HABITS,
    _LAYER,
    Moment,
    SimulatedWorld,
    open_simulated,
)

NOON = np.datetime64("2019-12-01T12:00", "ns")
HOUR = np.timedelta64(1, "h")
HALF = np.timedelta64(30, "m")
BOXES = [
    (-11, 40, 23.3, 61),
    (170, -20, -170, 15),
    (3, -90, 9, -80),
    (100, 84, 250, 90),
    (359.25, -1.5, 1.5, 0.75),
]


@pytest.fixture(scope="module")
def world() -> SimulatedWorld:
    return SimulatedWorld(0)


@pytest.fixture(scope="module")
def globe(world: SimulatedWorld) -> np.ndarray:
    """The 0.75 degree nodes at noon."""
    return world.values(Grid.globe(0.75), NOON)


@pytest.mark.parametrize("box", BOXES, ids=str)
def test_values_do_not_depend_on_the_region(
    world: SimulatedWorld, globe: np.ndarray, box: tuple[float, ...]
) -> None:
    region, rows, columns = Grid.globe(0.75).select(box)
    np.testing.assert_array_equal(world.values(region, NOON), globe[rows][:, columns])


@pytest.mark.parametrize("box", BOXES, ids=str)
def test_values_do_not_depend_on_the_grid(
    world: SimulatedWorld, globe: np.ndarray, box: tuple[float, ...]
) -> None:
    region, rows, columns = Grid.globe(0.75).select(box)
    fine = region.refine()
    first = 3 * region.north - fine.north, 1
    values = world.values(fine, NOON)[first[0] :: 3, first[1] :: 3]
    np.testing.assert_array_equal(values, globe[rows][:, columns])


def test_values_do_not_depend_on_the_chunks(world: SimulatedWorld) -> None:
    grid = Grid.globe(0.25).select((95, 20, 105, 30))[0]
    times = NOON + np.arange(2) * HOUR
    for mean in (False, True):
        field = world.field(grid, times, mean)
        parts = np.stack(
            [world.field(grid, times[k : k + 1], mean).values[0] for k in range(2)]
        )
        np.testing.assert_array_equal(field.values, parts)
        np.testing.assert_array_equal(
            field.values[1], world.values(grid, times[1], mean)
        )


def test_the_globe_is_lazy_in_blocks_of_a_few_hours(world: SimulatedWorld) -> None:
    field = world.field(Grid.globe(0.25), NOON + np.arange(720) * HOUR)
    assert field.chunks is not None
    assert max(field.chunks[0]) * 721 * 1440 * 4 < 20e6
    assert field.chunks[1:] == ((721,), (1440,))


def test_another_process_makes_the_same_bytes(world: SimulatedWorld) -> None:
    grid = Grid.globe(0.75).select((60, 10, 140, 50))[0]
    code = (
        "import hashlib, numpy as np; from deepcams.core.grid import Grid;"
        "from deepcams.simulation.world import SimulatedWorld;"
        "grid = Grid.globe(0.75).select((60, 10, 140, 50))[0];"
        "values = SimulatedWorld(0).values(grid, np.datetime64('2019-12-01T12:00', 'ns'), True);"
        "print(hashlib.sha256(values.tobytes()).hexdigest())"
    )
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert other == hashlib.sha256(world.values(grid, NOON, True).tobytes()).hexdigest()


def test_single_points_equal_nodes(world: SimulatedWorld, globe: np.ndarray) -> None:
    rows, columns = np.meshgrid(
        np.arange(0, 241, 24), np.arange(0, 480, 37), indexing="ij"
    )
    hours = (NOON - np.datetime64("2000-01-01", "ns")) / HOUR
    values = Moment(0, hours).points(
        90 - 0.75 * rows.ravel(), 0.75 * columns.ravel() - 360
    )
    np.testing.assert_array_equal(values, globe[rows.ravel(), columns.ravel()])


def test_poles_are_single_valued_and_dateline_and_greenwich_are_no_seams(
    globe: np.ndarray,
) -> None:
    assert np.ptp(globe[0]) == np.ptp(globe[-1]) == 0
    steps = np.abs(
        np.diff(np.log(globe[20:-20]), axis=1, append=np.log(globe[20:-20, :1]))
    ).mean(axis=0)
    for column in (
        479,
        239,
    ):  # Greenwich and the dateline, beside steps that are no borders of anything
        assert steps[column] < 1.6 * np.median(steps)
    across = (
        np.abs(np.log(globe[1] / np.roll(globe[1], 240))).mean() / 2
    )  # 0.75 degrees to the pole and on
    assert np.abs(np.log(globe[1] / globe[0])).mean() < 1.5 * across + 0.02


def test_the_distribution_is_that_of_fine_particles(globe: np.ndarray) -> None:
    assert globe.dtype == np.float32
    assert np.isfinite(globe).all()
    assert globe.min() > 0
    low, median, high, top = np.quantile(globe, [0.001, 0.5, 0.99, 0.9999])
    assert low < 0.5
    assert 2 < median < 10
    assert high > 40
    assert top > 250
    rows = Grid.globe(0.75).latitudes
    assert np.median(globe[np.abs(rows) > 82]) < 0.5 * np.median(
        globe[np.abs(rows) < 50]
    )
    box = Grid.globe(0.75).select
    plain, ocean = (
        np.median(globe[r][:, c])
        for _, r, c in (box((76, 24, 88, 30)), box((200, -50, 260, -30)))
    )
    assert plain > 10 * ocean  # the Ganges plain and the South Pacific


def test_spectrum_is_near_that_of_the_real_hours(world: SimulatedWorld) -> None:
    fine = world.field(Grid.globe(0.25), np.array([NOON]))
    rows = np.log(coarsen(fine).values[0, 40:201])
    power = (
        np.abs(np.fft.rfft(rows - rows.mean(axis=1, keepdims=True), axis=1)) ** 2
    ).mean(axis=0)
    bands = [
        power[a:b].mean() / power[15:40].mean()
        for a, b in ((40, 80), (80, 120), (120, 160), (160, 200))
    ]
    real = [
        0.189,
        0.054,
        0.021,
        0.0091,
    ]  # GEOS-CF degraded in the same way (zonal power of log PM2.5, 60S-60N)
    np.testing.assert_allclose(np.log(bands), np.log(real), atol=np.log(2.0))


def test_interpolation_in_time_and_space_is_no_trivial_task(
    world: SimulatedWorld,
) -> None:
    grid = Grid.globe(0.75).select((60, 0, 140, 55))[0].refine()
    a, b, c, d = world.field(grid, NOON + np.arange(4) * HOUR).values
    linear = np.mean([np.abs((2 * a + d) / 3 - b), np.abs((a + 2 * d) / 3 - c)])
    reversed_weights = np.mean(
        [np.abs((a + 2 * d) / 3 - b), np.abs((2 * a + d) / 3 - c)]
    )
    assert 0.3 < linear / reversed_weights < 0.6  # real hours: 0.45 to 0.52
    # real hours of the Americas: 0.03; here it is evening in India and China, when the layer collapses
    assert 0.01 < linear / a.mean() < 0.11
    field = world.field(grid, np.array([NOON]))
    coarse = coarsen(field)
    shown = coarse.interp(latitude=field.latitude, longitude=field.longitude).values
    error = np.nanmean(np.abs(shown - field.values)) / a.mean()
    assert 0.02 < error < 0.2


def test_an_hourly_mean_is_the_mean_of_its_instants(world: SimulatedWorld) -> None:
    grid = Grid.globe(0.25).select((100, 25, 120, 40))[0]
    mean = world.values(grid, NOON + HALF, mean=True)
    minutes = [NOON + np.timedelta64(m, "m") for m in range(0, 61, 5)]
    instants = np.stack([world.values(grid, t) for t in minutes])
    weights = np.array([0.5] + [1.0] * 11 + [0.5])[:, None, None] / 12
    off = np.abs(mean / (instants * weights).sum(axis=0) - 1)
    assert np.quantile(off, 0.99) < 0.01
    assert off.max() < 0.04  # where a narrow plume swings past
    assert is_mean(world.field(grid, np.array([NOON + HALF]), mean=True))


def test_mornings_are_dense_on_land_and_only_there() -> None:
    rows, columns = np.meshgrid(np.arange(-35, 36, 2.5), np.arange(72.0, 89, 2.0))
    latitude, longitude = rows.ravel(), columns.ravel()
    on_land = land_fraction()[
        np.rint((90 - latitude) * 4).astype(int), np.rint(longitude * 4).astype(int)
    ]
    midnight = (NOON - np.datetime64("2000-01-01", "ns")) / HOUR - 12
    # 80 E: 5 to 6 h local solar time, and 14 to 15 h
    dawn, day = (Moment(0, midnight + h).points(latitude, longitude) for h in (0, 9))
    ratio = np.log(dawn / day)
    assert np.median(ratio[(on_land > 0.99) & (latitude > 8)]) > 0.15
    assert abs(np.median(ratio[(on_land < 0.01) & (latitude < -10)])) < 0.1


@pytest.mark.parametrize(
    ("latitude", "declination", "least", "most"),
    [
        (0.0, 0.0, 1200, 2200),
        (52.0, 23.4, 1200, 2200),
        (52.0, -23.4, 150, 600),
        (80.0, -23.4, 0, 0),
    ],
)
def test_the_layer_follows_the_sun(
    latitude: float, declination: float, least: float, most: float
) -> None:
    hours = np.arange(0, 24, 0.1)
    day = Day(np.full_like(hours, latitude), hours, np.deg2rad(declination))
    depth = day.layer()
    assert least <= depth.max() <= most
    assert np.abs(np.diff(depth, append=depth[0])).max() <= 0.15 * most
    if depth.max():
        assert 13 < hours[depth.argmax()] < 19.5
        assert depth[hours < 3.5].max() < 0.02 * depth.max()  # collapsed
        assert np.diff(depth[: depth.argmax()]).min() > -0.02 * depth.max()


def test_what_the_day_mixed_stays_mixed_when_the_layer_collapses() -> None:
    noon_at_greenwich = np.array([1.0, 0.0, 0.0]).reshape(1, 3, 1)
    ages = (0.0, 1.0, 9.0, 24.0)
    positions = np.repeat(noon_at_greenwich, len(ages), axis=0)
    speeds = np.full((len(ages), 1), 0.3)
    at = 24.0 * 7000
    night, _ = hours_of_the_air(positions, speeds, at + 23, ages)
    dawn, _ = hours_of_the_air(positions, speeds, at + 30, ages)
    noon, _ = hours_of_the_air(positions, speeds, at + 36.5, ages)
    assert night[0] > 1.0  # fresh air of the night is dense,
    assert night[2] < night[0] - 1.5  # that of the afternoon is not,
    assert dawn[2] > night[2] + 1.5  # what the night gathered is, until the layer opens
    assert noon.max() < dawn[0] - 1.0
    np.testing.assert_allclose(night[3], dawn[3], rtol=1e-3)


def test_worlds_and_places_differ_in_their_mornings() -> None:
    land = land_fraction() > 0.99
    for name, between in (("layer", _LAYER), ("habits", _HABITS)):
        kinds = [world_module._ground(seed)[name] for seed in (0, 1)]
        one, two = (_nodes_of(kind)[land] for kind in kinds)
        low, high = np.quantile(one, [0.1, 0.9])
        assert high - low > 0.35 * (between[1] - between[0])
        assert np.corrcoef(one, two)[0, 1] < 0.6


def _nodes_of(read: SphereMap) -> np.ndarray:
    return np.asarray(
        read._flat[NUMPY.name].reshape(read.rows, read.columns + 1)[:, :-1]
    )


def test_the_field_is_canonical_and_says_that_it_is_simulated(
    world: SimulatedWorld,
) -> None:
    grid = Grid.globe(0.75).select((-10, 40, 20, 50))[0]
    field = world.field(grid, NOON + np.arange(2) * HOUR)
    assert grid_of(field) == grid
    assert field.name == "pm2p5"
    assert "simulated" in field.attrs["source"]
    assert "no real data" in field.attrs["source"]


@pytest.mark.parametrize("emission", [emissions.town_emission, emissions.dust_emission])
def test_seeds_make_different_worlds_on_the_same_earth(
    emission: Callable[[int], np.ndarray],
) -> None:
    one, two = (np.log1p(emission(seed)).ravel() for seed in (0, 1))
    assert 0.2 < np.corrcoef(one, two)[0, 1] < 0.95


def test_seeds_have_their_own_weather() -> None:
    points = Paths(Winds(0), (0.0, 1.0)).start
    one, two = (Winds(seed)(points, 1000.0).ravel() for seed in (0, 1))
    assert np.corrcoef(one, two)[0, 1] < 0.9


def test_open_simulated_is_a_source() -> None:
    field = SOURCES.get("simulated")("2019-12-01", hours=3, grid=Grid.globe(1.5))
    assert field.shape == (8, 121, 240)
    mean = open_simulated(
        "2019-12-01T00..2019-12-01T03", mean=True, grid=Grid.globe(1.5)
    )
    assert [str(t)[11:16] for t in mean.time.values] == [
        "00:30",
        "01:30",
        "02:30",
        "03:30",
    ]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: SimulatedWorld(-1), "seed"),
        (
            lambda: SimulatedWorld(0).field(
                Grid.globe(1.5), np.array([], "datetime64[ns]")
            ),
            "times",
        ),
        (
            lambda: SimulatedWorld(0).field(Grid.globe(1.5), np.array([NOON, NOON])),
            "increasing",
        ),
        (lambda: open_simulated("no period"), "period"),
        (lambda: open_simulated("2019", variable="ozone"), "pm2p5"),
        (lambda: open_simulated("2019", hours=0), "hours"),
        (lambda: open_simulated(["2019", "2020"]), "period"),
    ],
)
def test_wrong_arguments_are_said_in_one_line(call: object, words: str) -> None:
    with pytest.raises(InputError, match=words) as error:
        call()  # type: ignore[operator]
    assert "\n" not in str(error.value)


def test_winds_are_tangent_and_moderate() -> None:
    paths = Paths(Winds(3), (0.0, 0.5, 1.0))
    wind = paths.winds(paths.start, 1000.0)
    assert np.abs((wind * paths.start).sum(axis=0)).max() < 1e-6
    speed = np.sqrt((wind**2).sum(axis=0)) * EARTH / 3.6
    assert 2 < speed.mean() < 15
    assert speed.max() < 40
    assert (
        np.ptp(wind[:, 0], axis=1).max() < 1e-7
    )  # one wind at the pole, whatever the longitude


def test_paths_follow_the_winds_back_and_meet_between_the_ages() -> None:
    winds = Winds(3)
    positions, velocities = Paths(winds, (0.0, 3.0, 6.0)).at(1000.0)
    small_steps = Paths(winds, tuple(np.arange(0, 6.01, 0.25).tolist())).at(1000.0)[0]
    far = np.sqrt(((positions[2] - positions[0]) ** 2).sum(axis=0)).mean()
    error = np.sqrt(((positions[2] - small_steps[-1]) ** 2).sum(axis=0)).mean()
    assert error < 0.02 * far
    between = Paths(winds, (0.0, 3.0, 6.0)).between(positions, velocities, 4.5)
    assert np.sqrt(((between - small_steps[18]) ** 2).sum(axis=0)).mean() < 0.02 * far


def test_noise_is_alike_everywhere_and_has_no_seam() -> None:
    latitudes, _ = globe_axes(1.0)
    maps = np.stack(
        [noise(np.random.default_rng(k), 1.0, {2.0: 1.0, 6.0: 1.0}) for k in range(60)]
    )
    spread = np.sqrt((maps**2).mean(axis=(0, 2)))
    np.testing.assert_allclose(spread[np.abs(latitudes) < 80], 1.0, atol=0.1)
    np.testing.assert_allclose(spread, 1.0, atol=0.35)
    steps = np.abs(np.diff(maps[:, 20:-20], axis=2, append=maps[:, 20:-20, :1])).mean(
        axis=(0, 1)
    )
    assert steps[-1] < 1.2 * steps.mean()


def test_blur_spreads_alike_across_dateline_and_pole() -> None:
    one = np.zeros((181, 360), np.float32)
    one[90, 0] = 1
    wide = blur(one, 3.0)
    np.testing.assert_allclose(wide[90, 1:10], wide[90, :-10:-1], rtol=1e-4)
    np.testing.assert_allclose(wide[91:100, 0], wide[90, 1:10], rtol=0.02)
    np.testing.assert_allclose(wide.sum(), 1, rtol=1e-3)
    polar = np.zeros((181, 360), np.float32)
    polar[1, 40] = 1
    assert blur(polar, 3.0)[1, 220] > 0.3 * blur(polar, 3.0)[1, 40]


def test_maps_are_read_exactly_at_their_nodes_and_linearly_between() -> None:
    values = np.random.default_rng(0).random((181, 360)).astype(np.float32)
    read = SphereMap(values)
    latitude, longitude = np.array([40.0, -12.0, 0.5]), np.array([359.0, -1.0, 359.5])
    got = read.sample(Places(latitude, longitude))
    np.testing.assert_array_equal(got[:2], [values[50, 359], values[102, 359]])
    corners = values[89, 359], values[90, 359], values[89, 0], values[90, 0]
    np.testing.assert_allclose(got[2], np.mean(corners), rtol=1e-6)


def test_lattices_are_read_smoothly_across_the_pole() -> None:
    latitudes, longitudes = globe_axes(2.5)
    x = np.cos(np.deg2rad(latitudes))[:, None] * np.cos(np.deg2rad(longitudes))
    where = Nodes(np.array([89.9, 88.0, 0.3]), np.array([0.0, 13.7, 359.9]))
    got = where.interpolate(across_poles(x.astype(np.float32)), 2.5)
    true = np.cos(np.deg2rad(where.latitudes))[:, None] * np.cos(
        np.deg2rad(where.longitudes)
    )
    np.testing.assert_allclose(got, true, atol=2e-5)
