"""The authors' published weight files: their names, and reading a user's own copy of them.

The files hold pickles. They are read with ``weights_only=True``, which refuses whatever would execute code, and held
strictly against the names and shapes that the published definitions have: nothing missing, nothing extra, nothing
misshapen, and what stands in the temporal file twice must be equal.
"""

from __future__ import annotations

import hashlib
import pickle
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deepcams.core.errors import InputError, OutputError
from deepcams.networks.abpn import ABPN, ABPNOptions
from deepcams.networks.base import Network, differences, listed
from deepcams.networks.checkpoint import SUFFIX, save
from deepcams.networks.scaling import LinearClip
from deepcams.networks.xvfi import XVFI, XVFIOptions

_WRAPPERS = ("state_dict", "state_dict_Model", "model_state_dict", "model")

_XVFI_NAMES = {
    "features.first": "channel_converter.0",
    "features.halve": "rec_ext_ds",
    "next_level": "rec_ctx_ds",
    "align": "vfinet.conv_flow1",
    **{
        f"lowest_flow.{ours}": f"vfinet.conv_flow_bottom.{n}"
        for ours, n in (("down1", 0), ("down2", 2), ("up1", 5), ("up2", 8), ("last", 10))
    },
    **{
        f"higher_flow.{ours}": f"vfinet.conv_flow2.{n}"
        for ours, n in (("down1", 0), ("down2", 2), ("up1", 5), ("up2", 8), ("last", 10))
    },
    "flow_input": "vfinet.conv_flow3.0",
    **{
        f"flow_refinement.{ours}": f"vfinet.conv_flow3.{n}"
        for ours, n in (("down1", 2), ("down2", 4), ("up1", 7), ("up2", 10), ("last", 12))
    },
    **{
        f"frame_refinement.{part}": f"vfinet.refine_unet.{part}"
        for part in ("enc1", "enc2", "enc3", "dec0", "dec1", "dec2", "dec3")
    },
}


def xvfi_names(options: XVFIOptions) -> dict[str, str]:
    """Our parameter name -> the published one, of all live parameters."""
    # the published sequence: the first convolution, then a halving and a ReLU at a time, then these two
    mix = 1 + 2 * (options.module_scale.bit_length() - 1)
    names = {**_XVFI_NAMES, "features.mix": f"rec_ext_ds_module.{mix}"}
    for block in (1, 2):
        for conv in (1, 2):
            names[f"features.block{block}.conv{conv}"] = (
                f"rec_ext_ds_module.{mix + 1}.resblock{block}.conv3x3_{conv}"
            )
    return {
        f"{ours}.{kind}": f"{theirs}.{kind}"
        for ours, theirs in names.items()
        for kind in ("weight", "bias")
    }


def xvfi_repeats(options: XVFIOptions) -> dict[str, str]:
    """Published names that repeat another one's values -> that other one."""
    halvings = {
        f"rec_ext_ds_module.{1 + 2 * i}": "rec_ext_ds"
        for i in range(options.module_scale.bit_length() - 1)
    }
    repeats = {"rec_ext_ds_module.0.0": "channel_converter.0", **halvings}
    return {
        f"{again}.{kind}": f"{first}.{kind}"
        for again, first in repeats.items()
        for kind in ("weight", "bias")
    }


def xvfi_unused(options: XVFIOptions) -> dict[str, tuple[int, ...]]:
    """Published names that the network never uses -> shapes."""
    nf, unet = options.nf, "vfinet.refine_unet"
    return {
        f"{unet}.conv{n}.{kind}": shape
        for n in (1, 2)
        for kind, shape in (("weight", (nf, nf, 3, 3)), ("bias", (nf,)))
    }


def _projection(ours: str, theirs: str, up: bool) -> Iterator[tuple[str, str]]:
    there, back = ("deconv", "conv") if up else ("conv", "deconv")
    parts = (
        ("there", "conv1", there),
        ("back", "conv2", back),
        ("error", "conv3", there),
        ("of_input", "local_weight1", "conv"),
        ("of_there", "local_weight2", "conv"),
    )
    for our_part, part, conv in parts:
        yield from _block(f"{ours}.{our_part}", f"{theirs}.{part}", conv)


