"""One output, two processes: the second one is refused in one line, and a killed one stands in nobody's way."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from deepcams.core.errors import InputError, OutputError
from deepcams.downscaling.job import downscale_to, plan_job
from deepcams.writers import open_target
from downscaling.test_job import FORMS, LINEAR, opened

MakeField = Callable[..., xr.DataArray]
HOLD = """
import sys, time
from pathlib import Path
from deepcams.files.lock import locked
with locked(Path(sys.argv[1]), Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize(("name", "split"), FORMS)
def test_the_second_is_refused_and_the_first_goes_on(
    make_field: MakeField, tmp_path: Path, name: str, split: str | None
) -> None:
    field, out, lines = make_field(), tmp_path / name, list[str]()
    downscale_to(field, tmp_path / f"one-{name}", split=split, **LINEAR)

    def second(phase: str, done: int, total: int) -> None:
        for overwrite in (False, True) if not lines else ():
            with pytest.raises(OutputError) as caught:
                downscale_to(field, out, split=split, overwrite=overwrite, **LINEAR)
            lines.append(str(caught.value))

    downscale_to(field, out, split=split, progress=second, **LINEAR)
    (line,) = set(lines)
    assert line.startswith(
        f"{out}: another deepcams writes to it now (process {os.getpid()} of "
    )
    assert line.endswith("; wait for it, or choose another name")
    np.testing.assert_array_equal(
        opened(out).pm2p5.values, opened(tmp_path / f"one-{name}").pm2p5.values
    )
    assert not list(tmp_path.rglob("*.lock"))


@pytest.mark.skipif(sys.platform == "win32", reason="no locks there")
@pytest.mark.parametrize(("name", "split"), [FORMS[0], FORMS[3]])
def test_a_killed_process_stands_in_nobodys_way(
    make_field: MakeField, tmp_path: Path, name: str, split: str | None
) -> None:
    field, out = make_field(), tmp_path / name
    lock = open_target(out, split).lock
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(OutputError, match="another deepcams writes to it now"):
            downscale_to(field, out, split=split, **LINEAR)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert lock.exists()
    assert downscale_to(field, out, split=split, **LINEAR).computed
    assert not list(tmp_path.rglob("*.lock"))


@pytest.mark.parametrize(("name", "split"), FORMS)
def test_a_run_that_fails_leaves_nothing(
    make_field: MakeField, tmp_path: Path, name: str, split: str | None
) -> None:
    field = make_field()
    field[:] = np.nan
    with pytest.raises(InputError, match="values"):
        downscale_to(field, tmp_path / name, split=split, **LINEAR)
    assert list(tmp_path.iterdir()) == []


def test_what_is_done_may_be_asked_for_again_where_nothing_may_be_written(
    make_field: MakeField, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    field, out = make_field(), tmp_path / "out.zarr"
    downscale_to(field, out, **LINEAR)
    asked, plain = list[Path](), os.open

    def closed(
        path: Path, flags: int, *mode: int
    ) -> int:  # as a folder is for whoever isn't root
        if not flags & os.O_CREAT:
            return plain(path, flags, *mode)
        asked.append(Path(path))
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", closed)
    before = sorted(tmp_path.rglob("*"))
    assert plan_job(field, out, **LINEAR).run().computed == 0
    assert asked == [tmp_path / ".out.zarr.lock"]
    assert sorted(tmp_path.rglob("*")) == before
