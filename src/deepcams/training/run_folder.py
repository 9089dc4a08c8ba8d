"""The folder of one training: frozen experiment, log, state and best weights.

It holds ``experiment.yaml``, ``log.csv``, ``curve.png``, ``state.pt``, ``NAME.safetensors``, ``tensorboard/``, and in
``.deepcams/`` the experiment and the contents of the stores, which must be the same when a training is resumed. Files
are written atomically: if a write fails, the previous version stays.
"""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from deepcams.core.errors import InputError, OutputError, notice
from deepcams.core.times import stamp
from deepcams.files.atomic import (
    os_errors_explained,
    remove_unfinished,
    write_atomically,
)
from deepcams.files.records import FOLDER, Records, differences
from deepcams.networks.checkpoint import SUFFIX
from deepcams.training.options import Experiment
from deepcams.training.store.open import Prepared

EXPERIMENT, LOG, STATE, TENSORBOARD = (
    "experiment.yaml",
    "log.csv",
    "state.pt",
    "tensorboard",
)
FLOW = "flow"
"""Folder name of the cached motion of whole frames."""
STATE_VERSION = 1
FREE_TO_CHANGE = {
    "training": ("steps", "epochs", "minutes", "workers", "log_every", "save_every"),
    "validation": ("patience",),
    "output": ("card",),
}
"""Values that may differ when a training is resumed; none affects a step except through the schedule's end."""
COLUMNS = (
    "step",
    "epoch",
    "minutes",
    "lr",
    "loss",
    "gradient",
    "mae",
    "rmse",
    "baseline_mae",
    "skill",
    "best",
)
"""Columns of the log. Loss and gradient: means since the previous row; mae to skill: of a validation, else empty."""
_CHARTS = ("loss", "gradient", "lr", "mae", "rmse", "skill")


class RunFolder:
    """The output folder of a training; see the module.

    Args:
        path: the folder.
        experiment: the experiment.
    """

    def __init__(self, path: str | Path, experiment: Experiment) -> None:
        self.path, self.experiment = Path(path), experiment
        self.best = self.path / f"{experiment.output.name}{SUFFIX}"
        self.log, self.state = self.path / LOG, self.path / STATE
        self._board: Any = None

    def begin(self, resume: bool, stores: Sequence[Prepared]) -> bool:
        """Create the folder, or check that it holds this training.

        Args:
            resume: whether an existing training may be continued.
            stores: training stores, in the experiment's order.

        Returns:
            whether a saved state exists.

        Raises:
            OutputError: a training exists and ``resume`` is False; it is another training, or its stores have changed
                since it began; or the folder holds other files.
        """
        if self.path.exists() and not self.path.is_dir():
            raise OutputError(f"{self.path} is a file; name a folder for the training")
        records = Records(self.path / FOLDER)
        if records.identity() is None:
            if self.path.exists() and any(
                one.name != FOLDER for one in self.path.iterdir()
            ):
                raise OutputError(
                    f"{self.path} is not empty and holds no training; name another folder"
                )
        elif not resume:
            do = "continue it with --resume, or name another folder"
            raise OutputError(f"{self.path} holds a training already; {do}")
        values = self.experiment.model_dump(mode="json")
        text = yaml.safe_dump(
            values,
            sort_keys=False,
            allow_unicode=True,
            default_flow_style=None,
            width=100,
        )
        for part, names in FREE_TO_CHANGE.items():
            for name in names:
                del values[part][name]
        values["stores"] = [_contents(store) for store in stores]
        do = "begin another training in another folder"
        before = records.identity() or values
        if differences({"stores": before.get("stores")}, {"stores": values["stores"]}):
            do = f"its data were changed since it began: {do}"
        records.begin(values, self.path, do)
        with os_errors_explained(self.path):
            remove_unfinished(self.path)
            frozen = f"# frozen by deepcams train\n{text}"
            write_atomically(self.path / EXPERIMENT, frozen.encode())
        return self.state.exists()

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Write the state needed to resume: tensors and plain values.

        Raises:
            OutputError: the state cannot be written; the previous one is unchanged.
        """
        buffer = io.BytesIO()
        torch.save({"version": STATE_VERSION, **state}, buffer)
        with os_errors_explained(self.state):
            write_atomically(self.state, buffer.getvalue())

    def load_state(self) -> dict[str, Any]:
        """Read the saved state, without executing any code in the file.

        Raises:
            InputError: the file is damaged, or of another version.
        """
        try:
            state = torch.load(self.state, map_location="cpu", weights_only=True)
        except Exception as error:  # on invalid bytes the reader may raise anything
            reason = (str(error).splitlines() or [type(error).__name__])[0][:80]
            expected, do = (
                "the saved state of a training",
                "begin it anew in another folder",
            )
            raise InputError(
                self.state, expected, f"a damaged file ({reason})", do
            ) from None
        version = state.get("version") if isinstance(state, dict) else None
        if version != STATE_VERSION:
            expected = f"the state of a training, version {STATE_VERSION}"
            raise InputError(self.state, expected, f"version {version}")
        return dict(state)

    def open_log(self, step: int) -> None:
        """Drop the rows after ``step``, which will be written again; open TensorBoard's log if it is installed."""
        rows = read_log(self.log) if self.log.exists() else []
        buffer = io.StringIO(newline="")
        writer = csv.DictWriter(buffer, COLUMNS)
        writer.writeheader()
        writer.writerows(row for row in rows if int(row["step"]) <= step)
        with os_errors_explained(self.log):
            write_atomically(self.log, buffer.getvalue().encode())
        if importlib.util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            board: Any = SummaryWriter
            purge = step + 1 if step > 0 else None
            self._board = board(str(self.path / TENSORBOARD), purge_step=purge)

    def append(self, row: Mapping[str, Any]) -> None:
        """Append a row (:data:`COLUMNS`) to the log.

        Raises:
            OutputError: the log cannot be written.
        """
        with os_errors_explained(self.log), self.log.open("a", newline="") as file:
            csv.DictWriter(file, COLUMNS).writerow(row)
        try:
            for name in _CHARTS:
                if name in row and self._board is not None:
                    self._board.add_scalar(name, row[name], row["step"])
        except (
            OSError
        ) as error:  # the CSV file is complete: do not stop for the second log
            notice(
                f"TensorBoard's log cannot be written any more: {error.strerror or error}"
            )
            self._board = None

    def close_log(self) -> None:
        """Flush buffered rows."""
        if self._board is not None:
            with contextlib.suppress(OSError):
                self._board.close()


def read_log(path: str | Path) -> list[dict[str, str]]:
    """Return the rows of a log, without an incomplete last row."""
    with Path(path).open(newline="") as file:
        rows: Iterable[dict[str, str]] = list(csv.DictReader(file))
    whole = [
        row
        for row in rows
        if None not in row.values() and (row["step"] or "").isdigit()
    ]
    return [{name: row[name] for name in COLUMNS} for row in whole]


def _contents(store: Prepared) -> dict[str, Any]:
    hours = f"{len(store.times)}, {stamp(store.times[0])} to {stamp(store.times[-1])}"
    return {"name": str(store.path), "hours": hours, "fingerprint": store.fingerprint}
