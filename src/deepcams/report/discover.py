"""Find the files of a run and recognise them by content: output, input, scores, pictures, trainings and networks."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from deepcams.core.errors import InputError, OutputError
from deepcams.core.text import counted, from_json
from deepcams.core.times import long_means_opened, stamp
from deepcams.core.url import Place
from deepcams.files.records import FOLDER, Record, Records, damaged_explained
from deepcams.networks.checkpoint import Card, read_card
from deepcams.readers import SOURCE
from deepcams.readers.open import open_field
from deepcams.writers import Contents
from deepcams.writers.layout import MEANS, RUN
from deepcams.writers.netcdf import TOTAL
from deepcams.writers.target import LAYOUT, REQUEST, absent_files, written

LOG, CURVE = "log.csv", "curve.png"
LARGEST_JSON = 50_000_000
DEEPEST = 2
"""Maximum depth of subfolders that are searched: ``scores/``, ``runs/temporal/``."""
NOT_RESULTS = ("data", "truth", "world", "tensorboard")
"""Names of folders that hold inputs of a run, not results."""
_ENDINGS = {".nc", ".nc4", ".grib", ".grb", ".zip"}
_UNREADABLE = (OSError, ValueError, TypeError, KeyError, OutputError)


@dataclass
class Output:
    """An output: field, settings, provenance, hours and counts, from Zarr or netCDF.

    Attributes:
        path: the store, file or folder.
        field: canonical field, lazy.
        identity: settings and inputs; empty if deepcams did not write it.
        attributes: global attributes.
        times, status: hours and their status (missing, analysis, interpolated); ``None`` if it has none.
        total: merged completion records; ``None`` if there are none.
        problems: unreadable or unfinished parts, one line each.
    """

    path: Path
    field: xr.DataArray
    identity: dict[str, Any] = dataclasses.field(default_factory=dict)
    attributes: dict[str, Any] = dataclasses.field(default_factory=dict)
    times: np.ndarray | None = None
    status: np.ndarray | None = None
    total: Contents | None = None
    problems: list[str] = dataclasses.field(default_factory=list)

    @property
    def is_means(self) -> bool:
        """Whether it holds means of days or longer periods (``deepcams means``)."""
        return MEANS in self.identity

    @property
    def span(self) -> str:
        """Number of times, and the first and last; dates for means."""
        times = self.field.time.values
        if not self.is_means:
            count = counted(times.size, "time")
            return f"{count}, {stamp(times[0])} to {stamp(times[-1])} UTC"
        count = counted(times.size, str(self.identity[MEANS].get("over", "time")))
        first, last = (stamp(time)[:10] for time in (times[0], times[-1]))
        return f"{count}, {first}" + (f" to {last}" if last != first else "")

    def opened(self) -> xr.Dataset:
        """Open the stored dataset; the caller closes it."""
        return _open(self.path)

    @property
    def inputs(self) -> list[str]:
        """Names of its input files."""
        inputs = self.identity.get("inputs", [])
        return [str(one.get("name", "")) for one in inputs if isinstance(one, dict)]


@dataclass
class Found:
    """The files found of a run.

    Attributes:
        name: name of the run.
        output: its output, or ``None``.
        original: the output's input, or ``None``; always ``None`` for means.
        means: outputs of means: the output itself, or further ones.
        tables: documents of scores (``rows``) and quality control (``quality``), by path within the run.
        zones: tables of ``deepcams zones`` with their metadata, by path within the run.
        pictures: PNG files, by path within the run.
        trainings: folders with a training's log, by path within the run.
        cards: cards of the checkpoints, by network.
        problems: unreadable files, one line each.
    """

    name: str
    output: Output | None = None
    original: xr.DataArray | None = None
    means: list[Output] = dataclasses.field(default_factory=list)
    tables: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    zones: dict[str, tuple[Path, dict[str, Any]]] = dataclasses.field(
        default_factory=dict
    )
    pictures: dict[str, Path] = dataclasses.field(default_factory=dict)
    trainings: dict[str, Path] = dataclasses.field(default_factory=dict)
    cards: dict[str, Card] = dataclasses.field(default_factory=dict)
    problems: list[str] = dataclasses.field(default_factory=list)

    @property
    def identity(self) -> dict[str, Any]:
        """Settings and inputs of the output."""
        return {} if self.output is None else self.output.identity

    @property
    def attributes(self) -> dict[str, Any]:
        """Global attributes of the output."""
        return {} if self.output is None else self.output.attributes


def find_run(
    run: Path | str, original: Sequence[Place | str] | Place | str | None = None
) -> Found:
    """Find the parts of a run at a path.

    Args:
        run: an output (Zarr, netCDF, a folder of netCDF), or a folder that holds one, with tables, pictures and
            networks, possibly in subfolders: as written by ``demo``, ``validate``, ``train`` and ``run``.
        original: input of the output, to be shown with it; default: the files named in the output, if they are in
            its folder or in ``data`` there.

    Raises:
        InputError: the path does not exist, or holds nothing to report.
    """
    run = Path(run)
    if not run.exists():
        raise InputError(
            run, "a run: an output, or the folder of one", "no such file or folder"
        )
    found = Found(run.resolve().name)
    if run.is_dir() and not _is_store(run):
        inside = list(_walk(run, DEEPEST))
        for path in inside:
            _take(found, path, path.relative_to(run).as_posix())
        _choose_output(found, run, inside)
    else:
        _take_output(found, run)
    if not (
        found.output
        or found.tables
        or found.zones
        or found.pictures
        or found.cards
        or found.trainings
    ):
        why = f" ({found.problems[0]})" if found.problems else ""
        expected = "a run: an output, scores, pictures or networks"
        raise InputError(run, expected, f"nothing of these{why}")
    output = found.output
    if original is not None:
        found.original = open_field(
            original, None if output is None else str(output.field.name)
        )
    elif output is not None and not output.is_means:
        try:
            found.original = _inputs_of(output)
        except InputError as error:
            found.problems.append(str(error))
    _take_shipped(found)
    return found


def _is_store(path: Path) -> bool:
    return path.suffix.lower() == ".zarr"


def _walk(folder: Path, deeper: int) -> Iterator[Path]:
    """Yield files and stores of a folder, then those of its subfolders; links to folders are not followed."""
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    inner = [path for path in entries if path.is_dir() and not _is_store(path)]
    yield from (path for path in entries if path not in inner)
    for path in inner:
        if deeper and path.name not in NOT_RESULTS and not path.is_symlink():
            yield from _walk(path, deeper - 1)


def _take(found: Found, path: Path, name: str) -> None:
    """Add a file to the list for its kind; training curves are skipped, because they are drawn from the log."""
    is_training = (path.parent / LOG).is_file() and (
        path.parent / "experiment.yaml"
    ).is_file()
    if path.suffix == ".json" and path.stat().st_size <= LARGEST_JSON:
        try:
            document = from_json(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            found.problems.append(f"{name}: cannot be read ({type(error).__name__})")
            return
        if isinstance(document, dict) and isinstance(document.get("rows"), list):
            found.tables[name] = document
        elif _is_of_zones(document, path):
            found.zones[name.removesuffix(".json")] = (path.with_suffix(""), document)
    elif path.suffix == ".png" and not (path.name == CURVE and is_training):
        found.pictures[name] = path
    elif path.suffix == ".safetensors":
        _take_card(found, path)
    elif path.name == LOG and is_training:
        found.trainings[name.removesuffix(LOG).rstrip("/") or found.name] = path.parent


def _is_of_zones(document: Any, path: Path) -> bool:
    """Return whether a document describes a table of ``deepcams zones`` that can be shown."""
    made_by = document.get("made_by") if isinstance(document, dict) else None
    kinds = (".csv", ".parquet")
    return str(made_by).endswith(" zones") and path.with_suffix("").suffix in kinds


def _choose_output(found: Found, run: Path, inside: list[Path]) -> None:
    """Choose the output of a folder: the folder as a whole, a store, a file of deepcams, else all files together."""
    if (run / FOLDER).is_dir():
        _take_output(found, run)
        return
    stores = [path for path in inside if _is_store(path)]
    files = [
        path
        for path in inside
        if path.parent == run and path.suffix.lower() in _ENDINGS
    ]
    named = {path: _identity(path) for path in stores or files}
    outputs = [path for path in named if named[path] is not None] or stores
    if outputs:
        means = [path for path in outputs if MEANS in (named[path] or {})]
        outputs.sort(key=means.__contains__)  # hours before their means
        _take_output(found, outputs[0])
        for path in outputs[1:]:
            if path in means:
                _take_means(found, path)
            else:
                about = f"is another output; this report is about {outputs[0].name}"
                found.problems.append(f"{path.name} {about}")
    elif files:
        _take_output(found, run, files)


def _identity(path: Path) -> dict[str, Any] | None:
    """Return the identity stored in a Zarr store or netCDF file, if any."""
    try:
        with _open(path) as dataset:
            return dict(from_json(str(dataset.attrs[RUN])))
    except _UNREADABLE:
        return None


def _open(path: Path) -> xr.Dataset:
    engine: Any = "zarr" if _is_store(path) else "netcdf4"
    with damaged_explained(path):
        return xr.open_dataset(path, engine=engine, decode_timedelta=False)


def _take_output(found: Found, path: Path, files: list[Path] | None = None) -> None:
    try:
        found.output = read_output(path, files)
    except InputError as error:
        found.problems.append(str(error))
    else:
        found.problems += found.output.problems
        if found.output.is_means:
            found.means.append(found.output)


def _take_means(found: Found, path: Path) -> None:
    try:
        found.means.append(read_output(path))
    except InputError as error:
        found.problems.append(str(error))


def _take_card(found: Found, path: Path) -> None:
    try:
        found.cards[path.stem] = read_card(path)
    except InputError as error:
        found.problems.append(str(error))


def _take_shipped(found: Found) -> None:
    """Add the cards of shipped networks that the output was made with."""
    settings = json.dumps(found.identity)
    for path in sorted((Path(__file__).parents[1] / "weights").glob("*.safetensors")):
        is_used = hashlib.sha256(path.read_bytes()).hexdigest() in settings
        if is_used and path.stem not in found.cards:
            _take_card(found, path)


def _inputs_of(output: Output) -> xr.DataArray | None:
    """Return the field of an output's input files, if all are in its folder or in ``data`` there.

    Raises:
        InputError: the files exist but hold no field.
    """
    names = output.inputs
    if not names or any(not name or Path(name).name != name for name in names):
        return None
    for folder in (output.path.parent, output.path.parent / "data"):
        paths = [folder / name for name in names]
        if all(path.exists() for path in paths):
            token = SOURCE.set(output.identity.get("source", SOURCE.get()))
            try:
                return open_field(paths, str(output.field.name))
            finally:
                SOURCE.reset(token)
    return None


def read_output(path: Path, files: Sequence[Path] | None = None) -> Output:
    """Read an output without its values.

    Args:
        path: the store, file or folder.
        files: files of a folder that belong to the output; default: all.

    Raises:
        InputError: the path holds no field.
    """
    with long_means_opened():
        output = Output(path, open_field(path if files is None else list(files)))
    parts = [path]
    if path.is_dir() and not _is_store(path):
        parts = sorted(path.glob("*.nc")) if files is None else list(files)
        words = absent_files(path)
        output.problems += [words] if words else []
    records: list[Contents] = []
    hours: list[tuple[np.ndarray, np.ndarray]] = []
    for part in parts:
        try:
            with _open(part) as dataset:
                attributes = dict(dataset.attrs)
                if "status" in dataset and dataset["status"].dims == ("time",):
                    times = dataset["time"].values.astype("datetime64[ns]")
                    hours.append((times, dataset["status"].values))
            if TOTAL in attributes:
                records.append(Contents.of(Record.from_json(str(attributes[TOTAL]))))
            if RUN in attributes and not output.identity:
                output.identity = dict(from_json(str(attributes[RUN])))
        except _UNREADABLE as error:
            cause = type(error).__name__
            output.problems.append(
                f"{part.name}: its attributes cannot be read ({cause})"
            )
            continue
        output.attributes = output.attributes or {
            key: value
            for key, value in attributes.items()
            if not key.startswith("deepcams_")
        }
    if _is_store(path):
        # The field of an unfinished store has fewer times than the store.
        whole = sum(times.size for times, _ in hours) or output.field.sizes["time"]
        records += _store_records(output, whole)
    if records:
        output.total = Contents.merge(records)
    if hours:
        times, status = (np.concatenate(each) for each in zip(*hours, strict=True))
        order = np.argsort(times, kind="stable")
        output.times, output.status = times[order], status[order]
    return output


def _store_records(output: Output, times: int) -> list[Contents]:
    """Return the completion records of a store with ``times`` times; problems are added to the output."""
    records, found = Records(output.path / FOLDER), []
    for name in records.names():
        if name in (LAYOUT, *REQUEST):
            continue  # no items
        try:
            record = records.get(name)
            if record is not None:
                found.append(Contents.of(record))
        except _UNREADABLE as error:
            cause = type(error.__cause__ or error).__name__
            output.problems.append(
                f"{name}: a completion record cannot be read ({cause})"
            )
    state = written(output.path, str(output.field.name), times)
    if state is not None and not state.whole:
        output.problems.append(state.words())
    return found
