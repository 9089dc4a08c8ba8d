"""A simulated world in place of the services: what ``world:`` in an experiment stands for.

Its files are written where the fetch steps of a real experiment would have put the fetched ones.
"""

from __future__ import annotations

import json
from pathlib import Path

from deepcams.core.progress import Progress
from deepcams.experiment.run_options import FetchCams, FetchGeosCf, FetchOpenaq, World
from deepcams.files.atomic import os_errors_explained, write_atomically
from deepcams.methods.coarsen import Degradation
from deepcams.simulation.station_network import place_stations
from deepcams.simulation.write_openaq import Dirt
from deepcams.simulation.write_world import simulate
from deepcams.training.store.prepare import Preparation


def write_cams(world: World, wanted: FetchCams, folder: Path, progress: Progress) -> str:
    """Write CAMS, a zip file a month; complete files stay.

    Returns:
        what the folder holds, in words.
    """
    made = simulate(
        folder,
        "cams",
        wanted.period,
        bbox=wanted.bbox,
        seed=world.seed,
        cams_layout="zip",
        progress=lambda _, done, total: progress("fetch cams", done, total),
    )
    return f"simulated, {made.what}"


def write_stations(world: World, wanted: FetchOpenaq, folder: Path, progress: Progress) -> str:
    """Write observations in the layout of OpenAQ's archive, and ``stations.json`` as its API answers.

    Returns:
        what the folder holds, in words.
    """
    made = simulate(
        folder,
        "openaq",
        wanted.period,
        bbox=wanted.bbox,
        seed=world.seed,
        stations=world.stations,
        dirt=True,
        progress=lambda _, done, total: progress("fetch openaq", done, total),
    )
    places = place_stations(world.seed, world.stations, wanted.bbox, Dirt().twins)
    known = [
        {
            "id": place.id,
            "name": f"{place.name}-{place.id}",
            "timezone": place.timezone,
            "country": {"code": "CN"},
            "provider": {"name": "simulated"},
            "isMobile": False,
            "isMonitor": place.id % 3 != 0,
            "coordinates": {"latitude": place.latitude, "longitude": place.longitude},
        }
        for place in places
    ]
    path = folder / "stations.json"
    with os_errors_explained(path):
        write_atomically(path, json.dumps({"results": known}, ensure_ascii=False).encode())
    return made.what


def write_geos_cf_store(
    world: World,
    wanted: FetchGeosCf,
    hours: Path,
    store: Path,
    degradation: Degradation,
    progress: Progress,
) -> str:
    """Write hours of GEOS-CF into a folder, and prepare a training store of them.

    Returns:
        what the store holds, in words.
    """

    def tell(stage: str, done: int, total: int) -> None:
        progress("fetch geos-cf", done, total)

    made = simulate(
        hours, "geos-cf", wanted.period, bbox=wanted.bbox, seed=world.seed, progress=tell
    )
    Preparation(hours, store, degradation).run(tell)
    return f"simulated, {made.what}"
