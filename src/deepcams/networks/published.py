"""Import of the authors' published weight files from a user's own copy.

The files are pickles. They are read with ``weights_only=True``, which refuses anything that would execute code, and
checked strictly against the names and shapes of the published definitions: no tensor may be missing, extra or
misshapen, and tensors that the temporal file holds twice must be equal.
"""

from __future__ import annotations

import hashlib
import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from deepcams.core.errors import InputError, OutputError
from deepcams.networks.abpn import ABPN, ABPNOptions
from deepcams.networks.base import Network, Shapes, first_names, shape_differences
from deepcams.networks.checkpoint import SUFFIX, save
from deepcams.networks.scaling import LinearClip
from deepcams.networks.xvfi import XVFI, XVFIOptions

Tensors = Mapping[str, Tensor]
N = TypeVar("N", bound=Network)

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


_ABPN_NAMES = {
    r"^(up\d+|coarse_up)\.(there|error)\.conv": r"\1.\2.deconv",
    r"^(down\d+)\.back\.conv": r"\1.back.deconv",
    r"\.there": ".conv1",
    r"\.back": ".conv2",
    r"\.error": ".conv3",
    r"\.of_input": ".local_weight1",
    r"\.of_there": ".local_weight2",
    r"\.out": ".local_weight",
    r"\.slope": ".act",
    r"^first_attention": "SA0",
    r"^error_attention": "final_SA0",
    r"^attention": "SA",
    r"^first": "feat1",
    r"^second": "feat2",
    r"^error_first": "final_feat1",
    r"^error_last": "final_feat2",
    r"^(up|down)_skip": r"weight_\1",
    r"^fine_mix\.block": "SR_conv1",
    r"^fine_out": "SR_conv2",
    r"^last": "SR_conv3",
    r"^coarse_mix\.block": "LR_conv1",
    r"^coarse_up": "LR_conv2",
}
"""Patterns in parameter names and their replacements in the published names, applied in this order."""

_XVFI_NAMES = {
    r"^(flow_refinement)\.down1": r"\1.2",
    r"^(flow_refinement)\.down2": r"\1.4",
    r"^(flow_refinement)\.up1": r"\1.7",
    r"^(flow_refinement)\.up2": r"\1.10",
    r"^(flow_refinement)\.last": r"\1.12",
    r"\.down1": ".0",
    r"\.down2": ".2",
    r"\.up1": ".5",
    r"\.up2": ".8",
    r"\.last": ".10",
    r"^lowest_flow": "vfinet.conv_flow_bottom",
    r"^higher_flow": "vfinet.conv_flow2",
    r"^flow_refinement": "vfinet.conv_flow3",
    r"^flow_input": "vfinet.conv_flow3.0",
    r"^frame_refinement": "vfinet.refine_unet",
    r"^align": "vfinet.conv_flow1",
    r"^next_level": "rec_ctx_ds",
    r"^features\.first": "channel_converter.0",
    r"^features\.halve": "rec_ext_ds",
}
"""The same for XVFI; the indices of the last features depend on the number of halvings."""


def published_names(network: Network) -> dict[str, str]:
    """Return the published name of each parameter in use, by parameter name."""
    if isinstance(network, ABPN):
        rules = _ABPN_NAMES
    else:
        # the published sequence: the first convolution, a convolution and a ReLU per halving, then these two
        mix = 1 + 2 * _halvings(network)
        block = rf"rec_ext_ds_module.{mix + 1}.resblock\1.conv3x3_\2"
        rules = {
            r"^features\.mix": f"rec_ext_ds_module.{mix}",
            r"^features\.block(\d)\.conv(\d)": block,
            **_XVFI_NAMES,
        }
    names = {}
    for name, _ in network.named_parameters():
        # stages count from 0 here, from 1 in the published names
        theirs = re.sub(r"\.(\d+)\.", lambda found: f"{int(found[1]) + 1}.", name)
        for ours, their_part in rules.items():
            theirs = re.sub(ours, their_part, theirs)
        names[name] = theirs
    return names


def _halvings(network: Network) -> int:
    scale: int = network.options.module_scale
    return scale.bit_length() - 1


def published_repeats(network: Network) -> dict[str, str]:
    """Return the published names whose values repeat those of another name, with that other name."""
    if not isinstance(network, XVFI):
        return {}
    modules = {"rec_ext_ds_module.0.0": "channel_converter.0"}
    for i in range(_halvings(network)):
        modules[f"rec_ext_ds_module.{1 + 2 * i}"] = "rec_ext_ds"
    return {
        f"{again}.{values}": f"{first}.{values}"
        for again, first in modules.items()
        for values in ("weight", "bias")
    }


