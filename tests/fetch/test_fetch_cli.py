"""The verbs: arguments, lines, statuses."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from deepcams.cli import main
from deepcams.fetch.base import STATE
from deepcams.fetch.retry import RetryPolicy, StoppedError
from deepcams.files.lock import locked
from deepcams.files.records import Records
from fetch.conftest import BOX, DAY
from services.base import Fault
from services.bucket import Bucket
from services.data_store import DataStore
from services.files import FileTree
from services.station_list import StationList


def test_geos_cf_and_status(
    tree: FileTree, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "geos"
    arguments = ["fetch", "geos-cf", "--period", f"{DAY}T00..{DAY}T05", "-o", str(out)]
    arguments += ["--endpoint", f"geos-cf-v1={tree.root}"]
    assert main([*arguments, "--dry-run"]) == 0
    assert (
        "6 hours of GEOS-CF version 1, 6 of them not there yet"
        in capsys.readouterr().out
    )
    assert not out.exists()
    assert main(arguments) == 0
    assert "6 of 6 hours, complete and verified" in capsys.readouterr().out
    assert main(["fetch", "status", str(out), "--check"]) == 0
    assert "all as they were" in capsys.readouterr().out
    next(out.glob("*.nc4")).unlink()
    assert main(["fetch", "status", str(out)]) == 1
    assert "1 no longer there in" in capsys.readouterr().out
    assert main([*arguments, "--check"]) == 0
    assert "1 fetched" in capsys.readouterr().out
    seen = {}
    for name, words in {
        "estimate": [*arguments, "--dry-run"],
        "summary": arguments,
        "status": ["fetch", "status", str(out)],
    }.items():
        assert main([*words, "--json"]) == 0
        seen[name] = json.loads(capsys.readouterr().out)
    assert seen["estimate"]["where"] == seen["summary"]["where"] == str(out)
    assert (seen["summary"]["kept"], seen["summary"]["absent"]) == (6, [])
    assert seen["status"]["counts"] == {"complete": 6}
    next(out.glob("*.nc4")).unlink()
    assert main([*arguments, "--check", "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["fetched"] == 1
    assert "1 no longer there in" in told.err


def test_openaq(
    bucket: Bucket,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    keys: dict[str, str],
) -> None:
    arguments = [
        "fetch",
        "openaq",
        "--period",
        "2019-12-31",
        "-o",
        str(tmp_path / "out"),
    ]
    arguments += ["--endpoint", f"openaq-archive={bucket.url}"]
    assert main([*arguments, "--dry-run"]) == 0
    assert "about 9 objects" in capsys.readouterr().out
    assert main(arguments) == 0
    assert "3 of 3 location years" in capsys.readouterr().out
    assert (
        main(
            [
                *arguments[:5],
                str(tmp_path / "none"),
                *arguments[6:],
                "--bbox",
                "0",
                "0",
                "9",
                "9",
            ]
        )
        == 0
    )
    told = capsys.readouterr().out
    assert "3 locations lie outside the box or country" in told
    assert "there is nothing to write" in told


def test_no_key_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], keys: dict[str, str]
) -> None:
    assert (
        main(["fetch", "cams", "--period", "2019-12", "-o", str(tmp_path / "cams")])
        == 2
    )
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert "needs a key" in errors


@pytest.mark.parametrize(
    ("provider", "name", "period"),
    [
        ("cams", "ads", "2019"),
        ("geos-cf", "geos-cf-v1", "2019-01-01"),
        ("openaq", "openaq-archive", "2019"),
    ],
)
def test_an_address_where_nobody_answers_is_one_line(
    provider: str,
    name: str,
    period: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    keys: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And no item after the first ones is tried in vain."""
    waits = list[float]()

    monkeypatch.setenv("ADSAPI_KEY", keys["ADSAPI_KEY"])
    monkeypatch.setattr(RetryPolicy, "wait", lambda _, seconds: waits.append(seconds))
    arguments = [
        "fetch",
        provider,
        "--period",
        period,
        "-o",
        str(tmp_path / "out"),
        "--at-once",
        "1",
    ]
    assert main([*arguments, "--endpoint", f"{name}=http://127.0.0.1:9/nobody"]) == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert "(7 tries); what is complete is kept, try again later" in errors
    assert 6 <= len(waits) <= 30  # of 5 threads at most


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("cams --period 2099", "--period: expected one that has begun"),
        (
            "geos-cf --version 2 --period 2099-01-01",
            "--period: expected one that has begun",
        ),
        ("openaq --period 2099", "--period: expected one that has begun"),
        ("openaq --period 2019x", "--period: expected YYYY"),
        ("cams --period 2019-03..2019-01", "--period: expected an end after the start"),
        (
            "openaq --period 2019 --country XX",
            "--country: expected a country's two letters",
        ),
        (
            "openaq --period 2019 --location 4 --location -4",
            "--location: expected a location's number, 1 or more",
        ),
        (
            "openaq --period 2019 --parameter ''",
            "--parameter: expected what the archive calls a species",
        ),
        ("cams --period 2019 -o file", "file: a folder is needed"),
        ("geos-cf --period 2019-01-01 -o file/below/it", "file: a folder is needed"),
        ("geos-cf --period 2019-01-01 -o file/below.zarr", "file: a folder is needed"),
        ("openaq --period 2019 -o file", "file: a folder is needed"),
    ],
)
@pytest.mark.parametrize("dry_run", [False, True])
def test_what_cannot_be_meant_is_refused_before_anything_is_asked(
    words: str,
    told: str,
    dry_run: bool,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    keys: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ADSAPI_KEY", keys["ADSAPI_KEY"])
    monkeypatch.setattr(
        RetryPolicy, "call", lambda *_: pytest.fail("a service was asked")
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    out = [] if "-o" in words else ["-o", "out"]
    assert main(["fetch", *shlex.split(words), *out, *["--dry-run"] * dry_run]) == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert told in errors
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_period_that_is_not_over_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], keys: object
) -> None:
    assert (
        main(
            [
                "fetch",
                "cams",
                "--period",
                "2003..2098",
                "-o",
                str(tmp_path / "out"),
                "--dry-run",
            ]
        )
        == 0
    )
    assert (
        "is not over: what is not published yet cannot come" in capsys.readouterr().err
    )


