"""The simulation experiment: what is hidden, what is scored, how blocks and boxes change nothing."""

from __future__ import annotations

import math
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from deepcams.core.errors import DeepcamsNotice, InputError, MissingExtraError
from deepcams.core.field import as_field, field_like
from deepcams.core.grid import Grid
from deepcams.evaluation import candidates as method_names
from deepcams.evaluation.candidates import Task, expand, make, make_all
from deepcams.evaluation.experiment import Experiment, Result, blocks, evaluate
from deepcams.evaluation.experiment_tables import rows, title
from deepcams.methods import build
from deepcams.methods.spatial.coarsen import coarsen

HOUR = np.timedelta64(1, "h")
REGION = Grid(
    0.75, 60, 398, 16, 20
).refine()  # 48 x 60 nodes across the middle latitudes


def truth_of(
    hours: int, grid: Grid = REGION, start: str = "2019-03-08T00:30", seed: int = 0
) -> xr.DataArray:
    """Plumes that drift east, one node an hour, over grainy air."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[: grid.rows, : grid.columns]
    grain = random.lognormal(0, 0.3, grid.shape)
    frames = []
    for hour in range(hours):
        plume = 50 * np.exp(
            -((rows - grid.rows / 2) ** 2 + (columns - 10 - hour % 30) ** 2) / 40
        )
        frames.append(grain * (1 + 0.1 * np.sin(hour)) + plume)
    times = np.datetime64(start, "ns") + np.arange(hours) * HOUR
    values = np.stack(frames).astype(np.float32)
    like = xr.DataArray(
        values, dims=("time", "y", "x"), coords={"time": times}, name="pm2p5"
    )
    return field_like(like, values, grid, times)


def _by_method(result: Result, period: str = "all") -> dict[str, dict[str, object]]:
    return {row["method"]: row for row in rows(result) if row["period"] == period}


def test_temporal_scores_are_those_of_the_definition() -> None:
    truth = truth_of(7)
    row = _by_method(evaluate(truth, Experiment("temporal"), ["linear"]))["linear"]
    x = truth.values.astype(np.float64)
    errors, correlations = [], []
    for hour in (1, 2, 4, 5):
        before, t = hour - hour % 3, (hour % 3) / 3
        made = (1 - t) * x[before] + t * x[before + 3]
        errors.append(made - x[hour])
        correlations.append(np.corrcoef(made.ravel(), x[hour].ravel())[0, 1])
    assert row["samples"] == 4
    assert row["MAE"] == pytest.approx(
        np.mean([abs(e).mean() for e in errors]), rel=1e-5
    )
    assert row["RMSE"] == pytest.approx(
        np.mean([math.sqrt((e**2).mean()) for e in errors]), rel=1e-5
    )
    assert row["RMSE_pooled"] == pytest.approx(
        math.sqrt((np.stack(errors) ** 2).mean()), rel=1e-5
    )
    assert row["bias"] == pytest.approx(np.mean(errors), rel=1e-3, abs=1e-6)
    assert row["R"] == pytest.approx(np.mean(correlations), rel=1e-7)
    assert row["skill"] == 0


@pytest.mark.parametrize("degradation", ["area", "imresize", "decimate"])
def test_spatial_scores_are_those_of_the_definition(degradation: str) -> None:
    truth = truth_of(3)
    experiment = Experiment("spatial", degradation=degradation)  # type: ignore[arg-type]
    found = _by_method(evaluate(truth, experiment, ["bicubic", "log-bicubic+conserve"]))
    coarse = coarsen(truth, degradation)  # type: ignore[arg-type]
    for name, method in (
        ("bicubic", build("none", "bicubic", conserve=False)),
        ("log-bicubic+conserve", build("none", "log-bicubic", conserve=True)),
    ):
        error = abs(method.downscale(coarse).values.astype(float) - truth.values)
        assert found[name]["samples"] == 3
        assert found[name]["MAE"] == pytest.approx(error.mean(), rel=1e-6)
        extreme = [
            e[t > np.quantile(t, 0.99)].mean()
            for e, t in zip(error, truth.values.astype(float), strict=True)
        ]
        assert found[name]["MAE_p99"] == pytest.approx(np.mean(extreme), rel=1e-6)


@pytest.mark.parametrize("order", ["spatial-first", "temporal-first"])
def test_joint_scores_are_those_of_the_chain(order: str) -> None:
    truth = truth_of(7)
    result = evaluate(
        truth, Experiment("joint"), ["linear", "log-bicubic+conserve"], order=order
    )  # type: ignore[arg-type]
    (name,) = result.kinds
    parts = ["linear", "log-bicubic+conserve"]
    assert name.split("-then-") == (parts[::-1] if order == "spatial-first" else parts)
    chain = build("linear", "log-bicubic", order=order)  # type: ignore[arg-type]
    made = chain.downscale(
        coarsen(truth).isel(time=slice(None, None, 3))
    ).values.astype(float)
    error = abs(made - truth.values)[[1, 2, 4, 5]]
    row = _by_method(result)[name]
    assert row["MAE"] == pytest.approx(error.mean(), rel=1e-6)
    assert 0 < float(str(row["skill"])) < 1


def test_the_coarse_temporal_task_works_on_area_means() -> None:
    truth = truth_of(4)
    row = _by_method(
        evaluate(truth, Experiment("temporal", resolution="coarse"), ["linear"])
    )["linear"]
    coarse = coarsen(truth).values.astype(float)
    made = [
        2 / 3 * coarse[0] + 1 / 3 * coarse[3],
        1 / 3 * coarse[0] + 2 / 3 * coarse[3],
    ]
    assert row["MAE"] == pytest.approx(
        abs(np.stack(made) - coarse[1:3]).mean(), rel=1e-5
    )


@pytest.mark.parametrize("task", ["temporal", "spatial", "joint"])
def test_any_blocks_lazy_or_not_give_the_same_table(task: str) -> None:
    truth = truth_of(31, start="2019-03-31T06:30")  # across two months
    lazy = truth.copy(data=da.from_array(truth.values, chunks=(5, -1, -1)))
    names = {
        "temporal": ["linear", "linear-eq9"],
        "spatial": ["bicubic"],
        "joint": ["linear-then-bilinear"],
    }[task]
    results = [
        evaluate(field, Experiment(task, block=block), names)  # type: ignore[arg-type]
        for field, block in ((truth, 30), (truth, 3), (lazy, 12))
    ]
    first = rows(results[0])
    assert {row["period"] for row in first} == {"2019-03", "2019-04", "all"}
    for other in results[1:]:
        for a, b in zip(first, rows(other), strict=True):
            assert a.keys() == b.keys()
            for key, value in a.items():
                assert b[key] == (
                    pytest.approx(value, rel=1e-10, abs=1e-12)
                    if isinstance(value, float)
                    else value
                )


def test_months_are_averaged_first_and_then_each_counts_the_same() -> None:
    truth = truth_of(31, start="2019-03-31T06:30")
    found = {
        row["period"]: row
        for row in rows(evaluate(truth, Experiment("temporal"), ["linear"]))
    }
    march, april = found["2019-03"], found["2019-04"]
    assert (march["samples"], april["samples"]) == (12, 8)
    assert found["all"]["samples"] == 20
    for key in ("R", "RMSE", "MAE", "bias", "MAE_p99"):
        assert found["all"][key] == pytest.approx((march[key] + april[key]) / 2)
    assert found["all"]["MAE_pooled"] == pytest.approx(
        (12 * march["MAE"] + 8 * april["MAE"]) / 20
    )


def test_missing_frames_and_nodes_are_skipped_and_counted() -> None:
    truth = truth_of(10)
    truth.values[3] = np.nan  # a kept frame: hours 1, 2, 4 and 5 cannot be predicted
    truth.values[7] = np.nan  # hour 7 has no truth
    truth.values[8, 10, 10:13] = np.nan
    row = _by_method(evaluate(truth, Experiment("temporal"), ["linear"]))["linear"]
    assert (row["samples"], row["skipped"], row["missing"]) == (1, 5, 3)
    x = truth.values.astype(float)
    assert row["MAE"] == pytest.approx(
        np.nanmean(abs(x[6] / 3 + x[9] * 2 / 3 - x[8])), rel=1e-5
    )
    nothing = truth.copy(data=np.full(truth.shape, np.nan, np.float32))
    with pytest.raises(InputError, match="only missing ones"):
        evaluate(nothing, Experiment("temporal"), ["linear"])


def test_gaps_in_the_record_start_a_new_run() -> None:
    times = (
        np.datetime64("2019-01-01", "ns")
        + np.array([0, 1, 2, 3, 4, 10, 11, 12, 13, 14, 15, 16]) * HOUR
    )
    with pytest.warns(DeepcamsNotice, match="1 hours at the ends"):
        found = blocks(times, Experiment("temporal", block=3))
    assert found == [slice(0, 4), slice(5, 9), slice(8, 12)]
    assert blocks(times, Experiment("spatial", block=6)) == [slice(0, 6), slice(6, 12)]
    with pytest.raises(InputError, match="at least 4 consecutive hours"):
        blocks(times[::3], Experiment("joint"))


def test_a_box_scores_its_nodes_and_methods_see_beyond() -> None:
    truth = truth_of(4)
    west, east = float(truth.longitude[18]), float(truth.longitude[38])
    box = (west, float(truth.latitude[40]), east, float(truth.latitude[10]))
    found = evaluate(truth, Experiment("joint", bbox=box), ["linear-then-bicubic"])
    chain = build("linear", "bicubic", conserve=False, order="temporal-first")
    made = chain.downscale(coarsen(truth).isel(time=[0, 3])).values.astype(float)
    error = abs(made - truth.values)[1:3, 10:41, 18:39]
    row = _by_method(found)["linear-then-bicubic"]
    assert row["MAE"] == pytest.approx(error.mean(), rel=1e-6)
    with pytest.warns(DeepcamsNotice, match="are not scored"):
        cut = evaluate(
            truth, Experiment("joint", bbox=box, margin=0), ["linear-then-bicubic"]
        )
    assert _by_method(cut)["linear-then-bicubic"]["MAE"] != pytest.approx(
        row["MAE"], rel=1e-6
    )
    with pytest.raises(InputError, match="holds nodes of the data"):
        evaluate(truth, Experiment("joint", bbox=(0, -80, 10, -70)))


@pytest.mark.parametrize("margin", [0, 10, 90, 200])
def test_a_box_across_the_dateline_of_a_globe(margin: float) -> None:
    coarse = Grid.globe(22.5)
    truth = truth_of(2, coarse.refine())
    box = (157.5 - 7.5, -45 - 7.5, -157.5 + 7.5, 45 + 7.5)
    row = _by_method(
        evaluate(truth, Experiment("spatial", bbox=box, margin=margin), ["bilinear"])
    )["bilinear"]
    inside = (
        np.isin(truth.latitude.values, np.arange(-52.5, 53, 7.5)),
        abs(truth.longitude.values - 180) <= 30,
    )
    made = (
        build("none", "bilinear", conserve=False)
        .downscale(coarsen(truth))
        .values.astype(float)
    )
    error = abs(made - truth.values)[:, inside[0]][:, :, inside[1]]
    if margin >= 90:
        assert row["MAE"] == pytest.approx(error.mean(), rel=1e-6)
    assert error[0].size == 15 * 9


def test_area_weights_and_clip() -> None:
    grid = Grid.globe(22.5).refine()
    truth = truth_of(2, grid)
    coarse = coarsen(truth)
    made = (
        build("none", "bicubic", conserve=False).downscale(coarse).values.astype(float)
    )
    x = truth.values.astype(float)
    weighted = _by_method(
        evaluate(truth, Experiment("spatial", weighting="area"), ["bicubic"])
    )["bicubic"]
    error = abs(made - x).mean(axis=2)
    assert weighted["MAE"] == pytest.approx(
        np.average(error, axis=1, weights=grid.row_areas).mean(), rel=1e-6
    )
    clipped = _by_method(evaluate(truth, Experiment("spatial", clip=20), ["bicubic"]))[
        "bicubic"
    ]
    assert clipped["MAE"] == pytest.approx(
        abs(np.minimum(made, 20) - np.minimum(x, 20)).mean(), rel=1e-6
    )


def test_skill_is_against_the_correct_baseline_even_where_it_is_not_asked_for() -> None:
    truth = truth_of(7)
    alone = _by_method(evaluate(truth, Experiment("temporal"), ["linear-eq9"]))
    beside = _by_method(
        evaluate(truth, Experiment("temporal"), ["linear", "linear-eq9"])
    )
    assert set(alone) == {"linear-eq9"}
    expected = 1 - beside["linear-eq9"]["MAE"] / beside["linear"]["MAE"]  # type: ignore[operator]
    assert expected < 0
    assert alone["linear-eq9"]["skill"] == pytest.approx(expected)


def test_names_and_what_they_stand_for() -> None:
    assert expand(["linear", "flow"], "temporal") == ["linear", "flow"]
    assert set(expand(None, "spatial")) >= {
        "bicubic",
        "bicubic+conserve",
        "log-bicubic+conserve",
    }
    assert expand(["bicubic"], "spatial", conserve="both") == [
        "bicubic",
        "bicubic+conserve",
    ]
    assert expand(["bicubic", "bicubic+conserve"], "spatial", conserve="always") == [
        "bicubic+conserve"
    ]
    assert expand(["bicubic+conserve"], "spatial", conserve="never") == ["bicubic"]
    assert expand(["flow", "bicubic"], "joint") == [
        "flow-then-bicubic",
        "bicubic-then-flow",
    ]
    assert expand(["linear", "bicubic"], "joint") == ["linear-then-bicubic"]
    assert expand(["bicubic-then-flow"], "joint", order="temporal-first") == [
        "bicubic-then-flow"
    ]
    default = expand(None, "joint")
    assert "linear-then-bicubic" in default
    assert "log-bicubic+conserve-then-flow" in default
    assert not any("eq9" in name for name in default)
    kinds = {
        name: make(name).kind
        for name in ("linear", "linear-eq9", "bicubic", "bicubic+conserve", "flow")
    }
    assert [name for name, kind in kinds.items() if kind == "baseline"] == [
        "linear",
        "linear-eq9",
        "bicubic",
    ]
    assert make("linear-then-bicubic").kind == "baseline"
    assert make("linear-then-log-bicubic").kind == "training-free"


@pytest.mark.parametrize(
    ("names", "task", "message"),
    [
        (["flw"], "temporal", "did you mean 'flow'"),
        (["bicubic"], "temporal", "expected one of"),
        (["flow+conserve"], "temporal", "expected one of"),
        (["linear-then-bicubic"], "spatial", "use --task joint"),
        (["linear"], "joint", "none in space"),
        (["bicubic"], "joint", "none in time"),
        (["linear-then-flow"], "joint", "one method in time and one in space"),
        (
            ["linear-then-bicubic-then-flow"],
            "joint",
            "one method in time and one in space",
        ),
        ([], "spatial", "at least one method"),
    ],
)
def test_names_that_do_not_fit_are_refused(
    names: list[str], task: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        expand(names, task)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        {"task": "joined"},
        {"degradation": "mean"},
        {"clip": 0.0},
        {"block": 0},
        {"margin": -1.0},
        {"task": "spatial", "resolution": "coarse"},
        {"weighting": "none"},
        {"clip": math.nan},
    ],
)
def test_experiments_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError):
        Experiment(**wrong)  # type: ignore[arg-type]


def test_networks_are_told_by_their_weights_and_left_out_where_they_cannot_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = build("none", "bicubic", conserve=False)
    monkeypatch.setattr(
        plain.parts[0], "settings", lambda: {"name": "net", "sha256": "0"}
    )
    monkeypatch.setattr(method_names, "build", lambda *_, **__: plain)
    assert make("bicubic").kind == "network"

    def refuse(*_: object, **__: object) -> None:
        raise MissingExtraError("a network", "networks")

    monkeypatch.setattr(method_names, "build", refuse)
    with pytest.warns(DeepcamsNotice, match="bicubic is left out: a network needs"):
        assert make_all(["bicubic"], asked_for=False) == []
    with pytest.raises(MissingExtraError):
        make_all(["bicubic"], asked_for=True)


def test_each_part_is_built_once_however_many_chains_have_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built = []

    def counting(temporal: str, spatial: str, **how: Any) -> Any:
        built.append((temporal, spatial))
        return build(temporal, spatial, **how)

    monkeypatch.setattr(method_names, "build", counting)
    names = expand(
        ["linear", "flow", "bicubic", "log-bicubic"], "joint", conserve="both"
    )
    made = make_all(names, asked_for=True)
    assert [method.name for method in made] == names
    assert len(names) > 8
    expected = [
        ("linear", "none"),
        ("flow", "none"),
        ("none", "bicubic"),
        ("none", "log-bicubic"),
    ]
    assert sorted(built) == sorted(expected)
    by_name = {method.name: dict(method.parts) for method in made}
    conserving = by_name["flow-then-bicubic+conserve"]["bicubic+conserve"]
    assert (
        conserving.settings()
        == build("none", "bicubic", conserve=True).parts[0].settings()
    )


@pytest.mark.parametrize(
    ("experiment", "hours", "words"),
    [
        (Experiment("joint", bbox=(100, -80, 110, -70)), 7, "--bbox"),
        (Experiment("temporal"), 2, "consecutive hours"),
    ],
)
def test_what_the_truth_cannot_give_is_refused_before_methods_are_built(
    experiment: Experiment, hours: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a method was built")

    monkeypatch.setattr(method_names, "build", never)
    with pytest.raises(InputError, match=words):
        evaluate(truth_of(hours), experiment)


def test_the_reversed_baseline_is_what_the_paper_beat(geos_cf_west: Path) -> None:
    """On the real hours the printed equation 9 doubles the error of the correct interpolation; flow halves it."""
    with xr.open_dataset(geos_cf_west) as dataset:
        truth = as_field(dataset["PM25_RH35_GCC"].load())
    names = ["linear", "linear-eq9", "flow"]
    found = _by_method(evaluate(truth, Experiment("temporal"), names))
    assert found["linear-eq9"]["MAE"] > 1.8 * found["linear"]["MAE"]  # type: ignore[operator]
    assert found["flow"]["MAE"] < 0.7 * found["linear"]["MAE"]  # type: ignore[operator]
    assert found["flow"]["R"] > found["linear"]["R"] > found["linear-eq9"]["R"]  # type: ignore[operator]


@pytest.mark.slow
def test_a_year_streams_through_in_the_memory_of_a_week() -> None:
    def peak(days: int) -> tuple[int, int]:
        """Largest memory held while a simulated record of so many days is scored, bytes, and its samples."""
        day = truth_of(24)

        def drifting(block_info: Any = None) -> np.ndarray:
            number = block_info[None]["chunk-location"][0]
            return np.roll(day.values, number % 7, axis=2) * np.float32(
                1 + 0.01 * (number % 30)
            )

        chunks = ((24,) * days, (REGION.rows,), (REGION.columns,))
        lazy = da.map_blocks(drifting, chunks=chunks, dtype=np.float32)
        times = np.datetime64("2019-01-01T00:30", "ns") + np.arange(24 * days) * HOUR
        truth = field_like(day, lazy, REGION, times)
        tracemalloc.start()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore", DeepcamsNotice
                )  # the last two hours lie behind the last kept frame
                result = evaluate(truth, Experiment("temporal"), ["linear"])
            return tracemalloc.get_traced_memory()[1], _by_method(result)["linear"][
                "samples"
            ]  # type: ignore[return-value]
        finally:
            tracemalloc.stop()

    peak(2)  # what is imported and cached once
    week, samples = peak(7)
    assert samples == 2 * ((24 * 7 - 1) // 3)
    year, samples = peak(365)
    assert samples == 2 * ((24 * 365 - 1) // 3)
    whole = 365 * 24 * REGION.rows * REGION.columns * 4
    assert year < week + 0.05 * whole


def _waves(hours: int, step: int = 1) -> xr.DataArray:
    """A field of smooth waves in time, each node its own; canonical, every ``step`` hours."""
    grid = Grid(0.75, 59, 98, 6, 9)
    times = np.datetime64("2019-01-01", "ns") + np.arange(0, hours, step) * HOUR
    phase = np.random.default_rng(0).uniform(0, 6, grid.shape)
    angle = np.arange(0, hours, step)[:, None, None] * 2 * np.pi / 24 + phase
    return as_field(
        xr.DataArray(
            (20 + 10 * np.sin(angle)).astype(np.float32),
            dims=("time", "latitude", "longitude"),
            coords={
                "time": times,
                "latitude": grid.latitudes,
                "longitude": grid.longitudes,
            },
            name="pm2p5",
            attrs={"units": "ug m-3"},
        )
    )


@pytest.mark.parametrize("task", ["temporal", "joint"])
def test_methods_see_the_frames_around_a_block(task: Task) -> None:
    """Whatever the blocks, and nothing else: a method that uses them scores the same."""
    field = _waves(31)
    names = ["linear", "cubic", *(["bicubic"] if task == "joint" else [])]
    found = [
        evaluate(field, Experiment(task, block=block), names).table.scores
        for block in (3, 12, 30)
    ]
    for method, month in found[0]:
        maes = [each[method, month].pooled.terms["absolute"] for each in found]
        np.testing.assert_allclose(maes, maes[0], rtol=1e-6)
    gappy = field.isel(time=[*range(13), *range(18, 31)])
    apart = [
        evaluate(part, Experiment(task), names).table
        for part in (field.isel(time=slice(13)), field.isel(time=slice(18, 31)))
    ]
    together = evaluate(gappy, Experiment(task), names).table
    for key, scores in (apart[0] + apart[1]).scores.items():
        assert together.scores[key].pooled.terms["absolute"] == pytest.approx(
            scores.pooled.terms["absolute"]
        )


def test_analyses_are_the_truth_of_a_record() -> None:
    """Of a 3-hourly record every second frame is hidden, and made again across 6 hours."""
    field = _waves(49, 3)
    result = evaluate(
        field, Experiment("temporal", keep_every=2), ["linear", "cubic", "flow"]
    )
    scores = {method: each.pooled for (method, _), each in result.table.scores.items()}
    hidden = field.values[1:-1:2].astype(float)
    line = (field.values[:-2:2] + field.values[2::2].astype(float)) / 2
    assert scores["linear"].terms["absolute"] == pytest.approx(
        abs(line - hidden).sum(), rel=1e-5
    )
    assert scores["cubic"].terms["absolute"] < 0.7 * scores["linear"].terms["absolute"]
    assert title(result) == "Temporal: 6 h to 3 h at the fine resolution"
    assert result.figures["linear"]["drift"] == pytest.approx(0, abs=1e-6)
    with pytest.raises(InputError, match="--keep-every 2"):
        evaluate(field, Experiment("temporal"), ["linear"])
    for wrong in ({"keep_every": 1}, {"task": "spatial", "keep_every": 2}):
        with pytest.raises(InputError, match="--keep-every"):
            Experiment(**wrong)
