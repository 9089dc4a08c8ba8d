"""Which steps of an experiment are due, and why: one record a step."""

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
        name: for people, and of its record.
        do: does it, or goes on with it, and returns a line about it.
        settings: what decides its outcome besides the steps that it needs, as JSON types.
        needs: names of the steps that it is made from; they come before it.
        outputs: what it makes, as far as later steps cannot do without.
        fate: what becomes of that when the step must be done anew: removed; set aside (what took long to make); kept,
            because the step can add to it, or refuses. What is kept may be removed by hand when no longer needed.
        within: where the settings are in the experiment's file, by their first key.
    """

    name: str
    do: Callable[[Progress], str]
    settings: Mapping[str, Any]
    needs: tuple[str, ...] = ()
    outputs: tuple[Path, ...] = ()
    fate: Fate = "removed"
    within: Mapping[str, str] = field(default_factory=dict)

    def changes(self, before: Mapping[str, Any]) -> list[str]:
        """Return what differs from the settings with which it was done, as the experiment's file names it."""
        old = {self.within.get(key, key): value for key, value in before.items()}
        new = {self.within.get(key, key): value for key, value in self.settings.items()}
        return differences(old, new)


@dataclass
class Plan:
    """Steps in a folder, of which some are done.

    Args:
        out: the results' folder.
        steps: in order.
        refuse: given a step whose outputs are kept and its former settings; raises if it cannot go on from there.
    """

    out: Path
    steps: Sequence[Step]
    refuse: Callable[[Step, Mapping[str, Any]], None] = lambda step, before: None

    def check(self) -> None:
        """Find out before anything is done what will be refused."""
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
        """Return why a step is due: for no reason of its own (an empty text), or because something has changed.

        Returns:
            ``None`` if it is done, and holds.
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
        """Record that a step is being done; if something has changed, clear away what was made before.

        Returns:
            what was done with that, in words.
        """
        told = []
        if why:
            known = self.known(step.name) or {"settings": step.settings}
            self._put(step.name, {**known, "state": "clearing", "why": why})
            told = [
                self._clear(path, step.fate) for path in step.outputs if path.exists()
            ]
        needs = {need: self._mark(need) for need in step.needs}
        self._put(
            step.name, {"state": "begun", "settings": step.settings, "needs": needs}
        )
        return [words for words in told if words]

    def end(self, step: Step, told: str) -> None:
        """Record that it is done."""
        known = self.known(step.name) or {}
        # The mark distinguishes one doing of a step from another.
        self._put(
            step.name,
            {**known, "state": "done", "told": told, "mark": uuid.uuid4().hex},
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
    """Lock a results' folder for this process; it is made if it is not there.

    Raises:
        OutputError: another process has it, or it is no folder.
    """
    if out.exists() and not out.is_dir():
        raise OutputError(
            f"{out}: a folder is needed, and a file of that name is there; name another one with -o"
        )
    with locked(Records(out / STATE).lock, out):
        yield
