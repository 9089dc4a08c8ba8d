"""Names to objects: built-ins and strangers through one door, and nothing imported before its time."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, EntryPoints

import pytest

import deepcams.core.registry
from deepcams.core.errors import DeepcamsError, InputError
from deepcams.core.registry import Registry


@pytest.fixture
def strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint("theirs", "fractions:Fraction", "deepcams.test"),
        EntryPoint("broken", "no_such_module:Thing", "deepcams.test"),
        EntryPoint("hollow", "fractions:NoSuchThing", "deepcams.test"),
        EntryPoint("ours", "fractions:Fraction", "deepcams.test"),
    ]
    monkeypatch.setattr(
        deepcams.core.registry,
        "_installed",
        lambda group: EntryPoints(points).select(group=group),
    )


def _registry() -> Registry:
    return Registry(
        "thing",
        "deepcams.test",
        {"ours": "decimal:Decimal", "lazy": "this_is_never_imported:Thing"},
    )


@pytest.mark.usefixtures("strangers")
def test_built_ins_and_strangers_stand_side_by_side() -> None:
    from decimal import Decimal
    from fractions import Fraction

    registry = _registry()
    assert registry.names() == ["broken", "hollow", "lazy", "ours", "theirs"]
    assert registry.get("theirs") is Fraction
    assert registry.get("ours") is Decimal  # a stranger cannot replace a built-in
    assert "this_is_never_imported" not in sys.modules


@pytest.mark.usefixtures("strangers")
def test_errors_name_the_nearest_and_the_broken() -> None:
    registry = _registry()
    with pytest.raises(InputError, match="did you mean 'theirs'"):
        registry.get("their")
    for name in ("broken", "hollow"):
        with pytest.raises(DeepcamsError, match=f"thing '{name}' .* cannot be loaded"):
            registry.get(name)
    with pytest.raises(
        ModuleNotFoundError
    ):  # a broken built-in is our bug, and shows as one
        registry.get("lazy")


def test_every_registered_downscaler_and_source_can_be_loaded() -> None:
    from deepcams.methods import (
        SPATIAL,
        TEMPORAL,
        SpatialDownscaler,
        TemporalDownscaler,
    )

    for registry, kind in (
        (SPATIAL, SpatialDownscaler),
        (TEMPORAL, TemporalDownscaler),
    ):
        assert len(registry.names()) >= 3
        for name in (
            ("linear", "linear-eq9", "flow")
            if kind is TemporalDownscaler
            else ("bicubic", "bilinear")
        ):
            method = registry.get(name)()
            assert isinstance(method, kind)
            assert method.name == name


def test_installed_packages_are_asked_once_a_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def look(group: str) -> EntryPoints:
        asked.append(group)
        return EntryPoints(
            [EntryPoint("theirs", "fractions:Fraction", "deepcams.test")]
        )

    deepcams.core.registry._installed.cache_clear()
    monkeypatch.setattr(deepcams.core.registry, "entry_points", look)
    try:
        for registry in (
            _registry(),
            Registry("other thing", "deepcams.test", {}),
            _registry(),
        ):
            assert "theirs" in registry.names()
            registry.get("theirs")
    finally:
        deepcams.core.registry._installed.cache_clear()
    assert asked == ["deepcams.test"]
