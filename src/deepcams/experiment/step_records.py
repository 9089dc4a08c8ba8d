"""Which steps of an experiment are to be done, and why; what is done is kept in one small file a step."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from deepcams.core.errors import OutputError
from deepcams.files.atomic import os_errors_explained, write_atomically
from deepcams.files.lock import locked
from deepcams.files.records import differences

STATE = ".deepcams-run"
Fate = Literal["kept", "set aside", "removed"]


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        name: for people, and of its record.
        do: does it, or goes on with it, and returns a line about it.
        settings: what decides its outcome besides the steps that it needs, as JSON types.
        needs: names of the steps that it is made from; they stand before it.
        outputs: what it leaves, as far as it cannot be done without.
        fate: what becomes of that when the step must be done anew: removed; set aside (what took long to make); kept,
            because the step can add to it, or refuses.
        within: where the settings stand in the experiment's file, by their first key.
    """

    name: str
    do: Callable[[], str]
    settings: Mapping[str, Any]
    needs: tuple[str, ...] = ()
    outputs: tuple[Path, ...] = ()
    fate: Fate = "removed"
    within: Mapping[str, str] = field(default_factory=dict)

    def changes(self, before: Mapping[str, Any]) -> list[str]:
        """What differs from the settings with which it was done, as the experiment's file names it."""
        old, new = (
            {self.within.get(key, key): value for key, value in each.items()}
            for each in (before, self.settings)
        )
        return differences(old, new)


@dataclass
class Plan:
    """Steps in a folder, of which some are done.

    Args:
        out: the results' folder.
        steps: in order.
        refuse: given a step whose outputs are kept and its former settings; raises where it cannot go on from there.
    """

    out: Path
    steps: Sequence[Step]
    refuse: Callable[[Step, Mapping[str, Any]], None] = field(default=lambda step, before: None)

    def check(self) -> None:
        """Find out before anything is done what will be refused."""
        for step in self.steps:
            record = self.record(step.name)
            if step.fate == "kept" and record is not None and step.changes(record["settings"]):
                self.refuse(step, record["settings"])

    def record(self, name: str) -> dict[str, Any] | None:
        """What is known of a step; ``None`` where it was never begun, or that is damaged."""
        try:
            found = json.loads(self._path(name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) and _sound(found) else None

    def why(self, step: Step) -> str | None:
        """Why a step is not done: for no reason of its own (an empty text), or because something has changed.

        Returns:
            ``None`` where it is done, and holds.
        """
        record = self.record(step.name)
        if record is None:
            return ""
        if record["state"] == "clearing":
            return str(record["why"])
        if changed := step.changes(record["settings"]):
            return "; ".join(changed[:2]) + ("; .." if len(changed) > 2 else "")
        for need in step.needs:
            if record["needs"].get(need) != self._mark(need):
                return f"{need} was done again"
        if record["state"] != "done":
            return ""
        gone = [path for path in step.outputs if not path.exists()]
        return f"{gone[0].relative_to(self.out)} is no longer there" if gone else None

    def begin(self, step: Step, why: str) -> list[str]:
        """Note that a step is being done; where something has changed, clear away what was made before.

        Returns:
            what was done with that, in words.
        """
        told = []
        if why:
            record = self.record(step.name) or {"settings": step.settings}
            self._write(step.name, {**record, "state": "clearing", "why": why})
            told = [self._clear(path, step.fate) for path in step.outputs if path.exists()]
        needs = {need: self._mark(need) for need in step.needs}
        self._write(step.name, {"state": "begun", "settings": step.settings, "needs": needs})
        return [words for words in told if words]

    def end(self, step: Step, told: str) -> None:
        """Note that it is done."""
        record = {
            **(self.record(step.name) or {}),
            "state": "done",
            "told": told,
            "mark": uuid.uuid4().hex,
        }
        self._write(step.name, record)

    def _clear(self, path: Path, fate: Fate) -> str:
        if fate == "kept":
            return ""
        with os_errors_explained(path):
            if fate == "removed":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
                return ""
            number = 1
            while (aside := path.with_name(f"{path.name}-before-{number}")).exists():
                number += 1
            path.rename(aside)
        return f"the former one is now {aside.relative_to(self.out)}"

    def _mark(self, name: str) -> str | None:
        """What tells one doing of a step from another."""
        return (self.record(name) or {}).get("mark")

    def _path(self, name: str) -> Path:
        return self.out / STATE / f"{name.replace(' ', '-')}.json"

    def _write(self, name: str, about: Mapping[str, Any]) -> None:
        path = self._path(name)
        with os_errors_explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, (json.dumps(about, indent=1) + "\n").encode())


def _sound(record: Mapping[str, Any]) -> bool:
    """Whether it holds what a record of its state holds."""
    needed: dict[str, dict[str, type]] = {
        "begun": {"needs": dict},
        "done": {"needs": dict, "mark": str},
        "clearing": {"why": str},
    }
    kinds = needed.get(str(record.get("state")))
    return (
        kinds is not None
        and isinstance(record.get("settings"), dict)
        and all(isinstance(record.get(key), kind) for key, kind in kinds.items())
    )


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Lock a results' folder for this process; it is made if it does not exist.

    Raises:
        OutputError: another process holds it, or it cannot be written to.
    """
    if out.exists() and not out.is_dir():
        raise OutputError(
            f"{out}: a folder is needed, and a file of that name is there; name another one with -o"
        )
    with os_errors_explained(out):
        (out / STATE).mkdir(parents=True, exist_ok=True)
    with locked(out / STATE / "lock", out):
        yield
