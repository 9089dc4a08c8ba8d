"""The folder of one training: its frozen experiment, its log, its state, and the best weights.

``experiment.yaml``, ``data.json``, ``log.csv``, ``curve.png``, ``state.pt``, ``NAME.safetensors`` and
``tensorboard/``. Files appear whole or not at all; whatever fails while one is written, its last good version stays.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from deepcams.core.errors import InputError, OutputError
from deepcams.files.atomic import os_errors_explained, remove_unfinished, write_atomically
from deepcams.networks.checkpoint import SUFFIX
from deepcams.training.options import Experiment
from deepcams.training.store.open_store import Prepared, fingerprint

EXPERIMENT, LOG, STATE, TENSORBOARD = "experiment.yaml", "log.csv", "state.pt", "tensorboard"
GUIDES = "guides"
DATA = "data.json"
"""What the stores held when the training began."""
STATE_VERSION = 1
FREE_TO_CHANGE = (
    "training.steps",
    "training.epochs",
    "training.minutes",
    "training.workers",
    "training.log_every",
    "training.save_every",
    "validation.patience",
    "output.card",
)
"""What may differ when a training goes on: none of it changes what a step does but the schedule's end."""
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
"""Of the log. Loss and gradient: means since the row before; mae .. skill: of a validation, else empty."""


class RunFolder:
    """Where a training writes; see the module.

    Args:
        path: the folder.
        experiment: what is trained.
    """

    def __init__(self, path: str | Path, experiment: Experiment) -> None:
        self.path, self.experiment = Path(path), experiment
        self.best = self.path / f"{experiment.output.name}{SUFFIX}"
        self.log = self.path / LOG

    def begin(self, resume: bool, stores: Sequence[Prepared] = ()) -> bool:
        """Make the folder, or check that the training in it is this one.

        Args:
            resume: whether it may go on with a training that is there.
            stores: what it learns from, in the experiment's order.

        Returns:
            whether a saved state is there to go on from.

        Raises:
            OutputError: a training lies there and ``resume`` is not asked for, or another file does.
            InputError: the training there is another one, or its stores have changed since it began.
        """
        frozen = self.path / EXPERIMENT
        if self.path.exists() and not self.path.is_dir():
            raise OutputError(f"{self.path} is a file; name a folder for the training")
        if frozen.exists():
            if not resume:
                raise OutputError(
                    f"{self.path} holds a training already; go on with --resume, or name another folder"
                )
            self._compare(frozen)
            self._compare_data(stores)
        elif self.path.exists() and any(self.path.iterdir()):
            raise OutputError(
                f"{self.path} is not empty and holds no training; name another folder"
            )
        values = self.experiment.model_dump(mode="json")
        text = yaml.safe_dump(
            values, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100
        )
        with os_errors_explained(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            remove_unfinished(self.path)
            write_atomically(frozen, f"# frozen by deepcams train\n{text}".encode())
            if not (self.path / DATA).exists():  # of a training that an earlier version began
                write_atomically(self.path / DATA, json.dumps(_held(stores), indent=1).encode())
        return (self.path / STATE).exists()

    def _compare(self, frozen: Path) -> None:
        try:
            before = Experiment.model_validate(yaml.safe_load(frozen.read_text(encoding="utf-8")))
        except (ValueError, InputError, yaml.YAMLError) as error:
            raise InputError(
                frozen, "the experiment that was begun here", str(error).splitlines()[0]
            ) from None
        for path, old, new in _differences(
            before.model_dump(mode="json"), self.experiment.model_dump(mode="json")
        ):
            if path not in FREE_TO_CHANGE:
                do = "begin another training in another folder"
                raise InputError(
                    f"{self.path}: {path}", f"{old!r}, as the training was begun", repr(new), do
                )

    def _compare_data(self, stores: Sequence[Prepared]) -> None:
        path = self.path / DATA
        if not path.exists():
            return
        try:
            before = {
                str(one["store"]): dict(one) for one in json.loads(path.read_text(encoding="utf-8"))
            }
        except (ValueError, KeyError, TypeError) as error:
            do = "begin another training in another folder"
            raise InputError(
                path, "what the stores held", f"a damaged file ({error})", do
            ) from None
        for now in _held(stores):
            old = before.get(now["store"])
            if old is None or old.get("fingerprint") != now["fingerprint"]:
                told = (
                    "none of this store"
                    if old is None
                    else f"{old.get('hours')} hours {old.get('from')}..{old.get('to')}"
                )
                raise InputError(
                    f"{self.path}: {now['store']}",
                    f"the data that the training was begun with ({told})",
                    f"other data ({now['hours']} hours {now['from']}..{now['to']}): the store has changed since",
                    "begin another training in another folder",
                )

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Write what a training needs to go on: tensors and plain values.

        Raises:
            OutputError: it cannot be written; the one before is still there.
        """
        buffer = io.BytesIO()
        torch.save({"version": STATE_VERSION, **state}, buffer)
        with os_errors_explained(self.path / STATE):
            write_atomically(self.path / STATE, buffer.getvalue())

    def load_state(self) -> dict[str, Any]:
        """Read it; nothing in the file is ever executed.

        Raises:
            InputError: a damaged file, or one of another version.
        """
        path = self.path / STATE
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # on bytes of another kind, the reader fails in any way
            found = (
                f"a damaged file ({(str(error).splitlines() or [type(error).__name__])[0][:80]})"
            )
            raise InputError(
                path, "the saved state of a training", found, "begin it anew in another folder"
            ) from None
        version = state.get("version") if isinstance(state, dict) else None
        if version != STATE_VERSION:
            raise InputError(
                path, f"the state of a training, version {STATE_VERSION}", f"version {version}"
            )
        return dict(state)

    def cut_log(self, step: int) -> None:
        """Drop the rows after ``step``, which the training will write again."""
        rows = (
            [row for row in read_log(self.log) if int(row["step"]) <= step]
            if self.log.exists()
            else []
        )
        buffer = io.StringIO(newline="")
        writer = csv.DictWriter(buffer, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
        with os_errors_explained(self.log):
            write_atomically(self.log, buffer.getvalue().encode())

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a row to the log.

        Raises:
            OutputError: it cannot be written.
        """
        with os_errors_explained(self.log), self.log.open("a", newline="") as file:
            csv.DictWriter(file, COLUMNS).writerow(row)


def _held(stores: Sequence[Prepared]) -> list[dict[str, Any]]:
    return [
        {
            "store": str(store.path),
            "hours": len(store.times),
            "from": str(store.times[0])[:16],
            "to": str(store.times[-1])[:16],
            "fingerprint": fingerprint(store),
        }
        for store in stores
    ]


def read_log(path: str | Path) -> list[dict[str, str]]:
    """The rows of a log, without one that was cut off while it was written."""
    with Path(path).open(newline="") as file:
        rows = [
            row
            for row in csv.DictReader(file)
            if None not in row.values() and (row["step"] or "").isdigit()
        ]
    return [{name: row[name] for name in COLUMNS} for row in rows]


def _differences(old: Any, new: Any, path: str = "") -> list[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = [*old, *(key for key in new if key not in old)]
        return [
            found
            for key in keys
            for found in _differences(
                old.get(key), new.get(key), f"{path}.{key}" if path else str(key)
            )
        ]
    return [] if json.dumps(old) == json.dumps(new) else [(path, old, new)]
