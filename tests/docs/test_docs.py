"""The pages of Start and the tutorials, and the notebooks, run as they are; each verb has its page."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from deepcams.cli import main
from deepcams.cli.app import VERBS
from deepcams.core.limits import LIMITS

DOCS = Path(__file__).resolve().parents[2] / "docs"
NOTEBOOKS = sorted(DOCS.glob("notebooks/*.ipynb"))
FRAMES = DOCS.parents[1] / "shared/data/cams/cams_eac4_20191231_new_layout.nc"


def run_page(name: str, names: dict[str, Any]) -> int:
    """Run a page's shell and Python blocks in the working folder; return how many there were."""
    text = (DOCS / name).read_text("utf-8")
    blocks = re.findall(r"^```(bash|python)\n(.*?)^```$", text, re.M | re.S)
    for language, block in blocks:
        if language == "python":
            exec(compile(block, name, "exec"), names)
            continue
        for line in block.splitlines():
            program, *arguments = shlex.split(line, comments=True)
            assert program == "deepcams", line
            assert main(arguments) == 0, line
    return len(blocks)


def run_notebook(path: Path, file: Path | None = None) -> dict[str, Any]:
    """Run a notebook's cells in the working folder, ``FILE`` replaced; return its names."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), path.name, "exec"), names)
            if "FILE" in names and file is not None:
                names["FILE"] = file
    return names


def test_start_and_what_follows_from_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    assert run_page("start.md", names) == 5
    assert float(capsys.readouterr().out.split()[-1]) > 0
    assert Path("map.png").read_bytes().startswith(b"\x89PNG")
    assert run_page("tutorials/cohort.md", names) == 4
    assert set(names["exposure"].days) == {1}
    assert names["exposure"].value.gt(0).all()


@pytest.mark.slow
def test_a_year_for_a_country(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    run_page("start.md", names)
    assert run_page("tutorials/country-year.md", names) == 5
    table = names["table"]
    assert {"Poland"} <= set(table[table.covered > 0.9].name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["own-weights", "cluster"])
def test_a_tutorial_of_its_own(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "own-weights":
        pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    assert run_page(f"tutorials/{name}.md", {}) >= 3
    assert Path("job.sh" if name == "cluster" else "mine.zarr").exists()


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(
            path,
            id=path.stem,
            marks=[] if path.stem == "quick-start" else pytest.mark.slow,
        )
        for path in NOTEBOOKS
    ],
)
@pytest.mark.filterwarnings("ignore:.*zones of 241 without a cell")
def test_a_notebook(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if path.stem == "own-network":
        pytest.importorskip("torch")
    if path.stem == "real-frames" and not FRAMES.exists():
        pytest.skip("no development data")
    monkeypatch.chdir(tmp_path)
    names = run_notebook(path, FRAMES)
    if path.stem == "days-and-zones":
        assert "Poland" in set(names["table"][names["table"].covered > 0.9].name)
    if path.stem == "quick-start":
        assert names["hourly"].sizes["time"] == 4
        assert names["hourly"].notnull().all()
        assert names["relative"].shape == (9, 14)
        assert names["relative"].max() < 1e-6


def test_notebooks_are_stripped_and_listed() -> None:
    listed = re.findall(r"^[a-z-]+$", (DOCS / "notebooks/index.md").read_text(), re.M)
    assert sorted(listed) == [path.stem for path in NOTEBOOKS]
    for path in NOTEBOOKS:
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            assert not cell.get("outputs")
            assert cell.get("execution_count") is None


@pytest.fixture(scope="module")
def verbs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("verbs", DOCS / "extensions/verbs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_verb_has_a_page_with_its_options(
    verbs: ModuleType, tmp_path: Path
) -> None:
    verbs.write(tmp_path / "verbs")
    assert {path.stem for path in (tmp_path / "verbs").iterdir()} == {*VERBS, "index"}
    downscale = (tmp_path / "verbs/downscale.md").read_text("utf-8")
    assert re.search(r"^`--bbox W S E N`\n: Only the cells", downscale, re.M)
    assert "## plot map" in (tmp_path / "verbs/plot.md").read_text("utf-8")
    assert {f"{page}.md" for page in verbs.FURTHER.values()} <= {
        path.name for path in DOCS.glob("*.md")
    }


def test_the_table_of_limits_is_the_packages() -> None:
    text = (DOCS / "means.md").read_text("utf-8")
    for limit in LIMITS:
        row = re.search(rf"^\| `{limit.name}` \|(.*)\|$", text, re.M)
        assert row is not None, limit.name
        day, year = row[1].split("|")[
            slice(*{"pm2p5": (0, 2), "pm10": (2, 4)}[limit.species])
        ]
        assert float(day if limit.period == "day" else year) == limit.level
