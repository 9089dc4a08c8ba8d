"""The steps of a whole experiment; each resumes where it was stopped and is skipped when done."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from deepcams.core.errors import InputError, OutputError
from deepcams.core.period import Period
from deepcams.core.progress import Progress, no_progress
from deepcams.core.text import from_json
from deepcams.evaluation import experiment as simulation
from deepcams.evaluation import experiment_tables, tables
from deepcams.evaluation.candidates import CONSERVE, THEN
from deepcams.experiment.geos_cf_store import StoreFetch, folder_of
from deepcams.experiment.run_options import (
    FetchCams,
    FetchGeosCf,
    FetchOpenaq,
    Run,
    Train,
    World,
)
from deepcams.experiment.step_records import Fate, Plan, Step
from deepcams.fetch.cams import Cams
from deepcams.fetch.cams_request import CamsRequest
from deepcams.fetch.endpoints import Endpoints
from deepcams.fetch.geos_cf import GeosCfRequest
from deepcams.fetch.openaq import Openaq, OpenaqRequest
from deepcams.fetch.retry import RetryPolicy
from deepcams.files.atomic import os_errors_explained, write_atomically
from deepcams.training.experiment_file import parse_experiment, read_values
from deepcams.training.options import Experiment
from deepcams.training.store.prepare import Preparation

if TYPE_CHECKING:
    from deepcams.fetch.base import Summary

Kind = Literal["temporal", "spatial"]
KINDS: tuple[Kind, ...] = ("temporal", "spatial")


@dataclass
class ExperimentRun:
    """A whole experiment in a folder.

    Args:
        run: options of the experiment.
        beside: folder of the experiment file; paths in it are relative to this folder.
        out: results folder.
        endpoints: URLs of the services.
        environment: environment variables with API keys.
        progress: callback, called with the step's name.
        say: callback, called with a line about each step that is done.
        device: device for training.
        stop: callback that returns whether a training should end.

    Attributes:
        cams, openaq: folders of fetched data.
        store: prepared GEOS-CF; geos_cf: its hours before they are in the store.
        hourly: downscaled CAMS.
        report: report.
    """

    run: Run
    beside: Path
    out: Path
    endpoints: Endpoints
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    progress: Progress = no_progress
    say: Callable[[str], None] = lambda line: None
    device: str = "auto"
    stop: Callable[[], bool] = lambda: False

    def __post_init__(self) -> None:
        data = self.out / "data"
        self.cams, self.openaq, self.store = (
            data / "cams",
            data / "openaq",
            data / "geos_cf.zarr",
        )
        self.geos_cf = folder_of(self.store)
        self.hourly, self.report = self.out / "pm25.zarr", self.out / "report.html"

    def plan(self) -> Plan:
        """Return the steps with their settings."""
        values = self.run.model_dump(mode="json")
        world = values["world"]
        seed = {"seed": world["seed"]} if world else None
        downscale = {"downscale": values["downscale"]}
        steps = [
            self._fetch_step("cams", self.fetch_cams, self.cams, world=seed),
            self._fetch_step("openaq", self.fetch_openaq, self.openaq, world=world),
            self._fetch_step(
                "geos-cf",
                self.fetch_geos_cf,
                self.store,
                self.geos_cf,
                degradation=values["degradation"],
                world=seed,
            ),
        ]
        for kind in KINDS:
            file = self._training(kind).file
            where = f"train.{kind}.experiment" if file is None else f"{file}: "
            steps.append(
                Step(
                    f"train {kind}",
                    partial(self.train, kind),
                    {"network": self._network(kind)},
                    ("fetch geos-cf",),
                    (self.out / "runs" / kind, self.checkpoint(kind)),
                    "set aside",
                    {"network": where},
                )
            )
        networks = tuple(f"train {kind}" for kind in KINDS)
        steps += [
            Step(
                "evaluate",
                self.evaluate,
                {"evaluate": values["evaluate"], **downscale},
                ("fetch geos-cf", *networks),
                (self.out / "scores",),
            ),
            Step(
                "downscale",
                self.downscale,
                downscale,
                ("fetch cams", *networks),
                (self.hourly,),
            ),
            Step(
                "validate",
                self.validate,
                {"stations": values["stations"]},
                ("fetch cams", "fetch openaq", "downscale"),
                (self.out / "validation",),
            ),
            Step(
                "report",
                self.write_report,
                {},
                ("evaluate", "downscale", "validate"),
                (self.report,),
            ),
        ]
        return Plan(self.out, steps, self._refuse)

    def _fetch_step(
        self, name: str, do: Callable[[Progress], str], *outputs: Path, **settings: Any
    ) -> Step:
        key = name.replace("-", "_")
        settings = {
            "fetch": getattr(self.run.fetch, key).model_dump(mode="json"),
            **settings,
        }
        # Downloads are not discarded.
        fate: Fate = "kept" if self.run.world is None else "removed"
        return Step(
            f"fetch {name}", do, settings, (), outputs, fate, {"fetch": f"fetch.{key}"}
        )

    def _network(self, kind: Kind) -> dict[str, Any]:
        """Return the settings that a training's result depends on, besides its data."""
        values = self.experiment(kind).model_dump(
            mode="json", exclude={"data": True, "output": {"card"}}
        )
        for name in ("workers", "log_every", "save_every"):
            values["training"].pop(name, None)
        return values

    def _refuse(self, step: Step, before: Mapping[str, Any]) -> None:
        """Raise if fetched data would change other than by additions.

        Raises:
            OutputError: the box, version or degradation differs, or the period does not contain the former one.
        """
        place, changed = step.outputs[0], step.changes(before)
        old, new = (
            Period.parse(settings["fetch"]["period"])
            for settings in (before, step.settings)
        )
        grows = new.start <= old.start and old.end <= new.end
        period = f"{step.within['fetch']}.period "
        if place.exists() and not (
            grows and all(words.startswith(period) for words in changed)
        ):
            raise OutputError(
                f"{step.name} was done with other settings ({'; '.join(changed[:2])}), and what was fetched is not "
                f"thrown away: remove {place} by hand, or name another folder with -o"
            )

    def _training(self, kind: Kind) -> Train:
        train: Train = getattr(self.run.train, kind)
        return train

    def experiment(self, kind: Kind) -> Experiment:
        """Return a training's experiment, on this run's store.

        Raises:
            InputError: the experiment is invalid, or of another kind.
        """
        train, where = self._training(kind), self.where(kind)
        if train.file is not None and train.experiment is not None:
            raise InputError(f"train.{kind}", "either file or experiment", "both")
        if train.file is not None:
            values = read_values(where, train.change)
        elif train.experiment is not None:
            values = dict(train.experiment)
        else:
            raise InputError(f"train.{kind}", "either file or experiment", "neither")
        values["data"] = {"stores": [{"path": str(self.store.absolute())}]}
        found = parse_experiment(values, where)
        if found.samples.task != kind:
            raise InputError(f"{where}: samples.task", kind, found.samples.task)
        return found

    def where(self, kind: Kind) -> str:
        """Return the name of a training's experiment for messages: its file, or its key in this file."""
        file = self._training(kind).file
        return f"train.{kind}" if file is None else str(self.beside / file)

    def checkpoint(self, kind: Kind) -> Path:
        """Return the path of a training's best checkpoint."""
        return (
            self.out
            / "runs"
            / kind
            / f"{self.experiment(kind).output.name}.safetensors"
        )

    def go(self) -> None:
        """Run all steps that are not done or no longer valid.

        Raises:
            OutputError: existing data were fetched with other settings.
        """
        plan = self.plan()
        plan.check()
        for step in plan.steps:
            why = plan.why(step)
            if why is None:
                told = (plan.known(step.name) or {}).get("told", "")
                self.say(f"{step.name}: done before ({told})")
                continue
            if why:
                self.say(f"{step.name}: done again, because {why}")
            for words in plan.begin(step, why):
                self.say(f"{step.name}: {words}")
            progress = partial(self._tell, step.name)
            progress("", 0, 0)
            told = step.do(progress)
            if self.stop():
                raise KeyboardInterrupt
            plan.end(step, told)
            self.say(f"{step.name}: {told}")

    def _tell(self, name: str, stage: str, done: int, total: int) -> None:
        """Report a step's progress under its name, for all stages."""
        self.progress(name, done, total)

    def cams_request(self) -> CamsRequest:
        """Return the request to the Atmosphere Data Store."""
        wanted = self.run.fetch.cams
        return CamsRequest(Period.parse(wanted.period), self.cams, bbox=wanted.bbox)

    def openaq_request(self) -> OpenaqRequest:
        """Return the request to OpenAQ's archive."""
        wanted = self.run.fetch.openaq
        period = Period.parse(wanted.period)
        return OpenaqRequest(period, self.openaq, wanted.bbox, wanted.country)

    def geos_cf_request(self) -> GeosCfRequest:
        """Return the request to GEOS-CF."""
        wanted = self.run.fetch.geos_cf
        return GeosCfRequest(
            Period.parse(wanted.period), self.store, wanted.version, wanted.bbox
        )

    def fetch_cams(self, progress: Progress) -> str:
        """Fetch CAMS into ``data/cams``."""
        if self.run.world is not None:
            return self._simulate(
                "cams", self.run.fetch.cams, self.cams, progress, cams_layout="zip"
            )
        request = self.cams_request()
        return _told(
            Cams(
                request, self.endpoints, RetryPolicy(), progress, self.environment
            ).run()
        )

    def fetch_openaq(self, progress: Progress) -> str:
        """Fetch stations into ``data/openaq``."""
        world, wanted = self.run.world, self.run.fetch.openaq
        if world is None:
            policy, request = RetryPolicy(), self.openaq_request()
            return _told(
                Openaq(
                    request, self.endpoints, policy, progress, self.environment
                ).run()
            )
        options = {"stations": world.stations, "dirt": True}
        told = self._simulate("openaq", wanted, self.openaq, progress, **options)
        _write_station_list(self.openaq / "stations.json", world, wanted)
        return told

    def fetch_geos_cf(self, progress: Progress) -> str:
        """Fetch GEOS-CF and prepare it into ``data/geos_cf.zarr``."""
        self.store.parent.mkdir(parents=True, exist_ok=True)
        degradation = self.run.degradation
        if self.run.world is None:
            policy, request = RetryPolicy(), self.geos_cf_request()
            return _told(
                StoreFetch(request, self.endpoints, policy, progress, degradation).run()
            )
        told = self._simulate("geos-cf", self.run.fetch.geos_cf, self.geos_cf, progress)
        Preparation(self.geos_cf, self.store, degradation).run(progress)
        return told

    def _simulate(
        self,
        layout: Literal["cams", "geos-cf", "openaq"],
        wanted: FetchCams | FetchGeosCf | FetchOpenaq,
        folder: Path,
        progress: Progress,
        **options: Any,
    ) -> str:
        """Write simulated files in place of fetched ones; complete files are kept.

        Returns:
            a description of the folder's contents.
        """
        from deepcams.simulation.write_world import simulate

        assert self.run.world is not None
        seed = self.run.world.seed
        made = simulate(
            folder,
            layout,
            wanted.period,
            bbox=wanted.bbox,
            seed=seed,
            progress=progress,
            **options,
        )
        return f"simulated, {made.what}"

    def train(self, kind: Kind, progress: Progress) -> str:
        """Train a network into ``runs/KIND``."""
        from deepcams.training.loop import train

        folder = self.out / "runs" / kind
        done = train(
            self.experiment(kind),
            folder,
            resume=folder.exists(),
            device=self.device,
            stop=self.stop,
            progress=progress,
        )
        return done.text().splitlines()[-1].strip()

    def evaluate(self, progress: Progress) -> str:
        """Score both networks, separately and together, into ``scores``."""
        from deepcams.evaluation.experiment import open_truth

        options, folder = self.run.evaluate, self.out / "scores"
        truth = open_truth([self.store / "fine"], options.period)
        temporal, spatial = (str(self.checkpoint(kind)) for kind in KINDS)
        if self.run.downscale.conserve:
            spatial += CONSERVE
        chain = [temporal, spatial]
        if self.run.downscale.order == "spatial-first":
            chain.reverse()
        asked: dict[str, list[str]] = {
            "temporal": [*options.temporal, temporal],
            "spatial": [*options.spatial, spatial],
            "joint": [f"linear{THEN}bicubic", THEN.join(chain)],
        }
        resolutions = {"temporal": self.experiment("temporal").samples.resolution}
        folder.mkdir(parents=True, exist_ok=True)
        best = []
        for task, methods in asked.items():
            resolution = "coarse" if resolutions.get(task) == "coarse" else "fine"
            scored = _rows(folder / f"{task}.json")
            if scored is None:  # else done before an interruption
                experiment = simulation.Experiment(
                    task,  # type: ignore[arg-type]
                    self.run.degradation,
                    resolution,  # type: ignore[arg-type]
                    options.bbox,
                )
                found = simulation.evaluate(
                    truth,
                    experiment,
                    methods,
                    progress=lambda done, total: progress("evaluate", done, total),
                )
                tables.save(folder / f"{task}.md", experiment_tables.as_markdown(found))
                tables.save(folder / f"{task}.json", experiment_tables.as_json(found))
                scored = _rows(folder / f"{task}.json") or []
            rows = [row for row in scored if row["period"] == tables.ALL]
            best.append(
                f"{task} MAE {rows[-1]['MAE']:.3g} (baseline {rows[0]['MAE']:.3g})"
            )
        return ", ".join(best)

    def downscale(self, progress: Progress) -> str:
        """Downscale CAMS to 0.25 degrees and every hour, into ``pm25.zarr``."""
        from deepcams.downscaling.job import plan_job
        from deepcams.readers.cams import open_cams

        options = self.run.downscale
        job = plan_job(
            open_cams(self.cams),
            self.hourly,
            temporal=str(self.checkpoint("temporal")),
            spatial=str(self.checkpoint("spatial")),
            conserve=options.conserve,
            order=options.order,
            inputs=[self.cams],
            command="deepcams run",
            device=self.device,
        )
        return f"{job.run(progress).hours} hours in {self.hourly.name}"

    def validate(self, progress: Progress) -> str:
        """Compare CAMS and the downscaled fields with stations: tables and figures into ``validation``."""
        from deepcams.stations.from_files import Request, validate_files

        folder, known = self.out / "validation", self.openaq / "stations.json"
        request = Request(
            stations=tuple(sorted(self.openaq.glob("*.parquet")))
            or (self.openaq / "records",),
            field=(self.hourly,),
            original=(self.cams,),
            by=tuple(self.run.stations.by),
            out=folder,
            metadata=(known,) if known.exists() else (),
        )
        done = validate_files(request, progress)
        return f"{len(done.written)} tables and figures in {folder.name}"

    def write_report(self, progress: Progress) -> str:
        """Write the report, one HTML file."""
        from deepcams.report import write_report

        written = write_report(
            self.out, self.report, original=self.cams, progress=progress
        )
        return f"{written.name}, {written.stat().st_size / 1e6:.1f} MB"


def _told(summary: Summary) -> str:
    return summary.text().splitlines()[0].partition(": ")[2]


def _write_station_list(path: Path, world: World, wanted: FetchOpenaq) -> None:
    """Write the list of simulated stations in the format of OpenAQ's API."""
    from deepcams.simulation.station_network import place_stations
    from deepcams.simulation.write_openaq import Dirt

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
    with os_errors_explained(path):
        write_atomically(
            path, json.dumps({"results": known}, ensure_ascii=False).encode()
        )


def _rows(path: Path) -> list[dict[str, Any]] | None:
    """Read existing scores; ``None`` if they are missing or damaged."""
    try:
        rows = from_json(path.read_text(encoding="utf-8"))["rows"]
        complete = any(
            row["period"] == tables.ALL and {"MAE"} <= row.keys() for row in rows
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    return list(rows) if complete else None