def _unused_shapes(network: Network, shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the published tensors that the network never uses; ``shapes`` has those it uses."""
    if isinstance(network, XVFI):
        nf = network.options.nf
        unused: dict[str, tuple[int, ...]] = {}
        for conv in ("conv1", "conv2"):
            unused[f"vfinet.refine_unet.{conv}.weight"] = (nf, nf, 3, 3)
            unused[f"vfinet.refine_unet.{conv}.bias"] = (nf,)
        return unused
    # the last down-projection with its attention and skip
    last: int = network.options.stages
    like = {"down1.": f"down{last}.", "SA1.": f"SA{last}."}
    if last >= 3:
        like["weight_up1."] = f"weight_down{last - 2}."
    return {
        name.replace(first, unused_part, 1): shape
        for first, unused_part in like.items()
        for name, shape in shapes.items()
        if name.startswith(first)
    }


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a ``.pth`` file: a state dict, flat or inside another, names with or without ``module.``.

    Raises:
        InputError: the file does not exist, is truncated, is not a PyTorch file, would execute code, or holds no state
            dict.
    """
    path = Path(path)
    content = _load(path)
    for key in _WRAPPERS * 3:  # nested wrappers, up to a limit
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict):
        raise InputError(path, "a state dict (names to tensors)", "no dictionary")
    tensors = {
        str(name): value for name, value in content.items() if isinstance(value, Tensor)
    }
    if not tensors or len(tensors) != len(content):
        found = f"{len(tensors)} tensors among {len(content)} entries"
        raise InputError(path, "a state dict (names to tensors)", found)
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.device.type != "cpu":
            found = f"a tensor without them ({tensor.layout}, {tensor.device})"
            raise InputError(f"{path}: {name}", "numbers", found)
    prefix = "module."  # from data-parallel training
    if all(name.startswith(prefix) for name in tensors):
        return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def _load(path: Path) -> Any:
    """Return the content of a ``.pth`` file, without executing any of it."""
    wanted = "a PyTorch file of tensors alone"
    do = "download the file again"
    try:
        with (
            warnings.catch_warnings()
        ):  # torch warns about foreign pickles before refusing them
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
    except Exception as error:  # torch.load raises many types
        reason = str(error).partition("\n")[0][:120]
        found = f"a truncated or foreign file ({type(error).__name__}: {reason})"
        raise InputError(path, wanted, found, do) from None


def published_shapes(network: Network) -> dict[str, tuple[int, ...]]:
    """Return every name and shape of the published file of this network, repeated and unused tensors included."""
    names = published_names(network)
    shapes: dict[str, tuple[int, ...]] = {}
    for name, parameter in network.named_parameters():
        theirs = names[name]
        shape = tuple(parameter.shape)
        if theirs.startswith(("channel_converter", "rec_")) and theirs.endswith(
            "weight"
        ):
            shape = (*shape[:2], 1, *shape[2:])  # stored as 3-D kernels
        shapes[theirs] = shape
    for again, first in published_repeats(network).items():
        shapes[again] = shapes[first]
    return shapes | _unused_shapes(network, shapes)


def xvfi_from_published(tensors: Tensors, where: object, **options: Any) -> XVFI:
    """Return XVFI with the published file's weights; its width and module scale are read from the shapes.

    Args:
        tensors: result of :func:`read_tensors`.
        where: file named in error messages.
        options: other options of :class:`XVFIOptions` (default: the release's).

    Raises:
        InputError: missing, extra, misshapen or non-finite tensors, or differing copies of a tensor.
    """
    if not {_XVFI_FIRST, _XVFI_U_NET} <= tensors.keys():
        expected = f"the published temporal network ({_XVFI_FIRST}, {_XVFI_U_NET} ..)"
        raise InputError(
            where, expected, first_names(sorted(tensors)), _other_file(tensors)
        )
    nf = _size(tensors, _XVFI_FIRST, 0)
    shuffled = _size(tensors, _XVFI_U_NET, 1) - 8  # 4 nf / m^2
    scales = [m for m in (1, 2, 4, 8, 16) if m**2 * shuffled == 4 * nf]
    m = scales[0] if scales else 4
    # if the two shapes are inconsistent, the others are compared with the released sizes
    if nf and 4 * nf % m**2 == 0:
        options = {"nf": nf, "module_scale": m, **options}
    return _filled(XVFI(XVFIOptions(**options)), tensors, where)


