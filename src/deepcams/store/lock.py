"""Folders and outputs that one process at a time may write to."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from deepcams.errors import OutputError


def taken(file: int) -> bool:
    """Take an open file for this process alone.

    The system gives it back when the file is closed, also by a kill.

    Args:
        file: its descriptor.

    Returns:
        whether it is ours now; also where the system or the disk knows no locks.
    """
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    return True
