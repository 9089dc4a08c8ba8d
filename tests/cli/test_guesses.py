"""Wrong guesses of a new user: one line with what was meant, exit status 2; completion, and figures for scripts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from deepcams import cli
from deepcams.cli import main
from deepcams.cli.app import VERBS
from deepcams.cli.common_options import print_json
from deepcams.core.url import place_of

CLI = Path(str(cli.__file__)).parent


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("cams.nc", "found a file; try deepcams downscale cams.nc -o pm25.zarr, or"),
        ("a&b.nc", "try deepcams downscale 'a&b.nc' -o pm25.zarr, or deepcams info 'a"),
        ("data/cams", "found a file; try deepcams downscale data/cams -o"),
        ("paper.yaml", "try deepcams run paper.yaml -o results/, or deepcams train"),
        ("x.safetensors", "try deepcams models show x.safetensors"),
        ("pm25.zarr", "try deepcams info pm25.zarr, or deepcams view pm25.zarr"),
        ("s3://b/a.nc", "found a URL; try deepcams downscale s3://b/a.nc -o"),
        ("start", "did you mean deepcams demo?"),
        ("help", "did you mean deepcams --help?"),
        ("donwscale cams.nc", "did you mean deepcams downscale?"),
        ("Verify", "did you mean deepcams verify?"),
        ("qqq", "found none of this name; deepcams --help lists all"),
        ("downscale a.nc", "'-o' / '--out'; for example: deepcams downscale cams_2019"),
        ("downscale a.nc out.zarr", "Missing option '-o' / '--out'"),
        ("info", "Missing argument 'files'; for example: deepcams info cams_2019.nc"),
        ("plot mpa a.zarr", "'compare'?; for example: deepcams plot map pm25"),
        ("completion", "Missing argument 'shell'. Choose from: bash, zsh, fish"),
        ("downscale a.nc -o b --tempral x", "--tempral (Possible options: --temporal)"),
    ],
)
def test_a_guess_is_answered_in_one_line(
    arguments: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments.split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


@pytest.mark.parametrize("group", ["bench", "fetch", "models", "plot"])
def test_a_group_alone_is_asked_for_help(
    group: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([group]) == 0
    alone = capsys.readouterr()
    assert main([group, "--help"]) == 0
    assert alone.out.split() == capsys.readouterr().out.split()
    assert not alone.err


def test_credentials_in_a_guess_are_not_repeated(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["https://me:secret@example.org/a.nc?sig=secret"]) == 2
    told = capsys.readouterr().err
    assert "deepcams downscale https://example.org/a.nc -o" in told
    assert "secret" not in told


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("deepcams do", ["doctor", "downscale"]),
        ("deepcams plot co", ["compare"]),
        ("deepcams downscale a.nc --ov", ["--overwrite"]),
        ("deepcams downscale --order spa", ["spatial-first"]),
    ],
)
def test_bash_completes_verbs_and_options(
    words: str,
    expected: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("_DEEPCAMS_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    with pytest.raises(SystemExit) as end:
        main([])
    assert not end.value.code
    assert capsys.readouterr().out.split() == expected


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_s_script_asks_as_deepcams_answers(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", shell]) == 0
    assert f"_DEEPCAMS_COMPLETE=complete_{shell}" in capsys.readouterr().out


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_help_fits_a_terminal(
    verb: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eighty columns, but for examples and metavars that cannot be folded; the first example is complete."""
    monkeypatch.setenv("COLUMNS", "80")
    assert main([verb, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    wide = [each for each in lines if len(each) > 80]
    assert not wide
    assert any("deepcams " + verb in each for each in lines)


def test_verbs_that_show_bars_can_be_quiet() -> None:
    """Whatever draws bars on a terminal has --quiet."""
    for verb in VERBS:
        text = (CLI / f"{verb}.py").read_text(encoding="utf-8")
        drawn = len(re.findall(r"\b(?:Bars|one_bar)\(", text))
        assert text.count("hidden=quiet") == drawn, verb


def test_json_is_strict(capsys: pytest.CaptureFixture[str]) -> None:
    url = place_of("s3://bucket/a.zarr")
    print_json({"path": url, "rate": float("nan"), "hours": (1, 2), "no": None})
    assert json.loads(capsys.readouterr().out) == {
        "path": "s3://bucket/a.zarr",
        "rate": None,
        "hours": [1, 2],
        "no": None,
    }


def test_scripts_read_what_each_verb_did(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way of an hour in a folder with a space: downscale, verify, means, export, all with --json."""
    folder = tmp_path / "my data"
    folder.mkdir()
    monkeypatch.chdir(folder)
    times = np.datetime64("2019-12-31T00", "ns") + np.arange(9) * np.timedelta64(3, "h")
    xr.DataArray(
        np.full((9, 4, 5), 2e-9, np.float32),
        {
            "time": times,
            "latitude": 60 - 0.75 * np.arange(4),
            "longitude": 0.75 * np.arange(5),
        },
        ("time", "latitude", "longitude"),
        "pm2p5",
        {"units": "kg m**-3"},
    ).to_netcdf("cams 1.nc")

    def told(*arguments: str) -> dict[str, object]:
        assert main([*arguments, "--json", "--quiet"]) == 0
        found = capsys.readouterr()
        assert not found.err
        return dict(json.loads(found.out))

    plain = ["--temporal", "linear", "--spatial", "bicubic"]
    run = ["downscale", "cams 1.nc", "-o", "pm 25.zarr", *plain]
    assert told(*run, "--dry-run")["hours"] == 25
    done = told(*run)
    assert (done["output"], done["hours"], done["analysis"]) == ("pm 25.zarr", 25, 9)
    assert done["largest"] == pytest.approx(2)
    assert told("verify", "pm 25.zarr")["damages"] == []
    means = told("means", "pm 25.zarr", "-o", "days.nc")
    assert means["status"] == {"missing": 0, "complete": 1, "incomplete": 0}
    assert told("export", "pm 25.zarr", "--to", "netcdf", "-o", "out")["files"] == 2