def abpn_from_published(tensors: Tensors, where: object, **options: Any) -> ABPN:
    """Return ABPN with the published file's weights; width, stages and factor are read from names and shapes.

    Arguments and errors are those of :func:`xvfi_from_published`.
    """
    stages = sum(
        bool(re.fullmatch(r"up\d+\.conv1\.deconv\.weight", name)) for name in tensors
    )
    if stages < 2 or _ABPN_SECOND not in tensors:
        expected = f"the published spatial network ({_ABPN_SECOND}, {_ABPN_UP} ..)"
        raise InputError(
            where, expected, first_names(sorted(tensors)), _other_file(tensors)
        )
    d = _size(tensors, _ABPN_SECOND, 0)
    factor = _size(tensors, _ABPN_UP, -1) - 2
    if d and factor > 1:
        options = {"d": d, "factor": factor, **options}
    return _filled(ABPN(ABPNOptions(stages=stages, **options)), tensors, where)


def _filled(network: N, tensors: Tensors, where: object) -> N:
    """Load the tensors into the network, after checking that they match the published file and are finite."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    wrong = shape_differences(shapes, published_shapes(network))
    if wrong:
        raise InputError(where, f"the tensors of the published {network.name}", wrong)
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or not torch.isfinite(tensor).all():
            raise InputError(
                f"{where}: {name}", "finite numbers", f"other values ({tensor.dtype})"
            )
    for again, first in published_repeats(network).items():
        if not torch.equal(tensors[again], tensors[first]):
            expected = f"the values of {first}, which it repeats"
            raise InputError(f"{where}: {again}", expected, "other values")
    own = network.state_dict()
    names = published_names(network)
    network.load_state_dict(
        {
            name: tensors[names[name]].reshape(weights.shape)
            for name, weights in own.items()
        }
    )
    return network.eval()


def _other_file(tensors: Tensors) -> str:
    """Return the advice if one published file was given for the other."""
    if _XVFI_FIRST in tensors:
        return "this is the temporal file: give it as --temporal"
    if _ABPN_SECOND in tensors:
        return "this is the spatial file: give it as --spatial"
    return ""


def _size(tensors: Tensors, name: str, axis: int) -> int:
    """Return the size of a tensor along an axis; 0 if the tensor or the axis is missing."""
    shape = tensors[name].shape if name in tensors else ()
    return shape[axis] if len(shape) > max(axis, 0) else 0


def import_published(
    folder: str | Path,
    temporal: str | Path | None = None,
    spatial: str | Path | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Convert a user's own copy of the authors' published weight files to checkpoints.

    Args:
        folder: folder for the checkpoints (created if needed) ``xvfi-published.safetensors`` and
            ``abpn-published.safetensors``.
        temporal: the published XVFI file (``.pth``), if any.
        spatial: the published ABPN file (``.pth``), if any.
        overwrite: replace existing checkpoints.

    Returns:
        the paths written.

    Raises:
        InputError: no file is given, or a file is not exactly the published one (see :func:`read_tensors`).
        OutputError: a checkpoint already exists, or cannot be written. Nothing is written unless all files are valid.
    """
    if temporal is None and spatial is None:
        expected = "--temporal FILE.pth, --spatial FILE.pth or both"
        raise InputError("models import", expected, "neither")
    networks: list[Network] = []
    sources: list[Path] = []
    for given, network_of in (
        (temporal, xvfi_from_published),
        (spatial, abpn_from_published),
    ):
        if given is not None:
            networks.append(network_of(read_tensors(given), given))
            sources.append(Path(given))
    paths = [Path(folder) / f"{network.name}-published{SUFFIX}" for network in networks]
    for path in paths:
        if path.exists() and not overwrite:
            raise OutputError(
                f"{path} exists already; choose another folder, or --overwrite"
            )
    for network, source, path in zip(networks, sources, paths, strict=True):
        provenance = {
            "origin": "weights published with DeepCAMS (Xiao et al. 2022), imported from a user's copy",
            "file": source.name,
            "file_sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
            "training_data": _TRAINED_ON[network.name],
        }
        # the authors trained with values clipped at 800 ug m-3
        save(network, path, LinearClip(), provenance=provenance)
    return paths
