"""The steps of a whole experiment; each goes on where it was, and is skipped when it is done."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from deepcams.core.errors import InputError, OutputError
from deepcams.core.period import Period
from deepcams.evaluation import experiment as simulation
from deepcams.evaluation import tables
from deepcams.evaluation.candidates import CONSERVE, THEN
from deepcams.experiment import world
from deepcams.experiment.run_options import Run, Train
from deepcams.experiment.step_records import Fate, Plan, Step
from deepcams.fetch.endpoints import Endpoints
from deepcams.fetch.retry import RetryPolicy
from deepcams.training.experiment_file import parse_experiment, read_values
from deepcams.training.options import Experiment

Progress = Callable[[str, int, int], None]
"""Told the step's name, how much of it is done, and how much there is (0: unknown)."""
Say = Callable[[str], None]
"""Told a line about a step that is done."""


@dataclass
class Whole:
    """A whole experiment in a folder.

    Args:
        run: what is to be done.
        beside: the folder of the experiment's file; files that it names lie there.
        out: the results' folder.
        endpoints: of the services.
        environment: where keys are looked for.
        progress: told how far it is.
        say: told what a step came to.
        device: where networks are trained.
        stop: asked whether a training is to end.
    """

    run: Run
    beside: Path
    out: Path
    endpoints: Endpoints
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    progress: Progress = lambda step, done, total: None
    say: Say = lambda line: None
    device: str = "auto"
    stop: Callable[[], bool] = lambda: False

    @property
    def store(self) -> Path:
        """Where GEOS-CF is, prepared."""
        return self.out / "data" / "geos_cf.zarr"

    @property
    def hourly(self) -> Path:
        """CAMS, downscaled."""
        return self.out / "pm25.zarr"

    @property
    def report(self) -> Path:
        """The report about all of it."""
        return self.out / "report.html"

    def plan(self) -> Plan:
        """The steps, and what decides each."""
        run, values = self.run, self.run.model_dump(mode="json")
        fetch, data = values["fetch"], self.out / "data"
        seed = None if run.world is None else {"seed": run.world.seed}
        fate: Fate = (
            "kept" if run.world is None else "removed"
        )  # what came from far away is not thrown away

        def fetching(
            name: str, do: Callable[[], str], settings: dict[str, Any], *outputs: Path
        ) -> Step:
            # and may be removed by hand when it is no longer needed
            left = outputs if run.world is not None else ()
            return Step(
                f"fetch {name}",
                do,
                settings,
                (),
                left,
                fate,
                {"fetch": f"fetch.{name.replace('-', '_')}"},
            )

        networks = ("train temporal", "train spatial")
        return Plan(
            self.out,
            [
                fetching(
                    "cams", self.fetch_cams, {"fetch": fetch["cams"], "world": seed}, data / "cams"
                ),
                fetching(
                    "openaq",
                    self.fetch_openaq,
                    {"fetch": fetch["openaq"], "world": values["world"]},
                    data / "openaq",
                ),
                fetching(
                    "geos-cf",
                    self.fetch_geos_cf,
                    {
                        "fetch": fetch["geos_cf"],
                        "degradation": values["degradation"],
                        "world": seed,
                    },
                    self.store,
                    self.store.with_name(f".{self.store.name}.fetch"),
                ),
                *(
                    Step(
                        f"train {kind}",
                        partial(self.train, kind),
                        {"network": self._network(kind)},
                        ("fetch geos-cf",),
                        (self.out / "runs" / kind, self.checkpoint(kind)),
                        "set aside",
                        {"network": self._where(kind)},
                    )
                    for kind in ("temporal", "spatial")
                ),
                Step(
                    "evaluate",
                    self.evaluate,
                    {"evaluate": values["evaluate"], "downscale": values["downscale"]},
                    ("fetch geos-cf", *networks),
                    (self.out / "scores",),
                ),
                Step(
                    "downscale",
                    self.downscale,
                    {"downscale": values["downscale"]},
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
            ],
            self._refuse,
        )

    def _where(self, kind: str) -> str:
        """Where a training's settings stand."""
        file = getattr(self.run.train, kind).file
        return f"train.{kind}.experiment" if file is None else f"{file}: "

    def _network(self, kind: str) -> dict[str, Any]:
        """What decides a training's outcome, where its data lie aside."""
        values = self.experiment(kind).model_dump(
            mode="json", exclude={"data": True, "output": {"card"}}
        )
        for name in ("workers", "log_every", "save_every"):
            values["training"].pop(name, None)
        return values

    def _refuse(self, step: Step, before: Mapping[str, Any]) -> None:
        """Fetched data can be added to, and nothing else.

        Raises:
            OutputError: another box, version or degradation is wanted, or a period that does not hold the one before.
        """
        folder = {"cams": self.out / "data" / "cams", "openaq": self.out / "data" / "openaq"}
        place = folder.get(step.name.removeprefix("fetch "), self.store)
        changed = step.changes(before)
        periods = [
            Period.parse(settings["fetch"]["period"]) for settings in (before, step.settings)
        ]
        grows = periods[1].start <= periods[0].start and periods[0].end <= periods[1].end
        period = f"{step.within['fetch']}.period "
        if place.exists() and not (grows and all(words.startswith(period) for words in changed)):
            raise OutputError(
                f"{step.name} was done with other settings ({'; '.join(changed[:2])}), and what was fetched is not "
                f"thrown away: remove {place} by hand, or name another folder with -o"
            )

    def experiment(self, kind: str) -> Experiment:
        """A training's experiment, on this run's store.

        Raises:
            InputError: it is none, or not one of that kind.
        """
        train: Train = getattr(self.run.train, kind)
        where = self.where(kind)
        if (train.file is None) == (train.experiment is None):
            raise InputError(
                f"train.{kind}",
                "either file or experiment",
                "neither" if train.file is None else "both",
            )
        values = (
            dict(train.experiment or {}) if train.file is None else read_values(where, train.change)
        )
        values["data"] = {"stores": [{"path": str(self.store.absolute())}]}
        found = parse_experiment(values, where)
        if found.samples.task != kind:
            raise InputError(f"{where}: samples.task", kind, found.samples.task)
        return found

    def where(self, kind: str) -> str:
        """What a training's experiment is called: its file, or its place in this one."""
        file = getattr(self.run.train, kind).file
        return f"train.{kind}" if file is None else str(self.beside / file)

    def checkpoint(self, kind: str) -> Path:
        """A training's best weights."""
        return self.out / "runs" / kind / f"{self.experiment(kind).output.name}.safetensors"

    def go(self) -> None:
        """Do what is not done, or no longer holds.

        Raises:
            OutputError: data were fetched with other settings.
        """
        plan = self.plan()
        plan.check()
        for step in plan.steps:
            why = plan.why(step)
            if why is None:
                self.say(
                    f"{step.name}: done before ({(plan.record(step.name) or {}).get('told', '')})"
                )
                continue
            for words in [f"done again, because {why}"] * bool(why) + plan.begin(step, why):
                self.say(f"{step.name}: {words}")
            self.progress(step.name, 0, 0)
            told = step.do()
            if self.stop():
                raise KeyboardInterrupt
            plan.end(step, told)
            self.say(f"{step.name}: {told}")

    def _told(self, name: str) -> Progress:
        return lambda stage, done, total: self.progress(name, done, total)

    def fetch_cams(self) -> str:
        """CAMS into ``data/cams``."""
        from deepcams.fetch.cams import Cams, CamsRequest

        wanted, folder = self.run.fetch.cams, self.out / "data" / "cams"
        if self.run.world is not None:
            return world.write_cams(self.run.world, wanted, folder, self.progress)
        request = CamsRequest(Period.parse(wanted.period), folder, bbox=wanted.bbox)
        told = self._told("fetch cams")
        done = Cams(request, self.endpoints, RetryPolicy(), told, self.environment).run()
        return done.text().splitlines()[0].partition(": ")[2]

    def fetch_openaq(self) -> str:
        """Stations into ``data/openaq``."""
        from deepcams.fetch.openaq import Openaq, OpenaqRequest

        wanted, folder = self.run.fetch.openaq, self.out / "data" / "openaq"
        if self.run.world is not None:
            return world.write_stations(self.run.world, wanted, folder, self.progress)
        request = OpenaqRequest(Period.parse(wanted.period), folder, wanted.bbox, wanted.country)
        told = self._told("fetch openaq")
        done = Openaq(request, self.endpoints, RetryPolicy(), told, self.environment).run()
        return done.text().splitlines()[0].partition(": ")[2]

    def fetch_geos_cf(self) -> str:
        """GEOS-CF, prepared, into ``data/geos_cf.zarr``."""
        from deepcams.experiment.geos_cf_store import StoreFetch
        from deepcams.fetch.geos_cf import GeosCfRequest

        wanted, store = self.run.fetch.geos_cf, self.store
        store.parent.mkdir(parents=True, exist_ok=True)
        degradation = self.run.degradation
        if self.run.world is not None:
            hours = store.with_name(f".{store.name}.fetch")
            return world.write_geos_cf_store(
                self.run.world, wanted, hours, store, degradation, self.progress
            )
        period = Period.parse(wanted.period)
        request = GeosCfRequest(period, store, wanted.version, wanted.bbox)
        told = self._told("fetch geos-cf")
        done = StoreFetch(request, self.endpoints, RetryPolicy(), told, degradation).run()
        return done.text().splitlines()[0].partition(": ")[2]

    def train(self, kind: str) -> str:
        """A network into ``runs/KIND``."""
        from deepcams.training.loop import train

        name = f"train {kind}"
        done = train(
            self.experiment(kind),
            self.out / "runs" / kind,
            resume=(self.out / "runs" / kind).exists(),
            device=self.device,
            stop=self.stop,
            progress=lambda step, steps, _: self.progress(name, step, steps or 0),
        )
        return done.text().splitlines()[-1].strip()

    def evaluate(self) -> str:
        """Scores of both networks, apart and together, into ``scores``."""
        from deepcams.evaluation.truth import open_truth

        options, folder = self.run.evaluate, self.out / "scores"
        truth = open_truth([self.store / "fine"], options.period)
        temporal, spatial = (str(self.checkpoint(kind)) for kind in ("temporal", "spatial"))
        if self.run.downscale.conserve:
            spatial += CONSERVE
        resolution = self.experiment("temporal").samples.resolution
        chain = (
            [temporal, spatial]
            if self.run.downscale.order == "temporal-first"
            else [spatial, temporal]
        )
        asked: dict[str, list[str]] = {
            "temporal": [*options.temporal, temporal],
            "spatial": [*options.spatial, spatial],
            "joint": [f"linear{THEN}bicubic", THEN.join(chain)],
        }
        folder.mkdir(parents=True, exist_ok=True)
        best = []
        for task, methods in asked.items():
            where = "coarse" if task == "temporal" and resolution == "coarse" else "fine"
            scored = _rows(folder / f"{task}.json")
            if scored is None:  # else it was done before a stop
                found = simulation.evaluate(
                    truth,
                    simulation.Experiment(task, self.run.degradation, where, options.bbox),  # type: ignore[arg-type]
                    methods,
                    progress=lambda done, total: self.progress("evaluate", done, total),
                )
                tables.save(folder / f"{task}.md", tables.as_markdown(found))
                kept = tables.as_json(found)
                tables.save(folder / f"{task}.json", kept)
                scored = json.loads(kept)["rows"]
            rows = [row for row in scored if row["period"] == tables.ALL]
            best.append(f"{task} MAE {rows[-1]['MAE']:.3g} (baseline {rows[0]['MAE']:.3g})")
        return ", ".join(best)

    def downscale(self) -> str:
        """CAMS at 0.25 degrees and every hour, into ``pm25.zarr``."""
        from deepcams.downscaling.job import plan_job
        from deepcams.readers.cams import open_cams

        cams, options = self.out / "data" / "cams", self.run.downscale
        job = plan_job(
            open_cams(cams),
            self.hourly,
            temporal=str(self.checkpoint("temporal")),
            spatial=str(self.checkpoint("spatial")),
            conserve=options.conserve,
            order=options.order,
            inputs=[cams],
            command="deepcams run",
            device=self.device,
        )
        done = job.run(lambda phase, hours, total: self.progress("downscale", hours, total))
        return f"{done.hours} hours in {self.hourly.name}"

    def validate(self) -> str:
        """Tables and figures of CAMS and ours beside stations, into ``validation``."""
        from deepcams.stations.run import Request, validate

        folder = self.out / "validation"
        openaq = self.out / "data" / "openaq"
        known = openaq / "stations.json"
        request = Request(
            stations=tuple(sorted(openaq.glob("*.parquet"))) or (openaq / "records",),
            field=(self.hourly,),
            original=(self.out / "data" / "cams",),
            by=tuple(self.run.stations.by),
            out=folder,
            metadata=(known,) if known.exists() else (),
        )
        done = validate(request, lambda step, n, total: self.progress("validate", n, total))
        return f"{len(done.written)} tables and figures in {folder.name}"

    def write_report(self) -> str:
        """One HTML file about all of it."""
        from deepcams.report import write_report

        written = write_report(
            self.out,
            self.report,
            original=self.out / "data" / "cams",
            progress=lambda part, done, total: self.progress("report", done, total),
        )
        return f"{written.name}, {written.stat().st_size / 1e6:.1f} MB"


def _rows(path: Path) -> list[dict[str, Any]] | None:
    """Scores that were kept; ``None`` where there are none, or damaged ones."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
        complete = any(row["period"] == tables.ALL and {"MAE"} <= row.keys() for row in rows)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    return list(rows) if complete else None
