"""Scores of methods against a known truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepcams.core.lazy import lazy_names

if TYPE_CHECKING:
    from deepcams.evaluation.experiment import Experiment as Experiment
    from deepcams.evaluation.experiment import Result as Result
    from deepcams.evaluation.experiment import evaluate as evaluate
    from deepcams.evaluation.experiment import open_truth as open_truth
    from deepcams.evaluation.experiment_tables import as_csv as as_csv
    from deepcams.evaluation.experiment_tables import as_json as as_json
    from deepcams.evaluation.experiment_tables import as_markdown as as_markdown
    from deepcams.evaluation.experiment_tables import rows as rows
    from deepcams.evaluation.score import Score as Score
    from deepcams.evaluation.series import Series as Series
    from deepcams.evaluation.sums import Pairs as Pairs
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "Experiment": ".experiment",
            "Pairs": ".sums",
            "Result": ".experiment",
            "Score": ".score",
            "Series": ".series",
            "as_csv": ".experiment_tables",
            "as_json": ".experiment_tables",
            "as_markdown": ".experiment_tables",
            "evaluate": ".experiment",
            "open_truth": ".experiment",
            "rows": ".experiment_tables",
        },
    )
