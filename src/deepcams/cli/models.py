"""``deepcams models``: list, show and import network checkpoints."""

from __future__ import annotations

import dataclasses
import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepcams.cli.common_options import Json, Overwrite, print_json

if TYPE_CHECKING:
    from deepcams.core.errors import DeepcamsError
    from deepcams.networks.checkpoint import Card

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="List, show and import network checkpoints.",
    epilog="Example: deepcams models show cellnet",
)


@app.command("list")
def list_models(
    folder: Annotated[
        Path, typer.Argument(help="Folder whose checkpoints are also listed.")
    ] = Path("models"),
    as_json: Json = False,
) -> None:
    """List the networks, the weights that are shipped, and the checkpoints in a folder.

    Example: deepcams models list
    """
    from deepcams.methods.chains import SHIPPED
    from deepcams.networks import NETWORKS
    from deepcams.networks.checkpoint import find

    beside = folder != Path("models") or folder.is_dir()
    if as_json:
        print_json(
            {
                "networks": _networks(),
                "shipped": list(map(_found, find(SHIPPED))),
                "folder": folder if beside else None,
                "checkpoints": list(map(_found, find(folder) if beside else ())),
            }
        )
        return
    if find_spec("torch") is None:
        typer.echo("networks (train and run with the extra [networks]):")
        typer.echo(f"  {', '.join(NETWORKS.names())}")
    else:
        _print_networks()
    _print_found("shipped", find(SHIPPED))
    if beside:
        _print_found(f"checkpoints in {folder}", find(folder))


def _networks() -> list[dict[str, Any]]:
    """Return what is known of each network; without PyTorch that is its name."""
    from deepcams.networks import NETWORKS

    names = NETWORKS.names()
    if find_spec("torch") is None:
        return [{"name": name, "kind": None, "presets": None} for name in names]
    classes = map(NETWORKS.get, names)
    return [
        {"name": name, "kind": cls.kind, "presets": list(cls.presets)}
        for name, cls in zip(names, classes, strict=True)
    ]


def _print_networks() -> None:
    typer.echo("networks:")
    for each in _networks():
        presets = ", ".join(each["presets"]) or "none"
        typer.echo(f"  {each['name']:12} {each['kind']:9} presets: {presets}")


@app.command()
def show(
    model: Annotated[
        str, typer.Argument(help="A network's name, or a checkpoint file.")
    ],
    as_json: Json = False,
) -> None:
    """Show a network's presets and shipped weights, or the card of a checkpoint.

    Example: deepcams models show cellnet
    """
    from deepcams.core.errors import choose
    from deepcams.methods.chains import weights_of, with_weights
    from deepcams.networks import NETWORKS
    from deepcams.networks.checkpoint import SUFFIX

    if Path(model).suffix == SUFFIX or Path(model).exists() or "/" in model:
        seen = _checkpoint(Path(model))
        if as_json:
            print_json(seen)
        else:
            _print_checkpoint(seen)
        return
    choose("network", model, with_weights())
    known = model in NETWORKS.names() and find_spec("torch") is not None
    if as_json:
        about: dict[str, Any] = {"name": model, "kind": None, "presets": None}
        about |= _presets(model) if known else {}
        print_json({**about, "checkpoints": list(map(_checkpoint, weights_of(model)))})
        return
    if known:
        _print_presets(model)
    for path in weights_of(model):
        typer.echo()
        _print_checkpoint(_checkpoint(path))


def _presets(model: str) -> dict[str, Any]:
    """Return what a network is, and its presets, the defaults first."""
    from deepcams.networks import NETWORKS

    cls = NETWORKS.get(model)
    presets = {}
    for preset, options in {"defaults": cls.options_type(), **cls.presets}.items():
        network = cls(options)
        presets[preset] = {
            "parameters": network.parameter_count,
            "multiple": network.size_rule.multiple,
            "options": dataclasses.asdict(options),
        }
    words = (cls.__doc__ or "").partition("\n")[0]
    return {"kind": cls.kind, "about": words, "presets": presets}


def _print_presets(model: str) -> None:
    found = _presets(model)
    typer.echo(f"{model}: {found['kind']}. {found['about']}")
    for preset, one in found["presets"].items():
        typer.echo(
            f"{preset}: {one['parameters']:,} parameters, multiples of {one['multiple']}"
        )
        options = (f"{name} {value}" for name, value in one["options"].items())
        typer.echo(f"  {', '.join(options)}")


