"""The authors' published weight files: their names, and reading a user's own copy of them.

The files hold pickles. They are read with ``weights_only=True``, which refuses whatever would execute code, and checked
strictly against the names and shapes of the published definitions: nothing missing, nothing extra, nothing misshapen,
and tensors that the temporal file holds twice must be equal.
"""

from __future__ import annotations

import hashlib
import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deepcams.core.errors import InputError, OutputError
from deepcams.networks.abpn import ABPN, ABPNOptions
from deepcams.networks.base import Network, first_names, shape_differences
from deepcams.networks.checkpoint import SUFFIX, save
from deepcams.networks.scaling import LinearClip
from deepcams.networks.xvfi import XVFI, XVFIOptions

Tensors = Mapping[str, Tensor]

_WRAPPERS = ("state_dict", "state_dict_Model", "model_state_dict", "model")
"""Keys under which training code saves a state dict."""

_XVFI_FIRST = "channel_converter.0.weight"
_XVFI_U_NET = "vfinet.refine_unet.enc1.weight"
_ABPN_SECOND = "feat2.conv.weight"
_ABPN_UP = "up1.conv1.deconv.weight"

_TRAINED_ON = {
    "xvfi": "GEOS-CF hourly PM2.5 at 0.25 degrees: two hours 2 to 12 apart, the release's patches of 512",
    "abpn": "GEOS-CF hourly PM2.5 at 0.25 degrees, made coarse by taking every third pixel",
}


def _parameters(modules: Mapping[str, str]) -> dict[str, str]:
    """Return the names of the modules' parameters: weight and bias, of a PReLU the weight alone."""
    names = {}
    for ours, theirs in modules.items():
        names[f"{ours}.weight"] = f"{theirs}.weight"
        if not theirs.endswith(".act"):
            names[f"{ours}.bias"] = f"{theirs}.bias"
    return names


def _flow_net(ours: str, theirs: str, first: int = 0) -> dict[str, str]:
    """Return the modules of a flow network, in the published sequence from the index ``first`` on."""
    places = {"down1": 0, "down2": 2, "up1": 5, "up2": 8, "last": 10}
    return {f"{ours}.{part}": f"{theirs}.{first + place}" for part, place in places.items()}


def xvfi_names(options: XVFIOptions) -> dict[str, str]:
    """Return parameter name -> published name, of all parameters that are used."""
    # the published sequence: the first convolution, for each halving a convolution and a ReLU, then these two
    mix = 1 + 2 * (options.module_scale.bit_length() - 1)
    modules = {
        "features.first": "channel_converter.0",
        "features.halve": "rec_ext_ds",
        "features.mix": f"rec_ext_ds_module.{mix}",
        "next_level": "rec_ctx_ds",
        "align": "vfinet.conv_flow1",
        **_flow_net("lowest_flow", "vfinet.conv_flow_bottom"),
        **_flow_net("higher_flow", "vfinet.conv_flow2"),
        "flow_input": "vfinet.conv_flow3.0",
        **_flow_net("flow_refinement", "vfinet.conv_flow3", first=2),
    }
    for part in ("enc1", "enc2", "enc3", "dec0", "dec1", "dec2", "dec3"):
        modules[f"frame_refinement.{part}"] = f"vfinet.refine_unet.{part}"
    for block in ("block1", "block2"):
        theirs = f"rec_ext_ds_module.{mix + 1}.res{block}"
        modules[f"features.{block}.conv1"] = f"{theirs}.conv3x3_1"
        modules[f"features.{block}.conv2"] = f"{theirs}.conv3x3_2"
    return _parameters(modules)


def xvfi_repeats(options: XVFIOptions) -> dict[str, str]:
    """Return published name that repeats another one's values -> that other one."""
    modules = {"rec_ext_ds_module.0.0": "channel_converter.0"}
    for i in range(options.module_scale.bit_length() - 1):
        modules[f"rec_ext_ds_module.{1 + 2 * i}"] = "rec_ext_ds"
    return _parameters(modules)


def _block(ours: str, theirs: str, conv: str = "conv") -> dict[str, str]:
    return {f"{ours}.conv": f"{theirs}.{conv}", f"{ours}.slope": f"{theirs}.act"}


def _projection(ours: str, theirs: str, up: bool) -> dict[str, str]:
    there, back = ("deconv", "conv") if up else ("conv", "deconv")
    return {
        **_block(f"{ours}.there", f"{theirs}.conv1", there),
        **_block(f"{ours}.back", f"{theirs}.conv2", back),
        **_block(f"{ours}.error", f"{theirs}.conv3", there),
        **_block(f"{ours}.of_input", f"{theirs}.local_weight1"),
        **_block(f"{ours}.of_there", f"{theirs}.local_weight2"),
    }


