"""Engines that run exported networks, one class each.

The first installed engine of :data:`PREFERRED`, which lists the fastest first, is used. All compute in float32.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from deepcams.core.errors import InputError, MissingExtraError, choose
from deepcams.core.machine import threads
from deepcams.core.registry import Registry

TORCH = "torch"
"""Engine name of PyTorch, which runs every network from its checkpoint, on CPU or GPU."""
AUTO = "auto"
PREFERRED = ("openvino", "onnxruntime")
ENGINES = Registry(
    "engine",
    "deepcams.engines",
    {
        "onnxruntime": "deepcams.methods.engines:OnnxRuntime",
        "openvino": "deepcams.methods.engines:OpenVino",
    },
)


class Engine(Protocol):
    """An engine that has loaded one graph.

    Attributes:
        package: required package; also the engine's name.
        version: version of the package.
    """

    package: ClassVar[str]
    version: str

    def __init__(self, graph: bytes, threads: int) -> None:
        """Load an ONNX graph; any exception means that the engine cannot run it."""
        ...

    def run(self, frames: np.ndarray) -> np.ndarray:
        """Compute (N, channels, H, W) -> (N, 1, rows, columns), float32; any N, H and W."""
        ...


class OnnxRuntime:
    """ONNX Runtime (MIT) on the CPU, with its telemetry turned off.

    Since 1.32 builds for Linux and macOS have telemetry too: the import creates an identifier in the home folder unless
    an environment variable is set before. The call turns off tracing on Windows.
    """

    package = "onnxruntime"

    def __init__(self, graph: bytes, threads: int) -> None:
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime

        onnxruntime.disable_telemetry_events()
        self.version = str(onnxruntime.__version__)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4
        # Spinning threads would use CPU time between frames.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session: Any = onnxruntime.InferenceSession(
            graph, options, providers=["CPUExecutionProvider"]
        )

    def run(self, frames: np.ndarray) -> np.ndarray:
        """Compute; see :meth:`Engine.run`."""
        name = self._session.get_inputs()[0].name
        return np.asarray(self._session.run(None, {name: frames})[0])


class OpenVino:
    """OpenVINO (Apache 2.0) on the CPU; float32 is set because it would use bfloat16 on CPUs that support it."""

    package = "openvino"

    def __init__(self, graph: bytes, threads: int) -> None:
        import openvino

        self.version = str(openvino.__version__).split("-")[0]
        core = openvino.Core()
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,
            "PERFORMANCE_HINT": "LATENCY",
        }
        self._model: Any = core.compile_model(core.read_model(graph), "CPU", settings)

    def run(self, frames: np.ndarray) -> np.ndarray:
        """Compute; see :meth:`Engine.run`."""
        return np.array(self._model([frames])[0])


def installed() -> list[str]:
    """Return the installed engines of :data:`PREFERRED`, the fastest first."""
    return [name for name in PREFERRED if find_spec(name) is not None]


def open_engine(name: str, graph: bytes, path: Path) -> Engine:
    """Load a graph into an engine.

    Args:
        name: name in :data:`ENGINES`.
        graph: bytes of an ONNX file.
        path: path of that file, for errors.

    Raises:
        InputError: the engine is unknown, or cannot run the graph (unsupported operation).
        MissingExtraError: the engine is not installed.
    """
    kind = ENGINES.get(name)
    try:
        return kind(graph, threads())
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"--engine {name}", name) from error
    except Exception as error:  # each engine raises its own types
        found = f"{type(error).__name__}: {error}"
        raise InputError(
            path, f"a network that {name} can run", found, "use --engine torch"
        ) from error


def check_engine(name: str) -> None:
    """Check the name of an engine.

    Raises:
        InputError: the name is unknown.
    """
    choose("--engine", name, [AUTO, TORCH, *ENGINES.names()])
