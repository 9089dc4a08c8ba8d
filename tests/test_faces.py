"""The public packages: every name is what it says, documented, and listed in docs/api.md."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import deepcams

ROOT = Path(__file__).resolve().parents[1]
FACES = [
    "deepcams",
    "deepcams.evaluation",
    "deepcams.export",
    "deepcams.exposure",
    "deepcams.fetch",
    "deepcams.means",
    "deepcams.methods",
    "deepcams.networks",
    "deepcams.plotting",
    "deepcams.report",
    "deepcams.simulation",
    "deepcams.stations",
    "deepcams.testing",
    "deepcams.training",
]
NAMES = [
    (face, name)
    for face in FACES
    for name in importlib.import_module(face).__all__
    if name != "__version__"
]


def _get(face: str, name: str) -> Any:
    return getattr(importlib.import_module(face), name)


@pytest.mark.parametrize(
    ("face", "name"), NAMES, ids=[".".join(each) for each in NAMES]
)
def test_each_name_is_there_and_documented(face: str, name: str) -> None:
    thing = _get(face, name)
    assert name in dir(importlib.import_module(face))
    if not inspect.isroutine(thing) and not inspect.isclass(thing):
        return
    assert thing.__name__ == name
    text = inspect.getdoc(thing) or ""
    assert text
    takes = (
        list(inspect.signature(thing).parameters) if inspect.isroutine(thing) else []
    )
    if takes:
        assert "Args:" in text
        assert "Returns:" in text or "Raises:" in text


@pytest.mark.parametrize("face", FACES)
def test_checkers_see_the_names_that_are_looked_up(face: str) -> None:
    """The imports under TYPE_CHECKING are the lazy names, from the same modules."""
    package = importlib.import_module(face)
    source = Path(str(package.__file__)).read_text(encoding="utf-8")
    seen = set()
    for block in ast.parse(source).body:
        if (
            isinstance(block, ast.If)
            and ast.unparse(block.test) == "TYPE_CHECKING"
            and block.orelse
        ):
            imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
            seen = {
                (alias.name, node.module) for node in imports for alias in node.names
            }
    lazy = {
        (name, str(where))
        for name, where in re.findall(r'"(\w+)": "(\.[\w.]+)"', source)
    }
    assert seen == {(name, face + where) for name, where in lazy}


@pytest.mark.parametrize("face", FACES)
def test_no_module_hides_a_name(face: str) -> None:
    folder = Path(str(importlib.import_module(face).__file__)).parent
    modules = {path.stem for path in folder.iterdir()}
    assert not modules & set(importlib.import_module(face).__all__)


@pytest.mark.parametrize("face", FACES)
def test_the_docs_list_every_name(face: str) -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    (section,) = re.findall(
        rf"currentmodule:: {re.escape(face)}\n(.*?)```", text, flags=re.DOTALL
    )
    listed = re.findall(r"auto\w+:: (\w+)", section)
    assert sorted(listed) == sorted(name for where, name in NAMES if where == face)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(
        AttributeError, match="module 'deepcams' has no attribute 'nothing'"
    ):
        deepcams.nothing  # noqa: B018
