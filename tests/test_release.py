"""What is released: one version everywhere, every dependency explained, and a wheel that is whole and repeatable."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import deepcams
from deepcams.core.errors import InputError
from deepcams.training.experiment_file import read_values

ROOT = Path(__file__).resolve().parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def dependencies() -> ModuleType:
    path = ROOT / "benchmarks" / "dependencies.py"
    spec = importlib.util.spec_from_file_location("dependencies_page", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def named(needs: list[str]) -> set[str]:
    found = {re.split(r"[\[<>=; ]", need)[0].lower() for need in needs}
    return found - {"deepcams"}


def test_the_version_is_one() -> None:
    version = deepcams.__version__
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text("utf-8")
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    released = re.findall(r"^## \[(\d[^]]*)\] - \d{4}-\d\d-\d\d$", changes, re.M)
    assert released[0] == version


def test_each_dependency_has_a_reason_and_a_licence() -> None:
    """Whoever adds a dependency says what it is for, and writes the page again."""
    extras = PROJECT["project"]["optional-dependencies"]
    needs = list(PROJECT["project"]["dependencies"])
    for extra, those in extras.items():
        needs += [] if extra in ("dev", "docs") else those
    assert named(needs) == set(dependencies().REASONS)
    page = (ROOT / "docs" / "dependencies.md").read_text("utf-8")
    assert not [name for name in named(needs) if f"| {name} |" not in page]


def test_pythons_are_declared_as_they_are_tested() -> None:
    declared = re.findall(
        r"Python :: (3\.\d+)", " ".join(PROJECT["project"]["classifiers"])
    )
    workflow = (ROOT / ".github" / "workflows" / "check.yml").read_text("utf-8")
    (matrix,) = re.findall(r"python: \[(.*)\]", workflow)
    assert re.findall(r"3\.\d+", matrix) == declared
    assert PROJECT["project"]["requires-python"] == f">={declared[0]}"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling")
    return build("wheel", tmp_path_factory.mktemp("dist"))


def build(kind: str, folder: Path) -> Path:
    code = f"import hatchling.build as b; print(b.build_{kind}({str(folder)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"},
        capture_output=True,
        text=True,
        check=True,
    )
    return folder / done.stdout.split()[-1]


def test_the_wheel_holds_what_a_run_needs(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {each.filename: each.file_size for each in archive.infolist()}
        times = {each.date_time for each in archive.infolist()}
    package = ROOT / "src" / "deepcams"
    expected = {
        f"deepcams/{path.relative_to(package).as_posix()}": path.stat().st_size
        for path in package.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    for config in (ROOT / "configs").glob("*.yaml"):
        expected[f"deepcams/configs/{config.name}"] = config.stat().st_size
    about = {name for name in held if name.startswith("deepcams-")}
    assert {name: held[name] for name in held.keys() - about} == expected
    assert {Path(name).name for name in about} >= {"LICENSE", "NOTICE", "METADATA"}
    assert times == {(2023, 11, 14, 22, 13, 20)}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_builds_are_the_same_bytes(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    built = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        built.append(build(kind, tmp_path / name).read_bytes())
    assert built[0] == built[1]


@pytest.mark.slow
def test_the_wheel_alone_works_from_anywhere(wheel: Path, tmp_path: Path) -> None:
    """The wheel and what it names as its dependencies, nothing else: demo, downscale, a shipped experiment."""
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    page, needs = dependencies(), PROJECT["project"]["dependencies"]
    for name in page.closure(list(named(needs))):
        for file in page.metadata.files(name) or []:
            top = site / file.parts[0]
            if file.parts[0] != ".." and not top.exists():
                there = Path(str(file.locate()))
                for _ in file.parts[1:]:
                    there = there.parent
                top.symlink_to(there)

    def run(*arguments: str, status: int = 0) -> str:
        code = "import sys; from deepcams.cli import main; sys.exit(main())"
        command = [sys.executable, "-I", "-S", "-c"]
        code = f"import sys; sys.path.append({str(site)!r}); {code}"
        done = subprocess.run(
            [*command, code, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stderr
        return done.stdout + done.stderr

    run("demo", "-o", "demo", "--quiet")
    told = run("downscale", "demo/cams_simulated.nc", "-o", "a.zarr", "--json", "-q")
    assert json.loads(told)["hours"] == 49
    run("verify", "a.zarr")
    # The experiment is found; what it lacks is PyTorch.
    told = run("train", "configs/smoke-spatial.yaml", "-o", "run", status=2)
    assert "deepcams train needs the extra [training]" in told
    told = run("run", "configs/paper-simulated.yaml", "-o", "run", status=2)
    assert "deepcams run needs the extra [fetch]" in told


def test_shipped_experiments_are_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ours = read_values("configs/smoke-spatial.yaml")
    assert ours == read_values("smoke-spatial.yaml")
    (tmp_path / "smoke-spatial.yaml").write_text("version: 1")
    assert read_values("smoke-spatial.yaml") == {"version": 1}
    with pytest.raises(InputError, match="no such file"):
        read_values("elsewhere/smoke-spatial.yaml")
