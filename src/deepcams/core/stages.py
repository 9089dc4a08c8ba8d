"""Named stages of a run, so that their cost can be measured in place.

Without a listener, which is the default, a stage costs one variable look-up and allocates nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

Listener = Callable[[str], AbstractContextManager[None]]
"""Callback with a stage's name; the context it returns is entered and left with the stage, in the same thread."""

STAGES = (
    "check",
    "read",
    "space",
    "motion",
    "carry",
    "blend",
    "conserve",
    "round",
    "compress",
    "write",
)
"""All stages of a downscaling. ``check`` computes one frame to see whether the disk can hold the output.

They nest: ``conserve`` happens inside ``space``, ``motion`` and ``carry`` inside ``blend``, ``compress`` inside
``write``. A network in time finds motion, carries and blends at once; all of it is ``motion``.

Other verbs have further ones: ``headers``, ``sort`` (stations into their cache), ``degrade``, ``match``, ``learn``,
``score``, ``draw``, ``sync``.
"""

_NOBODY: AbstractContextManager[None] = nullcontext()
_listener: Listener | None = None


def stage(name: str) -> AbstractContextManager[None]:
    """Return the context manager of a stage.

    Args:
        name: one of :data:`STAGES`.
    """
    return _NOBODY if _listener is None else _listener(name)


def staged(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that runs each call of a function as a stage of that name."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **options: P.kwargs) -> R:
            with stage(name):
                return function(*args, **options)

        return call

    return decorate


def heard() -> bool:
    """Return whether a listener is set; work must then be done sequentially, for parallel threads have no stages."""
    return _listener is not None


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Report all stages of this process to ``listener`` within the block."""
    global _listener
    before, _listener = _listener, listener
    try:
        yield
    finally:
        _listener = before
