"""The simulated world behind services on loopback: what ``world:`` in an experiment stands for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deepcams.core.period import Period
from deepcams.experiment.run_options import Fetch, World
from deepcams.fetch.endpoints import Endpoints
from deepcams.simulation.simulate import simulate
from deepcams.simulation.station_network import place_stations
from deepcams.testing.services.bucket import Bucket
from deepcams.testing.services.data_store import KEY as ADS_KEY
from deepcams.testing.services.data_store import DataStore
from deepcams.testing.services.files import FileTree, below
from deepcams.testing.services.station_list import KEY as OPENAQ_KEY
from deepcams.testing.services.station_list import StationList


@dataclass(frozen=True)
class Prepared:
    """The files that the services give.

    Args:
        world: which world.
        fetch: what is asked of it.
        folder: where the files are; other worlds may lie beside this one.
    """

    world: World
    fetch: Fetch
    folder: Path

    def _at(self, kind: str, *decides: object) -> Path:
        mark = hashlib.blake2b(repr(decides).encode(), digest_size=4).hexdigest()
        return self.folder / f"{kind}-{mark}"

    @property
    def geos_cf(self) -> Path:
        """Hours of GEOS-CF."""
        return self._at("geos_cf", self.world.seed, self.fetch.geos_cf)

    @property
    def cams(self) -> Path:
        """Answers to requests."""
        return self._at("cams", self.world.seed, self.fetch.cams)

    @property
    def openaq(self) -> Path:
        """The archive."""
        return self._at("openaq", self.world, self.fetch.openaq)

    def write(self) -> None:
        """Write them; files that are there are kept."""
        world, fetch = self.world, self.fetch
        simulate(
            self.geos_cf, "geos-cf", fetch.geos_cf.period, bbox=fetch.geos_cf.bbox, seed=world.seed
        )
        for part in _months(Period.parse(fetch.cams.period)):
            place = self.cams / _name(part)
            simulate(place, "cams", part, bbox=fetch.cams.bbox, seed=world.seed, cams_layout="zip")
        simulate(
            self.openaq,
            "openaq",
            fetch.openaq.period,
            bbox=fetch.openaq.bbox,
            seed=world.seed,
            stations=world.stations,
            dirt=True,
        )

    @contextmanager
    def serve(self) -> Iterator[tuple[Endpoints, dict[str, str]]]:
        """Run the services.

        Yields:
            where they are, and the environment with their keys.
        """

        def answer(request: dict[str, Any]) -> Path:
            first, _, last = request["date"][0].partition("/")
            found = list((self.cams / f"{first}_{last or first}").glob("*.zip"))
            if len(found) != 1:
                raise ValueError(f"this world has no {first} to {last}")
            return found[0]

        with ExitStack() as services:
            store = services.enter_context(DataStore(answer))
            tree = services.enter_context(FileTree(below(self.geos_cf)))
            bucket = services.enter_context(Bucket.of(self.openaq / "records", prefix="records/"))
            places = place_stations(
                self.world.seed, self.world.stations, self.fetch.openaq.bbox, 0.1
            )
            stations = services.enter_context(StationList(places))
            yield (
                Endpoints(
                    ads=store.url,
                    geos_cf_v1=tree.root,
                    geos_cf_v2=tree.root,
                    geos_cf_opendap=tree.root,
                    openaq_archive=bucket.url,
                    openaq_api=stations.url,
                ),
                {"ADSAPI_KEY": ADS_KEY, "OPENAQ_API_KEY": OPENAQ_KEY},
            )


def _months(period: Period) -> list[Period]:
    """A period's parts, one a month: what single requests ask for."""
    step = np.timedelta64(3, "h").astype("timedelta64[ns]")
    times = np.arange(
        period.start.astype("datetime64[D]").astype("datetime64[ns]"), period.end, step
    )
    times = times[period.contains(times)]
    months = times.astype("datetime64[M]")
    return [
        Period(times[months == month][0], times[months == month][-1] + step)
        for month in np.unique(months)
    ]


def _name(period: Period) -> str:
    last = period.end - np.timedelta64(1, "h")
    return f"{str(period.start)[:10]}_{str(last)[:10]}"
