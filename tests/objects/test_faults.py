"""What object stores and networks do wrong: survived where it passes, one line where it lasts."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import xarray as xr

from deepcams import open_cams
from deepcams.cli import main
from deepcams.downscaling.job import downscale_to
from deepcams.files import object_storage
from downscaling.conftest import _make_field as make_field
from objects.conftest import SECRET, Bucket
from objects.test_output import LINEAR, OPTIONS, objects
from readers.conftest import _world
from services.base import Fault, Seen

Faulty = Callable[[Callable[[Seen], Fault | None]], Any]


class Plan:
    """Faults at the first so many requests for each path.

    Args:
        fault: what goes wrong.
        times: how often for each method and path.
        methods: which methods; default all.
    """

    def __init__(
        self, fault: Fault, times: int = 1, methods: str = "GET PUT DELETE HEAD"
    ) -> None:
        self.fault, self.times, self.methods = fault, times, methods.split()
        self.made = dict[tuple[str, str], int]()
        self._lock = threading.Lock()

    def __call__(self, seen: Seen) -> Fault | None:
        key = (seen.method, seen.target)
        with self._lock:
            if seen.method not in self.methods or self.made.get(key, 0) >= self.times:
                return None
            self.made[key] = self.made.get(key, 0) + 1
            return self.fault


FAULTS = {
    "503 twice": (Fault("status", 503), 2),
    "500": (Fault("status", 500), 1),
    "a reset in the middle": (Fault("reset"), 1),
    "half an answer": (Fault("truncate"), 1),
    "done, but no answer": (Fault("drop"), 1),
}


def _quick(name: str) -> list[object]:
    """Let one fault be tried in the quick suite, and all in the slow one."""
    return [
        pytest.param(each, marks=[] if each == name else pytest.mark.slow)
        for each in FAULTS
    ]


@pytest.mark.parametrize("name", _quick("503 twice"))
def test_writing_survives(bucket: Bucket, faulty: Faulty, name: str) -> None:
    field, plan = make_field(9), Plan(*FAULTS[name])
    downscale_to(field, bucket.url("plain.zarr"), **LINEAR)
    with faulty(plan):
        assert downscale_to(field, bucket.url("out.zarr"), **LINEAR).computed == 25
    assert any(method == "PUT" and "pm2p5/c/0" in path for method, path in plan.made)
    assert objects(bucket, "out.zarr") == objects(bucket, "plain.zarr")
    assert not [key for key in bucket.storage().list() if key.endswith(".lock")]


@pytest.mark.parametrize("name", _quick("half an answer"))
@pytest.mark.filterwarnings("ignore::deepcams.core.errors.DeepcamsNotice")
@pytest.mark.filterwarnings("ignore:Consolidated metadata")
def test_reading_survives(
    bucket: Bucket,
    faulty: Faulty,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    monkeypatch.setenv("DEEPCAMS_CACHE", str(tmp_path / "cache"))
    world, plan = _world("2019-12-30T00", 9), Plan(*FAULTS[name])
    world.to_netcdf(tmp_path / "in.nc")
    world.to_dataset().to_zarr(tmp_path / "in.zarr", zarr_format=3)
    expected = open_cams(tmp_path / "in.nc").values
    for file in ("in.nc", "in.zarr"):
        bucket.upload(tmp_path / file, file)
        with faulty(plan):
            field = open_cams(bucket.url(file))
            xr.testing.assert_equal(xr.DataArray(field.values), xr.DataArray(expected))
    assert any("pm2p5/c" in path for _, path in plan.made)


def test_a_silent_server_is_asked_again(
    bucket: Bucket, faulty: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_storage, "READ_TIMEOUT", timedelta(seconds=0.5))
    field = make_field(3)

    def silent(seen: Seen) -> Fault | None:
        return plan(seen) if "out.zarr/time/" in seen.path else None

    plan = Plan(Fault("stall", seconds=3.0), 1, "GET")
    downscale_to(field, bucket.url("out.zarr"), **LINEAR)
    with faulty(silent):
        dataset = xr.open_zarr(
            bucket.storage("out.zarr").zarr(read_only=True), consolidated=False
        ).load()
    assert plan.made
    assert dataset.time.size == 7


class Cut:
    """A connection to the server that is reset in the middle of some uploads.

    Args:
        root: ``http://HOST:PORT`` of the server.
        path: part of the path of the uploads.
        times: how many of them.
    """

    def __init__(self, root: str, path: bytes, times: int) -> None:
        host, _, port = root.removeprefix("http://").partition(":")
        self.upstream, self.path, self.left = (host, int(port)), path, times
        self.cut = 0
        self.server = socket.create_server(("127.0.0.1", 0))
        self.root = f"http://127.0.0.1:{self.server.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            upstream = socket.create_connection(self.upstream)
            for one, other, cuts in (
                (client, upstream, True),
                (upstream, client, False),
            ):
                threading.Thread(
                    target=self._pass, args=(one, other, cuts), daemon=True
                ).start()

    def _pass(self, one: socket.socket, other: socket.socket, cuts: bool) -> None:
        sent = -1
        with contextlib.suppress(OSError):
            while data := one.recv(4096):
                if cuts and self.left and b"PUT " in data and self.path in data:
                    self.left -= 1
                    sent = 0
                if sent >= 0 and (sent := sent + len(data)) > 20_000:
                    self.cut += 1
                    linger = struct.pack("ii", 1, 0)
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    break
                other.sendall(data)
        for each in (one, other):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


def test_uploads_that_break_off_are_begun_again(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    field, cut = make_field(9), Cut(bucket.root, b"/out.zarr/pm2p5/c/0/", 2)
    downscale_to(field, bucket.url("plain.zarr"), **LINEAR)
    with monkeypatch.context() as patch, contextlib.closing(cut.server):
        patch.setenv("AWS_ENDPOINT_URL", cut.root)
        downscale_to(field, bucket.url("out.zarr"), **LINEAR)
    assert cut.cut == 2
    assert objects(bucket, "out.zarr") == objects(bucket, "plain.zarr")


def told_in_one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of an error, without secrets."""
    line = capsys.readouterr().err
    assert line.count("\n") == 1, line
    assert line.startswith("deepcams: error: s3://")
    assert SECRET not in line
    assert "Signature" not in line
    return line


