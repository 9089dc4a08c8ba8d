"""Samples follow from seed and number alone, and hold what they say."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stand_in import StandIn, world

from deepcams.core.grid import Grid, cells_from_nodes
from deepcams.methods.spatial.coarsen import METHODS
from deepcams.networks import build
from deepcams.networks.scaling import Asinh
from deepcams.training.distributed import Ranks
from deepcams.training.experiment_file import parse_experiment
from deepcams.training.samples import SampleSet, collate, load_batches
from deepcams.training.split import find_portions

Values = Callable[..., dict[str, Any]]


def make(
    values: Values,
    task: str,
    store: StandIn,
    side: str = "train",
    seed: int = 0,
    **changes: Any,
) -> SampleSet:
    experiment = parse_experiment(values(task, changes))
    opened: Any = [store] * len(experiment.data.stores)
    return SampleSet(
        experiment.samples, find_portions(experiment, opened, side), Asinh(), seed, side
    )


EVERYWHERE = {
    "train": {"periods": ["2019"], "regions": []},
    "validation": {"periods": ["2020"], "regions": []},
}


def test_the_same_sample_whoever_reads_it(values: Values) -> None:
    store = world()
    first, again = make(values, "temporal", store), make(values, "temporal", store)
    for i in (0, 7, 3, 7):
        assert first.draw(i) == again.draw(i)
        one, other = first[i], pickle.loads(pickle.dumps(again))[i]
        assert one.estimate is other.estimate is None
        assert all(torch.equal(a, b) for a, b in zip(one[:3], other[:3], strict=True))
    assert first.draw(0) != make(values, "temporal", store, seed=1).draw(0)
    assert len({first.draw(i) for i in range(50)}) == 50


@pytest.mark.parametrize("workers", [0, 1, pytest.param(2, marks=pytest.mark.slow)])
def test_batches_do_not_depend_on_workers_or_on_where_one_begins(
    values: Values, workers: int
) -> None:
    samples = make(values, "spatial", world(hours=4))
    ranks = Ranks("cpu")
    batches = load_batches(samples, 4, ranks, 2, workers)
    found = [next(batches) for _ in range(2)]
    del batches
    for step, batch in zip((2, 3), found, strict=True):
        wanted = collate([samples[i] for i in range(4 * step, 4 * step + 4)])
        for a, b in zip(batch, wanted, strict=True):
            assert torch.equal(a, b)


def test_a_temporal_sample_is_its_frames(values: Values) -> None:
    store = world(without=(5, 6, 15))
    span = {"span": {"shortest": 2, "longest": 6}, "flips": False, "rot90": False}
    samples = make(values, "temporal", store, samples=span)
    spans, reversed_ones = set(), 0
    for i in range(60):
        draw, found = samples.draw(i), samples.values(i)
        hours = draw.hour, draw.hour + draw.inner, draw.hour + draw.span
        assert store.times[hours[2]] - store.times[hours[0]] == np.timedelta64(
            draw.span, "h"
        )  # no gap between
        assert 0 < draw.inner < draw.span
        where = draw.row, draw.column, 16, 16, "coarse"
        before, target, after = (store.read(hour, *where) for hour in hours)
        known = (after, before) if draw.reverse else (before, after)
        np.testing.assert_array_equal(found.known, known)
        np.testing.assert_array_equal(found.target, target)
        assert found.t == pytest.approx(
            1 - draw.inner / draw.span if draw.reverse else draw.inner / draw.span
        )
        spans.add(draw.span)
        reversed_ones += draw.reverse
    assert spans == {2, 3, 4, 5, 6}
    assert 15 < reversed_ones < 45


def test_crops_lie_wholly_inside_the_region(values: Values) -> None:
    split = {
        "train": {"regions": [[150, -60, -120, 80]]},
        "validation": {"regions": [[-100, -60, 100, 80]]},
    }
    store = world()
    for side, west, east in (("train", 150, 240), ("validation", -100, 100)):
        samples = make(values, "spatial", store, side, split=split, samples={"crop": 5})
        columns = set()
        for i in range(200):
            grid = samples.values(i).grid
            bounds = grid.longitude_bounds
            assert (bounds[0, 0] - west) % 360 <= (east - west)
            assert 0 < (bounds[-1, 1] - west) % 360 <= east - west
            assert grid.latitude_bounds.max() <= 80
            assert grid.latitude_bounds.min() >= -60
            columns.add(float(grid.longitudes[0] % 360))
        assert len(columns) > 8
        wraps = (
            [c for c in columns if c > 330]
            if side == "validation"
            else [c for c in columns if c < 180]
        )
        assert wraps  # crops do lie across the seam of the grid


@pytest.mark.parametrize("row", [0, 5, 31 - 8])
@pytest.mark.parametrize("degradation", ["area", "imresize", "decimate"])
def test_any_degradation_of_any_store(
    values: Values, degradation: Any, row: int
) -> None:
    """Computed on the fly from a crop, it is what the whole globe's degradation has there."""
    store = world(hours=2, degradation="decimate" if degradation == "area" else "area")
    changes = {"degradation": degradation, "crop": 8, "flips": False, "rot90": False}
    samples = make(values, "spatial", store, samples=changes, split=EVERYWHERE)
    margin = 2 if degradation == "imresize" else 0
    i = next(
        i
        for i in range(2000)
        if abs(samples.draw(i).row - row) <= margin and samples.draw(i).column > 54
    )
    draw, found = samples.draw(i), samples.values(i)
    whole = METHODS[degradation](store.fine_values[draw.hour], store.coarse)
    columns = np.arange(draw.column, draw.column + 8)
    expected = whole[draw.row : draw.row + 8].take(columns, axis=1, mode="wrap")
    np.testing.assert_allclose(found.known, expected, rtol=2e-6)
    np.testing.assert_array_equal(
        found.target, store.read(draw.hour, draw.row, draw.column, 8, 8, "fine")
    )


