"""The pictures of docs/gallery.md, from the real CAMS frames of 2019-12-31 and the demo; and how long they take.

Usage: python benchmarks/gallery.py [CAMS_FILE] [-o docs/figures] (``make gallery``)
"""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

import deepcams
from deepcams.experiment.demo import demo
from deepcams.plotting import (
    animate,
    annual_figure,
    compare_maps,
    map_figure,
    save,
    sequence_figure,
    series_figure,
)

CAMS = (
    Path(__file__).resolve().parents[2]
    / "shared/data/cams/cams_eac4_20191231_new_layout.nc"
)
FIRES = (140.0, -42.0, 158.0, -28.0)
AROUND = (110.0, -50.0, 180.0, -5.0)
HOUR = np.datetime64("2019-12-31T17")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cams", nargs="?", default=CAMS, type=Path)
    parser.add_argument("-o", "--out", default=Path("docs/figures"), type=Path)
    parser.add_argument(
        "--hourly", type=Path, help="fields that were downscaled already"
    )
    arguments = parser.parse_args()
    cams = deepcams.open_cams(arguments.cams)
    with TemporaryDirectory() as folder:
        output = arguments.hourly or Path(folder) / "pm25.zarr"
        if arguments.hourly is None:
            deepcams.downscale_to(cams, output, inputs=[arguments.cams])
        hourly = deepcams.open_field(output)
        fields = {"deepcams": hourly}
        figures = {
            "map": lambda: map_figure(hourly, HOUR, projection="robinson", size="page"),
            "guideline": lambda: map_figure(
                hourly, HOUR, box=AROUND, scale="guideline", size="page"
            ),
            "compare": lambda: compare_maps(
                fields,
                HOUR,
                source=("CAMS", cams),
                box=AROUND,
                zooms=[FIRES],
                size="page",
            ),
            "sequence": lambda: sequence_figure(
                fields, original=cams, box=FIRES, size="page"
            ),
            "series": lambda: series_figure(fields, FIRES, original=cams, size="page"),
            "annual": lambda: annual_figure(
                hourly, cams, projection="robinson", size="page"
            ),
            "polar": lambda: map_figure(
                hourly, HOUR, projection="south-polar", size="column"
            ),
        }
        for name, draw in figures.items():
            began = time.perf_counter(), time.process_time()
            path = save(draw(), arguments.out / f"gallery-{name}.png")
            took = time.perf_counter() - began[0], time.process_time() - began[1]
            shrink(path)
            print(
                f"{name}: {took[0]:.1f} s ({took[1]:.1f} s of CPU), {path.stat().st_size / 1000:.0f} kB"
            )
        began_demo = time.perf_counter()
        demo(Path(folder) / "demo")
        path = arguments.out / "gallery-demo.png"
        shutil.copyfile(Path(folder) / "demo/map.png", path)
        shrink(path)
        print(
            f"demo: {time.perf_counter() - began_demo:.1f} s, {path.stat().st_size / 1000:.0f} kB"
        )
        path = animate(
            {"CAMS": cams, **fields},
            arguments.out / "gallery-fires.gif",
            box=FIRES,
            size="column",
            fps=3,
        )
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def shrink(path: Path, width: int = 1080) -> None:
    """Make a picture small enough for a page of documentation."""
    with Image.open(path) as picture:
        whole = picture.convert("RGB")
    if whole.width > width:
        whole = whole.resize(
            (width, round(width * whole.height / whole.width)), Image.Resampling.LANCZOS
        )
    whole.quantize(256, kmeans=4, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main()
