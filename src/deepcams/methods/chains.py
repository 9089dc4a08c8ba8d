"""Build a chain of downscalers from their names."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from deepcams.core.errors import InputError, MissingExtraError, choose, notice
from deepcams.core.grid import FACTOR, FACTORS
from deepcams.core.registry import Registry
from deepcams.core.times import HOUR
from deepcams.methods import engines
from deepcams.methods.base import MAX_GAP, Chain
from deepcams.methods.temporal import at_points
from deepcams.networks import NETWORKS

if TYPE_CHECKING:
    from deepcams.networks.checkpoint import Card

TEMPORAL = Registry(
    "temporal downscaler",
    "deepcams.temporal",
    {
        **at_points.METHODS,
        "flow": "deepcams.methods.temporal.flow:Flow",
        "self-checked": "deepcams.methods.temporal.self_checked:SelfChecked",
    },
)
SPATIAL = Registry(
    "spatial downscaler",
    "deepcams.spatial",
    {
        "bicubic": "deepcams.methods.spatial.bicubic:Bicubic",
        "bilinear": "deepcams.methods.spatial.bicubic:Bilinear",
        "log-bicubic": "deepcams.methods.spatial.bicubic:LogBicubic",
    },
)
NONE = "none"
"""Method name that leaves the time steps or the grid unchanged."""

Order = Literal["spatial-first", "temporal-first"]
Kind = Literal["temporal", "spatial"]

BEST = "best"
"""Method name for the most accurate available method: a shipped network, or a training-free method without engines."""

TRAINING_FREE: dict[Kind, str] = {
    "temporal": "self-checked",
    "spatial": "log-bicubic",
}
"""The most accurate methods that need no training."""

_BEST: dict[Kind, str] = {"temporal": "self-checked", "spatial": "cellnet"}
"""The most accurate pair on real data not used for training (docs/accuracy.md): after ``cellnet``, ``flow-refine`` is
no better than ``flow`` and makes the chain four times slower. ``self-checked`` equals ``flow`` with two known frames
and is better with four."""

_SUFFIX = ".safetensors"
SHIPPED = Path(__file__).parents[1] / "weights"
"""Folder of the shipped weights."""


def models_folder() -> Path:
    """Return the folder of the user's own weights: ``$DEEPCAMS_MODELS``, else ``models`` in the working directory."""
    return Path(os.environ.get("DEEPCAMS_MODELS", "models"))


def best(kind: Kind) -> str:
    """Return the name of the most accurate available method; give a notice if no installed engine runs its network."""
    network = _BEST[kind]
    fallback = TRAINING_FREE[kind]
    files = weights_of(network)
    if network == fallback or not files:
        return fallback
    if _has_torch() or (engines.installed() and _is_exported(files[0])):
        return network
    axis = "time" if kind == "temporal" else "space"
    notice(
        f"without ONNX Runtime or PyTorch the method in {axis} is {fallback} instead of the more accurate network "
        f"{network}: pip install onnxruntime"
    )
    return fallback


def _has_torch() -> bool:
    return all(find_spec(package) is not None for package in ("torch", "safetensors"))


def _is_exported(path: Path, card: Card | None = None) -> bool:
    """Return whether a checkpoint has its exported network beside it; the card is read if not given."""
    from deepcams.networks.checkpoint import read_card
    from deepcams.networks.onnx_file import SUFFIX

    graph = path.with_suffix(SUFFIX)
    return graph.is_file() and (card or read_card(path)).exported is not None


