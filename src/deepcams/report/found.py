"""What a run has left on disk, recognised by content: its output, input, scores, pictures and networks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xarray as xr

from deepcams.errors import InputError
from deepcams.networks.checkpoint import Card, read_card
from deepcams.sources.open import open_field
from deepcams.store import open_target
from deepcams.store.records import Record

LARGEST_JSON = 50_000_000
_ENDINGS = {".nc", ".nc4", ".grib", ".grb", ".zip"}


@dataclass
class Found:
    """A run's remains.

    Attributes:
        name: of the run.
        output: its field, lazy, or ``None``.
        original: what it was made from, or ``None``.
        identity: settings and inputs, as the store keeps them.
        attributes: of the output as a whole.
        status: the hours' status (missing, analysis, interpolated), or ``None``.
        total: merged records, or ``None``.
        tables: file name -> a document of scores (``rows``) and quality control (``quality``).
        pictures: PNG files.
        cards: network -> what its checkpoint says of itself.
        problems: what could not be read, one line each.
    """

    name: str
    output: xr.DataArray | None = None
    original: xr.DataArray | None = None
    identity: dict[str, Any] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    status: xr.DataArray | None = None
    total: Record | None = None
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    pictures: list[Path] = field(default_factory=list)
    cards: dict[str, Card] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def find_run(run: Path | str, original: Sequence[Path | str] | Path | str | None = None) -> Found:
    """Recognise what a path holds.

    Args:
        run: an output (Zarr, netCDF, a folder of netCDF), or a folder that holds one, with tables and pictures.
        original: the input of the run, to stand beside it; default what the output names, where it lies beside it.

    Raises:
        InputError: no such path, or nothing in it that a report could tell of.
    """
    run = Path(run)
    if not run.exists():
        raise InputError(run, "a run: an output, or the folder of one", "no such file or folder")
    found = Found(run.resolve().name)
    is_folder = run.is_dir() and run.suffix.lower() != ".zarr"
    inside = sorted(path for path in run.iterdir() if not path.name.startswith(".")) if is_folder else []
    for path in inside:
        if path.suffix == ".json" and path.stat().st_size <= LARGEST_JSON:
            _take_table(found, path)
        elif path.suffix == ".png":
            found.pictures.append(path)
        elif path.suffix == ".safetensors":
            _take_card(found, path.stem, path)
    stores = [path for path in inside if path.suffix.lower() == ".zarr"]
    output = (stores[0] if stores else run) if is_folder else run
    if not is_folder or stores or any(path.suffix in _ENDINGS for path in inside):
        _take_output(found, output)
    if found.output is None and not (found.tables or found.pictures or found.cards):
        why = f" ({found.problems[0]})" if found.problems else ""
        raise InputError(run, "a run: an output, scores, pictures or networks", f"nothing of these{why}")
    if original is not None:
        found.original = open_field(original, None if found.output is None else str(found.output.name))
    else:
        _look_for_original(found, output.parent)
    _take_shipped(found)
    return found


def _take_output(found: Found, path: Path) -> None:
    try:
        found.output = open_field(path)
    except InputError as error:
        found.problems.append(str(error))
        return
    target = open_target(path)
    found.identity = dict(target.identity() or {})
    first = path if path.is_file() or path.suffix == ".zarr" else sorted(path.glob("*.nc"))[0]
    with xr.open_dataset(first, engine="zarr" if first.suffix == ".zarr" else None, decode_times=True) as dataset:
        found.attributes = {key: value for key, value in dataset.attrs.items() if not key.startswith("deepcams_")}
        if "status" in dataset and "time" in dataset["status"].dims:
            found.status = dataset["status"].load()
    records = sorted((path / ".deepcams").glob("item-*.json")) if path.suffix == ".zarr" else []
    if records:
        try:
            found.total = Record.merge([Record.from_json(one.read_text(encoding="utf-8")) for one in records])
        except (ValueError, TypeError, KeyError) as error:
            found.problems.append(f"{path.name}: a completion record cannot be read ({type(error).__name__})")


def _take_table(found: Found, path: Path) -> None:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        found.problems.append(f"{path.name}: cannot be read ({type(error).__name__})")
        return
    if isinstance(document, dict) and isinstance(document.get("rows"), list):
        found.tables[path.name] = document


def _take_card(found: Found, name: str, path: Path) -> None:
    try:
        found.cards[name] = read_card(path)
    except InputError as error:
        found.problems.append(str(error))


def _take_shipped(found: Found) -> None:
    """The cards of networks that the settings name and that come with the package."""
    folder = Path(__file__).parents[1] / "weights"
    settings = json.dumps(found.identity)
    for path in sorted(folder.glob("*.safetensors")):
        if path.stem in settings and path.stem not in found.cards:
            _take_card(found, path.stem, path)


def _look_for_original(found: Found, folder: Path) -> None:
    """The output's inputs by name, where they lie beside it; they are not looked for anywhere else."""
    names = [str(one.get("name", "")) for one in found.identity.get("inputs", []) if isinstance(one, dict)]
    paths = [folder / name for name in names if name and "/" not in name and (folder / name).exists()]
    if paths and len(paths) == len(names):
        try:
            found.original = open_field(paths, None if found.output is None else str(found.output.name))
        except InputError as error:
            found.problems.append(str(error))