def _block(ours: str, theirs: str, conv: str = "conv") -> Iterator[tuple[str, str]]:
    yield from _plain(f"{ours}.conv", f"{theirs}.{conv}")
    yield f"{ours}.slope.weight", f"{theirs}.act.weight"


def _plain(ours: str, theirs: str) -> Iterator[tuple[str, str]]:
    yield from ((f"{ours}.{kind}", f"{theirs}.{kind}") for kind in ("weight", "bias"))


def _attention(ours: str, theirs: str) -> Iterator[tuple[str, str]]:
    for our_part, part in (("K", "K"), ("Q", "Q"), ("V", "V"), ("out", "local_weight")):
        yield from _plain(f"{ours}.{our_part}", f"{theirs}.{part}")


def abpn_names(options: ABPNOptions) -> dict[str, str]:
    """Our parameter name -> the published one, of all live parameters."""
    pairs = [
        *_block("first", "feat1"),
        *_attention("first_attention", "SA0"),
        *_block("second", "feat2"),
    ]
    for k in range(1, options.stages + 1):
        pairs += _projection(f"up.{k - 1}", f"up{k}", up=True)
        if k < options.stages:
            pairs += _projection(f"down.{k - 1}", f"down{k}", up=False)
            pairs += _attention(f"attention.{k - 1}", f"SA{k}")
        if k >= 3:
            pairs += _block(f"up_skip.{k - 3}", f"weight_up{k - 2}")
            pairs += (
                _block(f"down_skip.{k - 3}", f"weight_down{k - 2}") if k < options.stages else ()
            )
    pairs += [*_block("fine_mix.block", "SR_conv1"), *_block("fine_out", "SR_conv2")]
    pairs += [
        *_block("coarse_mix.block", "LR_conv1"),
        *_projection("coarse_up", "LR_conv2", up=True),
    ]
    pairs += [*_plain("last", "SR_conv3"), *_block("error_first", "final_feat1")]
    pairs += [*_attention("error_attention", "final_SA0"), *_plain("error_last", "final_feat2")]
    return dict(pairs)


