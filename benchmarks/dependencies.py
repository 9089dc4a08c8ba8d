"""Write docs/dependencies.md: what deepcams depends on, why, under which licence, and how large it is.

Usage: python benchmarks/dependencies.py

It reads the metadata of what is installed; run it in the environment of ``make install``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

TARGET = Path(__file__).resolve().parents[1] / "docs" / "dependencies.md"
TOOLS = {"all", "dev", "docs"}
"""Extras that collect others, or that only developers install."""

REASONS = {
    "dask": "lazy fields (`open_cams`, `downscale` in Python) and training stores; runs do without it",
    "filelock": "one process at a time in an output folder, on any system",
    "global-land-mask": "land and sea of the map and the scores",
    "jinja2": "the page of `deepcams report`",
    "matplotlib": "figures and films",
    "netcdf4": "reads and writes netCDF-3 and -4, in the threads and chunks that deepcams chooses",
    "numcodecs": "bit rounding and compression of Zarr chunks",
    "numpy": "arrays",
    "onnxruntime": "runs the default network in space without PyTorch; its telemetry is turned off",
    "opencv-python-headless": "optical flow of the default method in time, and remapping along it",
    "packaging": "compares versions of what is installed",
    "pandas": "tables of stations; xarray needs it too",
    "psutil": "memory of this process and machine; whether the holder of a lock lives",
    "pydantic": "strict experiment files, whose errors name the value",
    "pyyaml": "experiment files",
    "rich": "progress bars and tables on terminals",
    "scipy": "sparse weights of zones, spectra, quality control, statistics",
    "typer": "the command line",
    "xarray": "the canonical field",
    "zarr": "the output store",
    "obstore": "object stores (S3, Google, Azure)",
    "ecmwf-datastores-client": "the Atmosphere Data Store's own protocol",
    "pyarrow": "Parquet tables",
    "requests": "downloads, with retries and resumption by range",
    "tenacity": "repeats of answers that broke off",
    "urllib3": "retries of statuses and refused connections",
    "distributed": "work on a Dask cluster",
    "rasterio": "GeoTIFF",
    "eccodes": "GRIB",
    "imageio-ffmpeg": "MP4 films (its ffmpeg is a program of its own)",
    "safetensors": "checkpoints that run no code when read",
    "torch": "training, GPUs, and networks that are not exported",
    "duckdb": "sorts and joins tables of stations larger than memory",
    "openvino": "a faster engine on some processors",
    "tzfpy": "real time zones by place",
    "tzdata": "offsets of time zones, the same on every system",
    "geopandas": "files of polygons",
    "onnx": "exported networks",
    "onnxscript": "PyTorch's exporter needs it",
    "tensorboard": "curves of a training in the browser",
}
_LONGEST = 48


def main() -> None:
    """Write the page."""
    TARGET.write_text(page(), encoding="utf-8")


def page() -> str:
    """Return the page's text."""
    groups: dict[str, list[Requirement]] = {}
    for line in metadata.requires("deepcams") or []:
        need = Requirement(line)
        extra = re.search(r"extra == ['\"]([\w-]+)", str(need.marker or ""))
        group = extra[1] if extra else ""
        if group not in TOOLS and need.name != "deepcams":
            groups.setdefault(group, []).append(need)
    core = closure([need.name for need in groups.pop("")])
    lines = [
        "# Dependencies",
        "",
        "Written by `python benchmarks/dependencies.py` from the metadata of the versions in `constraints.txt` "
        "(Linux, x86-64); MB are of installed files.",
        "",
        "## A bare install",
        "",
        f"`pip install deepcams` brings {len(core)} distributions, {sum(map(size, core)):.0f} MB.",
        "",
        *table(core, direct=True),
        "",
        "They need these in turn:",
        "",
        *table(core, direct=False),
        "",
        "## Extras",
        "",
        "| extra | dependency | licence | MB | what for |",
        "|---|---|---|---:|---|",
    ]
    for group, needs in sorted(groups.items()):
        for need in needs:
            name = canonicalize_name(need.name)
            lines.append(
                f"| `{group}` | {name} | {licence(name)} | {size(name):.1f} | {REASONS[name]} |"
            )
    lines += [
        "",
        "Sizes of extras are without what they need in turn.",
    ]
    return "\n".join(lines) + "\n"


def table(names: set[str], *, direct: bool) -> list[str]:
    """Return rows of the dependencies that deepcams names itself, or of the others, the largest first."""
    chosen = sorted(
        (name for name in names if (name in REASONS) == direct), key=size, reverse=True
    )
    head, rule = "| dependency | licence | MB |", "|---|---|---:|"
    if direct:
        head, rule = head + " what for |", rule + "---|"
    return [
        head,
        rule,
        *(
            f"| {name} | {licence(name)} | {size(name):.1f} |"
            + (f" {REASONS[name]} |" if direct else "")
            for name in chosen
        ),
    ]


def closure(names: list[str]) -> set[str]:
    """Return distributions and all that they need here, by their canonical names."""
    found: set[str] = set()
    left = [str(canonicalize_name(name)) for name in names]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += needed(name)
    return found


def needed(name: str) -> Iterator[str]:
    """Yield what a distribution needs without extras on this machine."""
    for line in metadata.requires(name) or []:
        need = Requirement(line)
        if need.marker is None or need.marker.evaluate({"extra": ""}):
            yield str(canonicalize_name(need.name))


def size(name: str) -> float:
    """Return the size of a distribution's installed files, MB."""
    places = (file.locate() for file in metadata.files(name) or [])
    return (
        sum(Path(str(p)).stat().st_size for p in places if Path(str(p)).is_file()) / 1e6
    )


def licence(name: str) -> str:
    """Return a distribution's licence as its metadata names it."""
    about = metadata.metadata(name)
    said = str(about.get("License-Expression") or about.get("License") or "")
    if not said or "\n" in said or len(said) > _LONGEST:
        classes = about.get_all("Classifier") or []
        named = [c.rpartition(" :: ")[2] for c in classes if c.startswith("License ::")]
        said = ", ".join(named) or said.strip().splitlines()[0][:_LONGEST] + " .."
    if said == "UNKNOWN":
        files = metadata.files(name) or []
        said = next(
            file.read_text().split("\n")[0] for file in files if file.name == "LICENSE"
        )
    return said.replace("|", "/")


if __name__ == "__main__":
    main()