def test_turns_keep_coarse_and_fine_together(values: Values) -> None:
    store = world(hours=2)
    samples = make(values, "spatial", store)
    draws = [samples.draw(i) for i in range(200)]
    assert (
        len({(draw.flip_rows, draw.flip_columns, draw.quarters) for draw in draws})
        == 16
    )
    for i in range(60):
        found = samples.values(i)
        means = found.target.reshape(8, 3, 8, 3).mean((1, 3))
        # the degradation weighs rows by their area, so the plain mean is only near it
        assert np.median(abs(means / found.known - 1)) < 0.05
        assert (
            np.corrcoef(np.log(means).ravel(), np.log(found.known).ravel())[0, 1] > 0.99
        )
    still = make(values, "spatial", store, "validation")
    assert all(
        not (d.flip_rows or d.flip_columns or d.quarters or d.reverse)
        for d in map(still.draw, range(40))
    )


def test_fine_crops_need_not_be_multiples_of_three(values: Values) -> None:
    store = world(hours=6)
    samples = make(
        values,
        "temporal",
        store,
        samples={"resolution": "fine", "flips": False, "rot90": False},
    )
    draw, found = samples.draw(4), samples.values(4)
    assert found.target.shape == (16, 16)
    fine = cells_from_nodes(store.fine_values[draw.hour + draw.inner], store.coarse)
    rows, columns = 3 * draw.row + np.arange(16), 3 * draw.column + np.arange(16)
    np.testing.assert_array_equal(
        found.target, fine[rows].take(columns, axis=1, mode="wrap")
    )
    # its grid is where it lies: cell-like, one fine node before the first coarse one
    assert found.grid.step == 2.0
    assert found.grid.latitudes[0] == pytest.approx(
        store.coarse.latitudes[draw.row] + 2
    )
    assert found.grid.longitudes[0] % 360 == pytest.approx(
        (store.coarse.longitudes[draw.column] - 2) % 360
    )
    both = make(values, "temporal", store, samples={"resolution": "both"})
    assert {both.draw(i).resolution for i in range(20)} == {"coarse", "fine"}


def test_stores_are_drawn_by_weight(values: Values) -> None:
    stores = [
        {"path": "a", "weight": 3},
        {"path": "b", "weight": 0, "validation_weight": 1},
        {"path": "c"},
    ]
    samples = make(values, "spatial", world(hours=2), data={"stores": stores})
    drawn = np.array([samples.draw(i).portion for i in range(400)])
    assert len(samples.portions) == 2
    assert 0.68 < (drawn == 0).mean() < 0.82


@pytest.mark.parametrize("task", ["temporal", "spatial"])
def test_values_of_a_store_are_multiplied_at_random(values: Values, task: str) -> None:
    store = world(hours=4)
    stores = [{"path": "a", "magnitude": [0.1, 10]}]
    plain = make(values, task, store)
    changed = make(values, task, store, data={"stores": stores})
    factors = []
    for i in range(60):
        was, now = plain.values(i), changed.values(i)
        factor = changed.draw(i).magnitude
        np.testing.assert_allclose(now.known, was.known * factor, rtol=1e-5)
        np.testing.assert_allclose(now.target, was.target * factor, rtol=1e-5)
        factors.append(np.log10(factor))
    assert -1 <= min(factors) < -0.8
    assert 0.8 < max(factors) <= 1
    assert abs(np.mean(factors)) < 0.3
    unseen = make(values, task, store, "validation", data={"stores": stores})
    assert {unseen.draw(i).magnitude for i in range(20)} == {1.0}


