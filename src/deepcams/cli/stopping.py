"""Handling of Ctrl-C and SIGTERM, with a message on how to resume."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import typer

from deepcams.core.url import without_secrets


def command_line(without: str = "", add: Sequence[str] = ()) -> str:
    """Return the current command line for reuse, without credentials in URLs.

    Args:
        without: a flag to leave out.
        add: arguments to append.
    """
    return shlex.join(
        [
            "deepcams",
            *(_shown(argument) for argument in sys.argv[1:] if argument != without),
            *add,
        ]
    )


def _shown(argument: str) -> str:
    """Return an argument without a URL's credentials, because command lines are logged and displayed."""
    option, equals, value = argument.partition("=")
    if argument.startswith("--") and equals:
        return f"{option}={without_secrets(value)}"
    return without_secrets(argument)


class Stopping:
    """A block in which SIGTERM has the same effect as Ctrl-C.

    An interrupt raised at an arbitrary point may be swallowed by a library's clean-up, and a partial step must be
    repeated; so work that can do so should poll whether to stop.

    Args:
        waits: whether the work polls. Then only a second Ctrl-C interrupts it (not a second SIGTERM: a batch system may
            send one to each process, and ``torchrun`` forwards its own). Other work is interrupted at once.
    """

    def __init__(self, *, waits: bool) -> None:
        self.waits = waits
        self._asked = False

    def __enter__(self) -> Stopping:
        self._before = {
            number: signal.signal(number, self._stop)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _stop(self, number: int, _: object) -> None:
        again = self._asked and number == signal.SIGINT
        self._asked = True
        if again or not self.waits:
            raise KeyboardInterrupt

    def asked(self) -> bool:
        """Return whether the work should stop."""
        return self._asked

    def check(self) -> None:
        """Raise KeyboardInterrupt if the work should stop."""
        if self._asked:
            raise KeyboardInterrupt


@contextmanager
def stoppable(message: str, *, waits: bool = False) -> Iterator[Stopping]:
    """End an interrupted command with a message and status 130.

    Args:
        message: text on what is finished, and how to resume.
        waits: see :class:`Stopping`.
    """
    stopping = Stopping(waits=waits)
    try:
        with stopping:
            yield stopping
    except (KeyboardInterrupt, RuntimeError) as error:
        # DuckDB converts an interrupt during a query to a RuntimeError.
        if isinstance(error, RuntimeError) and (
            not stopping.asked() or "interrupted" not in str(error).lower()
        ):
            raise
        print(f"\nstopped; {message}", file=sys.stderr)
        raise typer.Exit(130) from None


def kept(what: str = "finished", without: str = "") -> str:
    """Return the message for work that is resumed by the same command, optionally without a flag."""
    return f"what is {what} is kept. Go on with:\n  {command_line(without)}"
