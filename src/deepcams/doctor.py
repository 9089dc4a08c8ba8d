"""Whether this machine has what deepcams needs: versions, optional parts, devices, keys (never shown), the cache."""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any, Literal

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

Status = Literal["ok", "absent", "broken"]

KEY_VARIABLES = {
    "Atmosphere Data Store": ("ADSAPI_KEY", "ECMWF_DATASTORES_KEY", "CDSAPI_KEY"),
    "OpenAQ": ("OPENAQ_API_KEY",),
}
"""Environment variables that hold keys. A ``..._URL`` beside each says which service a data-store key is for."""
KEY_FILES = {
    "Atmosphere Data Store": (".adsapirc", ".ecmwfdatastoresrc", ".cdsapirc"),
    "OpenAQ": (),
}
"""Files in the home folder that hold keys."""


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Attributes:
        group: what it belongs to ("libraries", "extras", ...).
        name: what it is.
        status: ``broken`` where something required does not work; ``absent`` where something optional is not there.
        detail: version, number, place, or what to do.
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
        """Whether everything required works."""
        return all(finding.status != "broken" for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"healthy": self.healthy, "findings": [asdict(finding) for finding in self.findings]}


def diagnose(environment: Mapping[str, str] | None = None, home: Path | None = None) -> Diagnosis:
    """Look at the installation and the machine; nothing is changed and no network used.

    Args:
        environment: environment variables (default: the process's own).
        home: the folder of key files (default: the user's home).
    """
    environment = os.environ if environment is None else environment
    home = Path.home() if home is None else home
    return Diagnosis(
        (*_versions(), *_extras(), *_devices(), *_keys(environment, home), *_folders())
    )


def _versions() -> Iterator[Finding]:
    yield Finding("deepcams", "deepcams", *_installed("deepcams", required=True))
    ready = sys.version_info >= (3, 11)
    python = f"{platform.python_version()} ({platform.system()} {platform.machine()})"
    yield Finding(
        "deepcams",
        "Python",
        "ok" if ready else "broken",
        python + ("" if ready else ", needs 3.11 or later"),
    )
    for name in _requirements(None):
        yield Finding("libraries", name, *_installed(name, required=True))


def _extras() -> Iterator[Finding]:
    for extra in ("grib", "networks"):
        for name in _requirements(extra):
            status, detail = _installed(name, required=False)
            if status == "ok" and name == "eccodes" and (problem := _not_loading("eccodes")):
                status, detail = "absent", f"{detail} does not load ({problem})"
            hint = f"; pip install 'deepcams[{extra}]'" if status == "absent" else ""
            yield Finding(f"extra [{extra}]", name, status, detail + hint)


def _not_loading(module: str) -> str:
    """Why a module that is installed cannot be imported (ecCodes without its library); else empty."""
    try:
        importlib.import_module(module)
    except (ImportError, OSError, RuntimeError) as error:
        return " ".join(str(error).split())[:100]
    return ""


def _requirements(extra: str | None) -> list[str]:
    """Names of the distributions that deepcams, or one of its extras, asks for."""
    names = []
    for line in requires("deepcams") or []:
        name = re.split(r"[\s;<>=!~\[(]", line, maxsplit=1)[0]
        marker = re.search(r"extra\s*==\s*['\"]([^'\"]+)", line)
        if (marker[1] if marker else None) == extra and name != "deepcams":
            names.append(name)
    return sorted(names, key=str.lower)


def _installed(name: str, required: bool) -> tuple[Status, str]:
    try:
        found = version(name)
    except PackageNotFoundError:
        return (
            ("broken", "not installed; pip install deepcams")
            if required
            else ("absent", "not installed")
        )
    missing = _too_old(name, found)
    return ("broken", f"{found}, needs {missing}") if missing else ("ok", found)


def _too_old(name: str, found: str) -> str:
    """The least version asked for, where the installed one is older; else empty."""
    for line in requires("deepcams") or []:
        asked = re.match(rf"{re.escape(name)}\s*\(?>=\s*([0-9.]+)", line, re.IGNORECASE)
        if asked and _numbers(found) < _numbers(asked[1]):
            return f"{asked[1]} or later"
    return ""


def _numbers(text: str) -> tuple[int, ...]:
    leading = re.match(r"[0-9]+(?:\.[0-9]+)*", text)
    return tuple(int(part) for part in leading[0].split(".")) if leading else ()


def _devices() -> Iterator[Finding]:
    import psutil

    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    yield Finding("devices", "CPU", "ok", f"{cores} cores usable")
    memory = psutil.virtual_memory()
    enough = memory.available > 2e9
    detail = f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB free"
    yield Finding(
        "devices",
        "memory",
        "ok",
        detail + ("" if enough else "; 2 GB should be free for global data"),
    )
    if importlib.util.find_spec("torch") is None:
        yield Finding(
            "devices",
            "GPU",
            "absent",
            "not looked for: torch is not installed (only networks need it)",
        )
        return
    try:
        import torch

        if torch.cuda.is_available():
            for index in range(torch.cuda.device_count()):
                about = torch.cuda.get_device_properties(index)
                yield Finding(
                    "devices",
                    f"GPU {index}",
                    "ok",
                    f"{about.name}, {about.total_memory / 1e9:.0f} GB",
                )
        elif torch.backends.mps.is_available():
            yield Finding("devices", "GPU", "ok", "Apple Metal")
        else:
            yield Finding(
                "devices", "GPU", "absent", "none that torch can use (networks then run on the CPU)"
            )
    except (ImportError, OSError, RuntimeError) as error:
        yield Finding(
            "devices",
            "GPU",
            "absent",
            f"torch cannot be used: {' '.join(str(error).split())[:120]}",
        )


def _keys(environment: Mapping[str, str], home: Path) -> Iterator[Finding]:
    for service, names in KEY_VARIABLES.items():
        places = [f"${name}" for name in names if environment.get(name, "").strip()]
        places += [f"~/{name}" for name in KEY_FILES[service] if (home / name).is_file()]
        lonely = [
            f"${name[:-3]}URL"
            for name in names
            if environment.get(name[:-3] + "URL") and not places
        ]
        detail = "found in " + ", ".join(places) if places else "none; only fetching needs it"
        if lonely:
            detail += f" ({lonely[0]} is set, its key is not)"
        yield Finding("keys", service, "ok" if places else "absent", detail)


def _folders() -> Iterator[Finding]:
    from deepcams.core.text import size
    from deepcams.files.cache import cache_dir, writable

    cache = cache_dir()
    good = writable(cache)
    if good:
        free = shutil.disk_usage(cache).free
        used = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
        detail = f"{cache}, holds {size(used)}, {size(free)} free"
    else:
        detail = f"{cache} is not writable; set DEEPCAMS_CACHE to a folder that is"
    yield Finding("folders", "cache", "ok" if good else "broken", detail)


_MARKS = {"ok": ("ok", "green"), "absent": ("-", "dim"), "broken": ("broken", "bold red")}


def render(diagnosis: Diagnosis) -> RenderableType:
    """The findings by group, with a closing line, for a terminal."""
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
        mark, style = _MARKS[finding.status]
        table.add_row(Text(mark, style=style), escape(finding.name), escape(finding.detail))
    broken = [finding.name for finding in diagnosis.findings if finding.status == "broken"]
    closing = (
        Text("everything required works", style="green")
        if not broken
        else Text(f"broken: {', '.join(broken)}", style="bold red")
    )
    return Group(table, Text(), closing)
