"""Write docs/accuracy.md and the README's table: every number measured, each table with the command that makes it.

``python benchmarks/accuracy.py [TRUTH] [-o docs/accuracy.md]``; TRUTH is any hourly fine field, by default the four
real GEOS-CF hours beside the checkout. A minute or two on two cores.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any, NamedTuple

from deepcams.cli import main as deepcams
from deepcams.evaluation.tables import Column, save, to_markdown
from deepcams.files.records import fingerprint
from deepcams.plotting import save as save_figure
from deepcams.plotting.scores.evaluation import skill_by_hour_figure, spectra_figure

ROOT = Path(__file__).resolve().parents[1]
TRUTH = "../shared/data/geos_cf/geos_cf_20190308_0030-0330z_west.nc4"

WEST, EAST = (
    ["--bbox", "-180", "-90", "-75.25", "90"],
    ["--bbox", "-75", "-90", "-0.5", "90"],
)
JOINT = [
    "--methods",
    "linear,flow,flow-refine,bicubic,log-bicubic+conserve,cellnet+conserve",
]
IN_TIME = ["--methods", "linear,linear-eq9,flow,xvfi,flow-refine"]
FREE = "bilinear,bicubic,bicubic+conserve,log-bicubic,log-bicubic+conserve"
IN_SPACE = ["--methods", f"{FREE},cellnet,cellnet+conserve"]
WITH_ABPN = ["--methods", f"{FREE},abpn+conserve,cellnet,cellnet+conserve"]
TASKS: dict[str, list[str]] = {
    "temporal": ["--task", "temporal", *IN_TIME],
    "temporal-coarse": ["--task", "temporal", "--resolution", "coarse", *IN_TIME],
    "spatial": ["--task", "spatial", *WITH_ABPN],
    "joint": ["--task", "joint", *JOINT],
}
REGIONS = {"all": [], "west": WEST, "east": EAST}
MORE: dict[str, list[str]] = {
    "imresize": ["--task", "spatial", "--degrade", "imresize", *IN_SPACE],
    "decimate": ["--task", "spatial", "--degrade", "decimate", *IN_SPACE],
    "joint-imresize": ["--task", "joint", "--degrade", "imresize", *JOINT],
    "joint-decimate": ["--task", "joint", "--degrade", "decimate", *JOINT],
    "temporal-area-weighted": ["--task", "temporal", "--weighting", "area", *IN_TIME],
    "spatial-area-weighted": ["--task", "spatial", "--weighting", "area", *IN_SPACE],
}
CLIPPED, UNCLIPPED = (
    ["--task", "spatial", "--clip", "800", *IN_SPACE],
    ["--task", "spatial", *IN_SPACE],
)

STATIONS = [
    f"../shared/data/stations/poland_{year}.csv.gz" for year in (2017, 2018, 2019)
]
AT_STATIONS = ["--task", "temporal", "--truth", "stations"]
MEANS = {
    "each station alone": ["--region-mean", "0", "--at-least", "1"],
    "boxes of 2.5 degrees, at least 5 stations": [
        "--region-mean",
        "2.5",
        "--at-least",
        "5",
    ],
    "all stations, at least 20": [],
}

KEPT = ROOT / "runs" / "accuracy"
"""What was evaluated, until the page is written: an interrupted run goes on."""

Rows = dict[str, dict[str, Any]]


class Evaluated(NamedTuple):
    """What ``deepcams evaluate`` found.

    Attributes:
        rows: over the whole period, by method.
        text: its command and tables as Markdown.
        document: its JSON.
    """

    rows: Rows
    text: str
    document: dict[str, Any]


def evaluated(truth: str | list[str], arguments: list[str]) -> Evaluated:
    """Run ``deepcams evaluate``."""
    truths = [truth] if isinstance(truth, str) else truth
    command = ["evaluate", *truths, *arguments]
    shown = shlex.join(["deepcams", *command])
    print(shown, file=sys.stderr)
    kept = KEPT / fingerprint(shown)
    table, scores = kept.with_suffix(".md"), kept.with_suffix(".json")
    if not table.exists():  # it is written last
        kept.parent.mkdir(parents=True, exist_ok=True)
        outputs = ["--markdown", str(table), "--json", str(scores)]
        with contextlib.redirect_stdout(io.StringIO()):
            status = deepcams([*command, "--quiet", *outputs])
        if status:
            raise SystemExit(status)
    document = json.loads(scores.read_text())
    rows = {
        row["method"]: row
        for row in document["rows"]
        if row["period"] == "all" and row.get("by", "all") == "all"
    }
    text = f"```\n{shown}\n```\n\n{table.read_text()}"
    return Evaluated(rows, text, document)


def by_hour(document: dict[str, Any], surface: str) -> str:
    """The mean absolute error of each method by three hours of local solar time, as Markdown."""
    rows = [r for r in document["details"]["local_hours"] if r["surface"] == surface]
    bins = sorted({row["hour"] // 3 * 3 for row in rows})
    table = []
    for method in dict.fromkeys(row["method"] for row in rows):
        line: dict[str, Any] = {"method": method}
        for first in bins:
            own = [r for r in rows if r["method"] == method]
            own = [r for r in own if r["hour"] // 3 * 3 == first]
            weight = sum(r["share"] for r in own)
            line[str(first)] = sum(r["share"] * r["MAE"] for r in own) / weight
        table.append(line)
    heads = [Column(str(h), f"{h} to {h + 3} h", ".3f") for h in bins]
    return to_markdown(table, [Column("method", f"MAE, {surface}"), *heads])


def draw(found: dict[str, Evaluated]) -> None:
    """Draw the figures of the page: scales in space, hours in time, east of 75W."""
    folder = ROOT / "docs" / "figures"
    spectra = spectra_figure(
        found["east/spatial"].document,
        ["bicubic", "log-bicubic+conserve", "abpn+conserve", "cellnet+conserve"],
        title="Which scales a method in space restores",
    )
    save_figure(spectra, folder / "accuracy-spectra.png")
    hours = skill_by_hour_figure(
        found["east/temporal"].document,
        ["linear", "flow", "flow-refine", "xvfi"],
        title="When a method in time errs",
    )
    save_figure(hours, folder / "accuracy-hours.png")


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def text(found: dict[str, Evaluated]) -> str:
    """The page; every number in it comes from the rows."""

    def mae(key: str, method: str) -> float:
        return float(found[key].rows[method]["MAE"])

    def gain(key: str, method: str, reference: str) -> str:
        return _percent(1 - mae(key, method) / mae(key, reference))

    def tables(region: str) -> str:
        return "\n".join(found[f"{region}/{task}"].text for task in TASKS)

    same = found["clip"].rows == found["no clip"].rows
    clip = (
        "Here it changes nothing: no value lies above it."
        if same
        else found["clip"].text
    )
    chain, baseline, best = (
        "log-bicubic+conserve-then-flow",
        "linear-then-bicubic",
        "log-bicubic+conserve",
    )
    reverse, straight = (
        found["all/temporal"].rows["linear-eq9"],
        found["all/temporal"].rows["linear"],
    )
    network, refined = "cellnet+conserve", "cellnet+conserve-then-flow"
    east = found["east/spatial"].rows
    share_east = (
        mae("east/joint", chain),
        mae("east/joint", baseline),
        mae("east/joint", refined),
    )
    return f"""# Accuracy

