"""An experiment is read strictly, and refused in one line that names the place."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from deepcams.core.errors import InputError
from deepcams.training.experiment_file import (
    parse_experiment,
    read_experiment,
    read_values,
)

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture
def file(tmp_path: Path, values: Callable[..., dict[str, Any]]) -> Path:
    path = tmp_path / "e.yaml"
    path.write_text(yaml.safe_dump(values()))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "training.optimizer.lr=x",
            "training.optimizer.lr: expected a number, found 'x'",
        ),
        (
            "training.optimizer.lr=-1",
            "training.optimizer.lr: expected a number above 0, found -1",
        ),
        (
            "training.optimizer.lr=.inf",
            "training.optimizer.lr: expected a finite number, found inf",
        ),
        (
            "training.optimizer.lr='1e-4'",
            "training.optimizer.lr: expected a number, found '1e-4'",
        ),
        ("training.optimzer.lr=1", "did you mean 'optimizer'?"),
        ("trainin.steps=1", "did you mean 'training'?"),
        ("training.steps=1.5", "training.steps: expected a whole number, found 1.5"),
        (
            "training.steps=true",
            "training.steps: expected a whole number, found True",
        ),
        (
            "training.steps=0",
            "training.steps: expected a number of at least 1, found 0",
        ),
        ("training.ema=1.0", "training.ema: expected a number below 1, found 1.0"),
        (
            "training.precision=float16",
            "training.precision: expected 'float32' or 'bfloat16', found 'float16'",
        ),
        (
            "training.optimizer.betas=[1, 2]",
            "training.optimizer.betas.0: expected a number below 1, found 1",
        ),
        (
            "training.steps=null",
            "training: expected steps, epochs or minutes, found none of them",
        ),
        (
            "training.schedule.milestones=[1]",
            "training.schedule.milestones: expected some for milestones",
        ),
        ("data.stores=[]", "data.stores: expected a list of at least 1, found []"),
        (
            "data.stores.0.weight=-1",
            "data.stores.0.weight: expected a number of at least 0, found -1",
        ),
        (
            "data.stores.0.magnitude=[0, 1]",
            "data.stores.0.magnitude.0: expected a number above 0, found 0",
        ),
        (
            "data.stores.0.magnitude=[3, 1]",
            "data.stores.0.magnitude: expected [LOWEST, HIGHEST], found [3.0, 1.0]",
        ),
        (
            "data.stores.0.weight=0",
            "data.stores: expected a store with a weight above 0, found none",
        ),
        (
            "data.stores.0.validation_weight=0",
            "data.stores: expected a store with a validation_weight above 0",
        ),
        (
            "split.train.regions=[[0, 10, 20]]",
            "split.train.regions.0: expected a box [W, S, E, N] in degrees",
        ),
        (
            "split.train.regions=[[0, 20, 20, 10]]",
            "split.train.regions.0: expected a box [W, S, E, N] in degrees",
        ),
        (
            "split.train.periods=[soon]",
            "split.train.periods.0: expected a period (2019, 2019-03",
        ),
        (
            "split.train.periods=2019",
            "split.train.periods: expected a list, found 2019",
        ),
        (
            "samples.task=both",
            "samples.task: expected 'temporal', 'spatial' or 'joint', found 'both'",
        ),
        (
            "samples.span.longest=99",
            "samples.span.longest: expected a number of at most 24, found 99",
        ),
        (
            "samples.span.longest=2",
            "samples.span.longest: expected at least shortest (3), found 2",
        ),
        (
            "validation.margin=8",
            "validation.margin: expected less than half of the crop (16), found 8",
        ),
        ("version=2", "version: expected 1, found 2"),
        ("version=null", "version: expected 1, found None"),
        (
            "output.name=../x",
            "output.name: expected a name of letters, digits, - _ and ., found '../x'",
        ),
        ("data=3", "data: expected keys and values, found 3"),
    ],
)
def test_what_is_wrong_is_one_line_with_its_path(
    file: Path, change: str, message: str
) -> None:
    with pytest.raises(InputError) as caught:
        read_experiment(file, [change])
    text = str(caught.value)
    assert text.startswith(f"{file}: ")
    assert message in text
    assert "\n" not in text


def test_a_missing_key_is_named(values: Callable[..., dict[str, Any]]) -> None:
    given = values()
    del given["samples"]["crop"]
    with pytest.raises(
        InputError, match=r"samples\.crop: expected a value, found nothing"
    ):
        parse_experiment(given)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "e.yaml"
    with pytest.raises(InputError, match="no such file"):
        read_experiment(path)
    for content, message in (
        ("a: [1", "line"),
        ("- 1", "keys and values"),
        ("version: 1\nversion: 1", "line 2: the key 'version' stands twice"),
    ):
        path.write_text(content)
        with pytest.raises(InputError, match=message):
            read_experiment(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="an experiment"):
        read_experiment(path)


def test_numbers_and_dates_as_people_write_them(
    tmp_path: Path, values: Callable[..., dict[str, Any]]
) -> None:
    path = tmp_path / "e.yaml"
    text = yaml.safe_dump(
        values("temporal", {"split": {"train": {"periods": ["P1", 2018]}}})
    )
    path.write_text(text.replace("P1", "2019-12-01").replace("lr: 0.001", "lr: 1e-3"))
    experiment = read_experiment(path)
    assert experiment.training.optimizer.lr == 1e-3
    assert experiment.split.train.periods == ("2019-12-01", "2018")


def test_changes_go_before_the_file(file: Path) -> None:
    changes = [
        "training.steps=7",
        "data.stores.0.path=b.zarr",
        "validation.baselines=[linear]",
        "training.clip=1.5",
    ]
    experiment = read_experiment(file, changes)
    assert experiment.training.steps == 7
    assert experiment.data.stores[0].path == "b.zarr"
    assert experiment.baselines == ("linear",)
    assert experiment.training.clip == 1.5
    for bad, message in (
        ("training.steps", "KEY"),
        ("data.stores.5.path=x", "0 to 0"),
        ("version.x=1", "keys and values"),
    ):
        with pytest.raises(
            InputError, match=rf"--set.*{message}" if message != "KEY" else "--set"
        ):
            read_experiment(file, [bad])


def test_paths_are_expanded(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("STORES", "/data/stores")
    for written, path in (
        ("~/a.zarr", "/home/me/a.zarr"),
        ("$HOME/a.zarr", "/home/me/a.zarr"),
        ("${STORES}/a.zarr", "/data/stores/a.zarr"),
        ("a~b/$UNKNOWN.zarr", "a~b/$UNKNOWN.zarr"),
    ):
        assert (
            read_experiment(file, [f"data.stores.0.path={written}"]).data.stores[0].path
            == path
        )
    start = read_experiment(file, ["network.start=~/w.safetensors"]).network.start
    assert start == "/home/me/w.safetensors"


EAST, WEST = [0, -90, 180, 90], [-180, -90, 0, 90]


@pytest.mark.parametrize(
    ("train", "validation", "overlap"),
    [
        ({}, {}, True),
        ({"periods": ["2018..2019"]}, {"periods": ["2020"]}, False),
        ({"periods": ["2018..2019"]}, {"periods": ["2019-12-31T23"]}, True),
        ({"periods": ["2018..2019"]}, {}, True),
        ({"regions": [EAST]}, {"regions": [WEST]}, False),
        ({"regions": [EAST]}, {"regions": [[170, 0, -170, 10]]}, True),
        (
            {"regions": [EAST]},
            {"regions": [[170, 0, -170, 10]], "periods": ["2020"]},
            True,
        ),
        (
            {"regions": [EAST], "periods": ["2019"]},
            {"regions": [[170, 0, -170, 10]], "periods": ["2020"]},
            False,
        ),
        (
            {"regions": [EAST], "periods": ["2019"]},
            {"regions": [WEST], "periods": ["2019"]},
            False,
        ),
        ({"regions": [EAST]}, {"regions": [[0, -90, 360, 90]]}, True),
    ],
)
def test_train_and_validation_share_no_hour_of_a_place(
    values: Callable[..., dict[str, Any]],
    train: dict[str, Any],
    validation: dict[str, Any],
    overlap: bool,
) -> None:
    given = {**values(), "split": {"train": train, "validation": validation}}
    if not overlap:
        parse_experiment(given)
        return
    with pytest.raises(
        InputError,
        match="split: expected train and validation that share no hour of a place",
    ):
        parse_experiment(given)


def test_a_store_may_have_its_own_split(values: Callable[..., dict[str, Any]]) -> None:
    own = {"train": {}, "validation": {}}
    given = values(
        "temporal", {"data": {"stores": [{"path": "a"}, {"path": "b", "split": own}]}}
    )
    with pytest.raises(
        InputError,
        match=r"data\.stores\.1\.split: expected train and validation that share",
    ):
        parse_experiment(given)
    given["data"]["stores"][1]["validation_weight"] = 0  # nothing of it is validated on
    parse_experiment(given)


@pytest.mark.parametrize(
    "path",
    sorted(
        p
        for p in CONFIGS.glob("*.yaml")
        if not re.fullmatch("paper(-simulated)?", p.stem)
    ),  # those are of `run`
    ids=lambda path: path.name,
)
def test_shipped_experiments_are_valid(path: Path) -> None:
    from deepcams.training.setup import make_network

    experiment = read_experiment(path)
    # the weights that a second training starts from are those of a first one, which is not run here
    first = experiment.network.model_copy(update={"start": None})
    network, _ = make_network(experiment.model_copy(update={"network": first}))
    assert network.kind == experiment.samples.task
    assert experiment.output.card


def _with(file: Path, text: str) -> Path:
    file.write_text(file.read_text() + text)
    return file


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("0100", 100),
        ("100", 100),
        ("1_000", 1000),
        ("0x10", 16),
        ("1e-4", 1e-4),
        ("2.5", 2.5),
        ("-.5", -0.5),
        (".inf", float("inf")),
        ("12:30", "12:30"),
        ("1:30.5", "1:30.5"),
        ("2019-12-01", "2019-12-01"),
        ("0o10", "0o10"),
        ("yes", True),
        ("1.2.3", "1.2.3"),
        ("<<", "<<"),
    ],
)
def test_numbers_are_what_they_look_like(
    written: str, value: object, tmp_path: Path
) -> None:
    path = tmp_path / "v.yaml"
    path.write_text(f"a: [{written}]" if written != "<<" else 'a: ["<<"]')
    assert read_values(path) == {"a": [value]}


def test_merge_keys_give_what_a_mapping_does_not_say_itself(tmp_path: Path) -> None:
    path = tmp_path / "v.yaml"
    path.write_text(
        "x: [&s {a: 1, b: 2}, &t {<<: *s, a: 3}, {<<: *t, b: 4}, {<<: [*t, *s], c: 5}]\n"
    )
    both = [
        {"a": 1, "b": 2},
        {"a": 3, "b": 2},
        {"a": 3, "b": 4},
        {"a": 3, "b": 2, "c": 5},
    ]
    assert read_values(path) == {"x": both}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("yes: 2\n", "'yes', which YAML reads as bool"),
        ("1: 2\n", "'1', which YAML reads as int"),
        ("? [a, b]\n: 1\n", "a list or a mapping"),
        ("a: {{ store }}\n", "template"),
        ("a: 1\na: 2\n", "'a' stands twice"),
        ("<<: 3\n", "expected a mapping"),
        ("a: " + "[" * 1500, "nested too deeply"),
        ("a: " + "9" * 5000, "at most 24 digits"),
        ("a: !!int x\n", "a whole number"),
        ("a: !!float x\n", "a number"),
        ("a: \0\n", "unacceptable character"),
    ],
)
def test_what_no_experiment_has_is_one_line(text: str, words: str, file: Path) -> None:
    with pytest.raises(InputError, match=re.escape(words)) as caught:
        read_experiment(_with(file, text))
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_number_beyond_all_floats_is_refused_by_its_place(file: Path) -> None:
    with pytest.raises(InputError, match=r"training\.optimizer\.lr"):
        read_experiment(file, ["training.optimizer.lr=1e999"])
