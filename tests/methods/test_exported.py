"""Networks without PyTorch: the engines' answers, what belongs together, and what is refused."""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepcams.core.errors import InputError, MissingExtraError
from deepcams.core.grid import Grid
from deepcams.methods import build
from deepcams.methods.chains import SHIPPED
from deepcams.methods.engines import ENGINES, open_engine
from deepcams.networks.checkpoint import load, read_card, save
from deepcams.networks.onnx_file import load_exported
from methods.conftest import random_field

torch = pytest.importorskip("torch")

GRIDS = {
    "globe": Grid.globe(3.0),
    "region": Grid(0.75, 60, 20, 9, 11),
    "two nodes": Grid(0.75, 100, 3, 2, 2),
}


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the shipped CellNet, with its ONNX file."""
    for suffix in (".onnx", ".safetensors"):
        shutil.copy(SHIPPED / f"cellnet{suffix}", tmp_path)
    return tmp_path / "cellnet.safetensors"


def in_space(engine: str, path: Path | str = "cellnet", **options: Any) -> Any:
    chain = build("none", str(path), conserve=False, engine=engine, **options)
    return chain.parts[0]


@pytest.mark.parametrize("engine", ENGINES.names())
@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
def test_an_engine_answers_as_pytorch_does(engine: str, grid: Grid) -> None:
    pytest.importorskip(engine)
    field = random_field(grid)
    field[0, 0] = 0
    method, network = in_space(engine), in_space("torch")
    assert type(method).__name__ == "ExportedSpatial"
    wanted = network.downscale(field).values
    np.testing.assert_allclose(method.downscale(field), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("engine", ENGINES.names())
@pytest.mark.parametrize("tile", [512, 60])
def test_whole_or_in_tiles_rolled_or_not(engine: str, tile: int) -> None:
    pytest.importorskip(engine)
    field = random_field(GRIDS["globe"], 1)
    field = field.copy(data=np.roll(field.values, 7, axis=-1))
    methods = in_space(engine), in_space("torch")
    for method in methods:
        method._tile_size = tile
    assert len(methods[0].tiles(GRIDS["globe"])) == {512: 1, 60: 6}[tile]
    found, wanted = (method.downscale(field) for method in methods)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_a_global_frame_of_cams_is_one_tile() -> None:
    assert len(in_space("auto").tiles(Grid.globe(0.75))) == 1


def test_engine_and_version_belong_to_the_identity() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    known, network = in_space("onnxruntime").settings(), in_space("torch").settings()
    assert known.pop("engine") == f"onnxruntime {onnxruntime.__version__}"
    assert network.pop("engine") == f"torch {torch.__version__}"
    assert known == network


def test_another_process_gets_the_graph_itself(copied: Path) -> None:
    method = in_space("onnxruntime", copied)
    copied.with_suffix(".onnx").unlink()
    field = random_field(GRIDS["region"], 1)
    again = pickle.loads(pickle.dumps(method))
    np.testing.assert_array_equal(method.downscale(field), again.downscale(field))


WITHOUT_TORCH = """
import json, sys
sys.modules["torch"] = None
import numpy as np
from deepcams.core.grid import Grid
from deepcams.methods import build
chain = build()
values = np.full((1, 9, 11), 20, np.float32)
fine = chain.parts[0].refine(values, Grid(0.75, 60, 20, 9, 11))
print(json.dumps([chain.name, float(fine.mean())]))
"""


def test_the_default_needs_no_pytorch() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH],
        check=True,
        capture_output=True,
        text=True,
    )
    name, mean = json.loads(done.stdout)
    assert name == "cellnet (conserving) + self-checked"
    assert mean == pytest.approx(20, rel=1e-6)


def test_cards_are_shown_without_pytorch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from deepcams.cli import main

    find_spec = importlib.util.find_spec
    without: Any = lambda name: None if name == "torch" else find_spec(name)  # noqa: E731
    monkeypatch.setattr("deepcams.cli.models.find_spec", without)
    assert main(["models", "show", "cellnet"]) == 0
    shown = capsys.readouterr().out
    assert "parameters: 76,905" in shown
    assert "cellnet.onnx" in shown
    assert main(["models", "list"]) == 0
    assert "cellnet.safetensors" in capsys.readouterr().out


def test_pytorch_takes_over_where_the_graph_is_missing(copied: Path) -> None:
    copied.with_suffix(".onnx").unlink()
    assert in_space("auto", copied).settings()["engine"].startswith("torch")
    with pytest.raises(InputError, match=r"cellnet\.onnx: expected .* no such file"):
        in_space("onnxruntime", copied)


def test_a_graph_that_does_not_belong_to_the_card(copied: Path) -> None:
    graph = copied.with_suffix(".onnx")
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    graph.write_bytes(content)
    for engine in ("auto", "onnxruntime"):
        with pytest.raises(InputError, match="its checksum is not the card's") as error:
            in_space(engine, copied)
        assert str(graph) in str(error.value)


def test_a_network_that_was_not_exported(checkpoints: dict[str, Path]) -> None:
    path = checkpoints["abpn"]
    assert in_space("auto", path).settings()["engine"].startswith("torch")
    with pytest.raises(InputError, match="expected a network exported to ONNX"):
        in_space("onnxruntime", path)


def test_the_onnx_file_is_not_the_checkpoint(copied: Path) -> None:
    with pytest.raises(InputError, match=r"an ONNX file \(name the checkpoint"):
        in_space("auto", copied.with_suffix(".onnx"))


def test_engines_that_are_unknown_missing_or_asked_for_too_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(InputError, match="--engine: expected one of auto, onnxruntime"):
        in_space("tensorflow")
    with pytest.raises(InputError, match="expected float32 on the CPU, found --precis"):
        in_space("onnxruntime", precision="bfloat16")
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"--engine openvino needs the extra"):
        in_space("openvino")


@pytest.mark.parametrize("engine", ENGINES.names())
def test_an_operation_that_an_engine_lacks(engine: str, tmp_path: Path) -> None:
    pytest.importorskip(engine)
    onnx = pytest.importorskip("onnx")
    kind, make = onnx.TensorProto.FLOAT, onnx.helper
    ends = [
        make.make_tensor_value_info(name, kind, ["n"]) for name in ("coarse", "fine")
    ]
    node = make.make_node("Nonsense", ["coarse"], ["fine"])
    graph = make.make_graph([node], "g", ends[:1], ends[1:])
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 18)])
    with pytest.raises(
        InputError, match=f"expected a network that {engine} can run"
    ) as e:
        open_engine(engine, model.SerializeToString(), tmp_path / "a.onnx")
    assert "Nonsense" in str(e.value)


def test_export_writes_a_graph_with_the_scaling_and_seals_it(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    from deepcams import networks
    from deepcams.methods.onnx_export import export
    from deepcams.networks.scaling import make_scaling

    torch.manual_seed(3)
    network = networks.build("cellnet", width=8, blocks=1)
    torch.nn.init.normal_(network.last.weight, std=0.3)
    path = save(network, tmp_path / "small", make_scaling("linear-clip"))
    before = read_card(path)
    graph, differences = export(path)
    assert differences.keys() >= {"onnxruntime"}
    assert max(differences.values()) <= 1e-5
    card = read_card(path)
    assert card.tensors_sha256 == before.tensors_sha256
    assert str(tmp_path).encode() not in graph.read_bytes()
    assert load_exported(path).about.clip_above == 800
    for name, value in network.state_dict().items():
        assert torch.equal(load(path).network.state_dict()[name], value)
    field = random_field(GRIDS["region"], 1) * 40  # above 800
    wanted = in_space("torch", path).downscale(field)
    found = in_space("onnxruntime", path).downscale(field)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_export_refuses_networks_in_time() -> None:
    from deepcams.methods.onnx_export import export

    with pytest.raises(InputError, match="expected a network in space, found one in"):
        export(SHIPPED / "flow-refine.safetensors")


def test_onnx_runtime_sends_nothing_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """Its builds keep an identifier and events in the home, to send them, unless they are told not to."""
    pytest.importorskip("onnxruntime")
    graph = SHIPPED / "cellnet.onnx"
    code = (
        "import sys; from pathlib import Path; from deepcams.methods.engines import OnnxRuntime; "
        "OnnxRuntime(Path(sys.argv[1]).read_bytes(), 1)"
    )
    hidden = ("XDG_CACHE_HOME", "ORT_DISABLE_TELEMETRY")
    home = {name: value for name, value in os.environ.items() if name not in hidden}
    home.update(dict.fromkeys(("HOME", "LOCALAPPDATA", "USERPROFILE"), str(tmp_path)))
    subprocess.run([sys.executable, "-c", code, str(graph)], env=home, check=True)
    assert list(tmp_path.rglob("*")) == []
