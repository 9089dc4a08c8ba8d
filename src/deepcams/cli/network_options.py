"""Options of verbs that run networks."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

DeviceOption: TypeAlias = Annotated[
    str,
    typer.Option("--device", help="Where networks and flow run: auto, cpu or cuda."),
]
PrecisionOption: TypeAlias = Annotated[
    str, typer.Option("--precision", help="Precision of networks: float32 or bfloat16.")
]
EngineOption: TypeAlias = Annotated[
    str,
    typer.Option(
        "--engine",
        help="Engine of networks in space: auto, onnxruntime, openvino or torch.",
    ),
]


def methods_of(method: str | None, temporal: str, spatial: str) -> tuple[str, str]:
    """Return the methods in time and in space; a joint method stands for both.

    Raises:
        InputError: ``--method`` together with one of the others.
    """
    if method is None:
        return temporal, spatial
    for option, value in (("--temporal", temporal), ("--spatial", spatial)):
        if value != "best":
            from deepcams.core.errors import InputError

            raise InputError("--method", f"it without {option}", "both")
    return method, method
