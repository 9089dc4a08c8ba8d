from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch")

from deepcams.cli import main  # noqa: E402
from deepcams.cli.models import app  # noqa: E402
from deepcams.core.errors import InputError  # noqa: E402
from deepcams.networks import build  # noqa: E402
from deepcams.networks.abpn import ABPN, ABPNOptions  # noqa: E402
from deepcams.networks.checkpoint import load, save  # noqa: E402
from deepcams.networks.published import published_shapes  # noqa: E402
from deepcams.networks.scaling import LinearClip  # noqa: E402


def _run(*arguments: object) -> str:
    result = CliRunner().invoke(
        app, [str(a) for a in arguments], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    return result.output


def test_list_names_networks_and_files(tmp_path: Path) -> None:
    save(build("abpn", d=4, stages=2), tmp_path / "mine", LinearClip())
    (tmp_path / "bad.safetensors").write_bytes(b"12345678901234")
    out = _run("list", tmp_path)
    assert "xvfi         temporal  presets: paper, released, original" in out
    assert (
        "mine.safetensors                 abpn, spatial x3, pm2p5, scaling linear-clip"
        in out
    )
    assert "bad.safetensors                  not readable: " in out
    seen = json.loads(_run("list", tmp_path, "--json"))
    assert (
        "paper" in {each["name"]: each["presets"] for each in seen["networks"]}["xvfi"]
    )
    bad, mine = seen["checkpoints"]
    assert bad["problem"]
    assert (mine["network"], mine["problem"]) == ("abpn", None)


def test_show_a_network_and_a_file(tmp_path: Path) -> None:
    assert "released: 5,527,698 parameters, multiples of 32" in _run("show", "xvfi")
    path = save(
        build("abpn", d=4, stages=2),
        tmp_path / "mine",
        LinearClip(),
        provenance={"split": "west and east"},
    )
    out = _run("show", path)
    assert "clips: values above 800 ug m-3" in out
    assert f"sha256: {load(path).sha256}" in out
    seen = json.loads(_run("show", path, "--json"))
    assert (seen["sha256"], seen["clips_above"]) == (load(path).sha256, 800)
    assert seen["provenance"]["split"] == "west and east"
    seen = json.loads(_run("show", "xvfi", "--json"))
    assert seen["presets"]["released"]["parameters"] == 5_527_698
    assert "split: west and east" in out


def test_show_what_is_not_there() -> None:
    with pytest.raises(InputError, match="did you mean 'xvfi'"):
        CliRunner().invoke(app, ["show", "xvf"], catch_exceptions=False)
    with pytest.raises(InputError, match="no such file"):
        CliRunner().invoke(app, ["show", "absent.safetensors"], catch_exceptions=False)


def test_import_writes_checkpoints(tmp_path: Path) -> None:
    shapes = published_shapes(ABPN(ABPNOptions(d=4, stages=3)))
    torch.save(
        {name: torch.randn(shape) for name, shape in shapes.items()}, tmp_path / "s.pth"
    )
    out = _run("import", "--spatial", tmp_path / "s.pth", "-o", tmp_path / "out")
    assert "abpn-published.safetensors" in out
    assert (
        load(tmp_path / "out" / "abpn-published.safetensors").card.provenance["file"]
        == "s.pth"
    )


def test_help_looks_as_that_of_other_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--help"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("Usage: deepcams models")
    assert told.rstrip().endswith("Example: deepcams models show cellnet")