def test_the_initial_estimate_sees_beyond_the_crop_but_not_beyond_the_region(
    values: Values, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Grid, np.ndarray]] = []

    def estimate(
        before: np.ndarray, after: np.ndarray, t: float, grid: Grid
    ) -> np.ndarray:
        assert before.shape == grid.shape
        seen.append((grid, before))
        return np.stack([before, after, (1 - t) * before + t * after])

    monkeypatch.setattr(
        "deepcams.methods.temporal.flow.initial_estimate", estimate, raising=False
    )
    experiment = parse_experiment(values("temporal"))
    store: Any = world()
    samples = SampleSet(
        experiment.samples,
        find_portions(experiment, [store], "train"),
        Asinh(),
        0,
        network=build("flow-refine", width=2),
    )
    for i in range(10):
        found = samples.values(i)
        assert found.estimate is not None
        np.testing.assert_array_equal(
            found.estimate[:2], found.known
        )  # cut and turned like the frames
        grid = seen[-1][0]
        assert grid.longitude_bounds.min() >= 0
        assert grid.longitude_bounds.max() <= 180
        assert grid.rows > 16
    sample = samples[0]
    assert sample[3].shape == (3, 1, 16, 16)


def test_scaled_samples_and_their_description(values: Values) -> None:
    samples = make(values, "temporal", world())
    raw, sample = samples.values(5), samples[5]
    assert [tuple(part.shape) for part in sample[:3]] == [
        (2, 1, 16, 16),
        (),
        (1, 16, 16),
    ]
    np.testing.assert_allclose(
        Asinh().inverse(sample.target[0]).numpy(), raw.target, rtol=1e-5
    )
    text = samples.describe(5)
    assert text.startswith("sample 5: stand-in.zarr, 2019-12-01 ")
    assert "of 3 h, coarse" in text


def test_a_joint_sample_is_its_estimate_and_its_hour(
    values: Values, tmp_path: Path
) -> None:
    store = world(hours=8, coarse=Grid(0.75, 60, 20, 12, 14))
    store.fine_values *= np.linspace(1, 2, 8, dtype=np.float32)[:, None, None]
    changes = {
        "split": {"train": {"regions": []}, "validation": {"regions": []}},
        "validation": {"baselines": ["estimate"]},
    }
    stores = [{"path": "world.zarr", "validation_weight": 0}] * 2
    stores[1] = {"path": "world.zarr", "weight": 0, "validation_weight": 1}
    experiment = parse_experiment(
        values("joint", {**changes, "data": {"stores": stores}})
    )
    opened: Any = [store, store]
    network = build("spacetime", estimate="log-bicubic", width=4)
    samples = SampleSet(
        experiment.samples,
        find_portions(experiment, opened, "train"),
        Asinh(),
        0,
        "train",
        network,
        tmp_path,
    )
    seen = set()
    for i in range(40):
        draw, found = samples.draw(i), samples.values(i)
        assert draw.hour in (0, 3, 6)
        assert {draw.hour + 3 * k for k in draw.around} <= {0, 3, 6}
        seen.add((draw.hour + draw.inner, draw.alone, draw.reverse))
        where = draw.row, draw.column, 8, 8, "fine"
        target = store.read(draw.hour + draw.inner, *where)
        np.testing.assert_array_equal(found.target, draw.turn(target))
        t = draw.inner / 3
        np.testing.assert_allclose(found.known[3], 4 * t * (1 - t), rtol=1e-6)
        estimate, before, after = found.known[:3]
        if t == 0:  # an analysis: its cells' means are known
            cells, wanted = (
                each.reshape(8, 3, 8, 3).mean(axis=(1, 3))
                for each in (estimate, found.target)
            )
            np.testing.assert_allclose(cells, wanted, rtol=0.02)
        if draw.alone:
            np.testing.assert_array_equal(found.known[1:3], found.known[[0, 0]])
        elif t:
            assert not np.array_equal(before, after)
        again = pickle.loads(pickle.dumps(samples))[i]
        assert torch.equal(again.planes, samples[i].planes)
        assert again.planes.shape == (network.planes, 24, 24)
    assert {hour for hour, _, _ in seen} == set(range(7))
    assert {alone for _, alone, _ in seen} == {False, True}
    assert (
        len(list(tmp_path.iterdir())) == 3
    )  # one file an interval, and the last frame
