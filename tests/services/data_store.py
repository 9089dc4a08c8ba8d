"""The Atmosphere Data Store as its own client sees it: processes, jobs, results; licences, queues and limits."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from services.base import Answer, Fault, Seen, Service
from services.files import file_answer

KEY = "00000000-1111-2222-3333-444444444444"
"""The key that it accepts: no secret, it opens nothing."""
LEVELS = {
    *("nitrogen_dioxide", "ozone", "carbon_monoxide", "sulphur_dioxide"),
    "temperature",
}
"""Variables that are on model levels."""


@dataclass
class Job:
    """A submitted request."""

    number: str
    request: dict[str, Any]
    asked: int = 0
    dismissed: bool = False
    file: Path | None = None
    message: str = ""


class DataStore(Service):
    """The service.

    Args:
        make: makes the file that a request (its inputs) is answered with; an exception's text is the job's failure.
        dataset: the data set's name.
        licence: whether the licence is accepted.
        polls: how often a job's status is asked before it is done: first accepted, then running.
        queue: how many jobs may wait at once.
        largest: how many frames (days times hours) a request may have.
        faults: see :class:`Service`.
    """

    def __init__(
        self,
        make: Callable[[dict[str, Any]], Path],
        dataset: str = "cams-global-reanalysis-eac4",
        licence: bool = True,
        polls: int = 2,
        queue: int = 100,
        largest: int = 10_000,
        faults: Callable[[Seen], Fault | None] = lambda seen: None,
    ) -> None:
        super().__init__(faults)
        self.make, self.dataset, self.licence, self.polls = (
            make,
            dataset,
            licence,
            polls,
        )
        self.queue, self.largest = queue, largest
        self.jobs: dict[str, Job] = {}
        self._making = threading.Lock()

    @property
    def url(self) -> str:
        """The API's root."""
        return f"{self.root}/api"

    def answer(self, seen: Seen, body: bytes) -> Answer:
        """Any request."""
        path = seen.path.removeprefix("/api")
        if path.startswith("/results/"):
            return self._file(path.rpartition("/")[2], seen)
        if seen.headers.get("private-token") != KEY:
            return _problem(401, "Authentication failed", "invalid token")
        parts = path.strip("/").split("/")
        if parts[:3] == ["retrieve", "v1", "processes"]:
            if len(parts) < 4 or parts[3] != self.dataset:
                return _problem(
                    404,
                    "process not found",
                    f"dataset {'/'.join(parts[3:4])} not found",
                )
            inputs = json.loads(body or b"{}").get("inputs", {})
            return self._process(parts[4:], inputs)
        if parts[:3] == ["retrieve", "v1", "jobs"] and len(parts) > 3:
            return self._job(parts[3], parts[4:])
        return _problem(404, "not found", path)

    def _process(self, rest: list[str], inputs: dict[str, Any]) -> Answer:
        base = f"{self.url}/retrieve/v1/processes/{self.dataset}"
        if not rest:
            return Answer.json(
                {"id": self.dataset, "links": [{"rel": "self", "href": base}]}
            )
        if rest == ["costing"]:
            return Answer.json(
                {
                    "id": "size",
                    "cost": float(_frames(inputs)),
                    "limit": float(self.largest),
                }
            )
        if rest != ["execution"]:
            return _problem(404, "not found", "/".join(rest))
        if not self.licence:
            return _problem(
                403,
                "required licences not accepted",
                "please visit the dataset's page to accept them",
            )
        wrong = _wrong(self.dataset, inputs)
        if wrong:
            return _problem(400, "invalid request", wrong)
        if _frames(inputs) > self.largest:
            return _problem(
                403,
                "permission denied",
                "cost limits exceeded: your request is too large",
            )
        with self.lock:
            if (
                sum(
                    job.asked <= self.polls and not job.dismissed
                    for job in self.jobs.values()
                )
                >= self.queue
            ):
                return _problem(
                    429,
                    "too many requests",
                    "number of queued requests per user is limited",
                )
            job = Job(str(uuid.uuid4()), inputs)
            self.jobs[job.number] = job
        return self._state(job, 201)

    def _job(self, number: str, rest: list[str]) -> Answer:
        job = self.jobs.get(number)
        if job is None or job.dismissed:
            return _problem(404, "job not found", number)
        if rest == ["results"]:
            if job.message:
                return _problem(400, "job failed", job.message)
            file = job.file
            if file is None:
                return _problem(404, "job results not ready", number)
            href = f"{self.root}/api/results/{number}"
            return Answer.json(
                {
                    "asset": {
                        "value": {
                            "type": "application/zip",
                            "href": href,
                            "file:size": file.stat().st_size,
                        }
                    }
                }
            )
        return self._state(job)

    def _state(self, job: Job, status: int = 200) -> Answer:
        with self._making:
            job.asked += 1
            if job.asked > self.polls + 1 and job.file is None and not job.message:
                try:
                    job.file = self.make(job.request)
                except Exception as error:
                    job.message = str(error) or type(error).__name__
        state = (
            "failed"
            if job.message
            else "successful"
            if job.file is not None
            else ("accepted" if job.asked <= 2 else "running")
        )
        here = f"{self.url}/retrieve/v1/jobs/{job.number}"
        links = [{"rel": "monitor", "href": here}, {"rel": "self", "href": here}]
        if state in ("successful", "failed"):
            links.append({"rel": "results", "href": f"{here}/results"})
        return Answer.json(
            {
                "jobID": job.number,
                "processID": self.dataset,
                "status": state,
                "type": "process",
                "links": links,
                "created": "2026-01-01T00:00:00",
                "updated": "2026-01-01T00:00:00",
                "metadata": {},
            },
            status,
        )

    def _file(self, number: str, seen: Seen) -> Answer:
        job = self.jobs.get(number)
        return file_answer(
            job.file if job is not None and not job.dismissed else None, seen
        )


def _frames(inputs: dict[str, Any]) -> int:
    days = 0
    for span in inputs.get("date", []):
        first, _, last = span.partition("/")
        days += (date.fromisoformat(last or first) - date.fromisoformat(first)).days + 1
    return days * len(inputs.get("time", [])) * len(inputs.get("leadtime_hour", [0]))


def _wrong(dataset: str, inputs: dict[str, Any]) -> str:
    """What the service would say about a request that does not fit its data set; empty where it does."""
    forecast = "forecasts" in dataset
    leads = [int(lead) for lead in inputs.get("leadtime_hour", [])]
    if forecast != bool(leads and inputs.get("type") == ["forecast"]):
        return "leadtime_hour and type are of forecasts alone, and needed there"
    levels = LEVELS & set(inputs["variable"])
    if bool(levels) != ("model_level" in inputs):
        return "model_level is of multi-level variables alone, and needed there"
    if levels and inputs["model_level"] != ["137" if forecast else "60"]:
        return "another level than the lowest"
    hours = leads if forecast else [int(time[:2]) for time in inputs["time"]]
    if (levels or not forecast) and any(hour % 3 for hour in hours):
        return "there are 3-hourly values only"
    if forecast and not {"00:00", "12:00"} >= set(inputs["time"]):
        return "there are runs at 00 and 12 UTC only"
    return ""


def _problem(status: int, title: str, detail: str) -> Answer:
    return Answer.json(
        {"type": "about:blank", "title": title, "detail": detail, "status": status},
        status,
    )
