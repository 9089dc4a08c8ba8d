"""The doors: every kind of file that deepcams takes from others, with small valid ones and how each is opened.

A seed is a folder of small files. A door is opened completely: values are read, work is resumed.
"""

from __future__ import annotations

import gzip
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Files = dict[str, bytes]
"""A seed: path within its folder -> content."""
Open = Callable[[Path], object]
LATITUDE, LONGITUDE = np.arange(90, -91, -15.0), np.arange(0, 360, 15.0)
FRAMES = 16
"""Frames that are read of a field that claims to have many."""


@dataclass(frozen=True)
class Door:
    """One kind of input.

    Attributes:
        make: writes the seeds into a folder, one folder each.
        opens: ways to open a seed's folder; all are tried.
        changed: which of its files are changed: the beginnings of their names.
        writes: whether opening it may write beside it: work that is resumed.
    """

    make: Callable[[Path], None]
    opens: tuple[Open, ...]
    changed: tuple[str, ...] = ("",)
    writes: bool = False


def seeds_of(door: Door, folder: Path) -> dict[str, Files]:
    """Make a door's seeds: name -> files."""
    door.make(folder)
    return {
        seed.name: {
            path.relative_to(seed).as_posix(): path.read_bytes()
            for path in sorted(seed.rglob("*"))
            if path.is_file()
        }
        for seed in sorted(folder.iterdir())
    }


def inside(folder: Path, name: str) -> Path:
    """Return a path within a folder, which is made."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def out_of(folder: Path) -> Path:
    """Return the only other folder that opening an input may write to, besides the cache."""
    out = folder.parents[1] / "out"
    out.mkdir(exist_ok=True)
    return out


# Fields


def world(count: int = 3, hours: int = 3, mean: bool = False) -> Any:
    """Return PM2.5 of the whole globe at 15 degrees, kg m-3."""
    import xarray as xr

    start = np.datetime64("2019-12-31T00:30" if mean else "2019-12-31T00", "ns")
    times = start + np.arange(count) * np.timedelta64(hours, "h")
    rng = np.random.default_rng(5)
    values = rng.lognormal(2, 1, (count, LATITUDE.size, LONGITUDE.size)) * 1e-9
    return xr.DataArray(
        values.astype(np.float32),
        dims=("time", "latitude", "longitude"),
        coords={"time": times, "latitude": LATITUDE, "longitude": LONGITUDE},
        name="pm2p5",
        attrs={"units": "kg m**-3", "long_name": "Particulate matter d <= 2.5 um"},
    )


_PACKED = {
    "dtype": "int16",
    "scale_factor": 4e-12,
    "add_offset": 1e-7,
    "_FillValue": -32767,
}


def make_classic(folder: Path) -> None:
    """Classic netCDF, with and without a record dimension."""
    dataset = world().to_dataset()
    packed = {"pm2p5": _PACKED}
    for name, form, unlimited in (
        ("old", "NETCDF3_64BIT", []),
        ("records", "NETCDF3_CLASSIC", ["time"]),
    ):
        path = inside(folder, f"{name}/cams.nc")
        dataset.to_netcdf(path, format=form, unlimited_dims=unlimited, encoding=packed)


def make_netcdf4(folder: Path) -> None:
    """The data store's netCDF-4 of today, and a contiguous file with packed values."""
    import xarray as xr

    dataset = world().to_dataset()
    packed = {"pm2p5": _PACKED}
    dataset.to_netcdf(inside(folder, "contiguous/cams.nc"), encoding=packed)
    today = dataset.rename(time="valid_time").assign_coords(
        expver=("valid_time", np.array(["0001"] * 3, object)), number=np.int64(0)
    )
    today.attrs = {"GRIB_centre": "ecmf", "Conventions": "CF-1.7"}
    chunks = {
        "pm2p5": {"zlib": True, "shuffle": True, "chunksizes": (1, 13, 24)},
    }
    today.to_netcdf(inside(folder, "today/cams.nc"), encoding=chunks)
    leads = xr.concat([world().isel(time=0)] * 2, "step")
    leads = leads.assign_coords(
        step=("step", np.array([3, 6]), {"units": "hours"})
    ).rename(time="forecast_reference_time")
    leads.to_dataset(name="pm2p5").to_netcdf(inside(folder, "leads/cams.nc"))