def _attention(ours: str, theirs: str) -> dict[str, str]:
    parts = {"K": "K", "Q": "Q", "V": "V", "out": "local_weight"}
    return {f"{ours}.{our_part}": f"{theirs}.{part}" for our_part, part in parts.items()}


def abpn_names(options: ABPNOptions) -> dict[str, str]:
    """Return parameter name -> published name, of all parameters that are used."""
    modules = {
        **_block("first", "feat1"),
        **_attention("first_attention", "SA0"),
        **_block("second", "feat2"),
    }
    for k in range(1, options.stages + 1):
        modules |= _projection(f"up.{k - 1}", f"up{k}", up=True)
        if k >= 3:
            modules |= _block(f"up_skip.{k - 3}", f"weight_up{k - 2}")
    for k in range(1, options.stages):
        modules |= _projection(f"down.{k - 1}", f"down{k}", up=False)
        modules |= _attention(f"attention.{k - 1}", f"SA{k}")
        if k >= 3:
            modules |= _block(f"down_skip.{k - 3}", f"weight_down{k - 2}")
    modules |= {
        **_block("fine_mix.block", "SR_conv1"),
        **_block("fine_out", "SR_conv2"),
        **_block("coarse_mix.block", "LR_conv1"),
        **_projection("coarse_up", "LR_conv2", up=True),
        "last": "SR_conv3",
        **_block("error_first", "final_feat1"),
        **_attention("error_attention", "final_SA0"),
        "error_last": "final_feat2",
    }
    return _parameters(modules)


