"""The weights that come with the package: what they say of themselves, and that they are worth being the default."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from deepcams.core.errors import DeepcamsNotice
from deepcams.evaluation.experiment import Experiment, evaluate, open_truth
from deepcams.evaluation.experiment_tables import rows
from deepcams.methods.chains import SHIPPED, TRAINING_FREE, best, build
from deepcams.networks.checkpoint import read_card

pytest.importorskip("torch")

FILES = sorted(SHIPPED.glob("*.safetensors"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_is_small_and_says_what_it_saw_and_how_good_it_is(path: Path) -> None:
    card = read_card(path)
    assert path.stem.removesuffix("-large") == card.network
    assert path.stat().st_size < 20e6
    assert (card.stored, card.variable) == ("float16", "pm2p5")
    assert (card.exported is not None) == (card.network in ("cellnet", "spacetime"))
    told = card.provenance
    real = next(part for part in told["split"]["train"] if part["store"] == "real.zarr")
    assert all(
        "180.75..284.25 E" in region for region in real["regions"]
    )  # nothing east of 75W
    for scores in told["unseen"]["scores"].values():
        assert path.stem in scores
        assert len(scores) >= 3  # beside what it must beat
        assert all(score["MAE"] > 0 for score in scores.values())


def test_all_networks_are_there() -> None:
    names = ["abpn", "cellnet-large", "cellnet", "flow-refine", "spacetime", "xvfi"]
    assert [path.stem for path in FILES] == names


def test_best_is_a_shipped_network_and_with_nothing_to_run_it_a_training_free_method(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DEEPCAMS_MODELS", raising=False)
    assert (best("temporal"), best("spatial")) == ("self-checked", "cellnet")
    assert [part.name for part in build().parts] == [
        "cellnet (conserving)",
        "self-checked",
    ]
    find_spec = importlib.util.find_spec
    runners = ["openvino", "onnxruntime", "torch"]
    without: Any = lambda name: None if name in runners else find_spec(name)  # noqa: E731
    for module in ("chains", "engines"):
        monkeypatch.setattr(
            sys.modules[f"deepcams.methods.{module}"], "find_spec", without
        )
    with pytest.warns(
        DeepcamsNotice,
        match=r"without ONNX Runtime or PyTorch the method in space is log-bicubic .* cellnet",
    ):
        assert best("spatial") == "log-bicubic"
    with pytest.warns(DeepcamsNotice):
        names = [part.name for part in build().parts]
    assert best("temporal") == TRAINING_FREE["temporal"]
    assert names == ["log-bicubic (conserving)", "self-checked"]
    runners.remove("torch")
    assert best("spatial") == "cellnet"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "resolution", "methods", "least"),
    [
        ("spatial", "fine", ("log-bicubic+conserve", "cellnet+conserve"), 0.94),
        ("temporal", "coarse", ("flow", "flow-refine"), 0.94),
        ("temporal", "fine", ("flow", "flow-refine"), 0.97),
        (
            "joint",
            "fine",
            ("log-bicubic+conserve-then-flow", "cellnet+conserve-then-flow"),
            0.92,
        ),
    ],
)
def test_on_real_hours_never_seen_they_beat_the_training_free_methods(
    geos_cf_west: Path,
    task: Any,
    resolution: Any,
    methods: tuple[str, str],
    least: float,
) -> None:
    truth = open_truth([geos_cf_west])
    experiment = Experiment(task, resolution=resolution, bbox=(-75, -90, -0.5, 90))
    found = evaluate(truth, experiment, methods)
    free, network = (
        next(r for r in rows(found) if r["method"] == m and r["period"] == "all")
        for m in methods
    )
    assert network["MAE"] <= least * free["MAE"]
    assert network["RMSE"] <= free["RMSE"]
    assert network["MAE_p99"] <= free["MAE_p99"]
