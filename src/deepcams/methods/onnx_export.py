"""Export a trained network to ONNX, to run it without torch (:mod:`deepcams.networks.onnx_file`)."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import logging
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deepcams.core.errors import DeepcamsError, InputError, MissingExtraError
from deepcams.files.atomic import os_errors_explained, write_atomically
from deepcams.methods.engines import installed, open_engine
from deepcams.methods.joint.neural_joint import scaled_planes
from deepcams.networks.base import JointNetwork, SpatialNetwork
from deepcams.networks.checkpoint import VERSION, Checkpoint, load, rewrite_card
from deepcams.networks.onnx_file import INPUT, OUTPUT, SUFFIX, Exported
from deepcams.networks.scaling import Scaling


class _Graph(nn.Module):
    """The network with its scaling and the inverse: ug m-3 to ug m-3."""

    def __init__(
        self, network: SpatialNetwork | JointNetwork, scaling: Scaling
    ) -> None:
        super().__init__()
        self.network = network
        self.scaling = scaling

    def forward(self, coarse: Tensor) -> Tensor:
        if isinstance(self.network, JointNetwork):
            seen = scaled_planes(coarse, self.scaling)
        else:
            seen = self.scaling.forward(coarse)
        return self.scaling.inverse(self.network.refine(seen))

    @property
    def planes(self) -> int:
        """Number of input channels."""
        if isinstance(self.network, JointNetwork):
            return self.network.planes
        return self.network.channels


TOLERANCE = 3e-5
"""Largest allowed relative difference between the results of an engine and PyTorch."""


def export(path: str | Path) -> tuple[Path, dict[str, float]]:
    """Export a checkpoint's network to an ONNX file with the same stem, and write its checksum into the card.

    Every installed engine must reproduce PyTorch's results before anything is written. The checkpoint is written last:
    until then its card is unchanged, so the new graph does not match it.

    Args:
        path: checkpoint of a spatial or joint network.

    Returns:
        the path of the ONNX file, and the largest difference from PyTorch by engine (see :data:`TOLERANCE`).

    Raises:
        InputError: the checkpoint does not exist, is damaged, temporal or of several variables, or has operations that
            ONNX or an engine does not support.
        DeepcamsError: an engine's results differ from PyTorch's.
        MissingExtraError: the packages for the export are not installed.
        OutputError: a file cannot be written.
    """
    path = Path(path)
    checkpoint = load(path)
    network: Any = checkpoint.network
    if not isinstance(network, SpatialNetwork | JointNetwork):
        raise InputError(path, "a network in space", f"one in time ({network.name})")
    if network.channels != 1:
        found = f"one of {network.channels} channels"
        raise InputError(path, "a network of one variable", found)
    graph = _graph_of(checkpoint, path)
    target = path.with_suffix(SUFFIX)
    module = _Graph(network, checkpoint.scaling).eval()
    differences = {
        name: max(_differences(module, name, graph, target)) for name in installed()
    }
    rule = network.size_rule
    tiling = network.tiling if isinstance(network, SpatialNetwork) else None
    side = tiling.size if tiling else rule.enlarge(512, 512)[0]
    halo = tiling.halo if tiling else 0
    if isinstance(network, JointNetwork):
        halo = network.receptive_field
    about = Exported(
        sha256=hashlib.sha256(graph).hexdigest(),
        multiple=rule.multiple,
        minimum=rule.minimum,
        tile=tiling.size if tiling else 0,
        halo=halo,
        bytes_per_pixel=-(-network.working_bytes(side, side) // side**2),
        clip_above=checkpoint.scaling.clip_above,
    )
    with os_errors_explained(target):
        write_atomically(target, graph)
    rewrite_card(
        path,
        replace(checkpoint.card, exported=dataclasses.asdict(about), version=VERSION),
    )
    return target, differences


def _differences(
    module: _Graph, name: str, graph: bytes, path: Path
) -> Iterator[float]:
    """Yield the differences between an engine's results and PyTorch's, for frames of several sizes.

    Raises:
        DeepcamsError: a difference exceeds :data:`TOLERANCE`.
    """
    engine = open_engine(name, graph, path)
    draw = np.random.default_rng(0)
    rule = module.network.size_rule
    for number, rows, columns in ((1, 1, 1), (2, 37, 61), (1, 90, 48)):
        shape = (number, module.planes, *rule.enlarge(rows, columns))
        frames = draw.lognormal(1, 1.5, shape).astype(np.float32)
        frames[0, 0, 0] = 0
        with torch.inference_mode():
            wanted = module(torch.from_numpy(frames)).numpy()
        found = engine.run(frames)
        scale = np.maximum(abs(wanted), 1e-6)
        difference = float((abs(found - wanted) / scale).max())
        if not difference <= TOLERANCE:
            raise DeepcamsError(
                f"{path}: {name} {engine.version} differs from PyTorch by {difference:.1e} of a value, more than "
                f"{TOLERANCE:g}; the network was not exported"
            )
        yield difference


def _graph_of(checkpoint: Checkpoint, path: Path) -> bytes:
    network: Any = checkpoint.network
    rows, columns = network.size_rule.enlarge(45, 61)
    module = _Graph(network, checkpoint.scaling).eval()
    example = torch.ones(2, module.planes, rows, columns)
    sizes = {
        0: torch.export.Dim("batch"),
        2: torch.export.Dim.AUTO,
        3: torch.export.Dim.AUTO,
    }
    try:
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError("exporting a network", "training") from error
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module,
                (example,),
                None,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=[sizes],
                dynamo=True,
                verbose=False,
            )
    except DeepcamsError:
        raise
    except Exception as error:  # the exporter may raise anything
        cause = (
            error.__cause__ or error
        )  # the error itself only lists the exporter's stages
        found = f"{type(cause).__name__}: {cause}"
        raise InputError(
            path, "a network that can be exported to ONNX", found, "use --engine torch"
        ) from error
    assert program is not None
    model = program.model_proto
    # Source traces contain local paths, so the bytes would differ between machines.
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    del graph.value_info[:]
    return bytes(model.SerializeToString(deterministic=True))
