"""deepcams bench pipeline --breakdown: all of a run is in one stage or another, and every ratio is of one turn."""

from __future__ import annotations

import json
import mmap
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepcams.bench import breakdown as module
from deepcams.bench import inputs
from deepcams.bench.breakdown import Amount, Breakdown, Request, Turn, run_once, total
from deepcams.bench.machine import Machine
from deepcams.bench.stage_costs import Cost, StageCosts
from deepcams.cli import main
from deepcams.core import stages
from deepcams.core.grid import Grid
from deepcams.core.stages import STAGES, listening, stage, staged

MACHINE = Machine(product=80e9, convolution=40e9, copy=10e9)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have small frames, runs in this process, and no measuring of the machine."""
    monkeypatch.setattr(inputs, "COARSE_STEP", 7.5)
    monkeypatch.setattr("deepcams.methods.temporal.flow._FLOW_STEP", 2.5)
    monkeypatch.setattr(module, "run_in_own_process", run_once)
    monkeypatch.setattr(module, "measure_machine", lambda *_: MACHINE)
    monkeypatch.setattr(module, "keep_memory", lambda: None)
    monkeypatch.setattr("deepcams.cli.bench._keep_memory", lambda: None)


def test_json_names_every_stage_of_a_run_and_they_add_up(
    small: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--hours", "4", "--repeats", "1", "--folder", str(tmp_path), "--json"]
    options += ["--temporal", "flow", "--spatial", "bicubic"]
    assert main(["bench", "pipeline", "--breakdown", *options]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert set(found["stages"]) == {"start", *STAGES, "other"}
    assert (found["hours"], found["grid"]) == (4, [73, 144])
    shares = [row["wall_share"] for row in found["stages"].values()]
    assert sum(shares) == pytest.approx(1)
    assert found["stages"]["conserve"]["of_copy"] > 0
    assert found["stages"]["space"]["flop"] is None  # no network
    assert found["usual"] is None  # one item: nothing overlaps
    assert captured.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_text_has_a_line_a_stage(
    small: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--hours", "25", "--repeats", "1", "--folder", str(tmp_path)]
    options += ["--temporal", "linear", "--spatial", "bicubic"]
    assert main(["bench", "pipeline", "--breakdown", *options]) == 0
    out = capsys.readouterr().out
    lines = {line.split()[0] for line in out.splitlines() if line}
    absent = {"motion", "carry"}  # not of linear interpolation
    assert lines >= {"start", *STAGES, "other", "whole", "machine,"} - absent
    assert not lines & absent
    assert "as usual" in out  # two items


def test_a_run_is_all_in_its_stages(small: None, tmp_path: Path) -> None:
    source = tmp_path / "cams.nc"
    inputs.write_input(source, 1)
    out = str(tmp_path / "out.zarr")
    request = Request(str(source), out, 7, "linear", "bicubic", one_by_one=True)
    began = module.time.monotonic()
    costs, size = run_once(request)
    assert total(costs).wall == pytest.approx(module.time.monotonic() - began, abs=0.05)
    assert costs["other"].wall < 0.7 * total(costs).wall
    assert size > 1000
    usual, _ = run_once(replace(request, one_by_one=False))
    assert set(usual) == {"start", "other"}


def test_ratios_are_of_one_turn_and_reported_as_medians() -> None:
    turns = [
        Turn(
            {"space": Cost(wall=4 * slow, processor=2 * slow), "other": Cost(6, 6)},
            {"start": Cost(wall=5.0), "other": Cost(wall=0.0)},
            {"product": 10.0 / slow, "convolution": None, "copy": 4.0},
            bytes=1,
        )
        for slow in (1, 2, 4)
    ]
    found = Breakdown("m", [], 1, (1, 1), {"space": Amount(bytes=8, flop=20)}, turns)
    row = found.stages()["space"]
    assert row["wall"] == 8
    assert row["wall_share"] == pytest.approx(8 / 14)
    assert row["of_product"] == 1  # a slower machine is slower in both
    assert row["of_convolution"] is None
    assert row["of_copy"] == 0.5
    usual = found.usual()
    assert usual is not None
    assert usual["of_one_by_one"] == pytest.approx(5 / 14)


def test_what_is_inside_a_stage_is_not_charged_to_it() -> None:
    costs = StageCosts()
    with listening(costs), costs("whole"), stage("space"):
        # Pages of the system's own: an array might get those that another test left.
        kept = np.frombuffer(mmap.mmap(-1, 32_000_000))
        kept[:] = 1
        with stage("conserve"):
            sum(range(300_000))
        with stage("check"), stage("round"):
            pass
    assert set(costs.costs) == {"whole", "space", "conserve", "check"}
    assert costs.costs["space"].faults > 0
    assert costs.costs["conserve"].processor > costs.costs["check"].processor
    assert costs.costs["space"].peak >= kept.nbytes or not costs.costs["space"].peak


def test_another_threads_stages_belong_to_the_stage_of_the_first() -> None:
    costs = StageCosts()

    def work() -> None:
        with stage("round"):
            pass

    with listening(costs), costs("space"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert set(costs.costs) == {"space"}


def test_nobody_listens_and_nothing_is_made() -> None:
    @staged("round")
    def double(number: int) -> int:
        return 2 * number

    assert stage("read") is stage("write") is stages._NOBODY
    assert double(2) == 4
    with listening(StageCosts()):
        assert stage("read") is not stages._NOBODY
    assert stage("read") is stages._NOBODY


@pytest.mark.parametrize(
    "options",
    [
        ["--hours", "4"],
        ["--as-released"],
        ["--breakdown", "--as-released", "--spatial", "bicubic"],
        ["--breakdown", "--spatial", "bicubik", "--hours", "1"],
        ["--breakdown", "--hours", "0"],
    ],
)
def test_bad_options_are_one_line(
    small: None, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "pipeline", *options]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_flop_of_cellnet_follow_from_its_shapes() -> None:
    pytest.importorskip("torch")
    from deepcams.bench.flop import flop_of
    from deepcams.methods.spatial.conserve import Conserving
    from deepcams.methods.spatial.neural_spatial import NeuralSpatial
    from deepcams.networks.cellnet import CellNet, CellNetOptions

    def method(width: int) -> Any:
        from deepcams.bench.as_released import checkpoint

        network = CellNet(CellNetOptions(width=width, blocks=1))
        return Conserving(NeuralSpatial(checkpoint(network), "cpu"))

    grid = Grid.globe(7.5)
    narrow, wide = (flop_of(method(width), grid) for width in (8, 16))
    halo = 2 * 4
    pixels = (grid.rows + halo) * (grid.columns + halo)
    squares = 2 * 9 * 2 * pixels  # of width squared: two convolutions of one block
    linear = 2 * 9 * (1 + 9) * pixels  # of width: the first and the last one
    assert narrow is not None
    assert wide is not None
    assert wide - narrow == squares * (16**2 - 8**2) + linear * (16 - 8)


def test_as_released_has_twelve_tiles_and_a_pass_for_each_time() -> None:
    pytest.importorskip("torch")
    from deepcams.bench.as_released import as_released
    from deepcams.bench.flop import flop_of
    from deepcams.networks.abpn import ABPNOptions
    from deepcams.networks.xvfi import XVFIOptions

    sizes = ABPNOptions(
        d=2, stages=2, attention="materialised", tile=120, halo=0, start_at_bicubic=True
    )
    chain = as_released(sizes, XVFIOptions(nf=4))
    in_time: Any
    in_space: Any
    in_time, in_space = chain.parts
    globe = Grid.globe(0.75)
    tiles = in_space.tiles(globe)
    assert (len(tiles), tiles.rows.size, tiles.columns.size) == (12, 120, 120)
    assert not in_space.slides(globe)
    small = Grid.globe(7.5)
    passes: list[int] = []
    network = in_time.network
    real = network.interpolate

    def counted(frames: Any, times: list[float], given: Any = None) -> Any:
        passes.append(len(times))
        return real(frames, times, given)

    network.interpolate = counted
    assert flop_of(in_time, small)
    assert passes == [1, 1]