def abpn_unused(options: ABPNOptions) -> dict[str, tuple[int, ...]]:
    """Published names that the network never uses (the last down-projection with its attention and skip) -> shapes."""
    last, d, kernel = options.stages, options.d, options.factor + 2
    names = [theirs for _, theirs in _projection("", f"down{last}", up=False)]
    names += [theirs for _, theirs in _attention("", f"SA{last}")]
    names += [theirs for _, theirs in _block("", f"weight_down{last - 2}")] if last >= 3 else []

    def shape(name: str) -> tuple[int, ...]:
        if name.endswith("act.weight"):
            return (1,)
        if name.endswith("bias"):
            return (d,)
        size = kernel if re.search(r"\.conv\d\.", name) else 1
        return (d, d, size, size)

    return {name: shape(name) for name in names}


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a ``.pth`` file: a state dict, flat or inside ``state_dict``, names with or without ``module.``.

    Raises:
        InputError: no such file, truncated, no PyTorch file, one that would execute code, or no state dict.
    """
    path, wanted = Path(path), "a PyTorch file of tensors alone"
    try:
        with warnings.catch_warnings():  # torch warns of foreign pickles before it refuses them
            warnings.simplefilter("ignore")
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(path, wanted, "no such file") from None
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        if named:
            found = f"a pickle that would execute {named[1]}"
            raise InputError(
                path, wanted, found, "do not load this file with any other tool either"
            ) from None
        found = "a damaged or foreign pickle (refused, nothing of it was executed)"
        raise InputError(path, wanted, found, "download the file again") from None
    except Exception as error:  # torch.load raises what the pickle makes it raise: EOFError, KeyError, RuntimeError ..
        reason = (str(error).splitlines() or [""])[0][:120]
        found = f"a truncated or foreign file ({type(error).__name__}: {reason})"
        raise InputError(path, wanted, found, "download the file again") from None
    for _ in range(3):  # wrappers in wrappers, but not without end
        key = next(
            (
                k
                for k in _WRAPPERS
                if isinstance(content, dict) and isinstance(content.get(k), dict)
            ),
            None,
        )
        content = content if key is None else content[key]
    tensors = (
        {k: v for k, v in content.items() if isinstance(v, Tensor)}
        if isinstance(content, dict)
        else {}
    )
    if not tensors or len(tensors) != len(content):
        found = (
            f"{len(tensors)} tensors among {len(content)} entries"
            if isinstance(content, dict)
            else "no dictionary"
        )
        raise InputError(path, "a state dict (names to tensors)", found)
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.device.type != "cpu":
            raise InputError(
                f"{path}: {name}",
                "numbers",
                f"a tensor without them ({tensor.layout}, {tensor.device})",
            )
    if all(
        str(name).startswith("module.") for name in tensors
    ):  # as data-parallel training saves them
        tensors = {str(name).removeprefix("module."): tensor for name, tensor in tensors.items()}
    return tensors


def published_shapes(network: Network) -> dict[str, tuple[int, ...]]:
    """Every name and shape of the published file of this network, repeated and unused tensors included."""
    ours = {name: tuple(parameter.shape) for name, parameter in network.named_parameters()}
    if isinstance(network, ABPN):
        live = {theirs: ours[name] for name, theirs in abpn_names(network.options).items()}
        return {**live, **abpn_unused(network.options)}
    assert isinstance(network, XVFI)
    live = {}
    for name, theirs in xvfi_names(network.options).items():
        three = theirs.startswith(("channel_converter", "rec_")) and theirs.endswith(
            "weight"
        )  # stored as 3-D kernels
        live[theirs] = (*ours[name][:2], 1, *ours[name][2:]) if three else ours[name]
    repeats = {again: live[first] for again, first in xvfi_repeats(network.options).items()}
    return {**live, **repeats, **xvfi_unused(network.options)}


def xvfi_from_published(tensors: Mapping[str, Tensor], where: object, **options: Any) -> XVFI:
    """XVFI with the published file's weights; its width and module scale are read from the shapes.

    Args:
        tensors: of :func:`read_tensors`.
        where: the file, for messages.
        options: other options of :class:`XVFIOptions` (default: the release's).

    Raises:
        InputError: missing, extra, misshapen or non-finite tensors, or repeats that differ from what they repeat.
    """
    if not {"channel_converter.0.weight", "vfinet.refine_unet.enc1.weight"} <= tensors.keys():
        expected = "the published temporal network (channel_converter.0.weight, vfinet.refine_unet.enc1.weight ..)"
        raise InputError(where, expected, listed(sorted(tensors)), _other(tensors))
    width = _extent(tensors, "channel_converter.0.weight", 0)
    shuffled = _extent(tensors, "vfinet.refine_unet.enc1.weight", 1) - 8  # 4 nf / m^2
    scale = next((m for m in (1, 2, 4, 8, 16) if width and m**2 * shuffled == 4 * width), 4)
    # where the two shapes make no sense, the others are compared with the released sizes
    sizes: dict[str, Any] = (
        {"nf": width, "module_scale": scale} if width and 4 * width % scale**2 == 0 else {}
    )
    network = XVFI(XVFIOptions(**sizes, **options))
    _check(tensors, network, where)
    for again, first in xvfi_repeats(network.options).items():
        if not torch.equal(tensors[again], tensors[first]):
            raise InputError(
                f"{where}: {again}", f"the values of {first}, which it repeats", "other values"
            )
    own = network.state_dict()
    names = xvfi_names(network.options)
    network.load_state_dict(
        {name: tensors[theirs].reshape(own[name].shape) for name, theirs in names.items()}
    )
    return network.eval()


def abpn_from_published(tensors: Mapping[str, Tensor], where: object, **options: Any) -> ABPN:
    """ABPN with the published file's weights; width, stages and factor are read from names and shapes.

    Args and errors as :func:`xvfi_from_published`.
    """
    stages = len({name for name in tensors if re.fullmatch(r"up\d+\.conv1\.deconv\.weight", name)})
    if stages < 2 or "feat2.conv.weight" not in tensors:
        expected = "the published spatial network (feat2.conv.weight, up1.conv1.deconv.weight ..)"
        raise InputError(where, expected, listed(sorted(tensors)), _other(tensors))
    d, factor = (
        _extent(tensors, "feat2.conv.weight", 0),
        _extent(tensors, "up1.conv1.deconv.weight", -1) - 2,
    )
    sizes: dict[str, Any] = {"d": d, "factor": factor} if d and factor > 1 else {}
    network = ABPN(ABPNOptions(stages=stages, **sizes, **options))
    _check(tensors, network, where)
    network.load_state_dict(
        {name: tensors[theirs] for name, theirs in abpn_names(network.options).items()}
    )
    return network.eval()


def _other(tensors: Mapping[str, Tensor]) -> str:
    if "channel_converter.0.weight" in tensors:
        return "this is the temporal file: give it as --temporal"
    return (
        "this is the spatial file: give it as --spatial" if "feat2.conv.weight" in tensors else ""
    )


def _extent(tensors: Mapping[str, Tensor], name: str, axis: int) -> int:
    """The size of a tensor along an axis; 0 where there is none."""
    shape = tensors[name].shape if name in tensors else ()
    return shape[axis] if len(shape) > max(axis, 0) else 0


def _check(tensors: Mapping[str, Tensor], network: Network, where: object) -> None:
    wrong = differences(
        {name: tuple(t.shape) for name, t in tensors.items()}, published_shapes(network)
    )
    if wrong:
        raise InputError(where, f"the tensors of the published {network.name}", wrong)
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or not torch.isfinite(tensor).all():
            raise InputError(f"{where}: {name}", "finite numbers", f"other values ({tensor.dtype})")


_TRAINED_ON = {
    "xvfi": "GEOS-CF hourly PM2.5 at 0.25 degrees: two hours 2 to 12 apart, the release's patches of 512",
    "abpn": "GEOS-CF hourly PM2.5 at 0.25 degrees, made coarse by taking every third pixel",
}


def import_published(
    folder: str | Path,
    temporal: str | Path | None = None,
    spatial: str | Path | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Turn a user's own copy of the authors' published weight files into checkpoints.

    Args:
        folder: where the checkpoints go (made if needed): ``xvfi-published.safetensors`` and
            ``abpn-published.safetensors``.
        temporal: the published XVFI file (``.pth``), if any.
        spatial: the published ABPN file (``.pth``), if any.
        overwrite: replace checkpoints that are there already.

    Returns:
        the paths written.

    Raises:
        InputError: neither file, or one that is not exactly what was published (see :func:`read_tensors`).
        OutputError: a checkpoint exists already, or cannot be written. Nothing is written unless all files are right.
    """
    if temporal is None and spatial is None:
        raise InputError(
            "models import", "--temporal FILE.pth, --spatial FILE.pth or both", "neither"
        )
    networks: list[tuple[Network, Path]] = []
    if temporal is not None:
        networks.append((xvfi_from_published(read_tensors(temporal), temporal), Path(temporal)))
    if spatial is not None:
        networks.append((abpn_from_published(read_tensors(spatial), spatial), Path(spatial)))
    paths = [Path(folder) / f"{network.name}-published{SUFFIX}" for network, _ in networks]
    for path in paths:
        if path.exists() and not overwrite:
            raise OutputError(f"{path} exists already; choose another folder, or --overwrite")
    for (network, source), path in zip(networks, paths, strict=True):
        provenance = {
            "origin": "weights published with DeepCAMS (Xiao et al. 2022), imported from a user's copy",
            "file": source.name,
            "file_sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
            "training_data": _TRAINED_ON[network.name],
        }
        save(
            network, path, LinearClip(), provenance=provenance
        )  # 800 ug m-3 is what the authors trained with
    return paths
