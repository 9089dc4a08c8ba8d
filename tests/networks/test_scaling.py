from __future__ import annotations

import dataclasses

import pytest

torch = pytest.importorskip("torch")

from deepcams.core.errors import InputError  # noqa: E402
from deepcams.networks.scaling import SCALINGS, LinearClip, make_scaling  # noqa: E402

VALUES = [-3.0, -1e-6, 0.0, 1e-12, 1e-6, 0.1, 1.0, 35.0, 799.0, 800.0, 3657.0, 40000.0]


@pytest.mark.parametrize("name", SCALINGS.names())
def test_inverse_is_exact(name: str) -> None:
    scaling = make_scaling(name)
    values = torch.tensor(
        [
            v
            for v in VALUES
            if scaling.clip_above is None or 0 <= v <= scaling.clip_above
        ]
    )
    back = scaling.inverse(scaling.forward(values))
    torch.testing.assert_close(back, values, rtol=2e-6, atol=1e-13)


@pytest.mark.parametrize("name", SCALINGS.names())
def test_is_increasing(name: str) -> None:
    scaling = make_scaling(name)
    values = torch.tensor(
        [
            v
            for v in VALUES
            if scaling.clip_above is None or 0 <= v <= scaling.clip_above
        ]
    )
    assert (scaling.forward(values).diff() > 0).all()


@pytest.mark.parametrize("name", SCALINGS.names())
def test_survives_its_options(name: str) -> None:
    scaling = make_scaling(name)
    assert make_scaling(scaling.name, dataclasses.asdict(scaling)) == scaling


def test_linear_clip_is_the_release_s() -> None:
    scaled = LinearClip().forward(torch.tensor([-1.0, 0.0, 400.0, 800.0, 3657.0]))
    assert scaled.tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]
    assert LinearClip().clip_above == 800


def test_only_scaling_knows_800() -> None:
    from pathlib import Path

    import deepcams

    package = Path(deepcams.__file__).parent
    files = [
        *package.glob("networks/*.py"),
        *package.glob("downscalers/*.py"),
        *package.glob("training/*.py"),
    ]
    knowing = {
        f.name
        for f in files
        if any("800" in line.partition("#")[0] for line in f.read_text().splitlines())
    }
    assert knowing <= {"scaling.py", "published.py"}
    assert "scaling.py" in knowing


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("asinhh", {}, "did you mean 'asinh'"),
        ("asinh", {"limit": 3.0}, "expected the options knee, norm, found 'limit'"),
        ("asinh", {"knee": 0}, "knee: expected a positive number, found 0"),
        (
            "linear-clip",
            {"limit": float("inf")},
            "expected a positive number, found inf",
        ),
        ("log", {"norm": "10"}, "expected a positive number, found '10'"),
        ("log", {"norm": True}, "expected a positive number, found True"),
    ],
)
def test_refuses(name: str, options: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        make_scaling(name, options)
