"""Command line: each verb parses arguments and calls one library function; one file per verb.

Verbs are imported only when used, so that ``deepcams --help`` stays quick.
"""

from __future__ import annotations

import io
import os
import sys
import warnings
from contextvars import copy_context
from typing import TextIO

from deepcams.core.errors import (
    DeepcamsError,
    DeepcamsNotice,
    InputError,
    without_secrets_in,
)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    if issubclass(category, DeepcamsNotice):
        print(f"deepcams: note: {message}", file=sys.stderr)


def main(arguments: list[str] | None = None) -> int:
    """Run ``deepcams`` with ``arguments`` (default: the process's own) and return its exit status.

    0: done. 1: a check failed. 2: an error that a user can correct; one line on stderr says how. 130: interrupted.
    """
    from deepcams.cli.app import app

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(
                errors="backslashreplace"
            )  # letters that its encoding lacks
    os.environ["MPLBACKEND"] = (
        "agg"  # a notebook's may be one that this process does not have
    )
    if "_DEEPCAMS_COMPLETE" in os.environ:
        from typer.completion import completion_init  # type: ignore[attr-defined]

        completion_init()
    warnings.showwarning = _show_warning
    warnings.simplefilter("always", DeepcamsNotice)
    try:
        arguments = sys.argv[1:] if arguments is None else arguments
        for each in arguments:
            _check_letters(each)
        result = copy_context().run(  # what options before the verb set ends with it
            app,
            args=arguments or ["--help"],
            prog_name="deepcams",
            standalone_mode=False,
        )
    except DeepcamsError as error:
        return _say(str(error), 2)
    except KeyboardInterrupt:
        return _say("stopped", 130)
    except OSError as error:
        return _say(f"{error.filename or 'file'}: {error.strerror or error}", 2)
    except ModuleNotFoundError as error:
        from deepcams.files.optional import missing

        told = missing(error)
        if told is None:
            raise
        return _say(str(told), 2)
    except Exception as error:
        if type(error).__module__.startswith(
            ("click", "typer")
        ):  # usage errors, Exit and Abort
            return _usage(error)
        raise
    return result if isinstance(result, int) else 0


def _check_letters(argument: str) -> None:
    """Refuse arguments that are not valid in the locale's encoding: file libraries could not open such names."""
    if argument.isascii() or not any("\ud800" <= each <= "\udfff" for each in argument):
        return
    raise InputError(
        argument,
        f"letters of the locale's encoding ({sys.getfilesystemencoding()})",
        "others",
        "set PYTHONUTF8=1 if they are UTF-8; otherwise rename the file",
    )


def _say(message: str, status: int) -> int:
    sys.stdout.flush()
    print(f"deepcams: {'' if status == 130 else 'error: '}{message}", file=sys.stderr)
    return status


def _usage(error: Exception) -> int:
    code = getattr(error, "exit_code", 1)
    if type(error).__name__ == "Abort":
        if isinstance(error.__cause__, EOFError):
            raise error.__cause__  # a truncated file, which click mistakes for Ctrl-D
        return _say("stopped", 130)
    if type(error).__name__ == "NoArgsIsHelpError":
        print(str(error))  # as deepcams alone does
        return 0
    if hasattr(error, "format_message"):
        from deepcams.cli.guesses import with_example

        told = without_secrets_in(" ".join(error.format_message().split())).replace(
            "Value error, ", ""
        )
        return _say(with_example(told, getattr(error, "ctx", None)), 2)
    return int(code)
