"""deepcams validate stopped and killed: it goes on where it was, to the byte, and never with another's pieces."""

from __future__ import annotations

import functools
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deepcams.core.errors import OutputError
from deepcams.stations import extract as series
from deepcams.stations import from_files, validation
from deepcams.stations.archive.sorted_copy import StationArchive
from deepcams.stations.from_files import Request, validate_files
from deepcams.stations.validation import Options

PLACES = {
    1: (52.5, 15.0),
    2: (45.0, 22.5),
    3: (37.5, 7.5),
    4: (-30.0, 179.0),
    5: (52.9, 15.6),
    6: (45.0, 7.5),
}
TWIN = {**PLACES, 7: (45.00001, 22.5)}


@pytest.fixture
def request_(field_of, table_of, save_table, tmp_path: Path) -> Request:
    for name, field in (
        ("field", field_of("2019-01-01", 73)),
        ("original", field_of("2019-01-01", 25, hours=3)),
    ):
        field.to_dataset(name="pm2p5").to_netcdf(tmp_path / f"{name}.nc")
    # A station listed twice, so that twins are among what is kept.
    save_table(
        table_of(
            TWIN,
            hours=72,
            value=lambda k, h: (
                20 + (2 if k == 7 else k) + 9 * np.sin(h * k if k < 7 else 2 * h)
            ),
        )
    )
    paths = [tmp_path / name for name in ("field.nc", "original.nc", "stations.csv")]
    return Request(
        stations=(paths[2],),
        field=(paths[0],),
        original=(paths[1],),
        by=("year", "station"),
        draws=20,
    )


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Small pieces, each kept at once; and how often fields and stations are read."""
    found: Counter[str] = Counter()
    monkeypatch.setattr(from_files, "Options", functools.partial(Options, batch_rows=1))
    monkeypatch.setattr(series, "_SAVE_SECONDS", 0.0)
    monkeypatch.setattr(series, "_TOGETHER", 24 * 4 * 25 * 48)
    read, mended = StationArchive.read, series._cleaned

    def reading(*arguments):
        found["stations"] += 1
        return read(*arguments)

    def mending(values, name):
        found[name] += values.shape[0]
        return mended(values, name)

    monkeypatch.setattr(StationArchive, "read", reading)
    monkeypatch.setattr(series, "_cleaned", mending)
    return found


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEEPCAMS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "comparisons"


def _tables(request: Request, out: Path) -> dict[str, bytes]:
    """Every number of a validation: its rows as a file, the tables that figures are drawn of, the counts of quality."""
    done = validate_files(replace(request, json=out if request.field else None))
    found = done.found
    sums = [
        each
        for scored in found.scored
        for part in (scored.stations, scored.cells)
        for each in (part.month, part.hour)
    ]
    density = {
        f"{s.product} {s.pairs} {year}": each
        for s in found.scored
        for year, each in s.density.items()
    }
    numbers = {
        "observed": found.observed,
        "months": found.observed_months,
        **{str(k): each for k, each in enumerate(sums)},
    }
    words = {
        "quality": repr(found.quality),
        "rows": repr(done.rows),
        "read": repr((found.nodes_read, found.batches)),
    }
    written = {path.name: path.read_bytes() for path in done.written}
    return (
        written
        | {name: each.tobytes() for name, each in (density | numbers).items()}
        | {name: text.encode() for name, text in words.items()}
    )


def _fresh(request: Request, folder: Path) -> dict[str, bytes]:
    """What a run with an empty cache gives."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEEPCAMS_CACHE", str(folder / "cache"))
        return _tables(request, folder.with_name("scores.json"))


def _stop(request: Request, step: str, at: int, out: Path | None = None) -> None:
    def progress(told: str, done: int, total: int) -> None:
        if told == step and done >= at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        validate_files(replace(request, out=out), progress)


def test_a_stopped_comparison_goes_on_and_gives_the_same_to_the_byte(
    request_, counted, cache, tmp_path: Path
) -> None:
    expected = _fresh(request_, tmp_path / "fresh")
    assert len(expected) == 1 + 6 + 6 * 4 + 2 + 3
    assert counted == {"field": 73, "original": 25, "stations": 5}
    counted.clear()
    _stop(request_, "reading the field", 48, tmp_path / "out")
    assert counted == {"field": 48}
    _stop(request_, "reading the original", 24)
    assert counted == {"field": 73, "original": 24}
    for batch in (1, 2, 4):
        _stop(request_, "matching", batch)
        # the batch that was matched meanwhile is kept
        assert counted == {"field": 73, "original": 25, "stations": batch + 1}
    assert not (tmp_path / "out").exists()
    assert _tables(request_, tmp_path / "scores.json") == expected
    assert counted == {
        "field": 73,
        "original": 25,
        "stations": 5,
    }  # as much as one run, in all
    assert list(cache.iterdir()) == []