def abpn_unused(options: ABPNOptions) -> dict[str, str]:
    """Return published name that the network never uses -> a used one of the same shape.

    They are those of the last down-projection with its attention and skip.
    """
    last = options.stages
    same_shape = {f"down{last}": "down1", f"SA{last}": "SA1"}
    if last >= 3:
        same_shape[f"weight_down{last - 2}"] = "weight_up1"
    used = abpn_names(options).values()
    return {
        name.replace(f"{like}.", f"{unused}.", 1): name
        for unused, like in same_shape.items()
        for name in used
        if name.startswith(f"{like}.")
    }


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a ``.pth`` file: a state dict, flat or inside another, names with or without ``module.``.

    Raises:
        InputError: no such file, truncated, no PyTorch file, one that would execute code, or no state dict.
    """
    path = Path(path)
    content = _load(path)
    for key in _WRAPPERS * 3:  # wrappers in wrappers, but not without end
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict):
        raise InputError(path, "a state dict (names to tensors)", "no dictionary")
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if not tensors or len(tensors) != len(content):
        found = f"{len(tensors)} tensors among {len(content)} entries"
        raise InputError(path, "a state dict (names to tensors)", found)
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.device.type != "cpu":
            found = f"a tensor without them ({tensor.layout}, {tensor.device})"
            raise InputError(f"{path}: {name}", "numbers", found)
    prefix = "module."  # of data-parallel training
    if all(name.startswith(prefix) for name in tensors):
        return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def _load(path: Path) -> Any:
    """Return the content of a ``.pth`` file, without executing any of it."""
    wanted = "a PyTorch file of tensors alone"
    do = "download the file again"
    try:
        with warnings.catch_warnings():  # torch warns of foreign pickles before it refuses them
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(path, wanted, "no such file") from None
    except pickle.UnpicklingError as error:
        found = "a damaged or foreign pickle (refused, nothing of it was executed)"
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        if named:
            found = f"a pickle that would execute {named[1]}"
            do = "do not load this file with any other tool either"
        raise InputError(path, wanted, found, do) from None
    except Exception as error:  # torch.load raises what the pickle makes it raise: EOFError, KeyError, RuntimeError ..
        reason = str(error).partition("\n")[0][:120]
        found = f"a truncated or foreign file ({type(error).__name__}: {reason})"
        raise InputError(path, wanted, found, do) from None


def published_shapes(network: Network) -> dict[str, tuple[int, ...]]:
    """Return every name and shape of the published file of this network, repeated and unused tensors included."""
    ours = {name: tuple(parameter.shape) for name, parameter in network.named_parameters()}
    if isinstance(network, ABPN):
        shapes = {theirs: ours[name] for name, theirs in abpn_names(network.options).items()}
        return shapes | {name: shapes[like] for name, like in abpn_unused(network.options).items()}
    assert isinstance(network, XVFI)
    shapes = {}
    for name, theirs in xvfi_names(network.options).items():
        shape = ours[name]
        if theirs.startswith(("channel_converter", "rec_")) and theirs.endswith("weight"):
            shape = (*shape[:2], 1, *shape[2:])  # stored as 3-D kernels
        shapes[theirs] = shape
    for again, first in xvfi_repeats(network.options).items():
        shapes[again] = shapes[first]
    nf = network.options.nf
    for unused in ("vfinet.refine_unet.conv1", "vfinet.refine_unet.conv2"):
        shapes[f"{unused}.weight"] = (nf, nf, 3, 3)
        shapes[f"{unused}.bias"] = (nf,)
    return shapes


def xvfi_from_published(tensors: Tensors, where: object, **options: Any) -> XVFI:
    """Return XVFI with the published file's weights; its width and module scale are read from the shapes.

    Args:
        tensors: of :func:`read_tensors`.
        where: the file, for messages.
        options: other options of :class:`XVFIOptions` (default: the release's).

    Raises:
        InputError: missing, extra, misshapen or non-finite tensors, or repeats that differ from what they repeat.
    """
    if not {_XVFI_FIRST, _XVFI_U_NET} <= tensors.keys():
        expected = f"the published temporal network ({_XVFI_FIRST}, {_XVFI_U_NET} ..)"
        raise InputError(where, expected, first_names(sorted(tensors)), _other_file(tensors))
    nf = _size(tensors, _XVFI_FIRST, 0)
    shuffled = _size(tensors, _XVFI_U_NET, 1) - 8  # 4 nf / m^2
    scales = [m for m in (1, 2, 4, 8, 16) if m**2 * shuffled == 4 * nf]
    m = scales[0] if scales else 4
    # where the two shapes make no sense, the others are compared with the released sizes
    if nf and 4 * nf % m**2 == 0:
        options = {"nf": nf, "module_scale": m, **options}
    network = XVFI(XVFIOptions(**options))
    _check(tensors, network, where)
    for again, first in xvfi_repeats(network.options).items():
        if not torch.equal(tensors[again], tensors[first]):
            expected = f"the values of {first}, which it repeats"
            raise InputError(f"{where}: {again}", expected, "other values")
    own = network.state_dict()
    network.load_state_dict(
        {
            name: tensors[theirs].reshape(own[name].shape)
            for name, theirs in xvfi_names(network.options).items()
        }
    )
    return network.eval()


def abpn_from_published(tensors: Tensors, where: object, **options: Any) -> ABPN:
    """Return ABPN with the published file's weights; width, stages and factor are read from names and shapes.

    Args and errors as :func:`xvfi_from_published`.
    """
    stages = sum(
        re.fullmatch(r"up\d+\.conv1\.deconv\.weight", name) is not None for name in tensors
    )
    if stages < 2 or _ABPN_SECOND not in tensors:
        expected = f"the published spatial network ({_ABPN_SECOND}, {_ABPN_UP} ..)"
        raise InputError(where, expected, first_names(sorted(tensors)), _other_file(tensors))
    d = _size(tensors, _ABPN_SECOND, 0)
    factor = _size(tensors, _ABPN_UP, -1) - 2
    if d and factor > 1:
        options = {"d": d, "factor": factor, **options}
    network = ABPN(ABPNOptions(stages=stages, **options))
    _check(tensors, network, where)
    network.load_state_dict(
        {name: tensors[theirs] for name, theirs in abpn_names(network.options).items()}
    )
    return network.eval()


def _other_file(tensors: Tensors) -> str:
    """Return what to do where one published file was given for the other."""
    if _XVFI_FIRST in tensors:
        return "this is the temporal file: give it as --temporal"
    if _ABPN_SECOND in tensors:
        return "this is the spatial file: give it as --spatial"
    return ""


def _size(tensors: Tensors, name: str, axis: int) -> int:
    """Return the size of a tensor along an axis; 0 if the tensor or the axis is missing."""
    shape = tensors[name].shape if name in tensors else ()
    return shape[axis] if len(shape) > max(axis, 0) else 0


def _check(tensors: Tensors, network: Network, where: object) -> None:
    """Raise InputError unless the tensors are those of the published file of this network, all finite."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    wrong = shape_differences(shapes, published_shapes(network))
    if wrong:
        raise InputError(where, f"the tensors of the published {network.name}", wrong)
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or not torch.isfinite(tensor).all():
            raise InputError(f"{where}: {name}", "finite numbers", f"other values ({tensor.dtype})")


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
        overwrite: replace existing checkpoints.

    Returns:
        the paths written.

    Raises:
        InputError: neither file, or one that is not exactly what was published (see :func:`read_tensors`).
        OutputError: a checkpoint exists already, or cannot be written. Nothing is written unless all files are right.
    """
    if temporal is None and spatial is None:
        expected = "--temporal FILE.pth, --spatial FILE.pth or both"
        raise InputError("models import", expected, "neither")
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
        # the authors trained with values clipped at 800 ug m-3
        save(network, path, LinearClip(), provenance=provenance)
    return paths
