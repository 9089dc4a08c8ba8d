from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from deepcams.core.errors import InputError, OutputError  # noqa: E402
from deepcams.networks.abpn import ABPN, ABPNOptions  # noqa: E402
from deepcams.networks.base import Network  # noqa: E402
from deepcams.networks.checkpoint import load  # noqa: E402
from deepcams.networks.published import (  # noqa: E402
    abpn_from_published,
    import_published,
    published_names,
    published_repeats,
    published_shapes,
    read_tensors,
    xvfi_from_published,
)
from deepcams.networks.scaling import LinearClip  # noqa: E402
from deepcams.networks.xvfi import XVFI, XVFIOptions  # noqa: E402

Tensors = dict[str, torch.Tensor]


def _published(network: Network) -> Tensors:
    """Random weights under the published names, as the authors' files hold them."""
    torch.manual_seed(0)
    tensors = {
        name: 0.1 * torch.randn(shape)
        for name, shape in published_shapes(network).items()
    }
    for again, first in published_repeats(network).items():
        tensors[again] = tensors[first].clone()
    return tensors


@pytest.fixture
def temporal() -> Tensors:
    return _published(XVFI(XVFIOptions(nf=8)))


@pytest.fixture
def spatial() -> Tensors:
    return _published(ABPN(ABPNOptions(d=4, stages=4)))


@pytest.mark.parametrize(
    ("entry", "network"), [("abpn_v5_dim32", ABPN), ("xvfi_nf64_scale4", XVFI)]
)
def test_names_and_shapes_of_the_published_files(
    golden_dir: Path, entry: str, network: type[Network]
) -> None:
    published = json.loads(
        (golden_dir / "published_state_dict_shapes.json").read_text()
    )[entry]
    made = network(network.presets["released"])
    assert published_shapes(made) == {
        name: tuple(shape) for name, shape in published.items()
    }
    names = published_names(made)
    assert names.keys() == dict(made.named_parameters()).keys()
    assert len(set(names.values())) == len(names)


@pytest.mark.parametrize("wrap", ["flat", "state_dict", "module"])
def test_imports_both(
    temporal: Tensors, spatial: Tensors, wrap: str, tmp_path: Path
) -> None:
    def wrapped(tensors: Tensors) -> object:
        named = (
            {f"module.{name}": tensor for name, tensor in tensors.items()}
            if wrap == "module"
            else tensors
        )
        return named if wrap == "flat" else {"epoch": 3, "state_dict": named}

    torch.save(wrapped(temporal), tmp_path / "t.pth")
    torch.save(wrapped(spatial), tmp_path / "s.pth")
    paths = import_published(tmp_path / "out", tmp_path / "t.pth", tmp_path / "s.pth")
    assert [path.name for path in paths] == [
        "xvfi-published.safetensors",
        "abpn-published.safetensors",
    ]
    xvfi, abpn = (load(path) for path in paths)
    assert xvfi.scaling == abpn.scaling == LinearClip(800)
    assert xvfi.card.provenance["file"] == "t.pth"
    assert isinstance(xvfi.network, XVFI)
    assert isinstance(abpn.network, ABPN)
    assert torch.equal(
        xvfi.network.features.halve.weight, temporal["rec_ext_ds.weight"].squeeze(2)
    )
    assert torch.equal(xvfi.network.align.bias, temporal["vfinet.conv_flow1.bias"])
    assert abpn.network.options.stages == 4
    assert torch.equal(
        abpn.network.up[2].of_input.conv.weight,
        spatial["up3.local_weight1.conv.weight"],
    )
    with pytest.raises(OutputError, match="exists already"):
        import_published(tmp_path / "out", tmp_path / "t.pth")
    assert (
        import_published(tmp_path / "out", tmp_path / "t.pth", overwrite=True)
        == paths[:1]
    )


