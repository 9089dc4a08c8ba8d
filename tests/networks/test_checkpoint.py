from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
from safetensors.torch import save_file  # noqa: E402

from deepcams.core.errors import InputError, OutputError  # noqa: E402
from deepcams.networks import build  # noqa: E402
from deepcams.networks.abpn import ABPN  # noqa: E402
from deepcams.networks.base import Network  # noqa: E402
from deepcams.networks.checkpoint import KEY, VERSION, find, load, read_card, save  # noqa: E402
from deepcams.networks.scaling import Asinh, LinearClip  # noqa: E402

PROVENANCE = {"training_data": "two simulated weeks", "figures": {"MAE": 0.4}}


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    return build("abpn", d=4, stages=3).eval()


@pytest.fixture
def path(network: Network, tmp_path: Path) -> Path:
    return save(
        network, tmp_path / "a.safetensors", Asinh(knee=3.0), provenance=PROVENANCE
    )


def _edit(path: Path, **changes: object) -> Path:
    """The same file with entries of its card changed (None: dropped)."""
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    card = {**json.loads(header["__metadata__"][KEY]), **changes}
    header["__metadata__"][KEY] = json.dumps(
        {name: value for name, value in card.items() if value is not None}
    )
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + size :])
    return path


def test_comes_back_whole(network: Network, path: Path) -> None:
    checkpoint = load(path)
    frame = torch.rand(1, 1, 6, 7)
    with torch.no_grad():
        assert torch.equal(checkpoint.network(frame), network(frame))
    assert not checkpoint.network.training
    assert checkpoint.network.options == network.options
    assert checkpoint.scaling == Asinh(knee=3.0)
    assert checkpoint.card == read_card(path)
    assert checkpoint.card.provenance == PROVENANCE
    assert (checkpoint.card.kind, checkpoint.card.factor, checkpoint.card.variable) == (
        "spatial",
        3,
        "pm2p5",
    )
    assert checkpoint.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_same_content_same_file(network: Network, path: Path, tmp_path: Path) -> None:
    again = save(network, tmp_path / "b", Asinh(knee=3.0), provenance=PROVENANCE)
    assert again.name == "b.safetensors"
    assert load(again).sha256 == load(path).sha256


def test_temporal_has_no_factor(tmp_path: Path) -> None:
    card = load(save(build("xvfi", nf=4), tmp_path / "t", LinearClip())).card
    assert (card.kind, card.factor, card.scaling_options) == (
        "temporal",
        None,
        {"limit": 800.0},
    )


def test_float16_halves_the_weights(network: Network, tmp_path: Path) -> None:
    small = save(network, tmp_path / "half", Asinh(), stored="float16")
    (header,) = struct.unpack("<Q", small.read_bytes()[:8])
    assert small.stat().st_size - 8 - header == 2 * network.parameter_count
    for name, weights in load(small).network.state_dict().items():
        assert weights.dtype == torch.float32
        torch.testing.assert_close(
            weights, network.state_dict()[name], rtol=5e-4, atol=1e-7
        )


def test_what_cannot_be_saved_says_so(network: Network, tmp_path: Path) -> None:
    weights = next(network.parameters()).detach().flatten()
    with pytest.raises(InputError, match="float32 or float16, found 'int8'"):
        save(network, tmp_path / "x", Asinh(), stored="int8")
    with pytest.raises(InputError, match="provenance: expected JSON values"):
        save(network, tmp_path / "new" / "x", Asinh(), provenance={"when": object()})
    weights[0] = 1e6
    with pytest.raises(
        InputError,
        match="finite numbers in float16, found nan or infinity; store it in float32",
    ):
        save(network, tmp_path / "x", Asinh(), stored="float16")
    weights[0] = float("nan")
    with pytest.raises(InputError, match="go back to an earlier state"):
        save(network, tmp_path / "x", Asinh())
    assert not list(tmp_path.iterdir())


