"""Cloud-optimized GeoTIFF: one band per time, in EPSG:4326, written by GDAL's COG driver through rasterio."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from deepcams._version import __version__
from deepcams.core.grid import Grid
from deepcams.core.units import UNITS
from deepcams.export.source import Piece, Source
from deepcams.files.atomic import UNFINISHED
from deepcams.files.optional import need
from deepcams.writers.layout import STATUS_MEANINGS

_BLOCK_BYTES = 64 << 20
"""Maximum size in memory of a block with all bands, bytes: blocks of a COG interleave the bands."""
_BLOCKS = (512, 256, 128)
_CACHE_MEGABYTES = 256
_TAGS = (
    "title",
    "summary",
    "source",
    "source_version",
    "processing_level",
    "history",
    "acknowledgement",
    "license",
    "references",
    "institution",
)
"""Global attributes that become tags of the file."""


def raster_grid(grid: Grid) -> tuple[Grid, slice]:
    """Return the nodes whose pixels lie within -90..90 (all but the poles), and their rows in ``grid``.

    The height of a pixel is the row spacing, so a pixel at a pole would extend beyond it.
    """
    first = int(grid.north == 0)
    stop = grid.rows - int(grid.south == grid.last_row)
    inside = replace(grid, north=grid.north + first, rows=stop - first)
    return inside, slice(first, stop)


def block_size(bands: int) -> int:
    """Return the edge length of a COG's blocks, in pixels."""
    fitting = [side for side in _BLOCKS if 4 * bands * side * side <= _BLOCK_BYTES]
    return fitting[0] if fitting else _BLOCKS[-1]


def write_cog(
    path: Path,
    source: Source,
    piece: Piece,
    blocks: Iterable[tuple[int, np.ndarray]],
) -> None:
    """Write a piece as one COG, and verify it by reading it back.

    Raises:
        OSError: the file cannot be written, or its content differs from what was written.
        MissingExtraError: rasterio is not installed.
    """
    rasterio: Any = need("rasterio")
    shutil: Any = need("rasterio.shutil")
    draft = path.with_name(f"{path.name}.bands{UNFINISHED}")
    grid, rows = raster_grid(source.grid)
    side = block_size(piece.hours)
    try:
        # No auxiliary statistics file; a cache size independent of the machine's memory.
        with rasterio.Env(GDAL_PAM_ENABLED="NO", GDAL_CACHEMAX=_CACHE_MEGABYTES):
            checksums = _write_bands(draft, source, piece, blocks, grid, rows, side)
            shutil.copy(
                str(draft),
                str(path),
                driver="COG",
                compress="DEFLATE",
                predictor="FLOATING_POINT",
                blocksize=side,
                overview_resampling="AVERAGE",
                bigtiff="IF_SAFER",
                num_threads="2",
            )
            _check(path, checksums)
    except rasterio.errors.RasterioError as error:
        raise OSError(0, f"{error} (is the disk full?)", str(path)) from error
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def _write_bands(
    draft: Path,
    source: Source,
    piece: Piece,
    blocks: Iterable[tuple[int, np.ndarray]],
    grid: Grid,
    rows: slice,
    side: int,
) -> list[int]:
    """Write a plain GeoTIFF of all bands and tags; return the checksum of each band."""
    rasterio: Any = need("rasterio")
    west = float(grid.longitudes[0]) - grid.step / 2
    north = float(grid.latitudes[0]) + grid.row_step / 2
    checksums: list[int] = []
    intervals = _intervals(source, piece)
    with rasterio.open(
        draft,
        "w",
        driver="GTiff",
        dtype="float32",
        count=piece.hours,
        height=grid.rows,
        width=grid.columns,
        crs="EPSG:4326",
        transform=rasterio.Affine(grid.step, 0, west, 0, -grid.row_step, north),
        nodata=np.nan,
        interleave="band",
        # With the COG's block size, so that each block is read only once.
        tiled=True,
        blockxsize=side,
        blockysize=side,
        bigtiff="IF_SAFER",
    ) as raster:
        raster.update_tags(**_file_tags(source, piece))
        raster.units = [UNITS] * piece.hours
        for start, block in blocks:
            for place, frame in enumerate(block, start):
                band = place + 1
                raster.write(frame[rows], band)
                time = source.times[piece.start + place]
                moment = f"{np.datetime_as_string(time, 'm')}Z"
                raster.set_band_description(band, f"{source.name} {moment}")
                tags = _band_tags(frame, rows, grid)
                if source.status is not None:
                    flag = source.status[piece.start + place]
                    tags["STATUS"] = STATUS_MEANINGS[flag]
                if intervals is not None:
                    start_end = intervals[place]
                    tags["TIME_INTERVAL"] = "/".join(
                        f"{np.datetime_as_string(edge, 'm')}Z" for edge in start_end
                    )
                raster.update_tags(band, TIME=moment, **tags)
                checksums.append(_checksum(frame[rows]))
    return checksums


