"""Provenance of an output: its identity (for reruns) and its global attributes."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from deepcams._version import __version__
from deepcams.core import text
from deepcams.core.errors import OutputError
from deepcams.core.field import grid_of
from deepcams.core.species import label
from deepcams.core.times import HOUR
from deepcams.core.url import Place, Url, place_of
from deepcams.downscaling.plan import Plan
from deepcams.files.records import Identity, refuse_changes
from deepcams.files.storage import bytes_at
from deepcams.readers import SOURCE
from deepcams.writers import Target

INNESS = "Inness et al. 2019, Atmospheric Chemistry and Physics 19, 3515-3556, https://doi.org/10.5194/acp-19-3515-2019"
XIAO = "Xiao et al. 2022, Science of the Total Environment 848, 157747, https://doi.org/10.1016/j.scitotenv.2022.157747"
LICENCE = "Licence to use Copernicus Products, https://www.copernicus.eu/en/access-data/copyright-and-licences"
_UNNAMED = "3-hourly fields on a coarser grid"
_COPERNICUS = re.compile(rf"CAMS|Copernicus|EAC4|^{_UNNAMED}$")
"""Sources whose data are Copernicus products; fields from Python that name no source are taken for CAMS."""


def describe_inputs(paths: Sequence[str | Place]) -> list[dict[str, Any]]:
    """Return name and size of each input file, sorted; for a folder or store the total size of its files."""
    places = sorted({place_of(path) for path in paths}, key=str)
    return [{"name": place.name, "bytes": _size(place)} for place in places]


def _size(place: Place) -> int:
    if isinstance(place, Url):
        return bytes_at(place)
    files = [f for f in place.rglob("*") if f.is_file()] if place.is_dir() else [place]
    return sum(f.stat().st_size for f in files if f.exists())


def keep_apart(out: Place, inputs: Sequence[Place]) -> None:
    """Refuse to write over an input."""
    for path in inputs:
        if isinstance(out, Url) or isinstance(path, Url):
            same = isinstance(out, Url) and isinstance(path, Url) and path.is_in(out)
        else:
            same = (
                out.exists()
                and path.exists()
                and (out.samefile(path) or out.resolve() in path.resolve().parents)
            )
        if same:
            raise OutputError(
                f"{out}: expected a name of its own, found the input {path.name}; choose another name"
            )


def check_folder(path: Place) -> None:
    """Refuse an output whose folder does not exist."""
    if isinstance(path, Path) and not path.parent.is_dir():
        raise OutputError(
            f"{path}: the folder {path.parent} does not exist; create it first"
        )


def check_existing(target: Target, identity: Identity, overwrite: bool) -> bool:
    """Return whether to resume an existing output.

    Args:
        target: the output.
        identity: identity of the run.
        overwrite: whether to replace an output with other contents.

    Raises:
        OutputError: the existing output may not be changed.
    """
    path = target.path
    if not target.exists() or overwrite:
        return False
    found = target.identity()
    if found is None:
        raise OutputError(
            f"{path} exists and is no output of this command; choose another name or use --overwrite"
        )
    do = "choose another name, or replace it with --overwrite"
    refuse_changes(found, identity, path, do)
    return True


def free_bytes(path: Place) -> int | None:
    """Return the free bytes of the output's disk, or ``None`` for object stores."""
    if isinstance(path, Url):
        return None
    return shutil.disk_usage(path if path.is_dir() else path.parent).free


def check_space(path: Place, size: int) -> None:
    """Refuse an output larger than the free space on its disk.

    Raises:
        OutputError: the disk has less free space.
    """
    free = free_bytes(path)
    if free is not None and size > free:
        raise OutputError(
            f"{path}: expected about {text.size(size)} of free space, found {text.size(free)}; "
            "free some, choose another disk, a --bbox or a --period"
        )


def identify(
    plan: Plan, form: str, rounding: float, inputs: Sequence[str | Place]
) -> dict[str, Any]:
    """Return everything that determines the output, as JSON types; equal identities give equal values."""
    first, last = (str(time.astype("datetime64[m]")) for time in plan.times[[0, -1]])
    source = SOURCE.get()
    return {
        "deepcams": __version__,
        "variable": str(plan.field.name),
        **plan.chain.settings(),
        "rounding": rounding,
        "hours": f"{first}Z to {last}Z ({plan.times.size})",
        "grid": plan.crop.grid.describe(),
        "input grid": grid_of(plan.field).describe(),
        "format": form,
        "inputs": describe_inputs(inputs),
        **({} if source is None else {"source": source}),
    }