def test_a_failing_write_leaves_the_old_file(
    network: Network, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="cannot be written: No space left on device"):
        save(network, path, LinearClip())
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_folder_that_is_a_file(network: Network, path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        save(network, path / "below", Asinh())


@pytest.mark.parametrize("keep", [0, 5, 8, 100, 0.3, 0.9, -1])
def test_truncated(path: Path, keep: float) -> None:
    content = path.read_bytes()
    path.write_bytes(
        content[: int(keep * len(content)) if isinstance(keep, float) else keep]
    )
    with pytest.raises(
        InputError, match=r"deepcams checkpoint.*found a (truncated|damaged|file of)"
    ) as error:
        load(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_flipped_bit_in_the_weights(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        InputError,
        match="checksum in its card, found other weights; copy the file again",
    ):
        load(path)


def test_another_name_matters_not(path: Path) -> None:
    assert isinstance(load(path.rename(path.with_name("renamed.bin"))).network, ABPN)


class _Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch exploded",)


def test_a_pickle_under_the_name_of_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil.safetensors"
    path.write_bytes(pickle.dumps(_Bomb()))
    with pytest.raises(
        InputError,
        match="found a pickle; published weight files are read by `deepcams models import`",
    ):
        load(path)
    torch.save({"a": torch.ones(3)}, path)
    with pytest.raises(InputError, match="found a zip or PyTorch file; published"):
        load(path)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "a netCDF-4 file"),
        (b"CDF\x01\x00\x00\x00\x03" + bytes(99), "a netCDF-3 file"),
        (b"not a checkpoint at all", "a file of another format"),
        (struct.pack("<Q", 4) + b"[1]\n", "a header of another form"),
        (struct.pack("<Q", 4) + b"{{{{", "a file of another format"),
    ],
)
def test_other_formats(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(InputError, match=said):
        load(tmp_path / "x")


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found no such file"):
        load(tmp_path / "absent")
    with pytest.raises(InputError, match="found Is a directory"):
        load(tmp_path)


def test_safetensors_of_another_program(tmp_path: Path) -> None:
    save_file({"a": torch.ones(3)}, tmp_path / "x", metadata={"format": "pt"})
    with pytest.raises(InputError, match="safetensors file of another program"):
        load(tmp_path / "x")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"version": VERSION + 1},
            f"format {VERSION} or earlier, found format {VERSION + 1}; install a newer deepcams",
        ),
        ({"version": None}, "JSON with a version"),
        (
            {"network": "unet"},
            "one of abpn, .*xvfi.*found 'unet'; install the package that adds this network",
        ),
        (
            {"variable": None},
            f"the entries of format {VERSION}, found without variable",
        ),
        ({"colour": "red"}, "found with colour"),
        ({"provenance": [1]}, r"card: provenance: expected .*, found \[1\]"),
        (
            {"options": {"d": 4, "stages": 3, "depth": 9}},
            "options of abpn: expected the options d, stages.*'depth'",
        ),
        ({"options": {"d": "4"}}, "d: expected a value of type int, found '4'"),
        ({"kind": "temporal"}, "expected spatial, factor 3, found temporal, factor 3"),
        ({"scaling": "sqrt"}, "expected one of asinh"),
        (
            {"scaling_options": {"knee": -1.0}},
            "scaling asinh: knee: expected a positive number, found -1.0",
        ),
        (
            {"options": {"d": 5, "stages": 3}},
            r"misshapen: .* \(8, .* instead of \(10, .* and \d+ more",
        ),
        ({"options": {"d": 4, "stages": 2}}, r"\d+ extra: .*; 2 misshapen"),
        ({"options": {"d": 4, "stages": 4}}, r"\d+ missing: .*; 2 misshapen"),
    ],
)
def test_a_wrong_card(path: Path, changes: dict[str, object], said: str) -> None:
    _edit(path, **changes)
    with pytest.raises(InputError, match=said) as error:
        load(path)
    assert str(path) in str(error.value)


def test_find_tells_good_from_bad(path: Path) -> None:
    (path.parent / "b.safetensors").write_bytes(b"nonsense, and more of it")
    (good, card), (bad, error) = find(path.parent)
    assert (good.name, bad.name) == ("a.safetensors", "b.safetensors")
    assert card == read_card(path)
    assert isinstance(error, InputError)
    with pytest.raises(InputError, match="expected a folder of checkpoints"):
        find(path)


def test_a_card_needs_no_torch(path: Path) -> None:
    code = (
        "import sys; from deepcams.networks.checkpoint import read_card; "
        f"read_card({str(path)!r}); assert not any(m in sys.modules for m in ('torch', 'xarray', 'matplotlib'))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_card_is_json_of_its_fields(path: Path) -> None:
    assert (
        json.loads(json.dumps(dataclasses.asdict(read_card(path))))["network"] == "abpn"
    )