How near the methods that ship come to a known truth, measured by `deepcams evaluate`. This page is written by
`python benchmarks/accuracy.py`; no number on it is typed by hand, and the command above each table makes that table.

## What is measured, and on what

The truth is four consecutive real hours of GEOS-CF (version 1, hourly means of 2019-03-08, 00:30 to 03:30 UTC) over
the western hemisphere: two predicted hours of one day. Read large differences; small ones rank nothing.
The commands name files beside the checkout, in `../shared/data`; `deepcams fetch geos-cf --period 2019-03-08` and
`deepcams fetch openaq` bring such files.

What was chosen with a look at which data: `flow`'s numbers (cell, steps, weights) on these hours west of 75W alone.
The choices of kind (logarithm, four rounds of back-projection, space first) were known to work from the same four
hours over the whole globe. The networks were trained on the hours west of 75W and on a simulated world, and their
weights chosen on simulated hours; their designs and the lengths of their trainings were compared while the eastern
figures were in sight, and the simulated world was tuned with its eastern summary in view. So east of 75W no weight was
fitted, but no table here is of hours that nobody had seen. With `--bbox` a method may see up to 12 degrees beyond the
box, as it does in production; what lies there is not scored, and `--margin 0` cuts at the box.

| task | what methods get | what is scored |
|---|---|---|
| temporal | hours 0 and 3 of each 3, at 0.25 degrees or as 0.75 degree area means | hours 1 and 2 |
| spatial | each hour at 0.75 degrees | the same hour at 0.25 degrees |
| joint | hours 0 and 3 at 0.75 degrees | hours 1 and 2 at 0.25 degrees |