def make_grib(folder: Path) -> None:
    """GRIB 1 and 2, two messages each."""
    import eccodes

    for edition in (1, 2):
        with inside(folder, f"edition{edition}/cams.grib").open("wb") as file:
            for k, frame in enumerate(world(2)):
                handle = eccodes.codes_grib_new_from_samples(
                    f"regular_ll_sfc_grib{edition}"
                )
                keys: dict[str, Any] = {
                    "centre": "ecmf",
                    "Ni": LONGITUDE.size,
                    "Nj": LATITUDE.size,
                    "latitudeOfFirstGridPointInDegrees": 90.0,
                    "longitudeOfFirstGridPointInDegrees": 0.0,
                    "latitudeOfLastGridPointInDegrees": -90.0,
                    "longitudeOfLastGridPointInDegrees": 345.0,
                    "iDirectionIncrementInDegrees": 15.0,
                    "jDirectionIncrementInDegrees": 15.0,
                    "dataDate": 20191231,
                    "dataTime": 300 * k,
                    "paramId": 210073,
                    "bitsPerValue": 12,
                }
                for key, value in keys.items():
                    eccodes.codes_set(handle, key, value)
                values = frame.values.ravel().astype(float)
                eccodes.codes_set_values(handle, values)
                eccodes.codes_write(handle, file)
                eccodes.codes_release(handle)
    for edition in (1, 2):
        content = (folder / f"edition{edition}" / "cams.grib").read_bytes()
        inside(folder, f"two-files/edition{edition}.grib").write_bytes(content)


def make_zip(folder: Path) -> None:
    """A zip as the data store sends it."""
    plain = folder.with_name(folder.name + "-plain")
    make_classic(plain)
    for name, packing in (("stored", 0), ("deflated", 8)):
        path = inside(folder, f"{name}/download.nc")
        with zipfile.ZipFile(path, "w", packing) as archive:
            archive.write(plain / "old" / "cams.nc", "data_sfc.nc")
            archive.writestr("about.txt", "hello")


def make_geos_cf(folder: Path) -> None:
    """GEOS-CF as files, and as saved from OPeNDAP."""
    for name, case in (("file", str.upper), ("opendap", str.lower)):
        field = (world(1, 1, mean=True) * 1e9).sortby("latitude")
        field = field.rename(latitude="lat", longitude="lon").assign_attrs(
            units="1" if name == "opendap" else "ug m-3",
            long_name="Particulate matter with diameter below 2.5 um RH 35",
        )
        if name == "file":
            field = field.expand_dims(lev=[72.0], axis=1)
        dataset = field.to_dataset(name=case("PM25_RH35_GCC"))
        dataset.attrs = {"Title": "GEOS-CF v01 replay, aqc_tavg_1hr_g1440x721_v1"}
        options = {
            "zlib": True,
            "_FillValue": np.float32(1e15),
            "chunksizes": (1,) * (field.ndim - 2) + (13, 24),
        }
        path = inside(folder, f"{name}/geos.nc4")
        dataset.to_netcdf(path, encoding={case("PM25_RH35_GCC"): options})


def read_field(path: Path) -> Any:
    """Open a field and read its values as a downscaling does."""
    from deepcams.core.values import load_values
    from deepcams.readers.frames import Frames
    from deepcams.readers.open import open_field

    field = open_field(path)
    frames = Frames(field)
    for k in range(min(field.sizes["time"], FRAMES)):
        load_values(frames.read(np.array([k])), str(path))
    return field


def look(path: Path) -> None:
    """Look at a file as ``deepcams info`` does."""
    import io

    from rich.console import Console

    from deepcams.readers.inspect import inspect
    from deepcams.readers.inspect_text import render

    seen = inspect(path)
    Console(file=io.StringIO(), width=100).print(render(seen))
    json.dumps(seen.as_dict(), allow_nan=False)


def downscale(path: Path, out: Path, overwrite: bool = False) -> None:
    """Write a downscaled field, or go on with it, without networks."""
    from deepcams.downscaling.job import downscale_to
    from deepcams.readers.open import open_field

    split = None if out.suffix else "day"
    downscale_to(
        open_field(path),
        out,
        temporal="linear",
        spatial="bicubic",
        split=split,
        bbox=[0, 0, 60, 60],
        inputs=[path],
        overwrite=overwrite,
    )