def build(
    temporal: str = BEST,
    spatial: str = BEST,
    *,
    conserve: bool = True,
    order: Order = "spatial-first",
    device: str = "auto",
    precision: str = "float32",
    engine: str = "auto",
    variable: str | None = None,
    factor: int = FACTOR,
    gap: float | None = None,
    auxiliary: Sequence[str] = (),
) -> Chain:
    """Build a chain of methods from their names.

    A joint network, in space and time (``spacetime``), replaces both methods: give its name for both.

    Args:
        temporal: a name in :data:`TEMPORAL`, a network's name (``xvfi``), a checkpoint file, ``best`` (see
            :func:`best`), or ``none`` to keep the cadence.
        spatial: a name in :data:`SPATIAL`, a network's name (``abpn``), a checkpoint file, ``best``, or ``none`` to
            keep the grid.
        conserve: whether the spatial method conserves the coarse means.
        order: ``spatial-first`` (default, better for training-free methods) or ``temporal-first`` as in the paper.
        device: device of networks, ``flow`` and conservation: ``auto``, ``cpu`` or ``cuda``.
        precision: precision of networks: ``float32`` or ``bfloat16``.
        engine: engine of spatial networks on the CPU: one of :data:`deepcams.methods.engines.ENGINES`, ``torch``, or
            ``auto``: the fastest installed one that supports the network, else PyTorch.
        variable: variable to downscale; a checkpoint trained on another one raises. None: not checked.
        factor: fine nodes per coarse node in each direction: 3, or 5 for training-free methods.
        gap: longest gap between frames that is interpolated, hours, 2 to 6; default 3. Networks are trained on 3.
        auxiliary: weather files for a joint network that uses them.

    Raises:
        InputError: a name is unknown; a checkpoint is missing, damaged, of the wrong kind, or for another variable or
            factor; the device is not available; the engine cannot run the network.
        MissingExtraError: the library that runs the network is not installed.
    """
    choose("--order", order, get_args(Order))
    engines.check_engine(engine)
    how = {
        "device": device,
        "precision": precision,
        "engine": engine,
        "variable": variable,
    }
    if temporal == spatial and _is_joint(temporal):
        usual = {
            "--order": (order, "spatial-first"),
            "--factor": (factor, FACTOR),
            "--gap": (gap or MAX_GAP / HOUR, MAX_GAP / HOUR),
            "--no-conserve": (conserve, True),
        }
        for option, (found, only) in usual.items():
            if found != only:
                expected = f"a method in time and one in space with {option}"
                raise InputError(f"--method {temporal}", expected, "one in both")
        return Chain([_joint(temporal, how, auxiliary)])
    if auxiliary:
        found = f"{temporal} in time, {spatial} in space"
        raise InputError("--auxiliary", "a network in space and time", found)
    in_time = _with_gap(_method("temporal", temporal, TEMPORAL, how), gap)
    if spatial == BEST and factor != FACTOR:
        spatial = TRAINING_FREE["spatial"]
    in_space = _with_factor(_method("spatial", spatial, SPATIAL, how), factor)
    if in_space is not None and conserve:
        from deepcams.methods.arrays import arrays_for
        from deepcams.methods.spatial.conserve import Conserving

        in_space = Conserving(in_space, arrays=arrays_for(device))
    parts = [in_space, in_time] if order == "spatial-first" else [in_time, in_space]
    return Chain([part for part in parts if part is not None])


def check_factor(factor: int) -> None:
    """Check that at least one method supports a factor.

    Raises:
        InputError: no method supports the factor.
    """
    if factor not in FACTORS:
        even = "an even one puts no fine node on a coarse node or a pole"
        expected = " or ".join(map(str, FACTORS))
        raise InputError("--factor", expected, factor, "" if factor % 2 else even)


def _with_factor(method: Any, factor: int) -> Any:
    """Set the factor of a spatial method.

    Raises:
        InputError: no method supports the factor, or this one does not.
    """
    check_factor(factor)
    if method is None or factor == method.factor:
        return method
    if factor not in getattr(method, "factors", ()):
        raise InputError(
            f"--factor {factor}",
            "a method in space for it (bilinear, bicubic, log-bicubic)",
            method.name,
        )
    method.factor = factor
    return method