A sample is one frame. R, RMSE, MAE and bias are computed over all its nodes (each counts the same unless
`--weighting area`), averaged over the samples of a month, then over the months, as Xiao et al. (2022) do; the JSON and
CSV rows have the pooled figures too. *MAE p99* is the MAE over the nodes at which the truth exceeds the 99th percentile
of its own frame. *Skill* is 1 - MAE / MAE of the correct baseline. `+conserve` after a method in space: its area means
over the coarse cells are made equal to the coarse values; `A-then-B`: A works first.

## In short (east of 75W)

- The default in time, `self-checked`, is `flow` here, where two frames are all there is; what four frames are worth is
  in [decision 17](decisions/17-four-frames.md) and at the stations below.
- In time `flow` takes {gain("east/temporal", "flow", "linear")} off linear interpolation's MAE at 0.25 degrees and
  {gain("east/temporal-coarse", "flow", "linear")} at 0.75 degrees; `flow-refine` takes
  {gain("east/temporal", "flow-refine", "flow")} and {gain("east/temporal-coarse", "flow-refine", "flow")} off `flow`'s.
- In space `{best}` takes {gain("east/spatial", best, "bicubic")} off bicubic's, `{network}` another
  {gain("east/spatial", network, best)} off that.
- Together, space first, `{chain}` takes {gain("east/joint", chain, baseline)} off `{baseline}`, the paper's baseline
  chain with its weights put right ({share_east[0]:.3f} against {share_east[1]:.3f} ug m-3); the default,
  `{refined}`, {gain("east/joint", refined, baseline)} ({share_east[2]:.3f}), and
  {gain("east/joint", refined, chain)} off the training-free chain.
