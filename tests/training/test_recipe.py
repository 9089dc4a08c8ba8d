"""Networks, learning rates and running averages as the experiment says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from deepcams.core.errors import InputError
from deepcams.networks import build
from deepcams.networks.checkpoint import save
from deepcams.networks.scaling import Asinh, LinearClip
from deepcams.training.experiment_file import parse_experiment
from deepcams.training.setup import Length, learning_rate, make_average, make_network

Values = Callable[..., dict[str, Any]]


def rates(
    values: Values, training: dict[str, Any], steps: list[int], hours: int = 40
) -> list[float]:
    given = parse_experiment(
        values("temporal", {"training": {"optimizer": {"lr": 1.0}, **training}})
    ).training
    length = Length.of(given, hours)
    return [learning_rate(given, length, step, 0.0) for step in steps]


def test_learning_rates(values: Values) -> None:
    stairs = {"name": "milestones", "milestones": [2, 3], "gamma": 0.5}
    in_steps = {"steps": 10, "schedule": {**stairs, "unit": "step"}}
    assert rates(values, in_steps, [0, 1, 2, 3, 9]) == [1, 1, 0.5, 0.25, 0.25]
    in_epochs = {
        "steps": 100,
        "schedule": {**stairs, "unit": "epoch"},
    }  # 40 hours in batches of 4: 10 steps an epoch
    assert rates(values, in_epochs, [0, 19, 20, 29, 30]) == [1, 1, 0.5, 0.5, 0.25]
    parts = {
        "steps": 100,
        "schedule": {**stairs, "milestones": [0.5, 0.75], "unit": "fraction"},
    }
    assert rates(values, parts, [49, 50, 74, 75]) == [1, 0.5, 0.5, 0.25]
    cosine = {"steps": 100, "schedule": {"name": "cosine", "floor": 0.1, "warmup": 10}}
    found = rates(values, cosine, [0, 4, 9, 50, 100])
    assert found[:3] == [0.1, 0.5, 1.0]
    assert found[3:] == pytest.approx([0.55, 0.1])
    assert rates(values, {"steps": 9, "schedule": {"name": "constant"}}, [0, 8]) == [
        1,
        1,
    ]


def test_how_long(values: Values) -> None:
    def length(**training: Any) -> Length:
        return Length.of(
            parse_experiment(values("temporal", {"training": training})).training,
            hours=40,
        )

    assert length(steps=None, epochs=2.5).steps == 25
    both = length(steps=30, minutes=2.0)
    assert both.over(30, 0) and both.over(3, 2.0) and not both.over(29, 1.9)  # noqa: PT018
    timed = length(steps=None, minutes=4.0, schedule={"name": "cosine"})
    assert timed.progress(10**6, 1.0) == 0.25
    assert timed.over(1, 4.0)


def test_the_same_seed_gives_the_same_weights(values: Values) -> None:
    torch.manual_seed(99)
    before = torch.get_rng_state()
    first = make_network(parse_experiment(values()))[0].state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    again = make_network(parse_experiment(values()))[0].state_dict()
    other = make_network(
        parse_experiment(values("temporal", {"training": {"seed": 4}}))
    )[0].state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": {"name": "xvfy"}}, "did you mean 'xvfi'"),
        ({"network": {"preset": "papers"}}, "did you mean 'paper'"),
        ({"network": {"options": {"nf": 5, "depht": 1}}}, "'depht'"),
        ({"network": {"scaling": {"name": "asinhh"}}}, "did you mean 'asinh'"),
        ({"network": {"scaling": {"options": {"knee": -1.0}}}}, "knee"),
        (
            {"samples": {"crop": 40}},
            "samples.crop: expected a multiple of 16 for xvfi, found 40; take 48",
        ),
    ],
)
def test_networks_that_do_not_fit(
    values: Values, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message.replace(".", r"\.")):
        make_network(parse_experiment(values("temporal", changes)))


def test_a_network_of_the_other_task(values: Values) -> None:
    with pytest.raises(
        InputError,
        match=r"network\.name: expected a temporal network, found abpn, a spatial one",
    ):
        make_network(
            parse_experiment(values("spatial", {"samples": {"task": "temporal"}}))
        )


def test_starting_from_a_checkpoint(values: Values, tmp_path: Path) -> None:
    options = {"d": 4, "stages": 2}
    known = build("abpn", **options)
    path = save(known, tmp_path / "known", Asinh())

    def start(**network: Any) -> Any:
        return make_network(
            parse_experiment(
                values("spatial", {"network": {"start": str(path), **network}})
            )
        )[0]

    found = start().state_dict()
    assert all(
        torch.equal(found[name], tensor) for name, tensor in known.state_dict().items()
    )
    with pytest.raises(InputError, match=r"network\.start: .*missing"):
        start(options={"stages": 3})
    with pytest.raises(
        InputError,
        match=r"network\.start: .*weights for the scaling LinearClip.*found Asinh",
    ):
        start(scaling={"name": LinearClip.name})
    with pytest.raises(InputError, match="no such file"):
        start(start=str(tmp_path / "none.safetensors"))
    temporal = values("temporal", {"network": {"start": str(path)}})
    with pytest.raises(
        InputError, match=r"network\.start: .*weights of xvfi, found those of abpn"
    ):
        make_network(parse_experiment(temporal))


def test_the_running_average_forgets_the_start() -> None:
    network = build("abpn", d=4, stages=2)
    average = make_average(network, 0.5)
    assert average is not None
    weight, mean = network.last.weight, average.module.last.weight
    wanted = None
    for value, decay in ((1.0, None), (3.0, 2 / 11), (5.0, 3 / 12)):
        with torch.no_grad():
            weight.fill_(value)
        average.update_parameters(network)
        wanted = (
            value
            if wanted is None or decay is None
            else decay * wanted + (1 - decay) * value
        )
        assert float(mean.detach().mean()) == pytest.approx(wanted)
    assert make_average(network, None) is None
