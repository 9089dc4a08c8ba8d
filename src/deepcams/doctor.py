"""Check this machine for what deepcams needs: versions, extras, devices, API keys (never shown), the cache."""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any, Literal

from packaging.requirements import Requirement
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

Status = Literal["ok", "absent", "broken"]

KEYS = {
    "Atmosphere Data Store": (
        ("ADSAPI_KEY", "ECMWF_DATASTORES_KEY", "CDSAPI_KEY"),
        (".adsapirc", ".ecmwfdatastoresrc", ".cdsapirc"),
    ),
    "OpenAQ": (("OPENAQ_API_KEY",), ()),
}
"""Environment variables and files in the home folder that may hold the key of each service."""


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        group: group of the check ("libraries", "extras", ...).
        name: what was checked.
        status: ``broken``: something required does not work; ``absent``: something optional is missing.
        detail: version, amount, path, or what to do.
    """

    group: str
    name: str
    status: Status
    detail: str


@dataclass(frozen=True)
class Diagnosis:
    """All findings."""

    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        """Whether all required parts work."""
        return all(finding.status != "broken" for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Return the findings as JSON-serialisable values."""
        return {
            "healthy": self.healthy,
            "findings": [asdict(finding) for finding in self.findings],
        }


def diagnose(
    environment: Mapping[str, str] = os.environ, home: Path | None = None
) -> Diagnosis:
    """Check the installation and the machine, without changing anything or using the network.

    Args:
        environment: environment variables.
        home: folder of the key files (default: the user's home).
    """
    keys = _check_keys(environment, home or Path.home())
    return Diagnosis((*_check_packages(), *_check_devices(), *keys, _check_cache()))


def _check_packages() -> Iterator[Finding]:
    yield _check_version("deepcams", Requirement("deepcams"))
    python = f"{platform.python_version()} ({platform.system()} {platform.machine()})"
    yield Finding("deepcams", "Python", "ok", python)
    known = sorted(
        map(Requirement, requires("deepcams") or []), key=lambda one: one.name.lower()
    )
    for requirement in known:
        if requirement.marker is None:
            yield _check_version("libraries", requirement)
    for extra in ("grib", "networks"):
        for requirement in known:
            marker = requirement.marker
            if marker is not None and marker.evaluate({"extra": extra}):
                yield _check_version(f"extra [{extra}]", requirement, extra)


def _check_version(group: str, requirement: Requirement, extra: str = "") -> Finding:
    name, lacking = (
        requirement.name,
        f"; pip install 'deepcams[{extra}]'" if extra else "",
    )
    try:
        found = version(name)
    except PackageNotFoundError:
        if extra:
            return Finding(group, name, "absent", f"not installed{lacking}")
        return Finding(group, name, "broken", "not installed; pip install deepcams")
    if not requirement.specifier.contains(found, prereleases=True):
        least = str(requirement.specifier).removeprefix(">=")
        return Finding(group, name, "broken", f"{found}, needs {least} or later")
    if name == "eccodes":  # its binary library may be missing
        try:
            importlib.import_module(name)
        except (ImportError, OSError, RuntimeError) as error:
            detail = f"{found} does not load ({_one_line(error)}){lacking}"
            return Finding(group, name, "absent", detail)
    return Finding(group, name, "ok", found)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:120]


def _check_devices() -> Iterator[Finding]:
    import psutil

    from deepcams.core.machine import free_memory, processors

    yield Finding("devices", "CPU", "ok", f"{processors()} cores usable")
    free, total = free_memory(), psutil.virtual_memory().total
    detail = f"{free / 1e9:.1f} of {total / 1e9:.1f} GB free"
    if free <= 2e9:
        detail += "; 2 GB should be free for global data"
    yield Finding("devices", "memory", "ok", detail)
    if importlib.util.find_spec("torch") is None:
        detail = "not looked for: torch is not installed (only networks need it)"
        yield Finding("devices", "GPU", "absent", detail)
        return
    try:
        import torch

        for index in range(torch.cuda.device_count()):
            about = torch.cuda.get_device_properties(index)
            detail = f"{about.name}, {about.total_memory / 1e9:.0f} GB"
            yield Finding("devices", f"GPU {index}", "ok", detail)
        if torch.backends.mps.is_available():
            yield Finding("devices", "GPU", "ok", "Apple Metal")
        elif not torch.cuda.is_available():
            detail = "none that torch can use (networks then run on the CPU)"
            yield Finding("devices", "GPU", "absent", detail)
    except (ImportError, OSError, RuntimeError) as error:
        yield Finding(
            "devices", "GPU", "absent", f"torch cannot be used: {_one_line(error)}"
        )


def _check_keys(environment: Mapping[str, str], home: Path) -> Iterator[Finding]:
    for service, (variables, files) in KEYS.items():
        places = [f"${name}" for name in variables if environment.get(name, "").strip()]
        places += [f"~/{name}" for name in files if (home / name).is_file()]
        if places:
            yield Finding("keys", service, "ok", f"found in {', '.join(places)}")
            continue
        detail = "none; only fetching needs it"
        for address in (name.replace("_KEY", "_URL") for name in variables):
            if environment.get(address):
                detail += f" (${address} is set, its key is not)"
        yield Finding("keys", service, "absent", detail)


def _check_cache() -> Finding:
    from deepcams.core.text import size
    from deepcams.files.cache import cache_dir, writable

    cache = cache_dir()
    if not writable(cache):
        detail = f"{cache} is not writable; set DEEPCAMS_CACHE to a folder that is"
        return Finding("folders", "cache", "broken", detail)
    used = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
    free = shutil.disk_usage(cache).free
    return Finding(
        "folders", "cache", "ok", f"{cache}, holds {size(used)}, {size(free)} free"
    )


def render(diagnosis: Diagnosis) -> RenderableType:
    """Format the findings by group for a terminal, with a closing line."""
    marks = {
        "ok": ("ok", "green"),
        "absent": ("-", "dim"),
        "broken": ("broken", "bold red"),
    }
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, min_width=6)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    group = ""
    for finding in diagnosis.findings:
        if finding.group != group:
            if group:
                table.add_row()
            group = finding.group
            table.add_row("", Text(group, style="bold"))
        mark = Text(*marks[finding.status])
        table.add_row(mark, escape(finding.name), escape(finding.detail))
    broken = [
        finding.name for finding in diagnosis.findings if finding.status == "broken"
    ]
    closing = Text("everything required works", style="green")
    if broken:
        closing = Text(f"broken: {', '.join(broken)}", style="bold red")
    return Group(table, Text(), closing)
