"""The source line of figures: what is known of what is drawn, and the words that CAMS asks for."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from deepcams.plotting.figure_layout import credit_words
from deepcams.stations.tables.figures import _credit

EAC4, WORLD = (
    "CAMS global reanalysis (EAC4)",
    "a simulated world in CAMS's layout, no real data",
)
TIMES = [np.datetime64("2019-12-31"), np.datetime64("2018-01-01")]


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        ([], ""),
        ([("", 0.25)], ""),
        ([("OpenAQ", 0.0)], "Source: OpenAQ"),
        (
            [("OpenAQ", 0.0), ("GEOS-CF.", 0.25), ("GEOS-CF", 0.25)],
            "Source: OpenAQ; GEOS-CF",
        ),
        (
            [(EAC4, 0.75)],
            f"Source: {EAC4}. Generated using Copernicus Atmosphere Monitoring Service information "
            "2018-2019",
        ),
        (
            [(EAC4, 0.75), (EAC4, 0.25)],
            f"Source: {EAC4}. Contains modified Copernicus Atmosphere Monitoring Service "
            "information 2018-2019",
        ),
        ([(WORLD, 0.25)], f"Source: {WORLD}"),
    ],
)
def test_a_source_line_names_each_source_once(
    sources: list[tuple[str, float]], words: str
) -> None:
    assert credit_words(sources, TIMES) == words


def test_station_figures_name_the_stations_and_the_models() -> None:
    def product(step: float, source: str) -> dict[str, str]:
        times = "8, 2019-12-30 21:00 to 2020-01-01 03:00 UTC"
        return {
            "grid": f"{step:g} degrees, 721 x 1440, global",
            "times": times,
            "source": source,
        }

    found = SimpleNamespace(
        products={"field": product(0.25, EAC4), "original": product(0.75, EAC4)}
    )
    assert _credit(found) == (  # type: ignore[arg-type]
        f"Source: OpenAQ; {EAC4}. Contains modified Copernicus Atmosphere Monitoring Service information 2019-2020"
    )
    assert _credit(SimpleNamespace(products={})) == "Source: OpenAQ"  # type: ignore[arg-type]
    assert "OpenAQ" not in _credit(
        SimpleNamespace(products={"field": product(0.25, WORLD)})
    )  # type: ignore[arg-type]