@pytest.fixture
def command(bucket: Bucket, tmp_path: Path) -> list[str]:
    """A downscaling of a local file to the bucket."""
    _world("2019-12-30T00", 9).to_netcdf(tmp_path / "cams.nc")
    source = str(tmp_path / "cams.nc")
    return ["downscale", source, "-o", bucket.url("out.zarr"), *OPTIONS]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("status", 503), "the server answers with status 503; try again later"),
        (
            Fault("status", 403, body=b"<Error><Code>SignatureDoesNotMatch</Code>"),
            "the server refuses access (403); check the environment (AWS_*)",
        ),
        (Fault("status", 400), "the server refuses the request (status 400)"),
        (Fault("drop"), "the server cannot be reached, or its answer breaks off"),
    ],
    ids=["503", "403", "400", "drop"],
)
def test_what_lasts_is_one_line(
    command: list[str],
    bucket: Bucket,
    faulty: Faulty,
    capsys: pytest.CaptureFixture[str],
    fault: Fault,
    words: str,
) -> None:
    with faulty(lambda seen: fault):
        assert main(command) == 2
        line = told_in_one_line(capsys)
        assert line.startswith(f"deepcams: error: {bucket.url('out.zarr')}: {words}")
        assert main(["info", bucket.url("in.zarr")]) == 2
        line = told_in_one_line(capsys)
        assert line.startswith(f"deepcams: error: {bucket.url('in.zarr')}: {words}")
    if fault.kind == "drop":  # the lock was made, though nobody said so
        bucket.storage().delete(".out.zarr.lock")
    assert list(bucket.storage().list()) == []


def test_what_begins_to_fail_is_one_line_and_goes_on_later(
    command: list[str],
    bucket: Bucket,
    faulty: Faulty,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(seen: Seen) -> Fault | None:
        wrong = seen.method == "PUT" and "/pm2p5/c/1/" in seen.path
        return Fault("status", 507) if wrong else None

    _world("2019-12-30T00", 17).to_netcdf(command[1])
    with faulty(full):
        assert main(command) == 2
    assert "status 507" in told_in_one_line(capsys)
    assert main(command) == 0
    assert "were there already)" in capsys.readouterr().out


def test_no_server_and_no_bucket(
    command: list[str],
    bucket: Bucket,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command[3] = "s3://no-such-bucket/out.zarr"
    assert main(command) == 2
    assert "has no such bucket; check its name" in told_in_one_line(capsys)
    assert main(["info", "s3://no-such-bucket/in.zarr"]) == 2
    assert "has no such bucket; check its name" in told_in_one_line(capsys)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert main(command) == 2
    assert "cannot be reached, or its answer breaks off (connection refused)" in (
        told_in_one_line(capsys)
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.root)
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    assert main(command) == 2
    assert "http needs AWS_ALLOW_HTTP=true" in told_in_one_line(capsys)
