"""User-facing errors: one sentence each, with what to do.

Every error that a user can cause is a :class:`DeepcamsError`; the command line prints its one-line message and
exits with status 2. Information that does not stop the work is a :class:`DeepcamsNotice` warning.
"""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Iterable
from pathlib import PurePath

LONGEST = 800
"""Maximum length of a message in characters; text quoted from a file can be arbitrarily long."""


class DeepcamsError(Exception):
    """Base of all errors that a user can cause. The message is a single line of printable text."""

    def __init__(self, message: str) -> None:
        super().__init__(_one_line(message))

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle errors whatever their constructor's signature."""
        return _restored, (type(self), str(self), self.__dict__)


def _one_line(text: object) -> str:
    """Return a text as one line, without terminal control characters; a long one is shortened."""
    words = " ".join(str(text).split())
    if len(words) > LONGEST:
        words = f"{words[: LONGEST * 2 // 3]} .. {words[-LONGEST // 3 + 4 :]}"
    if words.isprintable():
        return words
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in words)


def _restored(
    kind: type[DeepcamsError], message: str, values: dict[str, object]
) -> DeepcamsError:
    error = kind.__new__(kind)
    DeepcamsError.__init__(error, message)
    error.__dict__.update(values)
    return error


class InputError(DeepcamsError):
    """Input data or an argument is invalid.

    Args:
        where: file, variable or option that is wrong.
        expected: description of valid input.
        found: what was found instead.
        do: how to fix it (optional).
    """

    def __init__(
        self, where: object, expected: str, found: object, do: str = ""
    ) -> None:
        self.where, self.expected, self.found, self.do = (
            str(where),
            expected,
            str(found),
            do,
        )
        super().__init__(
            f"{where}: expected {expected}, found {found}" + (f"; {do}" if do else "")
        )


class UnreadableError(InputError):
    """Values of a file cannot be read: the file is damaged or was removed."""


class OutputError(DeepcamsError):
    """The output cannot be written, or exists with other contents."""


class MissingExtraError(DeepcamsError):
    """An optional dependency is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(
            f"{what} needs the extra [{extra}]: pip install 'deepcams[{extra}]'"
        )


class DeepcamsNotice(UserWarning):
    """Information that needs no action."""


def notice(message: str) -> None:
    """Inform the user in one line (a :class:`DeepcamsNotice` warning)."""
    warnings.warn(_one_line(message), DeepcamsNotice, stacklevel=3)


def refuse_url(path: object) -> None:
    """Refuse a URL where a local path is needed; the message shows it as typed, without credentials.

    ``Path`` turns ``s3://bucket`` into ``s3:/bucket``; that is refused too.
    """
    slashes = "/" if isinstance(path, PurePath) else "//"
    url = re.fullmatch(
        rf"([A-Za-z][A-Za-z0-9+.-]+:){slashes}(?:[^/@]*@)?([^?#]*).*",
        str(path),
        re.DOTALL,
    )
    if url:
        raise InputError(
            f"{url[1]}//{url[2]}",
            "a path on this machine",
            "a URL",
            "copy it here first, or mount the store",
        )


def without_secrets_in(message: str) -> str:
    """Return a message with its URLs as they were typed, but without ``user:password`` and query."""
    return re.sub(
        r"""([A-Za-z][A-Za-z0-9+.-]+:/{1,2})(?:[^\s/@'"]*@)?([^\s?#'"]*)(?:[?#][^\s'")]*)?""",
        r"\1\2",
        message,
    )


def choose(kind: str, name: str, known: Iterable[str]) -> str:
    """Return ``name`` if it is one of ``known``; otherwise raise an error that suggests the closest match."""
    known = sorted(known)
    if name in known:
        return name
    near = difflib.get_close_matches(name, known, n=1)
    raise InputError(
        kind,
        "one of " + ", ".join(known),
        repr(name),
        f"did you mean {near[0]!r}?" if near else "",
    )