def _years(times: np.ndarray) -> str:
    first, last = times[[0, -1]].astype("datetime64[Y]").astype(str)
    return str(first) if first == last else f"{first}-{last}"


def global_attributes(plan: Plan, run: dict[str, Any], command: str) -> dict[str, Any]:
    """Return the CF-1.11 and ACDD-1.3 attributes of the output, except its coverage.

    Args:
        plan: plan of the work.
        run: identity of the run (:func:`identify`).
        command: command line for the history attribute.
    """
    species = label(str(plan.field.name))
    source = str(plan.field.attrs.get("source", _UNNAMED))
    cadence = "hourly " if plan.chain.hourly else ""
    summary = (
        f"Surface {species} on a {plan.crop.grid.spacing} degree grid, {cadence}downscaled from {source} "
        f"({grid_of(plan.field).spacing} degrees) by {plan.chain.name}. An analysis hour has a frame of the input; "
        f"the others are interpolated between frames at most {plan.chain.max_gap / HOUR:g} hours apart "
        "(see the variable status)."
    )
    return {
        "title": f"{cadence.capitalize()}{species} at {plan.crop.grid.spacing} degrees".strip(),
        "summary": summary,
        "processing_level": f"downscaled: {plan.chain.name}",
        "comment": "Computed, not observed, between the nodes and the hours of the input.",
        **provenance(
            run, command, species, source, plan.times, plan.field.attrs.get("history")
        ),
    }


def provenance(
    run: dict[str, Any],
    command: str,
    species: str,
    source: str,
    times: np.ndarray,
    previous: str | None = None,
) -> dict[str, Any]:
    """Return the attributes common to all outputs: conventions, identifier, dates, creator, licence, references.

    Args:
        run: identity of the output, with ``inputs``.
        command: command line for the history attribute.
        species: display name of the species.
        source: origin of the input.
        times: times of the output, for the years in the acknowledgement.
        previous: history attribute of the input.
    """
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    settings = json.dumps(run, sort_keys=True)
    code = hashlib.blake2b(settings.encode(), digest_size=8).hexdigest()
    program = "Copernicus Atmosphere Monitoring Service"
    acknowledgement = (
        f"Contains modified {program} information {_years(times)}; {INNESS}"
    )
    license_text = LICENCE
    if "simulated" in source:
        program = "none: simulated"
        acknowledgement = "Simulated, no real data"
        license_text = "none needed: simulated"
    elif SOURCE.get() not in (None, "cams") or not _COPERNICUS.search(source):
        program = source
        acknowledgement = f"Made from {source}, {_years(times)}"
        license_text = f"that of {source}"
    keywords = [
        "air quality",
        species,
        "aerosol",
        "particulate matter",
        "reanalysis",
        "downscaling",
    ]
    attributes = {
        "Conventions": "CF-1.11, ACDD-1.3",
        "keywords": ", ".join(keywords),
        "id": f"deepcams-{code}",
        "naming_authority": "deepcams",
        "source": source,
        "source_version": f"deepcams {__version__}",
        "history": f"{now} {command} (deepcams {__version__})",
        "date_created": now,
        "date_modified": now,
        "date_issued": now,
        "date_metadata_modified": now,
        "institution": "produced by the user of deepcams",
        "project": "deepcams",
        "creator_name": "deepcams",
        "creator_type": "group",
        "publisher_name": "not published",
        "publisher_type": "group",
        "program": program,
        "product_version": __version__,
        "standard_name_vocabulary": "CF Standard Name Table v93",
        "cdm_data_type": "Grid",
        "acknowledgement": acknowledgement,
        "license": license_text,
        "references": f"{INNESS}; {XIAO}",
        "input_files": ", ".join(one["name"] for one in run["inputs"]) or "in memory",
    }
    if previous:
        attributes["history"] += f"\n{previous}"
    return attributes
