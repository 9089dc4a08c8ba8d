"""The command line in an empty folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepcams.cli import main
from exposure.worlds import Command


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    """Run deepcams in an empty folder; return its status and what it said on stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[int, str]:
        capfd.readouterr()
        status = main([str(each) for each in arguments])
        return status, capfd.readouterr().err

    return run
