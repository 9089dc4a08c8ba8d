"""Health sections of a report: hours and days above limits from an output of means, and tables of zones."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from deepcams.core.field import grid_of
from deepcams.report.page import Table

if TYPE_CHECKING:
    from deepcams.report.discover import Found, Output

MOST_ZONES = 30
MOST_STEPS = 400
"""Maximum number of times, the latest ones, over which exceedances in a means store are counted."""


def exceedances(output: Output) -> Table | None:
    """Return the table of hours or days above each level in an output of means, or None if it has no counts.

    Counts of each cell are summed over all times; shown are the largest sum, the area-weighted mean, and the fraction
    of the area with any.
    """
    with output.opened() as dataset:
        names = sorted(
            (name for name in dataset.data_vars if "s_above_" in str(name)),
            key=lambda name: dataset[name].attrs["level"],
        )
        steps = dataset.sizes.get("time", 0)
        areas = grid_of(output.field).row_areas[:, None]
        rows = []
        for name in names:
            array = dataset[name].isel(time=slice(-MOST_STEPS, None))
            total = np.zeros(array.shape[1:])
            for one in array:
                total += np.nan_to_num(one.values.astype(float))
            share = (areas * total).sum() / (areas * np.ones(total.shape)).sum()
            reached = (areas * (total > 0)).sum() / (areas * np.ones(total.shape)).sum()
            about = array.attrs
            rows.append(
                [
                    "hours" if "hours_above" in str(name) else "days",
                    about["level"],
                    # without the forms and sources, which the output has
                    re.sub(r" \([^|]*\)", "", str(about.get("limits", ""))),
                    round(total.max()),
                    round(float(share), 3),
                    round(float(100 * reached), 1),
                ]
            )
    if not rows:
        return None
    caption = (
        f"{output.path.name}: hours and days above limits of daily means; {output.span}"
    )
    if steps > MOST_STEPS:
        caption += f" (the latest {MOST_STEPS} of {steps} times)"
    heads = [
        "counted",
        "above, µg m⁻³",
        "limit of",
        "most in a cell",
        "mean by area",
        "area with any, %",
    ]
    return Table(heads, rows, caption)


def zones(found: Found) -> list[Table]:
    """Return each table of zones, the most exposed zones first: means over all times, and the largest value."""
    import pandas as pd

    tables = []
    for name, (path, facts) in found.zones.items():
        try:
            read: Any = pd.read_parquet if path.suffix == ".parquet" else pd.read_csv
            frame = read(path)
            by_people = "population_mean" in frame
            key = "population_mean" if by_people else "mean"
            groups = frame.groupby(["zone", "name"], sort=False, dropna=False)
            shown = ["mean", "covered", *([key] if by_people else [])]
            means = groups[shown].mean()
            means["covered"] = (100 * means["covered"]).round()
            means["largest"] = groups[key].max()
            if by_people:
                people = groups["people"].first()
                means["people"] = [
                    None if np.isnan(number) else round(number) for number in people
                ]
            means = means.sort_values(key, ascending=False).reset_index()
        except (OSError, ValueError, KeyError, ImportError) as error:
            cause = type(error).__name__
            found.problems.append(f"{name}: cannot be read ({cause})")
            continue
        heads = {
            "zone": "zone",
            "name": "name",
            "mean": "mean by area, µg m⁻³",
            "covered": "area with values, %",
            "population_mean": "mean by people, µg m⁻³",
            "largest": f"largest {facts.get('over', 'step')}",
            "people": "people",
        }
        first = means[means[key].notna()].head(MOST_ZONES)
        cells = [list(row) for row in first.itertuples(index=False)]
        caption = (
            f"{name}: {facts.get('from', '')} to {facts.get('to', '')}, uncalibrated "
            "model"
        )
        if isinstance(facts.get("population"), dict):
            about = facts["population"]
            caption += f"; people: {about.get('source')}"
            if str(about.get("year")).isdigit():
                caption += f", {about['year']}"
        if len(means) > MOST_ZONES:
            caption += f" (the {MOST_ZONES} most exposed of {len(means)} zones)"
        tables.append(Table([heads[each] for each in first.columns], cells, caption))
    return tables
