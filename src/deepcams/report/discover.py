"""What a run has left on disk, recognised by content: its output, input, scores, pictures, trainings and networks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xarray as xr

from deepcams.core.errors import InputError
from deepcams.networks.checkpoint import Card, read_card
from deepcams.readers.open import open_field
from deepcams.report.output_facts import Output, inputs_beside, is_ours, read_output

LOG, CURVE = "log.csv", "curve.png"
LARGEST_JSON = 50_000_000
DEEPEST = 2
"""Folders within the run's own that are looked into: ``scores/``, ``runs/temporal/``."""
NOT_RESULTS = ("data", "truth", "world", "tensorboard")
"""Folders that hold what a run began with, not what came of it."""
_ENDINGS = {".nc", ".nc4", ".grib", ".grb", ".zip"}


@dataclass
class Found:
    """A run's remains.

    Attributes:
        name: of the run.
        output: what it wrote, or ``None``.
        original: what that was made from, or ``None``.
        tables: path within the run -> a document of scores (``rows``) and quality control (``quality``).
        pictures: path within the run -> PNG file.
        trainings: path within the run -> folder with a training's log.
        cards: network -> what its checkpoint says of itself.
        problems: what could not be read, one line each.
    """

    name: str
    output: Output | None = None
    original: xr.DataArray | None = None
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    pictures: dict[str, Path] = field(default_factory=dict)
    trainings: dict[str, Path] = field(default_factory=dict)
    cards: dict[str, Card] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def identity(self) -> dict[str, Any]:
        """Settings and inputs of the output."""
        return {} if self.output is None else self.output.identity

    @property
    def attributes(self) -> dict[str, Any]:
        """Of the output as a whole."""
        return {} if self.output is None else self.output.attributes


def find_run(run: Path | str, original: Sequence[Path | str] | Path | str | None = None) -> Found:
    """Recognise what a path holds.

    Args:
        run: an output (Zarr, netCDF, a folder of netCDF), or a folder that holds one, with tables, pictures and
            networks, also in folders of its own: what ``demo``, ``validate``, ``train`` and ``run`` leave.
        original: the input of the output, to stand beside it; default what the output names, where it lies beside it
            or in ``data``.

    Raises:
        InputError: no such path, or nothing in it that a report could tell of.
    """
    run = Path(run)
    if not run.exists():
        raise InputError(run, "a run: an output, or the folder of one", "no such file or folder")
    found = Found(run.resolve().name)
    if run.is_dir() and not _is_store(run):
        inside = list(_walk(run, DEEPEST))
        for path in inside:
            _take(found, path, path.relative_to(run).as_posix())
        _choose_output(found, run, inside)
    else:
        _take_output(found, run)
    if found.output is None and not (
        found.tables or found.pictures or found.cards or found.trainings
    ):
        why = f" ({found.problems[0]})" if found.problems else ""
        raise InputError(
            run, "a run: an output, scores, pictures or networks", f"nothing of these{why}"
        )
    if original is not None:
        found.original = open_field(
            original, None if found.output is None else str(found.output.field.name)
        )
    elif found.output is not None:
        beside = found.output.path.parent
        try:
            found.original = inputs_beside(found.output, [beside, beside / "data"])
        except InputError as error:
            found.problems.append(str(error))
    _take_shipped(found)
    return found


def _is_store(path: Path) -> bool:
    return path.suffix.lower() == ".zarr"


def _walk(folder: Path, deeper: int) -> Iterator[Path]:
    """Files and stores of a folder, then those of the folders in it; links to folders are not followed."""
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    inner = [path for path in entries if path.is_dir() and not _is_store(path)]
    yield from (path for path in entries if path not in inner)
    for path in inner:
        if deeper and path.name not in NOT_RESULTS and not path.is_symlink():
            yield from _walk(path, deeper - 1)


def _take(found: Found, path: Path, name: str) -> None:
    if path.suffix == ".json" and path.stat().st_size <= LARGEST_JSON:
        _take_table(found, path, name)
    elif path.suffix == ".png":
        if path.name != CURVE or not _is_training(
            path.parent
        ):  # a training's curve is drawn from its log
            found.pictures[name] = path
    elif path.suffix == ".safetensors":
        _take_card(found, path.stem, path)
    elif path.name == LOG and _is_training(path.parent):
        found.trainings[name.removesuffix(LOG).rstrip("/") or found.name] = path.parent


def _is_training(folder: Path) -> bool:
    return (folder / LOG).is_file() and (folder / "experiment.yaml").is_file()


def _choose_output(found: Found, run: Path, inside: list[Path]) -> None:
    """The output among a folder's files: a store, else what says that deepcams wrote it, else all of them."""
    stores = [path for path in inside if _is_store(path)]
    ours = [path for path in stores if is_ours(path)] or stores
    files = [path for path in inside if path.parent == run and path.suffix.lower() in _ENDINGS]
    if (run / ".deepcams").is_dir():
        _take_output(found, run)
        return
    if not ours:
        ours = [path for path in files if is_ours(path)]
    if ours:
        _take_output(found, ours[0])
        found.problems += [
            f"{path.name} is another output; this report is about {ours[0].name}"
            for path in ours[1:]
        ]
    elif files:
        _take_output(found, run, files)


def _take_output(found: Found, path: Path, files: list[Path] | None = None) -> None:
    try:
        found.output = read_output(path, files)
    except InputError as error:
        found.problems.append(str(error))
        return
    found.problems += found.output.problems


def _take_table(found: Found, path: Path, name: str) -> None:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        found.problems.append(f"{name}: cannot be read ({type(error).__name__})")
        return
    if isinstance(document, dict) and isinstance(document.get("rows"), list):
        found.tables[name] = document


def _take_card(found: Found, name: str, path: Path) -> None:
    try:
        found.cards[name] = read_card(path)
    except InputError as error:
        found.problems.append(str(error))


def _take_shipped(found: Found) -> None:
    """The cards of networks that the output was made with and that come with the package."""
    settings = json.dumps(found.identity)
    for path in sorted((Path(__file__).parents[1] / "weights").glob("*.safetensors")):
        if (
            path.stem not in found.cards
            and hashlib.sha256(path.read_bytes()).hexdigest() in settings
        ):
            _take_card(found, path.stem, path)
