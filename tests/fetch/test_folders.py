"""Folders that may not be written to or looked into: one line before anything is asked of a service."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deepcams.core.errors import OutputError
from deepcams.core.period import Period
from deepcams.fetch.geos_cf import GeosCf, GeosCfRequest
from deepcams.fetch.retry import RetryPolicy
from deepcams.fetch.status import status
from fetch.conftest import DAY, at
from services.files import FileTree, below

NOBODY = 65534


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder whose way there is open to everybody, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    yield folder
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o700)
    shutil.rmtree(folder)


@contextmanager
def an_ordinary_user() -> Iterator[None]:
    """Permissions bind everybody but root: where root runs the tests, another user does this part."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.mark.skipif(os.name != "posix", reason="permissions as POSIX has them")
@pytest.mark.parametrize(
    ("mode", "where"), [(0o555, "new"), (0o555, ""), (0o000, "new"), (0o000, "")]
)
def test_a_folder_that_may_not_be_written_to_is_one_line(
    mode: int,
    where: str,
    tree: FileTree,
    place: Path,
    tmp_path: Path,
    policy: RetryPolicy,
) -> None:
    one_hour = Period.parse(f"{DAY}T00")
    GeosCf(
        GeosCfRequest(one_hour, tmp_path), at(geos_cf_v1=tree.root), policy
    ).run()  # all is imported
    before = len(tree.seen)
    closed = place / "closed"
    closed.mkdir()
    closed.chmod(mode)
    with (
        an_ordinary_user(),
        pytest.raises(
            OutputError, match="cannot be written: Permission denied"
        ) as caught,
    ):
        GeosCf(
            GeosCfRequest(one_hour, closed / where), at(geos_cf_v1=tree.root), policy
        ).run()
    assert "\n" not in str(caught.value)
    assert str(closed) in str(caught.value)
    assert len(tree.seen) == before
    closed.chmod(0o700)
    assert not list(closed.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="permissions as POSIX has them")
def test_a_folder_that_is_closed_in_the_middle_keeps_what_it_has(
    tree: FileTree, world: Path, place: Path, policy: RetryPolicy
) -> None:
    shutil.copytree(
        world / "geos_cf", place / "served"
    )  # the server is in this process, and no root either
    tree.find, out = below(place / "served", "das/"), place / "out"
    early, all_of = Period.parse(f"{DAY}T00"), Period.parse(f"{DAY}T00..{DAY}T02")
    GeosCf(GeosCfRequest(early, out), at(geos_cf_v1=tree.root), policy).run()
    for path in out.rglob("*"):  # records may be written, the folder takes no new file
        path.chmod(0o777)
    out.chmod(0o555)
    with (
        an_ordinary_user(),
        pytest.raises(
            OutputError, match=r"\.nc4\.\w+ cannot be written: Permission denied"
        ),
    ):
        GeosCf(GeosCfRequest(all_of, out), at(geos_cf_v1=tree.root), policy).run()
    out.chmod(0o777)
    assert status(out, check=True).sound
    summary = GeosCf(
        GeosCfRequest(all_of, out), at(geos_cf_v1=tree.root), RetryPolicy()
    ).run()
    assert (summary.fetched, summary.kept) == (2, 1)
