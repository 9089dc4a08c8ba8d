"""Maps, figures and films; the only package that imports matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepcams.core.lazy import lazy_names

if TYPE_CHECKING:
    from deepcams.plotting.compare import annual_figure as annual_figure
    from deepcams.plotting.compare import compare_maps as compare_maps
    from deepcams.plotting.figure_layout import save as save
    from deepcams.plotting.film import animate as animate
    from deepcams.plotting.maps import map_figure as map_figure
    from deepcams.plotting.scores.evaluation import (
        skill_by_hour_figure as skill_by_hour_figure,
    )
    from deepcams.plotting.scores.evaluation import spectra_figure as spectra_figure
    from deepcams.plotting.scores.training import training_figure as training_figure
    from deepcams.plotting.sequence import sequence_figure as sequence_figure
    from deepcams.plotting.series import series_figure as series_figure
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "animate": ".film",
            "annual_figure": ".compare",
            "compare_maps": ".compare",
            "map_figure": ".maps",
            "save": ".figure_layout",
            "sequence_figure": ".sequence",
            "series_figure": ".series",
            "skill_by_hour_figure": ".scores.evaluation",
            "spectra_figure": ".scores.evaluation",
            "training_figure": ".scores.training",
        },
    )