def test_other_tables_of_the_same_comparison_go_on_with_it(
    request_, counted, cache, tmp_path: Path
) -> None:
    _stop(request_, "matching", 5)
    validate_files(replace(request_, by=("month",), draws=0, json=tmp_path / "s.json"))
    assert counted == {"field": 73, "original": 25, "stations": 5}


def _other_field(request: Request, field_of) -> Request:
    path = Path(request.field[0])
    before = path.stat()
    field_of(
        "2019-01-01", 73, of=lambda t, y, x: 40 + 0.25 * t + 0.1 * y + 0 * x
    ).to_dataset(name="pm2p5").to_netcdf(path)
    assert path.stat().st_size == before.st_size  # the size alone would not tell
    return request


def _other_original(request: Request, field_of) -> Request:
    field_of(
        "2019-01-01", 25, hours=3, of=lambda t, y, x: 7 + 0 * (t + y + x)
    ).to_dataset(name="pm2p5").to_netcdf(request.original[0])
    return request


def _other_stations(request: Request, field_of) -> Request:
    path = Path(request.stations[0])
    path.write_text(
        path.read_text().replace(
            "2019-01-02T05:00:00+00:00,52.5,15.0,",
            "2019-01-02T05:00:00+00:00,52.4,15.1,",
        )
    )
    return request


def _metadata(request: Request, field_of) -> Request:
    path = Path(request.stations[0]).with_name("metadata.csv")
    path.write_text(
        "id,isMobile,isMonitor\n1,true,true\n"
        + "".join(f"{k},false,true\n" for k in range(2, 8))
    )
    return replace(request, metadata=(path,))