FIELD: tuple[Open, ...] = (
    lambda folder: look(only(folder)),
    lambda folder: read_field(only(folder)),
)


def only(folder: Path) -> Path:
    """Return a folder's only file; the folder where it has several."""
    files = sorted(folder.iterdir())
    return files[0] if len(files) == 1 else folder


# Stations


def table(rows: int = 24) -> Any:
    """Return observations in the archive's columns."""
    import pandas as pd

    return pd.DataFrame(
        {
            "location_id": [7, 8] * (rows // 2),
            "sensors_id": 1,
            "location": "a place, somewhere",
            "datetime": [f"2019-12-31T{k // 2:02}:00:00+00:00" for k in range(rows)],
            "lat": 52.25,
            "lon": 21.0,
            "parameter": "pm25",
            "units": "µg/m³",
            "value": np.linspace(5, 60, rows),
        }
    )


def make_csv(folder: Path) -> None:
    """CSV, plain and packed, with commas and semicolons; JSON as lines and as one document."""
    data = table()
    text = data.to_csv(index=False)
    rows = json.loads(data.to_json(orient="records"))
    api = [
        {
            "locationId": row["location_id"],
            "location": "a place",
            "parameter": "pm25",
            "value": row["value"],
            "unit": "µg/m³",
            "date": {"utc": row["datetime"]},
            "coordinates": {"latitude": 52.25, "longitude": 21.0},
        }
        for row in rows[:6]
    ]
    contents = {
        "comma/a.csv": text.encode(),
        "packed/a.csv.gz": gzip.compress(text.encode(), mtime=0),
        "semicolon/a.csv": data.to_csv(index=False, sep=";").encode("latin-1"),
        "lines/a.ndjson": "\n".join(map(json.dumps, api)).encode(),
        "document/a.json": json.dumps({"results": api}).encode(),
        "two/a.csv": text.encode(),
        "two/b.csv": text.replace("T0", "T1").encode(),
    }
    for name, content in contents.items():
        inside(folder, name).write_bytes(content)


def make_parquet(folder: Path) -> None:
    """Parquet, packed in two ways."""
    for packing in ("snappy", "zstd"):
        path = inside(folder, f"{packing}/a.parquet")
        table().to_parquet(path, compression=packing)


def read_stations(folder: Path) -> None:
    """Sort the rows and judge them, as a validation does."""
    from deepcams.stations import open_openaq, validate

    validate(open_openaq(sorted(folder.iterdir())))


def make_metadata(folder: Path) -> None:
    """Metadata of stations: CSV, JSON, Parquet."""
    import pandas as pd

    rows = {"id": [7, 8], "isMonitor": [True, False], "country": ["PL", "PL"]}
    data = pd.DataFrame({**rows, "altitude": [100.0, 200.0]})
    inside(folder, "csv/a.csv").write_text(data.to_csv(index=False))
    document = {"results": json.loads(data.to_json(orient="records"))}
    inside(folder, "json/a.json").write_text(json.dumps(document))
    data.to_parquet(inside(folder, "parquet/a.parquet"))


def read_metadata(folder: Path) -> None:
    """Add a file's facts to two stations."""
    import pandas as pd

    from deepcams.stations.archive.metadata import add_metadata

    stations = pd.DataFrame({"id": ["7", "8"], "location_id": ["7", "8"]})
    add_metadata(stations, only(folder))


# Zones, people and places


def make_zones(folder: Path) -> None:
    """Polygons, one with a hole and one across the 180th meridian, in four formats."""
    import geopandas
    import shapely

    hole = shapely.box(2, 2, 4, 4)
    shapes = [shapely.box(0, 0, 9, 9).difference(hole), shapely.box(170, -9, 190, 9)]
    data = geopandas.GeoDataFrame({"id": ["a", "b"]}, geometry=shapes, crs=4326)
    for kind in ("gpkg", "geojson", "shp"):
        data.to_file(inside(folder, f"{kind}/a.{kind}"))
    data.to_parquet(inside(folder, "parquet/a.parquet"))


def read_zones(folder: Path) -> None:
    """Read polygons and weigh them on a coarse grid."""
    from deepcams.core.grid import Grid
    from deepcams.exposure import read_zones
    from deepcams.exposure.weights import weigh

    path = next(
        path
        for path in sorted(folder.iterdir())
        if path.suffix in (".gpkg", ".geojson", ".shp", ".parquet")
    )
    weigh(read_zones(path), Grid.globe(15.0))


def make_people(folder: Path) -> None:
    """People on a coarse grid, as netCDF and as GeoTIFF."""
    import rasterio
    import xarray as xr

    values = np.arange(288, dtype=np.float32).reshape(12, 24)
    axes = {"lat": np.arange(82.5, -90, -15), "lon": np.arange(-172.5, 180, 15)}
    data = xr.DataArray(values, axes, list(axes), "people")
    data.to_netcdf(inside(folder, "netcdf/people_2020.nc"))
    about = {"width": 24, "height": 12, "count": 1, "dtype": "float32", "nodata": -1}
    placed = rasterio.Affine(15, 0, -180, 0, -15, 90)
    path = inside(folder, "geotiff/people_2020.tif")
    with rasterio.open(
        path, "w", "GTiff", crs="EPSG:4326", transform=placed, **about
    ) as file:
        file.write(values, 1)


def read_people(folder: Path) -> None:
    """Share the people out over the cells of a grid."""
    from deepcams.core.grid import Grid
    from deepcams.exposure import read_population
    from deepcams.exposure.polygons import Ring, Zones
    from deepcams.exposure.weights import weigh

    square = np.array([[0, 0], [0, 50], [70, 50], [70, 0], [0, 0.0]])
    zones = Zones(("a",), ("a",), (Ring(0, square),), "a")
    weigh(zones, Grid.globe(15.0), read_population(only(folder)))


def make_places(folder: Path) -> None:
    """Places with ids and windows: CSV with commas and semicolons, Parquet."""
    import pandas as pd

    columns = {"id": ["p1", "p2"], "latitude": ["48.2", "10"], "lon": ["16", "-3.5"]}
    windows = {"start": ["2019-12-31", ""], "end": ["2019-12-31", "2020-01-02"]}
    data = pd.DataFrame({**columns, **windows})
    inside(folder, "comma/a.csv").write_text(data.to_csv(index=False))
    inside(folder, "semicolon/a.csv").write_text(data.to_csv(index=False, sep=";"))
    data.to_parquet(inside(folder, "parquet/a.parquet"))


def read_places(folder: Path) -> None:
    """Take a field at them."""
    from deepcams.core.field import as_field
    from deepcams.exposure import point_exposure, read_points

    point_exposure(as_field(world()), read_points(only(folder)), over="hour")


# Experiments and settings


def make_experiments(folder: Path) -> None:
    """Experiments of one training, as the repository has them."""
    configs = Path(__file__).parents[2] / "configs"
    for path in sorted(configs.glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        inside(folder, f"{path.stem}/experiment.yaml").write_text(text)
    text = (
        "version: 1\ndata: {stores: [{path: world.zarr}]}\n"
        "split: {train: {periods: [2018]}, validation: {periods: [2019]}}\n"
        "samples: {task: temporal, crop: 32, flips: true}\n"
        "network: {name: xvfi, options: {nf: 4, module_scale: 2}}\n"
        "training: {steps: 6, batch: 4, optimizer: {lr: 1e-3}}\noutput: {name: tiny}\n"
    )
    inside(folder, "tiny/experiment.yaml").write_text(text)


def read_experiments(folder: Path) -> None:
    """Read a training's experiment and make its network."""
    from deepcams.training.experiment_file import read_experiment
    from deepcams.training.setup import make_network

    make_network(read_experiment(only(folder)))


def read_whole_run(folder: Path) -> None:
    """Read a whole experiment and check what its steps will ask."""
    from deepcams.experiment.execute import check
    from deepcams.experiment.run_options import read_run
    from deepcams.experiment.steps import ExperimentRun
    from deepcams.fetch.endpoints import Endpoints

    path = only(folder)
    run = read_run(path)
    out = out_of(folder)
    check(ExperimentRun(run, path.parent, out, Endpoints.resolve([]), environment={}))


def make_endpoints(folder: Path) -> None:
    """Addresses of services."""
    text = "ads: https://example.org/api\ngeos-cf-v1: http://localhost:8080\n"
    inside(folder, "two/endpoints.yaml").write_text(text)


def read_endpoints(folder: Path) -> None:
    """Read addresses of services."""
    from deepcams.fetch.endpoints import Endpoints

    Endpoints.resolve([], environment={"DEEPCAMS_ENDPOINTS": str(only(folder))})


# Weights


def make_checkpoints(folder: Path) -> None:
    """Tiny networks, in both types."""
    import torch

    from deepcams.networks import NETWORKS
    from deepcams.networks.base import options_from
    from deepcams.networks.checkpoint import save
    from deepcams.networks.scaling import LinearClip

    torch.manual_seed(0)
    for name, options, stored in (
        ("xvfi", {"nf": 4, "module_scale": 2}, "float32"),
        ("abpn", {"d": 4, "stages": 2}, "float16"),
    ):
        kind = NETWORKS.get(name)
        network = kind(options_from(kind.options_type, options, name))
        path = inside(folder, f"{name}/weights.safetensors")
        save(network, path, LinearClip(), stored=stored, provenance={"a": 1})


def read_checkpoint(folder: Path) -> None:
    """Load weights."""
    from deepcams.networks.checkpoint import load

    load(only(folder))


def read_cards(folder: Path) -> None:
    """Read the header alone."""
    from deepcams.networks.checkpoint import find

    for _, card in find(folder):
        if isinstance(card, Exception):
            raise card


def make_pickles(folder: Path) -> None:
    """PyTorch files of tensors: published weights, new and old format, and a training's state."""
    import torch

    tensors = published_tensors()
    state = {"version": 1, "step": 3, "network": tensors, "seed": [1, 2]}
    path = inside(folder, "new/weights.pth")
    torch.save({"state_dict": tensors}, path)
    path = inside(folder, "old/weights.pth")
    torch.save(tensors, path, _use_new_zipfile_serialization=False)
    torch.save(state, inside(folder, "state/state.pt"))


def published_tensors() -> Any:
    """Return tensors with the names of a published network."""
    import torch

    from deepcams.networks.abpn import ABPN, ABPNOptions
    from deepcams.networks.published import published_shapes

    shapes = published_shapes(ABPN(ABPNOptions(d=2, stages=2)))
    return {name: torch.full(shape, 0.5) for name, shape in shapes.items()}


def read_pickle(folder: Path) -> None:
    """Import weights as ``deepcams models import`` does."""
    from deepcams.networks.published import import_published

    import_published(out_of(folder), spatial=only(folder), overwrite=True)


def read_state(folder: Path) -> None:
    """Read a training's state."""
    from deepcams.training.experiment_file import parse_experiment
    from deepcams.training.run_folder import RunFolder

    values = {
        "version": 1,
        "data": {"stores": [{"path": "a.zarr"}]},
        "samples": {"task": "spatial", "crop": 8},
        "network": {"name": "abpn"},
        "training": {"steps": 1, "batch": 1},
        "output": {"name": "tiny"},
    }
    run = RunFolder(folder, parse_experiment(values))
    run.state = only(folder)
    run.load_state()


# What deepcams wrote itself


def make_zarr(folder: Path) -> None:
    """A store, and one whose last piece is not written."""
    for name in ("finished", "unfinished"):
        path = inside(folder, f"{name}/input.nc")
        world(10).to_dataset().to_netcdf(path)
        downscale(path, path.with_name("out.zarr"))
    store = folder / "unfinished" / "out.zarr"
    sorted((store / ".deepcams").glob("item*"))[-1].unlink()


def make_netcdf(folder: Path) -> None:
    """A file, and a folder of files whose last one is not written."""
    for name, out in (("file", "out.nc"), ("folder", "out")):
        path = inside(folder, f"{name}/input.nc")
        world(10).to_dataset().to_netcdf(path)
        downscale(path, path.with_name(out))
    for last in ("*.nc", ".deepcams/item*"):
        sorted((folder / "folder" / "out").glob(last))[-1].unlink()


def output_of(folder: Path) -> Path:
    """Return the output in a seed's folder."""
    return next(path for path in folder.iterdir() if path.name.startswith("out"))


def resume(folder: Path) -> None:
    """Go on with an output."""
    downscale(folder / "input.nc", output_of(folder))


def replace(folder: Path) -> None:
    """Begin an output anew: nothing but it is removed."""
    downscale(folder / "input.nc", output_of(folder), overwrite=True)


def report(folder: Path) -> None:
    """Write a report about what is in a folder."""
    from deepcams.report import write_report

    write_report(folder, out_of(folder) / "report.html", animation=False)


OUTPUT: tuple[Open, ...] = (
    lambda folder: look(output_of(folder)),
    lambda folder: read_field(output_of(folder)),
    lambda folder: find(output_of(folder)),
    resume,
    replace,
)


def find(path: Path) -> None:
    """Recognise a run as a report does."""
    from deepcams.report.discover import find_run

    find_run(path)


def make_store(folder: Path) -> None:
    """A training store of a few hours."""
    from deepcams.core.field import field_like
    from deepcams.core.grid import Grid
    from deepcams.training.store.prepare import prepare

    path = inside(folder, "two-hours/store.zarr")
    field = hours_of(Grid, field_like)
    prepare(field, path)


def hours_of(grid_type: Any, like: Any) -> Any:
    """Return two hourly means of a small region at 0.25 degrees."""
    import xarray as xr

    grid = grid_type(0.25, 120, 80, 12, 12)
    hours = np.arange(2) * np.timedelta64(1, "h")
    times = np.datetime64("2019-03-08T00:30", "ns") + hours
    template = xr.DataArray(0.0, name="pm2p5", attrs={"cell_methods": "time: mean"})
    values = np.random.default_rng(0).lognormal(2, 1, (2, 12, 12)).astype(np.float32)
    return like(template, values, grid, times)


def read_store(folder: Path) -> None:
    """Open a training store and read all its maps."""
    from deepcams.training.store.open import Prepared

    store = Prepared.open(folder / "store.zarr")
    for k in range(min(len(store), FRAMES)):
        store.frame(k, "fine")
        store.frame(k, "coarse")


def prepare_again(folder: Path) -> None:
    """Prepare the same hours again: what is there is checked."""
    from deepcams.core.field import field_like
    from deepcams.core.grid import Grid
    from deepcams.training.store.prepare import prepare

    prepare(hours_of(Grid, field_like), folder / "store.zarr")


def make_results(folder: Path) -> None:
    """A folder of results: scores, a training's log."""
    rows = [{"method": "linear", "hours": 3, "mae": 1.5, "rmse": 2.0, "skill": None}]
    inside(folder, "scores/scores.json").write_text(json.dumps({"rows": rows}))
    quality = {"rows": rows, "quality": {"steps": [{"name": "a", "removed": 2}]}}
    inside(folder, "scores/validation/validation.json").write_text(json.dumps(quality))
    from deepcams.training.run_folder import COLUMNS

    log = ",".join(COLUMNS) + "\n" + "2,1,0.5,0.001,0.1,0.2,1,2,3,0.1,1\n"
    inside(folder, "scores/runs/log.csv").write_text(log * 2)
    inside(folder, "scores/runs/experiment.yaml").write_text("version: 1\n")


DOORS: Mapping[str, Door] = {
    "netcdf-classic": Door(make_classic, FIELD),
    "netcdf-4": Door(make_netcdf4, FIELD),
    "grib": Door(make_grib, FIELD),
    "zip": Door(make_zip, FIELD),
    "geos-cf": Door(make_geos_cf, FIELD),
    "stations-text": Door(make_csv, (read_stations,)),
    "stations-parquet": Door(make_parquet, (read_stations,)),
    "station-metadata": Door(make_metadata, (read_metadata,)),
    "zones": Door(make_zones, (read_zones,)),
    "people": Door(make_people, (read_people,)),
    "places": Door(make_places, (read_places,)),
    "experiment": Door(make_experiments, (read_experiments, read_whole_run)),
    "endpoints": Door(make_endpoints, (read_endpoints,)),
    "checkpoint": Door(make_checkpoints, (read_cards, read_checkpoint)),
    "pytorch-file": Door(make_pickles, (read_pickle, read_state)),
    "output-zarr": Door(make_zarr, OUTPUT, ("out",), writes=True),
    "output-netcdf": Door(make_netcdf, OUTPUT, ("out",), writes=True),
    "training-store": Door(make_store, (read_store, prepare_again), writes=True),
    "results": Door(make_results, (report,)),
}
