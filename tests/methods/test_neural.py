"""Networks in the chain: no seam round the globe, frames kept, memory, and refusals."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepcams.core.errors import DeepcamsError, DeepcamsNotice, InputError
from deepcams.core.field import grid_of
from deepcams.core.grid import Grid
from deepcams.core.values import load_values
from deepcams.methods import build
from deepcams.methods.base import ANALYSIS, hour_status
from deepcams.methods.interval import Interval
from methods.conftest import random_field

torch = pytest.importorskip("torch")

GLOBE = Grid.globe(3.0)


def spatial(path: Path) -> Any:
    return build("none", str(path), conserve=False).parts[0]


def rolled(field: Any, k: int) -> Any:
    return field.copy(data=np.roll(field.values, k, axis=-1))


def test_hours_lie_between_and_frames_are_kept_to_the_bit(
    checkpoints: dict[str, Path],
) -> None:
    field = random_field(GLOBE, 3)
    hourly = build(str(checkpoints["xvfi"]), "none").downscale(field)
    status = hour_status(field.time.values, hourly.time.values)
    np.testing.assert_array_equal(hourly.values[status == ANALYSIS], field.values)
    assert hourly.shape == (7, *GLOBE.shape)
    assert np.isfinite(hourly.values).all()
    assert (hourly.values >= 0).all()
    assert not np.array_equal(hourly.values[1], hourly.values[2])


def test_xvfi_has_no_seam(checkpoints: dict[str, Path]) -> None:
    """Rolling the input by a multiple of the size rule rolls the output: nothing depends on where the frame is cut.

    As on CAMS's 480 columns, the circle is a multiple of the size rule; else the network's own strides see a change.
    """
    field = random_field(Grid.globe(180 / 64))
    method = build(str(checkpoints["xvfi"]), "none").parts[0]
    k = method.network.size_rule.multiple
    plain, moved = (
        method.downscale(field).values[1],
        method.downscale(rolled(field, k)).values[1],
    )
    np.testing.assert_allclose(
        np.roll(plain, k, axis=-1), moved, rtol=0, atol=1e-3 * abs(plain).max()
    )


@pytest.mark.parametrize("k", [1, 7, 60])
def test_abpn_has_no_seam_whatever_the_shift(
    checkpoints: dict[str, Path], k: int
) -> None:
    field, method = random_field(GLOBE, 1), spatial(checkpoints["abpn"])
    assert method.slides(GLOBE)
    plain, moved = (
        method.downscale(field).values,
        method.downscale(rolled(field, k)).values,
    )
    np.testing.assert_allclose(
        np.roll(plain, 3 * k, axis=-1), moved, rtol=1e-4, atol=1e-5 * abs(plain).max()
    )


def test_a_region_smaller_than_a_tile_is_one_tile(checkpoints: dict[str, Path]) -> None:
    region = Grid(0.75, 60, 20, 9, 11)
    method = spatial(checkpoints["abpn"])
    assert not method.slides(region)
    fine = method.downscale(random_field(region, 1))
    assert grid_of(fine) == region.refine()
    assert np.isfinite(fine.values).all()


def test_a_region_smaller_than_the_size_rule_is_padded(
    checkpoints: dict[str, Path],
) -> None:
    region = Grid(0.75, 60, 20, 5, 7)
    hourly = build(str(checkpoints["xvfi"]), str(checkpoints["abpn"])).downscale(
        random_field(region)
    )
    assert hourly.shape == (4, 15, 21)
    assert np.isfinite(hourly.values).all()


def test_conserve_works_after_a_network(checkpoints: dict[str, Path]) -> None:
    from deepcams.methods.spatial.coarsen import area_mean

    field = random_field(GLOBE, 1)
    fine = build("none", str(checkpoints["abpn"])).downscale(field).values
    np.testing.assert_allclose(area_mean(fine, GLOBE), field.values, rtol=1e-5)


def test_missing_cells_stay_missing(checkpoints: dict[str, Path]) -> None:
    field = random_field(GLOBE)
    field.values[0, 20, 30] = np.nan
    fine = (
        build(str(checkpoints["xvfi"]), str(checkpoints["abpn"]))
        .downscale(field)
        .values
    )
    row, column = slice(59, 62), slice(89, 92)
    assert np.isnan(fine[:3, row, column]).all()
    assert np.isnan(fine).sum() == 3 * 9


def out_of_memory_above(
    limit: int, method: Any, monkeypatch: pytest.MonkeyPatch
) -> list[int]:
    """Make the network run out of memory for frames of more than ``limit`` pixels; returns the sizes that passed."""
    passed: list[int] = []

    def guarded(function: Any) -> Any:
        def call(frame: Any, *rest: Any) -> Any:
            if frame.shape[-1] * frame.shape[-2] > limit:
                raise torch.OutOfMemoryError("CUDA out of memory")
            passed.append(frame.shape[-1])
            return function(frame, *rest)

        return call

    monkeypatch.setattr(method.network, "refine", guarded(method.network.refine))
    monkeypatch.setattr(
        method.network, "refine_sliding", guarded(method.network.refine_sliding)
    )
    return passed


def test_out_of_memory_falls_to_tiles_and_says_so(
    checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    field, method = random_field(GLOBE, 2), spatial(checkpoints["abpn"])
    passed = out_of_memory_above(32 * 32, method, monkeypatch)
    with pytest.warns(DeepcamsNotice, match="continuing in tiles") as notices:
        fine = method.downscale(field)
    assert len(notices) == 1  # the second frame does not fail again
    assert set(passed) == {32}
    assert np.isfinite(fine.values).all()


def test_too_little_memory_for_any_tile_is_one_sentence(
    checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    method = spatial(checkpoints["abpn"])
    out_of_memory_above(10, method, monkeypatch)
    with (
        pytest.warns(DeepcamsNotice),
        pytest.raises(DeepcamsError, match="out of memory even with tiles of"),
    ):
        method.downscale(random_field(GLOBE, 1))


def test_temporal_falls_to_one_hour_at_a_time(
    checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    method = build(str(checkpoints["xvfi"]), "none").parts[0]
    field = random_field(GLOBE)
    expected = method.downscale(field).values
    interpolate = method.network.interpolate

    def one_only(frames: Any, t: Any, estimate: Any) -> Any:
        if len(t) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return interpolate(frames, t, estimate)

    monkeypatch.setattr(method.network, "interpolate", one_only)
    with pytest.warns(
        DeepcamsNotice, match="inner hours at once: 2: continuing with 1"
    ):
        found = method.downscale(field).values
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_a_clipping_scaling_is_known_to_the_chain(checkpoints: dict[str, Path]) -> None:
    assert build(str(checkpoints["xvfi"]), str(checkpoints["abpn"])).clip_above == 800
    assert build("flow", str(checkpoints["abpn"])).clip_above is None


def test_bfloat16_is_near_float32(checkpoints: dict[str, Path]) -> None:
    field = random_field(Grid(0.75, 60, 20, 30, 30), 1)
    exact, rough = (
        build("none", str(checkpoints["abpn"]), conserve=False, precision=p)
        .downscale(field)
        .values
        for p in ("float32", "bfloat16")
    )
    assert not np.array_equal(exact, rough)
    assert np.mean(abs(rough - exact)) < 0.05 * np.mean(exact)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            {"temporal": "abpn"},
            "expected a temporal network, found a spatial one .abpn.; use --spatial",
        ),
        (
            {"spatial": "xvfi"},
            "expected a spatial network, found a temporal one .xvfi.; use --temporal",
        ),
        (
            {"spatial": "pm10", "variable": "pm2p5"},
            "expected weights trained on pm2p5, found weights trained on pm10",
        ),
        ({"spatial": "x2"}, "expected a network of factor 3, found factor 2"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(
    checkpoints: dict[str, Path], arguments: dict[str, str], says: str
) -> None:
    named = {
        k: str(checkpoints[v]) if k in ("temporal", "spatial") else v
        for k, v in arguments.items()
    }
    with pytest.raises(InputError, match=says):
        build(**named)


def test_a_name_stands_for_the_weights_in_the_models_folder(
    checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPCAMS_MODELS", str(checkpoints["folder"]))
    assert build("xvfi", "abpn").name == "abpn (conserving) + xvfi"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            {"temporal": "xvfi"},
            "expected its weights in the folder .*, found none; .*models import",
        ),
        ({"temporal": "xvif"}, "did you mean 'xvfi'"),
        ({"spatial": "nowhere.safetensors"}, "nowhere.safetensors: .*no such file"),
        ({"order": "space"}, "--order"),
    ],
)
def test_names_that_lead_nowhere(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: dict[str, Any],
    says: str,
) -> None:
    monkeypatch.setenv("DEEPCAMS_MODELS", str(tmp_path))
    monkeypatch.setattr(sys.modules["deepcams.methods.chains"], "SHIPPED", tmp_path)
    with pytest.raises(InputError, match=says):
        build(**arguments)


def test_weights_that_give_no_numbers_are_refused(checkpoints: dict[str, Path]) -> None:
    for path, settings in (
        ("xvfi", (str(checkpoints["xvfi"]), "none")),
        ("abpn", ("none", str(checkpoints["abpn"]))),
    ):
        chain = build(*settings, conserve=False)
        with torch.no_grad():
            next(chain.parts[0].network.parameters()).fill_(torch.nan)
        with pytest.raises(
            DeepcamsError, match=f"{path}: the network gives values that are not finite"
        ):
            chain.downscale(random_field(Grid(0.75, 60, 20, 9, 11)))


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"precision": "float16"}, "--precision: expected one of bfloat16, float32"),
        ({"device": "tpu"}, "--device: expected one of auto, cpu, cuda"),
    ],
)
def test_device_and_precision_are_checked_at_once(
    checkpoints: dict[str, Path], how: dict[str, str], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        build("none", str(checkpoints["abpn"]), **how)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_cuda_where_there_is_none(checkpoints: dict[str, Path]) -> None:
    with pytest.raises(
        InputError,
        match="--device: expected a CUDA device that PyTorch can use, found none",
    ):
        build("none", str(checkpoints["abpn"]), device="cuda")


@pytest.mark.slow
def test_no_seam_on_the_real_frames(
    checkpoints: dict[str, Path], cams_dir: Path
) -> None:
    """Nor a step at longitude 0 or 180: the jump there is like that at other coarse columns."""
    from deepcams import open_cams

    field = open_cams(cams_dir / "cams_eac4_20191231_new_layout.nc").isel(
        time=slice(0, 2)
    )
    field = field.copy(data=load_values(field)[0])
    chain = build(
        str(checkpoints["xvfi"]),
        str(checkpoints["abpn"]),
        conserve=False,
        order="temporal-first",
    )
    in_time, in_space = chain.parts
    grid = grid_of(field)

    def one_hour(frames: np.ndarray) -> np.ndarray:
        interval = Interval.on_grid(*frames, grid)
        return in_space.refine(in_time.between(interval, [1 / 3]), grid)[0]

    plain = one_hour(field.values)
    moved = one_hour(rolled(field, 32).values)
    # random weights make steps of single pixels, which rounding moves (how many depends on the processor's kernels)
    apart = abs(np.roll(plain, 96, axis=-1) - moved) > 1e-3 * abs(plain).max()
    assert apart.mean() < 0.02
    assert (
        abs(apart.mean(axis=0) - apart.mean()).max() < 0.2
    )  # and they gather at no column
    jumps = abs(
        np.diff(np.log(plain + 1), axis=-1, append=np.log(plain[:, :1] + 1))
    ).mean(axis=0)
    for column in (
        1439,
        719,
    ):  # the step from there to the next: across 0 and 180 degrees
        assert jumps[column] < np.percentile(jumps, 99.9)


def test_flow_refine_in_bands_is_the_whole_frame(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    method = build("flow-refine", "none").parts[0]
    field = random_field(Grid.globe(1.5))
    monkeypatch.setattr("deepcams.methods.temporal.flow._FLOW_STEP", 1.5)
    banded = method.downscale(field).values
    monkeypatch.setattr("deepcams.methods.temporal.neural_temporal._BAND", 10_000)
    np.testing.assert_allclose(
        banded, method.downscale(field).values, rtol=2e-5, atol=1e-5
    )


def test_flow_refine_has_no_seam() -> None:
    """Rolling by a multiple of the size rule: flow sees the same motion, the network the same pixels."""
    field = random_field(Grid.globe(180 / 64))
    method = build("flow-refine", "none").parts[0]
    k = method.network.size_rule.multiple
    plain, moved = (
        method.downscale(field).values[1],
        method.downscale(rolled(field, k)).values[1],
    )
    flow = build("flow", "none").parts[0]
    of_flow = (
        np.roll(flow.downscale(field).values[1], k, axis=-1)
        - flow.downscale(rolled(field, k)).values[1]
    )
    assert (
        abs(np.roll(plain, k, axis=-1) - moved).mean() <= 2 * abs(of_flow).mean() + 1e-3
    )