def _with_gap(method: Any, gap: float | None) -> Any:
    """Set the longest gap that a temporal method interpolates, hours.

    Raises:
        InputError: the gap is not in 2..6, or differs from 3 for a network.
    """
    if gap is None or method is None:
        return method
    if not 2 <= gap <= 6:
        raise InputError("--gap", "2 to 6 hours", f"{gap:g}")
    if gap > MAX_GAP / HOUR and "sha256" in method.settings():
        found = f"the network {method.name}, which learned {MAX_GAP / HOUR:g}"
        raise InputError(f"--gap {gap:g}", "a method that needs no training", found)
    method.max_gap = np.timedelta64(round(gap * 60), "m").astype("timedelta64[ns]")
    return method


def weights_of(network: str) -> list[Path]:
    """Return the checkpoints for a network's name.

    These are the one of exactly that name in the models folder, else all named NAME-.. there, else the shipped one.
    """
    for folder in (models_folder(), SHIPPED):
        exact = folder / f"{network}{_SUFFIX}"
        found = (
            [exact] if exact.is_file() else sorted(folder.glob(f"{network}-*{_SUFFIX}"))
        )
        if found:
            return found
    return []


def with_weights() -> list[str]:
    """Return the names of all networks, and of all weights in the models folder and the package."""
    stems = [
        path.stem
        for folder in (models_folder(), SHIPPED)
        for path in sorted(folder.glob(f"*{_SUFFIX}"))
    ]
    return list(dict.fromkeys([*NETWORKS.names(), *stems]))


def is_checkpoint(name: str) -> bool:
    """Return whether a method's name denotes a checkpoint file."""
    return name.endswith((_SUFFIX, ".pth", ".pt", ".ckpt")) or os.sep in name


def _is_joint(name: str) -> bool:
    """Return whether a name denotes a joint network or its checkpoint."""
    if name in (NONE, BEST) or name in (*TEMPORAL.names(), *SPATIAL.names()):
        return False
    known = is_checkpoint(name) or name in with_weights()
    return known and kind_of(name) == "joint"


def _joint(name: str, how: dict[str, Any], files: Sequence[str]) -> Any:
    """Return a joint network as a downscaler, with the chain whose result it corrects."""
    from deepcams.methods.joint.estimates import Estimates, Joint, Runner
    from deepcams.networks.checkpoint import read_card

    path = _weights(name, "--method", [])
    card = read_card(path)
    _check_variable(path, card, how["variable"])
    estimate = card.options["estimate"]
    start = build("self-checked", estimate, **{**how, "variable": None})
    engine = _engine(path, card, how)
    runner: Runner
    if engine != engines.TORCH:
        from deepcams.methods.onnx_methods import ExportedJoint
        from deepcams.networks.onnx_file import load_exported

        runner = ExportedJoint(load_exported(path), engine)
    else:
        with _needs_torch(path):
            from deepcams.methods.joint.neural_joint import NeuralJoint
            from deepcams.networks.checkpoint import load

            runner = NeuralJoint(load(path), how["device"], how["precision"])
    auxiliary = None
    if files:
        from deepcams.methods.joint.weather_inputs import open_auxiliary

        auxiliary = open_auxiliary(files, runner.context, path)
    return Joint(runner, Estimates(start), auxiliary)


@contextmanager
def _needs_torch(path: Path) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"the network {path.name}", "networks") from error


def _check_variable(path: Path, card: Card, variable: str | None) -> None:
    if variable not in (None, card.variable):
        found = f"weights trained on {card.variable}"
        raise InputError(path, f"weights trained on {variable}", found)


def kind_of(name: str) -> str:
    """Return the kind of a method: "temporal", "spatial" or "joint".

    For a checkpoint only the card is read.

    Raises:
        InputError: the name is not a method, a network with weights, or a checkpoint file.
    """
    if name in TEMPORAL.names():
        return "temporal"
    if name in SPATIAL.names():
        return "spatial"
    from deepcams.networks.checkpoint import read_card

    card = read_card(_weights(name, "method", [*TEMPORAL.names(), *SPATIAL.names()]))
    return card.kind


