"""Ctrl-C and SIGTERM: what they do to a command, and what is said about going on."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import typer


def command_line(without: str = "", add: Sequence[str] = ()) -> str:
    """This command as it can be given again.

    Args:
        without: a flag that is left out.
        add: arguments that are put behind the others.
    """
    return shlex.join(
        ["deepcams", *(argument for argument in sys.argv[1:] if argument != without), *add]
    )


class Stopping:
    """Within it, Ctrl-C and SIGTERM do the same.

    Raised just anywhere, an interrupt is lost where it falls into a library's clean-up, and leaves half of a step to
    be done again; so work that can should look now and then whether it is to stop.

    Args:
        waits: whether the work looks. It is interrupted by a second Ctrl-C alone (not by a second SIGTERM: a batch
            system may send one to each process, and ``torchrun`` passes on its own). Other work is interrupted at once.
    """

    def __init__(self, *, waits: bool) -> None:
        self.waits = waits
        self._asked = False

    def __enter__(self) -> Stopping:
        self._before = {
            number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)
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
        """Whether the work is to stop."""
        return self._asked

    def check(self) -> None:
        """Raise KeyboardInterrupt where the work is to stop."""
        if self._asked:
            raise KeyboardInterrupt


@contextmanager
def stoppable(told: str, *, waits: bool = False) -> Iterator[Stopping]:
    """Work that keeps what is finished: stopped, it says so and ends with status 130.

    Args:
        told: what is kept, and how to go on.
        waits: see :class:`Stopping`.
    """
    try:
        with Stopping(waits=waits) as stopping:
            yield stopping
    except KeyboardInterrupt:
        print(f"\nstopped; {told}", file=sys.stderr)
        raise typer.Exit(130) from None


def kept(what: str = "finished", without: str = "") -> str:
    """What is told of work that goes on when the same command is given again, but for a flag."""
    return f"what is {what} is kept. Go on with:\n  {command_line(without)}"
