"""The libraries of the extra [fetch], imported when they are needed."""

from __future__ import annotations

import importlib
from typing import Any

from deepcams.errors import MissingExtraError


def need(module: str) -> Any:
    """Import a library of the extra.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError("deepcams fetch", "fetch") from error