def _intervals(source: Source, piece: Piece) -> np.ndarray | None:
    """Return the averaging interval of each time, (times, 2); ``None`` for instants."""
    layout = source.layout(piece)
    half = layout.half_width
    if half is None or not np.any(half):
        return None
    halves = np.broadcast_to(half, layout.times.shape)
    return np.stack([layout.times - halves, layout.times + halves], axis=1)


def _file_tags(source: Source, piece: Piece) -> dict[str, str]:
    given: Mapping[str, Any] = source.provenance
    about = source.layout(piece)
    attributes = about.variable_attributes()
    first, last = (
        f"{np.datetime_as_string(time, 's')}Z" for time in about.times[[0, -1]]
    )
    tags = {key: str(given[key]) for key in _TAGS if given.get(key)}
    tags |= {
        "variable": source.name,
        "units": UNITS,
        "cell_methods": str(attributes.get("cell_methods", "time: point")),
        "time_coverage_start": first,
        "time_coverage_end": last,
        "TIFFTAG_SOFTWARE": f"deepcams {__version__}",
        "TIFFTAG_DATETIME": first[:19].replace("-", ":").replace("T", " "),
        "TIFFTAG_IMAGEDESCRIPTION": str(
            given.get("title") or attributes.get("long_name") or source.name
        ),
    }
    if attributes.get("standard_name"):
        tags["standard_name"] = str(attributes["standard_name"])
    if given.get("license"):
        tags["TIFFTAG_COPYRIGHT"] = str(given["license"])
    return tags


def _band_tags(frame: np.ndarray, rows: slice, grid: Grid) -> dict[str, str]:
    """Return a band's statistics in GDAL's form, and the values at the poles, which have no pixels."""
    inside = frame[rows].astype(np.float64)
    known = inside[np.isfinite(inside)]
    tags: dict[str, str] = {}
    if known.size:
        tags = {
            "STATISTICS_MINIMUM": f"{known.min():.9g}",
            "STATISTICS_MAXIMUM": f"{known.max():.9g}",
            "STATISTICS_MEAN": f"{known.mean():.9g}",
            "STATISTICS_STDDEV": f"{known.std():.9g}",
            "STATISTICS_VALID_PERCENT": f"{100 * known.size / inside.size:.4g}",
        }
    if rows.start:
        tags["NORTH_POLE"] = f"{frame[0].mean():.9g}"
    if rows.stop < len(frame):
        tags["SOUTH_POLE"] = f"{frame[-1].mean():.9g}"
    return tags


def _checksum(values: np.ndarray) -> int:
    import zlib

    return zlib.crc32(np.ascontiguousarray(values, np.float32).tobytes())


def _check(path: Path, checksums: list[int]) -> None:
    """Compare a COG's bands with their checksums: GDAL may write incompletely without an error.

    Raises:
        OSError: the values of a band differ.
    """
    rasterio: Any = need("rasterio")
    with rasterio.open(path) as raster:
        for band, expected in enumerate(checksums, 1):
            if _checksum(raster.read(band)) != expected:
                raise OSError(
                    0, f"band {band} is not as it was written (is the disk full?)", path
                )