def test_only_a_stop_ends_a_wait_as_one() -> None:
    class Early(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            return True

    policy = RetryPolicy(stop=Early())
    policy.wait(9.0)
    policy.stop.set()
    with pytest.raises(StoppedError):
        policy.wait(9.0)


def test_status_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", "status", str(tmp_path)]) == 2
    assert "a folder that deepcams fetch wrote" in capsys.readouterr().err


def test_another_process_in_the_folder_is_refused(
    tree: FileTree, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "fetch",
        "geos-cf",
        "--period",
        f"{DAY}T00",
        "-o",
        str(tmp_path / "out"),
    ]
    arguments += ["--endpoint", f"geos-cf-v1={tree.root}"]
    with locked(Records(tmp_path / "out" / STATE).lock, tmp_path / "out"):
        assert main(arguments) == 2
    assert "another deepcams writes to it now" in capsys.readouterr().err
    assert not tree.seen
    assert main(arguments) == 0


def test_keys_show_nowhere(
    data_store: DataStore,
    bucket: Bucket,
    station_list: StationList,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    keys: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither in what is said nor in any file, whether a fetch succeeds, is refused, or the service repeats the key."""
    data_store.polls = 0
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    endpoints = [
        f"ads={data_store.url}",
        f"openaq-archive={bucket.url}",
        f"openaq-api={station_list.url}",
    ]
    common = [word for one in endpoints for word in ("--endpoint", one)]
    cams = [
        "fetch",
        "cams",
        "--period",
        "2019-12-01..2019-12-02",
        "--bbox",
        *map(str, BOX),
        *common,
        "-o",
    ]
    openaq = ["fetch", "openaq", "--period", "2019-12-31", *common, "-o"]
    assert main([*cams, str(tmp_path / "cams"), "--dry-run"]) == 0
    assert main([*cams, str(tmp_path / "cams")]) == 0
    assert main([*openaq, str(tmp_path / "openaq"), "--dry-run"]) == 0
    assert main([*openaq, str(tmp_path / "openaq")]) == 0
    told = "".join(capsys.readouterr())
    for service, key in zip((data_store, station_list), keys.values(), strict=True):
        repeated = Fault(
            "status",
            400,
            body=json.dumps({"detail": f"your token {key} is bad"}).encode(),
        )
        service.faults = lambda seen, fault=repeated: fault
    assert main([*cams, str(tmp_path / "a")]) == 2
    assert main([*openaq, str(tmp_path / "b")]) == 2
    for number, (name, value) in enumerate(keys.items()):
        monkeypatch.setenv(name, f"{value}\nand \N{EURO SIGN}")
        assert main([*(cams, openaq)[number], str(tmp_path / "c")]) == 2
    told += (errors := capsys.readouterr().err)
    assert errors.count("\n") == 4
    assert "holds spaces or other characters" in errors
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    for value in keys.values():
        assert value[:20] not in told
        assert [path for path in files if value.encode() in path.read_bytes()] == []


def test_a_disk_that_fills_up_in_the_middle_is_one_line(
    tree: FileTree, world: Path, tmp_path: Path
) -> None:
    """A limit on the size of files stands for the disk; what came is kept, and the rest comes when there is room."""
    resource = pytest.importorskip("resource")
    arguments = [
        "fetch",
        "geos-cf",
        "--period",
        f"{DAY}T00..{DAY}T01",
        "-o",
        str(tmp_path / "out"),
        "--at-once",
        "1",
    ]
    arguments += ["--endpoint", f"geos-cf-v1={tree.root}"]
    names = [path.name for path in sorted((world / "geos_cf").glob("*.nc4"))[:2]]
    large = tmp_path / "large"
    large.write_bytes(
        (world / "geos_cf" / names[1]).read_bytes() + bytes(300_000)
    )  # more than the limit
    find = tree.find
    tree.find = lambda path: large if path.endswith(names[1]) else find(path)
    done = subprocess.run(
        [sys.executable, "-m", "deepcams", *arguments],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_FSIZE, (200_000, 200_000)
        ),
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert (
        "cannot be written: File too large; free some space and run the same command again"
        in done.stderr
    )
    assert [path.name for path in (tmp_path / "out").glob("*.nc4")] in ([names[0]], [])
    tree.find = find
    assert main(arguments) == 0
    assert (tmp_path / "out" / names[1]).read_bytes() == (
        world / "geos_cf" / names[1]
    ).read_bytes()
