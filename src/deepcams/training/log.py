"""The log of a training: rows of a CSV file, and the same for TensorBoard where it is installed."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Mapping
from typing import Any

from deepcams.core.errors import notice
from deepcams.training.run_folder import TENSORBOARD, RunFolder


class Log:
    """Writes rows.

    Args:
        folder: where to.
        step: after which rows follow; TensorBoard drops what it has beyond.
    """

    def __init__(self, folder: RunFolder, step: int) -> None:
        self.folder, self._board = folder, None
        if importlib.util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            board: Any = SummaryWriter
            self._board = board(
                str(folder.path / TENSORBOARD), purge_step=step + 1 if step else None
            )

    def write(self, row: Mapping[str, Any]) -> None:
        """Add a row (:data:`deepcams.training.run_folder.COLUMNS`).

        Raises:
            OutputError: it cannot be written.
        """
        self.folder.append(row)
        if self._board is None:
            return
        try:
            for name in ("loss", "gradient", "lr", "mae", "rmse", "skill"):
                if name in row:
                    self._board.add_scalar(name, row[name], row["step"])
        except OSError as error:  # the CSV file has it all: a second log is no reason to stop
            notice(f"TensorBoard's log cannot be written any more: {error.strerror or error}")
            self._board = None

    def close(self) -> None:
        """Write what is buffered."""
        if self._board is not None:
            with contextlib.suppress(OSError):
                self._board.close()
