"""How methods are named in tables, and what a name stands for.

``flow``                            a method in time
``log-bicubic``                     a method in space, as it is
``log-bicubic+conserve``            the same, made to keep the coarse means
``log-bicubic+conserve-then-flow``  both, in the order in which they work (task ``joint``)

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
"""What skill is measured against: never the paper's reversed equation 9."""

_BASELINES = {"linear", "linear-eq9", "bilinear", "bicubic"}
_ONLY_IN_TIME = {"linear-eq9"}
"""Left out of the joint task unless asked for: its one purpose is the paper's Table 2."""


@dataclass(frozen=True)
class Method:
    """A named method, ready to work.

    Attributes:
        name: canonical name, as in the tables.
        kind: ``baseline``, ``training-free`` or ``network``.
        parts: downscalers in the order in which they work, each with its own name.
    """

    name: str
    kind: Kind
    parts: tuple[tuple[str, Downscaler], ...]


def _is_spatial(name: str) -> bool:
    return kind_of(name.removesuffix(CONSERVE)) == "spatial"


def _is_joint(name: str) -> bool:
    return kind_of(name.removesuffix(CONSERVE)) == "joint"


def _known(task: Task, factor: int = FACTOR) -> list[str]:
    """All names that fit a task: what is registered, and the networks whose weights are at hand.

    Networks in space learned one factor, and are no candidates with another.
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
    """Return whether a method is evaluated by default; of a network's several weights, those of its own name are."""
    if task == "joint" and name in _ONLY_IN_TIME:
        return False
    plain = name.removesuffix(CONSERVE)
    return any(plain in known.names() for known in (TEMPORAL, SPATIAL, NETWORKS))


def _fitting(name: str, task: Task, factor: int) -> str:
    """The name, if the task knows it or it is a checkpoint of a kind that fits."""
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
    """Turn what a person asks for into the methods of a task, each once.

    Args:
        names: method names; ``None`` for all that fit the task (of a network only the weights of its own name). For
            ``joint``, names of single methods stand for all chains of those in time with those in space; a chain can be
            named itself.
        task: ``temporal``, ``spatial`` or ``joint``.
        order: which chains single names stand for; with ``both``, interpolations that are linear in time and in
            space, whose order changes nothing, are taken once.
        conserve: methods in space as they are named, each also conserving (``both``), all conserving (``always``)
            or none (``never``).
        factor: fine nodes per coarse node.

    Raises:
        InputError: an unknown name, or one that does not fit the task.
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
    """The method of a name as :func:`expand` gives them.

    Args:
        name: of one method, or of a chain.
        parts: downscalers that exist already, by name; those built here are added.
        factor: of methods in space.
        variable: of the truth; ``None``: not compared with what networks learned.

    Raises:
        InputError: unknown names, a network and another factor or variable than it learned.
        MissingExtraError: the method needs an optional dependency that is not installed.
    """
    parts = {} if parts is None else parts
    pieces = name.split(THEN)
    chain = [_part(piece, parts, factor, variable) for piece in pieces]
    return Method(name, _kind(name, chain), tuple(zip(pieces, chain, strict=True)))


def _part(
    name: str, parts: dict[str, Downscaler], factor: int, variable: str | None
) -> Downscaler:
    """One downscaler of a chain: built once, and shared by a method and its conserving kind."""
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
    """The methods of all names, each part of them built once.

    Unless they were asked for by name, those that cannot be loaded, or learned another variable, are left out.
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
