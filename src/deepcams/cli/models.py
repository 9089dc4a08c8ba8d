"""deepcams models: list, show and import network checkpoints."""

from __future__ import annotations

import dataclasses
import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepcams.cli.common_options import Overwrite

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
        Path, typer.Argument(help="Folder whose checkpoints are listed too.")
    ] = Path("models"),
) -> None:
    """List the networks, the weights that are shipped, and the checkpoints in a folder.

    Example: deepcams models list
    """
    from deepcams.methods.chains import SHIPPED
    from deepcams.networks import NETWORKS
    from deepcams.networks.checkpoint import find

    if find_spec("torch") is None:
        typer.echo("networks (train and run with the extra [networks]):")
        typer.echo(f"  {', '.join(NETWORKS.names())}")
    else:
        _print_networks()
    _print_found("shipped", find(SHIPPED))
    if folder != Path("models") or folder.is_dir():
        _print_found(f"checkpoints in {folder}", find(folder))


def _print_networks() -> None:
    from deepcams.networks import NETWORKS

    typer.echo("networks:")
    for name in NETWORKS.names():
        cls = NETWORKS.get(name)
        typer.echo(
            f"  {name:12} {cls.kind:9} presets: {', '.join(cls.presets) or 'none'}"
        )


@app.command()
def show(
    model: Annotated[
        str, typer.Argument(help="A network's name, or a checkpoint file.")
    ],
) -> None:
    """Show a network's presets and shipped weights, or all that a checkpoint says about itself.

    Example: deepcams models show cellnet
    """
    from deepcams.core.errors import choose
    from deepcams.methods.chains import weights_of, with_weights
    from deepcams.networks import NETWORKS
    from deepcams.networks.checkpoint import SUFFIX

    if Path(model).suffix == SUFFIX or Path(model).exists() or "/" in model:
        _print_checkpoint(Path(model))
        return
    choose("network", model, with_weights())
    if model in NETWORKS.names() and find_spec("torch") is not None:
        _print_presets(model)
    for path in weights_of(model):
        typer.echo()
        _print_checkpoint(path)


def _print_presets(model: str) -> None:
    from deepcams.networks import NETWORKS

    cls = NETWORKS.get(model)
    typer.echo(f"{model}: {cls.kind}. {(cls.__doc__ or '').splitlines()[0]}")
    for preset, options in {"defaults": cls.options_type(), **cls.presets}.items():
        network = cls(options)
        typer.echo(
            f"{preset}: {network.parameter_count:,} parameters, multiples of {network.size_rule.multiple}"
        )
        typer.echo(
            "  "
            + ", ".join(
                f"{name} {value}" for name, value in dataclasses.asdict(options).items()
            )
        )


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
) -> None:
    """Read your own copy of the authors' published weight files into checkpoints.

    Example: deepcams models import --temporal XVFI.pth --spatial ABPN.pth -o models
    """
    from deepcams.networks.published import import_published

    for path in import_published(output, temporal, spatial, overwrite):
        typer.echo(f"wrote {path}")


@app.command()
def export(
    checkpoint: Annotated[
        Path, typer.Argument(help="A checkpoint of a network in space.")
    ],
) -> None:
    """Export a network to ONNX, next to its checkpoint: it then runs without PyTorch, and faster on a CPU.

    Example: deepcams models export runs/cellnet/best.safetensors
    """
    from deepcams.methods.onnx_export import export as export_checkpoint

    path, differences = export_checkpoint(checkpoint)
    typer.echo(f"wrote {path}")
    for engine, difference in differences.items():
        typer.echo(f"  {engine}: within {difference:.1e} of PyTorch's values")


def _print_found(title: str, found: list[tuple[Path, Card | DeepcamsError]]) -> None:
    typer.echo(f"{title}:" + ("" if found else " none"))
    for path, card in found:
        about = f"not readable: {card}" if isinstance(card, Exception) else _brief(card)
        typer.echo(f"  {path.name:32} {about}")


def _print_checkpoint(path: Path) -> None:
    from deepcams.networks.checkpoint import count_parameters, load, read_with_sha256
    from deepcams.networks.onnx_file import SUFFIX
    from deepcams.networks.scaling import make_scaling

    if find_spec("torch") is not None:
        load(path)  # the weights must be whole too
    card, sha256 = read_with_sha256(path)
    typer.echo(f"{path}: {_brief(card)}")
    typer.echo(f"parameters: {count_parameters(path):,} ({card.stored})")
    clip_above = make_scaling(card.scaling, card.scaling_options).clip_above
    clipped = "nothing" if clip_above is None else f"values above {clip_above:g} ug m-3"
    typer.echo(f"clips: {clipped}")
    exported = "no" if card.exported is None else str(path.with_suffix(SUFFIX))
    typer.echo(f"exported: {exported}")
    typer.echo(f"sha256: {sha256}")
    entries = dataclasses.asdict(card)
    for entry in (
        "variable",
        "package_version",
        "options",
        "scaling",
        "scaling_options",
        "provenance",
    ):
        _print_entry(entry, entries[entry])


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