def test_repeats_that_differ_are_refused(temporal: Tensors) -> None:
    temporal["rec_ext_ds_module.3.weight"][0, 0, 0, 0, 0] += 1
    with pytest.raises(
        InputError,
        match=r"rec_ext_ds_module.3.weight: expected the values of rec_ext_ds.weight",
    ):
        xvfi_from_published(temporal, "f")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rec_ctx_ds.bias": None}, "1 missing: rec_ctx_ds.bias"),
        (
            {"vfinet.refine_unet.conv1.weight": None},
            "1 missing: vfinet.refine_unet.conv1.weight",
        ),
        ({"extra.weight": torch.ones(1)}, "1 extra: extra.weight"),
        (
            {"vfinet.conv_flow1.bias": torch.ones(9)},
            r"1 misshapen: vfinet.conv_flow1.bias \(9,\) instead of \(8,\)",
        ),
        (
            {"vfinet.conv_flow1.bias": torch.full((8,), float("nan"))},
            "conv_flow1.bias: expected finite numbers",
        ),
        (
            {"channel_converter.0.weight": None},
            "expected the published temporal network",
        ),
        ({"channel_converter.0.weight": torch.tensor(1.0)}, "misshapen: "),
        (
            {"vfinet.refine_unet.enc1.weight": torch.ones(8, 9, 4, 4)},
            "1 misshapen: vfinet.refine_unet.enc1.weight",
        ),
    ],
)
def test_a_wrong_temporal_file(
    temporal: Tensors, change: dict[str, torch.Tensor | None], said: str
) -> None:
    wrong = {
        name: tensor
        for name, tensor in {**temporal, **change}.items()
        if tensor is not None
    }
    with pytest.raises(InputError, match=said):
        xvfi_from_published(wrong, "f")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"SA4.K.bias": None, "SR_conv3.bias": None},
            "2 missing: SR_conv3.bias, SA4.K.bias",
        ),
        ({"up5.conv2.conv.bias": torch.ones(4)}, "1 extra: up5.conv2.conv.bias"),
        (
            {"down2.conv1.act.weight": torch.ones(4)},
            r"down2.conv1.act.weight \(4,\) instead of \(1,\)",
        ),
        ({"feat2.conv.weight": None}, "expected the published spatial network"),
        ({"feat2.conv.weight": torch.tensor(1.0)}, "misshapen: "),
    ],
)
def test_a_wrong_spatial_file(
    spatial: Tensors, change: dict[str, torch.Tensor | None], said: str
) -> None:
    wrong = {
        name: tensor
        for name, tensor in {**spatial, **change}.items()
        if tensor is not None
    }
    with pytest.raises(InputError, match=said):
        abpn_from_published(wrong, "f")


def test_files_taken_for_each_other(temporal: Tensors, spatial: Tensors) -> None:
    with pytest.raises(
        InputError, match="this is the spatial file: give it as --spatial"
    ):
        xvfi_from_published(spatial, "f")
    with pytest.raises(
        InputError, match="this is the temporal file: give it as --temporal"
    ):
        abpn_from_published(temporal, "f")


def test_nothing_is_written_unless_all_is_right(
    temporal: Tensors, tmp_path: Path
) -> None:
    torch.save(temporal, tmp_path / "t.pth")
    with pytest.raises(InputError, match="this is the temporal file"):
        import_published(tmp_path / "out", tmp_path / "t.pth", tmp_path / "t.pth")
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="found neither"):
        import_published(tmp_path)


class _Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch exploded",)


def test_a_file_that_would_execute_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {"a": _Bomb()}}, tmp_path / "evil.pth")
    with pytest.raises(
        InputError, match=r"found a pickle that would execute .*system"
    ) as error:
        read_tensors(tmp_path / "evil.pth")
    assert "\n" not in str(error.value)
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(_Bomb()))
    with pytest.raises(InputError, match="refused, nothing of it was executed"):
        read_tensors(tmp_path / "evil.pth")
    assert not (tmp_path / "exploded").exists()


def test_truncated_and_foreign_files(spatial: Tensors, tmp_path: Path) -> None:
    path = tmp_path / "s.pth"
    torch.save(spatial, path)
    content = path.read_bytes()
    for keep in (0, 10, 1000, len(content) // 2, len(content) - 10):
        path.write_bytes(content[:keep])
        with pytest.raises(InputError, match="download the file again"):
            read_tensors(path)
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(InputError, match="download the file again"):
        read_tensors(path)
    with pytest.raises(InputError, match="found no such file"):
        read_tensors(tmp_path / "absent.pth")
    for content_of, said in (
        ([1, 2], "found no dictionary"),
        ({"a": 1}, "found 0 tensors among 1 entries"),
    ):
        torch.save(content_of, path)
        with pytest.raises(InputError, match=said):
            read_tensors(path)
