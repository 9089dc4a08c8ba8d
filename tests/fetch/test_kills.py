"""Killed at random moments and run again: the same result, and nothing that was complete is fetched twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from deepcams.core.grid import Grid
from deepcams.core.period import Period
from deepcams.experiment.geos_cf_store import store_status
from deepcams.fetch.base import STATE, is_complete
from deepcams.fetch.geos_cf import GeosCf, GeosCfRequest
from deepcams.fetch.openaq import Openaq, OpenaqRequest
from deepcams.fetch.retry import RetryPolicy
from deepcams.fetch.status import status
from deepcams.files.records import Records
from deepcams.simulation.station_network import Station
from deepcams.simulation.write_cams import write_cams
from deepcams.simulation.write_geos_cf import write_geos_cf
from deepcams.training.store.open import Prepared
from fetch.conftest import BOX, at, field_of, objects_of
from services.base import Fault, Seen, Service
from services.bucket import Bucket
from services.data_store import KEY as ADS_KEY
from services.data_store import DataStore
from services.files import FileTree, below

KILLS = 10


def run_killed(
    arguments: list[str],
    service: Service,
    random: np.random.Generator,
    most: int,
    keys: Mapping[str, str] | None = None,
    after: Callable[[], None] = lambda: None,
) -> int:
    """Run a command again and again, killing it (-9) at random moments while it asks a service; then let it end.

    Args:
        arguments: of the command.
        service: that it asks.
        random: draws the moments.
        most: requests after which a run is killed at the latest, so that a busy machine gets as far as an idle one.
        keys: in the environment.
        after: called after each kill.

    Returns:
        how often it was killed.
    """
    environment = {
        key: value for key, value in os.environ.items() if "KEY" not in key
    } | dict(keys or {})
    killed = 0
    while True:
        before = len(service.seen)
        process = subprocess.Popen(
            [sys.executable, "-m", "deepcams", *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if killed < KILLS:
            enough = before + int(random.integers(1, most + 1))
            while len(service.seen) < enough and process.poll() is None:
                time.sleep(0.01)
            try:
                process.wait(random.uniform(0.0, 0.3))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                killed += 1
                after()
                continue
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        return killed


def slowly(seen: Seen) -> Fault | None:
    time.sleep(0.1)
    return None


@pytest.mark.slow
@pytest.mark.parametrize("store", [False, True])
def test_geos_cf_killed(tmp_path: Path, store: bool) -> None:
    times = np.arange(
        "2019-12-01T00:30", "2019-12-03T00:30", np.timedelta64(1, "h"), "M8[ns]"
    )
    write_geos_cf(
        field_of(Grid.globe(0.25).select(BOX)[0], times, mean=True), tmp_path / "world"
    )
    out = tmp_path / ("out.zarr" if store else "out")
    with FileTree(below(tmp_path / "world", "das/"), faults=slowly) as tree:
        arguments = [
            "fetch",
            "geos-cf",
            "--period",
            "2019-12-01..2019-12-02",
            "-o",
            str(out),
            "--at-once",
            "2",
        ]
        killed = run_killed(
            [*arguments, "--endpoint", f"geos-cf-v1={tree.root}"],
            tree,
            np.random.default_rng(1),
            8,
        )
        whole = Counter(path.rpartition("/")[2] for path in tree.whole())
    assert set(whole) == {path.name for path in (tmp_path / "world").glob("*.nc4")}
    # two come at a time; what came whole and was not checked yet is checked by the next run, not fetched again
    assert sum(whole.values()) - len(whole) <= 2 * killed
    look = store_status if store else status
    assert look(out, check=True).sound
    if store:
        assert len(Prepared.open(out)) == 48
        assert not list(status_folder(out).glob("*.nc4"))
    else:
        for path in (tmp_path / "world").glob("*.nc4"):
            assert (out / path.name).read_bytes() == path.read_bytes()


@pytest.mark.slow
def test_cams_killed(tmp_path: Path) -> None:
    """Days, a request each; a ready request of a killed run is picked up by its id."""
    days = [str(np.datetime64("2019-12-01") + k) for k in range(45)]
    for day in days:
        times = np.datetime64(day, "ns") + np.arange(8) * np.timedelta64(3, "h")
        write_cams(
            field_of(Grid.globe(0.75).select(BOX)[0], times, mean=False),
            tmp_path / f"{day}.zip",
            "zip",
        )

    def day_of(number: str) -> str:
        return str(store.jobs[number].request["date"][0]).partition("/")[0]

    kills: list[tuple[int, set[str]]] = []
    out = tmp_path / "out"

    def after() -> None:
        complete = {
            record.item.partition(" ")[2][:10]
            for record in Records(out / STATE)
            if is_complete(record, out)
        }
        kills.append((len(store.seen), complete))

    with DataStore(
        lambda request: tmp_path / f"{request['date'][0][:10]}.zip",
        polls=1,
        faults=slowly,
    ) as store:
        arguments = [
            "fetch",
            "cams",
            "--period",
            "2019-12-01..2020-01-14",
            "-o",
            str(out),
            "--per-request",
            "day",
        ]
        arguments += ["--bbox", *map(str, BOX), "--endpoint", f"ads={store.url}"]
        killed = run_killed(
            arguments,
            store,
            np.random.default_rng(3),
            30,
            keys={"ADSAPI_KEY": ADS_KEY},
            after=after,
        )
    assert killed == KILLS
    assert kills[-1][1]
    for seen, complete in kills:  # what was complete at a kill is never spoken of again
        later = {
            number
            for one in store.seen[seen:]
            for number in store.jobs
            if number in one.path
        }
        assert not {day_of(number) for number in later} & complete
    submitted = Counter(map(day_of, store.jobs))
    assert set(submitted) == set(days)
    assert (
        sum(submitted.values()) - len(days) <= 2 * killed
    )  # asked for just before a kill, and not yet noted
    downloads = Counter(
        day_of(path.rpartition("/")[2])
        for path in store.whole()
        if "/api/results/" in path
    )
    assert sum(downloads.values()) - len(days) <= 2 * killed
    assert status(out, check=True).counts == {"complete": len(days)}
    fetched = sorted(out.glob("cams_eac4_*"))
    assert [path.read_bytes() for path in fetched] == [
        (tmp_path / f"{day}.zip").read_bytes() for day in days
    ]


def status_folder(out: Path) -> Path:
    return out.with_name(f".{out.name}.fetch")


@pytest.mark.slow
def test_openaq_killed(tmp_path: Path) -> None:
    stations = [
        Station(k, f"Town {k}", 31.0 + k / 40, 101.0 + k / 40, "Asia/Shanghai")
        for k in range(1, 41)
    ]
    days = [date(2019, 12, 1) + timedelta(days=k) for k in range(28)]
    objects = objects_of(stations, days)
    with Bucket(objects, faults=slowly) as bucket:
        arguments = [
            "fetch",
            "openaq",
            "--period",
            "2019-12-02..2019-12-27",
            "-o",
            str(tmp_path / "out"),
        ]
        arguments += ["--at-once", "8", "--endpoint", f"openaq-archive={bucket.url}"]
        killed = run_killed(arguments, bucket, np.random.default_rng(2), 150)
        whole = Counter(path for path in bucket.whole() if path.endswith(".gz"))
    assert len(whole) == len(objects)
    assert sum(whole.values()) - len(whole) <= 8 * killed
    with Bucket(objects) as bucket:
        request = OpenaqRequest(
            Period.parse("2019-12-02..2019-12-27"), tmp_path / "clean"
        )
        Openaq(
            request, at(openaq_archive=bucket.url), RetryPolicy(), environment={}
        ).run()
    name = "openaq_2019.parquet"
    assert (tmp_path / "out" / name).read_bytes() == (
        tmp_path / "clean" / name
    ).read_bytes()


def test_stopped_between_two_hours(
    tmp_path: Path, tree: FileTree, policy: RetryPolicy
) -> None:
    """Stopped by Ctrl-C after some hours; what was complete is not asked for again."""
    request = GeosCfRequest(
        Period.parse("2019-12-01T00..2019-12-01T05"), tmp_path, at_once=1
    )

    def stop(stage: str, done: int, total: int) -> None:
        if done >= 3:
            raise KeyboardInterrupt

    fetch = GeosCf(request, at(geos_cf_v1=tree.root), policy, stop)
    with pytest.raises(KeyboardInterrupt):
        fetch.run()
    kept, before = {path.name for path in tmp_path.glob("*.nc4")}, len(tree.seen)
    assert len(kept) >= 3
    assert GeosCf(request, at(geos_cf_v1=tree.root), RetryPolicy()).run().kept == len(
        kept
    )
    assert {Path(one.path).name for one in tree.seen[before:]} == {
        Path(path).name for path in tree.whole()
    } - kept
    assert len(list(tmp_path.glob("*.nc4"))) == 6