def _method(kind: Kind, name: str, registry: Registry, how: dict[str, Any]) -> Any:
    """Return the method of a name or the network in a checkpoint file; None for ``none``."""
    if name == NONE:
        return None
    if name == BEST:
        name = best(kind)
    if name in registry.names():
        method = registry.get(name)
        on_device = getattr(method, "on_device", None)
        return on_device(how["device"]) if on_device else method()
    return _neural(kind, _weights(name, f"--{kind}", [*registry.names(), NONE]), how)


def _weights(name: str, where: str, others: list[str]) -> Path:
    """Return the path of a checkpoint, given its path or the network's name."""
    if is_checkpoint(name):
        return Path(name)
    choose(where, name, [BEST, *others, *with_weights()])
    found = weights_of(name)
    if len(found) == 1:
        return found[0]
    names = f"{name}{_SUFFIX} or one {name}-..{_SUFFIX}"
    do = "name a checkpoint file"
    if not found:
        do += ", or read the published weights with `deepcams models import`"
    raise InputError(
        f"{where} {name}",
        f"its weights in the folder {models_folder()} ({names})",
        ", ".join(path.name for path in found) or "none",
        do,
    )


def _neural(kind: Kind, path: Path, how: dict[str, Any]) -> Any:
    """Check that a checkpoint fits and return its network as a method."""
    from deepcams.networks.checkpoint import read_card

    card = read_card(path)
    if card.kind != kind:
        found = f"a {card.kind} one ({card.network})"
        option = "method" if card.kind == "joint" else card.kind
        raise InputError(
            f"--{kind} {path}", f"a {kind} network", found, f"use --{option}"
        )
    _check_variable(path, card, how["variable"])
    if kind == "spatial" and card.factor != FACTOR:
        raise InputError(path, f"a network of factor {FACTOR}", f"factor {card.factor}")
    engine = _engine(path, card, how)
    if engine != engines.TORCH:
        from deepcams.methods.onnx_methods import ExportedSpatial
        from deepcams.networks.onnx_file import load_exported

        return ExportedSpatial(load_exported(path), engine)
    with _needs_torch(path):
        from deepcams.methods.spatial.neural_spatial import NeuralSpatial
        from deepcams.methods.temporal.neural_temporal import NeuralTemporal
        from deepcams.networks.checkpoint import load

        checkpoint = load(path)
    channels = checkpoint.network.channels
    if channels != 1:
        raise InputError(
            path, "a network of one variable", f"one of {channels} channels"
        )
    method = NeuralTemporal if kind == "temporal" else NeuralSpatial
    return method(checkpoint, how["device"], how["precision"])


def _engine(path: Path, card: Card, how: dict[str, Any]) -> str:
    """Choose the engine for a network; PyTorch for GPUs, bfloat16 and networks that are not exported.

    Raises:
        InputError: an engine was requested with options that only PyTorch supports.
    """
    engine = how["engine"]
    if engine == engines.TORCH or card.kind == "temporal":
        return engines.TORCH
    from deepcams.methods.device import uses_gpu

    gpu = uses_gpu(how["device"])
    only_torch = {
        f"--device {how['device']}": gpu and how["device"] != "auto",
        f"--precision {how['precision']}": how["precision"] != "float32",
    }
    needs = [name for name, found in only_torch.items() if found]
    if engine == engines.AUTO:
        quickest = next(iter(engines.installed()), engines.TORCH)
        ready = not gpu and not needs and _is_exported(path, card)
        return quickest if ready else engines.TORCH
    if needs:
        raise InputError(
            f"--engine {engine}",
            "float32 on the CPU",
            needs[0],
            "use --engine torch",
        )
    return str(engine)