@app.command("import")
def import_models(
    temporal: Annotated[
        Path | None,
        typer.Option(metavar="FILE.pth", help="The published XVFI weights."),
    ] = None,
    spatial: Annotated[
        Path | None,
        typer.Option(metavar="FILE.pth", help="The published ABPN weights."),
    ] = None,
    output: Annotated[
        Path,
        typer.Option(
            "--out", "--output", "-o", metavar="DIR", help="Folder to write to."
        ),
    ] = Path("models"),
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Convert your own copy of the authors' published weight files to checkpoints.

    Example: deepcams models import --temporal XVFI.pth --spatial ABPN.pth -o models
    """
    from deepcams.networks.published import import_published

    written = import_published(output, temporal, spatial, overwrite)
    if as_json:
        print_json({"written": list(written)})
        return
    for path in written:
        typer.echo(f"wrote {path}")


@app.command()
def export(
    checkpoint: Annotated[
        Path, typer.Argument(help="A checkpoint of a network in space.")
    ],
    as_json: Json = False,
) -> None:
    """Export a network to ONNX, next to its checkpoint: it then runs without PyTorch, and faster on a CPU.

    Example: deepcams models export runs/cellnet/best.safetensors
    """
    from deepcams.methods.onnx_export import export as export_checkpoint

    path, differences = export_checkpoint(checkpoint)
    if as_json:
        print_json({"written": [path], "differences": differences})
        return
    typer.echo(f"wrote {path}")
    for engine, difference in differences.items():
        typer.echo(f"  {engine}: within {difference:.1e} of PyTorch's values")


def _print_found(title: str, found: list[tuple[Path, Card | DeepcamsError]]) -> None:
    typer.echo(f"{title}:" + ("" if found else " none"))
    for path, card in found:
        about = f"not readable: {card}" if isinstance(card, Exception) else _brief(card)
        typer.echo(f"  {path.name:32} {about}")


def _found(one: tuple[Path, Card | DeepcamsError]) -> dict[str, Any]:
    path, card = one
    if isinstance(card, Exception):
        return {"file": path, "problem": str(card)}
    return {"file": path, "problem": None, **dataclasses.asdict(card)}


def _checkpoint(path: Path) -> dict[str, Any]:
    """Return all that a checkpoint says about itself, once it is known to be whole."""
    from deepcams.networks.checkpoint import count_parameters, load, read_with_sha256
    from deepcams.networks.onnx_file import SUFFIX
    from deepcams.networks.scaling import make_scaling

    if find_spec("torch") is not None:
        load(path)  # the weights must be valid, too
    card, sha256 = read_with_sha256(path)
    return {
        "file": path,
        "brief": _brief(card),
        "parameters": count_parameters(path),
        "clips_above": make_scaling(card.scaling, card.scaling_options).clip_above,
        "onnx": None if card.exported is None else path.with_suffix(SUFFIX),
        "sha256": sha256,
        **dataclasses.asdict(card),
    }


def _print_checkpoint(seen: dict[str, Any]) -> None:
    typer.echo(f"{seen['file']}: {seen['brief']}")
    typer.echo(f"parameters: {seen['parameters']:,} ({seen['stored']})")
    above = seen["clips_above"]
    clipped = "nothing" if above is None else f"values above {above:g} ug m-3"
    typer.echo(f"clips: {clipped}")
    typer.echo(f"exported: {seen['onnx'] or 'no'}")
    typer.echo(f"sha256: {seen['sha256']}")
    for entry in (
        "variable",
        "package_version",
        "options",
        "scaling",
        "scaling_options",
        "provenance",
    ):
        _print_entry(entry, seen[entry])


def _brief(card: Card) -> str:
    factor = "" if card.factor is None else f" x{card.factor}"
    return (
        f"{card.network}, {card.kind}{factor}, {card.variable}, scaling {card.scaling}"
    )


def _print_entry(entry: str, value: Any) -> None:
    if not isinstance(value, dict):
        typer.echo(f"{entry}: {value}")
        return
    typer.echo(f"{entry}:")
    for name, part in value.items():
        typer.echo(f"  {name}: {part if isinstance(part, str) else json.dumps(part)}")
