"""Draw inputs, open them in a child, and note the faults: the loop of the tests and of ``benchmarks/fuzz.py``."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from unittest import SkipTest

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded

from fuzz.children import Child, Outcome
from fuzz.doors import DOORS, Files, seeds_of
from fuzz.mutations import changed

CORPUS = Path(__file__).parent / "corpus"
"""Inputs that once were at fault: DOOR/SEED--NAME/files, which replace the seed's own."""
_BATCH = 200
"""Inputs drawn from one of Hypothesis's seeds."""


class Seeds(dict[str, Files]):
    """Seeds by name; Hypothesis writes out the arguments of strategies, and these are long."""

    def __repr__(self) -> str:
        return f"{len(self)} seeds"


@dataclass
class Found:
    """What came of the inputs of one door.

    Attributes:
        kinds: number of inputs by outcome.
        faults: where -> outcome, seed and files of the smallest input.
        slowest: seconds.
        largest: bytes of memory.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    faults: dict[str, tuple[Outcome, str, Files]] = field(default_factory=dict)
    slowest: float = 0.0
    largest: int = 0

    def add(self, outcome: Outcome, seed: str, files: Files) -> None:
        """Count an input; keep the smallest of each fault."""
        self.kinds[outcome.kind] += 1
        self.slowest = max(self.slowest, outcome.seconds)
        self.largest = max(self.largest, outcome.bytes)
        if outcome.kind in ("fault", "crash"):
            before = self.faults.get(outcome.where)
            if before is None or _size(files) < _size(before[2]):
                self.faults[outcome.where] = (outcome, seed, files)

    @property
    def inputs(self) -> int:
        """Return how many inputs there were."""
        return self.kinds.total()

    @property
    def own(self) -> dict[str, tuple[Outcome, str, Files]]:
        """Return the faults without crashes, which are of libraries."""
        return {k: v for k, v in self.faults.items() if v[0].kind == "fault"}


def _size(files: Files) -> int:
    return sum(map(len, files.values()))


def search(name: str, seconds: float, first_seed: int = 0, most: int = 10**9) -> Found:
    """Try changed inputs of a door.

    Args:
        name: of the door.
        seconds: when no further input is begun.
        first_seed: of Hypothesis: the same one draws the same inputs.
        most: number of inputs.
    """
    found, until = Found(), time.monotonic() + seconds
    door = DOORS[name]
    with tempfile.TemporaryDirectory() as made, Child() as child:
        folder = Path(made) / "seeds"
        folder.mkdir()
        seeds = seeds_of(door, folder)
        for seed, files in seeds.items():
            found.add(child.open(name, files), seed, {})

        def attempt(case: tuple[str, Files]) -> None:
            seed, files = case
            found.add(child.open(name, {**seeds[seed], **files}), seed, files)
            if time.monotonic() > until or found.inputs >= most:
                raise SkipTest  # the one way to end a batch of Hypothesis early

        with suppress(SkipTest):
            for number in count(first_seed):
                _draw(attempt, changed(door, Seeds(seeds)), number)
    return found


def _draw(attempt: Any, strategy: Any, number: int) -> None:
    """Call a function with a batch of drawn inputs."""

    @seeded(number)
    @settings(
        max_examples=_BATCH,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        derandomize=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def run(case: tuple[str, Files]) -> None:
        attempt(case)

    run()


def keep(door: str, seed: str, name: str, files: Files) -> Path:
    """Add an input to the corpus."""
    folder = CORPUS / door / f"{seed}--{name}"
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return folder


def corpus(door: str) -> Iterator[tuple[str, str, Files]]:
    """Return a door's inputs of the corpus: name, seed, files."""
    for folder in sorted((CORPUS / door).glob("*--*")):
        files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        yield folder.name, folder.name.partition("--")[0], files
