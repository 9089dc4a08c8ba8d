"""Tables against numbers worked out by hand, and the forms they are written in."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from deepcams.core.errors import OutputError
from deepcams.evaluation.experiment import Experiment, Result
from deepcams.evaluation.experiment_tables import (
    as_csv,
    as_json,
    as_markdown,
    for_terminal,
    rows,
)
from deepcams.evaluation.frames import Table, score_sample
from deepcams.evaluation.tables import check_writable, save

SPEC = {
    "task",
    "method",
    "kind",
    "period",
    "samples",
    "R",
    "RMSE",
    "MAE",
    "bias",
    "MAE_p99",
}


def _result(*, months: int = 2) -> Result:
    """Truth 0, 1, 2, 3 each time.

    linear     March: errors +1 +1 +1 +1 and -1 -1 -1 -1   MAE 1, bias 0      April: errors 2 0 0 0    MAE 1/2, bias 1/2
    flow       March: errors 0 0 0 4 (p99: 4), none (p99: 0) MAE 1/2          April: none              MAE 0
    """
    truth = np.array([[0.0, 1, 2, 3]])
    errors = {
        ("linear", "2019-03"): [[1, 1, 1, 1], [-1, -1, -1, -1]],
        ("linear", "2019-04"): [[2, 0, 0, 0]],
        ("flow", "2019-03"): [[0, 0, 0, 4], [0, 0, 0, 0]],
        ("flow", "2019-04"): [[0, 0, 0, 0]],
    }
    table = Table()
    for (method, month), samples in errors.items():
        if month == "2019-04" and months == 1:
            continue
        for sample in samples:
            table += Table(
                {(method, month): score_sample(truth, truth + np.array([sample]))}
            )
    kinds = {"linear": "baseline", "flow": "training-free"}
    return Result(
        Experiment("temporal"), table, kinds, "linear", "a truth", "four nodes"
    )  # type: ignore[arg-type]


def _rows(result: Result) -> dict[tuple[str, str], dict[str, float]]:
    return {(row["method"], row["period"]): row for row in rows(result)}


def test_rows_by_hand() -> None:
    found = _rows(_result())
    assert set(found) == {
        (m, p) for m in ("linear", "flow") for p in ("2019-03", "2019-04", "all")
    }
    assert all(set(row) >= SPEC for row in found.values())
    march = found["linear", "2019-03"]
    assert (march["samples"], march["MAE"], march["RMSE"], march["bias"]) == (
        2,
        1,
        1,
        0,
    )
    assert march["R"] == pytest.approx(1)
    # pooled: the truth's deviations -1.5 -.5 .5 1.5 twice (moment 10), the method's moment 10 + 8 x 1
    assert march["R_pooled"] == pytest.approx(10 / math.sqrt(10 * 18))
    april = found["linear", "2019-04"]
    assert (april["MAE"], april["RMSE"], april["bias"], april["MAE_p99"]) == (
        0.5,
        1,
        0.5,
        0,
    )
    # method 2 1 2 3: mean 2, deviations 0 -1 0 1; joint with -1.5 -.5 .5 1.5 is 2; moments 5 and 2
    assert april["R"] == pytest.approx(2 / math.sqrt(10))
    total = found["linear", "all"]
    assert (total["samples"], total["MAE"], total["RMSE"], total["bias"]) == (
        3,
        0.75,
        1,
        0.25,
    )
    assert total["R"] == pytest.approx((1 + 2 / math.sqrt(10)) / 2)
    assert total["MAE_pooled"] == pytest.approx(10 / 12)
    assert total["RMSE_pooled"] == pytest.approx(1)
    assert total["bias_pooled"] == pytest.approx(2 / 12)
    assert total["MAE_p99"] == pytest.approx((1 + 0) / 2)
    assert total["MAE_p99_pooled"] == pytest.approx(2 / 3)
    flow = found["flow", "all"]
    assert flow["MAE"] == 0.25
    assert flow["MAE_p99"] == 1
    assert flow["skill"] == pytest.approx(1 - 0.25 / 0.75)
    assert flow["skill_training_free"] == 0
    assert total["skill_training_free"] == pytest.approx(1 - 0.75 / 0.25)
    assert found["flow", "2019-04"]["skill"] == 1
    assert (
        found["linear", "2019-04"]["skill_training_free"] is None
    )  # nothing is better than no error


def test_json_csv_and_markdown_say_the_same() -> None:
    result = _result()
    document = json.loads(as_json(result))
    assert document["rows"] == rows(result)
    assert document["experiment"]["task"] == "temporal"
    assert document["baseline"] == "linear"
    table = list(csv.DictReader(io.StringIO(as_csv(result))))
    assert len(table) == 6
    for text, row in zip(table, rows(result), strict=True):
        assert dict(text) == {k: "" if v is None else str(v) for k, v in row.items()}
    lines = as_markdown(result).splitlines()
    assert (
        "| linear | baseline | 0.8162 | 1.000 | 0.7500 | +0.250 | **0.500** | +0.0% |"
        in lines
    )
    assert any(
        line.startswith("| flow | training-free |") and "**0.2500**" in line
        for line in lines
    )
    assert "| flow | 0.5000 | 0.0000 |" in lines
    assert {line.count("|") for line in lines if line.startswith("|")} == {9, 4}


def test_undefined_figures_are_null() -> None:
    truth = np.full((2, 2), 5.0)
    table = Table({("linear", "2019-03"): score_sample(truth, truth)})
    result = Result(
        Experiment("temporal"), table, {"linear": "baseline"}, "linear", "", ""
    )
    document = json.loads(as_json(result))
    row = document["rows"][-1]
    assert (row["R"], row["MAE"], row["MAE_p99"], row["skill"]) == (None, 0, None, None)
    assert "| linear | baseline | - |" in as_markdown(result)


@pytest.mark.parametrize("months", [1, 2])
def test_the_terminal_table_fits_80_columns(months: int) -> None:
    result = _result(months=months)
    long = "log-bicubic+conserve-then-linear"
    result.kinds[long] = "training-free"
    for month in result.table.months:
        result.table.scores[long, month] = result.table.scores["flow", month]  # type: ignore[index]
    console = Console(width=80, file=io.StringIO(), force_terminal=False)
    console.print(for_terminal(result))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, text.splitlines())) <= 80
    line = next(line for line in text.splitlines() if line.startswith(long))
    assert (
        line.split()[1:]
        == next(line for line in text.splitlines() if line.startswith("flow ")).split()[
            1:
        ]
    )
    assert ("MAE by month" in text) == (months == 2)
    assert text.index("linear") < text.index("flow")


def test_files_are_whole_or_not_there(tmp_path: Path) -> None:
    save(tmp_path / "a.json", "new")
    save(tmp_path / "a.json", "newer")
    assert (tmp_path / "a.json").read_text() == "newer"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    check_writable(tmp_path / "a.json")
    check_writable(tmp_path / "b.json")
    with pytest.raises(OutputError, match="make it first"):
        check_writable(tmp_path / "none" / "a.json")
    with pytest.raises(OutputError, match="found a folder"):
        check_writable(tmp_path)
    with pytest.raises(OutputError, match="cannot be written"):
        save(tmp_path / "none" / "a.json", "text")
