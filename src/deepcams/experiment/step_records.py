"""Records of an experiment's steps, which tell which steps are due and why."""

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
from deepcams.core.progress import Progress
from deepcams.files.atomic import os_errors_explained
from deepcams.files.lock import locked
from deepcams.files.records import FOLDER, Record, Records, differences, fingerprint

STATE = f"{FOLDER}-run"
"""Hidden folder of the records; ``.deepcams`` itself would make the results' folder an output of deepcams."""
Fate = Literal["kept", "set aside", "removed"]


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        name: name of the step and of its record.
        do: runs or resumes the step and returns a one-line summary.
        settings: settings that its result depends on, besides the steps it needs, as JSON types.
        needs: names of earlier steps that it depends on.
        outputs: paths that later steps need.
        fate: treatment of the outputs when the step is redone: removed; set aside (slow to make); or kept, because the
            step adds to them or raises. Kept outputs may be removed by hand when no longer needed.
        within: location of the settings in the experiment file, by their first key.
    """

    name: str
    do: Callable[[Progress], str]
    settings: Mapping[str, Any]
    needs: tuple[str, ...] = ()
    outputs: tuple[Path, ...] = ()
    fate: Fate = "removed"
    within: Mapping[str, str] = field(default_factory=dict)

    def changes(self, before: Mapping[str, Any]) -> list[str]:
        """Return the settings that differ from former ones, as named in the experiment file."""
        old = {self.within.get(key, key): value for key, value in before.items()}
        new = {self.within.get(key, key): value for key, value in self.settings.items()}
        return differences(old, new)


@dataclass
class Plan:
    """Steps in a folder, of which some are done.

    Args:
        out: results folder.
        steps: in order.
        refuse: called with a step whose outputs are kept and its former settings; raises if it cannot add to them.
    """

    out: Path
    steps: Sequence[Step]
    refuse: Callable[[Step, Mapping[str, Any]], None] = lambda step, before: None

    def check(self) -> None:
        """Raise before any step runs if a step will be refused."""
        for step in self.steps:
            known = self.known(step.name)
            if step.fate == "kept" and known and step.changes(known["settings"]):
                self.refuse(step, known["settings"])

    def known(self, name: str) -> Mapping[str, Any] | None:
        """Return the facts of a step's record; ``None`` if it was never begun, or the record is damaged."""
        try:
            record = Records(self.out / STATE).get(name)
        except OutputError:
            return None
        if record is None or record.digest != _digest(record.facts):
            return None
        return record.facts

    def why(self, step: Step) -> str | None:
        """Return why a step is due: an empty text if it was never finished, else what has changed.

        Returns:
            ``None`` if it is done and still valid.
        """
        known = self.known(step.name)
        if known is None:
            return ""
        if known["state"] == "clearing":
            return str(known["why"])
        changed = step.changes(known["settings"])
        if changed:
            return "; ".join(changed[:2]) + ("; .." if len(changed) > 2 else "")
        for need in step.needs:
            if known["needs"].get(need) != self._mark(need):
                return f"{need} was done again"
        if known["state"] != "done":
            return ""
        gone = [path for path in step.outputs if not path.exists()]
        if gone and step.fate != "kept":
            return f"{gone[0].relative_to(self.out)} is no longer there"
        return None

    def begin(self, step: Step, why: str) -> list[str]:
        """Record that a step has begun; if something has changed, clear its former outputs.

        Returns:
            notes on what happened to the former outputs.
        """
        notes = []
        if why:
            known = self.known(step.name) or {"settings": step.settings}
            self._put(step.name, {**known, "state": "clearing", "why": why})
            notes = [
                self._clear(path, step.fate) for path in step.outputs if path.exists()
            ]
        needs = {need: self._mark(need) for need in step.needs}
        self._put(
            step.name, {"state": "begun", "settings": step.settings, "needs": needs}
        )
        return [note for note in notes if note]

    def end(self, step: Step, result: str) -> None:
        """Record that a step is done, with its one-line summary."""
        known = self.known(step.name) or {}
        # The mark identifies this execution of the step.
        self._put(
            step.name,
            {**known, "state": "done", "told": result, "mark": uuid.uuid4().hex},
        )

    def _clear(self, path: Path, fate: Fate) -> str:
        if fate == "kept":
            return ""
        with os_errors_explained(path):
            if fate == "set aside":
                number = 1
                while (
                    aside := path.with_name(f"{path.name}-before-{number}")
                ).exists():
                    number += 1
                path.rename(aside)
                return f"the former one is now {aside.relative_to(self.out)}"
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        return ""

    def _mark(self, name: str) -> str | None:
        return (self.known(name) or {}).get("mark")

    def _put(self, name: str, facts: Mapping[str, Any]) -> None:
        Records(self.out / STATE).put(Record(name, digest=_digest(facts), facts=facts))


def _digest(facts: Mapping[str, Any]) -> str:
    return fingerprint(json.dumps(facts, sort_keys=True))


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Lock a results folder for this process; create it if it does not exist.

    Raises:
        OutputError: another process has locked it, or it is not a folder.
    """
    if out.exists() and not out.is_dir():
        raise OutputError(
            f"{out}: a folder is needed, and a file of that name is there; name another one with -o"
        )
    with locked(Records(out / STATE).lock, out):
        yield
