"""The cache: what deepcams keeps because it can be made again."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path


def cache_dir() -> Path:
    """Where deepcams keeps what can be made again: ``$DEEPCAMS_CACHE``, else a folder in the user's cache folder."""
    own = os.environ.get("DEEPCAMS_CACHE")
    if own:
        return Path(own)
    if os.name == "nt" and os.environ.get("LOCALAPPDATA"):
        return Path(os.environ["LOCALAPPDATA"]) / "deepcams" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "deepcams"


def writable(folder: Path) -> bool:
    """Whether files can be made in ``folder`` (which is made if need be)."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def forget_old(root: Path, keep_days: int) -> None:
    """Remove folders unused for ``keep_days``, and unfinished ones (``.part-``) of a day ago (of killed runs)."""
    if not root.is_dir():
        return
    now = time.time()
    for entry in root.iterdir():
        try:
            days = (now - entry.stat().st_mtime) / 86400
        except OSError:
            continue  # another process removed it
        if days > (1 if ".part-" in entry.name else keep_days):
            shutil.rmtree(entry, ignore_errors=True)
