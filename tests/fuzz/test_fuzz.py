"""Whatever is in a file, opening it ends in an answer or in one line: no traceback, no hang, no file elsewhere.

``FUZZ_SECONDS=600 pytest tests/fuzz -m slow`` looks longer; ``benchmarks/fuzz.py`` writes the table of the docs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from fuzz.bad_doors import EXPECTED
from fuzz.children import Child
from fuzz.doors import DOORS, seeds_of
from fuzz.finding import corpus, search

SECONDS = float(os.environ.get("FUZZ_SECONDS", "30"))
KNOWN = [(door, *known) for door in DOORS for known in corpus(door)]


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    with Child() as process:
        yield process


@pytest.mark.parametrize(
    ("door", "name", "seed", "files"), KNOWN, ids=[f"{d}-{n}" for d, n, *_ in KNOWN]
)
def test_inputs_that_once_were_at_fault(door, name, seed, files, child, tmp_path):
    (tmp_path / "seeds").mkdir()
    whole = {**seeds_of(DOORS[door], tmp_path / "seeds")[seed], **files}
    outcome = child.open(door, whole)
    assert outcome.kind in ("opened", "refused"), (outcome.about, outcome.where)


@pytest.mark.slow
@pytest.mark.parametrize("name", DOORS)
def test_changed_inputs(name: str) -> None:
    found = search(name, SECONDS)
    assert found.inputs
    assert found.kinds["opened"], "nothing that is whole can be opened"
    assert not found.own, {where: one[0].about for where, one in found.own.items()}


@pytest.mark.parametrize(
    ("name", "about"),
    [
        pytest.param(name, about, marks=[pytest.mark.slow] * (name == "much"))
        for name, about in EXPECTED.items()
    ],
)
def test_the_child_sees_what_must_not_be(name: str, about: str) -> None:
    with Child(seconds=3 if name == "hang" else 40) as process:
        outcome = process.open(name, {"a": b"1"})
        assert outcome.kind == ("crash" if name == "crash" else "fault")
        assert about in outcome.about
    with Child() as process:
        assert process.open("endpoints", {"a.yaml": b"{}"}).kind == "opened"
