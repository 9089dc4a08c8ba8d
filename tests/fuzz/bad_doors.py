"""Doors that do what no door may: the child must see it."""

from __future__ import annotations

import os
import time
from pathlib import Path

from fuzz.doors import Door


def _traceback(folder: Path) -> None:
    raise KeyError("a")


def _memory(folder: Path) -> None:
    bytearray(6 << 30)


def _much(folder: Path) -> None:
    import numpy as np

    np.ones(2300 << 20, np.uint8)


def _elsewhere(folder: Path) -> None:
    (folder.parents[1] / "escape").write_text("a")


def _far(folder: Path) -> None:
    path = folder.parents[2] / f"deepcams-far-{os.getpid()}"
    path.write_text("a")
    path.unlink()


def _beside(folder: Path) -> None:
    (folder / "index").write_text("a")


def _crash(folder: Path) -> None:
    os.abort()


def _hang(folder: Path) -> None:
    time.sleep(1000)


def _unprintable(folder: Path) -> None:
    from deepcams.core.errors import DeepcamsError

    error = DeepcamsError("")
    error.args = ("\x1b[2J",)
    raise error


BAD = {
    name: Door(lambda folder: None, (way,))
    for name, way in {
        "traceback": _traceback,
        "memory": _memory,
        "much": _much,
        "elsewhere": _elsewhere,
        "far": _far,
        "beside": _beside,
        "crash": _crash,
        "hang": _hang,
        "unprintable": _unprintable,
    }.items()
}
EXPECTED = {
    "traceback": "KeyError: 'a'",
    "memory": "memory",
    "much": "takes 2.",
    "elsewhere": "escape",
    "far": "wrote",
    "beside": "beside the input",
    "crash": "signal 6",
    "hang": "no answer",
    "unprintable": "unprintable",
}
"""What the child says of each."""
