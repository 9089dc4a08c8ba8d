"""deepcams doctor: says what is there; never shows a key."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from deepcams import doctor
from deepcams.cli import main
from deepcams.doctor import Diagnosis, diagnose

SECRET = "7f0c-not-to-be-seen-91"


def find(diagnosis: Diagnosis, name: str) -> doctor.Finding:
    (finding,) = [one for one in diagnosis.findings if one.name.lower() == name.lower()]
    return finding


def test_a_healthy_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DEEPCAMS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "everything required works" in out
    assert max(map(len, out.splitlines())) <= 80
    assert main(["doctor", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["healthy"] is True
    assert {"xarray", "zarr", "netcdf4", "dask"} <= {
        one["name"].lower() for one in told["findings"]
    }


def test_keys_are_found_and_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".cdsapirc").write_text(
        f"url: https://example.org/{SECRET}\nkey: {SECRET}\n"
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DEEPCAMS_CACHE", str(tmp_path / "cache"))
    for name in ("ADSAPI_KEY", "OPENAQ_API_KEY", "ADSAPI_URL"):
        monkeypatch.setenv(name, SECRET)
    for arguments in (["doctor"], ["doctor", "--json"]):
        assert main(arguments) == 0
        printed = capsys.readouterr()
        assert SECRET not in printed.out + printed.err
    store = find(diagnose(), "Atmosphere Data Store")
    assert store.status == "ok"
    assert store.detail == "found in $ADSAPI_KEY, ~/.cdsapirc"
    assert find(diagnose(), "OpenAQ").detail == "found in $OPENAQ_API_KEY"


@pytest.mark.parametrize("name", ["ADSAPI_KEY", "ECMWF_DATASTORES_KEY", "CDSAPI_KEY"])
def test_each_variable_counts(tmp_path: Path, name: str) -> None:
    assert (
        find(diagnose({name: SECRET}, tmp_path), "Atmosphere Data Store").detail
        == f"found in ${name}"
    )
    assert (
        find(diagnose({name: " "}, tmp_path), "Atmosphere Data Store").status
        == "absent"
    )


@pytest.mark.parametrize("name", [".adsapirc", ".ecmwfdatastoresrc", ".cdsapirc"])
def test_each_file_counts(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(SECRET)
    assert (
        find(diagnose({}, tmp_path), "Atmosphere Data Store").detail
        == f"found in ~/{name}"
    )


def test_no_keys_is_no_fault_but_an_address_without_key_is_told(tmp_path: Path) -> None:
    assert find(diagnose({}, tmp_path), "OpenAQ").status == "absent"
    lonely = find(
        diagnose({"CDSAPI_URL": "https://example.org"}, tmp_path),
        "Atmosphere Data Store",
    )
    assert "$CDSAPI_URL is set, its key is not" in lonely.detail


def test_unwritable_cache_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("DEEPCAMS_CACHE", str(tmp_path / "file"))
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "broken: cache" in out
    assert "DEEPCAMS_CACHE" in out


def test_missing_extra_is_absent_and_missing_library_broken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = doctor.version

    def version(name: str) -> str:
        if name.lower() in ("eccodes", "xarray"):
            raise PackageNotFoundError(name)
        return "0.5" if name.lower() == "dask" else real(name)

    monkeypatch.setattr(doctor, "version", version)
    diagnosis = diagnose()
    assert find(diagnosis, "eccodes").status == "absent"
    assert "deepcams[grib]" in find(diagnosis, "eccodes").detail
    assert find(diagnosis, "xarray").status == "broken"
    assert find(diagnosis, "dask").detail.startswith("0.5, needs 2025.1")
    assert not diagnosis.healthy
