"""The verbs: arguments, lines, statuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepcams.cli import main
from deepcams.testing.services.bucket import Bucket
from deepcams.testing.services.files import FileTree
from fetch.conftest import DAY


def test_geos_cf_and_status(tree: FileTree, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "geos"
    arguments = ["fetch", "geos-cf", "--period", f"{DAY}T00..{DAY}T05", "-o", str(out)]
    arguments += ["--endpoint", f"geos-cf-v1={tree.root}"]
    assert main([*arguments, "--dry-run"]) == 0
    assert "6 hours of GEOS-CF version 1, 6 of them not there yet" in capsys.readouterr().out
    assert not out.exists()
    assert main(arguments) == 0
    assert "6 of 6 hours, complete and verified" in capsys.readouterr().out
    assert main(["fetch", "status", str(out), "--check"]) == 0
    assert "all as they were" in capsys.readouterr().out
    next(out.glob("*.nc4")).unlink()
    assert main(["fetch", "status", str(out)]) == 1
    assert "1 no longer there" in capsys.readouterr().out
    assert main([*arguments, "--check"]) == 0
    assert "1 fetched" in capsys.readouterr().out


def test_openaq(bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str], keys: dict[str, str]) -> None:
    arguments = ["fetch", "openaq", "--period", "2019-12-31", "-o", str(tmp_path / "out")]
    arguments += ["--endpoint", f"openaq-archive={bucket.url}"]
    assert main([*arguments, "--dry-run"]) == 0
    assert "about 9 objects" in capsys.readouterr().out
    assert main(arguments) == 0
    assert "3 of 3 location years" in capsys.readouterr().out


def test_no_key_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], keys: dict[str, str]) -> None:
    assert main(["fetch", "cams", "--period", "2019-12", "-o", str(tmp_path / "cams")]) == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert "needs a key" in errors


def test_status_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", "status", str(tmp_path)]) == 2
    assert "a folder that deepcams fetch wrote" in capsys.readouterr().err
