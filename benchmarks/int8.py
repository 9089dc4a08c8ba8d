"""Measure the shipped network in fewer bits: ``python benchmarks/int8.py``.

It needs OpenVINO, onnx and the development data. Weights are rounded to 8 bits a channel, what convolutions take to 8
bits a layer, in the range of two of four real hours; the scores are those of the two others. ``int8 inside`` leaves the
first and the last convolutions as they are.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)

from deepcams.core.field import grid_of
from deepcams.core.grid import cells_from_nodes
from deepcams.methods.chains import SHIPPED
from deepcams.methods.spatial.coarsen import coarsen
from deepcams.readers.open import open_field

ROOT = Path(__file__).resolve().parents[1]
TRUTH = ROOT.parent / "shared/data/geos_cf/geos_cf_20190308_0030-0330z_west.nc4"
GRAPH = SHIPPED / "cellnet.onnx"
_OUTER = 3
"""Convolutions that are left as they are: the bicubic start, the first and the last one."""


class _Hours(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, name: str, hours: np.ndarray) -> None:
        self._each: Iterator[Any] = iter([{name: hour[None]} for hour in hours])

    def get_next(self) -> Any:
        return next(self._each, None)


def opened(path: Path, precision: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return a graph in OpenVINO, in one thread."""
    core = openvino.Core()
    settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": 1}
    model: Any = core.compile_model(core.read_model(path), "CPU", settings)
    return lambda frames: np.array(model([frames])[0])


def main() -> None:
    """See the module."""
    field = open_field(TRUTH).load()
    coarse = coarsen(field)
    grid = grid_of(coarse)
    fine = grid.refine()
    inside = field.sel(
        latitude=fine.latitudes, longitude=fine.longitudes, method="nearest"
    )
    truth = np.stack([cells_from_nodes(hour, grid) for hour in inside.values])[2:]
    hours = coarse.values[:, None].astype(np.float32)
    graph = onnx.load(GRAPH).graph
    convolutions = [node.name for node in graph.node if node.op_type == "Conv"]
    outer = [*convolutions[: _OUTER - 1], convolutions[-1]]
    tile = np.resize(hours[0], (1, 1, 280, 520))
    with tempfile.TemporaryDirectory() as folder:
        runs = {name: opened(GRAPH, name) for name in ("f32", "bf16")}
        for name, left in (("int8", []), ("int8 inside", outer)):
            path = Path(folder) / f"{name}.onnx"
            quantize_static(
                GRAPH,
                path,
                _Hours(graph.input[0].name, hours[:2]),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["Conv"],
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=left,
            )
            runs[name] = opened(path, "f32")
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(7):
            for name, run in runs.items():
                began = time.process_time()
                run(tile)
                seconds[name].append(time.process_time() - began)
        found = {
            name: np.concatenate([run(hour[None]) for hour in hours[2:]])[:, 0]
            for name, run in runs.items()
        }
    print(
        "| | a tile, s | moved by, mean ug m-3 | of a value, mean | most | MAE | RMSE |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, values in found.items():
        apart = abs(values - found["f32"])
        share = apart / np.maximum(found["f32"], 1)
        error = values - truth
        figures = (
            f"{statistics.median(seconds[name]):.3f}",
            f"{apart.mean():.4f}",
            f"{share.mean():.2%}",
            f"{share.max():.1%}",
            f"{np.nanmean(abs(error)):.4f}",
            f"{np.sqrt(np.nanmean(error**2)):.4f}",
        )
        print(f"| {name} | {' | '.join(figures)} |")


if __name__ == "__main__":
    main()
