"""Names of methods in tables, and the methods they stand for.

``flow``                            a temporal method
``log-bicubic``                     a spatial method
``log-bicubic+conserve``            the same, adjusted to conserve the coarse means
``log-bicubic+conserve-then-flow``  both, in the order in which they are applied (task ``joint``)

The names are those of the registries, so whatever is registered can be evaluated.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from deepcams.core.errors import InputError, MissingExtraError, choose, notice
from deepcams.core.grid import FACTOR
from deepcams.methods import SPATIAL, TEMPORAL, Chain, Downscaler, build
from deepcams.methods.base import Kind
from deepcams.methods.chains import (
    NONE,
    is_checkpoint,
    kind_of,
    weights_of,
    with_weights,
)
from deepcams.networks import NETWORKS

Task = Literal["temporal", "spatial", "joint"]
Conserve = Literal["as-named", "both", "always", "never"]
Orders = Literal["both", "spatial-first", "temporal-first"]

CONSERVE, THEN = "+conserve", "-then-"
CORRECT_BASELINE: dict[str, str] = {
    "temporal": "linear",
    "spatial": "bicubic",
    "joint": f"linear{THEN}bicubic",
}
"""Baseline of skill scores by task: never the paper's equation 9 as printed (weights swapped)."""

_BASELINES = {"linear", "linear-eq9", "bilinear", "bicubic"}
_ONLY_IN_TIME = {"linear-eq9"}
"""Excluded from the joint task by default: it only serves the paper's Table 2."""


@dataclass(frozen=True)
class Method:
    """A named method with its downscalers.

    Attributes:
        name: canonical name, as in the tables.
        kind: ``baseline``, ``training-free`` or ``network``.
        parts: names and downscalers, in the order in which they are applied.
    """

    name: str
    kind: Kind
    parts: tuple[tuple[str, Downscaler], ...]


def _is_spatial(name: str) -> bool:
    return kind_of(name.removesuffix(CONSERVE)) == "spatial"


def _is_joint(name: str) -> bool:
    return kind_of(name.removesuffix(CONSERVE)) == "joint"


def _known(task: Task, factor: int = FACTOR) -> list[str]:
    """Return all names that fit a task: registered methods, and networks with one set of weights available.

    Spatial networks were trained for one factor and are left out for any other.
    """
    networks = [name for name in with_weights() if len(weights_of(name)) == 1]
    if factor != FACTOR:
        networks = [name for name in networks if kind_of(name) == "temporal"]
    kinds = {name: kind_of(name) for name in networks}
    in_time = [*TEMPORAL.names(), *(n for n in networks if kinds[n] == "temporal")]
    in_space = [*SPATIAL.names(), *(n for n in networks if kinds[n] == "spatial")]
    both = [n for n in networks if kinds[n] == "joint"]
    with_conserve = [name + suffix for name in in_space for suffix in ("", CONSERVE)]
    return [
        *(in_time if task != "spatial" else []),
        *(with_conserve if task != "temporal" else []),
        *(both if task == "joint" else []),
    ]


def _is_default(name: str, task: Task) -> bool:
    """Return whether a method is evaluated by default: for a network, only the weights with its own name are."""
    if task == "joint" and name in _ONLY_IN_TIME:
        return False
    plain = name.removesuffix(CONSERVE)
    return any(plain in known.names() for known in (TEMPORAL, SPATIAL, NETWORKS))


def _fitting(name: str, task: Task, factor: int) -> str:
    """Return the name if it is a method or a checkpoint that fits the task; raise otherwise."""
    plain = name.removesuffix(CONSERVE)
    where = f"--methods for the task {task}"
    if not is_checkpoint(plain):
        where += f" with --factor {factor}" if factor != FACTOR else ""
        return choose(where, name, _known(task, factor))
    kind = kind_of(plain)
    if task not in (kind, "joint") or (kind != "spatial" and plain != name):
        raise InputError(
            where, f"a method of the task {task}", f"{name}, a {kind} network"
        )
    return name


