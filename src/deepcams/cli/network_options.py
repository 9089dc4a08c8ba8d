"""Options of verbs that run networks."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

DeviceOption: TypeAlias = Annotated[
    str,
    typer.Option("--device", help="Where networks and flow run: auto, cpu or cuda."),
]
PrecisionOption: TypeAlias = Annotated[
    str, typer.Option("--precision", help="Of networks: float32 or bfloat16.")
]
EngineOption: TypeAlias = Annotated[
    str,
    typer.Option(
        "--engine",
        help="What runs a network in space: auto, onnxruntime, openvino or torch.",
    ),
]
