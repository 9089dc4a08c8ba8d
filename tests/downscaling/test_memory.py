"""How the process is told to keep memory."""

from __future__ import annotations

import pytest

from deepcams.downscaling import memory


@pytest.mark.parametrize(
    ("temporal", "level"),
    [
        ("best", True),
        ("flow", True),
        ("flow-refine", True),
        ("linear", False),
        ("none", False),
        ("my.safetensors", False),
    ],
)
def test_memory_is_level_with_flow_and_at_hand_with_the_others(
    temporal: str, level: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[int, int]] = []
    monkeypatch.setattr(memory, "_set", asked.append)
    memory.keep_memory_for(temporal)
    (memory.keep_memory_level if level else memory.keep_memory_at_hand)()
    assert asked[0] == asked[1]