- `abpn` as shipped had minutes of training on a CPU: it shows that the recipe runs, and is no judgement of the network.
  `xvfi`, taught by flow for minutes, is better than linear interpolation and does not pass flow
  ([the curve](ablations.md#xvfi-taught-by-flow)).

- MAE favours smooth fields, so how much of the small scales is right is measured too. The
  effective resolution of `bicubic` is
  {east["bicubic"]["resolution"]:.2f} degrees, of `{best}` {east[best]["resolution"]:.2f}, of `{network}`
  {east[network]["resolution"]:.2f}; they have {_percent(east["bicubic"]["power_small"])},
  {_percent(east[best]["power_small"])} and {_percent(east[network]["power_small"])} of the truth's power at wavelengths
  under 1 degree. What is finer than the coarse nodes can tell stays missing.
- `xvfi` as shipped changes the mean: its drift is {found["east/temporal"].rows["xvfi"]["drift"]:+.1%}.

## Scale and hour (east of 75W)

The tables' second part knows scale, events, extremes and time. *res.*: where the squared coherence with the truth falls
below 0.5, coming from long waves; *P<1°*: power at shorter wavelengths than 1 degree over the truth's (both along whole
rows between 60 S and 60 N, in degrees of longitude, in a region with a Hann window); *cells*: variance inside the 3 x 3
cells over the truth's; *CSI* and *FSS*: critical success index and fractions skill score (3 x 3 nodes) at 35 ug m-3;
*p99.99*: error of that quantile of all values; *R diff.*: correlation of the change from hour to hour; *drift*: mean of
the hourly field less that of its analyses joined linearly; *land*, *sea*: MAE there. `-o DIR` writes all bands,
thresholds, neighbourhoods, quantiles, seasons and hours. In the task in time at 0.25 degrees *res.* is the shortest
band: its frames are whole, and the error is of place.

![Power and coherence by wavelength](figures/accuracy-spectra.png)

![Error and skill by local solar time](figures/accuracy-hours.png)

Task temporal at 0.25 degrees, by local solar time. These four hours of one day hold the evening and the night alone
here; GEOS-CF's mornings, where most of its error in time is, are not in them.

{by_hour(found["east/temporal"].document, "land")}

{by_hour(found["east/temporal"].document, "sea")}

## Traps

- **The paper's linear baseline is reversed.** Its equation 9, and the released code, give the frame that is one hour
  away a third of the weight and the one two hours away two thirds. On these hours that makes an MAE of
  {reverse["MAE"]:.3f} instead of {straight["MAE"]:.3f} ug m-3 and an RMSE of {reverse["RMSE"]:.2f} instead of
  {straight["RMSE"]:.2f}: the correct interpolation alone takes {_percent(1 - straight["MAE"] / reverse["MAE"])} off the
  printed baseline. The paper's 44 % over its baseline therefore says nothing about beating linear interpolation.
  `linear-eq9` exists to reproduce Table 2; skill is always against `linear`.
- **RMSE is ruled by a few fires.** In 8 of 12 months Tables 2 and 3 of the paper have the same RMSE. Compare MAE, R,
  and the MAE above the 99th percentile; RMSE beside them.
- **The released code clips at 800 ug m-3.** Nothing is clipped unless `--clip 800` says so; then both sides are. {clip}
- **The degradation decides what is being restored.** `area` is what a coarse cell means, and what CAMS's spectrum is
  nearest to; with `decimate` (the release's training pairs) the coarse values are the fine ones at every third node,
  and keeping *area* means is then wrong by construction: there `+conserve` loses ({mae("decimate", best):.3f} against
  {mae("decimate", "log-bicubic"):.3f} ug m-3 without it).
- **Means and instants.** GEOS-CF hours are means over an hour, CAMS analyses are instants: the temporal task here
  hides means between means.

## East of 75W

{tables("east")}
## West of 75W (where `flow`'s numbers were chosen and the networks trained)

{tables("west")}
## The whole western hemisphere

{tables("all")}
## Other degradations and weights (the whole western hemisphere)

{chr(10).join(found[key].text for key in MORE)}{at_stations()}"""


def at_stations() -> str:
    """The section about the step in time at real stations; empty where their files are not at hand."""
    if not all(Path(path).is_file() for path in STATIONS):
        print("no stations: that section is left out", file=sys.stderr)
        return ""
    found = {
        name: evaluated(STATIONS, [*AT_STATIONS, *each]) for name, each in MEANS.items()
    }
    hours = skill_by_hour_figure(
        found["all stations, at least 20"].document,
        ["linear", "pchip", "catmull-rom", "cubic"],
        title="When a method in time errs at Poland's stations",
    )
    save_figure(hours, ROOT / "docs" / "figures" / "accuracy-stations.png")
    lines = [
        "| means over | MAE of linear | pchip | catmull-rom | cubic |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, each in found.items():
        rows = each.rows
        ratios = [
            f"{row['ratio']:.3f} ({row['ratio_low']:.3f}..{row['ratio_high']:.3f})"
            for row in (rows["pchip"], rows["catmull-rom"], rows["cubic"])
        ]
        mae = f"{rows['linear']['MAE']:.2f}"
        lines.append("| " + " | ".join([name, mae, *ratios]) + " |")
    table = "\n".join(lines)
    commands = "\n".join(each.text.split("```")[1].strip() for each in found.values())
    return f"""
## In time, at real stations

The truth is the hourly means of Poland's stations, 2017 to 2019, after quality control: two of every three hours are
hidden and made again from four frames, in all three phases ([stations](stations.md#stations-as-truth-in-time)). Methods
that need no space, on the same windows. MAE against linear interpolation's, with the 95 % interval of resampled weeks:

```
{commands}
```

{table}

What one instrument does within three hours is mostly noise that no method can know: a mean of many stations shows what
the air does. `cubic` was chosen with 2017 and 2018 in view, `sun` was fitted to and chosen on these two years: 2019
alone is in [the sun](sun.md). The last of these in full:

![error and skill by local hour](figures/accuracy-stations.png)

{found["all stations, at least 20"].text}
What the sun's place is worth there: [the sun](sun.md).
"""


SHORT = {
    "temporal": ("in time, 0.25 degrees", ("linear", "flow", "xvfi", "flow-refine")),
    "temporal-coarse": (
        "in time, 0.75 degrees",
        ("linear", "flow", "xvfi", "flow-refine"),
    ),
    "spatial": (
        "in space",
        ("bicubic", "log-bicubic+conserve", "abpn+conserve", "cellnet+conserve"),
    ),
    "joint": (
        "both",
        (
            "linear-then-bicubic",
            "log-bicubic+conserve-then-flow",
            "cellnet+conserve-then-flow-refine",
            "cellnet+conserve-then-flow",
        ),
    ),
}
BEGIN, END = "<!-- written by make accuracy -->", "<!-- end -->"


def readme_table(found: dict[str, Evaluated]) -> str:
    """The README's table: the unseen side, the methods that matter."""
    lines = [
        "| task | method | R | RMSE | MAE | MAE p99 |",
        "|---|---|---|---|---|---|",
    ]
    for task, (title, methods) in SHORT.items():
        for method in methods:
            row = found[f"east/{task}"].rows[method]
            values = f"{row['R']:.4f} | {row['RMSE']:.2f} | {row['MAE']:.4f} | {row['MAE_p99']:.2f}"
            lines.append(f"| {title} | `{method}` | {values} |")
            title = ""
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("truth", nargs="?", default=TRUTH)
    parser.add_argument(
        "-o", "--output", type=Path, default=ROOT / "docs" / "accuracy.md"
    )
    options = parser.parse_args()
    with contextlib.chdir(
        ROOT
    ):  # so that the commands on the page work as they stand there
        found = {
            f"{region}/{task}": evaluated(options.truth, [*TASKS[task], *box])
            for region, box in REGIONS.items()
            for task in TASKS
        }
        found["clip"], found["no clip"] = (
            evaluated(options.truth, each) for each in (CLIPPED, UNCLIPPED)
        )
        found |= {
            key: evaluated(options.truth, arguments) for key, arguments in MORE.items()
        }
        page = text(found).rstrip() + "\n"
    draw(found)
    save(options.output, page)
    readme = (ROOT / "README.md").read_text()
    before, rest = readme.split(BEGIN)
    save(
        ROOT / "README.md",
        f"{before}{BEGIN}\n{readme_table(found)}\n{END}{rest.split(END)[1]}",
    )
    shutil.rmtree(KEPT)


if __name__ == "__main__":
    main()
