"""The steps of a whole experiment; each goes on where it was, and is skipped when it is done."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deepcams.errors import InputError, OutputError
from deepcams.evaluation import simulation, tables
from deepcams.evaluation.methods import CONSERVE, THEN
from deepcams.fetch.endpoints import Endpoints
from deepcams.fetch.patience import Patience
from deepcams.fetch.work import Told
from deepcams.period import Period
from deepcams.run.options import Run, Train, read_run
from deepcams.run.world import prepare_world, serve
from deepcams.settings import parse_experiment, read_values
from deepcams.store.records import differences, write_atomically, writing_to
from deepcams.training.options import Experiment

STATE = ".deepcams-run"
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

    def steps(self) -> list[tuple[str, Callable[[], str], dict[str, Any]]]:
        """Name, what it does (returning a line about it), and the settings that decide it."""
        fetch, values = self.run.fetch, self.run.model_dump(mode="json")
        networks = {kind: self.experiment(kind).model_dump(mode="json") for kind in ("temporal", "spatial")}
        data = {"world": values["world"], "degradation": values["degradation"], **values["fetch"]}
        return [
            ("fetch cams", self.fetch_cams, {"fetch": fetch.cams.model_dump(mode="json"), "world": values["world"]}),
            ("fetch openaq", self.fetch_openaq,
             {"fetch": fetch.openaq.model_dump(mode="json"), "world": values["world"]}),
            ("fetch geos-cf", self.fetch_geos_cf,
             {"fetch": fetch.geos_cf.model_dump(mode="json"), "degradation": values["degradation"],
              "world": values["world"]}),
            ("train temporal", lambda: self.train("temporal"), {"data": data, "network": networks["temporal"]}),
            ("train spatial", lambda: self.train("spatial"), {"data": data, "network": networks["spatial"]}),
            ("evaluate", self.evaluate, {"data": data, "networks": networks, "evaluate": values["evaluate"]}),
            ("downscale", self.downscale, {"data": data, "networks": networks, "downscale": values["downscale"]}),
            ("validate", self.validate, {"data": data, "networks": networks, "downscale": values["downscale"],
                                         "stations": values["stations"]}),
        ]  # fmt: skip

    def experiment(self, kind: str) -> Experiment:
        """A training's experiment, on this run's store.

        Raises:
            InputError: it is none, or not one of that kind.
        """
        train: Train = getattr(self.run.train, kind)
        where = f"train.{kind}"
        if (train.file is None) == (train.experiment is None):
            raise InputError(where, "either file or experiment", "both or neither")
        if train.file is not None:
            where = str(self.beside / train.file)
            values = read_values(where, train.change)
        else:
            values = dict(train.experiment or {})
        values["data"] = {"stores": [{"path": str(self.store)}]}
        found = parse_experiment(values, where)
        if found.samples.task != kind:
            raise InputError(f"{where}: samples.task", kind, found.samples.task)
        return found

    def checkpoint(self, kind: str) -> Path:
        """A training's best weights."""
        return self.out / "runs" / kind / f"{self.experiment(kind).output.name}.safetensors"

    def go(self) -> None:
        """Do what is not done.

        Raises:
            OutputError: a step was done with other settings.
        """
        steps = self.steps()
        for name, _, settings in steps:
            before = self._record(name)
            if before is not None and (changed := differences(before["settings"], settings)):
                raise OutputError(
                    f"{self.out}: the step {name} was done with other settings ({'; '.join(changed[:2])}); "
                    "name another folder with -o"
                )
        for name, do, settings in steps:
            if (before := self._record(name)) is not None:
                self.say(f"{name}: done before ({before['told']})")
                continue
            self.progress(name, 0, 0)
            told = do()
            if self.stop():
                raise KeyboardInterrupt
            self._keep(name, {"settings": settings, "told": told})
            self.say(f"{name}: {told}")

    def fetched(self) -> bool:
        """Whether all data are there."""
        return all(self._record(name) is not None for name, _, _ in self.steps() if name.startswith("fetch"))

    def _path(self, name: str) -> Path:
        return self.out / STATE / f"{name.replace(' ', '-')}.json"

    def _record(self, name: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = json.loads(self._path(name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found

    def _keep(self, name: str, about: dict[str, Any]) -> None:
        path = self._path(name)
        with writing_to(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, (json.dumps(about, indent=1) + "\n").encode())

    def _told(self, name: str) -> Callable[[Told], None]:
        return lambda told: self.progress(name, told.done, told.total)

    def _patience(self) -> Patience:
        # services on this machine answer at once
        return Patience(first=0.05, longest=1.0) if self.run.world is not None else Patience()

    def fetch_cams(self) -> str:
        """CAMS into ``data/cams``."""
        from deepcams.fetch.cams import Cams, CamsRequest

        wanted = self.run.fetch.cams
        request = CamsRequest(Period.parse(wanted.period), self.out / "data" / "cams", bbox=wanted.bbox)
        poll = (0.05, 0.5) if self.run.world is not None else (5.0, 60.0)
        done = Cams(request, self.endpoints, self._patience(), self._told("fetch cams"), self.environment, poll).run()
        return done.text().splitlines()[0].partition(": ")[2]

    def fetch_openaq(self) -> str:
        """Stations into ``data/openaq``."""
        from deepcams.fetch.openaq import Openaq, OpenaqRequest

        wanted = self.run.fetch.openaq
        period, folder = Period.parse(wanted.period), self.out / "data" / "openaq"
        request = OpenaqRequest(period, folder, wanted.bbox, wanted.country)
        done = Openaq(
            request, self.endpoints, self._patience(), self._told("fetch openaq"), self.environment
        ).run()  # fmt: skip
        return done.text().splitlines()[0].partition(": ")[2]

    def fetch_geos_cf(self) -> str:
        """GEOS-CF, prepared, into ``data/geos_cf.zarr``."""
        from deepcams.fetch.geos_cf import GeosCf, GeosCfRequest

        wanted = self.run.fetch.geos_cf
        box = None if self.run.world is not None else wanted.bbox  # a simulated box is all that there is
        request = GeosCfRequest(
            Period.parse(wanted.period), self.store, wanted.version, box, degradation=self.run.degradation
        )
        self.store.parent.mkdir(parents=True, exist_ok=True)
        done = GeosCf(request, self.endpoints, self._patience(), self._told("fetch geos-cf")).run()
        return done.text().splitlines()[0].partition(": ")[2]

    def train(self, kind: str) -> str:
        """A network into ``runs/KIND``."""
        from deepcams.training.train import train

        name = f"train {kind}"
        done = train(
            self.experiment(kind), self.out / "runs" / kind, resume=(self.out / "runs" / kind).exists(),
            device=self.device, stop=self.stop, progress=lambda step, steps, _: self.progress(name, step, steps or 0),
        )  # fmt: skip
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
        chain = [temporal, spatial] if self.run.downscale.order == "temporal-first" else [spatial, temporal]
        asked: dict[str, list[str]] = {
            "temporal": [*options.temporal, temporal],
            "spatial": [*options.spatial, spatial],
            "joint": [f"linear{THEN}bicubic", THEN.join(chain)],
        }
        folder.mkdir(parents=True, exist_ok=True)
        best = []
        for task, methods in asked.items():
            where = "coarse" if task == "temporal" and resolution == "coarse" else "fine"
            found = simulation.evaluate(
                truth, simulation.Experiment(task, self.run.degradation, where, options.bbox),  # type: ignore[arg-type]
                methods, progress=lambda done, total: self.progress("evaluate", done, total),
            )  # fmt: skip
            tables.save(folder / f"{task}.json", tables.as_json(found))
            tables.save(folder / f"{task}.md", tables.as_markdown(found))
            rows = [row for row in tables.rows(found) if row["period"] == tables.ALL]
            best.append(f"{task} MAE {rows[-1]['MAE']:.3g} (baseline {rows[0]['MAE']:.3g})")
        return ", ".join(best)

    def downscale(self) -> str:
        """CAMS at 0.25 degrees and every hour, into ``pm25.zarr``."""
        from deepcams.production.job import prepare
        from deepcams.sources.cams import open_cams

        cams, options = self.out / "data" / "cams", self.run.downscale
        job = prepare(
            open_cams(cams), self.hourly, temporal=str(self.checkpoint("temporal")),
            spatial=str(self.checkpoint("spatial")), conserve=options.conserve, order=options.order, inputs=[cams],
            command="deepcams run", device=self.device,
        )  # fmt: skip
        done = job.run(lambda phase, hours, total: self.progress("downscale", hours, total))
        return f"{done.hours} hours in {self.hourly.name}"

    def validate(self) -> str:
        """Tables and figures of CAMS and ours beside stations, into ``validation``."""
        from deepcams.validation.run import Request, validate

        folder = self.out / "validation"
        known = self.out / "data" / "openaq" / "stations.json"
        request = Request(
            stations=tuple(sorted((self.out / "data" / "openaq").glob("*.parquet"))), field=(self.hourly,),
            original=(self.out / "data" / "cams",), by=tuple(self.run.stations.by), out=folder,
            metadata=(known,) if known.exists() else (),
        )  # fmt: skip
        done = validate(request, lambda step, n, total: self.progress("validate", n, total))
        return f"{len(done.written)} tables and figures in {folder.name}"


def execute(
    path: Path,
    out: Path,
    changes: Sequence[str] = (),
    endpoints: Sequence[str] = (),
    device: str = "auto",
    progress: Progress = lambda step, done, total: None,
    say: Say = lambda line: None,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Do a whole experiment, or what is left of it.

    Args:
        path: the experiment's file.
        out: the results' folder.
        changes: ``key.of.value=VALUE`` each, before the file's.
        endpoints: ``NAME=URL`` each.
        device: ``auto``, ``cpu`` or ``cuda``.
        progress, say, stop: see :class:`Whole`.

    Raises:
        InputError, OutputError, FetchError: of the step that failed; the steps before it stay done.
    """
    run = read_run(path, changes)
    whole = Whole(
        run, path.parent, out, Endpoints.resolve(endpoints), progress=progress, say=say, device=device, stop=stop
    )
    with writing_to(out):
        out.mkdir(parents=True, exist_ok=True)
    if run.world is None or whole.fetched():
        whole.go()
        return
    folder = out / "world"
    progress("simulate", 0, 0)
    prepare_world(run.world, run.fetch, folder)
    with serve(run.world, run.fetch, folder) as (addresses, keys):
        whole.endpoints, whole.environment = addresses, {**whole.environment, **keys}
        whole.go()