CHANGES: dict[str, Callable[..., Request]] = {
    "field": _other_field,
    "original": _other_original,
    "stations": _other_stations,
    "metadata": _metadata,
    "without": lambda request, _: replace(request, without=("twins", "outliers")),
    "starts": lambda request, _: replace(request, starts=True),
    "space": lambda request, _: replace(request, space="bilinear"),
    "period": lambda request, _: replace(request, period="2019-01-02"),
    "no original": lambda request, _: replace(request, original=()),
    "field and original": lambda request, _: replace(
        request, field=request.original, original=request.field
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_pieces_of_other_files_or_options_are_never_taken(
    request_, counted, cache, tmp_path, field_of, what
) -> None:
    request_ = replace(request_, by=("year",), draws=0)
    _stop(request_, "matching", 5)
    stale = len(list(cache.rglob("batch-*.npz")))
    assert stale == 5
    changed = CHANGES[what](request_, field_of)
    counted.clear()
    found = validate_files(replace(changed, json=tmp_path / "found.json"))
    assert counted["stations"] == found.found.batches
    assert counted["field"] == int(found.found.products["field"]["times"].split(",")[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEEPCAMS_CACHE", str(tmp_path / "empty"))
        validate_files(replace(changed, json=tmp_path / "expected.json"))
    assert (tmp_path / "found.json").read_bytes() == (
        tmp_path / "expected.json"
    ).read_bytes()


def test_damaged_pieces_are_made_again(
    request_, counted, cache, tmp_path: Path
) -> None:
    expected = _fresh(request_, tmp_path / "fresh")
    counted.clear()
    _stop(request_, "matching", 5)
    batches, blocks = (
        sorted(cache.rglob("batch-*.npz")),
        sorted(cache.rglob("field-*.f4")),
    )
    assert (len(batches), len(blocks)) == (5, 4)
    batches[0].write_bytes(batches[0].read_bytes()[:-40])
    for path, at in ((batches[1], 5000), (blocks[2], 100)):
        content = bytearray(path.read_bytes())
        content[at] ^= 1
        path.write_bytes(content)
    batches[2].write_bytes(b"")
    (batches[0].parent / ".batch-unfinished.npz.partial").write_bytes(b"half a piece")
    counted.clear()
    assert _tables(request_, tmp_path / "scores.json") == expected
    assert counted == {
        "field": 73 - 48,
        "stations": 3,
    }  # the block after a damaged one goes with it


def test_what_a_kill_left_of_a_block_goes(tmp_path: Path) -> None:
    series.Series(3, tmp_path, "field").append(np.ones((3, 2), np.float32))
    for name in (
        ".field-000000002-1-0.f4.partial",
        ".original-000000002-1-0.f4.partial",
        "field-000000009-1-0.f4",
    ):
        (tmp_path / name).write_bytes(b"half a block")
    assert series.Series(3, tmp_path, "field").times == 2
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names[0] == ".original-000000002-1-0.f4.partial"  # another's
    assert [name[:20] for name in names[1:]] == ["field-000000000-2-" + names[1][18:20]]


def test_stations_alone_go_on_too(request_, counted, cache, tmp_path: Path) -> None:
    alone = replace(request_, field=(), original=())
    expected = _fresh(alone, tmp_path / "fresh")
    counted.clear()
    _stop(alone, "matching", 2)
    assert _tables(alone, tmp_path / "scores.json") == expected
    assert counted["stations"] == 6


def test_a_second_process_at_the_same_comparison_takes_nothing_from_the_first(
    request_, counted, cache, tmp_path
) -> None:
    expected, during = _fresh(request_, tmp_path / "fresh"), list[dict[str, bytes]]()

    def progress(told: str, done: int, total: int) -> None:
        if told == "matching" and done == 3 and not during:
            during.append(_tables(request_, tmp_path / "scores.json"))

    validate_files(replace(request_, json=tmp_path / "first.json"), progress)
    assert during == [expected]
    assert (tmp_path / "first.json").read_bytes() == expected["scores.json"]
    assert list(cache.iterdir()) == []


def test_without_a_cache_nothing_is_kept_and_all_is_done(
    request_, counted, cache, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(from_files, "writable", lambda folder: False)
    _stop(request_, "matching", 5)
    assert not cache.exists()
    validate_files(request_)
    assert counted == {"field": 2 * 73, "original": 2 * 25, "stations": 10}


def test_a_full_disk_is_one_line_and_finished_pieces_stay(
    request_, counted, cache, monkeypatch
) -> None:
    def full(file, **arrays):
        file.write(b"PK")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(validation.np, "savez", full)
    with pytest.raises(OutputError, match=r"No space left on device.*DEEPCAMS_CACHE"):
        validate_files(request_)
    assert {
        path.suffix
        for path in cache.rglob("*-*.*")
        if path.is_file() and "lock" not in path.name
    } == {".f4"}


def test_pieces_that_no_one_went_on_with_go_after_a_week(
    request_, counted, cache, tmp_path: Path
) -> None:
    request_ = replace(request_, original=(), draws=0)
    _stop(request_, "matching", 1)
    (old,) = cache.iterdir()
    for days, there in ((6, True), (8, False)):
        stamp = time.time() - 86400 * days
        os.utime(old, (stamp, stamp))
        validate_files(replace(request_, without=("twins",)))
        assert old.exists() == there


SCRIPT = """
import functools, sys
from deepcams.stations import extract as series
from deepcams.stations import from_files
series._SAVE_SECONDS, series._TOGETHER = 0.0, 24 * 4 * 25 * 48
from_files.Options = functools.partial(from_files.Options, batch_rows=1000)
from deepcams.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_with_the_same_tables(
    field_of, table_of, save_table, tmp_path: Path
) -> None:
    draw, dice = np.random.default_rng(1), random.Random(1)
    for name, count, hours in (("field", 361, 1), ("original", 121, 3)):
        field_of("2019-01-01", count, hours=hours).to_dataset(name="pm2p5").to_netcdf(
            tmp_path / f"{name}.nc"
        )
    places = {
        k: (float(draw.uniform(-60, 60)), float(draw.uniform(-180, 180)))
        for k in range(80)
    }
    save_table(table_of(places, hours=360), "stations.parquet")

    def start(name: str) -> subprocess.Popen[str]:
        arguments = [
            "validate",
            "field.nc",
            "--original",
            "original.nc",
            "--stations",
            "stations.parquet",
            "-o",
            name,
        ]
        cache = {"DEEPCAMS_CACHE": str(tmp_path / f"cache-{name}")}
        return subprocess.Popen(
            [sys.executable, "-c", SCRIPT, *arguments],
            cwd=tmp_path,
            env={**os.environ, **cache},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    whole = start("whole")
    assert whole.communicate(timeout=300)[1] == ""

    def pieces() -> dict[str, tuple[int, int]]:
        found = {}
        for path in (tmp_path / "cache-parts" / "comparisons").glob("*.partial/*-*.*"):
            try:
                if path.suffix != ".partial":
                    found[path.name] = path.stat().st_mtime_ns, path.stat().st_ino
            except FileNotFoundError:
                pass  # all has been written, and they are going
        return found

    stopped, before = Counter[int](), dict[str, tuple[int, int]]()
    for attempt in range(60):
        process, number = (
            start("parts"),
            signal.SIGINT if attempt % 3 == 2 else signal.SIGKILL,
        )
        while process.poll() is None and len(pieces()) <= len(before):
            time.sleep(0.01)
        time.sleep(dice.uniform(0, 0.5))
        process.send_signal(number)
        told = process.communicate(timeout=300)[1]
        stopped[process.returncode] += 1
        if process.returncode == 0:
            break
        if process.returncode == 130:
            assert "what is finished is kept. Go on with:" in told
        now = pieces()
        assert now.items() >= before.items()  # nothing finished was made again
        before = now
    assert process.returncode == 0
    assert set(stopped) == {0, 130, -signal.SIGKILL}
    for path in (tmp_path / "whole").iterdir():
        assert path.read_bytes() == (tmp_path / "parts" / path.name).read_bytes(), (
            path.name
        )
    assert list((tmp_path / "cache-parts" / "comparisons").iterdir()) == []
