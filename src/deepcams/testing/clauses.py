"""A contract is a list of clauses; what is broken is told all at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

Thing = TypeVar("Thing")


def check_all(
    clauses: Sequence[Callable[[Thing], None]],
    thing: Thing,
    name: str,
    before: Callable[[], None] = lambda: None,
) -> None:
    """Call every clause with ``thing``.

    Args:
        clauses: each asserts one thing; its name is told.
        thing: what is checked.
        name: of it, for the message.
        before: called before each clause.

    Raises:
        AssertionError: with every clause that is broken, one per line.
    """
    broken = []
    for clause in clauses:
        before()
        words = clause.__name__.strip("_")
        try:
            clause(thing)
        except AssertionError as error:
            broken.append(f"{words}: {error}")
        except Exception as error:  # a stranger's code may raise anything, and the other clauses are still of use
            broken.append(f"{words}: raised {type(error).__name__}: {error}")
    assert not broken, f"{name} breaks the contract:\n" + "\n".join(broken)