def expand(
    names: Iterable[str] | None,
    task: Task,
    *,
    order: Orders = "both",
    conserve: Conserve = "as-named",
    factor: int = FACTOR,
) -> list[str]:
    """Expand the names given by a user into the methods of a task, without duplicates.

    Args:
        names: method names; ``None`` for all that fit the task (for a network, only the weights with its own name).
            For ``joint``, single names stand for all chains of a temporal and a spatial method among them; chains can
            also be named directly.
        task: ``temporal``, ``spatial`` or ``joint``.
        order: order of the chains made from single names; with ``both``, chains of two linear interpolations, whose
            order has no effect, are included once.
        conserve: spatial methods as named (``as-named``), with and without conservation (``both``), all with
            (``always``) or all without (``never``).
        factor: fine nodes per coarse node.

    Raises:
        InputError: a name is unknown or does not fit the task.
    """
    choose("--task", task, get_args(Task))
    choose("--order", order, get_args(Orders))
    choose("--conserve", conserve, get_args(Conserve))
    if names is None:
        names = [n for n in _known(task, factor) if _is_default(n, task)]
    names = [name.strip() for name in names if name.strip()]
    if not names:
        raise InputError(
            "--methods",
            "at least one method",
            "none",
            "name " + ", ".join(_known(task)),
        )
    singles, chains = [], []
    for name in names:
        if THEN in name:
            if task != "joint":
                raise InputError(
                    "--methods",
                    f"a single method for the task {task}",
                    repr(name),
                    "use --task joint",
                )
            chains.append(_checked_chain(name, factor))
        else:
            singles.append(_fitting(name, task, factor))
    whole = [name for name in singles if _is_joint(name)]
    singles = [name for name in singles if name not in whole]
    in_time = [name for name in singles if not _is_spatial(name)]
    in_space = [
        each
        for name in singles
        if _is_spatial(name)
        for each in _conserving(name, conserve)
    ]
    if task != "joint":
        return list(dict.fromkeys([*in_time, *in_space]))
    if singles and not (in_time and in_space):
        missing = "space" if in_time else "time"
        raise InputError(
            "--methods",
            f"methods in time and in space, or chains such as {CORRECT_BASELINE['joint']}",
            f"none in {missing}",
            f"add one of {', '.join(SPATIAL.names() if in_time else TEMPORAL.names())}",
        )
    for time in in_time:
        for space in in_space:
            commute = order == "both" and {time, space} <= _BASELINES
            if order != "spatial-first":
                chains.append(f"{time}{THEN}{space}")
            if order != "temporal-first" and not commute:
                chains.append(f"{space}{THEN}{time}")
    return list(dict.fromkeys([*chains, *whole]))


def _conserving(name: str, conserve: Conserve) -> list[str]:
    plain = name.removesuffix(CONSERVE)
    return {
        "as-named": [name],
        "both": [plain, plain + CONSERVE],
        "always": [plain + CONSERVE],
        "never": [plain],
    }[conserve]


def _checked_chain(name: str, factor: int) -> str:
    parts = [_fitting(part, "joint", factor) for part in name.split(THEN)]
    spatial = [_is_spatial(part) for part in parts]
    if sorted(spatial) != [False, True] or any(map(_is_joint, parts)):
        raise InputError(
            "--methods",
            f"one method in time and one in space joined by {THEN!r}",
            repr(name),
        )
    return name


def _kind(name: str, parts: Sequence[Downscaler]) -> Kind:
    if Chain(parts).weights:
        return "network"
    return (
        "baseline"
        if all(part in _BASELINES for part in name.split(THEN))
        else "training-free"
    )


def make(
    name: str,
    parts: dict[str, Downscaler] | None = None,
    factor: int = FACTOR,
    variable: str | None = None,
) -> Method:
    """Return the method for a name returned by :func:`expand`.

    Args:
        name: name of one method, or of a chain.
        parts: existing downscalers by name; new ones are added.
        factor: refinement factor of spatial methods.
        variable: variable of the truth; ``None``: not compared with the variable that networks were trained on.

    Raises:
        InputError: a name is unknown, or a network was trained for another factor or variable.
        MissingExtraError: the method needs an optional dependency that is not installed.
    """
    parts = {} if parts is None else parts
    pieces = name.split(THEN)
    chain = [_part(piece, parts, factor, variable) for piece in pieces]
    return Method(name, _kind(name, chain), tuple(zip(pieces, chain, strict=True)))


def _part(
    name: str, parts: dict[str, Downscaler], factor: int, variable: str | None
) -> Downscaler:
    """Return one downscaler of a chain; it is built once and shared by a method and its conserving variant."""
    if name not in parts:
        plain = name.removesuffix(CONSERVE)
        if plain != name:
            from deepcams.methods.spatial.conserve import Conserving

            parts[name] = Conserving(_part(plain, parts, factor, variable))  # type: ignore[arg-type]
        elif _is_joint(name):
            parts[name] = build(name, name, factor=factor, variable=variable).parts[0]
        elif _is_spatial(name):
            parts[name] = build(
                NONE, name, conserve=False, factor=factor, variable=variable
            ).parts[0]
        else:
            parts[name] = build(name, NONE, variable=variable).parts[0]
    return parts[name]


def make_all(
    names: Sequence[str],
    *,
    asked_for: bool,
    factor: int = FACTOR,
    variable: str | None = None,
) -> list[Method]:
    """Return the methods of all names; each part is built once.

    Methods that cannot be loaded or were trained on another variable are left out, unless ``asked_for``.
    """
    methods, parts = [], dict[str, Downscaler]()
    for name in names:
        try:
            methods.append(make(name, parts, factor, variable))
        except (MissingExtraError, InputError) as error:
            if asked_for or (isinstance(error, InputError) and variable is None):
                raise
            notice(f"{name} is left out: {error}")
    return methods
